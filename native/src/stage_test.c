/* What a model is given: missing values as their rules say, rejected rows as stand-ins, all else as it came.
 * SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <math.h>

#include "er_test.h"
#include "test_input.h"
#include "values.h"

enum { FEATURES = 3 };

typedef struct rig {
    erai_session *session;
    erai_answer *answer;
    int64_t shape[3];
    erai_tensor tensor, staged;
} rig;

/* Rows of `inner` values of each of the features. */
static rig open_rig(uint32_t dtype, const erai_feature_rule *features, const erai_check_rule *checks, int64_t inner) {
    const int64_t shape[] = {-1, FEATURES, inner}, most[] = {9, FEATURES, inner};
    const test_input input = {.batched = 1,
                              .rule = {.shape = shape,
                                       .max_shape = most,
                                       .rank = 3,
                                       .dtype = dtype,
                                       .flags = ERAI_RULE_FINITE | ERAI_RULE_EMPTY,
                                       .feature_axis = 1,
                                       .sketch_stride = 1},
                              .features = features,
                              .checks = checks};
    rig made = {.session = test_input_open(&input), .shape = {1, FEATURES, inner}};
    ER_CHECK_INT(erai_answer_open(made.session, &made.answer), ERAI_OK);
    return made;
}

static void close_rig(rig *of) {
    erai_answer_close(of->answer);
    erai_session_close(of->session);
}

static size_t admit(rig *of, uint32_t dtype, const void *values, int64_t rows) {
    size_t admitted = 99;
    of->shape[0] = rows;
    of->tensor = (erai_tensor){.data = values, .shape = of->shape, .rank = 3, .dtype = dtype};
    ER_CHECK_INT(erai_admit(of->session, &of->tensor, 1, of->answer, &admitted), ERAI_OK);
    return admitted;
}

static const void *stage(rig *of, uint64_t reasons, int shift) {
    ER_CHECK_INT(er_stage(of->answer, 0, reasons, shift, &of->staged), ERAI_OK);
    ER_CHECK(of->staged.rank == 3 && of->staged.shape[0] == of->shape[0] && of->staged.dtype == of->tensor.dtype);
    ER_CHECK(of->staged.data != of->tensor.data);
    return of->staged.data;
}

static const erai_feature_rule means[FEATURES] = {{.low = 0, .high = 10, .mean = 2.5},
                                                  {.low = -INFINITY, .high = 9.5, .mean = 9.25},
                                                  {.low = 3, .high = INFINITY, .mean = -1}};

static void a_rejected_row_becomes_the_means_and_its_neighbours_stay(void) {
    rig of = open_rig(ERAI_DTYPE_FLOAT32, means, NULL, 2);
    const float rows[3][6] = {{1, 2, 3, 4, 5, 6}, {NAN, 2, 3, 4, 5, 6}, {-0.0f, 1e-45f, 3, 4, 5, 6}};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, rows, 3), 2);
    const float *staged = stage(&of, UINT64_MAX, 0), stand_in[] = {2.5f, 2.5f, 9.25f, 9.25f, 3, 3};
    ER_CHECK(memcmp(staged, rows[0], sizeof rows[0]) == 0 && memcmp(staged + 12, rows[2], sizeof rows[2]) == 0);
    ER_CHECK(memcmp(staged + 6, stand_in, sizeof stand_in) == 0); /* the last mean kept to its limits */
    const float other[] = {3.5f, 3.5f, 9.5f, 9.5f, 4, 4};
    staged = stage(&of, UINT64_MAX, 1);
    ER_CHECK(memcmp(staged + 6, other, sizeof other) == 0);
    close_rig(&of);
}

static void only_rows_rejected_for_a_stated_reason_are_replaced(void) {
    rig of = open_rig(ERAI_DTYPE_FLOAT32, means, NULL, 1);
    const float rows[2][3] = {{NAN, 2, 5}, {11, 2, 5}};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, rows, 2), 0);
    const float *staged = stage(&of, (uint64_t)1 << ERAI_REASON_NOT_FINITE, 0);
    ER_CHECK(staged[0] == 2.5f && memcmp(staged + 3, rows[1], sizeof rows[1]) == 0);
    staged = stage(&of, (uint64_t)1 << ERAI_REASON_ABOVE_RANGE, 0);
    ER_CHECK(isnan(staged[0]) && staged[3] == 2.5f);
    close_rig(&of);
}

static void missing_values_become_what_their_rule_says(void) {
    static const double sentinel[] = {-99};
    const erai_feature_rule any[FEATURES] = {
        {.low = -100, .high = 100}, {.low = -100, .high = 100}, {.low = -100, .high = 100}};
    const erai_check_rule checks[FEATURES] = {
        {.kind = ERAI_CHECK_MISSING, .limit = 7.5},
        {.kind = ERAI_CHECK_MISSING, .limit = 8, .values = sentinel, .count = 1, .verdict = ERAI_VERDICT_FLAG},
        {.kind = ERAI_CHECK_MISSING, .limit = NAN}};
    rig of = open_rig(ERAI_DTYPE_FLOAT32, any, checks, 2);
    const float rows[2][6] = {{NAN, 1, -99, 2, NAN, 3}, {-99, NAN, NAN, 2, 3, 4}};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, rows, 2), 1);
    const float *staged = stage(&of, UINT64_MAX, 0), expected[] = {7.5f, 1, 8, 2};
    ER_CHECK(memcmp(staged, expected, sizeof expected) == 0 && isnan(staged[4]) && staged[5] == 3);
    ER_CHECK(staged[6] == 0 && staged[11] == 0);              /* NaN is not what says missing in the second: rejected */
    staged = stage(&of, (uint64_t)1 << ERAI_REASON_STUCK, 0); /* not replaced, but what is missing in it is */
    ER_CHECK(staged[6] == -99 && staged[7] == 7.5f && isnan(staged[8]) && staged[9] == 2);
    close_rig(&of);
}

static void stand_ins_of_integers_are_whole_and_within_type_and_limits(void) {
    static const uint32_t dtypes[] = {ERAI_DTYPE_INT8,  ERAI_DTYPE_UINT8,  ERAI_DTYPE_INT16, ERAI_DTYPE_UINT16,
                                      ERAI_DTYPE_INT32, ERAI_DTYPE_UINT32, ERAI_DTYPE_INT64, ERAI_DTYPE_UINT64};
    const erai_feature_rule rules[FEATURES] = {{.low = 0.5, .high = 9.5, .mean = 2.6},
                                               {.low = 1, .high = 1, .mean = 7},
                                               {.low = -INFINITY, .high = 100, .mean = 1e30}};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        rig of = open_rig(dtypes[i], rules, NULL, 1);
        uint64_t row[FEATURES];
        for (size_t f = 0; f < FEATURES; f++) er_write(row, dtypes[i], f, 101);
        ER_CHECK_INT(admit(&of, dtypes[i], row, 1), 0);
        const void *staged = stage(&of, UINT64_MAX, 0);
        ER_CHECK(er_value(staged, dtypes[i], 0) == 3 && er_value(staged, dtypes[i], 1) == 1);
        ER_CHECK(er_value(staged, dtypes[i], 2) == 100);
        staged = stage(&of, UINT64_MAX, 1);
        ER_CHECK(er_value(staged, dtypes[i], 0) == 4 && er_value(staged, dtypes[i], 1) == 1);
        ER_CHECK(er_value(staged, dtypes[i], 2) == 99);
        close_rig(&of);
    }
}

static void stand_ins_of_small_floats_stay_finite(void) {
    const erai_feature_rule rules[FEATURES] = {{.low = -INFINITY, .high = INFINITY, .mean = 1e300},
                                               {.low = -INFINITY, .high = INFINITY, .mean = -1e300},
                                               {.low = -INFINITY, .high = INFINITY}};
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT16, ERAI_DTYPE_BFLOAT16, ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64};
    for (size_t i = 0; i < 4; i++) {
        rig of = open_rig(dtypes[i], rules, NULL, 1);
        uint64_t row[FEATURES];
        for (size_t f = 0; f < FEATURES; f++) er_write(row, dtypes[i], f, (double)NAN);
        ER_CHECK_INT(admit(&of, dtypes[i], row, 1), 0);
        const void *staged = stage(&of, UINT64_MAX, 0);
        ER_CHECK(isfinite(er_value(staged, dtypes[i], 0)) && er_value(staged, dtypes[i], 0) > 6e4);
        ER_CHECK(isfinite(er_value(staged, dtypes[i], 1)) && er_value(staged, dtypes[i], 1) < -6e4);
        ER_CHECK(er_value(staged, dtypes[i], 2) == 0);
        close_rig(&of);
    }
}

static void stand_ins_are_categories_where_there_are_some(void) {
    static const double categories[] = {-4, 0.5, 3};
    const erai_check_rule checks[FEATURES] = {
        {.kind = ERAI_CHECK_CATEGORIES, .verdict = ERAI_VERDICT_REJECT, .values = categories, .count = 3},
        {.kind = ERAI_CHECK_CATEGORIES, .verdict = ERAI_VERDICT_REJECT, .values = categories, .count = 1},
        {.kind = ERAI_CHECK_INTEGRAL, .verdict = ERAI_VERDICT_REJECT}};
    const erai_feature_rule rules[FEATURES] = {{.low = -INFINITY, .high = INFINITY, .mean = 2},
                                               {.low = -INFINITY, .high = INFINITY, .mean = 2},
                                               {.low = -INFINITY, .high = INFINITY, .mean = 2.75}};
    rig of = open_rig(ERAI_DTYPE_FLOAT32, rules, checks, 1);
    const float row[FEATURES] = {NAN, 1, 1.5f};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, row, 1), 0);
    const float *staged = stage(&of, UINT64_MAX, 0);
    ER_CHECK(staged[0] == 3 && staged[1] == -4 && staged[2] == 3);
    staged = stage(&of, UINT64_MAX, 1);
    ER_CHECK(staged[0] == -4 && staged[1] == -4 && staged[2] == 4);
    close_rig(&of);
}

static int is_text(const erai_string *string, const char *text) {
    return string->size == strlen(text) && memcmp(string->bytes, text, string->size) == 0;
}

static void strings_become_their_stand_in_or_the_first_category(void) {
    static const char *const texts[] = {"blue", "red"};
    const erai_check_rule checks[FEATURES] = {
        {.kind = ERAI_CHECK_CATEGORIES, .verdict = ERAI_VERDICT_REJECT, .texts = texts, .count = 2},
        {.kind = ERAI_CHECK_CATEGORIES, .verdict = ERAI_VERDICT_REJECT, .texts = texts, .count = 2},
        {0}};
    const erai_feature_rule rules[FEATURES] = {{.low = -INFINITY, .high = INFINITY},
                                               {.low = -INFINITY, .high = INFINITY, .stand_in = "red"},
                                               {.low = -INFINITY, .high = INFINITY}};
    rig of = open_rig(ERAI_DTYPE_STRING, rules, checks, 1);
    const erai_string rows[2][FEATURES] = {{{"red", 3}, {"red", 3}, {"x", 1}}, {{"green", 5}, {"red", 3}, {"x", 1}}};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_STRING, rows, 2), 1);
    const erai_string *staged = stage(&of, UINT64_MAX, 0);
    ER_CHECK(is_text(&staged[0], "red") && is_text(&staged[2], "x"));
    ER_CHECK(is_text(&staged[3], "blue") && is_text(&staged[4], "red") && is_text(&staged[5], ""));
    staged = stage(&of, UINT64_MAX, 1);
    ER_CHECK(is_text(&staged[3], "red") && is_text(&staged[4], "blue"));
    close_rig(&of);
}

static void no_rows_are_staged_as_none(void) {
    rig of = open_rig(ERAI_DTYPE_FLOAT32, means, NULL, 1);
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, NULL, 0), 0);
    stage(&of, UINT64_MAX, 0);
    close_rig(&of);
}

int main(void) {
    ER_RUN(a_rejected_row_becomes_the_means_and_its_neighbours_stay);
    ER_RUN(only_rows_rejected_for_a_stated_reason_are_replaced);
    ER_RUN(missing_values_become_what_their_rule_says);
    ER_RUN(stand_ins_of_integers_are_whole_and_within_type_and_limits);
    ER_RUN(stand_ins_of_small_floats_stay_finite);
    ER_RUN(stand_ins_are_categories_where_there_are_some);
    ER_RUN(strings_become_their_stand_in_or_the_first_category);
    ER_RUN(no_rows_are_staged_as_none);
    return er_test_result();
}
