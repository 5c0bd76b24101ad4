/* Running a model within a call: deadlines, failures, the fallback model, the cache, rows that depend on each other.
 * These are about the real runtime: without one they are skipped. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"
#include "er_test.h"
#include "session.h"
#include "test_model.h"
#include "test_session.h"

#define MS 1000000u
enum { CHAIN = 20000, MANY_ROWS = 4096, INNER = 1024 };

/* ---- Models ---- */

/* Many small nodes: x + 20000, some ten milliseconds. */
static er_model *chain(void) {
    static test_node nodes[CHAIN];
    static char names[CHAIN][8];
    static const test_constant one = {"one", {1, 1}, 1};
    for (int i = 0; i < CHAIN; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        nodes[i] = (test_node){"Add", {i ? names[i - 1] : "x", "one"}, i < CHAIN - 1 ? names[i] : "y"};
    }
    return test_model_open((test_model){nodes, &one, CHAIN, 1});
}

/* One node that for many rows takes long: x, by way of (rows, INNER) times (INNER, INNER). */
static er_model *single(void) {
    static const test_node nodes[] = {{"MatMul", {"x", "widen"}, "wide"},
                                      {"MatMul", {"wide", "square"}, "mixed"},
                                      {"MatMul", {"mixed", "narrow"}, "y"}};
    static const test_constant constants[] = {
        {"widen", {1, INNER}, 1}, {"square", {INNER, INNER}, 1.0f / INNER}, {"narrow", {INNER, 1}, 1.0f / INNER}};
    return test_model_open((test_model){nodes, constants, 3, 3});
}

/* ---- Sessions ---- */

static erai_session *open_session(er_model *model, er_model *fallback, uint64_t deadline_ns) {
    static const int64_t shape[] = {-1, 1};
    static const uint32_t model_first[] = {ERAI_SOURCE_FALLBACK_MODEL, ERAI_SOURCE_NONE};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = shape, .rank = 2});
    if (deadline_ns) test_set_decision(policy, (erai_decision_rule){.deadline_ns = deadline_ns});
    if (fallback) test_add_fallback(policy, UINT64_MAX, model_first, 2);
    erai_session *session = test_session(policy, NULL);
    session->model = model;
    session->fallback = fallback;
    return session;
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

static void set_deadline(erai_session *session, uint64_t deadline_ns) {
    session->guard->decision.deadline_ns = deadline_ns;
}

/* ---- Deadlines ---- */

static void a_run_in_time_is_the_model_s_answer_in_one_place(void) {
    static const float x[] = {1, 2, 3}, more[] = {4, 5, 6};
    erai_session *session = open_session(test_times_ten(), NULL, 10000ull * MS);
    erai_answer *answer = test_answer(session);
    const float *first = predict(session, answer, x, 3);
    ER_CHECK(first[0] == 10 && first[2] == 30);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    uint64_t layout = *erai_answer_layout(answer);
    const float *second = predict(session, answer, more, 3);
    ER_CHECK(second == first);
    ER_CHECK(second[0] == 40 && second[2] == 60);
    ER_CHECK_INT(*erai_answer_layout(answer), layout);
    close_session(session, answer);
}

static void check_missed(const erai_answer *answer, uint64_t deadline_ns, uint64_t start_ns) {
    uint64_t passed = er_monotonic_ns() - start_ns;
    ER_CHECK(answer->missed);
    ER_CHECK(!answer->ran);
    ER_CHECK(passed >= deadline_ns);
    ER_CHECK(passed < deadline_ns + 200 * MS); /* a machine may be busy */
    const erai_reason *reason = &answer->reasons[answer->reason_count - 1];
    ER_CHECK_INT(reason->code, ERAI_REASON_DEADLINE);
    ER_CHECK_INT(reason->row, -1);
    ER_CHECK_STR(reason->subject, "model");
    ER_CHECK(reason->value >= (double)deadline_ns && reason->value <= (double)passed);
    ER_CHECK(reason->limit == (double)deadline_ns);
}

static void a_missed_deadline_is_answered_in_time_and_the_next_call_works(void) {
    static float x[MANY_ROWS];
    er_model *models[] = {chain(), single()};
    const size_t rows[] = {3, MANY_ROWS};
    const float added[] = {CHAIN, 0};
    for (int i = 0; i < 2; i++) {
        erai_session *session = open_session(models[i], NULL, 2 * MS);
        erai_answer *answer = test_answer(session);
        x[2] = 3;
        for (int call = 0; call < 3; call++) {
            uint64_t start_ns = er_monotonic_ns();
            predict(session, answer, x, rows[i]);
            check_missed(answer, 2 * MS, start_ns);
            ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
            ER_CHECK(isnan(*(const float *)answer->outputs[0].data));
        }
        set_deadline(session, 100000ull * MS);
        const float *y = predict(session, answer, x, rows[i]);
        ER_CHECK(answer->ran && !answer->missed);
        ER_CHECK(y[0] == added[i] && y[2] == 3 + added[i]);
        set_deadline(session, MS);
        predict(session, answer, x, rows[i]);
        ER_CHECK(answer->missed);
        close_session(session, answer); /* while the run goes on */
    }
}

static void a_failure_in_time_is_a_failure(void) {
    static const float x[] = {1, 2, 3};
    const int64_t shape[] = {3, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session *session = open_session(test_two_rows(), NULL, 10000ull * MS);
    erai_answer *answer = test_answer(session);
    ER_CHECK(predict(session, answer, x, 2)[1] == 3);
    ER_CHECK_INT(erai_session_predict(session, &input, 1, answer), ERAI_E_INFERENCE);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "ONNX Runtime");
    ER_CHECK(predict(session, answer, x, 2)[1] == 3);
    close_session(session, answer);
}

#ifndef __SANITIZE_THREAD__ /* which does not bear threads after a fork */
static void check_child(erai_session *session, erai_answer *answer) {
    static const float x[] = {1, 2};
    pid_t child = fork();
    if (child == 0) {
        set_deadline(session, 10000ull * MS);
        const float *y = predict(session, answer, x, 2);
        int works = answer->ran && y[1] == 2 + CHAIN;
        erai_answer_close(answer);
        _exit(!works);
    }
    int status = 1;
    ER_CHECK(waitpid(child, &status, 0) == child);
    ER_CHECK_INT(status, 0);
}

static void a_forked_child_has_runs_of_its_own(void) {
    static const float x[] = {1, 2};
    erai_session *session = open_session(chain(), NULL, 100000ull * MS);
    erai_answer *answer = test_answer(session);
    predict(session, answer, x, 2);
    check_child(session, answer);
    set_deadline(session, MS);
    predict(session, answer, x, 2);
    ER_CHECK(answer->missed);
    check_child(session, answer); /* while the parent's run goes on */
    set_deadline(session, 100000ull * MS);
    ER_CHECK(predict(session, answer, x, 2)[0] == 1 + CHAIN);
    close_session(session, answer);
}
#endif

/* ---- Failures and the fallback model ---- */

static void a_failure_is_a_status_where_the_policy_has_no_rules(void) {
    static const float x[] = {1, 2, 3};
    const int64_t shape[] = {3, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session *session = open_session(test_two_rows(), NULL, 0);
    erai_answer *answer = test_answer(session);
    ER_CHECK(predict(session, answer, x, 2)[1] == 3);
    ER_CHECK_INT(erai_session_predict(session, &input, 1, answer), ERAI_E_INFERENCE);
    ER_CHECK_INT(erai_answer_rows(answer, NULL, NULL), 0);
    ER_CHECK(predict(session, answer, x, 2)[1] == 3);
    close_session(session, answer);
}

static void a_failure_is_a_reason_where_it_has_and_the_fallback_model_answers(void) {
    static const float x[] = {1, 2, NAN};
    for (uint64_t deadline_ns = 0; deadline_ns <= 10000ull * MS; deadline_ns += 10000ull * MS) {
        erai_session *session = open_session(test_two_rows(), test_times_ten(), deadline_ns);
        erai_answer *answer = test_answer(session);
        const float *y = predict(session, answer, x, 3);
        ER_CHECK(answer->failed && !answer->ran);
        ER_CHECK_INT(answer->reasons[answer->reason_count - 1].code, ERAI_REASON_INFERENCE);
        ER_CHECK_INT(answer->sources[1], ERAI_SOURCE_FALLBACK_MODEL);
        ER_CHECK(y[0] == 10 && y[1] == 20);
        /* Nobody answers what no model was shown. */
        ER_CHECK_INT(answer->sources[2], ERAI_SOURCE_NONE);
        ER_CHECK(isnan(y[2]));
        ER_CHECK(((const float *)answer->fallback_outputs[0].data)[2] == 0); /* of the stand-in */
        ER_CHECK(predict(session, answer, x, 2)[1] == 3);
        ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
        close_session(session, answer);
    }
}

static void the_fallback_model_has_as_long_again_and_no_longer(void) {
    static const float x[] = {1, 2};
    erai_session *session = open_session(chain(), chain(), 2 * MS);
    erai_answer *answer = test_answer(session);
    uint64_t start_ns = er_monotonic_ns();
    predict(session, answer, x, 2);
    uint64_t passed = er_monotonic_ns() - start_ns;
    ER_CHECK(passed >= 4 * MS && passed < 200 * MS);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
    close_session(session, answer);
}

/* ---- The cache, and rows that depend on each other ---- */

static void the_cache_answers_what_it_knows_and_only_whole_calls(void) {
    float x[] = {1, 2};
    erai_session *session = open_session(test_times_ten(), NULL, 0);
    er_cache *cache = er_cache_open(1 << 16);
    er_cache_close(session->cache);
    session->cache = cache;
    erai_answer *answer = test_answer(session);
    for (uint64_t call = 0; call < 3; call++) {
        const float *y = predict(session, answer, x, 2);
        ER_CHECK(y[0] == 10 && y[1] == 20);
        ER_CHECK_INT(test_decisions(session, ERAI_COUNT_CACHE_HITS), call);
    }
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    x[1] = NAN;
    for (int call = 0; call < 2; call++) predict(session, answer, x, 2);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_CACHE_HITS), 2);
    close_session(session, answer);
}

static void rows_assumed_independent_are_tried_where_one_was_rejected(void) {
    static const float x[] = {1, 2, NAN};
    er_model *models[] = {test_times_ten(), test_plus_mean()};
    for (int depend = 0; depend < 2; depend++) {
        erai_session *session = open_session(models[depend], NULL, 0);
        session->rows_assumed = 1;
        erai_answer *answer = test_answer(session);
        predict(session, answer, x, 3);
        ER_CHECK_INT(answer->rejected, depend ? 3 : 1);
        ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), depend);
        predict(session, answer, x, 2);
        ER_CHECK_INT(answer->rejected, 0);
        close_session(session, answer);
    }
}

/* Nanoseconds that a call takes, at least. */
static uint64_t time_call(erai_session *session, erai_answer *answer, const float *x, size_t count) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        uint64_t start_ns = er_monotonic_ns();
        predict(session, answer, x, count);
        uint64_t passed = er_monotonic_ns() - start_ns;
        if (passed < least) least = passed;
    }
    return least;
}

static void a_deadline_is_that_of_the_call_however_often_the_model_runs(void) {
    static const float x[] = {1, 2, NAN};
    erai_session *session = open_session(chain(), NULL, 100000ull * MS);
    session->rows_assumed = 1;
    erai_answer *answer = test_answer(session);
    set_deadline(session, 3 * time_call(session, answer, x, 2) / 2);
    predict(session, answer, x, 3);
    ER_CHECK(answer->missed);
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_DEADLINE), 1);
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_ROWS_DEPEND), 0);
    close_session(session, answer);
}

int main(void) {
    er_model *model = test_times_ten();
    if (!model) {
        puts("skip: no ONNX Runtime; ERAI_ONNXRUNTIME names its library");
        return 0;
    }
    er_model_close(model);
    ER_RUN(a_run_in_time_is_the_model_s_answer_in_one_place);
    ER_RUN(a_missed_deadline_is_answered_in_time_and_the_next_call_works);
    ER_RUN(a_failure_in_time_is_a_failure);
#ifndef __SANITIZE_THREAD__
    ER_RUN(a_forked_child_has_runs_of_its_own);
#endif
    ER_RUN(a_failure_is_a_status_where_the_policy_has_no_rules);
    ER_RUN(a_failure_is_a_reason_where_it_has_and_the_fallback_model_answers);
    ER_RUN(the_fallback_model_has_as_long_again_and_no_longer);
    ER_RUN(the_cache_answers_what_it_knows_and_only_whole_calls);
    ER_RUN(rows_assumed_independent_are_tried_where_one_was_rejected);
    ER_RUN(a_deadline_is_that_of_the_call_however_often_the_model_runs);
    return er_test_result();
}
