/* Batch files at random damaged: flipped bits, cuts, sectors of zeros, also under checksums that fit. Each is refused,
 * or read without harm, merged and written again. ERAI_DAMAGES in the environment says how many, for a proof.
 * SPDX-License-Identifier: Apache-2.0 */
#include "crc32.h"
#include "er_test.h"
#include "snapshot.h"

#include <stdlib.h>

enum { FEATURES = 3, EVENTS = 20, USUAL = 20000 };

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t draw(uint64_t below) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1du >> 11) % below;
}

static void write_batch(er_writer *out, uint64_t sequence) {
    static uint64_t counts[400];
    for (size_t i = 0; i < 400; i++) counts[i] = i % 7 ? i * i : 0;
    const erai_windows windows[] = {{.epoch = 5, .first = sequence - 1, .count = 2},
                                    {.epoch = 9, .first = sequence, .count = 1}};
    const erai_expired expired[ER_EXPIRIES] = {{.windows = 1, .calls = 2, .rows = 3, .events = 4}};
    const erai_event_field fields[] = {{.feature = 0, .form = ERAI_FIELD_BUCKET, .number = 3},
                                       {.feature = 1, .form = ERAI_FIELD_KEYED_HASH, .number = 0xabcdef},
                                       {.feature = 2, .form = ERAI_FIELD_PLAIN, .value = 2.5}};
    erai_feature_counts features[FEATURES];
    erai_event events[EVENTS];
    for (uint32_t i = 0; i < FEATURES; i++)
        features[i] =
            (erai_feature_counts){.histogram = counts + i, .bins = 8 * i, .sum = -(int64_t)i, .not_finite = i};
    features[1].watch_evidence = 2e6;
    for (uint32_t i = 0; i < EVENTS; i++)
        events[i] = (erai_event){.epoch = i < 10 ? 5 : 9,
                                 .number = sequence * 100 + i,
                                 .unix_ns = 1000 * (int64_t)i,
                                 .event_class = i % 4,
                                 .field_count = i % 4,
                                 .fields = fields};
    erai_snapshot snapshot = {.features = features, .events = events};
    snapshot.info = (erai_snapshot_info){.epoch = 9,
                                         .sequence = sequence,
                                         .calls = 7,
                                         .rows_by_verdict = counts,
                                         .rows_by_source = counts,
                                         .reasons = counts,
                                         .latency = counts,
                                         .decisions = counts,
                                         .events_by_class = counts + 1,
                                         .expired = expired,
                                         .windows = windows,
                                         .window_ranges = 2,
                                         .events = EVENTS,
                                         .verdicts = 3,
                                         .sources = 6,
                                         .reason_codes = 34,
                                         .latency_slots = 321,
                                         .decision_counts = 8,
                                         .event_classes = 4,
                                         .expiries = ER_EXPIRIES,
                                         .features = FEATURES,
                                         .watch = ERAI_WATCH_ALARM,
                                         .watch_epoch = 5,
                                         .watch_sequence = sequence,
                                         .watch_rows = 1000,
                                         .watch_evidence = 1e6};
    er_snapshot_write(out, &snapshot);
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t take_u32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Sizes and checksums that fit, so that a reader comes to what is behind them. */
static void seal(uint8_t *bytes, size_t size) {
    if (size < ER_BATCH_HEADER + 8) return;
    uint32_t head = take_u32(bytes + 12);
    if (head <= size - ER_BATCH_HEADER - 4)
        put_u32(bytes + ER_BATCH_HEADER + head, er_crc32(0, bytes + ER_BATCH_HEADER, head));
    put_u32(bytes + 16, (uint32_t)(size - ER_BATCH_HEADER));
    put_u32(bytes + 20, er_crc32(0, bytes + ER_BATCH_HEADER, size - ER_BATCH_HEADER));
}

static size_t damage(uint8_t *bytes, size_t size) {
    for (uint64_t flips = draw(4); flips; flips--) bytes[draw(size)] ^= (uint8_t)(1u << draw(8));
    if (draw(8) == 0) bytes[draw(size)] = (uint8_t)draw(256);
    if (draw(16) == 0) memset(bytes + draw(size / 2), 0, size / 2);
    return draw(4) ? size : (size_t)draw(size + 1);
}

static void read_all(const erai_snapshot *snapshot, const erai_snapshot *other) {
    erai_snapshot *merged = NULL;
    uint8_t room[4096];
    size_t size = 0;
    erai_event event;
    for (size_t i = 0; i < snapshot->info.events; i++) ER_CHECK_INT(erai_snapshot_event(snapshot, i, &event), ERAI_OK);
    if (erai_snapshot_merge(snapshot, other, &merged, NULL) == ERAI_OK)
        erai_snapshot_write(merged, room, sizeof room, &size, NULL);
    erai_snapshot_close(merged);
    merged = NULL;
    if (er_snapshot_expire(snapshot, ERAI_EXPIRED_REFUSED, &merged, NULL) == ERAI_OK)
        erai_snapshot_write(merged, room, sizeof room, &size, NULL);
    erai_snapshot_close(merged);
}

static void no_damage_does_harm(void) {
    er_writer batch = {0}, second = {0};
    write_batch(&batch, 6);
    write_batch(&second, 12);
    erai_snapshot *other = NULL;
    ER_CHECK_INT(erai_snapshot_open(second.data, second.size, &other, NULL), ERAI_OK);
    const char *asked = getenv("ERAI_DAMAGES");
    long damages = asked ? atol(asked) : USUAL, opened = 0, accounted = 0;
    uint8_t *copy = malloc(batch.size);
    for (long i = 0; copy && i < damages; i++) {
        memcpy(copy, batch.data, batch.size);
        size_t size = damage(copy, batch.size);
        if (draw(2)) seal(copy, size);
        uint8_t *exact = malloc(size ? size : 1); /* ends where the file ends */
        if (!exact) abort();
        memcpy(exact, copy, size);
        erai_snapshot *snapshot = NULL;
        er_account account;
        if (erai_snapshot_open(exact, size, &snapshot, NULL) == ERAI_OK) {
            opened++;
            read_all(snapshot, other);
            erai_snapshot_close(snapshot);
        }
        if (er_account_read(exact, size, &account, NULL) == ERAI_OK) {
            accounted++;
            free(account.windows);
        }
        free(exact);
    }
    ER_CHECK(opened > damages / 50 && accounted > opened);
    printf("%ld damaged files: %ld read, %ld more by their heads\n", damages, opened, accounted - opened);
    free(copy);
    erai_snapshot_close(other);
    free(batch.data);
    free(second.data);
}

int main(void) {
    ER_RUN(no_damage_does_harm);
    return er_test_result();
}
