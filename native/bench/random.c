/* Seeded random numbers: SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
 * SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <math.h>

uint64_t bench_random_bits(bench_random *random) {
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double bench_random_share(bench_random *random) {
    return ((double)(bench_random_bits(random) >> 11) + 0.5) * 0x1p-53;
}

double bench_random_exponential(bench_random *random) {
    return -log(bench_random_share(random));
}

double bench_random_normal(bench_random *random) { /* Box and Muller, 1958 */
    const double turn = 6.283185307179586;
    double radius = sqrt(2 * bench_random_exponential(random));
    return radius * cos(turn * bench_random_share(random));
}

void bench_shuffle(bench_random *random, size_t *numbers, size_t count) {
    for (size_t left = count; left > 1; left--) {
        size_t other = (size_t)(bench_random_share(random) * (double)left), kept = numbers[left - 1];
        numbers[left - 1] = numbers[other];
        numbers[other] = kept;
    }
}
