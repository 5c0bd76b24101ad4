/* Drift sketches: where one value enters its feature's histogram and moments, in float32 and in float64. */
#ifndef ER_SKETCH_H
#define ER_SKETCH_H

#include "dispatch.h"
#include "guard.h"
#include "statistics.h"

/* Bin of a finite value: the number of edges below it; unused edges are +inf. Comparing with all of them takes no
 * branch and, several at a time, less than a search whose steps wait for each other. */
ER_INLINE unsigned er_bin(const float *edges, float value) {
    unsigned bin = 0;
    for (unsigned i = 0; i < ERAI_MAX_BINS; i++) bin += value > edges[i];
    return bin;
}

ER_INLINE unsigned er_wide_bin(const double *edges, double value) {
    unsigned bin = 0;
    for (unsigned i = 0; i < ERAI_MAX_BINS; i++) bin += value > edges[i];
    return bin;
}

/* A value in standard deviations of its reference, clipped to +-8 and rounded to 1/256, so that sums are integers: a
 * square is at most 2^22, and 2^42 values fit before a window's sum could wrap. NaN comes out as some number within the
 * clip. */
ER_INLINE int32_t er_standardize(float value, float mean, float z_scale) {
    float z = (value - mean) * z_scale;
    z = z < 2048.0f ? z : 2048.0f;
    z = z > -2048.0f ? z : -2048.0f;
    /* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, in the default rounding mode. */
    return (int32_t)((z + 12582912.0f) - 12582912.0f);
}

ER_INLINE int32_t er_wide_standardize(double value, double mean, double z_scale) {
    double z = (value - mean) * z_scale;
    z = z < 2048.0 ? z : 2048.0;
    z = z > -2048.0 ? z : -2048.0;
    return (int32_t)((z + 6755399441055744.0) - 6755399441055744.0); /* 1.5 * 2^52 */
}

#endif
