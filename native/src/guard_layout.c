/* Laying a guard program out for the hot path: limits and edges by feature in the width they are compared in, and the
 * distance's projection in blocks of eight directions. */
#include "guard.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void *er_guard_keep(erai_guard *guard, size_t count, size_t size) {
    if ((guard->block_count & (guard->block_count - 1)) == 0) { /* at each power of two, room for the next */
        void **blocks = realloc(guard->blocks, (2 * guard->block_count + 1) * sizeof *blocks);
        if (!blocks) return NULL;
        guard->blocks = blocks;
    }
    if (count == 0) count = 1;
    size_t bytes = (count * size + 63) & ~(size_t)63;
    if (count > SIZE_MAX / 2 / size) return NULL;
    void *block = aligned_alloc(64, bytes);
    if (!block) return NULL;
    memset(block, 0, bytes);
    guard->blocks[guard->block_count++] = block;
    return block;
}

/* Whether the reference's moments can standardize a value, in the width at hand: (value - mean) may be infinite, and
 * infinity times zero is no number, so it is both or neither. */
static int usable(const er_feature *feature, double mean, double scale) {
    return feature->bins && isfinite(mean) && isfinite(scale) && scale > 0;
}

static double z_scale(const er_feature *feature) {
    return feature->stddev > 0 ? 256.0 / feature->stddev : 0.0;
}

static int lay_out_narrow(erai_guard *guard, er_input *input) {
    size_t count = input->feature_count;
    er_limits *limits = &input->limits;
    limits->low = er_guard_keep(guard, count, sizeof(float));
    limits->high = er_guard_keep(guard, count, sizeof(float));
    limits->mean = er_guard_keep(guard, count, sizeof(float));
    limits->z_scale = er_guard_keep(guard, count, sizeof(float));
    limits->edges = er_guard_keep(guard, (count + ER_FLOATS - 1) / ER_FLOATS, sizeof *limits->edges);
    if (!limits->low || !limits->high || !limits->mean || !limits->z_scale || !limits->edges) return 0;
    for (size_t f = 0; f < count; f++) {
        const er_feature *feature = &guard->features[input->first_feature + f];
        float low = (float)feature->low, high = (float)feature->high;
        float mean = (float)feature->mean, scale = (float)z_scale(feature);
        int moments = usable(feature, (double)mean, (double)scale);
        limits->low[f] = low < -FLT_MAX ? -FLT_MAX : low;
        limits->high[f] = high > FLT_MAX ? FLT_MAX : high;
        limits->mean[f] = moments ? mean : 0.0f;
        limits->z_scale[f] = moments ? scale : 0.0f;
        for (uint32_t i = 0; i < ERAI_MAX_BINS; i++)
            limits->edges[f / ER_FLOATS][i][f % ER_FLOATS] =
                i + 1 < feature->bins ? (float)feature->edges[i] : INFINITY;
    }
    return 1;
}

static int lay_out_wide(erai_guard *guard, er_input *input) {
    size_t count = input->feature_count;
    er_wide_limits *limits = &input->wide;
    limits->low = er_guard_keep(guard, count, sizeof(double));
    limits->high = er_guard_keep(guard, count, sizeof(double));
    limits->mean = er_guard_keep(guard, count, sizeof(double));
    limits->z_scale = er_guard_keep(guard, count, sizeof(double));
    limits->edges = er_guard_keep(guard, (count + ER_DOUBLES - 1) / ER_DOUBLES, sizeof *limits->edges);
    if (!limits->low || !limits->high || !limits->mean || !limits->z_scale || !limits->edges) return 0;
    for (size_t f = 0; f < count; f++) {
        const er_feature *feature = &guard->features[input->first_feature + f];
        int moments = usable(feature, feature->mean, z_scale(feature));
        limits->low[f] = feature->low < -DBL_MAX ? -DBL_MAX : feature->low;
        limits->high[f] = feature->high > DBL_MAX ? DBL_MAX : feature->high;
        limits->mean[f] = moments ? feature->mean : 0.0;
        limits->z_scale[f] = moments ? z_scale(feature) : 0.0;
        for (uint32_t i = 0; i < ERAI_MAX_BINS; i++)
            limits->edges[f / ER_DOUBLES][i][f % ER_DOUBLES] =
                i + 1 < feature->bins ? feature->edges[i] : (double)INFINITY;
    }
    return 1;
}

int er_lay_out_input(erai_guard *guard, er_input *input) {
    input->width = er_width_of(input->dtype);
    input->checked_features = er_guard_keep(guard, input->feature_count, sizeof *input->checked_features);
    if (!input->checked_features) return 0;
    for (uint32_t f = 0; f < input->feature_count; f++) {
        er_feature *feature = &guard->features[input->first_feature + f];
        input->sketched |= feature->bins > 0;
        int checked = 0;
        for (uint32_t i = 0; i < feature->check_count; i++) {
            er_check *check = &feature->checks[i];
            checked |= check->rule.kind != ERAI_CHECK_MISSING;
            if (er_remembers(check->rule.kind)) check->memory = guard->memories++;
            if (check->rule.kind == ERAI_CHECK_MISSING) {
                feature->missing = &check->rule;
                input->replaced |= !isnan(check->rule.limit);
                input->sentinels |= check->rule.count > 0;
            }
            guard->timed |= check->rule.kind == ERAI_CHECK_AGE;
        }
        if (checked) input->checked_features[input->checked++] = f;
    }
    return input->width == ER_NARROW ? lay_out_narrow(guard, input)
           : input->width == ER_WIDE ? lay_out_wide(guard, input)
                                     : 1;
}

static double greater(double one, double other) {
    return one > other ? one : other;
}

static double lesser(double one, double other) {
    return one < other ? one : other;
}

void er_lay_out_output(er_output *output) {
    er_glance *glance = &output->glance;
    *glance = (er_glance){.usable = output->dtype == ERAI_DTYPE_FLOAT32 && !(output->flags & ERAI_RULE_LOGITS),
                          .low = -(double)INFINITY,
                          .high = (double)INFINITY,
                          .sum_low = -(double)INFINITY,
                          .sum_high = (double)INFINITY,
                          .least_confidence = -(double)INFINITY,
                          .least_margin = -(double)INFINITY};
    for (uint32_t i = 0; i < output->check_count; i++) {
        const erai_check_rule *rule = &output->checks[i].rule;
        glance->of_shares |= rule->kind != ERAI_CHECK_RANGE;
        switch (rule->kind) {
        case ERAI_CHECK_RANGE: /* compared in float32 (er_is_below) */
            glance->low = greater(glance->low, (double)(float)rule->low);
            glance->high = lesser(glance->high, (double)(float)rule->high);
            break;
        case ERAI_CHECK_SUM:
            glance->sum_low = greater(glance->sum_low, rule->low);
            glance->sum_high = lesser(glance->sum_high, rule->high);
            break;
        case ERAI_CHECK_CONFIDENCE: glance->least_confidence = greater(glance->least_confidence, rule->low); break;
        case ERAI_CHECK_MARGIN: glance->least_margin = greater(glance->least_margin, rule->low); break;
        default: glance->usable = 0;
        }
    }
}

/* How many features from the first have a part in any of the block's directions. */
static uint32_t extent_of(const erai_distance_rule *rule, uint32_t features, uint32_t block) {
    uint32_t extent = 0;
    for (uint32_t k = 8 * block; k < rule->directions && k < 8 * block + 8; k++)
        for (uint32_t f = extent; f < features; f++)
            if (rule->projection[(size_t)k * features + f] != 0.0f) extent = f + 1;
    return (extent + 3) / 4 * 4;
}

int er_lay_out_distance(erai_guard *guard, er_input *input, const erai_distance_rule *rule) {
    uint32_t features = input->feature_count, blocks = (rule->directions + 7) / 8;
    er_distance *distance = er_guard_keep(guard, 1, sizeof *distance);
    if (!distance) return 0;
    *distance = (er_distance){.verdict = rule->verdict,
                              .features = features,
                              .directions = rule->directions,
                              .blocks = blocks,
                              .mean = er_guard_keep(guard, features, sizeof(double)),
                              .scale = er_guard_keep(guard, features, sizeof(double)),
                              .weights = er_guard_keep(guard, 8 * (size_t)blocks, sizeof(float)),
                              .factors = er_guard_keep(guard, blocks, sizeof(float *)),
                              .extents = er_guard_keep(guard, blocks, sizeof(uint32_t)),
                              .rest = (float)rule->rest,
                              .threshold = rule->threshold,
                              .false_rejection_rate = rule->false_rejection_rate};
    if (!distance->mean || !distance->scale || !distance->weights || !distance->factors || !distance->extents) return 0;
    memcpy(distance->mean, rule->mean, features * sizeof(double));
    memcpy(distance->scale, rule->scale, features * sizeof(double));
    for (uint32_t k = 0; k < rule->directions; k++) distance->weights[k] = rule->weights[k];
    size_t count = 0;
    for (uint32_t b = 0; b < blocks; b++) count += distance->extents[b] = extent_of(rule, features, b);
    float *factors = er_guard_keep(guard, 8 * count, sizeof(float)); /* all in a row: a row of a call reads them all */
    if (!factors) return 0;
    for (uint32_t b = 0; b < blocks; b++) {
        distance->factors[b] = factors;
        for (uint32_t k = 0; k < 8 && 8 * b + k < rule->directions; k++)
            for (uint32_t f = 0; f < distance->extents[b] && f < features; f++)
                factors[8 * (size_t)f + k] = rule->projection[(size_t)(8 * b + k) * features + f];
        factors += 8 * (size_t)distance->extents[b];
    }
    input->distance = distance;
    return 1;
}
