/* Every row against a plain reference: tensors of every type and layout, with whatever values, under rules of every
 * kind. The reference looks at one value at a time, in C's own arithmetic. SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "er_test.h"
#include "test_input.h"
#include "values.h"

static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64, ERAI_DTYPE_FLOAT16, ERAI_DTYPE_BFLOAT16,
                                  ERAI_DTYPE_INT8,    ERAI_DTYPE_UINT8,   ERAI_DTYPE_INT16,   ERAI_DTYPE_UINT16,
                                  ERAI_DTYPE_INT32,   ERAI_DTYPE_UINT32,  ERAI_DTYPE_INT64,   ERAI_DTYPE_UINT64,
                                  ERAI_DTYPE_BOOL};
enum { DTYPES = sizeof dtypes / sizeof *dtypes, MOST_FEATURES = 600, MOST_VALUES = 20000, BINS = 6 };

static double draw(double from, double to) {
    return from + (to - from) * (double)(test_random() >> 11) * 0x1p-53;
}

/* From 0 to below `count`. */
static size_t pick(size_t count) {
    return (size_t)(test_random() % count);
}

/* ---- One random input and its rules ---- */

typedef struct subject {
    int64_t shape[4], given[4];
    test_input input;
    erai_feature_rule features[MOST_FEATURES];
    erai_check_rule checks[MOST_FEATURES];
    double edges[BINS - 1], sentinel[1];
    uint64_t counts[BINS];
    size_t rows, outer, count, inner; /* of a row; `count` features */
    uint64_t values[MOST_VALUES];     /* room for any type */
} subject;

/* Limits that lie on values of the type, between them, and far beyond what float64 holds exactly. */
static double draw_limit(void) {
    static const double some[] = {0, 1, -3, 2.5, 100, -100, 0.1, 0x1p53, 0x1p53 + 2, -0x1p62, 0x1p63, 65504};
    return some[pick(sizeof some / sizeof *some)];
}

static void draw_features(subject *of, uint32_t dtype) {
    int is_signed = er_is_float(dtype) || dtype == ERAI_DTYPE_INT8 || dtype == ERAI_DTYPE_INT16 ||
                    dtype == ERAI_DTYPE_INT32 || dtype == ERAI_DTYPE_INT64;
    for (int i = 0; i < BINS - 1; i++) of->edges[i] = 2.5 * i - 4;
    for (int i = 0; i < BINS; i++) of->counts[i] = 10;
    of->sentinel[0] = pick(2) || !is_signed ? 1 : -99;
    for (size_t f = 0; f < of->count; f++) {
        double one = draw_limit(), other = draw_limit();
        erai_feature_rule *feature = &of->features[f];
        *feature = (erai_feature_rule){.low = fmin(one, other),
                                       .high = fmax(one, other),
                                       .mean = draw(-3, 3),
                                       .stddev = pick(4) ? draw(0.01, 4) : 0,
                                       .edges = of->edges,
                                       .counts = of->counts,
                                       .bins = pick(4) ? BINS : 0};
        if (pick(2)) feature->low = -INFINITY;
        if (pick(2)) feature->high = INFINITY;
        of->checks[f] = (erai_check_rule){.kind = pick(3) ? 0 : ERAI_CHECK_MISSING,
                                          .verdict = (uint32_t)pick(3),
                                          .values = of->sentinel,
                                          .count = (uint32_t)pick(2),
                                          .limit = dtype == ERAI_DTYPE_BOOL ? 1 : 7};
    }
}

/* Batched or not, features first, in the middle, last, or none at all; rows of one chunk, or of several. */
static void draw_shape(subject *of, int large) {
    size_t around = large ? 1 + pick(40) : 1 + pick(3);
    int kind = (int)pick(5), batched = (int)pick(2);
    of->rows = batched ? 1 + pick(4) : 1;
    of->outer = kind == 2 || kind == 3 ? around * around : 1;
    of->inner = kind == 1 ? around * 120 : kind == 3 ? around : 1;
    of->count = kind == 4 ? 1 : 1 + pick(large && kind == 0 ? MOST_FEATURES : 5);
    if (kind == 4) of->inner = around * 100;
    while (of->rows * of->outer * of->count * of->inner > MOST_VALUES) of->outer > 1 ? of->outer-- : of->inner--;
    uint32_t rank = 0;
    if (batched) of->given[rank++] = (int64_t)of->rows;
    of->given[rank++] = (int64_t)of->outer;
    int32_t axis = kind == 4 ? -1 : (int32_t)rank;
    if (axis >= 0) of->given[rank++] = (int64_t)of->count;
    of->given[rank++] = (int64_t)of->inner;
    memcpy(of->shape, of->given, sizeof of->shape);
    if (batched) of->shape[0] = -1;
    of->input.batched = batched;
    of->input.rule.rank = rank;
    of->input.rule.feature_axis = axis;
}

static void draw_subject(subject *of, uint32_t dtype, int large) {
    memset(of, 0, sizeof *of);
    draw_shape(of, large);
    draw_features(of, dtype);
    of->input.rule.shape = of->shape;
    of->input.rule.max_shape = of->given;
    of->input.rule.dtype = dtype;
    of->input.rule.flags = (pick(3) ? ERAI_RULE_FINITE : 0) | (pick(3) ? 0 : ERAI_RULE_FLAG_RANGE);
    of->input.rule.sketch_stride = (pick(3) ? 1 : 3);
    of->input.features = of->features;
    of->input.checks = pick(2) ? of->checks : NULL;
    size_t count = of->rows * of->outer * of->count * of->inner;
    int wildness = (int)pick(3);
    for (size_t i = 0; i < count; i++) {
        size_t f = i / of->inner % of->count;
        er_write(of->values, dtype, i, draw(0, 2));
        if (wildness && pick(wildness == 1 ? 300 : 3) == 0) {
            uint64_t bits = test_random();
            double some[] = {of->features[f].low, of->features[f].high, of->sentinel[0],   (double)NAN,
                             (double)INFINITY,    draw_limit(),         -(double)INFINITY, -0.0};
            size_t which = pick(12);
            if (which < 8)
                er_write(of->values, dtype, i, some[which]);
            else
                memcpy((char *)of->values + i * erai_dtype_size(dtype), &bits, erai_dtype_size(dtype));
        }
    }
}

/* ---- The reference ---- */

/* What is expected of one feature. */
typedef struct expectation {
    uint64_t histogram[BINS], not_finite;
    int64_t sum, sum_squares;
} expectation;

/* The sign of value - limit, as the interface states it: in float32, or as real numbers. */
static int order(const subject *of, size_t element, double limit) {
    uint32_t dtype = of->input.rule.dtype;
    double value = er_value(of->values, dtype, element);
    if (dtype == ERAI_DTYPE_INT64 && limit >= -0x1p63 && limit < 0x1p63) {
        int64_t integer = ((const int64_t *)of->values)[element], whole = (int64_t)floor(limit);
        return integer < whole ? -1 : integer > whole ? 1 : limit > floor(limit) ? -1 : 0;
    }
    if (dtype == ERAI_DTYPE_UINT64 && limit >= 0 && limit < 0x1p64) {
        uint64_t integer = ((const uint64_t *)of->values)[element], whole = (uint64_t)floor(limit);
        return integer < whole ? -1 : integer > whole ? 1 : limit > floor(limit) ? -1 : 0;
    }
    if (dtype == ERAI_DTYPE_INT64 || dtype == ERAI_DTYPE_UINT64) return limit > 0 ? -1 : 1; /* beyond the type */
    if (er_width_of(dtype) == ER_NARROW) limit = (double)(float)limit;
    return (value > limit) - (value < limit);
}

static void sketch(const subject *of, size_t f, double value, expectation *into) {
    const erai_feature_rule *feature = &of->features[f];
    int narrow = er_width_of(of->input.rule.dtype) == ER_NARROW;
    unsigned bin = 0;
    for (unsigned i = 0; i + 1 < BINS; i++) bin += value > (narrow ? (double)(float)of->edges[i] : of->edges[i]);
    into->histogram[bin]++;
    if (feature->stddev == 0) return;
    double z = narrow ? (double)(((float)value - (float)feature->mean) * (float)(256 / feature->stddev))
                      : (value - feature->mean) * (256 / feature->stddev);
    int64_t rounded = (int64_t)nearbyint(fmin(fmax(z, -2048), 2048));
    into->sum += rounded;
    into->sum_squares += rounded * rounded;
}

/* The reason that a value gives: its code, or -1. */
static int reason_of(const subject *of, size_t f, size_t element) {
    double value = er_value(of->values, of->input.rule.dtype, element);
    if (of->input.checks && of->checks[f].kind) {
        const erai_check_rule *rule = &of->checks[f];
        if (rule->count ? order(of, element, rule->values[0]) == 0 && !isnan(value) : isnan(value))
            return rule->verdict ? ERAI_REASON_MISSING : -2;
    }
    if (!isfinite(value) && of->input.rule.flags & ERAI_RULE_FINITE) return ERAI_REASON_NOT_FINITE;
    if (isnan(value)) return -1;
    return order(of, element, of->features[f].low) < 0    ? ERAI_REASON_BELOW_RANGE
           : order(of, element, of->features[f].high) > 0 ? ERAI_REASON_ABOVE_RANGE
                                                          : -1;
}

static erai_verdict verdict_of(const subject *of, size_t f, int code) {
    if (code == ERAI_REASON_MISSING) return (erai_verdict)of->checks[f].verdict;
    int ranged = code == ERAI_REASON_BELOW_RANGE || code == ERAI_REASON_ABOVE_RANGE;
    return ranged && of->input.rule.flags & ERAI_RULE_FLAG_RANGE ? ERAI_VERDICT_FLAG : ERAI_VERDICT_REJECT;
}

/* The reason of a row, feature and code that came, or NULL. */
static const erai_reason *came(const erai_answer *answer, size_t row, const char *subject_name, uint32_t code) {
    for (size_t i = 0; i < answer->reason_count; i++) {
        const erai_reason *reason = &answer->reasons[i];
        if (reason->row == (int64_t)row && reason->code == code && strcmp(reason->subject, subject_name) == 0)
            return reason;
    }
    return NULL;
}

/* One feature of one row: adds to `into`, and returns how many reasons were expected, all of which came. */
static size_t expect_feature(const subject *of, const erai_answer *answer, size_t row, size_t f, expectation *into,
                             erai_verdict *worst) {
    size_t row_size = of->outer * of->count * of->inner, reasons = 0, stride = of->input.rule.sketch_stride;
    uint32_t seen = 0;
    for (size_t k = 0; k < of->outer * of->inner; k++) {
        size_t element = (k / of->inner * of->count + f) * of->inner + k % of->inner;
        double value = er_value(of->values, of->input.rule.dtype, row * row_size + element);
        int code = reason_of(of, f, row * row_size + element);
        int is_missing = code == -2 || code == ERAI_REASON_MISSING;
        if (is_missing || !isfinite(value))
            into->not_finite++;
        else if (k % stride == 0)
            sketch(of, f, value, into);
        if (code < 0) continue;
        if (verdict_of(of, f, code) > *worst) *worst = verdict_of(of, f, code);
        if (seen >> code & 1) continue;
        seen |= 1u << code;
        reasons++;
        char name[16];
        snprintf(name, sizeof name, "f%d", (int)f);
        const erai_reason *reason = came(answer, row, name, (uint32_t)code);
        ER_CHECK(reason != NULL);
        if (!reason) continue;
        ER_CHECK_INT(reason->element, element);
        ER_CHECK(memcmp(&reason->value, &value, sizeof value) == 0);
    }
    return reasons;
}

static void check_counts(const subject *of, const erai_answer *answer, size_t f, const expectation *expected) {
    er_tally counted = *answer->tally;
    ER_CHECK_INT(counted.not_finite[f], expected->not_finite);
    if (!of->features[f].bins) return;
    for (int i = 0; i < BINS; i++) ER_CHECK_INT(counted.histogram[f][i], expected->histogram[i]);
    ER_CHECK_INT(counted.sum[f], expected->sum);
    ER_CHECK_INT(counted.sum_squares[f], expected->sum_squares);
}

static void check_subject(const subject *of) {
    static expectation expected[MOST_FEATURES];
    memset(expected, 0, sizeof expected);
    erai_session *session = test_input_open(&of->input);
    erai_answer *answer = NULL;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    const erai_tensor tensor = {
        .data = of->values, .shape = of->given, .rank = of->input.rule.rank, .dtype = of->input.rule.dtype};
    size_t admitted = 0, reasons = 0;
    ER_CHECK_INT(erai_admit(session, &tensor, 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(answer->rows, of->rows);
    for (size_t row = 0; row < of->rows; row++) {
        erai_verdict worst = ERAI_VERDICT_ACCEPT;
        for (size_t f = 0; f < of->count; f++) reasons += expect_feature(of, answer, row, f, &expected[f], &worst);
        ER_CHECK_INT(answer->verdicts[row], worst);
    }
    ER_CHECK_INT(answer->reason_count, reasons);
    er_waiting_sketch(answer);
    for (size_t f = 0; f < of->count; f++) check_counts(of, answer, f, &expected[f]);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void small_tensors_of_every_type_are_judged_as_the_reference_judges(void) {
    static subject of;
    for (int times = 0; times < 60; times++)
        for (size_t i = 0; i < DTYPES; i++) {
            draw_subject(&of, dtypes[i], 0);
            check_subject(&of);
        }
}

static void large_tensors_of_every_type_are_judged_as_the_reference_judges(void) {
    static subject of;
    for (int times = 0; times < 6; times++)
        for (size_t i = 0; i < DTYPES; i++) {
            draw_subject(&of, dtypes[i], 1);
            check_subject(&of);
        }
}

/* ---- What the reference does not say ---- */

typedef struct rig {
    erai_session *session;
    erai_answer *answer;
    int64_t shape[2];
    erai_tensor tensor;
} rig;

static rig open_rig(uint32_t dtype, uint32_t flags, const erai_feature_rule *features, const erai_check_rule *checks,
                    int64_t count) {
    static const int64_t most_rows = 5;
    const int64_t shape[] = {-1, count}, most[] = {most_rows, count};
    const test_input input = {.batched = 1,
                              .rule = {.shape = shape,
                                       .max_shape = most,
                                       .rank = 2,
                                       .dtype = dtype,
                                       .flags = flags,
                                       .feature_axis = 1,
                                       .sketch_stride = 1},
                              .features = features,
                              .checks = checks};
    rig made = {.session = test_input_open(&input), .shape = {1, count}};
    ER_CHECK_INT(erai_answer_open(made.session, &made.answer), ERAI_OK);
    return made;
}

static size_t admit(rig *of, uint32_t dtype, const void *values, int64_t rows) {
    size_t admitted = 99;
    of->shape[0] = rows;
    of->tensor = (erai_tensor){.data = values, .shape = of->shape, .rank = 2, .dtype = dtype};
    ER_CHECK_INT(erai_admit(of->session, &of->tensor, 1, of->answer, &admitted), ERAI_OK);
    return admitted;
}

static void close_rig(rig *of) {
    erai_answer_close(of->answer);
    erai_session_close(of->session);
}

static void a_value_at_its_limit_passes_and_the_next_one_does_not(void) {
    const erai_feature_rule feature = {.low = -1.5, .high = 0.1};
    rig of = open_rig(ERAI_DTYPE_FLOAT32, ERAI_RULE_FINITE, &feature, NULL, 1);
    const float at[] = {-1.5f, 0.1f, -0.0f, 1e-45f}, beyond[] = {nextafterf(-1.5f, -2), nextafterf(0.1f, 1)};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, at, 4), 4);
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, beyond, 2), 0);
    ER_CHECK(of.answer->reasons[0].limit == -1.5 && of.answer->reasons[1].limit == (double)0.1f);
    close_rig(&of);
    of = open_rig(ERAI_DTYPE_FLOAT64, ERAI_RULE_FINITE, &feature, NULL, 1);
    const double wide_at[] = {-1.5, 0.1}, wide_beyond[] = {nextafter(-1.5, -2), nextafter(0.1, 1)};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT64, wide_at, 2), 2);
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT64, wide_beyond, 2), 0);
    close_rig(&of);
}

static void integers_of_64_bits_are_held_to_their_limits_exactly(void) {
    const erai_feature_rule feature = {.low = -0x1p53, .high = 0x1p53};
    rig of = open_rig(ERAI_DTYPE_INT64, 0, &feature, NULL, 1);
    const int64_t at[] = {1ll << 53, -(1ll << 53)}, beyond[] = {(1ll << 53) + 1, -(1ll << 53) - 1};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_INT64, at, 2), 2);
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_INT64, beyond, 2), 0);
    ER_CHECK_INT(of.answer->reasons[0].code, ERAI_REASON_ABOVE_RANGE);
    ER_CHECK_INT(of.answer->reasons[1].code, ERAI_REASON_BELOW_RANGE);
    close_rig(&of);
    const erai_feature_rule all = {.low = -INFINITY, .high = 0x1p63};
    of = open_rig(ERAI_DTYPE_INT64, 0, &all, NULL, 1);
    const int64_t ends[] = {INT64_MIN, INT64_MAX};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_INT64, ends, 2), 2);
    close_rig(&of);
}

static void a_missing_value_is_counted_and_no_more_unless_its_rule_says_so(void) {
    static const double edges[] = {0}, sentinel[] = {-1};
    static const uint64_t counts[] = {5, 5};
    const erai_feature_rule features[] = {
        {.low = 0, .high = 10, .mean = 5, .stddev = 1, .edges = edges, .counts = counts, .bins = 2},
        {.low = -5, .high = 10, .mean = 5, .stddev = 1, .edges = edges, .counts = counts, .bins = 2}};
    const erai_check_rule checks[] = {
        {.kind = ERAI_CHECK_MISSING, .verdict = ERAI_VERDICT_ACCEPT, .limit = 5},
        {.kind = ERAI_CHECK_MISSING, .verdict = ERAI_VERDICT_FLAG, .values = sentinel, .count = 1, .limit = 6}};
    rig of = open_rig(ERAI_DTYPE_FLOAT32, ERAI_RULE_FINITE, features, checks, 2);
    const float rows[3][2] = {{NAN, 1}, {1, -1}, {INFINITY, NAN}};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, rows, 3), 2);
    er_waiting_sketch(of.answer);
    er_tally counted = *of.answer->tally;
    ER_CHECK(counted.not_finite[0] == 2 && counted.not_finite[1] == 2);
    ER_CHECK(counted.histogram[0][0] + counted.histogram[0][1] == 1);
    ER_CHECK(counted.histogram[1][0] + counted.histogram[1][1] == 1);
    ER_CHECK_INT(of.answer->verdicts[0], ERAI_VERDICT_ACCEPT);
    ER_CHECK_INT(of.answer->verdicts[1], ERAI_VERDICT_FLAG);
    ER_CHECK_INT(of.answer->verdicts[2], ERAI_VERDICT_REJECT);
    ER_CHECK_INT(of.answer->reason_count, 3);
    const erai_reason *missing = &of.answer->reasons[0];
    ER_CHECK(missing->code == ERAI_REASON_MISSING && missing->row == 1 && missing->value == -1 && missing->limit == 6);
    close_rig(&of);
}

/* Of one row a call, in calls between which the statistics are asked for now and then, and of calls of five rows. */
static void rows_that_waited_are_sketched_once_and_alike(void) {
    enum { COUNT = 11, ROWS = 600 };
    static const double edges[] = {-3, -1, 0, 0.5, 2, 7};
    static const uint64_t counts[] = {1, 1, 1, 1, 1, 1, 1};
    static double wide[ROWS][COUNT];
    static float narrow[ROWS][COUNT];
    erai_feature_rule features[COUNT];
    for (int f = 0; f < COUNT; f++)
        features[f] = (erai_feature_rule){.low = -9 - f,
                                          .high = 9,
                                          .mean = 0.25 * f,
                                          .stddev = 1.5,
                                          .edges = edges,
                                          .counts = counts,
                                          .bins = (uint32_t)(f % 7 + 1)};
    for (int i = 0; i < ROWS * COUNT; i++) {
        (&narrow[0][0])[i] = i % 97 == 5 ? NAN : (float)pick(200) / 10 - 10;
        (&wide[0][0])[i] = (double)(&narrow[0][0])[i];
    }
    for (int type = 0; type < 2; type++) {
        uint32_t dtype = type ? ERAI_DTYPE_FLOAT64 : ERAI_DTYPE_FLOAT32;
        rig one = open_rig(dtype, ERAI_RULE_FINITE, features, NULL, COUNT);
        rig five = open_rig(dtype, ERAI_RULE_FINITE, features, NULL, COUNT);
        for (int row = 0; row < ROWS; row++) {
            admit(&one, dtype, type ? (void *)wide[row] : (void *)narrow[row], 1);
            if (row % 5 == 0) admit(&five, dtype, type ? (void *)wide[row] : (void *)narrow[row], 5);
            if (pick(40) == 0) er_waiting_sketch(one.answer);
        }
        er_waiting_sketch(one.answer);
        er_waiting_sketch(five.answer);
        er_feature_total sums[2][COUNT] = {0};
        er_tally_add(one.answer->tally, sums[0], COUNT);
        er_tally_add(five.answer->tally, sums[1], COUNT);
        ER_CHECK(memcmp(sums[0], sums[1], sizeof sums[0]) == 0);
        er_tally counted = *one.answer->tally;
        for (int f = 0; f < COUNT; f++) {
            uint64_t rows = counted.not_finite[f];
            for (int i = 0; i < ERAI_MAX_BINS; i++) rows += counted.histogram[f][i];
            ER_CHECK_INT(rows, ROWS);
        }
        close_rig(&one);
        close_rig(&five);
    }
}

static void zero_rows_are_an_answer_where_the_rules_allow_them(void) {
    const erai_feature_rule feature = {.low = 0, .high = 1};
    for (size_t i = 0; i < DTYPES; i++) {
        rig of = open_rig(dtypes[i], ERAI_RULE_EMPTY, &feature, NULL, 1);
        ER_CHECK_INT(admit(&of, dtypes[i], NULL, 0), 0);
        ER_CHECK(of.answer->rows == 0 && of.answer->reason_count == 0);
        ER_CHECK_INT(erai_answer_verdict(of.answer), ERAI_VERDICT_ACCEPT);
        close_rig(&of);
        of = open_rig(dtypes[i], 0, &feature, NULL, 1);
        ER_CHECK_INT(admit(&of, dtypes[i], NULL, 0), 0);
        ER_CHECK_INT(of.answer->rows, 0);
        ER_CHECK_INT(erai_answer_verdict(of.answer), ERAI_VERDICT_REJECT);
        ER_CHECK_INT(of.answer->reason_count, 1);
        const erai_reason reason = of.answer->reasons[0];
        ER_CHECK(reason.code == ERAI_REASON_ROWS && reason.row == -1 && reason.value == 0 && reason.limit == 1);
        close_rig(&of);
    }
}

static void rows_without_values_are_accepted_where_the_rules_allow_them(void) {
    const erai_feature_rule feature = {.low = 0, .high = 1};
    const int64_t shape[] = {-1, -1, 2}, most[] = {5, 9, 2}, given[] = {3, 0, 2};
    for (size_t i = 0; i < DTYPES; i++) {
        const erai_feature_rule features[] = {feature, feature};
        const test_input input = {.batched = 1,
                                  .rule = {.shape = shape,
                                           .max_shape = most,
                                           .rank = 3,
                                           .dtype = dtypes[i],
                                           .flags = ERAI_RULE_EMPTY,
                                           .feature_axis = 2,
                                           .sketch_stride = 1},
                                  .features = features};
        erai_session *session = test_input_open(&input);
        erai_answer *answer = NULL;
        size_t admitted = 0;
        const erai_tensor tensor = {.shape = given, .rank = 3, .dtype = dtypes[i]};
        ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
        ER_CHECK_INT(erai_admit(session, &tensor, 1, answer, &admitted), ERAI_OK);
        ER_CHECK_INT(admitted, 3);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void strings_have_no_values_to_judge(void) {
    const erai_feature_rule feature = {.low = -INFINITY, .high = INFINITY};
    rig of = open_rig(ERAI_DTYPE_STRING, ERAI_RULE_FINITE, &feature, NULL, 1);
    const erai_string rows[] = {{"a", 1}, {NULL, 0}};
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_STRING, rows, 2), 2);
    const float other = 1;
    ER_CHECK_INT(admit(&of, ERAI_DTYPE_FLOAT32, &other, 1), 0);
    ER_CHECK_INT(of.answer->reasons[0].code, ERAI_REASON_DTYPE);
    close_rig(&of);
}

static void states_are_the_sessions_own_and_not_judged(void) {
    const erai_feature_rule feature = {.low = 0, .high = 1};
    const int64_t shape[] = {-1, 1}, most[] = {5, 1}, given[] = {2, 1};
    const test_input input = {.batched = 1,
                              .rule = {.shape = shape,
                                       .max_shape = most,
                                       .rank = 2,
                                       .dtype = ERAI_DTYPE_FLOAT32,
                                       .feature_axis = 1,
                                       .sketch_stride = 1},
                              .features = &feature,
                              .has_state = 1};
    const float rows[] = {0.5f, 1.5f};
    erai_session *session = test_input_open(&input);
    erai_answer *answer = NULL;
    size_t admitted = 0;
    const erai_tensor tensor = {.data = rows, .shape = given, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    ER_CHECK_INT(erai_admit(session, &tensor, 1, answer, &admitted), ERAI_OK); /* the state is the first input */
    ER_CHECK(admitted == 1 && answer->rows == 2 && answer->reason_count == 1);
    ER_CHECK_STR(answer->reasons[0].subject, "f0");
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(small_tensors_of_every_type_are_judged_as_the_reference_judges);
    ER_RUN(large_tensors_of_every_type_are_judged_as_the_reference_judges);
    ER_RUN(a_value_at_its_limit_passes_and_the_next_one_does_not);
    ER_RUN(integers_of_64_bits_are_held_to_their_limits_exactly);
    ER_RUN(a_missing_value_is_counted_and_no_more_unless_its_rule_says_so);
    ER_RUN(rows_that_waited_are_sketched_once_and_alike);
    ER_RUN(zero_rows_are_an_answer_where_the_rules_allow_them);
    ER_RUN(rows_without_values_are_accepted_where_the_rules_allow_them);
    ER_RUN(strings_have_no_values_to_judge);
    ER_RUN(states_are_the_sessions_own_and_not_judged);
    return er_test_result();
}
