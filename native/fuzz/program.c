/* See program.h. SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN 16 /* features from this one on have neither bins nor checks: a wide program stays small */

static void must(int holds) {
    if (!holds) abort();
}

static void add_checks(erai_policy *policy, const erai_check_rule *checks, int64_t without) {
    for (int64_t i = 0; checks && checks[i].kind; i++) {
        erai_check_rule check = checks[i];
        check.struct_size = sizeof check;
        if (i != without) must(erai_policy_add_check(policy, &check, NULL) == ERAI_OK);
    }
}

static void add_features(erai_policy *policy, const fuzz_input *input, int64_t count) {
    static const uint32_t bins[] = {ERAI_MAX_BINS, 5, 2, 1, 0};
    double edges[ERAI_MAX_BINS - 1];
    uint64_t counts[ERAI_MAX_BINS];
    int is_text = input->rule.dtype == ERAI_DTYPE_STRING;
    for (int i = 0; i < ERAI_MAX_BINS - 1; i++) edges[i] = (i - 15) / 4.0;
    for (int i = 0; i < ERAI_MAX_BINS; i++) counts[i] = (uint64_t)i;
    for (int64_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%d", input->rule.name, (int)i);
        erai_feature_rule feature = {.struct_size = sizeof feature,
                                     .name = name,
                                     .low = i % 3 == 2 || is_text ? -(double)INFINITY : -10.0,
                                     .high = i % 3 == 1 || is_text ? (double)INFINITY : 10.0,
                                     .mean = 0.5,
                                     .stddev = i % 4 == 3 ? 0.0 : 2.0,
                                     .reference_rows = 496,
                                     .edges = edges,
                                     .counts = counts,
                                     .bins = is_text || i >= PLAIN ? 0 : bins[i % 5]};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
        if (i < PLAIN) add_checks(policy, input->checks, i);
    }
}

/* A triangular factor: direction k has a part of the first k + 1 features. */
static void set_distance(erai_policy *policy, const fuzz_input *input, size_t features) {
    double *mean = calloc(features, sizeof *mean), *scale = calloc(features, sizeof *scale);
    float *projection = calloc(features * input->directions + 1, sizeof *projection), weights[64];
    must(mean && scale && projection && input->directions <= 64);
    for (size_t f = 0; f < features; f++) scale[f] = 0.5;
    for (size_t k = 0; k < input->directions; k++) {
        weights[k] = k % 3 ? 1.0f : -0.5f;
        for (size_t f = 0; f <= k && f < features; f++) projection[k * features + f] = 1.0f / (float)(1 + k - f);
    }
    erai_distance_rule rule = {.struct_size = sizeof rule,
                               .mean = mean,
                               .scale = scale,
                               .projection = projection,
                               .weights = weights,
                               .directions = input->directions,
                               .verdict = ERAI_VERDICT_REJECT,
                               .rest = 1.0,
                               .threshold = input->threshold,
                               .false_rejection_rate = 0.01};
    must(erai_policy_set_distance(policy, &rule, NULL) == ERAI_OK);
    free(mean);
    free(scale);
    free(projection);
}

static void add_decision(erai_policy *policy, const fuzz_program *program) {
    erai_decision_rule decision = *program->decision;
    decision.struct_size = sizeof decision;
    must(erai_policy_set_decision(policy, &decision, NULL) == ERAI_OK);
    for (const erai_fallback_rule *rule = program->fallbacks; rule && rule->steps; rule++) {
        erai_fallback_rule fallback = *rule;
        fallback.struct_size = sizeof fallback;
        must(erai_policy_add_fallback(policy, &fallback, NULL) == ERAI_OK);
    }
    for (const erai_state_rule *rule = program->states; rule && rule->input; rule++) {
        erai_state_rule state = *rule;
        state.struct_size = sizeof state;
        must(erai_policy_add_state(policy, &state, NULL) == ERAI_OK);
    }
}

erai_guard *fuzz_guard(const fuzz_program *program) {
    erai_policy *policy = NULL;
    erai_guard *guard = NULL;
    size_t size;
    must(erai_policy_open(program->batched, &policy) == ERAI_OK);
    for (const fuzz_input *it = program->inputs; it->rule.name; it++) {
        erai_input_rule input = it->rule;
        int64_t features = input.feature_axis < 0 ? 1 : input.shape[input.feature_axis];
        input.struct_size = sizeof input;
        must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
        add_features(policy, it, features);
        if (it->threshold > 0) set_distance(policy, it, (size_t)features);
    }
    for (const fuzz_output *it = program->outputs; it->rule.name; it++) {
        erai_output_rule output = it->rule;
        output.struct_size = sizeof output;
        must(erai_policy_add_output(policy, &output, NULL) == ERAI_OK);
        add_checks(policy, it->checks, -1);
    }
    if (program->decision) add_decision(policy, program);
    must(erai_policy_write(policy, NULL, 0, &size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(size);
    must(bytes && erai_policy_write(policy, bytes, size, &size, NULL) == ERAI_OK);
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    free(bytes);
    erai_policy_close(policy);
    return guard;
}

int fuzz_is_state(const erai_guard *guard, size_t input) {
    erai_input_rule rule, other;
    erai_state_rule state;
    must(erai_guard_input(guard, input, &rule) == ERAI_OK);
    for (size_t i = 0; i < input; i++) /* a state is the first input of its name */
        if (erai_guard_input(guard, i, &other) == ERAI_OK && strcmp(other.name, rule.name) == 0) return 0;
    for (size_t i = 0; erai_guard_state(guard, i, &state) == ERAI_OK; i++)
        if (strcmp(state.input, rule.name) == 0) return 1;
    return 0;
}
