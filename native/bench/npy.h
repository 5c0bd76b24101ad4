/* float32 arrays in numpy's .npy form. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

typedef struct bench_array {
    const uint8_t *values; /* little-endian float32 in C order, of any alignment; within the bytes read */
    size_t count;          /* of values: the product of the extents */
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
} bench_array;

/* Reads an array from the bytes of a .npy file, which may come from anybody: version 1 to 3, '<f4', C order, and not a
 * byte more or less than its shape asks for. Returns UNSOUND with a sentence that does not name the file. */
int bench_npy_read(const uint8_t *bytes, size_t size, bench_array *array, char *detail);

#endif
