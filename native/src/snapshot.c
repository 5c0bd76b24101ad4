/* Batch files, docs/formats/batch.md. Counts are varints, so that a file of mostly small numbers stays small; a reader
 * bounds every length by what the file can hold before it allocates. */
#include "snapshot.h"

#include "crc32.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

struct erai_snapshot {
    erai_snapshot_info info;
    erai_feature_counts *features;
    uint64_t *counts; /* everything that `info` and `features` point to */
};

/* A signed number with small magnitude becomes a small unsigned one. */
static uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t value) {
    return (int64_t)((value >> 1) ^ (~(value & 1) + 1));
}

static void write_counts(er_writer *out, const uint64_t *counts, size_t size) {
    while (size && counts[size - 1] == 0) size--;
    er_write_u16(out, (uint16_t)size);
    for (size_t i = 0; i < size; i++) er_write_varint(out, counts[i]);
}

void er_snapshot_write(er_writer *out, const erai_snapshot_info *info, const erai_guard *guard, uint64_t *statistics) {
    er_write_bytes(out, ER_BATCH_MAGIC, 8);
    er_write_u32(out, ER_BATCH_VERSION);
    er_write_u32(out, 0);
    er_write_u32(out, 0);
    er_write_u32(out, 0);
    er_write_bytes(out, info->instance, sizeof info->instance);
    er_write_u64(out, info->epoch);
    er_write_u64(out, info->sequence);
    er_write_u64(out, (uint64_t)info->start_unix_ns);
    er_write_u64(out, (uint64_t)info->end_unix_ns);
    er_write_u64(out, info->duration_ns);
    er_write_bytes(out, info->model_digest, ERAI_DIGEST_SIZE);
    er_write_bytes(out, info->guard_digest, ERAI_DIGEST_SIZE);
    er_write_varint(out, statistics[ER_COUNT_CALLS]);
    er_write_varint(out, statistics[ER_COUNT_ERRORS]);
    er_write_varint(out, statistics[ER_COUNT_LATENCY_SUM]);
    write_counts(out, statistics + ER_COUNT_VERDICTS, ER_VERDICTS);
    write_counts(out, statistics + ER_COUNT_SOURCES, ER_SOURCES);
    write_counts(out, statistics + ER_COUNT_REASONS, ER_REASONS);
    write_counts(out, statistics + ER_COUNT_LATENCY, ER_LATENCY_SLOTS);
    write_counts(out, statistics + ER_COUNT_DECISIONS, ER_DECISIONS);
    er_write_u32(out, (uint32_t)guard->feature_count);
    er_feature_statistics of = er_of_features(statistics, guard->feature_count);
    for (size_t f = 0; f < guard->feature_count; f++) {
        er_write_u8(out, (uint8_t)guard->features[f].bins);
        for (uint32_t i = 0; i < guard->features[f].bins; i++) er_write_varint(out, of.histogram[f][i]);
        er_write_varint(out, of.not_finite[f]);
        er_write_varint(out, zigzag((int64_t)of.sum[f]));
        er_write_varint(out, of.sum_squares[f]);
    }
    if (out->failed) return;
    er_patch_u32(out, 16, (uint32_t)(out->size - ER_BATCH_HEADER));
    er_patch_u32(out, 20, er_crc32(0, out->data + ER_BATCH_HEADER, out->size - ER_BATCH_HEADER));
}

/* ---- Reading ---- */

/* Room for the counts of a file of `size` bytes: every count takes at least one byte, but those cut off at the end of a
 * list come back as zeros. */
static size_t most_counts(size_t size) {
    return size + ER_VERDICTS + ER_SOURCES + ER_REASONS + ER_LATENCY_SLOTS + ER_DECISIONS;
}

/* A list of counts, filled up with zeros to the number this build knows; a newer writer may have more. */
static const uint64_t *read_counts(er_reader *in, uint64_t **free_counts, size_t known, uint32_t *size) {
    size_t stored = er_read_u16(in);
    if (stored > in->size - in->at) in->failed = 1;
    uint64_t *counts = *free_counts;
    for (size_t i = 0; !in->failed && i < stored; i++) counts[i] = er_read_varint(in);
    size_t total = stored > known ? stored : known;
    *size = (uint32_t)total;
    if (!in->failed) *free_counts += total;
    return counts;
}

static void read_features(erai_snapshot *snapshot, er_reader *in, uint64_t *free_counts) {
    for (uint32_t f = 0; !in->failed && f < snapshot->info.features; f++) {
        erai_feature_counts *feature = &snapshot->features[f];
        feature->bins = er_read_u8(in);
        if (feature->bins > ERAI_MAX_BINS || feature->bins > in->size - in->at) {
            in->failed = 1;
            return;
        }
        feature->histogram = free_counts;
        for (uint32_t i = 0; i < feature->bins; i++) *free_counts++ = er_read_varint(in);
        feature->not_finite = er_read_varint(in);
        feature->sum = unzigzag(er_read_varint(in));
        feature->sum_squares = er_read_varint(in);
    }
}

static erai_status read_body(erai_snapshot *snapshot, er_reader *in, uint32_t version, char *detail) {
    erai_snapshot_info *info = &snapshot->info;
    const uint8_t *instance = er_read_bytes(in, sizeof info->instance);
    if (instance) memcpy(info->instance, instance, sizeof info->instance);
    info->epoch = er_read_u64(in);
    info->sequence = er_read_u64(in);
    info->start_unix_ns = (int64_t)er_read_u64(in);
    info->end_unix_ns = (int64_t)er_read_u64(in);
    info->duration_ns = er_read_u64(in);
    const uint8_t *model = er_read_bytes(in, ERAI_DIGEST_SIZE);
    const uint8_t *guard = er_read_bytes(in, ERAI_DIGEST_SIZE);
    if (model) memcpy(info->model_digest, model, ERAI_DIGEST_SIZE);
    if (guard) memcpy(info->guard_digest, guard, ERAI_DIGEST_SIZE);
    info->calls = er_read_varint(in);
    info->errors = er_read_varint(in);
    info->latency_sum_ns = er_read_varint(in);
    uint64_t *free_counts = snapshot->counts;
    info->rows_by_verdict = read_counts(in, &free_counts, ER_VERDICTS, &info->verdicts);
    info->rows_by_source = read_counts(in, &free_counts, ER_SOURCES, &info->sources);
    info->reasons = read_counts(in, &free_counts, ER_REASONS, &info->reason_codes);
    info->latency = read_counts(in, &free_counts, ER_LATENCY_SLOTS, &info->latency_slots);
    if (version == 1) {
        info->decisions = free_counts;
        info->decision_counts = ER_DECISIONS;
        free_counts += ER_DECISIONS;
    } else {
        info->decisions = read_counts(in, &free_counts, ER_DECISIONS, &info->decision_counts);
    }
    info->features = er_read_u32(in);
    /* A feature takes at least four bytes. */
    if (in->failed || info->features > (in->size - in->at) / 4)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: cut short");
    snapshot->features = calloc(info->features ? info->features : 1, sizeof *snapshot->features);
    if (!snapshot->features) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    read_features(snapshot, in, free_counts);
    if (in->failed || in->at != in->size)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: a count is malformed, or bytes follow the last one");
    return ERAI_OK;
}

static erai_status read_batch(erai_snapshot *snapshot, const uint8_t *bytes, size_t size, char *detail) {
    er_reader in = {.data = bytes, .size = size};
    const uint8_t *magic = er_read_bytes(&in, 8);
    uint32_t version = er_read_u32(&in);
    uint32_t zero = er_read_u32(&in);
    uint32_t body = er_read_u32(&in);
    uint32_t crc = er_read_u32(&in);
    if (in.failed || memcmp(magic, ER_BATCH_MAGIC, 8) != 0)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "not a batch file");
    if (version > ER_BATCH_VERSION)
        return er_fail(detail, ERAI_E_BATCH_NEWER,
                       "batch file of format version %u; this build understands up to %u: update edge_rai", version,
                       ER_BATCH_VERSION);
    if (version == 0 || zero != 0 || body != size - ER_BATCH_HEADER)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file of %zu bytes: its header says %zu", size,
                       (size_t)body + ER_BATCH_HEADER);
    if (er_crc32(0, bytes + ER_BATCH_HEADER, body) != crc)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its checksum does not match its contents");
    snapshot->counts = calloc(most_counts(body), sizeof *snapshot->counts);
    if (!snapshot->counts) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    return read_body(snapshot, &in, version, detail);
}

erai_status erai_snapshot_open(const uint8_t *bytes, size_t size, erai_snapshot **out, char *detail) {
    if (!bytes || !out) return er_fail(detail, ERAI_E_ARGUMENT, "erai_snapshot_open: NULL");
    erai_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_status status = read_batch(snapshot, bytes, size, detail);
    if (status) {
        erai_snapshot_close(snapshot);
        return status;
    }
    *out = snapshot;
    return ERAI_OK;
}

void erai_snapshot_close(erai_snapshot *snapshot) {
    if (!snapshot) return;
    free(snapshot->features);
    free(snapshot->counts);
    free(snapshot);
}

void erai_snapshot_read(const erai_snapshot *snapshot, erai_snapshot_info *info) {
    *info = snapshot->info;
}

erai_status erai_snapshot_feature(const erai_snapshot *snapshot, size_t index, erai_feature_counts *counts) {
    if (index >= snapshot->info.features) return ERAI_E_ARGUMENT;
    *counts = snapshot->features[index];
    return ERAI_OK;
}
