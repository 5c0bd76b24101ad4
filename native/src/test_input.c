/* See test_input.h. SPDX-License-Identifier: Apache-2.0 */
#include "test_input.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void must(erai_status status, const char *detail) {
    if (status == ERAI_OK) return;
    fprintf(stderr, "%s\n", detail);
    abort();
}

static void add_features(erai_policy *policy, const test_input *input, char *detail) {
    int32_t axis = input->rule.feature_axis;
    int64_t count = axis < 0 ? 1 : input->rule.shape[axis];
    for (int64_t f = 0; f < count; f++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", (int)f);
        erai_feature_rule feature = input->features[f];
        feature.struct_size = sizeof feature;
        feature.name = name;
        must(erai_policy_add_feature(policy, &feature, detail), detail);
        if (!input->checks || !input->checks[f].kind) continue;
        erai_check_rule check = input->checks[f];
        check.struct_size = sizeof check;
        must(erai_policy_add_check(policy, &check, detail), detail);
    }
}

static void add_state_input(erai_policy *policy, char *detail) {
    static const int64_t shape[] = {-1, 1}, most[] = {4096, 1};
    const erai_input_rule input = {.struct_size = sizeof input,
                                   .name = "s",
                                   .shape = shape,
                                   .max_shape = most,
                                   .rank = 2,
                                   .dtype = ERAI_DTYPE_FLOAT32,
                                   .feature_axis = -1,
                                   .sketch_stride = 1};
    const erai_feature_rule feature = {
        .struct_size = sizeof feature, .name = "state", .low = -(double)INFINITY, .high = (double)INFINITY};
    must(erai_policy_add_input(policy, &input, detail), detail);
    must(erai_policy_add_feature(policy, &feature, detail), detail);
}

static void add_state(erai_policy *policy, char *detail) {
    static const int64_t shape[] = {-1, 1};
    const erai_output_rule output = {
        .struct_size = sizeof output, .name = "t", .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_state_rule state = {.struct_size = sizeof state, .input = "s", .output = "t"};
    must(erai_policy_add_output(policy, &output, detail), detail);
    must(erai_policy_add_state(policy, &state, detail), detail);
}

erai_session *test_input_open(const test_input *input) {
    static const uint8_t digest[ERAI_DIGEST_SIZE] = {0xcd};
    static const int64_t output_shape[] = {-1};
    char detail[ERAI_DETAIL_SIZE] = "out of memory";
    erai_policy *policy = NULL;
    erai_guard *guard = NULL;
    erai_session *session = NULL;
    must(erai_policy_open(input->batched, &policy), detail);
    if (input->has_state) add_state_input(policy, detail);
    erai_input_rule rule = input->rule;
    rule.struct_size = sizeof rule;
    rule.name = "x";
    must(erai_policy_add_input(policy, &rule, detail), detail);
    add_features(policy, input, detail);
    if (input->distance) must(erai_policy_set_distance(policy, input->distance, detail), detail);
    erai_output_rule output = {
        .struct_size = sizeof output, .name = "y", .shape = output_shape, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    must(erai_policy_add_output(policy, &output, detail), detail);
    if (input->has_state) add_state(policy, detail);
    size_t size = 0;
    erai_policy_write(policy, NULL, 0, &size, NULL);
    uint8_t *bytes = malloc(size);
    must(bytes ? erai_policy_write(policy, bytes, size, &size, detail) : ERAI_E_MEMORY, detail);
    must(erai_guard_open(bytes, size, &guard, detail), detail);
    must(erai_session_open_guard(guard, digest, NULL, &session, detail), detail);
    erai_guard_close(guard);
    erai_policy_close(policy);
    free(bytes);
    return session;
}

uint64_t test_random(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}
