/* .npy files, sound and damaged. SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <math.h>
#include <stdlib.h>

#include "er_test.h"
#include "failure.h"

/* A file as numpy.save writes it: version `major`, this header, `values` float32 values. */
static uint8_t *file_of(int major, const char *header, size_t values, size_t *size) {
    size_t field = major == 1 ? 2 : 4, length = strlen(header), first = 8 + field;
    uint8_t *bytes = calloc(1, first + length + values * 4);
    if (!bytes) exit(1);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (uint8_t)major;
    bytes[8] = (uint8_t)length;
    bytes[9] = (uint8_t)(length >> 8);
    memcpy(bytes + first, header, length);
    *size = first + length + values * 4;
    return bytes;
}

static int read_header(const char *header, size_t values, bench_array *array, char *detail) {
    size_t size;
    uint8_t *bytes = file_of(1, header, values, &size);
    int code = bench_npy_read(bytes, size, array, detail);
    free(bytes);
    return code;
}

static const char SOUND[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }     \n";

static void sound_files_of_every_version_are_read(void) {
    for (int major = 1; major <= 3; major++) {
        bench_array array;
        char detail[ERAI_DETAIL_SIZE];
        size_t size;
        uint8_t *bytes = file_of(major, SOUND, 6, &size);
        ER_CHECK_INT(bench_npy_read(bytes, size, &array, detail), FINE);
        ER_CHECK_INT(array.rank, 2);
        ER_CHECK_INT(array.shape[0], 2);
        ER_CHECK_INT(array.shape[1], 3);
        ER_CHECK_INT(array.count, 6);
        ER_CHECK(array.values == bytes + size - 24);
        free(bytes);
    }
}

static void shapes_of_none_and_one_extent_are_read(void) {
    bench_array array;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(read_header("{'shape': (5,), 'fortran_order': False, 'descr': '<f4'}", 5, &array, detail), FINE);
    ER_CHECK_INT(array.rank, 1);
    ER_CHECK_INT(read_header("{'shape': (), 'fortran_order': False, 'descr': '<f4'}", 1, &array, detail), FINE);
    ER_CHECK_INT(array.rank, 0);
    ER_CHECK_INT(array.count, 1);
    ER_CHECK_INT(
        read_header("{'shape': (0, 9000000000000000000), 'fortran_order': False, 'descr': '<f4'}", 0, &array, detail),
        FINE);
    ER_CHECK_INT(array.count, 0);
}

static void numbers_of_every_type_are_read_as_they_are(void) {
    static const uint8_t ones[8] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t half[8] = {0, 0, 0, 0, 0, 0, 0xE0, 0x3F}, quarter[4] = {0, 0, 0x80, 0x3E};
    ER_CHECK(bench_npy_number(half, ERAI_DTYPE_FLOAT64) == 0.5);
    ER_CHECK(bench_npy_number(quarter, ERAI_DTYPE_FLOAT32) == 0.25);
    static const struct {
        uint8_t bytes[2];
        double value;
    } halves[] = {{{0x00, 0x3C}, 1},
                  {{0x55, 0xB5}, -0.333251953125},
                  {{0x01, 0x00}, 0x1p-24},
                  {{0xFF, 0x7B}, 65504},
                  {{0x00, 0xFC}, -(double)INFINITY}};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        ER_CHECK(bench_npy_number(halves[i].bytes, ERAI_DTYPE_FLOAT16) == halves[i].value);
    static const uint8_t not_a_number[2] = {0x00, 0x7E};
    ER_CHECK(isnan(bench_npy_number(not_a_number, ERAI_DTYPE_FLOAT16)));
    ER_CHECK(bench_npy_number(ones, ERAI_DTYPE_INT8) == -1 && bench_npy_number(ones, ERAI_DTYPE_UINT8) == 255);
    ER_CHECK(bench_npy_number(ones, ERAI_DTYPE_INT16) == -1 && bench_npy_number(ones, ERAI_DTYPE_UINT16) == 65535);
    ER_CHECK(bench_npy_number(ones, ERAI_DTYPE_INT32) == -1 && bench_npy_number(ones, ERAI_DTYPE_UINT32) == 4294967295);
    ER_CHECK(bench_npy_number(ones, ERAI_DTYPE_INT64) == -1 && bench_npy_number(ones, ERAI_DTYPE_UINT64) > 1.8e19);
}

static void what_is_not_such_an_array_is_refused_with_its_fault(void) {
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", "float32"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", "float32"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "shape asks for"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }", "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6), }", "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,2,3), }", "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2), }", "shape asks for"},
        {"{'descr': '<f4', 'fortran_order': False, }", "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (2, 3), }", "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1, }", "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x", "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "header"},
        {"", "header"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_array array;
        char detail[ERAI_DETAIL_SIZE] = "";
        ER_CHECK_INT(read_header(cases[i].header, 6, &array, detail), UNSOUND);
        ER_CHECK_CONTAINS(detail, cases[i].says);
    }
}

/* Each copy ends where its memory ends, so that the sanitizer sees any read past it. */
static void every_truncation_is_refused_and_no_changed_byte_reads_past_the_end(void) {
    size_t size;
    uint8_t *bytes = file_of(1, SOUND, 6, &size);
    bench_array array;
    char detail[ERAI_DETAIL_SIZE];
    for (size_t length = 0; length < size; length++) {
        uint8_t *part = malloc(length ? length : 1);
        if (!part) exit(1);
        memcpy(part, bytes, length);
        ER_CHECK_INT(bench_npy_read(part, length, &array, detail), UNSOUND);
        free(part);
    }
    for (size_t at = 0; at < size - 24; at++)
        for (int value = 0; value < 256; value++) {
            uint8_t kept = bytes[at];
            bytes[at] = (uint8_t)value;
            if (!bench_npy_read(bytes, size, &array, detail)) {
                ER_CHECK_INT(array.count, 6);
                ER_CHECK(array.values == bytes + size - 24);
            }
            bytes[at] = kept;
        }
    free(bytes);
}

int main(void) {
    ER_RUN(sound_files_of_every_version_are_read);
    ER_RUN(shapes_of_none_and_one_extent_are_read);
    ER_RUN(numbers_of_every_type_are_read_as_they_are);
    ER_RUN(what_is_not_such_an_array_is_refused_with_its_fault);
    ER_RUN(every_truncation_is_refused_and_no_changed_byte_reads_past_the_end);
    return er_test_result();
}
