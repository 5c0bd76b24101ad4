/* The distance against its formula in float64, and to the bit against its stated order in plain loops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <float.h>
#include <math.h>

#include "er_test.h"
#include "test_input.h"
#include "values.h"

enum { MOST = 600 };

/* A distance rule of random numbers. */
typedef struct drawn {
    double mean[MOST], scale[MOST];
    float projection[ER_MAX_DIRECTIONS * MOST], weights[ER_MAX_DIRECTIONS];
    erai_distance_rule rule;
} drawn;

static double draw(double from, double to) {
    return from + (to - from) * (double)(test_random() >> 11) * 0x1p-53;
}

static void draw_rule(drawn *made, uint32_t features, uint32_t directions, int triangular, double least_weight) {
    for (uint32_t f = 0; f < features; f++) {
        made->mean[f] = draw(-100, 100);
        made->scale[f] = draw(0.1, 3);
    }
    for (uint32_t k = 0; k < directions; k++) {
        made->weights[k] = (float)draw(least_weight, 1);
        for (uint32_t f = 0; f < features; f++)
            made->projection[k * features + f] = triangular && f > k ? 0.0f : (float)draw(-1, 1);
    }
    made->rule = (erai_distance_rule){.struct_size = sizeof made->rule,
                                      .mean = made->mean,
                                      .scale = made->scale,
                                      .projection = made->projection,
                                      .weights = made->weights,
                                      .directions = directions,
                                      .verdict = ERAI_VERDICT_FLAG,
                                      .rest = triangular ? 0 : draw(0, 1),
                                      .threshold = 1e30,
                                      .false_rejection_rate = 0.01};
}

static erai_session *open_rule(const drawn *made, uint32_t dtype, uint32_t features, const erai_check_rule *checks) {
    static erai_feature_rule rules[MOST];
    for (uint32_t f = 0; f < features; f++) rules[f] = (erai_feature_rule){.low = -INFINITY, .high = INFINITY};
    const int64_t shape[] = {-1, features}, most[] = {8, features};
    const test_input input = {
        .batched = 1,
        .rule = {.shape = shape, .max_shape = most, .rank = 2, .dtype = dtype, .feature_axis = 1, .sketch_stride = 1},
        .features = rules,
        .checks = checks,
        .distance = &made->rule};
    return test_input_open(&input);
}

static double distance_of(const erai_session *session, const void *row) {
    const erai_guard *guard = session->guard;
    return er_distance_squared(&guard->inputs[0], guard->features + guard->inputs[0].first_feature, row);
}

static float z_of(double x, double mean, double scale) {
    float z = (float)((x - mean) * scale);
    return isnan(z) ? 0.0f : z > 1e6f ? 1e6f : z < -1e6f ? -1e6f : z;
}

static double formula(const drawn *made, uint32_t features, const double *row) {
    double squares = 0, sum = 0;
    for (uint32_t f = 0; f < features; f++) squares += pow((double)z_of(row[f], made->mean[f], made->scale[f]), 2);
    for (uint32_t k = 0; k < made->rule.directions; k++) {
        double along = 0;
        for (uint32_t f = 0; f < features; f++)
            along += (double)made->projection[k * features + f] * (double)z_of(row[f], made->mean[f], made->scale[f]);
        sum += (double)made->weights[k] * along * along;
    }
    return made->rule.rest * squares + sum;
}

/* The order that distance.c states, one number at a time: of at most 256 features even and odd ones apart up to where a
 * block of eight directions ends, blocks in their order, and eight lanes added in pairs. */
static double in_order(const drawn *made, uint32_t features, const float *row) {
    float lanes[8];
    for (uint32_t lane = 0; lane < 8; lane++) {
        float total = 0;
        for (uint32_t f = lane; f < features; f += 8) {
            float z = z_of((double)row[f], made->mean[f], made->scale[f]);
            total += z * z;
        }
        lanes[lane] = total * (float)made->rule.rest;
    }
    for (uint32_t b = 0; 8 * b < made->rule.directions; b++)
        for (uint32_t k = 8 * b; k < 8 * b + 8; k++) {
            float parts[2] = {0, 0};
            for (uint32_t f = 0; f < features && k < made->rule.directions; f++)
                parts[f % 2] +=
                    made->projection[k * features + f] * z_of((double)row[f], made->mean[f], made->scale[f]);
            float sum = parts[0] + parts[1];
            lanes[k - 8 * b] += sum * sum * (k < made->rule.directions ? made->weights[k] : 0.0f);
        }
    double sum = (((double)lanes[0] + (double)lanes[1]) + ((double)lanes[2] + (double)lanes[3])) +
                 (((double)lanes[4] + (double)lanes[5]) + ((double)lanes[6] + (double)lanes[7]));
    return sum > 0 ? sum : 0;
}

/* The same with directions and a rest or more features: runs of 16 features in float32, and float64 after them, four
 * lanes. */
static double closely_in_order(const drawn *made, uint32_t features, const float *row) {
    double lanes[4] = {0};
    for (uint32_t f = 0; f < features; f++) {
        double z = (double)z_of((double)row[f], made->mean[f], made->scale[f]);
        lanes[f % 4] += z * z;
    }
    for (int lane = 0; lane < 4; lane++) lanes[lane] *= (double)(float)made->rule.rest;
    for (uint32_t k = 0; k < made->rule.directions; k++) {
        double sum = 0;
        for (uint32_t first = 0; first < features; first += 16) {
            float parts[2] = {0, 0};
            for (uint32_t f = first; f < features && f < first + 16; f++)
                parts[f % 2] +=
                    made->projection[k * features + f] * z_of((double)row[f], made->mean[f], made->scale[f]);
            sum += (double)(parts[0] + parts[1]);
        }
        lanes[k % 4] += sum * sum * (double)made->weights[k];
    }
    double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    return sum > 0 ? sum : 0;
}

static void any_size_equals_the_formula_and_its_order_to_the_bit(void) {
    static drawn made;
    static const uint32_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 30, 31, 33, 63, 64, 65, 255, 256, 257, 600};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int triangular = 0; triangular < 2; triangular++) {
            uint32_t features = sizes[i], directions = features < 64 ? features : 64;
            if (!triangular) directions = directions / 3;
            draw_rule(&made, features, directions, triangular, triangular ? 1 : -0.01);
            erai_session *session = open_rule(&made, ERAI_DTYPE_FLOAT32, features, NULL);
            for (int times = 0; times < 50; times++) {
                float row[MOST];
                double wide[MOST];
                for (uint32_t f = 0; f < features; f++) row[f] = (float)draw(-200, 200);
                for (uint32_t f = 0; f < features; f++) wide[f] = (double)row[f];
                double came = distance_of(session, row), expected = formula(&made, features, wide);
                ER_CHECK(fabs(came - expected) <= 2e-5 * fabs(expected) + 1e-3);
                int closely = directions > 0 && (!triangular || features > 256);
                double ordered = closely ? closely_in_order(&made, features, row) : in_order(&made, features, row);
                ER_CHECK(memcmp(&came, &ordered, sizeof came) == 0);
            }
            erai_session_close(session);
        }
}

/* As a converter makes of columns that say the same: one direction of their variance, and in the others as little as it
 * allows, so that the distance is a small difference of large sums. */
static void columns_that_say_the_same_are_as_far_as_the_formula_says(void) {
    static drawn made;
    static const uint32_t sizes[] = {2, 15, 60, 300, 600};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t features = sizes[i];
        draw_rule(&made, features, 1, 0, 0);
        double rest = 9000.0 / features;
        made.rule.rest = (double)(float)rest;
        made.weights[0] = (float)(1.0 / features - rest);
        for (uint32_t f = 0; f < features; f++) made.projection[f] = (float)(1 / sqrt((double)features));
        erai_session *session = open_rule(&made, ERAI_DTYPE_FLOAT64, features, NULL);
        for (int times = 0; times < 50; times++) {
            double row[MOST], z = draw(-30, 30), apart = times % 2 ? 0 : 0.01 * z;
            for (uint32_t f = 0; f < features; f++) row[f] = made.mean[f] + (z + (f == 0 ? apart : 0)) / made.scale[f];
            double came = distance_of(session, row), expected = formula(&made, features, row);
            ER_CHECK(expected > 0.5 * z * z);
            ER_CHECK(fabs(came - expected) <= 0.01 * expected);
        }
        erai_session_close(session);
    }
}

static void every_type_gives_the_distance_of_its_values(void) {
    static drawn made;
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT64, ERAI_DTYPE_FLOAT16, ERAI_DTYPE_BFLOAT16, ERAI_DTYPE_INT8,
                                      ERAI_DTYPE_UINT8,   ERAI_DTYPE_INT16,   ERAI_DTYPE_UINT16,   ERAI_DTYPE_INT32,
                                      ERAI_DTYPE_UINT32,  ERAI_DTYPE_INT64,   ERAI_DTYPE_UINT64,   ERAI_DTYPE_BOOL};
    enum { FEATURES = 21 };
    draw_rule(&made, FEATURES, FEATURES, 1, 1);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        erai_session *session = open_rule(&made, dtypes[i], FEATURES, NULL);
        uint64_t row[FEATURES];
        double values[FEATURES];
        for (size_t f = 0; f < FEATURES; f++) er_write(row, dtypes[i], f, draw(-90, 90));
        for (size_t f = 0; f < FEATURES; f++) values[f] = er_value(row, dtypes[i], f);
        double came = distance_of(session, row), expected = formula(&made, FEATURES, values);
        ER_CHECK(fabs(came - expected) <= 2e-5 * expected);
        erai_session_close(session);
    }
}

static void the_reference_mean_has_no_distance_and_one_deviation_has_one(void) {
    static drawn made;
    draw_rule(&made, 3, 0, 0, 0);
    made.rule.rest = 1;
    erai_session *session = open_rule(&made, ERAI_DTYPE_FLOAT64, 3, NULL);
    double row[3] = {made.mean[0], made.mean[1], made.mean[2]};
    ER_CHECK(distance_of(session, row) == 0);
    row[1] += 1 / made.scale[1];
    ER_CHECK(fabs(distance_of(session, row) - 1) < 1e-5);
    erai_session_close(session);
}

static void missing_values_count_as_the_mean(void) {
    static drawn made;
    static const double sentinel[] = {-999};
    erai_check_rule checks[3] = {{0}, {.kind = ERAI_CHECK_MISSING, .values = sentinel, .count = 1, .limit = 0}, {0}};
    draw_rule(&made, 3, 3, 1, 1);
    erai_session *session = open_rule(&made, ERAI_DTYPE_FLOAT64, 3, checks);
    double row[3] = {1, made.mean[1], 3};
    double expected = distance_of(session, row);
    row[1] = -999;
    ER_CHECK(distance_of(session, row) == expected);
    row[1] = NAN;
    ER_CHECK(distance_of(session, row) == expected);
    row[0] = -999; /* a value like any other of this feature */
    ER_CHECK(distance_of(session, row) > expected);
    erai_session_close(session);
    static erai_check_rule many_checks[300]; /* more than are looked at at a time */
    static double many[300];
    many_checks[290] = checks[1];
    draw_rule(&made, 300, 2, 0, 1);
    session = open_rule(&made, ERAI_DTYPE_FLOAT64, 300, many_checks);
    for (int f = 0; f < 300; f++) many[f] = made.mean[f] + 1;
    many[290] = made.mean[290];
    expected = distance_of(session, many);
    many[290] = -999;
    ER_CHECK(distance_of(session, many) == expected);
    erai_session_close(session);
}

static void whatever_comes_the_distance_is_a_number_from_zero_or_infinite(void) {
    static drawn made;
    static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0, 1e-45f};
    draw_rule(&made, 9, 9, 0, -1);
    erai_session *session = open_rule(&made, ERAI_DTYPE_FLOAT32, 9, NULL);
    for (int times = 0; times < 500; times++) {
        float row[9];
        for (int f = 0; f < 9; f++) row[f] = odd[test_random() % 7];
        double came = distance_of(session, row);
        ER_CHECK(came >= 0 && isfinite(came));
    }
    erai_session_close(session);
    for (size_t i = 0; i < 81; i++) made.projection[i] = i % 2 ? FLT_MAX : -FLT_MAX; /* past what float32 can add */
    for (size_t k = 0; k < 9; k++) made.weights[k] = k % 2 ? 1 : -1;
    session = open_rule(&made, ERAI_DTYPE_FLOAT32, 9, NULL);
    const float row[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    ER_CHECK(distance_of(session, row) == (double)INFINITY);
    erai_session_close(session);
}

static void a_row_too_far_away_is_found(void) {
    static drawn made;
    draw_rule(&made, 4, 4, 1, 1);
    made.rule.threshold = 50;
    erai_session *session = open_rule(&made, ERAI_DTYPE_FLOAT32, 4, NULL);
    erai_answer *answer = NULL;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    float rows[2][4];
    for (int f = 0; f < 4; f++) rows[0][f] = rows[1][f] = (float)made.mean[f];
    rows[1][0] += 1000;
    const int64_t shape[] = {2, 4};
    const erai_tensor tensor = {.data = rows, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted = 0;
    ER_CHECK_INT(erai_admit(session, &tensor, 1, answer, &admitted), ERAI_OK);
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 1);
    ER_CHECK(reasons[0].row == 1 && reasons[0].code == ERAI_REASON_OUT_OF_DISTRIBUTION && reasons[0].limit == 50);
    ER_CHECK(reasons[0].value > 50);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_FLAG);
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(any_size_equals_the_formula_and_its_order_to_the_bit);
    ER_RUN(columns_that_say_the_same_are_as_far_as_the_formula_says);
    ER_RUN(every_type_gives_the_distance_of_its_values);
    ER_RUN(the_reference_mean_has_no_distance_and_one_deviation_has_one);
    ER_RUN(missing_values_count_as_the_mean);
    ER_RUN(whatever_comes_the_distance_is_a_number_from_zero_or_infinite);
    ER_RUN(a_row_too_far_away_is_found);
    return er_test_result();
}
