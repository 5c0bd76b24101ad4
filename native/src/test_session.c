/* See test_session.h. SPDX-License-Identifier: Apache-2.0 */
#include "test_session.h"

#include <stdlib.h>

static void must(int holds) {
    if (!holds) abort();
}

erai_policy *test_policy(int batched) {
    static const int64_t shape[] = {-1, 1}, most[] = {4096, 1}, one[] = {1};
    erai_policy *policy = NULL;
    must(erai_policy_open(batched, &policy) == ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = batched ? shape : one,
                             .max_shape = batched ? most : one,
                             .rank = batched ? 2 : 1,
                             .dtype = ERAI_DTYPE_FLOAT32,
                             .flags = ERAI_RULE_FINITE,
                             .feature_axis = -1,
                             .sketch_stride = 1};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    erai_feature_rule feature = {.struct_size = sizeof feature, .name = "x", .low = -10, .high = 10};
    must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    return policy;
}

void test_add_output(erai_policy *policy, const char *name, erai_output_rule rule) {
    rule.struct_size = sizeof rule;
    rule.name = name;
    if (!rule.dtype && !(rule.flags & ERAI_RULE_NO_TENSOR)) rule.dtype = ERAI_DTYPE_FLOAT32;
    if (rule.default_size) rule.flags |= ERAI_RULE_HAS_DEFAULT;
    rule.flags |= ERAI_RULE_FINITE;
    must(erai_policy_add_output(policy, &rule, NULL) == ERAI_OK);
}

void test_add_check(erai_policy *policy, erai_check_rule rule) {
    rule.struct_size = sizeof rule;
    must(erai_policy_add_check(policy, &rule, NULL) == ERAI_OK);
}

void test_set_decision(erai_policy *policy, erai_decision_rule rule) {
    rule.struct_size = sizeof rule;
    must(erai_policy_set_decision(policy, &rule, NULL) == ERAI_OK);
}

void test_add_fallback(erai_policy *policy, uint64_t reasons, const uint32_t *chain, uint32_t steps) {
    erai_fallback_rule rule = {.struct_size = sizeof rule, .reasons = reasons, .chain = chain, .steps = steps};
    must(erai_policy_add_fallback(policy, &rule, NULL) == ERAI_OK);
}

erai_session *test_session(erai_policy *policy, const erai_clock *clock) {
    static const uint8_t digest[ERAI_DIGEST_SIZE] = {1};
    erai_session_config config = {.struct_size = sizeof config, .clock = clock};
    size_t size = 0;
    must(erai_policy_write(policy, NULL, 0, &size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(size);
    must(bytes && erai_policy_write(policy, bytes, size, &size, NULL) == ERAI_OK);
    erai_policy_close(policy);
    erai_guard *guard = NULL;
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    free(bytes);
    erai_session *session = NULL;
    must(erai_session_open_guard(guard, digest, &config, &session, NULL) == ERAI_OK);
    erai_guard_close(guard);
    return session;
}

erai_answer *test_answer(erai_session *session) {
    erai_answer *answer = NULL;
    must(erai_answer_open(session, &answer) == ERAI_OK);
    return answer;
}

size_t test_call(erai_session *session, erai_answer *answer, const float *x, size_t rows, const erai_tensor *outputs,
                 size_t count) {
    int batched = erai_guard_batched(erai_session_guard(session));
    int64_t shape[] = {(int64_t)rows, 1};
    erai_tensor input = {.data = x, .shape = shape, .rank = batched ? 2 : 1, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted = 0;
    must(erai_admit(session, &input, 1, answer, &admitted) == ERAI_OK);
    must(erai_judge(session, outputs, admitted ? count : 0, answer) == ERAI_OK);
    return admitted;
}

size_t test_call_floats(erai_session *session, erai_answer *answer, const float *x, size_t rows, const float *y,
                        size_t columns) {
    int64_t shape[] = {(int64_t)rows, (int64_t)columns};
    erai_tensor output = {.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    return test_call(session, answer, x, rows, &output, 1);
}

static erai_snapshot_info counted(erai_session *session, erai_snapshot **snapshot) {
    erai_snapshot_info info;
    must(erai_session_snapshot(session, snapshot, NULL) == ERAI_OK);
    erai_snapshot_read(*snapshot, &info);
    return info;
}

uint64_t test_decisions(erai_session *session, erai_decision_count which) {
    erai_snapshot *snapshot = NULL;
    uint64_t count = counted(session, &snapshot).decisions[which];
    erai_snapshot_close(snapshot);
    return count;
}

uint64_t test_reasons(erai_session *session, erai_reason_code code) {
    erai_snapshot *snapshot = NULL;
    uint64_t count = counted(session, &snapshot).reasons[code];
    erai_snapshot_close(snapshot);
    return count;
}
