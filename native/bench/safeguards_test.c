/* Guards without a safeguard. SPDX-License-Identifier: Apache-2.0 */
#include "safeguards.h"

#include <math.h>
#include <stdlib.h>

#include "er_test.h"
#include "failure.h"

enum { FEATURES = 9, DIRECTIONS = 9, OBSERVED = 4, ALL_FEATURES = FEATURES + OBSERVED };

static void must(erai_status status) {
    if (status) exit(1);
}

static void add_check(erai_policy *policy, uint32_t kind, double low, double high, double limit, uint32_t window) {
    const erai_check_rule rule = {.struct_size = sizeof rule,
                                  .kind = kind,
                                  .verdict = ERAI_VERDICT_FLAG,
                                  .low = low,
                                  .high = high,
                                  .limit = limit,
                                  .window = window};
    must(erai_policy_add_check(policy, &rule, NULL));
}

static void add_input(erai_policy *policy) {
    static const int64_t shape[] = {-1, FEATURES}, most[] = {64, FEATURES};
    static const double edges[] = {-1, 0.5, 2}, mean[FEATURES] = {1, 2, 3}, scale[FEATURES] = {1, 0.5, 0.25};
    static const uint64_t counts[] = {20, 30, 30, 20};
    static const char *const names[FEATURES] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    static const double categories[] = {0, 1, 2};
    const erai_input_rule input = {.struct_size = sizeof input,
                                   .name = "x",
                                   .shape = shape,
                                   .max_shape = most,
                                   .rank = 2,
                                   .dtype = ERAI_DTYPE_FLOAT32,
                                   .flags = ERAI_RULE_FINITE,
                                   .feature_axis = 1,
                                   .sketch_stride = 1};
    float projection[DIRECTIONS * FEATURES] = {0}, weights[DIRECTIONS];
    must(erai_policy_add_input(policy, &input, NULL));
    for (size_t i = 0; i < FEATURES; i++) {
        const erai_feature_rule feature = {.struct_size = sizeof feature,
                                           .name = names[i],
                                           .unit = i ? NULL : "mm",
                                           .low = -10,
                                           .high = 10,
                                           .mean = 0.5,
                                           .stddev = 2,
                                           .reference_rows = 100,
                                           .edges = edges,
                                           .counts = counts,
                                           .bins = 4};
        must(erai_policy_add_feature(policy, &feature, NULL));
        if (i == 1) {
            const erai_check_rule rule = {.struct_size = sizeof rule,
                                          .kind = ERAI_CHECK_CATEGORIES,
                                          .verdict = ERAI_VERDICT_REJECT,
                                          .values = categories,
                                          .count = 3};
            must(erai_policy_add_check(policy, &rule, NULL));
        }
        if (i == 2) add_check(policy, ERAI_CHECK_INTEGRAL, 0, 0, 0, 0);
        if (i == 3) add_check(policy, ERAI_CHECK_STUCK, 0, 0, 0, 5);
        if (i == 4) add_check(policy, ERAI_CHECK_STEP, 0, 0, 3, 0);
        if (i == 5) add_check(policy, ERAI_CHECK_MISSING, 0, 0, 1, 0);
        if (i == 6) add_check(policy, ERAI_CHECK_MONOTONIC, 0, 0, 0, 0);
    }
    for (size_t k = 0; k < DIRECTIONS; k++) {
        weights[k] = (float)(k + 1);
        for (size_t f = 0; f <= k && f < FEATURES; f++) projection[k * FEATURES + f] = (float)(k * 10 + f + 1);
    }
    const erai_distance_rule distance = {.struct_size = sizeof distance,
                                         .mean = mean,
                                         .scale = scale,
                                         .projection = projection,
                                         .weights = weights,
                                         .directions = DIRECTIONS,
                                         .verdict = ERAI_VERDICT_REJECT,
                                         .rest = 0.5,
                                         .threshold = 9,
                                         .false_rejection_rate = 0.01};
    must(erai_policy_set_distance(policy, &distance, NULL));
}

/* The verdict, the distance of the input, the category of its second feature, and the confidence of the output. */
static void add_observations(erai_policy *policy) {
    static const uint32_t kinds[OBSERVED] = {ERAI_OBSERVE_VERDICT, ERAI_OBSERVE_DISTANCE, ERAI_OBSERVE_CATEGORY,
                                             ERAI_OBSERVE_CONFIDENCE};
    static const char *const names[OBSERVED] = {"verdict", "distance of x", "category of b", "confidence of y"};
    static const double edges[] = {0.5, 1.5};
    static const uint64_t counts[] = {70, 20, 10};
    for (size_t i = 0; i < OBSERVED; i++) {
        const erai_observation_rule rule = {
            .struct_size = sizeof rule, .kind = kinds[i], .element = kinds[i] == ERAI_OBSERVE_CATEGORY};
        const erai_feature_rule feature = {.struct_size = sizeof feature,
                                           .name = names[i],
                                           .low = -(double)INFINITY,
                                           .high = (double)INFINITY,
                                           .mean = 0.4,
                                           .stddev = 0.7,
                                           .reference_rows = 100,
                                           .edges = edges,
                                           .counts = counts,
                                           .bins = 3};
        must(erai_policy_add_observation(policy, &rule, &feature, NULL));
    }
}

/* A guard that has nearly every safeguard. */
static erai_guard *open_guard(void) {
    static const int64_t shape[] = {-1, 2};
    static const double default_row[] = {0.25, 0.75};
    static const uint32_t chain[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_ABSTAIN, ERAI_SOURCE_DEFAULT};
    static const uint32_t strides[ALL_FEATURES] = {1, 0, 3, [FEATURES] = 5, 6, 7, 8};
    static const uint64_t outside[ALL_FEATURES] = {0, 0, 4};
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy));
    add_input(policy);
    const erai_output_rule output = {.struct_size = sizeof output,
                                     .name = "y",
                                     .shape = shape,
                                     .default_row = default_row,
                                     .rank = 2,
                                     .dtype = ERAI_DTYPE_FLOAT32,
                                     .flags = ERAI_RULE_FINITE | ERAI_RULE_HAS_DEFAULT | ERAI_RULE_SHAPE,
                                     .default_size = 2};
    must(erai_policy_add_output(policy, &output, NULL));
    add_check(policy, ERAI_CHECK_RANGE, 0, 1, 0, 0);
    add_check(policy, ERAI_CHECK_SUM, 0.9, 1.1, 0, 0);
    add_check(policy, ERAI_CHECK_CONFIDENCE, 0.6, INFINITY, 0, 0);
    add_observations(policy);
    const erai_decision_rule decision = {.struct_size = sizeof decision,
                                         .deadline_ns = 5000000,
                                         .last_good_age_ns = 9,
                                         .breaker_cooldown_ns = 7,
                                         .rate_per_second = 50,
                                         .rate_burst = 10,
                                         .last_good_keys = 4,
                                         .review_rows = 8,
                                         .hold_after = 3,
                                         .hold_until = 2,
                                         .breaker_window = 8,
                                         .breaker_failures = 4,
                                         .breaker_probes = 2,
                                         .flags = ERAI_DECISION_SHARED | ERAI_DECISION_BREAK_ON_ERROR,
                                         .provider = "CPUExecutionProvider"};
    must(erai_policy_set_decision(policy, &decision, NULL));
    const erai_fallback_rule fallback = {
        .struct_size = sizeof fallback, .reasons = UINT64_MAX, .chain = chain, .steps = 3};
    must(erai_policy_add_fallback(policy, &fallback, NULL));
    const erai_drift_rule drift = {.struct_size = sizeof drift,
                                   .average_run_length = 1e6,
                                   .effect = 0.1,
                                   .strides = strides,
                                   .outside = outside,
                                   .features = ALL_FEATURES,
                                   .verdict = ERAI_VERDICT_FLAG};
    must(erai_policy_set_drift(policy, &drift, NULL));
    static const uint8_t forms[ALL_FEATURES] = {ERAI_FIELD_BUCKET, ERAI_FIELD_PLAIN};
    const erai_events_rule events = {
        .struct_size = sizeof events, .forms = forms, .features = ALL_FEATURES, .keep = 16, .sample_one_in = 10};
    must(erai_policy_set_events(policy, &events, NULL));
    size_t size = 0;
    erai_policy_write(policy, NULL, 0, &size, NULL);
    uint8_t *bytes = bench_allocate(size, 1);
    erai_guard *guard = NULL;
    must(erai_policy_write(policy, bytes, size, &size, NULL));
    must(erai_guard_open(bytes, size, &guard, NULL));
    free(bytes);
    erai_policy_close(policy);
    return guard;
}

/* The guard without a safeguard; NULL: it has none of that kind. */
static erai_guard *without(const erai_guard *guard, size_t safeguard) {
    uint8_t *program = NULL;
    size_t size = 0;
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_guard *changed = NULL;
    ER_CHECK_INT(bench_guard_without(guard, safeguard, &program, &size, detail), FINE);
    ER_CHECK_STR(detail, "");
    if (program) must(erai_guard_open(program, size, &changed, NULL));
    free(program);
    return changed;
}

static size_t named(const char *name) {
    size_t i = 0;
    while (i < BENCH_SAFEGUARDS && strcmp(bench_safeguards[i], name)) i++;
    return i;
}

static void each_safeguard_there_is_can_be_left_out_once(void) {
    static const char *const absent[] = {"means", "clipped", "strings"};
    erai_guard *guard = open_guard();
    for (size_t i = 0; i < BENCH_SAFEGUARDS; i++) {
        int expected = 1;
        for (size_t k = 0; k < 3; k++) expected = expected && strcmp(bench_safeguards[i], absent[k]);
        erai_guard *changed = without(guard, i);
        if ((changed != NULL) != expected) ER_FAILED("%s: %d", bench_safeguards[i], changed != NULL);
        if (changed && without(changed, i)) ER_FAILED("%s is still there", bench_safeguards[i]);
        erai_guard_close(changed);
    }
    erai_guard_close(guard);
}

static void all_else_stays_to_the_bit(void) {
    erai_guard *guard = open_guard(), *less = without(guard, named("hysteresis"));
    erai_distance_rule one = {.struct_size = sizeof one}, other = one;
    erai_decision_rule decision;
    erai_drift_rule drift = {.struct_size = sizeof drift};
    erai_events_rule events = {.struct_size = sizeof events};
    erai_fallback_rule fallback = {.struct_size = sizeof fallback};
    float first[DIRECTIONS * FEATURES], second[DIRECTIONS * FEATURES];
    ER_CHECK_INT(erai_guard_distance(guard, 0, &one) | erai_guard_distance(less, 0, &other), ERAI_OK);
    ER_CHECK_INT(erai_guard_projection(guard, 0, first) | erai_guard_projection(less, 0, second), ERAI_OK);
    ER_CHECK(first[8 * FEATURES + 3] == 84 && first[3 * FEATURES + 8] == 0);
    ER_CHECK(!memcmp(first, second, sizeof first));
    ER_CHECK(!memcmp(one.mean, other.mean, FEATURES * sizeof *one.mean) && other.scale[2] == 0.25);
    ER_CHECK(other.weights[8] == 9 && other.rest == 0.5 && other.threshold == 9);
    erai_guard_decision(less, &decision);
    ER_CHECK(!decision.hold_after && decision.rate_burst == 10 && decision.deadline_ns == 5000000);
    ER_CHECK_STR(decision.provider, "CPUExecutionProvider");
    ER_CHECK_INT(erai_guard_fallback(less, 0, &fallback), ERAI_OK);
    ER_CHECK(fallback.reasons == UINT64_MAX && fallback.steps == 3 && fallback.chain[1] == ERAI_SOURCE_ABSTAIN);
    ER_CHECK_INT(erai_guard_fallback(less, 1, &fallback), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_guard_drift(less, &drift), ERAI_OK);
    ER_CHECK(drift.strides[2] == 3 && drift.outside[2] == 4);
    ER_CHECK_INT(erai_guard_events(less, &events), ERAI_OK);
    ER_CHECK(events.keep == 16 && events.sample_one_in == 10 && events.forms[0] == ERAI_FIELD_BUCKET);
    erai_guard_close(less);
    erai_guard_close(guard);
}

static void an_observation_goes_with_the_rule_that_it_is_of_and_the_others_stay(void) {
    erai_guard *guard = open_guard(), *less = without(guard, named("distance"));
    erai_observation_rule rule = {.struct_size = sizeof rule};
    erai_feature_rule feature = {.struct_size = sizeof feature};
    erai_drift_rule drift = {.struct_size = sizeof drift};
    erai_events_rule events = {.struct_size = sizeof events};
    ER_CHECK_INT(erai_guard_observations(less), 3);
    ER_CHECK_INT(erai_guard_observation(less, 2, &rule), ERAI_OK);
    ER_CHECK_INT(rule.kind, ERAI_OBSERVE_CONFIDENCE);
    ER_CHECK_INT(erai_guard_feature(less, FEATURES + 2, &feature), ERAI_OK);
    ER_CHECK_STR(feature.name, "confidence of y");
    ER_CHECK(feature.reference_rows == 100 && feature.bins == 3 && feature.counts[0] == 70);
    ER_CHECK_INT(erai_guard_drift(less, &drift), ERAI_OK);
    ER_CHECK(drift.features == FEATURES + 3 && drift.strides[2] == 3 && drift.strides[FEATURES + 2] == 8);
    ER_CHECK_INT(erai_guard_events(less, &events), ERAI_OK);
    ER_CHECK(events.features == FEATURES + 3 && events.forms[1] == ERAI_FIELD_PLAIN);
    erai_guard_close(less);
    less = without(guard, named("categories"));
    ER_CHECK_INT(erai_guard_observations(less), 3);
    ER_CHECK_INT(erai_guard_drift(less, &drift), ERAI_OK);
    ER_CHECK(drift.strides[FEATURES + 1] == 6 && drift.strides[FEATURES + 2] == 8);
    erai_guard_close(less);
    less = without(guard, named("observations"));
    ER_CHECK(!erai_guard_observations(less) &&
             !erai_guard_distance(less, 0, &(erai_distance_rule){.struct_size = sizeof(erai_distance_rule)}));
    ER_CHECK_INT(erai_guard_drift(less, &drift), ERAI_OK);
    ER_CHECK(drift.features == FEATURES && drift.outside[2] == 4);
    erai_guard_close(less);
    erai_guard_close(guard);
}

static void whatever_is_left_out_first_the_rest_is_the_same(void) {
    erai_guard *guard = open_guard(), *all = without(guard, named("all of them"));
    erai_guard *rest = guard;
    for (size_t i = BENCH_SAFEGUARDS - 1; i-- > 0;) {
        erai_guard *less = without(rest, i);
        if (!less) continue;
        if (rest != guard) erai_guard_close(rest);
        rest = less;
    }
    uint8_t *left = NULL;
    size_t size = 0;
    ER_CHECK_INT(bench_guard_without(rest, named("all of them"), &left, &size, NULL), FINE);
    ER_CHECK(!left);
    ER_CHECK_INT(bench_guard_without(all, named("ranges"), &left, &size, NULL), FINE);
    ER_CHECK(!left);
    erai_guard_close(rest);
    erai_guard_close(all);
    erai_guard_close(guard);
}

int main(void) {
    ER_RUN(each_safeguard_there_is_can_be_left_out_once);
    ER_RUN(all_else_stays_to_the_bit);
    ER_RUN(an_observation_goes_with_the_rule_that_it_is_of_and_the_others_stay);
    ER_RUN(whatever_is_left_out_first_the_rest_is_the_same);
    return er_test_result();
}
