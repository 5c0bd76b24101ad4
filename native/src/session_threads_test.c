/* Everything that calls of one session share, used by several threads at once, for the thread sanitizer: the memories
 * of checks, the gate, the last good answers, the review queue, the statistics. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "er_test.h"
#include "session.h"
#include "test_session.h"

enum { THREADS = 3, CALLS = 20000, ROWS = 4 };

static erai_clock now = {.monotonic_ns = 1, .unix_ns = 1};

static erai_session *open_session(void) {
    static const int64_t shape[] = {-1, 1};
    static const uint32_t ask[] = {ERAI_SOURCE_ABSTAIN, ERAI_SOURCE_NONE};
    static const uint32_t remember[] = {ERAI_SOURCE_LAST_GOOD, ERAI_SOURCE_NONE};
    erai_policy *policy = test_policy(1);
    test_add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_STUCK, .verdict = ERAI_VERDICT_FLAG, .window = 3});
    test_add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_STEP, .verdict = ERAI_VERDICT_FLAG, .limit = 1});
    test_add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_MONOTONIC, .verdict = ERAI_VERDICT_FLAG});
    test_add_output(policy, "y", (erai_output_rule){.shape = shape, .rank = 2});
    test_set_decision(policy, (erai_decision_rule){.last_good_age_ns = UINT64_MAX,
                                                   .last_good_keys = THREADS,
                                                   .review_rows = 2,
                                                   .rate_per_second = 1000,
                                                   .rate_burst = 10,
                                                   .breaker_cooldown_ns = 1000,
                                                   .breaker_window = 4,
                                                   .breaker_failures = 2,
                                                   .breaker_probes = 1,
                                                   .hold_after = 3,
                                                   .hold_until = 2,
                                                   .flags = ERAI_DECISION_BREAK_ON_REJECT});
    test_add_fallback(policy, 1u << ERAI_REASON_ABOVE_RANGE, ask, 2);
    test_add_fallback(policy, UINT64_MAX, remember, 2);
    return test_session(policy, &now);
}

typedef struct caller {
    erai_session *session;
    float number; /* of this caller, of its key and of every good output of its */
} caller;

/* Every third call is rejected by the judge. */
static void *call(void *context) {
    const caller *it = context;
    char name = (char)('a' + (int)it->number);
    const erai_string key = {.bytes = &name, .size = 1};
    erai_answer *answer = test_answer(it->session);
    for (int i = 0; i < CALLS; i++) {
        float x[ROWS] = {(float)(i % 7), 11, (float)(i % 5), 2}, y[ROWS] = {it->number, 0, it->number, it->number};
        for (int row = 0; i % 3 == 2 && row < ROWS; row++) y[row] = NAN;
        erai_answer_set_keys(answer, &key, 1);
        test_call_floats(it->session, answer, x, ROWS, y, 1);
        const uint8_t *sources;
        erai_tensor output;
        erai_answer_rows(answer, NULL, &sources);
        erai_answer_output(answer, 0, &output);
        for (int row = 0; row < ROWS; row++)
            if (sources[row] <= ERAI_SOURCE_LAST_GOOD) ER_CHECK(((const float *)output.data)[row] == it->number);
    }
    erai_answer_close(answer);
    return NULL;
}

typedef struct attendant {
    erai_session *session;
    int running;
    uint64_t settled; /* rows that left the review queue */
} attendant;

/* Whether a row waited. It leaves without an answer: one for its key could not be told from its caller's. */
static uint64_t settle(erai_session *session) {
    erai_review review;
    ER_CHECK_INT(erai_session_review(session, &review), ERAI_OK);
    if (!review.id) return 0;
    ER_CHECK_INT(erai_session_override(session, review.id, NULL, 0, NULL), ERAI_OK);
    return 1;
}

/* What an application does beside its calls, as long as they last. */
static void *attend(void *context) {
    attendant *it = context;
    while (__atomic_load_n(&it->running, __ATOMIC_RELAXED)) {
        erai_snapshot *snapshot = NULL;
        ER_CHECK_INT(erai_session_snapshot(it->session, &snapshot, NULL), ERAI_OK);
        erai_snapshot_close(snapshot);
        it->settled += settle(it->session);
        erai_session_breaker(it->session);
        erai_session_reset(it->session);
        __atomic_fetch_add(&now.monotonic_ns, 100000, __ATOMIC_RELAXED);
        __atomic_fetch_add(&now.unix_ns, 100000, __ATOMIC_RELAXED);
        sched_yield();
    }
    return NULL;
}

static void check_counts(erai_session *session, uint64_t settled) {
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    uint64_t verdicts = 0, sources = 0;
    ER_CHECK_INT(erai_session_snapshot(session, &snapshot, NULL), ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    for (uint32_t i = 0; i < info.verdicts; i++) verdicts += info.rows_by_verdict[i];
    for (uint32_t i = 0; i < info.sources; i++) sources += info.rows_by_source[i];
    ER_CHECK_INT(verdicts, THREADS * CALLS * ROWS);
    ER_CHECK_INT(sources, THREADS * CALLS * ROWS);
    ER_CHECK_INT(info.calls, THREADS * CALLS);
    ER_CHECK_INT(info.reasons[ERAI_REASON_ABOVE_RANGE], THREADS * CALLS);
    ER_CHECK_INT(info.rows_by_source[ERAI_SOURCE_ABSTAIN], settled);
    ER_CHECK_INT(settled + info.decisions[ERAI_COUNT_REVIEW_FULL], THREADS * CALLS);
    ER_CHECK(info.rows_by_source[ERAI_SOURCE_PRIMARY] > 0 && info.rows_by_source[ERAI_SOURCE_LAST_GOOD] > 0);
    erai_snapshot_close(snapshot);
}

static void threads_get_their_own_answers_and_every_row_is_counted(void) {
    erai_session *session = open_session();
    caller callers[THREADS];
    pthread_t threads[THREADS], beside;
    attendant other = {.session = session, .running = 1};
    ER_CHECK_INT(pthread_create(&beside, NULL, attend, &other), 0);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (caller){.session = session, .number = (float)i};
        ER_CHECK_INT(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    __atomic_store_n(&other.running, 0, __ATOMIC_RELAXED);
    pthread_join(beside, NULL);
    while (settle(session)) other.settled++;
    check_counts(session, other.settled);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(threads_get_their_own_answers_and_every_row_is_counted);
    return er_test_result();
}
