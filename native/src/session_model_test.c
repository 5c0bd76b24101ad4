/* A model within the rules of its session: the gate and the cache, rows that depend on each other, the fallback model.
 * These are about the real runtime: without one they are skipped. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "er_test.h"
#include "session.h"
#include "test_model.h"
#include "test_session.h"

/* One output, answered by a chain whatever the reason. */
static erai_session *open_rules(erai_decision_rule decision, const uint32_t *chain, uint32_t steps,
                                const erai_clock *clock) {
    static const int64_t shape[] = {-1, 1};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = shape, .rank = 2});
    test_set_decision(policy, decision);
    test_add_fallback(policy, UINT64_MAX, chain, steps);
    return test_session(policy, clock);
}

/* Predicts `count` rows; what came out. */
static const float *predict(erai_session *session, erai_answer *answer, const float *x, size_t count) {
    int64_t shape[] = {(int64_t)count, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK_INT(erai_session_predict(session, &input, 1, answer), ERAI_OK);
    return answer->outputs[0].data;
}

static void close_session(erai_session *session, erai_answer *answer) {
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_known_answer_is_given_without_asking_the_gate(void) {
    static const float x[] = {1, 2, 3};
    static const uint32_t chain[] = {ERAI_SOURCE_NONE};
    erai_clock clock = {.monotonic_ns = 1000};
    erai_session *session = open_rules((erai_decision_rule){.breaker_window = 2,
                                                            .breaker_failures = 2,
                                                            .breaker_probes = 1,
                                                            .breaker_cooldown_ns = 10,
                                                            .rate_per_second = 1e-9,
                                                            .rate_burst = 14,
                                                            .flags = ERAI_DECISION_BREAK_ON_ERROR},
                                       chain, 1, &clock);
    session->model = test_two_rows();
    session->cache = er_cache_open(1 << 16);
    erai_answer *answer = test_answer(session);
    predict(session, answer, x, 2);
    predict(session, answer, x, 3);
    predict(session, answer, x, 2); /* says nothing of the model */
    predict(session, answer, x, 3);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    ER_CHECK(answer->breaker_opened);
    for (int i = 0; i < 2; i++) { /* open, and half open */
        ER_CHECK(predict(session, answer, x, 2)[1] == 3);
        ER_CHECK(!answer->breaker_opened);
        ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
        ER_CHECK_INT(erai_session_breaker(session), i ? ERAI_BREAKER_HALF_OPEN : ERAI_BREAKER_OPEN);
        clock.monotonic_ns += 20;
    }
    predict(session, answer, x, 1); /* a probe */
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_CACHE_HITS), 3);
    predict(session, answer, x + 1, 2);
    predict(session, answer, x + 1, 2);
    predict(session, answer, x, 3); /* the fourteenth token was the last but two */
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_RATE_LIMITED), 0);
    ER_CHECK(predict(session, answer, x, 2)[1] == 3);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    close_session(session, answer);
}

static void a_batch_without_a_row_is_not_run_while_the_breaker_is_not_closed(void) {
    static const float x[] = {1, 2, 3};
    static const uint32_t chain[] = {ERAI_SOURCE_NONE};
    erai_clock clock = {.monotonic_ns = 1000};
    erai_session *session = open_rules((erai_decision_rule){.breaker_window = 2,
                                                            .breaker_failures = 2,
                                                            .breaker_probes = 1,
                                                            .breaker_cooldown_ns = 10,
                                                            .flags = ERAI_DECISION_BREAK_ON_ERROR},
                                       chain, 1, &clock);
    session->guard->inputs[0].flags |= ERAI_RULE_EMPTY;
    session->model = test_two_rows();
    erai_answer *answer = test_answer(session);
    predict(session, answer, x, 3);
    predict(session, answer, x, 3);
    for (int i = 0; i < 2; i++) {
        ER_CHECK_INT(erai_session_breaker(session), i ? ERAI_BREAKER_HALF_OPEN : ERAI_BREAKER_OPEN);
        predict(session, answer, x, 0);
        ER_CHECK(!answer->ran);
        ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
        ER_CHECK_INT(test_reasons(session, ERAI_REASON_BREAKER_OPEN), i + 1);
        clock.monotonic_ns += 20;
    }
    predict(session, answer, x, 2);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    close_session(session, answer);
}

static void rows_that_are_known_to_depend_are_not_run_beside_a_rejected_one(void) {
    static const float x[] = {1, 2, NAN};
    static const uint32_t chain[] = {ERAI_SOURCE_FALLBACK_MODEL, ERAI_SOURCE_NONE};
    static const int64_t shape[] = {3, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session *session = open_rules((erai_decision_rule){0}, chain, 2, NULL);
    session->model = test_plus_mean();
    session->fallback = test_times_ten();
    session->rows_depend = 1;
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(erai_session_predict(session, &input, 1, answer), ERAI_OK);
    const float *y = answer->outputs[0].data;
    ER_CHECK(!answer->ran);
    ER_CHECK_INT(answer->rejected, 3);
    ER_CHECK(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), 1);
    ER_CHECK(!er_infer_fallback(answer)); /* nor does the fallback model beside a stand-in */
    session->rows_depend = 0;
    ER_CHECK(er_infer_fallback(answer));
    session->rows_depend = 1;
    ER_CHECK(predict(session, answer, x, 2)[0] == 2.5f);
    ER_CHECK_INT(answer->rejected, 0);
    close_session(session, answer);
}

static void rows_that_are_known_to_depend_are_not_run_when_the_rate_limit_leaves_one_out(void) {
    static const float x[] = {1, 2, 3};
    static const uint32_t chain[] = {ERAI_SOURCE_NONE};
    erai_clock clock = {.monotonic_ns = 1000};
    erai_session *session = open_rules((erai_decision_rule){.rate_per_second = 1, .rate_burst = 2}, chain, 1, &clock);
    session->model = test_plus_mean();
    session->rows_depend = 1;
    erai_answer *answer = test_answer(session);
    predict(session, answer, x, 3);
    ER_CHECK(!answer->ran && answer->rejected == 3);
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), 1);
    close_session(session, answer);
}

/* The rows of x, or of x + its mean, as a sequence of tensors. */
static er_model *split(int depend) {
    static const test_node nodes[] = {
        {"ReduceMean", {"x"}, "mean"}, {"Add", {"x", "mean"}, "sum"}, {"SplitToSequence", {"sum"}, "y"}};
    static const test_node alone = {"SplitToSequence", {"x"}, "y"};
    return test_sequence_model_open((test_model){depend ? nodes : &alone, NULL, depend ? 3 : 1, 0});
}

static void rows_of_an_output_that_is_no_tensor_are_tried_too(void) {
    static const float x[] = {1, 2, NAN};
    for (int depend = 0; depend < 2; depend++) {
        erai_policy *policy = test_policy(1);
        test_add_output(policy, "y", (erai_output_rule){.flags = ERAI_RULE_NO_TENSOR});
        erai_session *session = test_session(policy, NULL);
        session->model = split(depend);
        session->rows_assumed = 1;
        erai_answer *answer = test_answer(session);
        for (int call = 0; call < 2; call++) {
            predict(session, answer, x, 3);
            ER_CHECK_INT(answer->rejected, depend ? 3 : 1);
            erai_value value;
            ER_CHECK_INT(erai_answer_value(answer, 0, &value), ERAI_OK);
            ER_CHECK_INT(value.count, 3);
            float second = value.count == 3 ? *(const float *)value.items[1].tensor.data : 0;
            ER_CHECK(depend ? isnan(second) : second == 2);
        }
        ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), depend ? 2 : 0);
        predict(session, answer, x, 2);
        ER_CHECK_INT(answer->rejected, 0);
        close_session(session, answer);
    }
}

static void outputs_of_a_model_that_did_not_run_take_the_fallback_model_s_shape(void) {
    static const float x[] = {NAN, 2, 3};
    static const uint32_t chain[] = {ERAI_SOURCE_FALLBACK_MODEL, ERAI_SOURCE_NONE};
    static const int64_t guessed[] = {-1, 3};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = guessed, .rank = 2});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    erai_session *session = test_session(policy, NULL);
    session->model = test_two_rows();
    session->fallback = test_times_ten();
    erai_answer *answer = test_answer(session);
    const float *y = predict(session, answer, x, 3);
    ER_CHECK(answer->outputs[0].shape[0] == 3 && answer->outputs[0].shape[1] == 1);
    ER_CHECK(isnan(y[0]) && y[1] == 20 && y[2] == 30);
    ER_CHECK_INT(answer->sources[0], ERAI_SOURCE_NONE);
    ER_CHECK_INT(answer->sources[1], ERAI_SOURCE_FALLBACK_MODEL);
    close_session(session, answer);
}

static void rows_beyond_the_rate_limit_may_be_the_fallback_model_s(void) {
    static const float x[] = {1, 2, 3};
    static const uint32_t chain[] = {ERAI_SOURCE_FALLBACK_MODEL, ERAI_SOURCE_NONE};
    erai_clock clock = {.monotonic_ns = 1000};
    erai_session *session = open_rules((erai_decision_rule){.rate_per_second = 1, .rate_burst = 2}, chain, 2, &clock);
    session->model = test_times_ten();
    session->fallback = test_plus_mean();
    erai_answer *answer = test_answer(session);
    const float *y = predict(session, answer, x, 3);
    ER_CHECK_INT(answer->sources[1], ERAI_SOURCE_PRIMARY);
    ER_CHECK_INT(answer->sources[2], ERAI_SOURCE_FALLBACK_MODEL);
    ER_CHECK(y[1] == 20 && y[2] == 5);
    close_session(session, answer);
}

static void between_the_halves_the_fallback_model_is_not_asked(void) {
    static const uint32_t chain[] = {ERAI_SOURCE_FALLBACK_MODEL, ERAI_SOURCE_NONE};
    static const float x[] = {1}, y[] = {NAN};
    erai_session *session = open_rules((erai_decision_rule){0}, chain, 2, NULL);
    session->fallback = test_times_ten();
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(test_call_floats(session, answer, x, 1, y, 1), 1);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
    close_session(session, answer);
}

int main(void) {
    er_model *model = test_times_ten();
    if (!model) {
        puts("skip: no ONNX Runtime; ERAI_ONNXRUNTIME names its library");
        return 0;
    }
    er_model_close(model);
    ER_RUN(a_known_answer_is_given_without_asking_the_gate);
    ER_RUN(a_batch_without_a_row_is_not_run_while_the_breaker_is_not_closed);
    ER_RUN(rows_that_are_known_to_depend_are_not_run_beside_a_rejected_one);
    ER_RUN(rows_that_are_known_to_depend_are_not_run_when_the_rate_limit_leaves_one_out);
    ER_RUN(rows_of_an_output_that_is_no_tensor_are_tried_too);
    ER_RUN(outputs_of_a_model_that_did_not_run_take_the_fallback_model_s_shape);
    ER_RUN(rows_beyond_the_rate_limit_may_be_the_fallback_model_s);
    ER_RUN(between_the_halves_the_fallback_model_is_not_asked);
    return er_test_result();
}
