/* How far a row is from the reference: d2 = rest * sum(z^2) + sum over k of weights[k] * (projection[k] . z)^2, with
 * z = (x - mean) * scale. A triangular factor of the inverse covariance as the projection makes this the squared
 * distance of Mahalanobis (1936); its blocks end where their zeros begin (guard_layout.c).
 *
 * z is computed in float64 and rounded to float32, eight directions at a time, in an order that does not depend on the
 * processor: sums add the products of even and of odd features apart. Without a rest they are float32, up to 256
 * features. With one, the sum over k takes away most of what the squares add (weights are negative there), and what is
 * left has their error: of every 16 features the products are added in float32, these sums and everything after them in
 * float64. A product has then passed nine roundings to 24 bits in its direction, however many features there are;
 * converters rely on that (docs/adr/0008-distance.md). A missing value and NaN have z = 0, and z is clipped to +-10^6,
 * past any threshold, so that infinite values give numbers too. */
#include "answer.h"
#include "dispatch.h"
#include "values.h"

#include <math.h>

typedef float lanes __attribute__((vector_size(32), may_alias));
typedef float unaligned __attribute__((vector_size(32), aligned(sizeof(float)), may_alias));
typedef float half __attribute__((vector_size(16), may_alias));
typedef double wide __attribute__((vector_size(32), may_alias));
typedef int32_t mask __attribute__((vector_size(32), may_alias));

#define BLOCKS (ER_MAX_DIRECTIONS / 8)
#define CHUNK 256u /* features at a time; a multiple of RUN */
#define RUN 16u    /* features whose products are added in float32 where they may cancel */
#define WIDE(narrow) __builtin_convertvector(narrow, wide)

/* Eight values of z: NaN becomes 0, and what is beyond the clip the clip. */
ER_INLINE void clip(unaligned *z) {
    const lanes most = {1e6f, 1e6f, 1e6f, 1e6f, 1e6f, 1e6f, 1e6f, 1e6f};
    mask kept = *z == *z;
    *z = (lanes)((mask)*z & kept);
    kept = *z < most;
    *z = (lanes)(((mask)*z & kept) | ((mask)most & ~kept));
    kept = *z > -most;
    *z = (lanes)(((mask)*z & kept) | ((mask)-most & ~kept));
}

ER_INLINE void standardize_eight(const float *x, const double *mean, const double *scale, float *z) {
    for (size_t i = 0; i < 8; i++) z[i] = (float)(((double)x[i] - mean[i]) * scale[i]);
    clip((unaligned *)(void *)z);
}

/* z of `count` features from `first` on, and zeros up to the next multiple of 8, as means and scales end in zeros. The
 * last eight of a row are taken together, some of them again: to read as a whole what was just written in parts waits.
 */
ER_INLINE void standardize_narrow(const er_input *input, const void *values, size_t first, size_t count, lanes *z) {
    const double *mean = input->distance->mean + first, *scale = input->distance->scale + first;
    float chunk[CHUNK], *next = (float *)z;
    const float *x = chunk;
    if (input->dtype == ERAI_DTYPE_FLOAT32)
        x = (const float *)values + first;
    else
        er_read_narrow((const char *)values + first * erai_dtype_size(input->dtype), input->dtype, count, chunk);
    if (count % 8) z[count / 8] = (lanes){0};
    for (size_t f = 0; count >= 8 && f < count; f += 8) {
        size_t at = count - f < 8 ? count - 8 : f;
        standardize_eight(x + at, mean + at, scale + at, next + at);
    }
    if (count >= 8) return;
    float few[8] = {0};
#pragma GCC unroll 1
    for (size_t i = 0; i < count; i++) few[i] = x[i];
    standardize_eight(few, mean, scale, next);
}

ER_INLINE void standardize_wide(const er_input *input, const void *values, size_t first, size_t count, lanes *z) {
    const double *mean = input->distance->mean + first, *scale = input->distance->scale + first;
    double x[CHUNK];
    er_read_wide((const char *)values + first * erai_dtype_size(input->dtype), input->dtype, count, x);
    for (size_t padded = count; padded % 8; padded++) x[padded] = 0;
    for (size_t f = 0; f < count; f += 8) {
        float *next = (float *)&z[f / 8];
        for (size_t i = 0; i < 8; i++) next[i] = (float)((x[f + i] - mean[f + i]) * scale[f + i]);
        clip((unaligned *)&z[f / 8]);
    }
}

ER_INLINE void standardize(const er_input *input, const void *values, size_t first, size_t count, lanes *z) {
    if (input->width == ER_NARROW)
        standardize_narrow(input, values, first, count, z);
    else
        standardize_wide(input, values, first, count, z);
}

static void forget_missing(const er_input *input, const er_feature *features, const void *values, size_t first,
                           size_t count, float *z) {
    for (size_t f = 0; f < count; f++) {
        const erai_check_rule *missing = features[first + f].missing;
        if (missing && er_is_missing(missing, values, input->dtype, first + f)) z[f] = 0.0f;
    }
}

/* The products of a block's directions with z, over `count` features, a multiple of 4. */
ER_INLINE void project(const float *factors, const float *z, size_t count, lanes *sum) {
    const lanes *factor = (const lanes *)(const void *)factors;
    lanes even = {0}, odd = {0};
#pragma GCC unroll 1
    for (size_t f = 0; f < count; f += 4) {
        even += factor[f] * z[f];
        odd += factor[f + 1] * z[f + 1];
        even += factor[f + 2] * z[f + 2];
        odd += factor[f + 3] * z[f + 3];
    }
    *sum = even + odd;
}

/* Without a rest, of a chunk's features at most; or without directions. */
ER_INLINE void squared_body(const er_input *input, const er_feature *features, const void *values, double *squared) {
    const er_distance *distance = input->distance;
    const lanes *weights = (const lanes *)(const void *)distance->weights;
    lanes total = {0};
    for (size_t first = 0; first < distance->features; first += CHUNK) {
        size_t rest = distance->features - first, count = rest < CHUNK ? rest : CHUNK;
        lanes z[CHUNK / 8], sum;
        standardize(input, values, first, count, z);
        if (input->sentinels) forget_missing(input, features, values, first, count, (float *)z);
        if (distance->rest != 0.0f)
            for (size_t i = 0; i < (count + 7) / 8; i++) total += z[i] * z[i];
        for (size_t b = 0; b < distance->blocks; b++) {
            project(distance->factors[b], (const float *)z, distance->extents[b], &sum);
            total += sum * sum * weights[b];
        }
    }
    if (distance->rest != 0.0f) total *= distance->rest;
    const wide low = WIDE(*(const half *)&total), high = WIDE(*((const half *)&total + 1));
    *squared = ((low[0] + low[1]) + (low[2] + low[3])) + ((high[0] + high[1]) + (high[2] + high[3]));
}

/* The products in runs; sum[0] has the first four directions, sum[1] the others. */
ER_INLINE void project_closely(const float *factors, const float *z, size_t count, wide *sum) {
    wide low = sum[0], high = sum[1];
    for (size_t f = 0; f < count; f += RUN) {
        const lanes *factor = (const lanes *)(const void *)(factors + 8 * f);
        union {
            lanes whole;
            half halves[2];
        } run = {{0}};
        if (count - f >= RUN) {
            lanes even = factor[0] * z[f], odd = factor[1] * z[f + 1];
#pragma GCC unroll 8
            for (size_t i = 2; i < RUN; i += 2) {
                even += factor[i] * z[f + i];
                odd += factor[i + 1] * z[f + i + 1];
            }
            run.whole = even + odd;
        } else {
            project(factors + 8 * f, z + f, count - f, &run.whole);
        }
        low += WIDE(run.halves[0]);
        high += WIDE(run.halves[1]);
    }
    sum[0] = low;
    sum[1] = high;
}

ER_INLINE void closely_body(const er_input *input, const er_feature *features, const void *values, double *squared) {
    const er_distance *distance = input->distance;
    const half *weights = (const half *)(const void *)distance->weights;
    wide sums[2 * BLOCKS], total = {0};
    for (size_t b = 0; b < 2 * distance->blocks; b++) sums[b] = (wide){0};
    for (size_t first = 0; first < distance->features; first += CHUNK) {
        size_t rest = distance->features - first, count = rest < CHUNK ? rest : CHUNK;
        half z[CHUNK / 4] __attribute__((aligned(sizeof(lanes))));
        standardize(input, values, first, count, (lanes *)z);
        if (input->sentinels) forget_missing(input, features, values, first, count, (float *)z);
        for (size_t i = 0; i < (count + 7) / 8 * 2; i++) total += WIDE(z[i]) * WIDE(z[i]);
        for (size_t b = 0; b < distance->blocks; b++) {
            size_t extent = distance->extents[b] > first ? distance->extents[b] - first : 0;
            project_closely(distance->factors[b] + 8 * first, (float *)z, extent < count ? extent : count,
                            &sums[2 * b]);
        }
    }
    total *= (double)distance->rest;
    for (size_t b = 0; b < 2 * distance->blocks; b++) total += sums[b] * sums[b] * WIDE(weights[b]);
    *squared = (total[0] + total[1]) + (total[2] + total[3]);
}

ER_TWICE(squared, (const er_input *input, const er_feature *features, const void *values, double *squared_distance),
         (input, features, values, squared_distance))
ER_TWICE(closely, (const er_input *input, const er_feature *features, const void *values, double *squared_distance),
         (input, features, values, squared_distance))

double er_distance_squared(const er_input *input, const er_feature *features, const void *values) {
    double result = 0;
    const er_distance *distance = input->distance;
    if (distance->blocks > 0 && (distance->rest != 0.0f || distance->features > CHUNK))
        closely(input, features, values, &result);
    else
        squared(input, features, values, &result);
    if (isnan(result)) return (double)INFINITY; /* a sum of infinities */
    return result > 0 ? result : 0.0;           /* negative weights may leave a little less than nothing */
}
