/* Little-endian reading and writing of untrusted and own bytes.
 *
 * A reader never passes its end: after the first short read it is `failed` and every later read gives zero, so that a
 * parser may read a whole record and test once. A writer grows; out of memory makes it `failed` in the same way. */
#ifndef ER_BYTES_H
#define ER_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct er_reader {
    const uint8_t *data;
    size_t size;
    size_t at;
    int failed;
} er_reader;

const uint8_t *er_read_bytes(er_reader *reader, size_t size); /* NULL when fewer remain */
uint8_t er_read_u8(er_reader *reader);
uint16_t er_read_u16(er_reader *reader);
uint32_t er_read_u32(er_reader *reader);
uint64_t er_read_u64(er_reader *reader);
float er_read_f32(er_reader *reader);
double er_read_f64(er_reader *reader);
uint64_t er_read_varint(er_reader *reader); /* LEB128, at most 10 bytes, shortest form only */

typedef struct er_writer {
    uint8_t *data; /* free() it */
    size_t size;
    size_t capacity;
    int failed;
} er_writer;

void er_write_bytes(er_writer *writer, const void *data, size_t size);
void er_write_u8(er_writer *writer, uint8_t value);
void er_write_u16(er_writer *writer, uint16_t value);
void er_write_u32(er_writer *writer, uint32_t value);
void er_write_u64(er_writer *writer, uint64_t value);
void er_write_f32(er_writer *writer, float value);
void er_write_f64(er_writer *writer, double value);
void er_write_varint(er_writer *writer, uint64_t value);

/* Overwrites four bytes written earlier. */
void er_patch_u32(er_writer *writer, size_t at, uint32_t value);

#endif
