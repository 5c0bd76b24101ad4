/* Between the halves of a call, and at its edges: batches without a row, keys that come late or for rows that nobody
 * knows. SPDX-License-Identifier: Apache-2.0 */
#include "er_test.h"
#include "session.h"
#include "test_model.h"
#include "test_session.h"

static const int64_t column[] = {-1, 1};

/* Two keys are remembered; a batch may be empty. */
static erai_session *open_session(er_model *model) {
    static const uint32_t chain[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_NONE};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = column, .rank = 2});
    test_set_decision(policy, (erai_decision_rule){.last_good_keys = 2, .last_good_age_ns = UINT64_MAX});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    erai_session *session = test_session(policy, NULL);
    session->guard->inputs[0].flags |= ERAI_RULE_EMPTY;
    session->model = model;
    return session;
}

static void close_session(erai_session *session, erai_answer *answer) {
    erai_answer_close(answer);
    erai_session_close(session);
}

static void check_empty(const erai_answer *answer) {
    erai_tensor output;
    ER_CHECK_INT(erai_answer_rows(answer, NULL, NULL), 0);
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(output.rank == 2 && output.shape[0] == 0 && output.shape[1] == 1);
}

static void a_batch_without_a_row_has_outputs_without_a_row(void) {
    static const float x[] = {1, 2}, y[] = {0.5f, 0.25f};
    erai_session *session = open_session(NULL);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(test_call_floats(session, answer, NULL, 0, NULL, 1), 0);
    check_empty(answer);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    ER_CHECK_INT(test_call_floats(session, answer, x, 2, y, 1), 2);
    ER_CHECK_INT(test_call_floats(session, answer, NULL, 0, NULL, 1), 0);
    check_empty(answer);
    close_session(session, answer);
}

static void a_batch_without_a_row_that_is_refused_is_rejected_all_the_same(void) {
    const int64_t shape[] = {0, 1};
    const erai_tensor doubles = {.shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT64};
    erai_session *session = open_session(NULL);
    erai_answer *answer = test_answer(session);
    size_t admitted = 9;
    ER_CHECK_INT(erai_admit(session, &doubles, 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(admitted, 0);
    ER_CHECK_INT(erai_judge(session, NULL, 0, answer), ERAI_OK);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
    check_empty(answer);
    close_session(session, answer);
}

static void a_model_answers_a_batch_without_a_row(void) {
    static const test_node node = {"Mul", {"x", "ten"}, "y"};
    static const test_constant ten = {"ten", {1, 1}, 10};
    static const float x[] = {1, 2};
    er_model *model = test_model_open((test_model){&node, &ten, 1, 1});
    if (!model) {
        puts("skip: no ONNX Runtime; ERAI_ONNXRUNTIME names its library");
        return;
    }
    erai_session *session = open_session(model);
    erai_answer *answer = test_answer(session);
    int64_t shape[] = {2, 1};
    erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK_INT(erai_session_predict(session, &input, 1, answer), ERAI_OK);
    shape[0] = 0;
    ER_CHECK_INT(erai_session_predict(session, &input, 1, answer), ERAI_OK);
    check_empty(answer);
    ER_CHECK(answer->ran);
    close_session(session, answer);
}

static const erai_string two_keys[] = {{"a", 1}, {"b", 1}};

static void keys_that_come_between_the_halves_must_be_one_a_row_too(void) {
    static const float x[] = {1, 2, 3}, y[] = {0.5f, 0.25f, 0.125f};
    const int64_t shape[] = {3, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_tensor output = {.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session *session = open_session(NULL);
    erai_answer *answer = test_answer(session);
    size_t admitted = 0;
    ER_CHECK_INT(erai_admit(session, &input, 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_answer_set_keys(answer, two_keys, 2), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, &output, 1, answer), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "2 keys for 3 rows");
    ER_CHECK_INT(test_call_floats(session, answer, x, 3, y, 1), 3); /* they are gone */
    close_session(session, answer);
}

static void an_input_of_another_type_is_rejected_whatever_keys_its_rows_had(void) {
    const int64_t shape[] = {2, 1};
    const double x[] = {1, 2};
    const erai_tensor flat = {.data = x, .shape = shape, .rank = 1, .dtype = ERAI_DTYPE_FLOAT64};
    const erai_tensor scalar = {.data = x, .shape = shape, .rank = 0, .dtype = ERAI_DTYPE_FLOAT64};
    const erai_tensor *const inputs[] = {&flat, &scalar};
    erai_session *session = open_session(NULL);
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < 2; i++) {
        size_t admitted = 9;
        ER_CHECK_INT(erai_answer_set_keys(answer, two_keys, 2), ERAI_OK);
        ER_CHECK_INT(erai_admit(session, inputs[i], 1, answer, &admitted), ERAI_OK);
        ER_CHECK_INT(admitted, 0);
        ER_CHECK_INT(erai_judge(session, NULL, 0, answer), ERAI_OK);
        ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
    }
    close_session(session, answer);
}

int main(void) {
    ER_RUN(a_batch_without_a_row_has_outputs_without_a_row);
    ER_RUN(a_batch_without_a_row_that_is_refused_is_rejected_all_the_same);
    ER_RUN(a_model_answers_a_batch_without_a_row);
    ER_RUN(keys_that_come_between_the_halves_must_be_one_a_row_too);
    ER_RUN(an_input_of_another_type_is_rejected_whatever_keys_its_rows_had);
    return er_test_result();
}
