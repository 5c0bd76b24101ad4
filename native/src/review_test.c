/* Rows that wait for somebody's decision, from the application's side. SPDX-License-Identifier: Apache-2.0 */
#include "er_test.h"
#include "test_session.h"

#include <math.h>
#include <pthread.h>

#define SECOND 1000000000ull

static const int64_t flat[] = {-1};
static const float zeros[8];

/* One output of one value; a rejected row has its last good answer, or waits. */
static erai_session *open_session(uint32_t review_rows, int shared, const erai_clock *clock) {
    static const uint32_t chain[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_ABSTAIN};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = flat, .rank = 1, .flags = ERAI_RULE_SHAPE});
    test_set_decision(policy, (erai_decision_rule){.review_rows = review_rows,
                                                   .last_good_keys = 4,
                                                   .last_good_age_ns = SECOND,
                                                   .flags = shared ? ERAI_DECISION_SHARED : 0});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    return test_session(policy, clock);
}

static void ask(erai_session *session, erai_answer *answer, const char *key, float x) {
    erai_string name = {.bytes = key, .size = key ? strlen(key) : 0};
    const erai_tensor output = {.data = zeros, .shape = (int64_t[]){1}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK_INT(erai_answer_set_keys(answer, &name, 1), ERAI_OK);
    test_call(session, answer, &x, 1, &output, 1);
}

static uint64_t review_id(const erai_answer *answer) {
    const uint64_t *ids = erai_answer_review(answer);
    return ids ? ids[0] : 0;
}

static erai_status override(erai_session *session, uint64_t id, float value) {
    const erai_tensor output = {.data = &value, .shape = (int64_t[]){1}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    return erai_session_override(session, id, &output, 1, NULL);
}

static uint64_t next_id(erai_session *session) {
    erai_review review;
    ER_CHECK_INT(erai_session_review(session, &review), ERAI_OK);
    return review.id;
}

static void rows_are_handed_out_once_the_oldest_first_as_they_came(void) {
    erai_clock clock = {.monotonic_ns = SECOND, .unix_ns = 1234};
    erai_session *session = open_session(8, 0, &clock);
    erai_answer *answer = test_answer(session);
    const float x[] = {0, 99, NAN};
    const erai_tensor output = {.data = zeros, .shape = (int64_t[]){3}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    test_call(session, answer, x, 3, &output, 1);
    const uint64_t *ids = erai_answer_review(answer);
    ER_CHECK(ids && ids[0] == 0 && ids[1] != 0 && ids[2] != 0 && ids[1] != ids[2]);
    uint64_t expected[] = {ids[1], ids[2]};
    erai_review first, second, none;
    ER_CHECK_INT(erai_session_review(session, &first), ERAI_OK);
    ER_CHECK_INT(erai_session_review(session, &second), ERAI_OK);
    ER_CHECK_INT(erai_session_review(session, &none), ERAI_OK);
    ER_CHECK(first.id == expected[0] && second.id == expected[1] && none.id == 0);
    ER_CHECK(first.unix_ns == 1234 && first.input_count == 1 && second.input_count == 1);
    ER_CHECK(first.reasons == 1ull << ERAI_REASON_ABOVE_RANGE && second.reasons == 1ull << ERAI_REASON_NOT_FINITE);
    const erai_tensor *input = first.inputs;
    ER_CHECK(input->rank == 2 && input->shape[0] == 1 && input->shape[1] == 1 && input->dtype == ERAI_DTYPE_FLOAT32);
    ER_CHECK(*(const float *)input->data == 99 && isnan(*(const float *)second.inputs->data));
    erai_answer_close(answer);
    erai_session_close(session);
}

static void an_override_answers_the_rows_key_from_then_on(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session(8, 0, &clock);
    erai_answer *answer = test_answer(session);
    ask(session, answer, "ann", NAN);
    uint64_t id = review_id(answer);
    ER_CHECK(id != 0 && erai_answer_source(answer) == ERAI_SOURCE_ABSTAIN && next_id(session) == id);
    ER_CHECK_INT(override(session, id, 42), ERAI_OK);
    ER_CHECK_INT(override(session, id, 43), ERAI_E_ARGUMENT); /* it does not wait any more */
    ask(session, answer, "ann", NAN);
    erai_tensor output;
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(erai_answer_source(answer) == ERAI_SOURCE_LAST_GOOD && *(const float *)output.data == 42);
    ask(session, answer, "bob", NAN);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_ABSTAIN);
    clock.monotonic_ns += SECOND + 1;
    ask(session, answer, "ann", NAN); /* it is as old as its override */
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_ABSTAIN);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_OVERRIDES), 1);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void an_override_of_a_row_without_a_key_is_for_all_of_those_or_for_nobody(void) {
    for (int shared = 0; shared < 2; shared++) {
        erai_session *session = open_session(8, shared, NULL);
        erai_answer *answer = test_answer(session);
        ask(session, answer, NULL, NAN);
        ER_CHECK_INT(override(session, review_id(answer), 42), ERAI_OK); /* not handed out yet: that is allowed */
        ER_CHECK_INT(next_id(session), 0);
        ask(session, answer, NULL, NAN);
        ER_CHECK_INT(erai_answer_source(answer), shared ? ERAI_SOURCE_LAST_GOOD : ERAI_SOURCE_ABSTAIN);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void a_row_may_leave_without_an_answer(void) {
    erai_session *session = open_session(1, 0, NULL);
    erai_answer *answer = test_answer(session);
    ask(session, answer, "ann", NAN);
    uint64_t id = review_id(answer);
    ask(session, answer, "ann", NAN);
    ER_CHECK(review_id(answer) == 0 && erai_answer_source(answer) == ERAI_SOURCE_NONE); /* no place */
    ER_CHECK_INT(erai_session_override(session, id, NULL, 0, NULL), ERAI_OK);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_OVERRIDES), 0);
    ask(session, answer, "ann", NAN);
    ER_CHECK(review_id(answer) > id && erai_answer_source(answer) == ERAI_SOURCE_ABSTAIN);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void outputs_of_other_types_are_refused_and_the_row_still_waits(void) {
    erai_session *session = open_session(2, 0, NULL);
    erai_answer *answer = test_answer(session);
    ask(session, answer, "ann", NAN);
    uint64_t id = review_id(answer);
    const erai_tensor wrong[] = {
        {.data = zeros, .shape = (int64_t[]){1}, .rank = 1, .dtype = ERAI_DTYPE_INT32},
        {.data = zeros, .shape = (int64_t[]){2}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32},
        {.data = zeros, .shape = (int64_t[]){1, 1}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
        {.data = zeros, .shape = NULL, .rank = 0, .dtype = ERAI_DTYPE_FLOAT32},
        {.data = zeros, .shape = (int64_t[]){-1}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32},
    };
    char detail[ERAI_DETAIL_SIZE];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ER_CHECK_INT(erai_session_override(session, id, &wrong[i], 1, detail), ERAI_E_ARGUMENT);
        ER_CHECK_CONTAINS(detail, "output 'y'");
    }
    ER_CHECK_INT(erai_session_override(session, id, wrong, 2, detail), ERAI_E_ARGUMENT);
    const uint64_t strangers[] = {0, 1, id + 1, id + (1 << 16), UINT64_MAX, id & 0xffff};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        ER_CHECK_INT(override(session, strangers[i], 1), ERAI_E_ARGUMENT);
    ER_CHECK_INT(override(session, id, 1), ERAI_OK);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void ids_are_never_given_twice_and_places_are_used_again(void) {
    enum { PLACES = 5 };
    erai_session *session = open_session(PLACES, 0, NULL);
    erai_answer *answer = test_answer(session);
    uint64_t waiting[PLACES] = {0}, last = 0;
    uint32_t random = 3;
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525u + 1013904223u;
        size_t which = (random >> 16) % PLACES;
        if (waiting[which]) {
            ER_CHECK_INT(erai_session_override(session, waiting[which], NULL, 0, NULL), ERAI_OK);
            waiting[which] = 0;
        } else {
            ask(session, answer, "ann", NAN);
            waiting[which] = review_id(answer);
            ER_CHECK(waiting[which] > last);
            last = waiting[which];
        }
        if (random >> 9 & 1) next_id(session);
    }
    for (uint64_t before = 0, id; (id = next_id(session)); before = id) ER_CHECK(id > before);
    for (size_t i = 0; i < PLACES; i++)
        if (waiting[i]) ER_CHECK_INT(override(session, waiting[i], 1), ERAI_OK);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void without_a_queue_nothing_waits(void) {
    erai_session *session = open_session(0, 0, NULL);
    erai_answer *answer = test_answer(session);
    ask(session, answer, "ann", NAN);
    ER_CHECK(erai_answer_source(answer) == ERAI_SOURCE_NONE && erai_answer_review(answer) == NULL);
    ER_CHECK_INT(next_id(session), 0);
    ER_CHECK_INT(override(session, 1, 1), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_review(session, NULL), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_review(NULL, &(erai_review){0}), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_override(NULL, 1, NULL, 0, NULL), ERAI_E_ARGUMENT);
    erai_answer_close(answer);
    erai_session_close(session);
}

enum { THREADS = 4, CALLS = 500 };

static void *ask_and_decide(void *context) {
    erai_session *session = context;
    erai_answer *answer = test_answer(session);
    uintptr_t decided = 0;
    for (int i = 0; i < CALLS; i++) {
        ask(session, answer, NULL, NAN);
        uint64_t id = next_id(session);
        if (id) decided += override(session, id, 1) == ERAI_OK;
    }
    erai_answer_close(answer);
    return (void *)decided;
}

static void threads_ask_and_decide_at_once_and_every_row_is_decided_once(void) {
    erai_session *session = open_session(2, 0, NULL);
    pthread_t threads[THREADS];
    uint64_t decided = 0;
    for (int i = 0; i < THREADS; i++) ER_CHECK_INT(pthread_create(&threads[i], NULL, ask_and_decide, session), 0);
    for (int i = 0; i < THREADS; i++) {
        void *count = NULL;
        pthread_join(threads[i], &count);
        decided += (uintptr_t)count;
    }
    for (uint64_t id; (id = next_id(session));) decided += override(session, id, 1) == ERAI_OK;
    uint64_t full = test_decisions(session, ERAI_COUNT_REVIEW_FULL);
    ER_CHECK_INT(decided + full, THREADS * CALLS);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_OVERRIDES), decided);
    erai_session_close(session);
}

/* An input, a state, and outputs: one of one value, the next state, one that is no tensor. */
static erai_session *open_recurrent_session(int nested) {
    static const uint32_t chain[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_ABSTAIN};
    static const int64_t state[] = {2, -1, 2}, most[] = {2, 64, 2};
    erai_policy *policy = test_policy(1);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "h",
                             .shape = state,
                             .max_shape = most,
                             .rank = 3,
                             .dtype = ERAI_DTYPE_FLOAT32,
                             .feature_axis = -1,
                             .sketch_stride = 1};
    erai_feature_rule feature = {.struct_size = sizeof feature, .name = "h", .low = -INFINITY, .high = INFINITY};
    erai_state_rule rule = {.struct_size = sizeof rule, .input = "h", .output = "next", .row_axis = 1};
    ER_CHECK_INT(erai_policy_add_input(policy, &input, NULL), ERAI_OK);
    ER_CHECK_INT(erai_policy_add_feature(policy, &feature, NULL), ERAI_OK);
    test_add_output(policy, "next", (erai_output_rule){.shape = state, .rank = 3});
    if (nested) test_add_output(policy, "shares", (erai_output_rule){.flags = ERAI_RULE_NO_TENSOR});
    test_add_output(policy, "y", (erai_output_rule){.shape = flat, .rank = 1, .flags = ERAI_RULE_SHAPE});
    ER_CHECK_INT(erai_policy_add_state(policy, &rule, NULL), ERAI_OK);
    test_set_decision(policy, (erai_decision_rule){.review_rows = 4, .last_good_keys = 4, .last_good_age_ns = SECOND});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    return test_session(policy, NULL);
}

static void an_override_gives_the_outputs_that_are_tensors_and_no_states(void) {
    for (int nested = 0; nested < 2; nested++) {
        erai_session *session = open_recurrent_session(nested);
        erai_answer *answer = test_answer(session);
        const float nan = NAN;
        const erai_string key = {.bytes = "ann", .size = 3};
        ER_CHECK_INT(erai_answer_set_keys(answer, &key, 1), ERAI_OK);
        test_call(session, answer, &nan, 1, NULL, 0);
        uint64_t id = review_id(answer);
        ER_CHECK(id != 0);
        const float value = 42;
        const erai_tensor state = {
            .data = zeros, .shape = (int64_t[]){2, 1, 2}, .rank = 3, .dtype = ERAI_DTYPE_FLOAT32};
        const erai_tensor y = {.data = &value, .shape = (int64_t[]){1}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
        char detail[ERAI_DETAIL_SIZE];
        ER_CHECK_INT(erai_session_override(session, id, (const erai_tensor[]){state, y}, 2, detail), ERAI_E_ARGUMENT);
        ER_CHECK_CONTAINS(detail, "2 outputs given, the guard program has 1");
        ER_CHECK_INT(erai_session_override(session, id, &y, 1, NULL), ERAI_OK);
        ER_CHECK_INT(test_decisions(session, ERAI_COUNT_OVERRIDES), 1);
        ER_CHECK_INT(erai_answer_set_keys(answer, &key, 1), ERAI_OK);
        test_call(session, answer, &nan, 1, NULL, 0);
        /* What is no tensor cannot be remembered, and so nothing is. */
        ER_CHECK_INT(erai_answer_source(answer), nested ? ERAI_SOURCE_ABSTAIN : ERAI_SOURCE_LAST_GOOD);
        erai_tensor output;
        ER_CHECK_INT(erai_answer_output(answer, nested ? 2 : 1, &output), ERAI_OK);
        ER_CHECK(nested || *(const float *)output.data == 42);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

int main(void) {
    ER_RUN(rows_are_handed_out_once_the_oldest_first_as_they_came);
    ER_RUN(an_override_answers_the_rows_key_from_then_on);
    ER_RUN(an_override_of_a_row_without_a_key_is_for_all_of_those_or_for_nobody);
    ER_RUN(a_row_may_leave_without_an_answer);
    ER_RUN(outputs_of_other_types_are_refused_and_the_row_still_waits);
    ER_RUN(ids_are_never_given_twice_and_places_are_used_again);
    ER_RUN(without_a_queue_nothing_waits);
    ER_RUN(threads_ask_and_decide_at_once_and_every_row_is_decided_once);
    ER_RUN(an_override_gives_the_outputs_that_are_tensors_and_no_states);
    return er_test_result();
}
