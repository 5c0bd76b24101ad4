/* What every run has beside its models. The yardstick must be slowed down by whatever slows a model's call down, so it
 * is what small models mostly do, on data that fits the first cache. SPDX-License-Identifier: Apache-2.0 */
#include "yardstick.h"

#include <stddef.h>

enum { WIDTH = 64, PRODUCTS = 6 };

typedef struct work {
    float matrix[WIDTH][WIDTH], vector[WIDTH], product[WIDTH];
} work;

static int multiply(void *self, uint64_t query) {
    work *one = self;
    (void)query;
    for (int times = 0; times < PRODUCTS; times++) {
        for (int i = 0; i < WIDTH; i++) one->product[i] = 0;
        for (int k = 0; k < WIDTH; k++)
            for (int i = 0; i < WIDTH; i++) one->product[i] += one->vector[k] * one->matrix[k][i];
        for (int i = 0; i < WIDTH; i++) one->vector[i] = one->product[i];
    }
    return 0;
}

static int nothing(void *self, uint64_t query) {
    (void)self, (void)query;
    return 0;
}

/* The matrix is a rotation by one place, mixed with its neighbour's: it keeps the vector's sum, and so its size. */
bench_subject bench_yardstick(void) {
    static work one;
    for (int k = 0; k < WIDTH; k++) {
        one.matrix[k][(k + 1) % WIDTH] = 0.75F;
        one.matrix[k][(k + 2) % WIDTH] = 0.25F;
        one.vector[k] = (float)(1 + k % 7);
    }
    return (bench_subject){BENCH_YARDSTICK, 1, multiply, NULL, &one};
}

bench_subject bench_empty(void) {
    return (bench_subject){BENCH_EMPTY, 1, nothing, NULL, NULL};
}
