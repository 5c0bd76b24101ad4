/* Little-endian reading and writing; see bytes.h. Values are assembled byte by byte, so that the host's byte order and
 * alignment rules do not matter. Floats travel as their IEEE 754 bits; integers of variable length are LEB128. */
#include "bytes.h"

#include <stdlib.h>
#include <string.h>

const uint8_t *er_read_bytes(er_reader *reader, size_t size) {
    if (reader->failed || size > reader->size - reader->at) {
        reader->failed = 1;
        return NULL;
    }
    const uint8_t *bytes = reader->data + reader->at;
    reader->at += size;
    return bytes;
}

static uint64_t read_little(er_reader *reader, unsigned size) {
    const uint8_t *bytes = er_read_bytes(reader, size);
    uint64_t value = 0;
    for (unsigned i = 0; bytes && i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t er_read_u8(er_reader *reader) {
    return (uint8_t)read_little(reader, 1);
}
uint16_t er_read_u16(er_reader *reader) {
    return (uint16_t)read_little(reader, 2);
}
uint32_t er_read_u32(er_reader *reader) {
    return (uint32_t)read_little(reader, 4);
}
uint64_t er_read_u64(er_reader *reader) {
    return read_little(reader, 8);
}

float er_read_f32(er_reader *reader) {
    uint32_t bits = er_read_u32(reader);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double er_read_f64(er_reader *reader) {
    uint64_t bits = er_read_u64(reader);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t er_read_varint(er_reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = er_read_u8(reader);
        if (reader->failed) return 0;
        int last = !(byte & 0x80);
        /* The tenth byte holds one bit; a final zero byte would be a second spelling of the same number. */
        if ((shift == 63 && byte > 1) || (last && shift > 0 && byte == 0)) break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (last) return value;
    }
    reader->failed = 1;
    return 0;
}

void er_write_bytes(er_writer *writer, const void *data, size_t size) {
    if (writer->failed || size == 0) return;
    if (size > writer->capacity - writer->size) {
        size_t capacity = writer->capacity ? writer->capacity : 1024;
        while (capacity - writer->size < size) {
            if (capacity > SIZE_MAX / 2) {
                writer->failed = 1;
                return;
            }
            capacity *= 2;
        }
        uint8_t *grown = realloc(writer->data, capacity);
        if (!grown) {
            writer->failed = 1;
            return;
        }
        writer->data = grown;
        writer->capacity = capacity;
    }
    memcpy(writer->data + writer->size, data, size);
    writer->size += size;
}

static void write_little(er_writer *writer, uint64_t value, unsigned size) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    er_write_bytes(writer, bytes, size);
}

void er_write_u8(er_writer *writer, uint8_t value) {
    write_little(writer, value, 1);
}
void er_write_u16(er_writer *writer, uint16_t value) {
    write_little(writer, value, 2);
}
void er_write_u32(er_writer *writer, uint32_t value) {
    write_little(writer, value, 4);
}
void er_write_u64(er_writer *writer, uint64_t value) {
    write_little(writer, value, 8);
}

void er_write_f32(er_writer *writer, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    er_write_u32(writer, bits);
}

void er_write_f64(er_writer *writer, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    er_write_u64(writer, bits);
}

void er_write_varint(er_writer *writer, uint64_t value) {
    uint8_t bytes[10];
    size_t size = 0;
    do {
        uint8_t low = (uint8_t)(value & 0x7f);
        value >>= 7;
        bytes[size++] = (uint8_t)(low | (value ? 0x80 : 0));
    } while (value);
    er_write_bytes(writer, bytes, size);
}

void er_patch_u32(er_writer *writer, size_t at, uint32_t value) {
    if (writer->failed) return;
    for (unsigned i = 0; i < 4; i++) writer->data[at + i] = (uint8_t)(value >> (8 * i));
}
