/* Drift sketches: one value enters its feature's histogram and moments. */
#ifndef ER_SKETCH_H
#define ER_SKETCH_H

#include "guard.h"
#include "statistics.h"

/* Bin of a finite value: the number of edges below it. Five comparisons without a branch over the padded edges. */
static inline unsigned er_bin(const float *edges, float value) {
    unsigned bin = (unsigned)(value > edges[15]) << 4;
    bin += (unsigned)(value > edges[bin + 7]) << 3;
    bin += (unsigned)(value > edges[bin + 3]) << 2;
    bin += (unsigned)(value > edges[bin + 1]) << 1;
    bin += (unsigned)(value > edges[bin]);
    return bin;
}

/* Adds a finite value. z is clipped to +-8 standard deviations and rounded to 1/256, so that its sums are integers: a
 * square is at most 2^22, and 2^42 values fit before a window's sum could wrap. */
static inline void er_sketch_add(uint64_t *counts, const er_limits *limits, float value) {
    counts[er_bin(limits->edges, value)]++;
    float z = (value - limits->mean) * limits->z_scale;
    z = z > 2048.0f ? 2048.0f : z;
    z = z < -2048.0f ? -2048.0f : z;
    /* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, in the default rounding mode. */
    int32_t rounded = (int32_t)((z + 12582912.0f) - 12582912.0f);
    counts[ER_FEATURE_SUM] += (uint64_t)(int64_t)rounded;
    counts[ER_FEATURE_SUM_SQUARES] += (uint64_t)(rounded * rounded);
}

#endif
