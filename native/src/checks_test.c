/* Every kind of check of a feature, row by row, straight from er_check_row: what validate.c finds is not here. Expected
 * values are worked out by hand or by a sum in another order and width. SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "er_test.h"
#include "test_checks.h"

/* The same of a row of one value a feature, whose other two are bad by any check. */
static size_t check_float(test_checks *rig, float value) {
    const float values[] = {NAN, value, NAN};
    return test_check(rig, values);
}

static size_t check_double(test_checks *rig, double value) {
    const double values[] = {(double)NAN, value, (double)NAN};
    return test_check(rig, values);
}

static size_t check_int64(test_checks *rig, int64_t value) {
    const int64_t values[] = {INT64_MIN, value, INT64_MAX};
    return test_check(rig, values);
}

/* The first reason of the last row. */
static int reason_is(const test_checks *rig, erai_reason_code code, double value, double limit, size_t element) {
    const erai_reason *reason = rig->answer->reasons;
    int same_value = reason->value == value || (isnan(reason->value) && isnan(value));
    int same_limit = reason->limit == limit || (isnan(reason->limit) && isnan(limit));
    return rig->answer->reason_count > 0 && reason->code == code && same_value && same_limit &&
           reason->element == element && reason->row == 0 && strcmp(reason->subject, "f1") == 0;
}

static test_layout column_of(uint32_t dtype, uint32_t flags) {
    return (test_layout){.dtype = dtype, .flags = flags, .outer = 1, .inner = 1};
}

/* ---- Sets ---- */

static void a_category_is_held_in_the_type_of_the_values(void) {
    const double categories[] = {-3, 0, 0.1, 7e30};
    const erai_check_rule rule = {.kind = ERAI_CHECK_CATEGORIES, .values = categories, .count = 4};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT32, 0), &rule, 1);
    ER_CHECK_INT(check_float(&rig, -3.0f) + check_float(&rig, 0.1f) + check_float(&rig, 7e30f), 0);
    ER_CHECK_INT(check_float(&rig, -0.0f) + check_float(&rig, 0.0f), 0);
    ER_CHECK_INT(check_float(&rig, nextafterf(0.1f, 1)), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_CATEGORY, (double)nextafterf(0.1f, 1), (double)NAN, 1));
    ER_CHECK_INT(rig.answer->verdict, ERAI_VERDICT_REJECT);
    const float others[] = {-4.0f, -2.0f, 1.0f, FLT_MAX, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < 7; i++) ER_CHECK_INT(check_float(&rig, others[i]), 1);
    test_checks_close(&rig);
    rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT64, 0), &rule, 1);
    ER_CHECK_INT(check_double(&rig, 0.1) + check_double(&rig, 7e30), 0);
    ER_CHECK_INT(check_double(&rig, (double)0.1f), 1);
    test_checks_close(&rig);
    const erai_check_rule of_halves = {.kind = ERAI_CHECK_CATEGORIES, .values = categories, .count = 3};
    rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT16, 0), &of_halves, 1);
    const uint16_t tenth[] = {0, 0x2E66, 0}, not_quite[] = {0, 0x2E67, 0}, infinite[] = {0, 0x7C00, 0};
    ER_CHECK_INT(test_check(&rig, tenth), 0);
    ER_CHECK_INT(test_check(&rig, not_quite), 1);
    ER_CHECK_INT(test_check(&rig, infinite), 1);
    test_checks_close(&rig);
}

static void integers_of_64_bits_are_compared_exactly(void) {
    const double signed_ones[] = {-0x1p63, -1, 0x1p53, 0x1p62}, unsigned_ones[] = {0x1p53, 0x1p62, 0x1p63};
    erai_check_rule rule = {.kind = ERAI_CHECK_CATEGORIES, .values = signed_ones, .count = 4};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_INT64, 0), &rule, 1);
    const int64_t in[] = {INT64_MIN, -1, (int64_t)1 << 53, (int64_t)1 << 62};
    const int64_t out[] = {INT64_MIN + 1, ((int64_t)1 << 53) + 1, ((int64_t)1 << 62) - 1, INT64_MAX, 0};
    for (size_t i = 0; i < 4; i++) ER_CHECK_INT(check_int64(&rig, in[i]), 0);
    for (size_t i = 0; i < 5; i++) ER_CHECK_INT(check_int64(&rig, out[i]), 1);
    test_checks_close(&rig);
    rule.values = unsigned_ones;
    rule.count = 3;
    rig = test_checks_open(column_of(ERAI_DTYPE_UINT64, 0), &rule, 1);
    const uint64_t exactly[] = {0, (uint64_t)1 << 63, 0}, last[] = {0, UINT64_MAX, 0};
    ER_CHECK_INT(test_check(&rig, exactly), 0);
    ER_CHECK_INT(test_check(&rig, last), 1);
    test_checks_close(&rig);
}

static void a_fraction_is_found_where_it_stands(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_INTEGRAL, .verdict = ERAI_VERDICT_FLAG};
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT32, .outer = 2, .inner = 4}, &rule, 1);
    float values[24];
    for (size_t i = 0; i < 24; i++) values[i] = 0.5f; /* of other features */
    for (size_t i = 0; i < 4; i++) values[4 + i] = values[16 + i] = -16777216.0f;
    ER_CHECK_INT(test_check(&rig, values), 0);
    values[18] = 2.5f;
    values[19] = 3.5f;
    ER_CHECK_INT(test_check(&rig, values), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_NOT_INTEGRAL, 2.5, (double)NAN, 18));
    ER_CHECK_INT(rig.answer->verdict, ERAI_VERDICT_FLAG);
    test_checks_close(&rig);
}

/* ---- Missing values ---- */

static void a_missing_value_is_skipped_by_every_other_check(void) {
    const double one[] = {1}, sentinel[] = {-999.1};
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_MISSING, .limit = (double)NAN},
                                     {.kind = ERAI_CHECK_CATEGORIES, .values = one, .count = 1},
                                     {.kind = ERAI_CHECK_INTEGRAL},
                                     {.kind = ERAI_CHECK_STUCK, .window = 2},
                                     {.kind = ERAI_CHECK_STEP, .limit = 0},
                                     {.kind = ERAI_CHECK_MEAN, .low = 1, .high = 1},
                                     {.kind = ERAI_CHECK_STDDEV, .low = 0, .high = 0},
                                     {.kind = ERAI_CHECK_CLIPPED, .low = 0, .high = 2},
                                     {.kind = ERAI_CHECK_MONOTONIC},
                                     {.kind = ERAI_CHECK_AGE, .low = -1, .high = -1, .limit = 1}};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT32, 0), rules, 10);
    for (int i = 0; i < 3; i++) ER_CHECK_INT(check_float(&rig, NAN), 0);
    ER_CHECK_INT(check_float(&rig, 1.0f), 0);
    ER_CHECK_INT(check_float(&rig, NAN), 0);
    ER_CHECK_INT(check_float(&rig, 1.0f), 1); /* the second in a row: what was missing did not come between */
    ER_CHECK(reason_is(&rig, ERAI_REASON_STUCK, 2, 2, 1));
    test_checks_close(&rig);
    erai_check_rule with_sentinel[10];
    memcpy(with_sentinel, rules, sizeof rules);
    with_sentinel[0].values = sentinel;
    with_sentinel[0].count = 1;
    rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT32, 0), with_sentinel, 10);
    ER_CHECK_INT(check_float(&rig, -999.1f), 0); /* as float32 holds it */
    ER_CHECK(check_float(&rig, NAN) > 4);        /* is no sentinel */
    test_checks_close(&rig);
}

static void missing_values_have_no_part_in_a_mean(void) {
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_MISSING, .limit = 0},
                                     {.kind = ERAI_CHECK_MEAN, .low = 2, .high = 3},
                                     {.kind = ERAI_CHECK_STEP, .limit = 1}};
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT64, .outer = 1, .inner = 5}, rules, 3);
    double values[15] = {0};
    const double mostly[] = {(double)NAN, 2, (double)NAN, 3, (double)NAN}, far[] = {(double)NAN, 2, (double)NAN, 5, 5};
    memcpy(values + 5, mostly, sizeof mostly);
    ER_CHECK_INT(test_check(&rig, values), 0);
    memcpy(values + 5, far, sizeof far);
    ER_CHECK_INT(test_check(&rig, values), 2);
    ER_CHECK(reason_is(&rig, ERAI_REASON_STEP, 3, 1, 8));
    ER_CHECK(rig.answer->reasons[1].code == ERAI_REASON_MEAN && rig.answer->reasons[1].value == 4.0);
    test_checks_close(&rig);
}

static void what_the_finite_rule_found_is_found_by_it_alone(void) {
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_MEAN, .low = 0, .high = 1}, {.kind = ERAI_CHECK_INTEGRAL}};
    const float values[] = {0, 0, NAN, 1, 0, 0};
    test_checks rig = test_checks_open(
        (test_layout){.dtype = ERAI_DTYPE_FLOAT32, .flags = ERAI_RULE_FINITE, .outer = 1, .inner = 2}, rules, 2);
    rig.row.in_order = 0;
    ER_CHECK_INT(test_check(&rig, values), 0);
    test_checks_close(&rig);
    rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT32, .outer = 1, .inner = 2}, rules, 2);
    ER_CHECK_INT(test_check(&rig, values), 2); /* without that rule it is no number between 0 and 1 */
    ER_CHECK(rig.answer->reasons[1].code == ERAI_REASON_MEAN && isnan(rig.answer->reasons[1].value));
    test_checks_close(&rig);
}

/* ---- From row to row ---- */

static void rows_with_the_same_bits_are_stuck_from_the_window_on(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_STUCK, .window = 3};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT32, 0), &rule, 1);
    ER_CHECK_INT(check_float(&rig, 5.0f) + check_float(&rig, 5.0f), 0);
    for (int i = 3; i < 6; i++) {
        ER_CHECK_INT(check_float(&rig, 5.0f), 1);
        ER_CHECK(reason_is(&rig, ERAI_REASON_STUCK, i, 3, 1));
    }
    ER_CHECK_INT(check_float(&rig, 0.0f) + check_float(&rig, -0.0f) + check_float(&rig, 0.0f), 0);
    ER_CHECK_INT(check_float(&rig, 1.0f) + check_float(&rig, 1.0f), 0);
    rig.row.in_order = 0;
    ER_CHECK_INT(check_float(&rig, 2.0f) + check_float(&rig, 2.0f) + check_float(&rig, 2.0f), 0); /* not remembered */
    rig.row.in_order = 1;
    ER_CHECK_INT(check_float(&rig, 1.0f), 1);
    erai_session_reset(rig.session);
    ER_CHECK_INT(check_float(&rig, 1.0f) + check_float(&rig, 1.0f), 0);
    test_checks_close(&rig);
}

static void a_step_is_found_once_where_the_level_changed(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_STEP, .limit = 0.5};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT64, 0), &rule, 1);
    ER_CHECK_INT(check_double(&rig, 100) + check_double(&rig, 100.5) + check_double(&rig, 100), 0);
    ER_CHECK_INT(check_double(&rig, 97), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_STEP, 3, 0.5, 1));
    ER_CHECK_INT(check_double(&rig, 97), 0);
    rig.row.in_order = 0;
    ER_CHECK_INT(check_double(&rig, 1000), 1); /* judged, and forgotten */
    rig.row.in_order = 1;
    ER_CHECK_INT(check_double(&rig, 97.25), 0);
    ER_CHECK_INT(check_double(&rig, (double)NAN), 1);
    ER_CHECK_INT(check_double(&rig, 97.5), 0); /* what is no number is not remembered */
    erai_session_reset(rig.session);
    ER_CHECK_INT(check_double(&rig, -1e9), 0);
    test_checks_close(&rig);
}

static void steps_within_a_row_count_too(void) {
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_STEP, .limit = 1}, {.kind = ERAI_CHECK_MONOTONIC}};
    static int16_t values[300 * TEST_CHECKED_FEATURES];
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_INT16, .outer = 300, .inner = 1}, rules, 2);
    for (int i = 0; i < 300; i++) values[i * TEST_CHECKED_FEATURES + 1] = (int16_t)i;
    ER_CHECK_INT(test_check(&rig, values), 0);
    ER_CHECK_INT(test_check(&rig, values), 2); /* from 299 back to 0 */
    ER_CHECK(reason_is(&rig, ERAI_REASON_STEP, 299, 1, 1));
    ER_CHECK(rig.answer->reasons[1].code == ERAI_REASON_NOT_MONOTONIC && rig.answer->reasons[1].limit == 299.0);
    erai_session_reset(rig.session);
    values[256 * TEST_CHECKED_FEATURES + 1] = 258; /* the first value of the second block */
    ER_CHECK_INT(test_check(&rig, values), 2);
    ER_CHECK(reason_is(&rig, ERAI_REASON_STEP, 3, 1, 256 * TEST_CHECKED_FEATURES + 1));
    ER_CHECK(rig.answer->reasons[1].element == 257 * TEST_CHECKED_FEATURES + 1 &&
             rig.answer->reasons[1].value == 257.0);
    test_checks_close(&rig);
}

static void what_goes_back_is_refused_until_it_has_caught_up(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_MONOTONIC};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_INT64, 0), &rule, 1);
    ER_CHECK_INT(check_int64(&rig, 1000) + check_int64(&rig, 1000) + check_int64(&rig, 2000), 0);
    for (int64_t value = 500; value < 2000; value += 500) {
        ER_CHECK_INT(check_int64(&rig, value), 1);
        ER_CHECK(reason_is(&rig, ERAI_REASON_NOT_MONOTONIC, (double)value, 2000, 1));
    }
    ER_CHECK_INT(check_int64(&rig, 2000), 0);
    rig.row.in_order = 0;
    ER_CHECK_INT(check_int64(&rig, INT64_MAX), 0);
    rig.row.in_order = 1;
    ER_CHECK_INT(check_int64(&rig, 2001), 0);
    test_checks_close(&rig);
    rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_INT8, .outer = 1, .inner = 2}, &rule, 1);
    const int8_t low[] = {0, 0, 1, 2, 0, 0}, broken[] = {0, 0, 9, 8, 0, 0}, next[] = {0, 0, 3, 3, 0, 0};
    ER_CHECK_INT(test_check(&rig, low), 0);
    ER_CHECK_INT(test_check(&rig, broken), 1);
    ER_CHECK_INT(test_check(&rig, next), 0); /* what came before the break is not remembered either */
    test_checks_close(&rig);
}

/* ---- The row as a whole ---- */

static int close_to(double actual, double expected, double relative) {
    return fabs(actual - expected) <= relative * fabs(expected);
}

/* Values around 1e9 with a spread of 1e-3: their squares have no digit left for it. */
static void means_and_deviations_are_stable(void) {
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_MEAN, .low = 0, .high = 1},
                                     {.kind = ERAI_CHECK_STDDEV, .low = 1, .high = 2}};
    enum { SIZE = 1003 };
    static const size_t layouts[][2] = {{1, SIZE}, {SIZE, 1}, {17, 59}};
    static double values[SIZE * TEST_CHECKED_FEATURES];
    for (size_t test = 0; test < 3; test++) {
        size_t outer = layouts[test][0], inner = layouts[test][1];
        test_checks rig =
            test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT64, .outer = outer, .inner = inner}, rules, 2);
        long double sum = 0, squares = 0;
        for (size_t k = 0; k < SIZE; k++) {
            double value = 1e9 + (double)(k * 7919 % SIZE) * 1e-3 / SIZE;
            values[(k / inner * TEST_CHECKED_FEATURES + 1) * inner + k % inner] = value;
            sum += (long double)value - 1e9L;
        }
        for (size_t k = 0; k < SIZE; k++) {
            long double d =
                (long double)values[(k / inner * TEST_CHECKED_FEATURES + 1) * inner + k % inner] - 1e9L - sum / SIZE;
            squares += d * d;
        }
        ER_CHECK_INT(test_check(&rig, values), 2);
        const erai_reason *reasons = rig.answer->reasons;
        ER_CHECK(reasons[0].code == ERAI_REASON_MEAN && reasons[0].limit == 1.0 && reasons[0].element == inner);
        ER_CHECK(close_to(reasons[0].value, 1e9 + (double)(sum / SIZE), 2e-16));
        ER_CHECK(reasons[1].code == ERAI_REASON_STDDEV && reasons[1].limit == 1.0);
        ER_CHECK(close_to(reasons[1].value, sqrt((double)(squares / SIZE)), 1e-9));
        test_checks_close(&rig);
    }
}

static void a_constant_channel_has_no_deviation_at_all(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_STDDEV, .low = DBL_MIN, .high = (double)INFINITY};
    static double values[5000 * TEST_CHECKED_FEATURES];
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT64, .outer = 5000, .inner = 1}, &rule, 1);
    for (size_t i = 0; i < 5000 * TEST_CHECKED_FEATURES; i++) values[i] = 1234.1;
    ER_CHECK_INT(test_check(&rig, values), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_STDDEV, 0, DBL_MIN, 1));
    values[1] = nextafter(1234.1, 0); /* the others are 1234.1 still */
    ER_CHECK_INT(test_check(&rig, values), 0);
    test_checks_close(&rig);
}

static void the_share_of_clipped_values_is_counted(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_CLIPPED, .low = 0, .high = 255, .limit = 0.25};
    static uint8_t values[400 * TEST_CHECKED_FEATURES];
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_UINT8, .outer = 1, .inner = 400}, &rule, 1);
    for (size_t i = 0; i < 400; i++) values[400 + i] = (uint8_t)(i < 60 ? 0 : i < 100 ? 255 : 1 + i % 254);
    ER_CHECK_INT(test_check(&rig, values), 0);
    values[799] = 255;
    ER_CHECK_INT(test_check(&rig, values), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_CLIPPED, 101.0 / 400, 0.25, 400));
    test_checks_close(&rig);
}

static void clipping_bounds_are_held_in_the_type_of_the_values(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_CLIPPED, .low = -(double)INFINITY, .high = 0.95, .limit = 0};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT32, 0), &rule, 1);
    ER_CHECK_INT(check_float(&rig, 0.95f), 1); /* which is below 0.95 */
    ER_CHECK_INT(check_float(&rig, nextafterf(0.95f, 0)), 0);
    ER_CHECK_INT(check_float(&rig, -FLT_MAX), 0);
    test_checks_close(&rig);
}

static void the_age_of_a_timestamp_is_exact_to_a_microsecond(void) {
    const int64_t now = 1800000000123456789;
    const erai_check_rule rule = {.kind = ERAI_CHECK_AGE, .low = -1e-6, .high = 0.5, .limit = 1e-9};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_INT64, 0), &rule, 1);
    rig.row.unix_ns = now;
    ER_CHECK_INT(check_int64(&rig, now) + check_int64(&rig, now - 499999000) + check_int64(&rig, now + 500), 0);
    ER_CHECK_INT(check_int64(&rig, now - 500001000), 1);
    ER_CHECK(rig.answer->reasons[0].code == ERAI_REASON_AGE && rig.answer->reasons[0].limit == 0.5);
    ER_CHECK(fabs(rig.answer->reasons[0].value - 0.500001) < 5e-7);
    ER_CHECK_INT(check_int64(&rig, now + 2000), 1);
    ER_CHECK(rig.answer->reasons[0].limit == -1e-6 && fabs(rig.answer->reasons[0].value + 2e-6) < 5e-7);
    const int64_t extremes[] = {INT64_MIN, INT64_MAX, 0, -1};
    for (size_t i = 0; i < 4; i++) ER_CHECK_INT(check_int64(&rig, extremes[i]), 1);
    test_checks_close(&rig);
    rig = test_checks_open(column_of(ERAI_DTYPE_UINT64, 0), &rule, 1);
    rig.row.unix_ns = now;
    const uint64_t then[] = {0, (uint64_t)now, 0}, last[] = {0, UINT64_MAX, 0};
    ER_CHECK_INT(test_check(&rig, then), 0);
    ER_CHECK_INT(test_check(&rig, last), 1);
    test_checks_close(&rig);
}

/* The product needs 54 bits. */
static void no_digit_of_a_product_is_lost(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_AGE, .low = 0, .high = 1, .limit = 3};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT64, 0), &rule, 1);
    rig.row.unix_ns = (int64_t)1800000000 * 1000000000;
    ER_CHECK_INT(check_double(&rig, 600000000 + 0x1p-23), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_AGE, -3 * 0x1p-23, 0, 1));
    test_checks_close(&rig);
}

static void ages_are_of_the_last_value_in_its_own_unit(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_AGE, .low = 0, .high = 86400, .limit = 86400};
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT64, .outer = 2, .inner = 2}, &rule, 1);
    double days[12] = {0};
    rig.row.unix_ns = 20000 * (int64_t)86400 * 1000000000;
    days[9] = 19999.5;
    ER_CHECK_INT(test_check(&rig, days), 0);
    days[9] = 19998.5;
    ER_CHECK_INT(test_check(&rig, days), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_AGE, 1.5 * 86400, 86400, 9));
    const double others[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, DBL_MAX, -DBL_MAX};
    for (size_t i = 0; i < 5; i++) {
        days[9] = others[i];
        ER_CHECK_INT(test_check(&rig, days), 1);
    }
    rig.row.unix_ns = -1; /* a clock before 1970 */
    days[9] = -1e-9 / 86400;
    ER_CHECK_INT(test_check(&rig, days), 0);
    test_checks_close(&rig);
}

/* ---- Strings ---- */

static size_t check_text(test_checks *rig, const char *bytes, size_t size) {
    const erai_string values[] = {{"\xFF", 1}, {bytes, size}, {"\xFF", 1}};
    return test_check(rig, values);
}

static void strings_are_found_in_their_set_byte_by_byte(void) {
    const char *const texts[] = {"", "a", "blau", "gr\xC3\xBCn"};
    const erai_check_rule rule = {.kind = ERAI_CHECK_CATEGORIES, .texts = texts, .count = 4};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_STRING, 0), &rule, 1);
    ER_CHECK_INT(check_text(&rig, NULL, 0) + check_text(&rig, "a", 1) + check_text(&rig, "blaues", 4), 0);
    ER_CHECK_INT(check_text(&rig, "gr\xC3\xBCn", 5), 0);
    ER_CHECK_INT(check_text(&rig, "a\0", 2), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_CATEGORY, (double)NAN, (double)NAN, 1));
    ER_CHECK_INT(check_text(&rig, "A", 1) + check_text(&rig, "bla", 3) + check_text(&rig, "\xFF", 1), 3);
    test_checks_close(&rig);
}

static void characters_and_their_number_have_limits(void) {
    const double ranges[] = {'a', 'z', 0x400, 0x4FF, ' ', ' '};
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_LENGTH, .low = 1, .high = 5},
                                     {.kind = ERAI_CHECK_CHARACTERS, .values = ranges, .count = 6}};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_STRING, 0), rules, 2);
    ER_CHECK_INT(check_text(&rig, "a \xD0\xBC\xD0\xB8z", 7), 0); /* five code points */
    ER_CHECK_INT(check_text(&rig, NULL, 0), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_LENGTH, 0, 1, 1));
    ER_CHECK_INT(check_text(&rig, "aaaaaa", 6), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_LENGTH, 6, 5, 1));
    ER_CHECK_INT(check_text(&rig, "a\xC3\xBC{", 4), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_CHARACTER, 0xFC, (double)NAN, 1));
    ER_CHECK_INT(check_text(&rig, "a\xD0", 2), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_CHARACTER, -1, (double)NAN, 1));
    ER_CHECK_INT(check_text(&rig, "\0", 1), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_CHARACTER, 0, (double)NAN, 1));
    test_checks_close(&rig);
}

static void strings_are_stuck_when_each_of_them_is(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_STUCK, .window = 2, .verdict = ERAI_VERDICT_FLAG};
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_STRING, .outer = 1, .inner = 2}, &rule, 1);
    erai_string values[] = {{"x", 1}, {"y", 1}, {"ab", 2}, {"c", 1}, {NULL, 0}, {NULL, 0}};
    ER_CHECK_INT(test_check(&rig, values), 0);
    char copy[] = "abc"; /* other addresses, and another other feature */
    values[0] = (erai_string){"z", 1};
    values[2] = (erai_string){copy, 2};
    ER_CHECK_INT(test_check(&rig, values), 1);
    ER_CHECK(reason_is(&rig, ERAI_REASON_STUCK, 2, 2, 2));
    ER_CHECK_INT(rig.answer->verdict, ERAI_VERDICT_FLAG);
    values[2] = (erai_string){copy, 1};
    values[3] = (erai_string){copy + 1, 2};
    ER_CHECK_INT(test_check(&rig, values), 0);
    test_checks_close(&rig);
}

/* ---- Rows ---- */

static void each_check_gives_one_reason_a_row_at_its_first_value(void) {
    const double one[] = {1};
    const erai_check_rule rules[] = {
        {.kind = ERAI_CHECK_CATEGORIES, .verdict = ERAI_VERDICT_FLAG, .values = one, .count = 1},
        {.kind = ERAI_CHECK_INTEGRAL, .verdict = ERAI_VERDICT_FLAG},
        {.kind = ERAI_CHECK_STEP, .limit = 0.1}};
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT64, .outer = 1, .inner = 600}, rules, 3);
    static double values[600 * TEST_CHECKED_FEATURES];
    for (size_t i = 0; i < 600 * TEST_CHECKED_FEATURES; i++) values[i] = i % 2 ? 1.5 : 1.0;
    ER_CHECK_INT(test_check(&rig, values), 3);
    ER_CHECK_INT(test_check(&rig, values), 3); /* and again in the next row */
    for (size_t i = 0; i < 3; i++) ER_CHECK_INT(rig.answer->reasons[i].element, i < 2 ? 601 : 600);
    ER_CHECK_INT(rig.answer->verdict, ERAI_VERDICT_REJECT);
    test_checks_close(&rig);
}

static void a_far_row_is_out_of_distribution(void) {
    static const double mean[] = {1, 1, 1}, scale[] = {1, 1, 2};
    const erai_distance_rule rule = {.struct_size = sizeof rule,
                                     .mean = mean,
                                     .scale = scale,
                                     .verdict = ERAI_VERDICT_FLAG,
                                     .rest = 1,
                                     .threshold = 5};
    test_layout layout = column_of(ERAI_DTYPE_FLOAT32, ERAI_RULE_FINITE);
    layout.distance = &rule;
    test_checks rig = test_checks_open(layout, NULL, 0);
    const float near[] = {1, 2, 2}, far[] = {1, 2, 2.25f}, infinite[] = {1, INFINITY, 1},
                huge[] = {FLT_MAX, FLT_MAX, -FLT_MAX};
    ER_CHECK_INT(test_check(&rig, near), 0); /* 0 + 1 + 4 */
    ER_CHECK_INT(test_check(&rig, far), 1);
    const erai_reason *reason = rig.answer->reasons;
    ER_CHECK(reason->code == ERAI_REASON_OUT_OF_DISTRIBUTION && reason->value == 7.25 && reason->limit == 5.0);
    ER_CHECK_STR(reason->subject, "x");
    ER_CHECK_INT(rig.answer->verdict, ERAI_VERDICT_FLAG);
    ER_CHECK_INT(test_check(&rig, huge), 1);
    ER_CHECK_INT(test_check(&rig, infinite), 1);
    ER_CHECK_INT(er_answer_begin(rig.answer, 1, ERAI_VERDICT_ACCEPT), ERAI_OK);
    er_answer_find(rig.answer, ERAI_VERDICT_REJECT, (erai_reason){.subject = "f1", .code = ERAI_REASON_NOT_FINITE});
    er_check_row(rig.answer, &rig.row);
    ER_CHECK_INT(rig.answer->reason_count, 1); /* of a row that is not finite anyway nothing more is said */
    test_checks_close(&rig);
}

static void an_empty_row_passes(void) {
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_STUCK, .window = 2},
                                     {.kind = ERAI_CHECK_MEAN, .low = 0, .high = 1},
                                     {.kind = ERAI_CHECK_AGE, .low = 0, .high = 1, .limit = 1}};
    test_checks rig = test_checks_open(column_of(ERAI_DTYPE_FLOAT32, 0), rules, 3);
    rig.row.outer = 0;
    for (int i = 0; i < 3; i++) ER_CHECK_INT(test_check(&rig, NULL), 0);
    test_checks_close(&rig);
}

int main(void) {
    ER_RUN(a_category_is_held_in_the_type_of_the_values);
    ER_RUN(integers_of_64_bits_are_compared_exactly);
    ER_RUN(a_fraction_is_found_where_it_stands);
    ER_RUN(a_missing_value_is_skipped_by_every_other_check);
    ER_RUN(missing_values_have_no_part_in_a_mean);
    ER_RUN(what_the_finite_rule_found_is_found_by_it_alone);
    ER_RUN(rows_with_the_same_bits_are_stuck_from_the_window_on);
    ER_RUN(a_step_is_found_once_where_the_level_changed);
    ER_RUN(steps_within_a_row_count_too);
    ER_RUN(what_goes_back_is_refused_until_it_has_caught_up);
    ER_RUN(means_and_deviations_are_stable);
    ER_RUN(a_constant_channel_has_no_deviation_at_all);
    ER_RUN(the_share_of_clipped_values_is_counted);
    ER_RUN(clipping_bounds_are_held_in_the_type_of_the_values);
    ER_RUN(the_age_of_a_timestamp_is_exact_to_a_microsecond);
    ER_RUN(no_digit_of_a_product_is_lost);
    ER_RUN(ages_are_of_the_last_value_in_its_own_unit);
    ER_RUN(strings_are_found_in_their_set_byte_by_byte);
    ER_RUN(characters_and_their_number_have_limits);
    ER_RUN(strings_are_stuck_when_each_of_them_is);
    ER_RUN(each_check_gives_one_reason_a_row_at_its_first_value);
    ER_RUN(a_far_row_is_out_of_distribution);
    ER_RUN(an_empty_row_passes);
    return er_test_result();
}
