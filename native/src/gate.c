/* Whether the model is asked.
 *
 * Rate limit: a token bucket of `rate_burst` tokens that gains `rate_per_second`; a row that would be asked takes one,
 * and the last rows of a call go without when there are too few. Circuit breaker (Nygard, Release It!, 2007): it opens
 * when `breaker_failures` of the last `breaker_window` calls that asked the model failed; half open after the cooldown
 * it lets `breaker_probes` calls at a time through, closes after as many good ones in a row, and opens again at the
 * first failure. Hysteresis: `hold_after` rows in a row that the judge rejected hand over to the fallback chain, while
 * the model goes on being asked and judged; `hold_until` good rows in a row hand back. The last of these is still
 * answered by the chain, so that its answer does not depend on what comes after it. Rows that were not judged, because
 * of their input or because nothing ran, are neither good nor bad; nor are those that the cache answers, which passes
 * by rate limit and breaker, as it says nothing of the model's health. Nor does a call without a row, which is not let
 * through half open.
 *
 * A call let through half open that is never heard of again, of an application that died between erai_admit and
 * erai_judge, is given up after another cooldown. A clock that goes back stands still here until it has caught up. */
#include "gate.h"

#include "session.h"

#include <float.h>
#include <math.h>

/* What er_judge finds. It gives RANK only where the model ran, and then the inputs' ranks were right. */
#define JUDGED                                                                                             \
    (1ull << ERAI_REASON_RANK | 1ull << ERAI_REASON_OUTPUT_NOT_FINITE | 1ull << ERAI_REASON_OUTPUT_SHAPE | \
     1ull << ERAI_REASON_OUTPUT_RANGE | 1ull << ERAI_REASON_OUTPUT_SUM | 1ull << ERAI_REASON_CONFIDENCE |  \
     1ull << ERAI_REASON_MARGIN | 1ull << ERAI_REASON_ENTROPY)

int er_gate_open(er_gate *gate, uint64_t now_ns) {
    *gate = (er_gate){.full_ns = now_ns};
    return er_mutex_init(&gate->lock) == 0;
}

void er_gate_close(er_gate *gate) {
    er_mutex_destroy(&gate->lock);
}

/* ---- Rate limit ---- */

/* As many of the rows as there are whole tokens for. What was gained is counted from when the bucket was full last, so
 * that only integers add up, and taken for a few roundings more than it is, so that 10 s at 0.3, which float64 does not
 * have, are 3 tokens: within 13 days that is less than a nanosecond early. */
static size_t take_tokens(er_gate *gate, const erai_decision_rule *rule, size_t rows, uint64_t now_ns) {
    double elapsed = (double)er_since(gate->full_ns, now_ns);
    double gained = elapsed * rule->rate_per_second / 1e9 * (1 + 4 * DBL_EPSILON);
    uint64_t missing = 0;
    if (gained < (double)gate->taken) {
        missing = gate->taken - (uint64_t)gained;
    } else {
        gate->taken = 0;
        if (now_ns > gate->full_ns) gate->full_ns = now_ns;
    }
    size_t tokens = missing < rule->rate_burst ? rule->rate_burst - (size_t)missing : 0;
    size_t granted = rows < tokens ? rows : tokens;
    gate->taken += granted;
    return granted;
}

static void limit_rows(erai_answer *answer, size_t asked, size_t granted) {
    erai_reason reason = {
        .subject = "model", .value = (double)asked, .limit = (double)granted, .code = ERAI_REASON_RATE_LIMITED};
    for (size_t row = 0, admitted = 0; row < answer->rows; row++) {
        if (answer->verdicts[row] == ERAI_VERDICT_REJECT || admitted++ < granted) continue;
        reason.row = (int64_t)row;
        er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
    }
}

/* ---- Circuit breaker ---- */

static void cool_down(er_gate *gate, const erai_decision_rule *rule, uint64_t now_ns) {
    if (gate->breaker != ERAI_BREAKER_OPEN || er_since(gate->opened_ns, now_ns) < rule->breaker_cooldown_ns) return;
    gate->breaker = ERAI_BREAKER_HALF_OPEN;
    gate->good_probes = 0;
    gate->probing = 0;
}

/* Whether the answer's call was one that was let through half open; it is not any more. */
static int end_probe(er_gate *gate, const erai_answer *answer) {
    for (uint32_t i = 0; i < gate->probing; i++) {
        if (gate->probes[i] != answer) continue;
        gate->probes[i] = gate->probes[--gate->probing];
        return 1;
    }
    return 0;
}

/* Whether an alarm of drift stands that opens the breaker. */
static int alarmed(const erai_session *session) {
    size_t feature;
    double evidence;
    return session->watch && session->guard->decision.flags & ERAI_DECISION_BREAK_ON_DRIFT &&
           er_watch_alarm(session->watch, &feature, &evidence);
}

/* As long as the alarm stands, the cooldown begins anew with every call, also one whose rows are all rejected. */
static void open_on_alarm(erai_answer *answer, uint64_t now_ns) {
    er_gate *gate = &answer->session->gate;
    if (!alarmed(answer->session)) return;
    er_mutex_lock(&gate->lock);
    answer->breaker_opened = gate->breaker != ERAI_BREAKER_OPEN;
    gate->breaker = ERAI_BREAKER_OPEN;
    gate->opened_ns = now_ns;
    er_mutex_unlock(&gate->lock);
    if (answer->breaker_opened) er_answer_count(answer, ERAI_COUNT_BREAKER_OPENED, 1);
}

static int breaker_refuses(er_gate *gate, const erai_decision_rule *rule, const erai_answer *answer, uint64_t now_ns) {
    cool_down(gate, rule, now_ns);
    if (gate->breaker != ERAI_BREAKER_HALF_OPEN) return gate->breaker == ERAI_BREAKER_OPEN;
    if (!answer->rows) return 1;
    uint32_t most = rule->breaker_probes < ER_MOST_PROBES ? rule->breaker_probes : ER_MOST_PROBES;
    end_probe(gate, answer); /* of a call that was admitted and never judged */
    if (gate->probing == most && er_since(gate->probed_ns, now_ns) >= rule->breaker_cooldown_ns) gate->probing = 0;
    return gate->probing == most;
}

/* What the end of a call that asked the model does to the breaker: the state it changed to, or its present one. */
static erai_breaker breaker_after(er_gate *gate, const erai_decision_rule *rule, int probe, int failure,
                                  uint64_t now_ns) {
    uint64_t window = rule->breaker_window == 64 ? UINT64_MAX : (1ull << rule->breaker_window) - 1;
    int opens = 0;
    if (gate->breaker == ERAI_BREAKER_CLOSED) {
        gate->outcomes = (gate->outcomes << 1 | (uint64_t)failure) & window;
        opens = failure && (uint32_t)__builtin_popcountll(gate->outcomes) >= rule->breaker_failures;
    } else if (gate->breaker == ERAI_BREAKER_HALF_OPEN && probe) {
        opens = failure;
        if (!failure && ++gate->good_probes >= rule->breaker_probes) {
            gate->breaker = ERAI_BREAKER_CLOSED;
            gate->outcomes = 0;
        }
    } /* otherwise the call was let through before the breaker opened */
    if (opens) {
        gate->breaker = ERAI_BREAKER_OPEN;
        gate->opened_ns = now_ns;
    }
    return gate->breaker;
}

erai_breaker erai_session_breaker(erai_session *session) {
    er_gate *gate = &session->gate;
    er_mutex_lock(&gate->lock);
    if (!alarmed(session)) cool_down(gate, &session->guard->decision, er_session_ns(session));
    erai_breaker breaker = alarmed(session) ? ERAI_BREAKER_OPEN : gate->breaker;
    er_mutex_unlock(&gate->lock);
    return breaker;
}

/* ---- Hysteresis ---- */

static int judged_bad(const erai_answer *answer, size_t row) {
    return answer->verdicts[row] == ERAI_VERDICT_REJECT && (answer->row_reasons[row] & JUDGED);
}

/* Counts the rows and holds the good ones while the chain has taken over. */
static void hold_rows(erai_answer *answer, er_gate *gate, const erai_decision_rule *rule, uint64_t *held,
                      uint64_t *released) {
    erai_reason reason = {.subject = "model", .limit = rule->hold_until, .code = ERAI_REASON_HELD};
    for (size_t row = 0; row < answer->rows; row++) {
        if (judged_bad(answer, row)) {
            if (answer->cached) continue;
            gate->good = 0;
            if (gate->held || ++gate->bad < rule->hold_after) continue;
            gate->held = 1;
            ++*held;
        } else if (answer->verdicts[row] != ERAI_VERDICT_REJECT) {
            if (!answer->cached) gate->bad = 0;
            if (!gate->held) continue;
            gate->good += !answer->cached;
            reason.row = (int64_t)row;
            reason.value = gate->good;
            er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
            if (answer->cached || gate->good < rule->hold_until) continue;
            gate->held = 0;
            gate->good = 0;
            ++*released;
        }
    }
}

/* ---- The stages ---- */

void er_gate_before(erai_answer *answer, uint64_t now_ns) {
    const erai_decision_rule *rule = &answer->guard->decision;
    if (ER_LIKELY(!rule->rate_burst && !rule->breaker_window)) return;
    open_on_alarm(answer, now_ns);
    size_t asked = answer->rows - answer->rejected, granted = asked;
    if (!asked && (answer->rows || answer->verdict == ERAI_VERDICT_REJECT)) return;
    er_gate *gate = &answer->session->gate;
    er_mutex_lock(&gate->lock);
    int refused = rule->breaker_window && breaker_refuses(gate, rule, answer, now_ns);
    if (!refused && rule->rate_burst) granted = take_tokens(gate, rule, asked, now_ns);
    if (!refused && granted && gate->breaker == ERAI_BREAKER_HALF_OPEN) {
        gate->probes[gate->probing++] = answer;
        gate->probed_ns = now_ns;
    }
    er_mutex_unlock(&gate->lock);
    if (refused)
        er_answer_find(answer, ERAI_VERDICT_REJECT,
                       (erai_reason){.subject = "model", .row = -1, .limit = NAN, .code = ERAI_REASON_BREAKER_OPEN});
    else if (granted < asked)
        limit_rows(answer, asked, granted);
}

typedef enum outcome { GOOD = 0, FAILURE = 1, NEITHER = 2 } outcome;

/* What the call says of the model. One that failed in a way that the rule does not count was not good either. */
static outcome outcome_of(const erai_answer *answer, uint32_t flags) {
    if (answer->failed) return flags & ERAI_DECISION_BREAK_ON_ERROR ? FAILURE : NEITHER;
    if (answer->missed) return flags & ERAI_DECISION_BREAK_ON_DEADLINE ? FAILURE : NEITHER;
    if (!answer->ran || answer->cached || !answer->rows) return NEITHER;
    if (answer->rejected < answer->rows || !(flags & ERAI_DECISION_BREAK_ON_REJECT)) return GOOD;
    for (size_t row = 0; row < answer->rows; row++)
        if (judged_bad(answer, row)) return FAILURE;
    return GOOD;
}

void er_gate_after(erai_answer *answer, uint64_t now_ns) {
    const erai_decision_rule *rule = &answer->guard->decision;
    if (ER_LIKELY(!rule->breaker_window && !rule->hold_after)) return;
    er_gate *gate = &answer->session->gate;
    uint64_t counts[ERAI_COUNT_RELEASED + 1] = {0};
    outcome came = outcome_of(answer, rule->flags);
    er_mutex_lock(&gate->lock);
    if (rule->breaker_window) {
        int probe = end_probe(gate, answer);
        erai_breaker before = gate->breaker;
        erai_breaker after = came == NEITHER ? before : breaker_after(gate, rule, probe, came == FAILURE, now_ns);
        counts[ERAI_COUNT_BREAKER_OPENED] = after != before && after == ERAI_BREAKER_OPEN;
        counts[ERAI_COUNT_BREAKER_CLOSED] = after != before && after == ERAI_BREAKER_CLOSED;
    }
    if (rule->hold_after && answer->ran)
        hold_rows(answer, gate, rule, &counts[ERAI_COUNT_HELD], &counts[ERAI_COUNT_RELEASED]);
    er_mutex_unlock(&gate->lock);
    answer->breaker_opened |= counts[ERAI_COUNT_BREAKER_OPENED] != 0;
    for (int i = 0; i <= ERAI_COUNT_RELEASED; i++)
        if (counts[i]) er_answer_count(answer, (erai_decision_count)i, counts[i]);
}

void er_gate_leave(const erai_answer *answer) {
    er_gate *gate = &answer->session->gate;
    if (!answer->guard->decision.breaker_window) return;
    er_mutex_lock(&gate->lock);
    end_probe(gate, answer);
    er_mutex_unlock(&gate->lock);
}
