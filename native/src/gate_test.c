/* Rate limit, circuit breaker and hysteresis, by a clock that stands where the test puts it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "er_test.h"
#include "session.h"
#include "test_session.h"

#include <math.h>
#include <stdlib.h>

#define SECOND 1000000000ull

static const int64_t output_shape[] = {-1, 1};

/* A session with one output of one value, which has to be at most 1. */
static erai_session *open_session(erai_decision_rule decision, const erai_clock *clock) {
    static const double answer[] = {-7};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y",
                    (erai_output_rule){.shape = output_shape, .rank = 2, .default_row = answer, .default_size = 1});
    test_add_check(policy, (erai_check_rule){
                               .kind = ERAI_CHECK_RANGE, .verdict = ERAI_VERDICT_REJECT, .low = -INFINITY, .high = 1});
    test_set_decision(policy, decision);
    return test_session(policy, clock);
}

/* A call of rows that are all good inputs; the answers are these. */
static size_t call(erai_session *session, erai_answer *answer, size_t rows, const float *y) {
    static const float zeros[16];
    return test_call_floats(session, answer, zeros, rows, y, 1);
}

static const float good[16] = {0}, bad[16] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};

static uint8_t source_of(const erai_answer *answer, size_t row) {
    const uint8_t *sources;
    return row < erai_answer_rows(answer, NULL, &sources) ? sources[row] : 99;
}

/* ---- Rate limit ---- */

static void the_last_rows_of_a_call_go_without_when_tokens_are_few(void) {
    erai_clock clock = {.monotonic_ns = 5 * SECOND};
    erai_session *session = open_session((erai_decision_rule){.rate_per_second = 10, .rate_burst = 4}, &clock);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(call(session, answer, 6, good), 4);
    const uint8_t *verdicts;
    ER_CHECK_INT(erai_answer_rows(answer, &verdicts, NULL), 6);
    ER_CHECK(memcmp(verdicts, (uint8_t[]){0, 0, 0, 0, 2, 2}, 6) == 0);
    ER_CHECK(source_of(answer, 3) == ERAI_SOURCE_PRIMARY && source_of(answer, 4) == ERAI_SOURCE_DEFAULT);
    const erai_reason *reason;
    ER_CHECK_INT(erai_answer_reasons(answer, &reason), 2);
    ER_CHECK(reason->code == ERAI_REASON_RATE_LIMITED && reason->row == 4 && reason->value == 6 && reason->limit == 4);
    ER_CHECK_INT(call(session, answer, 1, good), 0);
    clock.monotonic_ns += SECOND / 10; /* one token */
    ER_CHECK_INT(call(session, answer, 2, good), 1);
    clock.monotonic_ns += 100 * SECOND; /* no more than the burst */
    ER_CHECK_INT(call(session, answer, 6, good), 4);
    ER_CHECK_INT(test_reasons(session, ERAI_REASON_RATE_LIMITED), 2 + 1 + 1 + 2);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void rows_that_are_rejected_anyway_take_no_tokens(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session((erai_decision_rule){.rate_per_second = 1, .rate_burst = 2}, &clock);
    erai_answer *answer = test_answer(session);
    const float x[] = {NAN, 0, 99, 0, 0};
    ER_CHECK_INT(test_call_floats(session, answer, x, 5, good, 1), 2);
    ER_CHECK(source_of(answer, 1) == ERAI_SOURCE_PRIMARY && source_of(answer, 3) == ERAI_SOURCE_PRIMARY);
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 3);
    ER_CHECK(reasons[2].code == ERAI_REASON_RATE_LIMITED && reasons[2].row == 4 && reasons[2].value == 3);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* Counted in tenths of a token, one of which a tenth of a second gains. */
static void tenths_of_seconds_make_whole_tokens(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session((erai_decision_rule){.rate_per_second = 1, .rate_burst = 2}, &clock);
    erai_answer *answer = test_answer(session);
    for (uint64_t a = 1; a < 30; a++)
        for (uint64_t b = 1; b < 30; b++) {
            uint64_t steps[] = {20, a, b, (60 - a - b) % 10}, tenths = 0; /* full again, and three steps to a whole */
            for (int i = 0; i < 4; i++) {
                clock.monotonic_ns += steps[i] * (SECOND / 10);
                tenths = tenths + steps[i] < 20 ? tenths + steps[i] : 20;
                size_t rows = i ? 1 : 2, whole = (size_t)(tenths / 10), granted = whole < rows ? whole : rows;
                ER_CHECK_INT(call(session, answer, rows, good), granted);
                tenths -= 10 * granted;
            }
        }
    erai_answer_close(answer);
    erai_session_close(session);
}

static void decimal_rates_give_whole_tokens_in_whole_seconds(void) {
    static const double rates[] = {0.1, 0.3, 0.7, 1.1, 2.3, 1.0 / 3};
    static const uint64_t seconds[] = {10, 10, 10, 10, 10, 9}, tokens[] = {1, 3, 7, 11, 23, 3};
    for (size_t i = 0; i < 6; i++)
        for (uint64_t step = 1; step <= 1000; step *= 10) { /* how often it is asked meanwhile */
            erai_clock clock = {.monotonic_ns = SECOND};
            erai_session *session =
                open_session((erai_decision_rule){.rate_per_second = rates[i], .rate_burst = 16}, &clock);
            erai_answer *answer = test_answer(session);
            uint64_t granted = 0;
            ER_CHECK_INT(call(session, answer, 16, good), 16);
            for (uint64_t at = 1; at <= seconds[i] * step; at++) {
                clock.monotonic_ns += SECOND / step;
                if (at == seconds[i] * step) clock.monotonic_ns--;
                granted += call(session, answer, 16, good);
            }
            ER_CHECK_INT(granted, tokens[i] - 1);
            clock.monotonic_ns++;
            ER_CHECK_INT(call(session, answer, 16, good), 1);
            erai_answer_close(answer);
            erai_session_close(session);
        }
}

static void a_clock_that_goes_back_gives_no_tokens(void) {
    erai_clock clock = {.monotonic_ns = 1000 * SECOND};
    erai_session *session = open_session((erai_decision_rule){.rate_per_second = 1, .rate_burst = 3}, &clock);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(call(session, answer, 2, good), 2);
    clock.monotonic_ns -= SECOND;
    ER_CHECK_INT(call(session, answer, 2, good), 1); /* the last one */
    clock.monotonic_ns += SECOND;
    ER_CHECK_INT(call(session, answer, 2, good), 0);
    clock.monotonic_ns += SECOND;
    ER_CHECK_INT(call(session, answer, 2, good), 1);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* ---- Circuit breaker ---- */

static const erai_decision_rule two_of_three = {.breaker_window = 3,
                                                .breaker_failures = 2,
                                                .breaker_probes = 2,
                                                .breaker_cooldown_ns = 10 * SECOND,
                                                .flags = ERAI_DECISION_BREAK_ON_REJECT};

static void failures_among_the_last_calls_open_the_breaker(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session(two_of_three, &clock);
    erai_answer *answer = test_answer(session);
    call(session, answer, 1, bad);
    call(session, answer, 1, good);
    call(session, answer, 1, good);
    call(session, answer, 1, bad); /* the first is out of the window */
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    call(session, answer, 1, good);
    call(session, answer, 2, bad);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    ER_CHECK_INT(call(session, answer, 2, good), 0);
    ER_CHECK(source_of(answer, 0) == ERAI_SOURCE_DEFAULT && source_of(answer, 1) == ERAI_SOURCE_DEFAULT);
    const erai_reason *reason;
    ER_CHECK_INT(erai_answer_reasons(answer, &reason), 1);
    ER_CHECK(reason->code == ERAI_REASON_BREAKER_OPEN && reason->row == -1);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_BREAKER_OPENED), 1);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void an_open_breaker_half_opens_after_its_cooldown_and_good_probes_close_it(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session(two_of_three, &clock);
    erai_answer *answer = test_answer(session);
    call(session, answer, 1, bad);
    call(session, answer, 1, bad);
    clock.monotonic_ns += 10 * SECOND - 1;
    ER_CHECK_INT(call(session, answer, 1, good), 0);
    clock.monotonic_ns += 1;
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
    ER_CHECK_INT(call(session, answer, 1, good), 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
    ER_CHECK_INT(call(session, answer, 1, bad), 1); /* one failure opens it again */
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    clock.monotonic_ns += 10 * SECOND;
    ER_CHECK_INT(call(session, answer, 1, good), 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN); /* the good one before it counts no more */
    ER_CHECK_INT(call(session, answer, 1, good), 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    call(session, answer, 1, bad); /* and what was before is forgotten */
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_BREAKER_OPENED), 2);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_BREAKER_CLOSED), 1);
    erai_answer_close(answer);
    erai_session_close(session);
}

static size_t admit(erai_session *session, erai_answer *answer) {
    static const float zero;
    static const int64_t shape[] = {1, 1};
    erai_tensor input = {.data = &zero, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted = 99;
    ER_CHECK_INT(erai_admit(session, &input, 1, answer, &admitted), ERAI_OK);
    return admitted;
}

static void judge(erai_session *session, erai_answer *answer, const float *y, size_t count) {
    static const int64_t shape[] = {1, 1};
    erai_tensor output = {.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK_INT(erai_judge(session, &output, count, answer), ERAI_OK);
}

static void a_half_open_breaker_lets_so_many_through_at_a_time(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session(two_of_three, &clock);
    erai_answer *early = test_answer(session), *one = test_answer(session), *two = test_answer(session),
                *three = test_answer(session);
    ER_CHECK_INT(admit(session, early), 1); /* before it opens, and judged when it is half open: no probe */
    call(session, one, 1, bad);
    call(session, one, 1, bad);
    clock.monotonic_ns += 10 * SECOND;
    ER_CHECK_INT(admit(session, one), 1);
    ER_CHECK_INT(admit(session, two), 1);
    ER_CHECK_INT(admit(session, three), 0);
    judge(session, three, NULL, 0);
    judge(session, early, bad, 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
    judge(session, one, good, 1);
    ER_CHECK_INT(admit(session, three), 1);
    judge(session, two, good, 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    judge(session, three, good, 1);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_BREAKER_OPENED), 1);
    erai_answer *answers[] = {early, one, two, three};
    for (int i = 0; i < 4; i++) erai_answer_close(answers[i]);
    erai_session_close(session);
}

static void probes_that_never_end_do_not_hold_the_breaker_for_ever(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session(two_of_three, &clock);
    erai_answer *one = test_answer(session), *two = test_answer(session), *three = test_answer(session);
    call(session, one, 1, bad);
    call(session, one, 1, bad);
    clock.monotonic_ns += 10 * SECOND;
    ER_CHECK_INT(admit(session, one), 1);
    ER_CHECK_INT(admit(session, one), 1); /* it gave up the call before */
    ER_CHECK_INT(admit(session, two), 1);
    erai_answer_close(one);
    erai_answer_close(two);
    ER_CHECK_INT(admit(session, three), 0);
    clock.monotonic_ns += 10 * SECOND;
    ER_CHECK_INT(admit(session, three), 1);
    judge(session, three, good, 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
    erai_answer_close(three);
    erai_session_close(session);
}

static void calls_whose_rows_were_rejected_at_the_input_say_nothing_of_the_model(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session(two_of_three, &clock);
    erai_answer *answer = test_answer(session);
    const float x[] = {NAN, 0}, y[] = {2, 0};
    for (int i = 0; i < 5; i++) {
        test_call_floats(session, answer, x, 1, y, 1);
        test_call_floats(session, answer, x, 2, y, 1); /* one good row */
    }
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    const float all[] = {2, 2};
    for (int i = 0; i < 2; i++) test_call_floats(session, answer, x, 2, all, 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_rejected_call_does_not_break_what_breaks_on_errors_only(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_decision_rule rule = two_of_three;
    rule.flags = ERAI_DECISION_BREAK_ON_ERROR;
    erai_session *session = open_session(rule, &clock);
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < 5; i++) call(session, answer, 1, bad);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    for (int i = 0; i < 2; i++) { /* a call whose run failed, as er_infer leaves it */
        ER_CHECK_INT(admit(session, answer), 1);
        answer->failed = 1;
        er_gate_after(answer, clock.monotonic_ns);
    }
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_missed_deadline_breaks_where_the_rule_says_so(void) {
    for (int counts = 0; counts < 2; counts++) {
        erai_clock clock = {.monotonic_ns = SECOND};
        erai_decision_rule rule = two_of_three;
        rule.flags = counts ? ERAI_DECISION_BREAK_ON_DEADLINE : ERAI_DECISION_BREAK_ON_ERROR;
        erai_session *session = open_session(rule, &clock);
        erai_answer *answer = test_answer(session);
        for (int i = 0; i < 2; i++) {
            ER_CHECK_INT(admit(session, answer), 1);
            answer->missed = 1;
            er_gate_after(answer, clock.monotonic_ns);
        }
        ER_CHECK_INT(erai_session_breaker(session), counts ? ERAI_BREAKER_OPEN : ERAI_BREAKER_CLOSED);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void a_breaker_of_sixty_four_calls_counts_all_of_them(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_decision_rule rule = two_of_three;
    rule.breaker_window = rule.breaker_failures = 64;
    erai_session *session = open_session(rule, &clock);
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < 63; i++) call(session, answer, 1, bad);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    call(session, answer, 1, bad);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_clock_that_goes_back_does_not_cool_the_breaker_down(void) {
    erai_clock clock = {.monotonic_ns = 100 * SECOND};
    erai_session *session = open_session(two_of_three, &clock);
    erai_answer *answer = test_answer(session);
    call(session, answer, 1, bad);
    call(session, answer, 1, bad);
    clock.monotonic_ns = SECOND;
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    clock.monotonic_ns = 110 * SECOND;
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* ---- Hysteresis ---- */

static void bad_rows_hand_over_to_the_chain_until_enough_were_good(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session((erai_decision_rule){.hold_after = 2, .hold_until = 3}, &clock);
    erai_answer *answer = test_answer(session);
    /* bad good bad bad | held: bad good good bad good good good | released: good */
    const float y[] = {2, 0, 2, 2, 2, 0, 0, 2, 0, 0, 0, 0};
    static const uint8_t expected[] = {3, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0};
    static const double counts[] = {1, 2, 1, 2, 3};
    ER_CHECK_INT(call(session, answer, 12, y), 12);
    const uint8_t *sources;
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_rows(answer, NULL, &sources), 12);
    ER_CHECK(memcmp(sources, expected, sizeof expected) == 0);
    size_t found = 0, count = erai_answer_reasons(answer, &reasons);
    for (size_t i = 0; i < count; i++) {
        if (reasons[i].code != ERAI_REASON_HELD) continue;
        ER_CHECK(found < 5 && reasons[i].value == counts[found] && reasons[i].limit == 3 && reasons[i].row > 3);
        found++;
    }
    ER_CHECK_INT(found, 5);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_HELD), 1);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_RELEASED), 1);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void holding_goes_from_call_to_call_and_rows_rejected_at_the_input_do_not_count(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_session *session = open_session((erai_decision_rule){.hold_after = 2, .hold_until = 1}, &clock);
    erai_answer *answer = test_answer(session);
    const float nan = NAN;
    call(session, answer, 1, bad);
    test_call_floats(session, answer, &nan, 1, good, 1);
    call(session, answer, 1, bad);
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_HELD), 1);
    test_call_floats(session, answer, &nan, 1, good, 1);
    call(session, answer, 1, good);
    ER_CHECK_INT(source_of(answer, 0), ERAI_SOURCE_DEFAULT); /* the row that releases is held itself */
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_RELEASED), 1);
    call(session, answer, 1, good);
    ER_CHECK_INT(source_of(answer, 0), ERAI_SOURCE_PRIMARY);
    call(session, answer, 1, bad); /* one is not enough again */
    call(session, answer, 1, good);
    ER_CHECK_INT(source_of(answer, 0), ERAI_SOURCE_PRIMARY);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_policy_without_a_decision_rule_has_a_closed_gate_that_does_nothing(void) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.shape = output_shape, .rank = 2});
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float y[] = {NAN};
    for (int i = 0; i < 100; i++) ER_CHECK_INT(call(session, answer, 1, y), 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    ER_CHECK_INT(call(session, answer, 1, good), 1);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* Half open, with room for two probes. */
static erai_session *half_open(erai_decision_rule rule, erai_clock *clock, erai_answer **answer) {
    erai_session *session = open_session(rule, clock);
    *answer = test_answer(session);
    session->gate.breaker = ERAI_BREAKER_OPEN;
    session->gate.opened_ns = clock->monotonic_ns;
    clock->monotonic_ns += rule.breaker_cooldown_ns;
    return session;
}

static void a_probe_that_fails_in_a_way_that_does_not_count_is_not_good_either(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_decision_rule rule = two_of_three;
    rule.breaker_probes = 1;
    erai_answer *answer;
    erai_session *session = half_open(rule, &clock, &answer); /* breaks on rejection alone */
    for (int i = 0; i < 4; i++) {
        ER_CHECK_INT(admit(session, answer), 1); /* the place of the one before is free */
        answer->failed = i % 2;
        answer->missed = !answer->failed;
        er_gate_after(answer, clock.monotonic_ns);
        ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
    }
    ER_CHECK_INT(admit(session, answer), 1);
    judge(session, answer, good, 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_probe_whose_call_ends_in_an_error_gives_its_place_back(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_decision_rule rule = two_of_three;
    rule.breaker_probes = 1;
    erai_answer *answer;
    erai_session *session = half_open(rule, &clock, &answer);
    erai_answer *other = test_answer(session);
    ER_CHECK_INT(admit(session, answer), 1);
    ER_CHECK_INT(admit(session, other), 0);
    judge(session, other, NULL, 0);
    ER_CHECK_INT(erai_judge(session, NULL, 0, answer), ERAI_E_ARGUMENT); /* without its outputs */
    ER_CHECK_INT(admit(session, other), 1);
    judge(session, other, good, 1);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
    erai_answer_close(answer);
    erai_answer_close(other);
    erai_session_close(session);
}

static void a_call_that_the_cache_answered_says_nothing_of_the_model(void) {
    erai_clock clock = {.monotonic_ns = SECOND};
    erai_decision_rule rule = two_of_three;
    rule.hold_after = 1;
    rule.hold_until = 2;
    erai_session *session = open_session(rule, &clock);
    erai_answer *answer = test_answer(session);
    call(session, answer, 1, bad);
    for (int i = 0; i < 5; i++) { /* a good answer that is known already, and a bad one */
        ER_CHECK_INT(admit(session, answer), 1);
        answer->cached = 1;
        judge(session, answer, i % 2 ? bad : good, 1);
        ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
        ER_CHECK_INT(source_of(answer, 0), ERAI_SOURCE_DEFAULT); /* held, as all are */
    }
    ER_CHECK_INT(test_decisions(session, ERAI_COUNT_RELEASED), 0);
    call(session, answer, 1, bad);
    ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(the_last_rows_of_a_call_go_without_when_tokens_are_few);
    ER_RUN(rows_that_are_rejected_anyway_take_no_tokens);
    ER_RUN(tenths_of_seconds_make_whole_tokens);
    ER_RUN(decimal_rates_give_whole_tokens_in_whole_seconds);
    ER_RUN(a_clock_that_goes_back_gives_no_tokens);
    ER_RUN(failures_among_the_last_calls_open_the_breaker);
    ER_RUN(an_open_breaker_half_opens_after_its_cooldown_and_good_probes_close_it);
    ER_RUN(a_half_open_breaker_lets_so_many_through_at_a_time);
    ER_RUN(probes_that_never_end_do_not_hold_the_breaker_for_ever);
    ER_RUN(calls_whose_rows_were_rejected_at_the_input_say_nothing_of_the_model);
    ER_RUN(a_rejected_call_does_not_break_what_breaks_on_errors_only);
    ER_RUN(a_missed_deadline_breaks_where_the_rule_says_so);
    ER_RUN(a_breaker_of_sixty_four_calls_counts_all_of_them);
    ER_RUN(a_clock_that_goes_back_does_not_cool_the_breaker_down);
    ER_RUN(bad_rows_hand_over_to_the_chain_until_enough_were_good);
    ER_RUN(holding_goes_from_call_to_call_and_rows_rejected_at_the_input_do_not_count);
    ER_RUN(a_policy_without_a_decision_rule_has_a_closed_gate_that_does_nothing);
    ER_RUN(a_probe_that_fails_in_a_way_that_does_not_count_is_not_good_either);
    ER_RUN(a_probe_whose_call_ends_in_an_error_gives_its_place_back);
    ER_RUN(a_call_that_the_cache_answered_says_nothing_of_the_model);
    return er_test_result();
}
