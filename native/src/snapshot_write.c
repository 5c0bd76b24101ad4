/* Writing batch files, docs/formats/snapshot.md. Counts are varints, so that a file of mostly small numbers stays
 * small.
 */
#include "crc32.h"
#include "snapshot.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

/* A signed number with small magnitude becomes a small unsigned one. */
static uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static void write_counts(er_writer *out, const uint64_t *counts, size_t size) {
    while (size && counts[size - 1] == 0) size--;
    er_write_u16(out, (uint16_t)size);
    for (size_t i = 0; i < size; i++) er_write_varint(out, counts[i]);
}

uint64_t er_snapshot_rows(const erai_snapshot_info *info) {
    uint64_t rows = 0;
    for (uint32_t i = 0; i < info->verdicts; i++) rows += info->rows_by_verdict[i];
    return rows;
}

void er_snapshot_account(const erai_snapshot_info *info, uint64_t *calls, uint64_t *rows) {
    *calls = info->calls + info->errors;
    *rows = er_snapshot_rows(info);
    for (uint32_t i = 0; i < info->expiries; i++) {
        *calls += info->expired[i].calls;
        *rows += info->expired[i].rows;
    }
}

static void write_head(er_writer *out, const erai_snapshot *snapshot) {
    const erai_snapshot_info *info = &snapshot->info;
    er_write_bytes(out, info->instance, sizeof info->instance);
    er_write_u64(out, info->epoch);
    er_write_u64(out, info->sequence);
    er_write_u64(out, (uint64_t)info->start_unix_ns);
    er_write_u64(out, (uint64_t)info->end_unix_ns);
    er_write_u64(out, info->duration_ns);
    er_write_bytes(out, info->model_digest, ERAI_DIGEST_SIZE);
    er_write_bytes(out, info->guard_digest, ERAI_DIGEST_SIZE);
    uint64_t calls, rows, epoch = 0;
    er_snapshot_account(info, &calls, &rows);
    er_write_varint(out, calls);
    er_write_varint(out, rows);
    write_counts(out, info->events_by_class, info->event_classes);
    er_write_varint(out, info->window_ranges);
    for (size_t i = 0; i < info->window_ranges; i++) {
        er_write_varint(out, info->windows[i].epoch - epoch);
        er_write_varint(out, info->windows[i].first);
        er_write_varint(out, info->windows[i].count);
        epoch = info->windows[i].epoch;
    }
    er_write_varint(out, snapshot->running_ms);
}

static void write_expired(er_writer *out, const erai_snapshot_info *info) {
    static const erai_expired none;
    uint32_t size = info->expiries;
    while (size && memcmp(&info->expired[size - 1], &none, sizeof none) == 0) size--;
    er_write_u16(out, (uint16_t)size);
    for (uint32_t i = 0; i < size; i++) {
        er_write_varint(out, info->expired[i].windows);
        er_write_varint(out, info->expired[i].unknown);
        er_write_varint(out, info->expired[i].calls);
        er_write_varint(out, info->expired[i].rows);
        er_write_varint(out, info->expired[i].events);
    }
}

static void write_features(er_writer *out, const erai_snapshot *snapshot) {
    er_write_u32(out, snapshot->info.features);
    for (uint32_t f = 0; f < snapshot->info.features; f++) {
        const erai_feature_counts *feature = &snapshot->features[f];
        er_write_u8(out, (uint8_t)feature->bins);
        for (uint32_t i = 0; i < feature->bins; i++) er_write_varint(out, feature->histogram[i]);
        er_write_varint(out, feature->not_finite);
        er_write_varint(out, zigzag(feature->sum));
        er_write_varint(out, feature->sum_squares);
    }
}

static void write_event(er_writer *out, const erai_event *event, uint64_t number, int64_t unix_ns) {
    er_write_varint(out, event->number - number);
    er_write_varint(out, zigzag((int64_t)((uint64_t)event->unix_ns - (uint64_t)unix_ns)));
    er_write_u8(out, event->event_class);
    er_write_u8(out, event->verdict);
    er_write_u8(out, event->source);
    er_write_varint(out, event->reasons);
    er_write_varint(out, event->latency_ns);
    er_write_varint(out, event->row);
    er_write_varint(out, event->field_count);
    for (uint32_t i = 0; i < event->field_count; i++) {
        const erai_event_field *field = &event->fields[i];
        er_write_varint(out, field->feature);
        er_write_u8(out, (uint8_t)field->form);
        if (field->form == ERAI_FIELD_PLAIN || field->form == ERAI_FIELD_EVIDENCE)
            er_write_f64(out, field->value);
        else if (field->form == ERAI_FIELD_KEYED_HASH)
            er_write_u64(out, field->number);
        else
            er_write_varint(out, field->number);
    }
}

/* Of each event what differs from the one before; a new epoch begins with how far it is from the last. */
static void write_events(er_writer *out, const erai_snapshot *snapshot) {
    er_write_varint(out, snapshot->info.events);
    uint64_t epoch = 0, number = 0;
    int64_t unix_ns = snapshot->info.start_unix_ns;
    for (size_t i = 0; i < snapshot->info.events; i++) {
        const erai_event *event = &snapshot->events[i];
        er_write_varint(out, event->epoch - epoch);
        if (event->epoch != epoch) number = 0;
        write_event(out, event, number, unix_ns);
        epoch = event->epoch;
        number = event->number;
        unix_ns = event->unix_ns;
    }
}

static void write_watch(er_writer *out, const erai_snapshot *snapshot) {
    const erai_snapshot_info *info = &snapshot->info;
    uint64_t named = 0;
    er_write_u8(out, (uint8_t)info->watch);
    if (info->watch == ERAI_WATCH_NONE) return;
    er_write_varint(out, info->epoch - info->watch_epoch);
    er_write_varint(out, info->watch_sequence);
    er_write_varint(out, info->watch_rows);
    er_write_f64(out, info->watch_evidence);
    for (uint32_t f = 0; f < info->features; f++) named += snapshot->features[f].watch_evidence > 0;
    er_write_varint(out, named);
    for (uint32_t f = 0; f < info->features; f++)
        if (snapshot->features[f].watch_evidence > 0) {
            er_write_varint(out, f);
            er_write_f64(out, snapshot->features[f].watch_evidence);
        }
}

void er_snapshot_write(er_writer *out, const erai_snapshot *snapshot) {
    const erai_snapshot_info *info = &snapshot->info;
    size_t begin = out->size;
    er_write_bytes(out, ER_BATCH_MAGIC, 8);
    er_write_u32(out, ER_BATCH_VERSION);
    for (int i = 0; i < 3; i++) er_write_u32(out, 0);
    write_head(out, snapshot);
    if (out->failed) return;
    size_t after = begin + ER_BATCH_HEADER, head = out->size - after;
    er_write_u32(out, er_crc32(0, out->data + after, head));
    er_write_varint(out, info->calls);
    er_write_varint(out, info->errors);
    er_write_varint(out, info->latency_sum_ns);
    write_counts(out, info->rows_by_verdict, info->verdicts);
    write_counts(out, info->rows_by_source, info->sources);
    write_counts(out, info->reasons, info->reason_codes);
    write_counts(out, info->latency, info->latency_slots);
    write_counts(out, info->decisions, info->decision_counts);
    write_expired(out, info);
    write_features(out, snapshot);
    write_events(out, snapshot);
    write_watch(out, snapshot);
    if (out->failed) return;
    er_patch_u32(out, begin + 12, (uint32_t)head);
    er_patch_u32(out, begin + 16, (uint32_t)(out->size - after));
    er_patch_u32(out, begin + 20, er_crc32(0, out->data + after, out->size - after));
}

erai_status er_snapshot_view(erai_snapshot *view, const erai_snapshot_info *info, const erai_guard *guard,
                             uint64_t *counts, er_feature_total *totals) {
    *view = (erai_snapshot){.info = *info};
    erai_snapshot_info *to = &view->info;
    to->calls = counts[ER_COUNT_CALLS];
    to->errors = counts[ER_COUNT_ERRORS];
    to->latency_sum_ns = counts[ER_COUNT_LATENCY_SUM];
    to->rows_by_verdict = counts + ER_COUNT_VERDICTS, to->verdicts = ER_VERDICTS;
    to->rows_by_source = counts + ER_COUNT_SOURCES, to->sources = ER_SOURCES;
    to->reasons = counts + ER_COUNT_REASONS, to->reason_codes = ER_REASONS;
    to->decisions = counts + ER_COUNT_DECISIONS, to->decision_counts = ER_DECISIONS;
    to->latency = counts + ER_COUNT_LATENCY, to->latency_slots = ER_LATENCY_SLOTS;
    to->events_by_class = counts + ER_COUNT_EVENTS, to->event_classes = ER_EVENT_CLASSES;
    to->expired = (const erai_expired *)(counts + ER_COUNT_EXPIRED), to->expiries = ER_EXPIRIES;
    to->features = (uint32_t)guard->feature_count;
    view->features = calloc(guard->feature_count ? guard->feature_count : 1, sizeof *view->features);
    if (!view->features) return ERAI_E_MEMORY;
    for (size_t f = 0; f < guard->feature_count; f++)
        view->features[f] = (erai_feature_counts){.bins = (uint32_t)guard->features[f].bins,
                                                  .histogram = totals[f].histogram,
                                                  .not_finite = totals[f].not_finite,
                                                  .sum = (int64_t)totals[f].sum,
                                                  .sum_squares = totals[f].sum_squares};
    return ERAI_OK;
}

erai_status erai_snapshot_write(const erai_snapshot *snapshot, uint8_t *buffer, size_t capacity, size_t *size,
                                char *detail) {
    if (!snapshot || !size || (!buffer && capacity))
        return er_fail(detail, ERAI_E_ARGUMENT, "erai_snapshot_write: NULL");
    er_writer out = {0};
    er_snapshot_write(&out, snapshot);
    erai_status status = out.failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : ERAI_OK;
    if (!status) {
        *size = out.size;
        if (out.size <= capacity)
            memcpy(buffer, out.data, out.size);
        else
            status = er_fail(detail, ERAI_E_SIZE, "the batch file takes %zu bytes, there is room for %zu", out.size,
                             capacity);
    }
    free(out.data);
    return status;
}
