/* Raw samples as numpy's .npz: a zip (PKWARE's APPNOTE 6.3) whose members are stored .npy arrays of one axis, made on a
 * little-endian machine. SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { ARRAYS = 4, NAME = 64, NPY_HEADER = 128, LOCAL_HEADER = 30, CENTRAL_HEADER = 46, END_HEADER = 22 };
enum { ZIP_VERSION = 20, DATE_1980 = 0x21 };

static const uint64_t MOST_BYTES = UINT32_MAX;

typedef struct member {
    char name[NAME];
    uint8_t header[NPY_HEADER];
    const void *values;
    size_t size; /* of the values, in bytes */
    uint32_t crc, at;
} member;

static uint32_t crc32(uint32_t crc, const void *bytes, size_t size) {
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t rest = i;
            for (int bit = 0; bit < 8; bit++) rest = rest & 1 ? rest >> 1 ^ 0xEDB88320u : rest >> 1;
            table[i] = rest;
        }
    const uint8_t *at = bytes;
    for (crc = ~crc; size--; at++) crc = crc >> 8 ^ table[(crc ^ *at) & 0xFF];
    return ~crc;
}

static uint8_t *put(uint8_t *at, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

/* What local and central headers share, from the version on. */
static uint8_t *put_facts(uint8_t *at, const member *one) {
    uint32_t size = (uint32_t)(NPY_HEADER + one->size);
    at = put(put(put(at, ZIP_VERSION, 2), 0, 2), 0, 2); /* no flags; stored */
    at = put(put(put(at, 0, 2), DATE_1980, 2), one->crc, 4);
    return put(put(put(at, size, 4), size, 4), (uint32_t)strlen(one->name), 2);
}

static int write_all(FILE *file, const void *bytes, size_t size) {
    return fwrite(bytes, 1, size, file) == size;
}

static int write_member(FILE *file, const member *one) {
    uint8_t header[LOCAL_HEADER];
    put(put_facts(put(header, 0x04034B50, 4), one), 0, 2);
    return write_all(file, header, sizeof header) && write_all(file, one->name, strlen(one->name)) &&
           write_all(file, one->header, NPY_HEADER) && write_all(file, one->values, one->size);
}

static int write_directory(FILE *file, const member *members, size_t count, uint32_t at) {
    uint8_t header[CENTRAL_HEADER], end[END_HEADER];
    uint32_t size = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *rest = put(put(header, 0x02014B50, 4), ZIP_VERSION, 2);
        rest = put(put(put_facts(rest, &members[i]), 0, 2), 0, 2);
        put(put(put(put(rest, 0, 2), 0, 2), 0, 4), members[i].at, 4);
        if (!write_all(file, header, sizeof header) || !write_all(file, members[i].name, strlen(members[i].name)))
            return 0;
        size += (uint32_t)(CENTRAL_HEADER + strlen(members[i].name));
    }
    uint8_t *rest = put(put(put(end, 0x06054B50, 4), 0, 4), (uint32_t)count, 2);
    put(put(put(put(rest, (uint32_t)count, 2), size, 4), at, 4), 0, 2);
    return write_all(file, end, sizeof end);
}

static void describe(member *one, const char *scenario, size_t series, const char *what, const char *type,
                     const void *values, size_t count, size_t value_size) {
    snprintf(one->name, NAME, "%s.%zu.%s.npy", scenario, series, what);
    one->values = values;
    one->size = count * value_size;
    char *header = (char *)one->header;
    memset(header, ' ', NPY_HEADER);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    int length = snprintf(header + 10, NPY_HEADER - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,), }",
                          type, count);
    header[10 + length] = ' ';
    header[NPY_HEADER - 1] = '\n';
    one->crc = crc32(crc32(0, header, NPY_HEADER), values, one->size);
}

int bench_samples_write(FILE *file, const char *scenario, const bench_run *run) {
    member *members = bench_allocate(run->count * ARRAYS, sizeof *members);
    size_t count = 0, number = 0;
    uint64_t at = 0;
    int fine = 1;
    for (size_t i = 0; i < run->count; i++) {
        const bench_series *one = &run->series[i];
        const int64_t *due = one->scheduled ? one->scheduled : one->began;
        if (!one->count) continue;
        describe(&members[count++], scenario, number, "block", "<i4", one->block, one->count, sizeof *one->block);
        describe(&members[count++], scenario, number, "scheduled_ns", "<i8", due, one->count, sizeof *due);
        describe(&members[count++], scenario, number, "began_ns", "<i8", one->began, one->count, sizeof *one->began);
        describe(&members[count++], scenario, number++, "ended_ns", "<i8", one->ended, one->count, sizeof *one->ended);
    }
    for (size_t i = 0; i < count && fine; i++) {
        members[i].at = (uint32_t)at;
        at += LOCAL_HEADER + strlen(members[i].name) + NPY_HEADER + members[i].size;
        fine = at + count * (CENTRAL_HEADER + NAME) < MOST_BYTES && write_member(file, &members[i]);
    }
    fine = fine && write_directory(file, members, count, (uint32_t)at);
    free(members);
    return fine;
}
