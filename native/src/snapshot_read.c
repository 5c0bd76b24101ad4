/* Reading batch files of every version, docs/formats/snapshot.md. Every length is bounded by what the file can hold
 * before anything is allocated. */
#include "crc32.h"
#include "snapshot.h"
#include "status.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

static int64_t unzigzag(uint64_t value) {
    return (int64_t)((value >> 1) ^ (~(value & 1) + 1));
}

/* Room for the counts of a file of `size` bytes: every count takes at least one byte, but those cut off at the end of a
 * list come back as zeros. */
static size_t most_counts(size_t size) {
    return size + ER_VERDICTS + ER_SOURCES + ER_REASONS + ER_LATENCY_SLOTS + ER_DECISIONS + ER_EVENT_CLASSES;
}

static size_t left(const er_reader *in) {
    return in->failed ? 0 : in->size - in->at;
}

/* A list of counts, filled up with zeros to the number this build knows; a newer writer may have more. */
static const uint64_t *read_counts(er_reader *in, uint64_t **free_counts, size_t known, uint32_t *size) {
    size_t stored = er_read_u16(in);
    if (stored > left(in)) in->failed = 1;
    uint64_t *counts = *free_counts;
    for (size_t i = 0; !in->failed && i < stored; i++) counts[i] = er_read_varint(in);
    size_t total = stored > known ? stored : known;
    *size = (uint32_t)total;
    if (!in->failed) *free_counts += total;
    return counts;
}

static const uint64_t *no_counts(uint64_t **free_counts, size_t known, uint32_t *size) {
    const uint64_t *counts = *free_counts;
    *free_counts += known;
    *size = (uint32_t)known;
    return counts;
}

static void read_features(erai_snapshot *snapshot, er_reader *in, uint64_t *free_counts) {
    for (uint32_t f = 0; !in->failed && f < snapshot->info.features; f++) {
        erai_feature_counts *feature = &snapshot->features[f];
        feature->bins = er_read_u8(in);
        if (feature->bins > ERAI_MAX_BINS || feature->bins > left(in)) {
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

static void read_identity(er_reader *in, erai_snapshot_info *info) {
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
}

int er_windows_hold(const erai_windows *windows, size_t count, uint64_t epoch, uint64_t sequence) {
    for (size_t i = 0; i < count; i++)
        if (windows[i].epoch == epoch && sequence >= windows[i].first && sequence - windows[i].first < windows[i].count)
            return 1;
    return 0;
}

/* In order, each with something in it, and none that could be one with the one before. */
static void read_windows(er_reader *in, erai_windows *windows, size_t count) {
    uint64_t epoch = 0, after = 0;
    for (size_t i = 0; !in->failed && i < count; i++) {
        uint64_t step = er_read_varint(in);
        windows[i] = (erai_windows){.epoch = epoch + step, .first = er_read_varint(in), .count = er_read_varint(in)};
        int beyond =
            windows[i].epoch < epoch || windows[i].count == 0 || windows[i].first > UINT64_MAX - windows[i].count;
        if (beyond || (i && step == 0 && windows[i].first <= after)) in->failed = 1;
        epoch = windows[i].epoch;
        after = windows[i].first + windows[i].count;
    }
}

/* The head after the identity; before version 3 there was none. `counts` has room for the events by class. */
static erai_status read_account(er_reader *in, uint32_t version, er_account *account, uint64_t **free_counts,
                                char *detail) {
    erai_snapshot_info *info = &account->info;
    size_t ranges = 1;
    if (version >= 3) {
        account->calls = er_read_varint(in);
        account->rows = er_read_varint(in);
        info->events_by_class = read_counts(in, free_counts, ER_EVENT_CLASSES, &info->event_classes);
        uint64_t stored = er_read_varint(in);
        if (stored == 0 || stored > left(in) / 3) in->failed = 1;
        ranges = in->failed ? 0 : (size_t)stored;
    } else {
        info->events_by_class = no_counts(free_counts, ER_EVENT_CLASSES, &info->event_classes);
    }
    if (in->failed) return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its head is cut short");
    account->windows = calloc(ranges, sizeof *account->windows);
    if (!account->windows) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    info->windows = account->windows;
    info->window_ranges = ranges;
    if (version < 3)
        account->windows[0] = (erai_windows){.epoch = info->epoch, .first = info->sequence, .count = 1};
    else
        read_windows(in, account->windows, ranges);
    if (version >= 4) account->running_ms = er_read_varint(in);
    if (in->failed || (version >= 3 && !er_windows_hold(account->windows, ranges, info->epoch, info->sequence)))
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its windows are none, or not in order");
    return ERAI_OK;
}

static erai_status read_expired(erai_snapshot *snapshot, er_reader *in, uint32_t version, char *detail) {
    size_t stored = version >= 3 ? er_read_u16(in) : 0;
    if (stored > left(in) / ER_EXPIRED_COUNTS) in->failed = 1;
    if (in->failed) return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: cut short");
    size_t total = stored > ER_EXPIRIES ? stored : ER_EXPIRIES;
    snapshot->expired = calloc(total, sizeof *snapshot->expired);
    if (!snapshot->expired) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < stored; i++) {
        erai_expired *expired = &snapshot->expired[i];
        expired->windows = er_read_varint(in);
        expired->unknown = er_read_varint(in);
        expired->calls = er_read_varint(in);
        expired->rows = er_read_varint(in);
        expired->events = er_read_varint(in);
    }
    snapshot->info.expired = snapshot->expired;
    snapshot->info.expiries = (uint32_t)total;
    return ERAI_OK;
}

static void read_fields(er_reader *in, erai_event *event, erai_event_field **free_fields) {
    event->fields = *free_fields;
    for (uint32_t i = 0; !in->failed && i < event->field_count; i++) {
        erai_event_field *field = (*free_fields)++;
        uint64_t feature = er_read_varint(in);
        field->form = er_read_u8(in);
        if (feature > UINT32_MAX || field->form == ERAI_FIELD_DROP || field->form > ERAI_FIELD_CHANGED) in->failed = 1;
        field->feature = (uint32_t)feature;
        if (field->form == ERAI_FIELD_PLAIN || field->form == ERAI_FIELD_EVIDENCE)
            field->value = er_read_f64(in);
        else
            field->number = field->form == ERAI_FIELD_KEYED_HASH ? er_read_u64(in) : er_read_varint(in);
    }
}

/* An event takes at least 9 bytes, a field of one at least 3. */
enum { LEAST_EVENT = 9, LEAST_FIELD = 3 };

static void read_event(er_reader *in, erai_event *event, const erai_event *before, erai_event_field **free_fields) {
    uint64_t step = er_read_varint(in), number = er_read_varint(in);
    event->epoch = before->epoch + step;
    event->number = step ? number : before->number + number;
    if (event->epoch < before->epoch || (!step && event->number < number)) in->failed = 1;
    event->unix_ns = (int64_t)((uint64_t)before->unix_ns + (uint64_t)unzigzag(er_read_varint(in)));
    event->event_class = er_read_u8(in);
    event->verdict = er_read_u8(in);
    event->source = er_read_u8(in);
    event->reasons = er_read_varint(in);
    event->latency_ns = er_read_varint(in);
    uint64_t row = er_read_varint(in), fields = er_read_varint(in);
    if (row > UINT32_MAX || fields > left(in) / LEAST_FIELD || event->event_class > ERAI_EVENT_URGENT) in->failed = 1;
    event->row = (uint32_t)row;
    event->field_count = in->failed ? 0 : (uint32_t)fields;
    read_fields(in, event, free_fields);
}

static erai_status read_events(erai_snapshot *snapshot, er_reader *in, uint32_t version, char *detail) {
    uint64_t count = version >= 3 ? er_read_varint(in) : 0;
    if (count > left(in) / LEAST_EVENT) in->failed = 1;
    if (in->failed) return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: cut short");
    if (count == 0) return ERAI_OK;
    snapshot->events = calloc((size_t)count, sizeof *snapshot->events);
    snapshot->fields = calloc(left(in) / LEAST_FIELD + 1, sizeof *snapshot->fields);
    if (!snapshot->events || !snapshot->fields) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_event_field *free_fields = snapshot->fields;
    erai_event before = {.unix_ns = snapshot->info.start_unix_ns};
    for (size_t i = 0; !in->failed && i < count; i++) {
        read_event(in, &snapshot->events[i], &before, &free_fields);
        if (i && before.epoch == snapshot->events[i].epoch && before.number == snapshot->events[i].number)
            in->failed = 1;
        before = snapshot->events[i];
    }
    snapshot->info.events = (size_t)count;
    return ERAI_OK;
}

static double read_evidence(er_reader *in) {
    double evidence = er_read_f64(in);
    if (!(evidence >= 0 && evidence <= DBL_MAX)) in->failed = 1;
    return evidence;
}

/* What has come of the watch for drift by the end of one of the snapshot's windows. */
static void read_watch(erai_snapshot *snapshot, er_reader *in) {
    erai_snapshot_info *info = &snapshot->info;
    info->watch = er_read_u8(in);
    if (info->watch == ERAI_WATCH_NONE) return;
    uint64_t back = er_read_varint(in);
    info->watch_epoch = info->epoch - back;
    info->watch_sequence = er_read_varint(in);
    info->watch_rows = er_read_varint(in);
    info->watch_evidence = read_evidence(in);
    uint64_t named = er_read_varint(in), least = 0;
    if (info->watch > ERAI_WATCH_ALARM || back > info->epoch || named > info->features ||
        (named && info->watch != ERAI_WATCH_ALARM) ||
        !er_windows_hold(info->windows, info->window_ranges, info->watch_epoch, info->watch_sequence))
        in->failed = 1;
    for (; !in->failed && named; named--) {
        uint64_t feature = er_read_varint(in);
        double evidence = read_evidence(in);
        if (feature < least || feature >= info->features || evidence == 0) in->failed = 1;
        if (in->failed) return;
        snapshot->features[feature].watch_evidence = evidence;
        least = feature + 1;
    }
}

static erai_status read_body(erai_snapshot *snapshot, er_reader *in, uint32_t version, uint64_t *free_counts,
                             char *detail) {
    erai_snapshot_info *info = &snapshot->info;
    info->calls = er_read_varint(in);
    info->errors = er_read_varint(in);
    info->latency_sum_ns = er_read_varint(in);
    info->rows_by_verdict = read_counts(in, &free_counts, ER_VERDICTS, &info->verdicts);
    info->rows_by_source = read_counts(in, &free_counts, ER_SOURCES, &info->sources);
    info->reasons = read_counts(in, &free_counts, ER_REASONS, &info->reason_codes);
    info->latency = read_counts(in, &free_counts, ER_LATENCY_SLOTS, &info->latency_slots);
    info->decisions = version == 1 ? no_counts(&free_counts, ER_DECISIONS, &info->decision_counts)
                                   : read_counts(in, &free_counts, ER_DECISIONS, &info->decision_counts);
    erai_status status = read_expired(snapshot, in, version, detail);
    if (status) return status;
    info->features = er_read_u32(in);
    /* A feature takes at least four bytes. */
    if (in->failed || info->features > left(in) / 4)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: cut short");
    snapshot->features = calloc(info->features ? info->features : 1, sizeof *snapshot->features);
    if (!snapshot->features) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    read_features(snapshot, in, free_counts);
    status = read_events(snapshot, in, version, detail);
    if (status) return status;
    if (version >= 5) read_watch(snapshot, in);
    if (in->failed || in->at != in->size)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: a count is malformed, or bytes follow the last one");
    return ERAI_OK;
}

/* Header and, where they are there, sizes. *head: bytes after the header that its own checksum is of. */
static erai_status read_header(er_reader *in, uint32_t *version, uint32_t *head, uint32_t *rest, uint32_t *crc,
                               char *detail) {
    const uint8_t *magic = er_read_bytes(in, 8);
    *version = er_read_u32(in);
    *head = er_read_u32(in);
    *rest = er_read_u32(in);
    *crc = er_read_u32(in);
    if (in->failed || memcmp(magic, ER_BATCH_MAGIC, 8) != 0)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "not a batch file");
    if (*version > ER_BATCH_VERSION)
        return er_fail(detail, ERAI_E_BATCH_NEWER,
                       "batch file of format version %u; this build understands up to %u: update edge_rai", *version,
                       ER_BATCH_VERSION);
    if (*version == 0 || (*version < 3 && *head != 0))
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its header is malformed");
    return ERAI_OK;
}

static erai_status read_batch(erai_snapshot *snapshot, const uint8_t *bytes, size_t size, char *detail) {
    er_reader in = {.data = bytes, .size = size};
    uint32_t version, head, rest, crc;
    erai_status status = read_header(&in, &version, &head, &rest, &crc, detail);
    if (status) return status;
    if (rest != size - ER_BATCH_HEADER)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file of %zu bytes: its header says %zu", size,
                       (size_t)rest + ER_BATCH_HEADER);
    if (er_crc32(0, bytes + ER_BATCH_HEADER, rest) != crc)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its checksum does not match its contents");
    snapshot->counts = calloc(most_counts(rest), sizeof *snapshot->counts);
    if (!snapshot->counts) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    er_account account = {0};
    read_identity(&in, &account.info);
    uint64_t *free_counts = snapshot->counts;
    status = read_account(&in, version, &account, &free_counts, detail);
    snapshot->info = account.info;
    snapshot->windows = account.windows;
    snapshot->running_ms = account.running_ms;
    if (status) return status;
    /* The checksum of the head, which has been checked with all the rest. */
    if (version >= 3 &&
        (in.at - ER_BATCH_HEADER != head || er_read_u32(&in) != er_crc32(0, bytes + ER_BATCH_HEADER, head)))
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its head is not as long as its header says");
    status = read_body(snapshot, &in, version, free_counts, detail);
    if (status || version < 3) return status;
    uint64_t calls, rows;
    er_snapshot_account(&snapshot->info, &calls, &rows);
    if (calls != account.calls || rows != account.rows)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: it does not hold what its head says");
    return ERAI_OK;
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

/* Of a version that has no head of its own. */
static erai_status account_of_all(const uint8_t *bytes, size_t size, er_account *account, char *detail) {
    erai_snapshot *snapshot = NULL;
    erai_status status = erai_snapshot_open(bytes, size, &snapshot, detail);
    if (status) return status;
    account->info = snapshot->info;
    er_snapshot_account(&snapshot->info, &account->calls, &account->rows);
    account->windows = snapshot->windows;
    snapshot->windows = NULL;
    erai_snapshot_close(snapshot);
    account->info.events_by_class = NULL;
    return ERAI_OK;
}

erai_status er_account_read(const uint8_t *bytes, size_t size, er_account *account, char *detail) {
    er_reader in = {.data = bytes, .size = size};
    uint32_t version, head, rest, crc;
    *account = (er_account){0};
    erai_status status = read_header(&in, &version, &head, &rest, &crc, detail);
    if (status) return status;
    if (version < 3) return account_of_all(bytes, size, account, detail);
    if (head > left(&in) || left(&in) - head < 4)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: its head is cut short");
    in = (er_reader){.data = bytes, .size = ER_BATCH_HEADER + head + 4, .at = ER_BATCH_HEADER + head};
    if (er_read_u32(&in) != er_crc32(0, bytes + ER_BATCH_HEADER, head))
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "batch file: the checksum of its head does not match");
    in = (er_reader){.data = bytes, .size = ER_BATCH_HEADER + head, .at = ER_BATCH_HEADER};
    uint64_t *counts = calloc((size_t)head + ER_EVENT_CLASSES, sizeof *counts), *free_counts = counts;
    if (!counts) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    read_identity(&in, &account->info);
    status = read_account(&in, version, account, &free_counts, detail);
    if (!status) memcpy(account->events, account->info.events_by_class, sizeof account->events);
    account->info.events_by_class = NULL;
    free(counts);
    if (status) free(account->windows);
    return status;
}
