/* See test_checks.h. SPDX-License-Identifier: Apache-2.0 */
#include "test_checks.h"

#include <math.h>
#include <stdlib.h>

static void must(int holds) {
    if (!holds) abort();
}

static const uint8_t model_digest[ERAI_DIGEST_SIZE] = {1};
static const char *const names[TEST_CHECKED_FEATURES] = {"f0", "f1", "f2"};

test_checks test_checks_open(test_layout layout, const erai_check_rule *checks, size_t count) {
    const int64_t shape[] = {(int64_t)layout.outer, TEST_CHECKED_FEATURES, (int64_t)layout.inner}, output_shape[] = {1};
    erai_policy *policy = NULL;
    must(erai_policy_open(0, &policy) == ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = shape,
                             .rank = 3,
                             .dtype = layout.dtype,
                             .flags = layout.flags,
                             .feature_axis = 1,
                             .sketch_stride = 1};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    for (size_t f = 0; f < TEST_CHECKED_FEATURES; f++) {
        erai_feature_rule feature = {
            .struct_size = sizeof feature, .name = names[f], .low = -(double)INFINITY, .high = (double)INFINITY};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
        for (size_t i = 0; f == 1 && i < count; i++) {
            erai_check_rule check = checks[i];
            check.struct_size = sizeof check;
            if (!check.verdict && check.kind != ERAI_CHECK_MISSING) check.verdict = ERAI_VERDICT_REJECT;
            must(erai_policy_add_check(policy, &check, NULL) == ERAI_OK);
        }
    }
    if (layout.distance) must(erai_policy_set_distance(policy, layout.distance, NULL) == ERAI_OK);
    erai_output_rule output = {
        .struct_size = sizeof output, .name = "y", .shape = output_shape, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    must(erai_policy_add_output(policy, &output, NULL) == ERAI_OK);
    size_t size;
    must(erai_policy_write(policy, NULL, 0, &size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(size);
    erai_guard *guard = NULL;
    must(bytes && erai_policy_write(policy, bytes, size, &size, NULL) == ERAI_OK);
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    test_checks made = {
        .row = {.outer = layout.outer, .features = TEST_CHECKED_FEATURES, .inner = layout.inner, .in_order = 1}};
    must(erai_session_open_guard(guard, model_digest, NULL, &made.session, NULL) == ERAI_OK);
    must(erai_answer_open(made.session, &made.answer) == ERAI_OK);
    made.row.input = &made.session->guard->inputs[0];
    erai_guard_close(guard);
    erai_policy_close(policy);
    free(bytes);
    return made;
}

void test_checks_close(test_checks *rig) {
    erai_answer_close(rig->answer);
    erai_session_close(rig->session);
}

size_t test_check(test_checks *rig, const void *values) {
    must(er_answer_begin(rig->answer, 1, ERAI_VERDICT_ACCEPT) == ERAI_OK);
    rig->row.values = values;
    er_check_row(rig->answer, &rig->row);
    return rig->answer->reason_count;
}
