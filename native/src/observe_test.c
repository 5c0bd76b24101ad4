/* What a session observes besides its inputs: the values, what is missing, what is watched, and outcomes that come
 * later. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "er_test.h"
#include "session.h"
#include "snapshot.h"
#include "test_guard.h"
#include "test_session.h"

enum { FEATURES = 4, SHARES = 3, MOST = 16 };

static void must(int holds) {
    if (!holds) abort();
}

/* Observations in their order, each with up to three bins. */
typedef struct seen {
    erai_observation_rule rule;
    const char *name;
    double edges[MOST];
    uint64_t counts[MOST];
    uint32_t bins;
    uint32_t stride;
} seen;

static erai_status observe(erai_policy *policy, const seen *it, char *detail) {
    erai_observation_rule rule = it->rule;
    rule.struct_size = sizeof rule;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < it->bins; i++) rows += it->counts[i];
    erai_feature_rule feature = {.struct_size = sizeof feature,
                                 .name = it->name,
                                 .low = (double)-INFINITY,
                                 .high = (double)INFINITY,
                                 .mean = 1,
                                 .stddev = 1,
                                 .reference_rows = rows,
                                 .edges = it->edges,
                                 .counts = it->counts,
                                 .bins = it->bins};
    return erai_policy_add_observation(policy, &rule, &feature, detail);
}

/* "x": four features of mean 1 and standard deviation 2, and their distance; "y": three shares. */
static erai_policy *base_policy(void) {
    const int64_t shape[] = {-1, FEATURES}, most[] = {4096, FEATURES};
    const double edge = 1, mean[FEATURES] = {1, 1, 1, 1}, scale[FEATURES] = {0.5, 0.5, 0.5, 0.5};
    const uint64_t counts[2] = {500, 500};
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy) == ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = shape,
                             .max_shape = most,
                             .rank = 2,
                             .dtype = ERAI_DTYPE_FLOAT32,
                             .flags = ERAI_RULE_FINITE,
                             .feature_axis = 1,
                             .sketch_stride = 1};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    for (uint32_t i = 0; i < FEATURES; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%u", i);
        erai_feature_rule feature = {.struct_size = sizeof feature,
                                     .name = name,
                                     .low = -100,
                                     .high = 100,
                                     .mean = 1,
                                     .stddev = 2,
                                     .reference_rows = 1000,
                                     .edges = &edge,
                                     .counts = counts,
                                     .bins = 2};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    }
    erai_distance_rule distance = {.struct_size = sizeof distance,
                                   .mean = mean,
                                   .scale = scale,
                                   .verdict = ERAI_VERDICT_FLAG,
                                   .rest = 1,
                                   .threshold = 1000};
    must(erai_policy_set_distance(policy, &distance, NULL) == ERAI_OK);
    test_add_output(policy, "y", (erai_output_rule){.rank = 2, .shape = (int64_t[]){-1, SHARES}});
    return policy;
}

static void watch(erai_policy *policy, const seen *seen_of, uint32_t count, double average_run_length) {
    uint32_t strides[FEATURES + 16] = {0};
    for (uint32_t i = 0; i < count; i++) strides[FEATURES + i] = seen_of[i].stride;
    erai_drift_rule rule = {.struct_size = sizeof rule,
                            .average_run_length = average_run_length,
                            .effect = 0.02,
                            .strides = strides,
                            .features = FEATURES + count,
                            .verdict = ERAI_VERDICT_FLAG};
    must(erai_policy_set_drift(policy, &rule, NULL) == ERAI_OK);
}

static erai_session *session_of(const seen *seen_of, uint32_t count, double average_run_length) {
    erai_policy *policy = base_policy();
    for (uint32_t i = 0; i < count; i++) must(observe(policy, &seen_of[i], NULL) == ERAI_OK);
    if (average_run_length > 0) watch(policy, seen_of, count, average_run_length);
    return test_session(policy, NULL);
}

static void call(erai_session *session, erai_answer *answer, const float *x, const float *y, size_t rows) {
    const int64_t in_shape[] = {(int64_t)rows, FEATURES}, out_shape[] = {(int64_t)rows, SHARES};
    erai_tensor input = {.data = x, .shape = in_shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_tensor output = {.data = y, .shape = out_shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted;
    must(erai_admit(session, &input, 1, answer, &admitted) == ERAI_OK);
    must(erai_judge(session, &output, admitted ? 1 : 0, answer) == ERAI_OK);
}

static int close_to(double one, double other) {
    return fabs(one - other) <= 1e-6 * (1 + fabs(other));
}

#define OF(number, ...)                         \
    {                                           \
        .rule = {.kind = number, ##__VA_ARGS__} \
    }

static void every_kind_is_what_it_says(void) {
    seen all[] = {OF(ERAI_OBSERVE_VERDICT), OF(ERAI_OBSERVE_DISTANCE),   OF(ERAI_OBSERVE_PROJECTION, .element = 5),
                  OF(ERAI_OBSERVE_CLASS),   OF(ERAI_OBSERVE_CONFIDENCE), OF(ERAI_OBSERVE_VALUE, .element = 2),
                  OF(ERAI_OBSERVE_LATENCY)};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (size_t i = 0; i < 7; i++) all[i].name = names[i];
    erai_session *session = session_of(all, 7, 0);
    erai_answer *answer = test_answer(session);
    const float x[] = {1, 3, 1, 1, 2, 2, 2, NAN}, y[] = {0.1f, 0.7f, 0.2f, 0.5f, 0.25f, 0.25f};
    call(session, answer, x, y, 2);
    const double *values = NULL;
    ER_CHECK_INT(erai_answer_observed(answer, &values), 7);
    ER_CHECK(values[0] == ERAI_VERDICT_ACCEPT);
    ER_CHECK(close_to(values[1], 1)); /* one feature is one standard deviation off */
    ER_CHECK(close_to(fabs(values[2]), 0.5));
    ER_CHECK(values[3] == 1);
    ER_CHECK(close_to(values[4], 0.7));
    ER_CHECK(close_to(values[5], 0.2));
    ER_CHECK(values[6] > 0 && values[6] < 1e10);
    /* The second row was rejected before any model: what there is no such thing of is missing. */
    ER_CHECK(values[7] == ERAI_VERDICT_REJECT);
    ER_CHECK(isnan(values[8]) && isnan(values[10]) && isnan(values[11]) && isnan(values[12]));
    ER_CHECK(fabs(values[9]) <= 0.75); /* without the feature that is not finite */
    erai_snapshot *snapshot = NULL;
    erai_feature_counts counts = {0};
    must(erai_session_snapshot(session, &snapshot, NULL) == ERAI_OK);
    must(erai_snapshot_feature(snapshot, FEATURES + 1, &counts) == ERAI_OK);
    ER_CHECK_INT(counts.not_finite, 1);
    erai_snapshot_close(snapshot);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* "image": two channels of three values; "kind": a category, 2, 5 or 9; "word": "blue" or "red". */
static erai_session *open_parts(const seen *seen_of, uint32_t count) {
    const int64_t image[] = {-1, 2, 3}, most[] = {16, 2, 3}, one[] = {-1, 1}, few[] = {16, 1};
    const double kinds[] = {2, 5, 9};
    const char *const words[] = {"blue", "red"};
    static const char *const names[] = {"left", "right", "kind", "word"};
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy) == ERAI_OK);
    for (uint32_t i = 0; i < 3; i++) {
        erai_input_rule input = {.struct_size = sizeof input,
                                 .name = i == 0   ? "image"
                                         : i == 1 ? "of kind"
                                                  : "of word",
                                 .shape = i ? one : image,
                                 .max_shape = i ? few : most,
                                 .rank = i ? 2 : 3,
                                 .dtype = i == 2 ? ERAI_DTYPE_STRING : ERAI_DTYPE_FLOAT32,
                                 .feature_axis = 1,
                                 .sketch_stride = 1};
        must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
        for (uint32_t f = 0; f < (i ? 1u : 2u); f++) {
            erai_feature_rule feature = {.struct_size = sizeof feature,
                                         .name = names[i ? i + 1 : f],
                                         .low = (double)-INFINITY,
                                         .high = (double)INFINITY};
            must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
        }
        erai_check_rule check = {.kind = ERAI_CHECK_CATEGORIES,
                                 .verdict = ERAI_VERDICT_FLAG,
                                 .low = (double)-INFINITY,
                                 .high = (double)INFINITY,
                                 .values = i == 1 ? kinds : NULL,
                                 .texts = i == 2 ? words : NULL,
                                 .count = i == 1 ? 3 : 2};
        if (i) test_add_check(policy, check);
    }
    test_add_output(policy, "y", (erai_output_rule){.rank = 2, .shape = (int64_t[]){-1, 1}});
    for (uint32_t i = 0; i < count; i++) must(observe(policy, &seen_of[i], NULL) == ERAI_OK);
    return test_session(policy, NULL);
}

static void parts_of_the_input_are_what_they_say(void) {
    seen all[] = {OF(ERAI_OBSERVE_CATEGORY, .index = 1), OF(ERAI_OBSERVE_CATEGORY, .index = 2),
                  OF(ERAI_OBSERVE_MEAN, .index = 0, .element = 1), OF(ERAI_OBSERVE_STDDEV, .index = 0, .element = 1),
                  OF(ERAI_OBSERVE_ELEMENT, .index = 0, .element = 4)};
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) all[i].name = names[i];
    all[0].bins = 4; /* the last is of what is no category */
    for (uint32_t i = 0; i < 4; i++) all[0].edges[i] = i + 0.5, all[0].counts[i] = i < 3;
    erai_session *session = open_parts(all, 5);
    erai_answer *answer = test_answer(session);
    const float image[] = {0, 0, 0, 1e6f + 1, 1e6f + 2, 1e6f + 3, 0, 0, 0, 7, 7, 7}, kind[] = {5, 6}, y[] = {1, 1};
    const erai_string word[] = {{"red", 3}, {"re", 2}};
    const int64_t shapes[3][3] = {{2, 2, 3}, {2, 1}, {2, 1}}, out[] = {2, 1};
    const erai_tensor inputs[] = {{.data = image, .shape = shapes[0], .rank = 3, .dtype = ERAI_DTYPE_FLOAT32},
                                  {.data = kind, .shape = shapes[1], .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                                  {.data = word, .shape = shapes[2], .rank = 2, .dtype = ERAI_DTYPE_STRING}};
    const erai_tensor output = {.data = y, .shape = out, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted;
    must(erai_admit(session, inputs, 3, answer, &admitted) == ERAI_OK && admitted == 2);
    must(erai_judge(session, &output, 1, answer) == ERAI_OK);
    const double *values = NULL;
    must(erai_answer_observed(answer, &values) == 5);
    const double expected[] = {1, 1, 1e6 + 2, sqrt(2.0 / 3), 1e6 + 2, 3, 2, 7, 0, 7};
    for (size_t i = 0; i < 10; i++)
        if (!close_to(values[i], expected[i])) ER_FAILED("value %zu is %g, expected %g", i, values[i], expected[i]);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void projections_differ_by_their_element(void) {
    seen all[8];
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (uint32_t i = 0; i < 8; i++)
        all[i] = (seen){.rule = {.kind = ERAI_OBSERVE_PROJECTION, .element = i}, .name = names[i]};
    erai_session *session = session_of(all, 8, 0);
    erai_answer *answer = test_answer(session);
    const float x[] = {2, 4, 8, 16}, y[SHARES] = {1, 0, 0}; /* +-1, 3, 7, 15 are told apart in any sum */
    call(session, answer, x, y, 1);
    const double *values = NULL;
    must(erai_answer_observed(answer, &values) == 8);
    size_t different = 0;
    for (size_t i = 1; i < 8; i++) different += values[i] != values[0];
    ER_CHECK(different >= 5);
    erai_answer_close(answer);
    erai_session_close(session);
}

static uint32_t state = 1;

static double uniform(void) {
    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / 16777216.0;
}

/* Calls with class 1 in a share of them; the row of the alarm, or 0. */
static size_t alarm_of_classes(erai_session *session, double share, size_t rows) {
    erai_answer *answer = test_answer(session);
    const float x[FEATURES] = {1, 1, 1, 1};
    erai_drift drift = {.struct_size = sizeof drift};
    for (size_t i = 0; i < rows && !drift.alarm_row; i++) {
        float y[SHARES] = {0.2f, 0.1f, 0.1f};
        if (uniform() < share) y[1] = 0.8f;
        call(session, answer, x, y, 1);
        must(erai_session_drift(session, &drift) == ERAI_OK);
    }
    erai_answer_close(answer);
    return (size_t)drift.alarm_row;
}

static const seen CLASSES = {.rule = {.kind = ERAI_OBSERVE_CLASS},
                             .name = "class of y",
                             .edges = {0.5, 1.5},
                             .counts = {900, 100, 0},
                             .bins = 3,
                             .stride = 1};

static void shares_of_classes_are_watched(void) {
    erai_session *session = session_of(&CLASSES, 1, 10000);
    ER_CHECK_INT(alarm_of_classes(session, 0.1, 3000), 0);
    size_t row = alarm_of_classes(session, 0.3, 3000);
    ER_CHECK(row > 3000 && row < 3400);
    erai_feature_drift drift = {.struct_size = sizeof drift};
    must(erai_session_feature_drift(session, FEATURES, &drift) == ERAI_OK);
    ER_CHECK(drift.named && drift.direction == ERAI_DRIFT_SHARES);
    /* And from the alarm on every call is flagged for it, by its name. */
    erai_answer *answer = test_answer(session);
    const float x[FEATURES] = {1, 1, 1, 1}, y[SHARES] = {1, 0, 0};
    const erai_reason *reasons = NULL;
    call(session, answer, x, y, 1);
    must(erai_answer_reasons(answer, &reasons) == 1);
    ER_CHECK_STR(reasons[0].subject, "class of y");
    erai_answer_close(answer);
    erai_session_close(session);
}

static const seen WRONG = {.rule = {.kind = ERAI_OBSERVE_WRONG, .bound = 0.1},
                           .name = "errors",
                           .edges = {0},
                           .counts = {0, 0},
                           .bins = 2,
                           .stride = 1};

/* Outcomes of which a share is wrong; the row of the alarm, or 0. */
static uint64_t alarm_of_outcomes(erai_session *session, double share, size_t rows) {
    erai_answer *answer = test_answer(session);
    const float x[FEATURES] = {1, 1, 1, 1}, y[SHARES] = {0, 1, 0};
    erai_drift drift = {.struct_size = sizeof drift};
    for (size_t i = 0; i < rows && !drift.alarm_row; i++) {
        call(session, answer, x, y, 1);
        uint64_t receipt = erai_answer_receipt(answer, 0);
        must(erai_session_outcome(session, receipt, uniform() < share ? 2 : 1, NULL) == ERAI_OK);
        must(erai_session_drift(session, &drift) == ERAI_OK);
    }
    erai_answer_close(answer);
    return drift.alarm_row;
}

static void errors_within_the_bound_raise_no_alarm_and_more_of_them_do(void) {
    erai_session *session = session_of(&WRONG, 1, 100000);
    ER_CHECK_INT(alarm_of_outcomes(session, 0.1, 10000), 0);
    ER_CHECK_INT(alarm_of_outcomes(session, 0.02, 1000), 0);
    uint64_t row = alarm_of_outcomes(session, 0.2, 2000);
    ER_CHECK(row > 11000 && row < 11400);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_DRIFT_ALARMS), 1);
    erai_session_close(session);
}

/* The factors of er_bets_on_loss are of mean 1 at most where losses are within the bound, whatever their law. */
static void bets_on_loss_gain_nothing_within_the_bound(void) {
    static const double bounds[] = {0.001, 0.05, 0.5, 0.95};
    for (size_t b = 0; b < 4; b++) {
        er_bets bets;
        er_bets_on_loss(&bets, 5, bounds[b]);
        for (size_t k = 0; k < ER_BETS; k++) {
            double least = (double)bets.factors[0][k], most = (double)bets.factors[4][k];
            ER_CHECK(least > 0 && least < 1 && most > 1);
            ER_CHECK((1 - bounds[b]) * least + bounds[b] * most <= 1);
            for (size_t i = 1; i < 4; i++)
                ER_CHECK((double)bets.factors[i][k] <= least + (most - least) * (double)i / 4 + 1.0 / 32768);
        }
    }
}

static void a_receipt_holds_what_was_answered_and_by_which_policy(void) {
    erai_session *session = session_of(&WRONG, 1, 100000), *other = session_of(&CLASSES, 1, 100000);
    erai_answer *answer = test_answer(session);
    char detail[ERAI_DETAIL_SIZE];
    const float x[] = {1, 1, 1, 1, NAN, 1, 1, 1}, y[] = {0, 1, 0};
    call(session, answer, x, y, 1);
    uint64_t receipt = erai_answer_receipt(answer, 0);
    ER_CHECK(receipt != 0);
    ER_CHECK_INT(erai_answer_receipt(answer, 1), 0); /* there is no such row */
    ER_CHECK_INT(erai_session_outcome(other, receipt, 1, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "no outcomes");
    ER_CHECK_INT(erai_session_outcome(session, 0, 1, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_outcome(session, receipt ^ (uint64_t)1 << 40, 1, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "this policy");
    ER_CHECK_INT(erai_session_outcome(session, receipt, (double)NAN, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_outcome(session, receipt, 1, detail), ERAI_OK);
    call(session, answer, x + FEATURES, y, 1);
    ER_CHECK_INT(erai_answer_receipt(answer, 0), 0); /* it was rejected: the model did not answer */
    erai_answer_close(answer);
    erai_session_close(session);
    erai_session_close(other);
}

static void errors_of_values_are_measured_in_their_unit(void) {
    seen error = {.rule = {.kind = ERAI_OBSERVE_ERROR, .element = 1, .limit = 2, .bound = 0.25},
                  .name = "error",
                  .edges = {0, 0.25, 0.5, 0.75},
                  .bins = 5,
                  .stride = 1};
    erai_session *session = session_of(&error, 1, 100000);
    erai_answer *answer = test_answer(session);
    const float x[FEATURES] = {1, 1, 1, 1}, y[SHARES] = {0, 1, 0};
    call(session, answer, x, y, 1);
    uint64_t receipt = erai_answer_receipt(answer, 0);
    static const double labels[] = {1, 1.4, 0, 2.2, 100};
    for (size_t i = 0; i < 5; i++) must(erai_session_outcome(session, receipt, labels[i], NULL) == ERAI_OK);
    erai_snapshot *snapshot = NULL;
    erai_feature_counts counts = {0};
    must(erai_session_snapshot(session, &snapshot, NULL) == ERAI_OK);
    must(erai_snapshot_feature(snapshot, FEATURES, &counts) == ERAI_OK);
    for (size_t i = 0; i < 5; i++) ER_CHECK_INT(counts.histogram[i], 1); /* 0, .2, .5, .6 and 1 */
    erai_snapshot_close(snapshot);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_watch_of_observations_goes_on_where_it_was(void) {
    const seen both[] = {CLASSES, WRONG};
    erai_session *session = session_of(both, 2, 1e6), *next = session_of(both, 2, 1e6);
    must(alarm_of_classes(session, 0.1, 500) == 0 && alarm_of_outcomes(session, 0.1, 8) == 0);
    uint8_t bytes[2048], again[2048];
    size_t size = 0, same = 0;
    must(erai_session_drift_state(session, bytes, sizeof bytes, &size) == ERAI_OK);
    must(erai_session_drift_continue(next, bytes, size, NULL) == ERAI_OK);
    must(erai_session_drift_state(next, again, sizeof again, &same) == ERAI_OK);
    ER_CHECK(same == size && memcmp(bytes, again, size) == 0);
    erai_drift one = {.struct_size = sizeof one}, other = one;
    must(erai_session_drift(session, &one) == ERAI_OK && erai_session_drift(next, &other) == ERAI_OK);
    ER_CHECK_INT(one.rows, 508);
    ER_CHECK(one.evidence > 0 && one.evidence == other.evidence);
    erai_session_close(session);
    erai_session_close(next);
}

static void what_cannot_be_observed_is_refused(void) {
    static const struct {
        seen it;
        const char *says;
    } cases[] = {
        {{.name = "a", .rule = {.kind = 0}}, "kind"},
        {{.name = "a", .rule = {.kind = 15}}, "kind"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_CATEGORY}}, "a category a feature that has some"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_MEAN, .element = FEATURES}}, "there is no input or output 0"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_ELEMENT, .index = 9}}, "there is no input or output 9"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_PROJECTION, .element = 64}}, "kind"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_ERROR}}, "limit"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_WRONG, .bound = 0.1}}, "bins"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_WRONG, .bound = 1}, .bins = 2}, "bound"},
        {{.name = "", .rule = {.kind = ERAI_OBSERVE_VERDICT}}, "name"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_DISTANCE, .index = 1}}, "there is no input or output 1"},
        {{.name = "a", .rule = {.kind = ERAI_OBSERVE_CLASS, .index = 1}}, "there is no input or output 1"},
        {{.name = "f0", .rule = {.kind = ERAI_OBSERVE_CLASS}}, "more than one feature has this name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char detail[ERAI_DETAIL_SIZE] = "";
        size_t size = 0;
        static uint8_t bytes[65536];
        erai_policy *policy = base_policy();
        erai_status status = observe(policy, &cases[i].it, detail);
        if (!status) status = erai_policy_write(policy, bytes, sizeof bytes, &size, detail);
        ER_CHECK_INT(status, ERAI_E_POLICY);
        ER_CHECK_CONTAINS(detail, cases[i].says);
        erai_policy_close(policy);
    }
}

static void an_outcome_is_one_and_the_last(void) {
    const seen orders[2][2] = {{WRONG, CLASSES}, {WRONG, WRONG}};
    for (size_t i = 0; i < 2; i++) {
        char detail[ERAI_DETAIL_SIZE] = "";
        size_t size = 0;
        static uint8_t bytes[65536];
        erai_policy *policy = base_policy();
        seen second = orders[i][1];
        second.name = "second";
        must(!observe(policy, &orders[i][0], NULL) && !observe(policy, &second, NULL));
        ER_CHECK_INT(erai_policy_write(policy, bytes, sizeof bytes, &size, detail), ERAI_E_POLICY);
        ER_CHECK_CONTAINS(detail, "one of outcomes at most, and the last");
        erai_policy_close(policy);
    }
}

/* What is observed of calls whose tensors are not in order is counted, too. */
static void counts_of_calls_of_another_shape_do_not_end_at_32_bits(void) {
    const seen verdict = {
        .rule = {.kind = ERAI_OBSERVE_VERDICT}, .name = "verdict", .edges = {0, 1}, .counts = {90, 5, 5}, .bins = 3};
    const float x[3 * 2] = {0};
    const int64_t shape[] = {3, 2};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session *session = session_of(&verdict, 1, 0);
    erai_answer *answer = test_answer(session);
    answer->tally->histogram[FEATURES][ERAI_VERDICT_REJECT] = UINT32_MAX - 4;
    answer->room = 4;
    size_t admitted;
    for (int i = 0; i < 2; i++) {
        must(erai_admit(session, &input, 1, answer, &admitted) == ERAI_OK && !admitted);
        must(erai_judge(session, NULL, 0, answer) == ERAI_OK);
    }
    erai_snapshot *snapshot;
    erai_feature_counts of;
    must(erai_session_snapshot(session, &snapshot, NULL) == ERAI_OK);
    must(erai_snapshot_feature(snapshot, FEATURES, &of) == ERAI_OK);
    ER_CHECK(of.histogram[ERAI_VERDICT_REJECT] == (uint64_t)UINT32_MAX - 4 + 6);
    erai_snapshot_close(snapshot);
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(every_kind_is_what_it_says);
    ER_RUN(parts_of_the_input_are_what_they_say);
    ER_RUN(projections_differ_by_their_element);
    ER_RUN(shares_of_classes_are_watched);
    ER_RUN(errors_within_the_bound_raise_no_alarm_and_more_of_them_do);
    ER_RUN(bets_on_loss_gain_nothing_within_the_bound);
    ER_RUN(a_receipt_holds_what_was_answered_and_by_which_policy);
    ER_RUN(errors_of_values_are_measured_in_their_unit);
    ER_RUN(a_watch_of_observations_goes_on_where_it_was);
    ER_RUN(what_cannot_be_observed_is_refused);
    ER_RUN(an_outcome_is_one_and_the_last);
    ER_RUN(counts_of_calls_of_another_shape_do_not_end_at_32_bits);
    return er_test_result();
}
