/* Arrays of numbers in numpy's .npy form. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

typedef struct bench_array {
    const uint8_t *values; /* little-endian numbers in C order, of any alignment; within the bytes read */
    size_t count;          /* of values: the product of the extents */
    uint32_t dtype;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
} bench_array;

/* Reads an array from the bytes of a .npy file, which may come from anybody: version 1 to 3, whole numbers,
 * booleans, float32 or float64, in C order, and not a byte more or less than its shape asks for. Returns UNSOUND with a
 * sentence that does not name the file. */
int bench_npy_read(const uint8_t *bytes, size_t size, bench_array *array, char *detail);

/* A value as a double, which rounds whole numbers beyond 2^53. */
double bench_npy_number(const uint8_t *at, uint32_t dtype);

#endif
