/* A guard with one safeguard switched off: its rules are read back one by one, and all but that one's given to a new
 * policy. SPDX-License-Identifier: Apache-2.0 */
#include "safeguards.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum safeguard {
    FINITE_INPUTS,
    RANGES,
    CATEGORIES,
    FIRST_OF_CHECKS = CATEGORIES,
    DISTANCE = FIRST_OF_CHECKS + 8,
    OBSERVATIONS,
    DRIFT_COUNTS,
    RATE_LIMIT,
    BREAKER,
    DEADLINE,
    FINITE_OUTPUTS,
    HYSTERESIS = FINITE_OUTPUTS + 4,
    FALLBACK,
    ALL
};

const char *const bench_safeguards[BENCH_SAFEGUARDS] = {
    "finite inputs", "ranges",         "categories",   "whole numbers", "stuck",
    "step",          "means",          "clipped",      "strings",       "time stamps",
    "distance",      "observations",   "drift counts", "rate limit",    "circuit breaker",
    "deadline",      "finite outputs", "output range", "output sum",    "output confidence",
    "hysteresis",    "fallback",       "all of them"};

#define KIND(name) (UINT32_C(1) << ERAI_CHECK_##name)

/* Of the safeguards that are checks, which kinds. */
static const uint32_t kinds[BENCH_SAFEGUARDS] = {
    [FIRST_OF_CHECKS] = KIND(CATEGORIES),
    [FIRST_OF_CHECKS + 1] = KIND(INTEGRAL),
    [FIRST_OF_CHECKS + 2] = KIND(STUCK),
    [FIRST_OF_CHECKS + 3] = KIND(STEP),
    [FIRST_OF_CHECKS + 4] = KIND(MEAN) | KIND(STDDEV),
    [FIRST_OF_CHECKS + 5] = KIND(CLIPPED),
    [FIRST_OF_CHECKS + 6] = KIND(LENGTH) | KIND(CHARACTERS),
    [FIRST_OF_CHECKS + 7] = KIND(MONOTONIC) | KIND(AGE),
    [FINITE_OUTPUTS + 1] = KIND(RANGE),
    [FINITE_OUTPUTS + 2] = KIND(SUM),
    [FINITE_OUTPUTS + 3] = KIND(CONFIDENCE) | KIND(MARGIN) | KIND(ENTROPY),
    [ALL] = ~KIND(MISSING),
};

/* A guard's rules on their way into a policy. `off` is the safeguard that is left out; BENCH_SAFEGUARDS: none. */
typedef struct copying {
    const erai_guard *guard;
    erai_policy *policy;
    size_t off;
    char *detail;
} copying;

static int is_off(const copying *copy, enum safeguard safeguard) {
    return copy->off == (size_t)safeguard || copy->off == ALL;
}

static erai_status copy_checks(const copying *copy, int of_output, size_t index, uint32_t count) {
    erai_check_rule check = {.struct_size = sizeof check};
    erai_status status = ERAI_OK;
    for (uint32_t i = 0; i < count && !status; i++) {
        status = erai_guard_check(copy->guard, of_output, index, i, &check);
        uint32_t kind = UINT32_C(1) << check.kind;
        if (!status && !(copy->off < BENCH_SAFEGUARDS && kinds[copy->off] & kind))
            status = erai_policy_add_check(copy->policy, &check, copy->detail);
    }
    return status;
}

static erai_status copy_feature(const copying *copy, size_t index) {
    erai_feature_rule rule = {.struct_size = sizeof rule};
    erai_status status = erai_guard_feature(copy->guard, index, &rule);
    if (status) return status;
    if (is_off(copy, RANGES)) {
        rule.low = -(double)INFINITY;
        rule.high = (double)INFINITY;
    }
    if (is_off(copy, DRIFT_COUNTS)) {
        rule.bins = 0;
        rule.reference_rows = 0;
        rule.mean = rule.stddev = 0;
    }
    status = erai_policy_add_feature(copy->policy, &rule, copy->detail);
    return status ? status : copy_checks(copy, 0, index, rule.checks);
}

static erai_status copy_distance(const copying *copy, size_t input, uint32_t features) {
    erai_distance_rule rule = {.struct_size = sizeof rule};
    if (is_off(copy, DISTANCE) || erai_guard_distance(copy->guard, input, &rule)) return ERAI_OK;
    float *projection = bench_allocate((size_t)rule.directions * features, sizeof *projection);
    erai_guard_projection(copy->guard, input, projection);
    rule.projection = projection;
    erai_status status = erai_policy_set_distance(copy->policy, &rule, copy->detail);
    free(projection);
    return status;
}

static erai_status copy_inputs(const copying *copy) {
    erai_input_rule rule = {.struct_size = sizeof rule};
    erai_status status = ERAI_OK;
    size_t feature = 0;
    for (size_t i = 0; !status && !erai_guard_input(copy->guard, i, &rule); i++) {
        if (is_off(copy, FINITE_INPUTS)) rule.flags &= ~ERAI_RULE_FINITE;
        status = erai_policy_add_input(copy->policy, &rule, copy->detail);
        for (uint32_t f = 0; f < rule.feature_count && !status; f++) status = copy_feature(copy, feature++);
        if (!status) status = copy_distance(copy, i, rule.feature_count);
    }
    return status;
}

static erai_status copy_outputs(const copying *copy) {
    erai_output_rule rule = {.struct_size = sizeof rule};
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && !erai_guard_output(copy->guard, i, &rule); i++) {
        uint32_t checks = rule.checks;
        if (is_off(copy, FINITE_OUTPUTS)) rule.flags &= ~ERAI_RULE_FINITE;
        status = erai_policy_add_output(copy->policy, &rule, copy->detail);
        if (!status) status = copy_checks(copy, 1, i, checks);
    }
    return status;
}

static erai_status copy_decision(const copying *copy) {
    static const erai_decision_rule none = {.struct_size = sizeof none};
    erai_decision_rule rule;
    erai_guard_decision(copy->guard, &rule);
    if (is_off(copy, RATE_LIMIT)) {
        rule.rate_per_second = 0;
        rule.rate_burst = 0;
    }
    if (is_off(copy, BREAKER)) {
        rule.breaker_cooldown_ns = 0;
        rule.breaker_window = rule.breaker_failures = rule.breaker_probes = 0;
        rule.flags &= ~(ERAI_DECISION_BREAK_ON_ERROR | ERAI_DECISION_BREAK_ON_DEADLINE | ERAI_DECISION_BREAK_ON_REJECT);
    }
    if (is_off(copy, DEADLINE)) rule.deadline_ns = 0;
    if (is_off(copy, HYSTERESIS)) rule.hold_after = rule.hold_until = 0;
    if (is_off(copy, FALLBACK)) {
        rule.last_good_age_ns = 0;
        rule.last_good_keys = rule.review_rows = 0;
        rule.flags &= ~ERAI_DECISION_SHARED;
    }
    if (!memcmp(&rule, &none, sizeof rule)) return ERAI_OK;
    return erai_policy_set_decision(copy->policy, &rule, copy->detail);
}

/* Whether a feature stays: an observation goes with what is counted for drift, and with the rule that it is of. */
static int is_kept(const copying *copy, size_t feature) {
    erai_observation_rule rule = {.struct_size = sizeof rule};
    size_t given = erai_guard_features(copy->guard) - erai_guard_observations(copy->guard);
    if (feature < given || erai_guard_observation(copy->guard, feature - given, &rule)) return 1;
    int is_gone = (rule.kind == ERAI_OBSERVE_DISTANCE && is_off(copy, DISTANCE)) ||
                  (rule.kind == ERAI_OBSERVE_CATEGORY && is_off(copy, CATEGORIES));
    return !is_gone && !is_off(copy, OBSERVATIONS) && !is_off(copy, DRIFT_COUNTS);
}

static erai_status copy_observations(const copying *copy) {
    erai_observation_rule rule = {.struct_size = sizeof rule};
    erai_feature_rule feature = {.struct_size = sizeof feature};
    size_t features = erai_guard_features(copy->guard), given = features - erai_guard_observations(copy->guard);
    erai_status status = ERAI_OK;
    for (size_t i = given; i < features && !status; i++) {
        if (!is_kept(copy, i)) continue;
        status = erai_guard_observation(copy->guard, i - given, &rule);
        if (!status) status = erai_guard_feature(copy->guard, i, &feature);
        if (!status) status = erai_policy_add_observation(copy->policy, &rule, &feature, copy->detail);
    }
    return status;
}

/* Without a reference there is no bin that an event could name. */
static erai_status copy_events(const copying *copy) {
    erai_events_rule rule = {.struct_size = sizeof rule};
    if (erai_guard_events(copy->guard, &rule)) return ERAI_OK;
    uint8_t *forms = bench_allocate(rule.features, sizeof *forms);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rule.features; i++) {
        if (!is_kept(copy, i)) continue;
        int gone = rule.forms[i] == ERAI_FIELD_BUCKET && is_off(copy, DRIFT_COUNTS);
        forms[kept++] = gone ? ERAI_FIELD_DROP : rule.forms[i];
    }
    rule.forms = forms;
    rule.features = kept;
    erai_status status = erai_policy_set_events(copy->policy, &rule, copy->detail);
    free(forms);
    return status;
}

static erai_status copy_drift(const copying *copy) {
    erai_drift_rule rule = {.struct_size = sizeof rule};
    if (is_off(copy, DRIFT_COUNTS) || erai_guard_drift(copy->guard, &rule)) return ERAI_OK;
    uint32_t *strides = bench_allocate(rule.features, sizeof *strides), kept = 0;
    uint64_t *outside = bench_allocate(rule.features, sizeof *outside);
    for (uint32_t i = 0; i < rule.features; i++) {
        if (!is_kept(copy, i)) continue;
        outside[kept] = rule.outside && !is_off(copy, RANGES) ? rule.outside[i] : 0;
        strides[kept++] = rule.strides[i];
    }
    rule.strides = strides;
    rule.outside = outside;
    rule.features = kept;
    erai_status status = erai_policy_set_drift(copy->policy, &rule, copy->detail);
    free(strides);
    free(outside);
    return status;
}

static erai_status copy_rest(const copying *copy) {
    erai_fallback_rule fallback = {.struct_size = sizeof fallback};
    erai_state_rule state = {.struct_size = sizeof state};
    erai_status status = copy_decision(copy);
    for (size_t i = 0; !status && !is_off(copy, FALLBACK) && !erai_guard_fallback(copy->guard, i, &fallback); i++)
        status = erai_policy_add_fallback(copy->policy, &fallback, copy->detail);
    for (size_t i = 0; !status && !erai_guard_state(copy->guard, i, &state); i++)
        status = erai_policy_add_state(copy->policy, &state, copy->detail);
    if (!status) status = copy_events(copy);
    return status ? status : copy_drift(copy);
}

/* The guard program without a safeguard; NULL: it cannot be, and why. */
static uint8_t *written(const erai_guard *guard, size_t off, size_t *size, char *detail) {
    copying copy = {.guard = guard, .off = off, .detail = detail};
    uint8_t *program = NULL;
    *size = 0;
    if (erai_policy_open(erai_guard_batched(guard), &copy.policy)) return NULL;
    erai_status status = copy_inputs(&copy);
    if (!status) status = copy_outputs(&copy);
    if (!status) status = copy_observations(&copy);
    if (!status) status = copy_rest(&copy);
    if (!status && erai_policy_write(copy.policy, NULL, 0, size, NULL) == ERAI_E_SIZE) {
        program = bench_allocate(*size, 1);
        if (erai_policy_write(copy.policy, program, *size, size, detail)) {
            free(program);
            program = NULL;
        }
    }
    erai_policy_close(copy.policy);
    return program;
}

int bench_guard_without(const erai_guard *guard, size_t safeguard, uint8_t **program, size_t *size, char *detail) {
    char why[ERAI_DETAIL_SIZE] = "out of memory";
    size_t whole_size;
    uint8_t *whole = written(guard, BENCH_SAFEGUARDS, &whole_size, why);
    *program = written(guard, safeguard, size, why);
    int code = whole && *program ? FINE
                                 : bench_fail(detail, UNSOUND, "the guard without %s cannot be made: %.400s",
                                              bench_safeguards[safeguard], why);
    if (code || (*size == whole_size && !memcmp(*program, whole, whole_size))) {
        free(*program);
        *program = NULL;
    }
    free(whole);
    return code;
}
