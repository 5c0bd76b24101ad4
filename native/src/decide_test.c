/* Who answers a rejected row, and with what. SPDX-License-Identifier: Apache-2.0 */
#include "er_test.h"
#include "test_allocations.h"
#include "test_session.h"

#include <math.h>

#define SECOND 1000000000ull
#define BIT(reason) (1ull << (reason))

static const int64_t pair_shape[] = {-1, 2};
static const double pair_default[] = {0.25, 0.75};
static const float zeros[8];

static const uint32_t last_good_then_default[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_DEFAULT};
static const uint32_t abstain_then_default[] = {ERAI_SOURCE_ABSTAIN, ERAI_SOURCE_DEFAULT};
static const erai_decision_rule memory_of_two = {.last_good_keys = 2, .last_good_age_ns = 10 * SECOND};

/* A policy with one output of two values and a default. */
static erai_policy *pair_policy(erai_decision_rule decision) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y",
                    (erai_output_rule){.shape = pair_shape, .rank = 2, .default_row = pair_default, .default_size = 2});
    test_set_decision(policy, decision);
    return policy;
}

static void set_keys(erai_answer *answer, size_t count, const char *const *names) {
    erai_string keys[8];
    for (size_t i = 0; i < count; i++) keys[i] = (erai_string){.bytes = names[i], .size = strlen(names[i])};
    ER_CHECK_INT(erai_answer_set_keys(answer, keys, count), ERAI_OK);
}

/* A call of one row for a key (NULL: none) that the model answers with `value` twice. */
static void call_for(erai_session *session, erai_answer *answer, const char *key, float value) {
    const float y[] = {value, value};
    if (key) set_keys(answer, 1, &key);
    test_call_floats(session, answer, zeros, 1, y, 2);
}

static float first_value(const erai_answer *answer) {
    erai_tensor output;
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    return *(const float *)output.data;
}

static void the_first_rule_that_names_a_reason_decides(void) {
    static const uint32_t none[] = {ERAI_SOURCE_NONE};
    erai_policy *policy = pair_policy((erai_decision_rule){.review_rows = 4});
    test_add_fallback(policy, BIT(ERAI_REASON_ABOVE_RANGE) | BIT(ERAI_REASON_NOT_FINITE), none, 1);
    test_add_fallback(policy, BIT(ERAI_REASON_NOT_FINITE) | BIT(ERAI_REASON_OUTPUT_NOT_FINITE), abstain_then_default,
                      2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    /* Good; above; not finite, in both rules; below, in none; not finite output, in the second. */
    const float x[] = {0, 11, NAN, -11, 0}, y[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, NAN};
    test_call_floats(session, answer, x, 5, y, 2);
    const uint8_t *sources;
    ER_CHECK_INT(erai_answer_rows(answer, NULL, &sources), 5);
    ER_CHECK(memcmp(sources,
                    (uint8_t[]){0, ERAI_SOURCE_NONE, ERAI_SOURCE_NONE, ERAI_SOURCE_DEFAULT, ERAI_SOURCE_ABSTAIN},
                    5) == 0);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
    erai_tensor output;
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    const float *values = output.data;
    ER_CHECK(values[0] == 1 && values[1] == 2 && values[6] == 0.25f && values[7] == 0.75f);
    ER_CHECK(isnan(values[2]) && isnan(values[5]) && isnan(values[8]) && isnan(values[9]));
    const uint64_t *ids = erai_answer_review(answer);
    ER_CHECK(ids && !ids[0] && !ids[3] && ids[4]);
    test_call_floats(session, answer, zeros, 1, y, 2);
    ER_CHECK(erai_answer_review(answer) == NULL && erai_answer_source(answer) == ERAI_SOURCE_PRIMARY);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void nobody_gets_the_last_good_answer_of_another(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_policy *policy = pair_policy(memory_of_two);
    test_add_fallback(policy, UINT64_MAX, last_good_then_default, 2);
    erai_session *session = test_session(policy, &clock);
    erai_answer *answer = test_answer(session);
    call_for(session, answer, "ann", 1);
    call_for(session, answer, "bob", 2);
    call_for(session, answer, NULL, 3); /* remembered for nobody */
    call_for(session, answer, "ann", NAN);
    ER_CHECK(erai_answer_source(answer) == ERAI_SOURCE_LAST_GOOD && first_value(answer) == 1);
    call_for(session, answer, "bob", NAN);
    ER_CHECK(erai_answer_source(answer) == ERAI_SOURCE_LAST_GOOD && first_value(answer) == 2);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
    call_for(session, answer, "eve", NAN);
    ER_CHECK(erai_answer_source(answer) == ERAI_SOURCE_DEFAULT && first_value(answer) == 0.25f);
    call_for(session, answer, NULL, NAN);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_DEFAULT);
    clock.monotonic_ns += 10 * SECOND;
    call_for(session, answer, "ann", NAN); /* answers from memory do not keep themselves young */
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_LAST_GOOD);
    clock.monotonic_ns += 1;
    call_for(session, answer, "ann", NAN);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_DEFAULT);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void calls_without_keys_share_an_answer_only_where_the_policy_says_so(void) {
    erai_decision_rule rule = memory_of_two;
    rule.flags = ERAI_DECISION_SHARED;
    erai_policy *policy = pair_policy(rule);
    test_add_fallback(policy, UINT64_MAX, last_good_then_default, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session), *other = test_answer(session);
    const float x[] = {0, 0, NAN}, y[] = {1, 1, 2, 2, 3, 3};
    test_call_floats(session, answer, x, 3, y, 2);
    call_for(session, other, "ann", NAN); /* a key is not none */
    ER_CHECK_INT(erai_answer_source(other), ERAI_SOURCE_DEFAULT);
    call_for(session, other, NULL, NAN);
    ER_CHECK(erai_answer_source(other) == ERAI_SOURCE_LAST_GOOD && first_value(other) == 2); /* the last good row */
    erai_answer_close(answer);
    erai_answer_close(other);
    erai_session_close(session);
}

static void each_row_of_a_batch_has_its_own_key(void) {
    erai_policy *policy = pair_policy((erai_decision_rule){.last_good_keys = 8, .last_good_age_ns = SECOND});
    test_add_fallback(policy, UINT64_MAX, last_good_then_default, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float y[] = {1, 1, 2, 2, 3, 3, 4, 4};
    set_keys(answer, 4, (const char *const[]){"a", "b", "", "b"});
    test_call_floats(session, answer, zeros, 4, y, 2);
    const float x[] = {NAN, NAN, 0, NAN}, next[] = {5, 5, 6, 6, 7, 7, 8, 8};
    set_keys(answer, 4, (const char *const[]){"b", "", "c", "a"});
    test_call_floats(session, answer, x, 4, next, 2);
    const uint8_t *sources;
    erai_answer_rows(answer, NULL, &sources);
    ER_CHECK(memcmp(sources, (uint8_t[]){2, 3, 0, 2}, 4) == 0);
    erai_tensor output;
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(memcmp(output.data, (float[]){4, 4, 0.25f, 0.75f, 7, 7, 1, 1}, 32) == 0);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_flagged_answer_is_remembered_and_a_fallback_is_not(void) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y",
                    (erai_output_rule){.shape = pair_shape, .rank = 2, .default_row = pair_default, .default_size = 2});
    test_add_check(policy,
                   (erai_check_rule){.kind = ERAI_CHECK_RANGE, .verdict = ERAI_VERDICT_FLAG, .low = 0, .high = 1});
    test_set_decision(policy, memory_of_two);
    test_add_fallback(policy, BIT(ERAI_REASON_NOT_FINITE), last_good_then_default, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const char *key = "k";
    const float nan = NAN;
    call_for(session, answer, key, 5);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_FLAG);
    call_for(session, answer, key, NAN); /* answered by the default */
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_DEFAULT);
    set_keys(answer, 1, &key);
    test_call_floats(session, answer, &nan, 1, NULL, 2);
    ER_CHECK(erai_answer_source(answer) == ERAI_SOURCE_LAST_GOOD && first_value(answer) == 5);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_full_review_queue_goes_on_to_the_next_step_and_is_counted(void) {
    erai_policy *policy = pair_policy((erai_decision_rule){.review_rows = 2});
    test_add_fallback(policy, UINT64_MAX, abstain_then_default, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float x[] = {NAN, NAN, NAN, NAN, NAN};
    test_call_floats(session, answer, x, 5, NULL, 2);
    const uint8_t *sources;
    erai_answer_rows(answer, NULL, &sources);
    ER_CHECK(memcmp(sources, (uint8_t[]){4, 4, 3, 3, 3}, 5) == 0);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_ABSTAIN);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_REVIEW_FULL), 3);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void an_input_that_is_not_what_it_should_be_is_shown_to_nobody(void) {
    erai_policy *policy = pair_policy((erai_decision_rule){.review_rows = 8});
    test_add_fallback(policy, UINT64_MAX, abstain_then_default, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const erai_tensor wrong[] = {
        {.data = zeros, .shape = (int64_t[]){2, 1}, .rank = 2, .dtype = ERAI_DTYPE_UINT8},
        {.data = zeros, .shape = (int64_t[]){2}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32},
        {.data = zeros, .shape = (int64_t[]){2, 3}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
        {.data = zeros, .shape = (int64_t[]){5000, 1}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
    };
    const erai_tensor output = {.data = zeros, .shape = (int64_t[]){2, 2}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    for (size_t i = 0; i < 4; i++)
        for (size_t ran = 0; ran < 2; ran++) { /* an application may run its model all the same */
            size_t admitted = 9;
            ER_CHECK_INT(erai_admit(session, &wrong[i], 1, answer, &admitted), ERAI_OK);
            ER_CHECK_INT(admitted, 0);
            /* One row where no axis can be told to count them, or more of them than may be. */
            ER_CHECK_INT(erai_answer_rows(answer, NULL, NULL), i % 2 ? 1 : 2);
            ER_CHECK_INT(erai_judge(session, &output, ran, answer), ERAI_OK);
            ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_DEFAULT);
            ER_CHECK(erai_answer_review(answer) == NULL);
        }
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_REVIEW_FULL), 0);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void without_a_fallback_model_its_step_is_passed_over(void) {
    static const uint32_t chain[] = {ERAI_SOURCE_FALLBACK_MODEL, ERAI_SOURCE_DEFAULT};
    erai_policy *policy = pair_policy((erai_decision_rule){.review_rows = 8});
    test_add_fallback(policy, UINT64_MAX, chain, 2);
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    call_for(session, answer, NULL, NAN);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_DEFAULT);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* All data types, with and without a default, of a model that ran and of one that did not. */
static void what_nobody_answers_is_no_number_and_no_class(void) {
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64, ERAI_DTYPE_FLOAT16, ERAI_DTYPE_BFLOAT16,
                                      ERAI_DTYPE_INT8,    ERAI_DTYPE_INT16,   ERAI_DTYPE_INT32,   ERAI_DTYPE_INT64,
                                      ERAI_DTYPE_UINT8,   ERAI_DTYPE_UINT16,  ERAI_DTYPE_UINT32,  ERAI_DTYPE_UINT64,
                                      ERAI_DTYPE_BOOL,    ERAI_DTYPE_STRING};
    static const unsigned char floats[4][8] = {
        {0, 0, 0xc0, 0x7f}, {0, 0, 0, 0, 0, 0, 0xf8, 0x7f}, {0, 0x7e}, {0xc0, 0x7f}};
    enum { TYPES = sizeof dtypes / sizeof *dtypes };
    static const int64_t shape[] = {-1};
    static const double one = 1;
    erai_policy *policy = test_policy(1);
    char name[16];
    for (size_t i = 0; i < TYPES; i++) {
        snprintf(name, sizeof name, "y%zu", i);
        test_add_output(policy, name, (erai_output_rule){.shape = shape, .rank = 1, .dtype = dtypes[i]});
    }
    test_add_output(policy, "last",
                    (erai_output_rule){.shape = shape, .rank = 1, .default_row = &one, .default_size = 1});
    erai_session *session = test_session(policy, NULL);
    static const erai_string texts[] = {{"one", 3}, {"two", 3}};
    int64_t rows = 2;
    erai_tensor outputs[TYPES + 1];
    for (size_t i = 0; i <= TYPES; i++)
        outputs[i] = (erai_tensor){.data = i < TYPES && dtypes[i] == ERAI_DTYPE_STRING ? (const void *)texts : zeros,
                                   .shape = &rows,
                                   .rank = 1,
                                   .dtype = i < TYPES ? dtypes[i] : ERAI_DTYPE_FLOAT32};
    for (size_t ran = 0; ran < 2; ran++) {
        erai_answer *answer = test_answer(session);
        const float x[] = {ran ? 0 : NAN, NAN};
        test_call(session, answer, x, 2, outputs, TYPES + 1);
        ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_DEFAULT);
        for (size_t i = 0; i <= TYPES; i++) {
            erai_tensor given;
            ER_CHECK_INT(erai_answer_output(answer, i, &given), ERAI_OK);
            ER_CHECK(given.rank == 1 && given.shape[0] == 2);
            size_t size = erai_dtype_size(given.dtype);
            const unsigned char *second = (const unsigned char *)given.data + size;
            if (i == TYPES) {
                ER_CHECK(*(const float *)(const void *)second == 1);
            } else if (given.dtype == ERAI_DTYPE_STRING) {
                const erai_string *strings = given.data;
                ER_CHECK(strings[1].size == 0 && (ran ? strings[0].size == 3 : strings[0].size == 0));
            } else {
                unsigned char expected[8];
                memset(expected, i >= 4 && i < 8 ? 0xff : 0, sizeof expected);
                if (i < 4) memcpy(expected, floats[i], sizeof expected);
                ER_CHECK(memcmp(second, expected, size) == 0);
            }
        }
        erai_answer_close(answer);
    }
    erai_session_close(session);
}

static void a_model_that_did_not_run_has_outputs_of_the_shape_it_last_gave(void) {
    static const int64_t shape[] = {-1, -1};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = shape, .rank = 2});
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float nans[] = {NAN, NAN, NAN};
    erai_tensor output;
    test_call_floats(session, answer, nans, 3, NULL, 2);
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(output.rank == 2 && output.shape[0] == 3 && output.shape[1] == 1);
    test_call_floats(session, answer, zeros, 1, zeros, 4);
    test_call_floats(session, answer, nans, 3, NULL, 4);
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(output.shape[0] == 3 && output.shape[1] == 4 && isnan(((const float *)output.data)[11]));
    erai_answer_close(answer);
    erai_session_close(session);
}

static void steady_decisions_allocate_nothing(void) {
    static const uint32_t chain[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_ABSTAIN, ERAI_SOURCE_NONE};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static const int64_t flat[] = {-1};
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = pair_shape, .rank = 2});
    test_add_output(policy, "label", (erai_output_rule){.shape = flat, .rank = 1, .dtype = ERAI_DTYPE_STRING});
    test_set_decision(policy, (erai_decision_rule){.last_good_keys = 4,
                                                   .last_good_age_ns = SECOND,
                                                   .review_rows = 3,
                                                   .rate_per_second = 1000,
                                                   .rate_burst = 100,
                                                   .hold_after = 3,
                                                   .hold_until = 2,
                                                   .breaker_window = 8,
                                                   .breaker_failures = 4,
                                                   .breaker_probes = 1,
                                                   .breaker_cooldown_ns = SECOND / 100,
                                                   .flags = ERAI_DECISION_BREAK_ON_REJECT});
    test_add_fallback(policy, UINT64_MAX, chain, 3);
    erai_session *session = test_session(policy, &clock);
    erai_answer *answer = test_answer(session);
    uint32_t random = 7;
    for (int i = 0; i < 4000; i++) {
        if (i == 2000) allocations = 0;
        float x[8], y[16] = {0};
        const char *keys[8];
        for (int row = 0; row < 8; row++) {
            random = random * 1664525u + 1013904223u;
            x[row] = random >> 29 ? 0 : NAN;
            y[2 * row] = i % 16 > 5 && (random >> 25 & 3) ? 0 : NAN;
            keys[row] = names[random >> 20 & 7];
        }
        erai_string texts[8];
        for (size_t row = 0; row < 8; row++)
            texts[row] = (erai_string){.bytes = "a label of some length", .size = (row + (size_t)i) % 8};
        const erai_tensor outputs[] = {{.data = y, .shape = (int64_t[]){8, 2}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                                       {.data = texts, .shape = (int64_t[]){8}, .rank = 1, .dtype = ERAI_DTYPE_STRING}};
        set_keys(answer, 8, keys);
        clock.monotonic_ns += SECOND / 200;
        test_call(session, answer, x, 8, outputs, 2);
        erai_review review;
        ER_CHECK_INT(erai_session_review(session, &review), ERAI_OK);
        if (review.id && i % 2) ER_CHECK_INT(erai_session_override(session, review.id, NULL, 0, NULL), ERAI_OK);
        if (review.id && i % 2 == 0) {
            const erai_tensor decided[] = {
                {.data = zeros, .shape = (int64_t[]){1, 2}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                {.data = texts, .shape = (int64_t[]){1}, .rank = 1, .dtype = ERAI_DTYPE_STRING}};
            ER_CHECK_INT(erai_session_override(session, review.id, decided, 2, NULL), ERAI_OK);
        }
    }
    ER_CHECK_INT(allocations, 0);
    ER_CHECK(test_decisions(session, ERAI_COUNT_REVIEW_FULL) > 0 && test_decisions(session, ERAI_COUNT_OVERRIDES) > 0);
    ER_CHECK(test_decisions(session, ERAI_COUNT_HELD) > 0 && test_decisions(session, ERAI_COUNT_BREAKER_OPENED) > 0);
    ER_CHECK(!ALLOCATIONS_COUNTED || allocations > 0); /* those of the snapshots */
    erai_answer_close(answer);
    erai_session_close(session);
}

/* Rows that the judge rejected were asked about by the caller himself: nothing in such an output is a stand-in's. */
static void an_output_without_rows_stays_beside_rows_that_are_the_model_s(void) {
    static const int64_t column[] = {-1, 1}, free_axis[] = {-1};
    static const double number[] = {-7};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = column, .rank = 2});
    test_add_output(policy, "all",
                    (erai_output_rule){.shape = free_axis, .rank = 1, .default_row = number, .default_size = 1});
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float all[] = {7};
    for (int bad = 0; bad < 4; bad++) { /* of the last of these every row is */
        float y[] = {1, 2, 3};
        y[bad % 3] = NAN;
        if (bad == 3) y[1] = y[2] = NAN;
        const erai_tensor outputs[] = {{.data = y, .shape = (int64_t[]){3, 1}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                                       {.data = all, .shape = (int64_t[]){1}, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32}};
        test_call(session, answer, zeros, 3, outputs, 2);
        const uint8_t *verdicts;
        ER_CHECK_INT(erai_answer_rows(answer, &verdicts, NULL), 3);
        for (int row = 0; row < 3; row++)
            ER_CHECK_INT(verdicts[row], bad == 3 || row == bad ? ERAI_VERDICT_REJECT : ERAI_VERDICT_ACCEPT);
        erai_tensor output;
        ER_CHECK_INT(erai_answer_output(answer, 1, &output), ERAI_OK);
        ER_CHECK(*(const float *)output.data == (bad == 3 ? -7 : 7));
    }
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(the_first_rule_that_names_a_reason_decides);
    ER_RUN(nobody_gets_the_last_good_answer_of_another);
    ER_RUN(calls_without_keys_share_an_answer_only_where_the_policy_says_so);
    ER_RUN(each_row_of_a_batch_has_its_own_key);
    ER_RUN(a_flagged_answer_is_remembered_and_a_fallback_is_not);
    ER_RUN(a_full_review_queue_goes_on_to_the_next_step_and_is_counted);
    ER_RUN(an_input_that_is_not_what_it_should_be_is_shown_to_nobody);
    ER_RUN(without_a_fallback_model_its_step_is_passed_over);
    ER_RUN(what_nobody_answers_is_no_number_and_no_class);
    ER_RUN(a_model_that_did_not_run_has_outputs_of_the_shape_it_last_gave);
    ER_RUN(steady_decisions_allocate_nothing);
    ER_RUN(an_output_without_rows_stays_beside_rows_that_are_the_model_s);
    return er_test_result();
}
