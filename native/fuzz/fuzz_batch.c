/* Fuzzes the batch file: the bytes as they are, and sealed with a length and CRC that fit. What opens is read to its
 * last count. Build with -fsanitize=fuzzer, or with replay.c to run a corpus. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "edge_rai.h"
#include "test_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* what is read must not be left out */

static uint64_t add(const uint64_t *counts, uint32_t count) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += counts[i];
    return sum;
}

static void read_everything(const erai_snapshot *snapshot) {
    erai_snapshot_info info;
    erai_snapshot_read(snapshot, &info);
    if (info.verdicts < 3 || info.sources < 6 || info.reason_codes < 34 || info.latency_slots < 321 ||
        info.decision_counts < 8 || info.watch > ERAI_WATCH_ALARM || !(info.watch_evidence >= 0))
        abort();
    uint64_t sum = add(info.rows_by_verdict, info.verdicts) + add(info.rows_by_source, info.sources) +
                   add(info.reasons, info.reason_codes) + add(info.latency, info.latency_slots) +
                   add(info.decisions, info.decision_counts);
    for (size_t i = 0; i < info.events; i++) {
        erai_event event;
        if (erai_snapshot_event(snapshot, i, &event) != ERAI_OK) abort();
        for (uint32_t k = 0; k < event.field_count; k++) sum += event.fields[k].number + event.fields[k].feature;
        sum += event.epoch + event.number + event.reasons;
    }
    for (uint32_t i = 0; i < info.expiries; i++) sum += info.expired[i].rows;
    for (size_t i = 0; i < info.window_ranges; i++) sum += info.windows[i].count;
    for (uint32_t f = 0; f < info.features; f++) {
        erai_feature_counts counts;
        if (erai_snapshot_feature(snapshot, f, &counts) != ERAI_OK || counts.bins > ERAI_MAX_BINS) abort();
        if (!(counts.watch_evidence >= 0) || (counts.watch_evidence > 0 && info.watch != ERAI_WATCH_ALARM)) abort();
        sum += add(counts.histogram, counts.bins) + counts.not_finite + counts.sum_squares;
    }
    sink = sum;
}

static void open_batch(const uint8_t *bytes, size_t size) {
    erai_snapshot *snapshot = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_status status = erai_snapshot_open(bytes, size, &snapshot, detail);
    /* A failure without a sentence, or a success with one, is a fault as well. */
    if ((status == ERAI_OK) != (snapshot != NULL) || (status == ERAI_OK) != (detail[0] == '\0')) abort();
    if (snapshot) read_everything(snapshot);
    erai_snapshot_close(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = calloc(size ? size : 1, 1); /* ends where the input ends */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    open_batch(copy, size);
    if (size >= 24) {
        test_reseal(copy, size);
        open_batch(copy, size);
    }
    free(copy);
    return 0;
}
