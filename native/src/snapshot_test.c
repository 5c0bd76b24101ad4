/* Batch files: what is counted reads back, and damaged bytes are refused. SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include <stdlib.h>

#include "er_test.h"
#include "test_guard.h"

typedef struct statistics {
    uint64_t counts[ER_COUNTS];
    er_feature_total totals[TEST_FEATURES];
} statistics;

static uint8_t *make_batch(statistics *from, const erai_guard *guard, size_t *size) {
    erai_snapshot_info info = {.epoch = 5, .sequence = 6, .start_unix_ns = -7, .end_unix_ns = 8, .duration_ns = 9};
    memset(info.instance, 0x11, sizeof info.instance);
    memset(info.model_digest, 0x22, sizeof info.model_digest);
    memset(info.guard_digest, 0x33, sizeof info.guard_digest);
    er_writer out = {0};
    const erai_windows window = {.epoch = 5, .first = 6, .count = 1};
    info.windows = &window;
    info.window_ranges = 1;
    erai_snapshot view;
    if (er_snapshot_view(&view, &info, guard, from->counts, from->totals)) abort();
    er_snapshot_write(&out, &view);
    free(view.features);
    if (out.failed) abort();
    *size = out.size;
    return out.data;
}

static erai_status open_copy(const uint8_t *bytes, size_t size, erai_snapshot **snapshot) {
    uint8_t *copy = malloc(size ? size : 1);
    char detail[ERAI_DETAIL_SIZE];
    if (copy == NULL) abort();
    memcpy(copy, bytes, size);
    erai_status status = erai_snapshot_open(copy, size, snapshot, detail);
    free(copy);
    return status;
}

/* Every count another number; the sums as far from zero as they go. */
static statistics make_statistics(void) {
    statistics made;
    for (size_t i = 0; i < sizeof made / sizeof(uint64_t); i++)
        ((uint64_t *)(void *)&made)[i] = i * 0x9e3779b97f4a7c15u;
    made.totals[0].sum = (uint64_t)INT64_MIN;
    made.totals[1].sum = (uint64_t)INT64_MAX;
    made.totals[2].sum = (uint64_t)-1;
    return made;
}

static void every_count_reads_back(void) {
    erai_guard *guard = test_guard_open();
    size_t size;
    statistics from = make_statistics();
    uint8_t *bytes = make_batch(&from, guard, &size);
    erai_snapshot *snapshot = NULL;
    ER_CHECK_INT(open_copy(bytes, size, &snapshot), ERAI_OK);
    erai_snapshot_info info;
    erai_snapshot_read(snapshot, &info);
    ER_CHECK(info.epoch == 5 && info.sequence == 6 && info.start_unix_ns == -7 && info.duration_ns == 9);
    ER_CHECK(info.instance[15] == 0x11 && info.model_digest[0] == 0x22 && info.guard_digest[31] == 0x33);
    ER_CHECK(info.calls == from.counts[ER_COUNT_CALLS] && info.errors == from.counts[ER_COUNT_ERRORS]);
    ER_CHECK(info.latency_sum_ns == from.counts[ER_COUNT_LATENCY_SUM]);
    ER_CHECK_INT(info.verdicts, ER_VERDICTS);
    ER_CHECK_INT(info.sources, ER_SOURCES);
    ER_CHECK_INT(info.reason_codes, ER_REASONS);
    ER_CHECK_INT(info.latency_slots, ER_LATENCY_SLOTS);
    ER_CHECK(memcmp(info.rows_by_verdict, from.counts + ER_COUNT_VERDICTS, ER_VERDICTS * 8) == 0);
    ER_CHECK(memcmp(info.rows_by_source, from.counts + ER_COUNT_SOURCES, ER_SOURCES * 8) == 0);
    ER_CHECK(memcmp(info.reasons, from.counts + ER_COUNT_REASONS, ER_REASONS * 8) == 0);
    ER_CHECK(memcmp(info.latency, from.counts + ER_COUNT_LATENCY, ER_LATENCY_SLOTS * 8) == 0);
    ER_CHECK_INT(info.features, TEST_FEATURES);
    for (size_t f = 0; f < TEST_FEATURES; f++) {
        erai_feature_counts counts;
        const er_feature_total *total = &from.totals[f];
        ER_CHECK_INT(erai_snapshot_feature(snapshot, f, &counts), ERAI_OK);
        ER_CHECK_INT(counts.bins, guard->features[f].bins);
        if (counts.bins) ER_CHECK(memcmp(counts.histogram, total->histogram, counts.bins * 8) == 0);
        ER_CHECK(counts.not_finite == total->not_finite && counts.sum_squares == total->sum_squares);
        ER_CHECK_INT(counts.sum, (int64_t)total->sum);
    }
    erai_feature_counts counts;
    ER_CHECK_INT(erai_snapshot_feature(snapshot, TEST_FEATURES, &counts), ERAI_E_ARGUMENT);
    erai_snapshot_close(snapshot);
    erai_snapshot_close(NULL);
    free(bytes);
    erai_guard_close(guard);
}

static void an_empty_window_is_small_and_reads_back_as_zeros(void) {
    erai_guard *guard = test_guard_open();
    size_t size;
    statistics from = {0};
    uint8_t *bytes = make_batch(&from, guard, &size);
    ER_CHECK(size < 200);
    erai_snapshot *snapshot = NULL;
    ER_CHECK_INT(open_copy(bytes, size, &snapshot), ERAI_OK);
    erai_snapshot_info info;
    erai_snapshot_read(snapshot, &info);
    uint64_t sum = info.calls;
    for (size_t i = 0; i < ER_LATENCY_SLOTS; i++) sum += info.latency[i];
    for (size_t i = 0; i < ER_REASONS; i++) sum += info.reasons[i];
    ER_CHECK_INT(sum, 0);
    erai_snapshot_close(snapshot);
    free(bytes);
    erai_guard_close(guard);
}

static void adding_up_is_addition_of_counts(void) {
    statistics first = make_statistics(), second = make_statistics();
    er_tally *tally = er_tally_open(TEST_FEATURES);
    ER_CHECK(tally != NULL && (uintptr_t)tally->histogram % 64 == 0);
    if (!tally) return;
    tally->histogram[2][ERAI_MAX_BINS - 1] = tally->not_finite[1] = UINT32_MAX;
    tally->sum[1] = (uint64_t)-5;
    tally->sum_squares[TEST_FEATURES - 1] = 7;
    for (int times = 0; times < 2; times++) er_tally_add(tally, second.totals, TEST_FEATURES);
    er_counts_add(second.counts, first.counts);
    ER_CHECK(second.totals[2].histogram[ERAI_MAX_BINS - 1] - first.totals[2].histogram[ERAI_MAX_BINS - 1] ==
             2 * (uint64_t)UINT32_MAX);
    ER_CHECK(second.totals[1].not_finite - first.totals[1].not_finite == 2 * (uint64_t)UINT32_MAX);
    ER_CHECK_INT((int64_t)second.totals[1].sum, INT64_MAX - 10);
    ER_CHECK(second.totals[TEST_FEATURES - 1].sum_squares - first.totals[TEST_FEATURES - 1].sum_squares == 14);
    ER_CHECK(second.counts[ER_COUNT_REASONS] == 2 * first.counts[ER_COUNT_REASONS]);
    er_tally_clear(tally, TEST_FEATURES);
    statistics before = second;
    er_tally_add(tally, second.totals, TEST_FEATURES);
    ER_CHECK(memcmp(&before, &second, sizeof second) == 0);
    free(tally);
}

/* One window, with what a watch has come to by its end; named: the features in whose bit it is 1. */
static erai_snapshot *watched_window(uint64_t epoch, uint64_t sequence, uint32_t watch, unsigned named) {
    uint64_t none[1] = {0};
    const erai_windows window = {.epoch = epoch, .first = sequence, .count = 1};
    erai_feature_counts features[TEST_FEATURES];
    for (unsigned f = 0; f < TEST_FEATURES; f++)
        features[f] = (erai_feature_counts){.histogram = none, .watch_evidence = named >> f & 1 ? 1e6 + f : 0};
    erai_snapshot snapshot = {.features = features};
    snapshot.info = (erai_snapshot_info){.epoch = epoch,
                                         .sequence = sequence,
                                         .windows = &window,
                                         .window_ranges = 1,
                                         .features = TEST_FEATURES,
                                         .watch = watch,
                                         .watch_epoch = epoch,
                                         .watch_sequence = sequence,
                                         .watch_rows = 100 * epoch + sequence,
                                         .watch_evidence = (double)sequence / 3};
    er_writer out = {0};
    er_snapshot_write(&out, &snapshot);
    erai_snapshot *opened = NULL;
    ER_CHECK_INT(open_copy(out.data, out.size, &opened), ERAI_OK);
    free(out.data);
    return opened;
}

static void check_watch(const erai_snapshot *snapshot, uint64_t epoch, uint64_t sequence, unsigned named) {
    ER_CHECK_INT(snapshot->info.watch, named ? ERAI_WATCH_ALARM : ERAI_WATCH_CALM);
    ER_CHECK(snapshot->info.watch_epoch == epoch && snapshot->info.watch_sequence == sequence);
    ER_CHECK_INT((int64_t)snapshot->info.watch_rows, (int64_t)(100 * epoch + sequence));
    ER_CHECK(snapshot->info.watch_evidence == (double)sequence / 3);
    for (unsigned f = 0; f < TEST_FEATURES; f++)
        ER_CHECK(snapshot->features[f].watch_evidence == (named >> f & 1 ? 1e6 + f : 0));
}

static void merged_windows_tell_what_the_watch_came_to_last(void) {
    erai_snapshot *calm = watched_window(4, 9, ERAI_WATCH_CALM, 0), *alarm = watched_window(5, 6, ERAI_WATCH_ALARM, 5),
                  *unwatched = watched_window(7, 1, ERAI_WATCH_NONE, 0), *merged = NULL, *again = NULL;
    check_watch(calm, 4, 9, 0);
    check_watch(alarm, 5, 6, 5);
    ER_CHECK_INT(unwatched->info.watch, ERAI_WATCH_NONE);
    ER_CHECK_INT(erai_snapshot_merge(unwatched, calm, &merged, NULL), ERAI_OK);
    check_watch(merged, 4, 9, 0);
    ER_CHECK_INT(erai_snapshot_merge(alarm, merged, &again, NULL), ERAI_OK);
    check_watch(again, 5, 6, 5);
    ER_CHECK(again->info.epoch == 7 && again->info.sequence == 1);
    erai_snapshot_close(merged);
    ER_CHECK_INT(er_snapshot_expire(again, ERAI_EXPIRED_AGE, &merged, NULL), ERAI_OK);
    ER_CHECK_INT(merged->info.watch, ERAI_WATCH_NONE);
    erai_snapshot *all[] = {calm, alarm, unwatched, merged, again};
    for (size_t i = 0; i < 5; i++) erai_snapshot_close(all[i]);
}

static void every_truncation_and_flipped_bit_is_refused(void) {
    erai_guard *guard = test_guard_open();
    size_t size;
    statistics from = make_statistics();
    uint8_t *bytes = make_batch(&from, guard, &size);
    erai_snapshot *snapshot = NULL;
    for (size_t cut = 0; cut < size; cut++) {
        ER_CHECK_INT(open_copy(bytes, cut, &snapshot), ERAI_E_BATCH_FORMAT);
        if (cut < ER_BATCH_HEADER) continue;
        uint8_t *copy = malloc(cut);
        if (copy == NULL) abort();
        memcpy(copy, bytes, cut);
        test_reseal(copy, cut);
        ER_CHECK_INT(open_copy(copy, cut, &snapshot), ERAI_E_BATCH_FORMAT);
        free(copy);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        erai_status status = open_copy(bytes, size, &snapshot);
        int newer = bit >= 64 && bit < 96 && bit != 64 && bit != 66; /* versions 4 and 1 */
        ER_CHECK_INT(status, newer ? ERAI_E_BATCH_NEWER : ERAI_E_BATCH_FORMAT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ER_CHECK(snapshot == NULL);
    free(bytes);
    erai_guard_close(guard);
}

static void sealed_changes_are_refused_or_read_without_harm(void) {
    erai_guard *guard = test_guard_open();
    size_t size;
    statistics from = make_statistics();
    memset(from.counts, 0, sizeof from.counts);
    uint8_t *bytes = make_batch(&from, guard, &size);
    static const uint8_t values[] = {0, 1, 0x20, 0x21, 0x7f, 0x80, 0xff};
    for (size_t at = ER_BATCH_HEADER; at < size; at++)
        for (size_t v = 0; v < sizeof values; v++) {
            uint8_t kept = bytes[at];
            bytes[at] = values[v];
            test_reseal(bytes, size);
            erai_snapshot *snapshot = NULL;
            erai_status status = open_copy(bytes, size, &snapshot);
            ER_CHECK((status == ERAI_OK) == (snapshot != NULL));
            erai_snapshot_close(snapshot);
            bytes[at] = kept;
        }
    free(bytes);
    erai_guard_close(guard);
}

int main(void) {
    ER_RUN(every_count_reads_back);
    ER_RUN(an_empty_window_is_small_and_reads_back_as_zeros);
    ER_RUN(adding_up_is_addition_of_counts);
    ER_RUN(merged_windows_tell_what_the_watch_came_to_last);
    ER_RUN(every_truncation_and_flipped_bit_is_refused);
    ER_RUN(sealed_changes_are_refused_or_read_without_harm);
    return er_test_result();
}
