/* Between the halves of a call, and at its edges: batches without a row, keys that come late or for rows that nobody
 * knows. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

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

/* An output that turned out to have no axes has a value without any row, which the call before must not lend. */
static void a_batch_without_a_row_where_the_rules_allow_none_is_nobodys_to_answer(void) {
    static const uint32_t chain[] = {ERAI_SOURCE_DEFAULT, ERAI_SOURCE_NONE};
    static const float x[] = {1, 2}, y[] = {0.5f, 0.25f}, total = 7;
    const int64_t shape[] = {2, 1};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = column, .rank = 2});
    test_add_output(policy, "total", (erai_output_rule){.shape = column, .rank = 2});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const erai_tensor outputs[] = {{.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                                   {.data = &total, .shape = shape, .rank = 0, .dtype = ERAI_DTYPE_FLOAT32}};
    erai_tensor output;
    for (int before = 0; before < 2; before++) {
        ER_CHECK_INT(test_call_floats(session, answer, NULL, 0, NULL, 1), 0);
        check_empty(answer);
        ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
        ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
        ER_CHECK_INT(erai_answer_output(answer, 1, &output), ERAI_OK);
        ER_CHECK(before ? output.rank == 0 && isnan(*(const float *)output.data) : output.shape[0] == 0);
        test_call(session, answer, x, 2, outputs, 2);
        ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
        ER_CHECK_INT(erai_answer_output(answer, 1, &output), ERAI_OK);
        ER_CHECK(*(const float *)output.data == total);
    }
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS), 2);
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

static void check_forgotten(const erai_answer *answer) {
    erai_tensor output;
    erai_value value;
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
    ER_CHECK_INT(erai_answer_rows(answer, NULL, NULL), 0);
    ER_CHECK_INT(erai_answer_reasons(answer, NULL), 0);
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_answer_value(answer, 0, &value), ERAI_E_ARGUMENT);
    ER_CHECK(erai_answer_review(answer) == NULL);
    ER_CHECK_INT(*erai_answer_layout(answer), 0);
}

static uint64_t count_errors(erai_session *session) {
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    ER_CHECK_INT(erai_session_snapshot(session, &snapshot, NULL), ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    erai_snapshot_close(snapshot);
    return info.errors;
}

/* One of the ways in which a call fails, after a good one. */
static erai_status fail(int way, erai_session *session, erai_session *other, erai_answer *answer) {
    static const float x[] = {1};
    static const int64_t shape[] = {1, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted;
    switch (way) {
    case 0: return erai_admit(session, NULL, 1, answer, &admitted);
    case 1: return erai_admit(session, &input, 1, answer, NULL);
    case 2: return erai_admit(other, &input, 1, answer, &admitted);
    case 3: return erai_judge(session, NULL, 1, answer);
    case 4: return erai_judge(NULL, &input, 1, answer);
    case 5: return erai_session_predict(session, NULL, 1, answer);
    case 6: return erai_session_predict(NULL, &input, 1, answer);
    default: return erai_admit(session, &input, 2, answer, &admitted);
    }
}

static void a_call_that_fails_leaves_nothing_of_the_one_before(void) {
    static const float x[] = {1, 2}, y[] = {0.5f, 0.25f}, nan[] = {NAN, NAN};
    erai_session *session = open_session(NULL), *other = open_session(NULL);
    erai_answer *answer = test_answer(session);
    check_forgotten(answer); /* there was none */
    for (int way = 0; way < 8; way++) {
        ER_CHECK_INT(test_call_floats(session, answer, x, 2, y, 1), 2);
        ER_CHECK(*erai_answer_layout(answer) >= 2);
        ER_CHECK_INT(erai_answer_set_keys(answer, two_keys, 2), ERAI_OK);
        ER_CHECK_INT(fail(way, session, other, answer), ERAI_E_ARGUMENT);
        check_forgotten(answer);
        ER_CHECK(*erai_answer_detail(answer) != 0);
        ER_CHECK_INT(count_errors(session), way + 1);
        ER_CHECK_INT(test_call_floats(session, answer, nan, 1, y, 1), 0); /* with two keys it would be an error */
        ER_CHECK_STR(erai_answer_detail(answer), "");
    }
    ER_CHECK_INT(erai_answer_set_keys(answer, two_keys, 2), ERAI_OK);
    ER_CHECK_INT(erai_answer_set_keys(answer, NULL, 2), ERAI_E_ARGUMENT);
    ER_CHECK_INT(answer->key_count, 0);
    erai_session_close(other);
    close_session(session, answer);
}

static void a_failed_call_leaves_no_row_in_the_queue_of_another(void) {
    static const uint32_t chain[] = {ERAI_SOURCE_ABSTAIN, ERAI_SOURCE_NONE};
    static const float x[] = {NAN, NAN}, y[] = {0, 0}, mixed[] = {1, NAN};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = column, .rank = 2});
    test_set_decision(policy, (erai_decision_rule){.review_rows = 8});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    test_call_floats(session, answer, x, 2, y, 1);
    ER_CHECK(erai_answer_review(answer) && erai_answer_review(answer)[0]);
    ER_CHECK_INT(fail(0, session, NULL, answer), ERAI_E_ARGUMENT);
    check_forgotten(answer);
    test_call_floats(session, answer, mixed, 2, y, 1);
    const uint64_t *ids = erai_answer_review(answer);
    ER_CHECK(ids && ids[0] == 0 && ids[1] != 0);
    ER_CHECK_INT(answer->row_reasons[0], 0);
    close_session(session, answer);
}

static void a_session_that_was_stopped_between_the_halves_does_not_answer(void) {
    static const float x[] = {1};
    const int64_t shape[] = {1, 1};
    const erai_tensor tensor = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session *session = open_session(NULL);
    erai_answer *answer = test_answer(session);
    size_t admitted = 0;
    ER_CHECK_INT(erai_admit(session, &tensor, 1, answer, &admitted), ERAI_OK);
    session->stopped = 1;
    ER_CHECK_INT(erai_judge(session, &tensor, 1, answer), ERAI_E_STOPPED);
    check_forgotten(answer);
    session->stopped = 0;
    ER_CHECK_INT(erai_judge(session, &tensor, 1, answer), ERAI_E_ARGUMENT); /* that call is over */
    ER_CHECK_INT(test_call_floats(session, answer, x, 1, x, 1), 1);
    close_session(session, answer);
}

static void of_rows_that_depend_on_each_other_one_bad_one_leaves_none_to_run(void) {
    static const float x[] = {1, NAN, 2}, good[] = {1, 2, 3}, y[] = {0.5f, 0.25f, 0.125f};
    erai_session *session = open_session(NULL);
    session->rows_depend = 1;
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(test_call_floats(session, answer, good, 3, y, 1), 3);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    ER_CHECK_INT(test_call_floats(session, answer, x, 3, y, 1), 0);
    ER_CHECK_INT(answer->rejected, 3);
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), 1);
    ER_CHECK_INT(test_call_floats(session, answer, x + 1, 1, y, 1), 0); /* alone it has no mates */
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), 1);
    close_session(session, answer);
}

static void a_clock_that_is_set_back_makes_no_call_and_no_window_long(void) {
    static const float x[] = {1};
    const int64_t shape[] = {1, 1};
    const erai_tensor tensor = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_clock clock = {.monotonic_ns = 1000};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = column, .rank = 2});
    erai_session *session = test_session(policy, &clock);
    erai_answer *answer = test_answer(session);
    size_t admitted = 0;
    ER_CHECK_INT(erai_admit(session, &tensor, 1, answer, &admitted), ERAI_OK);
    clock.monotonic_ns = 10;
    ER_CHECK_INT(erai_judge(session, &tensor, 1, answer), ERAI_OK);
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    ER_CHECK_INT(erai_session_snapshot(session, &snapshot, NULL), ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    ER_CHECK(info.latency_sum_ns == 0 && info.latency[0] == 1 && info.duration_ns == 0);
    erai_snapshot_close(snapshot);
    close_session(session, answer);
}

int main(void) {
    ER_RUN(a_batch_without_a_row_has_outputs_without_a_row);
    ER_RUN(a_batch_without_a_row_that_is_refused_is_rejected_all_the_same);
    ER_RUN(a_batch_without_a_row_where_the_rules_allow_none_is_nobodys_to_answer);
    ER_RUN(a_model_answers_a_batch_without_a_row);
    ER_RUN(keys_that_come_between_the_halves_must_be_one_a_row_too);
    ER_RUN(an_input_of_another_type_is_rejected_whatever_keys_its_rows_had);
    ER_RUN(a_call_that_fails_leaves_nothing_of_the_one_before);
    ER_RUN(a_failed_call_leaves_no_row_in_the_queue_of_another);
    ER_RUN(a_session_that_was_stopped_between_the_halves_does_not_answer);
    ER_RUN(of_rows_that_depend_on_each_other_one_bad_one_leaves_none_to_run);
    ER_RUN(a_clock_that_is_set_back_makes_no_call_and_no_window_long);
    return er_test_result();
}
