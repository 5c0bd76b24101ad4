/* Drift sketches: where one value enters its feature's histogram and moments, in float32 and in float64. */
#ifndef ER_SKETCH_H
#define ER_SKETCH_H

#include "dispatch.h"
#include "guard.h"
#include "statistics.h"

#include <math.h>

/* Values that are placed at once: of as many features as a vector has lanes, and of so many rows. */
#define ER_TOGETHER 4u

typedef float er_floats __attribute__((vector_size(ER_VECTOR), aligned(sizeof(float)), may_alias));
typedef double er_doubles __attribute__((vector_size(ER_VECTOR), aligned(sizeof(double)), may_alias));
typedef uint32_t er_narrow_bins __attribute__((vector_size(ER_VECTOR), aligned(sizeof(float)), may_alias));
typedef uint64_t er_wide_bins __attribute__((vector_size(ER_VECTOR), aligned(sizeof(double)), may_alias));

/* Bins of finite values: for each the number of edges below it, those of its own lane. Comparing with all edges, the
 * unused ones too, takes no branch and, so many values at a time, less than a search whose steps wait for each other.
 * Rows, 1 or ER_TOGETHER of them, are `width` numbers apart; each edge is fetched once for all of them. */
#define ER_DEFINE_PLACE(name, number, numbers, numbers_bins)                                                         \
    ER_INLINE void name(const number(*edges)[sizeof(numbers) / sizeof(number)], const number *values, size_t width,  \
                        size_t rows, numbers_bins *bins) {                                                           \
        numbers value[ER_TOGETHER];                                                                                  \
        numbers_bins below[ER_TOGETHER] = {{0}};                                                                     \
        for (size_t row = 0; row < rows; row++) value[row] = *(const numbers *)(const void *)(values + row * width); \
        for (size_t i = 0; i < ERAI_MAX_BINS; i++) {                                                                 \
            numbers edge = *(const numbers *)(const void *)edges[i];                                                 \
            for (size_t row = 0; row < rows; row++) below[row] -= (numbers_bins)(edge < value[row]);                 \
        }                                                                                                            \
        for (size_t row = 0; row < rows; row++) bins[row] = below[row];                                              \
    }
ER_DEFINE_PLACE(er_place_narrow, float, er_floats, er_narrow_bins)
ER_DEFINE_PLACE(er_place_wide, double, er_doubles, er_wide_bins)

/* A value in standard deviations of its reference, clipped to +-8 and rounded to 1/256, so that sums are integers: a
 * square is at most 2^22, and 2^42 values fit before a window's sum could wrap. NaN comes out as some number within the
 * clip. */
ER_INLINE int32_t er_standardize(float value, float mean, float z_scale) {
    float z = (value - mean) * z_scale;
    z = fabsf(z) < 2048.0f ? z : copysignf(2048.0f, z); /* one choice: of two, compilers make branches */
    /* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, in the default rounding mode. */
    return (int32_t)((z + 12582912.0f) - 12582912.0f);
}

ER_INLINE int32_t er_wide_standardize(double value, double mean, double z_scale) {
    double z = (value - mean) * z_scale;
    z = fabs(z) < 2048.0 ? z : copysign(2048.0, z);
    return (int32_t)((z + 6755399441055744.0) - 6755399441055744.0); /* 1.5 * 2^52 */
}

/* Where one finite value of feature f of an input belongs. */
typedef struct er_place {
    uint32_t bin;
    int32_t z;
} er_place;

static inline er_place er_place_of(const er_input *input, size_t f, double value) {
    const er_limits *narrow = &input->limits;
    const er_wide_limits *wide = &input->wide;
    int is_narrow = input->width == ER_NARROW;
    er_place place = {.z = is_narrow ? er_standardize((float)value, narrow->mean[f], narrow->z_scale[f])
                                     : er_wide_standardize(value, wide->mean[f], wide->z_scale[f])};
    for (unsigned i = 0; i < ERAI_MAX_BINS; i++)
        place.bin += is_narrow ? (float)value > narrow->edges[f / ER_FLOATS][i][f % ER_FLOATS]
                               : value > wide->edges[f / ER_DOUBLES][i][f % ER_DOUBLES];
    return place;
}

static inline void er_feature_total_count(er_feature_total *total, er_place place) {
    total->histogram[place.bin]++;
    total->sum += (uint64_t)(int64_t)place.z;
    total->sum_squares += (uint64_t)(uint32_t)(place.z * place.z);
}

static inline void er_tally_count(const er_tally *tally, size_t f, er_place place) {
    tally->histogram[f][place.bin]++;
    tally->sum[f] += (uint64_t)(int64_t)place.z;
    tally->sum_squares[f] += (uint64_t)(uint32_t)(place.z * place.z);
}

#endif
