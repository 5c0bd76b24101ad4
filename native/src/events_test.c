/* Events: a reservoir a class, counted whatever becomes of them, from many threads while another one flushes.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "events.h"

#include "er_test.h"
#include "spool_files.h"
#include "test_guard.h"
#include "test_session.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum { CALLS = 2000, CALLERS = 3 };

static erai_session *open_session(const char *spool, uint32_t events, uint32_t sample_one_in) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.rank = 2, .shape = (const int64_t[]){-1, 1}});
    uint8_t bytes[4096];
    size_t size = 0;
    const uint8_t digest[ERAI_DIGEST_SIZE] = {1};
    erai_guard *guard = NULL;
    erai_session *session = NULL;
    const erai_session_config config = {
        .struct_size = sizeof config, .spool_path = spool, .events = events, .sample_one_in = sample_one_in};
    if (erai_policy_write(policy, bytes, sizeof bytes, &size, NULL) || erai_guard_open(bytes, size, &guard, NULL) ||
        erai_session_open_guard(guard, digest, &config, &session, NULL))
        abort();
    erai_guard_close(guard);
    erai_policy_close(policy);
    return session;
}

static void call(erai_session *session, erai_answer *answer, int bad) {
    const float x[2] = {1, bad ? NAN : 2}, y[2] = {0, 0};
    test_call_floats(session, answer, x, 2, y, 1);
}

typedef struct sums {
    uint64_t rows, created, kept, expired, files;
} sums;

static sums add_up(const char *path) {
    sums all = {0};
    er_listing listing;
    if (er_listing_read(path, ER_BATCH_SUFFIX, &listing)) abort();
    for (size_t i = 0; i < listing.count; i++) {
        erai_snapshot *snapshot = NULL;
        ER_CHECK_INT(er_entry_read(path, &listing.entries[i], ER_BATCH_SUFFIX, &snapshot, NULL), ERAI_OK);
        if (!snapshot) continue;
        all.rows += er_snapshot_rows(&snapshot->info);
        all.kept += snapshot->info.events;
        for (size_t c = 0; c < ER_EVENT_CLASSES; c++) all.created += snapshot->info.events_by_class[c];
        for (size_t c = 0; c < ER_EXPIRIES; c++) all.expired += snapshot->info.expired[c].events;
        all.files++;
        erai_snapshot_close(snapshot);
    }
    er_listing_free(&listing);
    return all;
}

static void every_event_is_kept_or_counted_as_displaced(void) {
    char path[64];
    test_directory_make(path);
    erai_session *session = open_session(path, 16, 1);
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < 100; i++) call(session, answer, i % 2);
    ER_CHECK_INT(erai_session_flush_due(session, 0), 1);
    ER_CHECK_INT(erai_session_flush(session, NULL, NULL), ERAI_OK);
    ER_CHECK_INT(erai_session_flush_due(session, 0), 0);
    sums all = add_up(path);
    ER_CHECK_INT(all.rows, 200);
    ER_CHECK(all.created > 50 && all.kept == 10);
    ER_CHECK_INT(all.created, all.kept + all.expired);
    erai_answer_close(answer);
    erai_session_close(session);
    test_directory_remove(path);
}

/* Of n events, each of the first and of the last is kept about as often. */
static void a_reservoir_prefers_neither_early_nor_late_events(void) {
    char path[64];
    test_directory_make(path);
    erai_session *session = open_session(path, 80, 0);
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < 4000; i++) call(session, answer, 1);
    erai_snapshot *snapshot = NULL;
    ER_CHECK_INT(erai_session_snapshot(session, &snapshot, NULL), ERAI_OK);
    double mean = 0;
    for (size_t i = 0; i < snapshot->info.events; i++) mean += (double)snapshot->events[i].number / 40;
    ER_CHECK_INT(snapshot->info.events, 40);
    /* The mean of 40 uniform numbers below 4000 is 2000 with a standard deviation of 183. */
    ER_CHECK(fabs(mean - 2000) < 6 * 183);
    erai_snapshot_close(snapshot);
    erai_answer_close(answer);
    erai_session_close(session);
    test_directory_remove(path);
}

static void *make_calls(void *context) {
    erai_session *session = context;
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < CALLS; i++) call(session, answer, i % 3 == 0);
    erai_answer_close(answer);
    return NULL;
}

static void threads_that_predict_while_another_one_flushes_lose_no_row_and_no_event(void) {
    char path[64];
    test_directory_make(path);
    erai_session *session = open_session(path, 64, 10);
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) ER_CHECK_INT(pthread_create(&threads[i], NULL, make_calls, session), 0);
    for (int i = 0; i < 20; i++) {
        erai_session_flush_due(session, 1000000);
        ER_CHECK_INT(erai_session_flush(session, NULL, NULL), ERAI_OK);
    }
    for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
    ER_CHECK_INT(erai_session_flush(session, NULL, NULL), ERAI_OK);
    sums all = add_up(path);
    ER_CHECK_INT(all.rows, 2 * CALLERS * CALLS);
    ER_CHECK(all.created >= CALLERS * CALLS / 3 && all.kept > 0);
    ER_CHECK_INT(all.created, all.kept + all.expired);
    erai_session_close(session);
    test_directory_remove(path);
}

int main(void) {
    ER_RUN(every_event_is_kept_or_counted_as_displaced);
    ER_RUN(a_reservoir_prefers_neither_early_nor_late_events);
    ER_RUN(threads_that_predict_while_another_one_flushes_lose_no_row_and_no_event);
    return er_test_result();
}
