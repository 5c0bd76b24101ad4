/* A spool that is always full: windows merged, events and corrupt files expired, all of it counted. Power cuts and
 * refused calls are in tests/crash. SPDX-License-Identifier: Apache-2.0 */
#include "er_test.h"
#include "platform/platform.h"
#include "spool_files.h"
#include "test_guard.h"
#include "test_session.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOWS = 60, QUOTA = 64 << 10 };

static erai_session *open_with(const char *spool, const erai_clock *clock, uint64_t age_ns) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", (erai_output_rule){.rank = 2, .shape = (const int64_t[]){-1, 1}});
    uint8_t bytes[4096];
    size_t size = 0;
    const uint8_t digest[ERAI_DIGEST_SIZE] = {1};
    erai_guard *guard = NULL;
    erai_session *session = NULL;
    const erai_session_config config = {.struct_size = sizeof config,
                                        .spool_path = spool,
                                        .clock = clock,
                                        .spool_age_ns = age_ns,
                                        .events = 64,
                                        .sample_one_in = 4,
                                        .spool_quota_bytes = age_ns ? 1 << 20 : QUOTA};
    if (erai_policy_write(policy, bytes, sizeof bytes, &size, NULL) || erai_guard_open(bytes, size, &guard, NULL) ||
        erai_session_open_guard(guard, digest, &config, &session, NULL))
        abort();
    erai_guard_close(guard);
    erai_policy_close(policy);
    return session;
}

static erai_session *open_session(const char *spool) {
    return open_with(spool, NULL, 0);
}

static void store_windows(erai_session *session, int windows) {
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < windows; i++) {
        const float x[2] = {1, i % 2 ? NAN : 2}, y[2] = {0, 0};
        for (int k = 0; k < 20; k++) test_call_floats(session, answer, x, 2, y, 1);
        ER_CHECK_INT(erai_session_flush(session, NULL, NULL), ERAI_OK);
    }
    erai_answer_close(answer);
}

typedef struct sums {
    uint64_t rows, expired_rows, old_windows, corrupt_windows, windows, events, events_created, events_expired, used;
} sums;

static sums add_up(const char *path) {
    sums all = {0};
    er_listing listing;
    if (er_listing_read(path, ER_BATCH_SUFFIX, &listing)) abort();
    all.used = listing.used;
    for (size_t i = 0; i < listing.count; i++) {
        erai_snapshot *snapshot = NULL;
        ER_CHECK_INT(er_entry_read(path, &listing.entries[i], ER_BATCH_SUFFIX, &snapshot, NULL), ERAI_OK);
        if (!snapshot) continue;
        const erai_snapshot_info *info = &snapshot->info;
        all.rows += er_snapshot_rows(info);
        all.events += info->events;
        for (size_t k = 0; k < info->window_ranges; k++) all.windows += info->windows[k].count;
        for (size_t k = 0; k < ER_EVENT_CLASSES; k++) all.events_created += info->events_by_class[k];
        for (size_t k = 0; k < ER_EXPIRIES; k++) {
            all.events_expired += info->expired[k].events;
            all.expired_rows += info->expired[k].rows;
        }
        all.old_windows += info->expired[ERAI_EXPIRED_AGE].windows;
        all.corrupt_windows += info->expired[ERAI_EXPIRED_CORRUPT].windows;
        erai_snapshot_close(snapshot);
    }
    er_listing_free(&listing);
    return all;
}

static void a_full_spool_loses_no_row_over_many_sessions(void) {
    char path[64];
    test_directory_make(path);
    for (int opening = 0; opening < 3; opening++) {
        erai_session *session = open_session(path);
        store_windows(session, WINDOWS);
        erai_session_close(session);
    }
    sums all = add_up(path);
    ER_CHECK(all.used <= QUOTA);
    ER_CHECK_INT(all.windows, 3 * WINDOWS);
    ER_CHECK_INT(all.rows, 3 * WINDOWS * 40);
    ER_CHECK_INT(all.expired_rows, 0);
    ER_CHECK_INT(all.events_created, all.events + all.events_expired);
    test_directory_remove(path);
}

static void a_corrupt_file_of_a_full_spool_is_counted_by_its_head(void) {
    char path[64], name[ER_BATCH_NAME];
    test_directory_make(path);
    erai_session *session = open_session(path);
    store_windows(session, 5);
    er_listing listing;
    if (er_listing_read(path, ER_BATCH_SUFFIX, &listing) || listing.count != 5) abort();
    er_batch_name(name, listing.entries[2].epoch, listing.entries[2].sequence, ER_BATCH_SUFFIX);
    er_listing_free(&listing);
    char *file = er_path_join(path, name);
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (!file || er_file_read(file, 1 << 20, &bytes, &size, NULL)) abort();
    bytes[size - 1] ^= 1;
    ER_CHECK_INT(er_file_remove(file), 0);
    ER_CHECK_INT(er_file_create(file, bytes, size, NULL), 0);
    free(bytes);
    free(file);
    store_windows(session, WINDOWS);
    erai_session_close(session);
    sums all = add_up(path);
    ER_CHECK_INT(all.corrupt_windows, 1);
    ER_CHECK_INT(all.expired_rows, 40);
    ER_CHECK_INT(all.rows, (WINDOWS + 4) * 40);
    ER_CHECK_INT(all.events_created, all.events + all.events_expired);
    char *aside = er_path_join(path, "corrupt");
    if (!aside) abort();
    test_directory_remove(aside);
    free(aside);
    test_directory_remove(path);
}

/* Windows of a minute each, an hour allowed, over two sessions; the wall clock is anywhere. */
static void what_is_older_than_allowed_expires_and_is_counted_whatever_the_wall_clock_says(void) {
    const uint64_t minute_ns = 60000000000u;
    char path[64];
    test_directory_make(path);
    erai_clock clock = {.monotonic_ns = 5, .unix_ns = 1000};
    for (int opening = 0; opening < 2; opening++) {
        erai_session *session = open_with(path, &clock, 60 * minute_ns);
        erai_answer *answer = test_answer(session);
        for (int i = 0; i < 100; i++) {
            const float x[2] = {1, NAN}, y[2] = {0, 0};
            test_call_floats(session, answer, x, 2, y, 1);
            clock.monotonic_ns += minute_ns;
            clock.unix_ns = (i % 2 ? 20 : -20) * (int64_t)31557600 * 1000000000;
            ER_CHECK_INT(erai_session_flush(session, NULL, NULL), ERAI_OK);
        }
        erai_answer_close(answer);
        erai_session_close(session);
        clock.monotonic_ns = 7; /* the device was switched off */
        sums all = add_up(path);
        ER_CHECK_INT(all.windows, 100 * (opening + 1));
        ER_CHECK_INT(all.rows + all.expired_rows, 200 * (opening + 1));
        ER_CHECK_INT(all.old_windows, all.windows - 60);
        ER_CHECK_INT(all.events_created, all.events + all.events_expired);
    }
    test_directory_remove(path);
}

int main(void) {
    ER_RUN(what_is_older_than_allowed_expires_and_is_counted_whatever_the_wall_clock_says);
    ER_RUN(a_full_spool_loses_no_row_over_many_sessions);
    ER_RUN(a_corrupt_file_of_a_full_spool_is_counted_by_its_head);
    return er_test_result();
}
