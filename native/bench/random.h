/* Seeded random numbers. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct bench_random {
    uint64_t state; /* the seed, at first */
} bench_random;

uint64_t bench_random_bits(bench_random *random);
double bench_random_share(bench_random *random);       /* above 0, below 1 */
double bench_random_exponential(bench_random *random); /* of mean 1 */
double bench_random_normal(bench_random *random);      /* of mean 0 and variance 1 */
void bench_shuffle(bench_random *random, size_t *numbers, size_t count);

#endif
