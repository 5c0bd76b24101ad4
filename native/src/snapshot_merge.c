/* Snapshots put together: counts added modulo 2^64, windows and events united, the last state of the watch kept. What
 * comes out does not depend on the order, because sums and the last do not, and windows and events are kept sorted and
 * windows that touch are one. */
#include "snapshot.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

/* One that counts nothing: of windows that have expired. It goes with any model. */
static int counts_nothing(const erai_snapshot_info *info) {
    static const uint8_t none[ERAI_DIGEST_SIZE];
    return memcmp(info->guard_digest, none, sizeof none) == 0 && memcmp(info->model_digest, none, sizeof none) == 0 &&
           info->features == 0;
}

static int is_later(const erai_snapshot_info *one, const erai_snapshot_info *other) {
    return one->epoch > other->epoch || (one->epoch == other->epoch && one->sequence > other->sequence);
}

/* ---- Windows ---- */

static int in_order(const void *left, const void *right) {
    const erai_windows *a = left, *b = right;
    if (a->epoch != b->epoch) return a->epoch < b->epoch ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* Both sorted lists as one; *count is 0 when they share a window. */
static void unite_windows(const erai_snapshot_info *one, const erai_snapshot_info *other, erai_windows *into,
                          size_t *count) {
    size_t all = one->window_ranges + other->window_ranges;
    memcpy(into, one->windows, one->window_ranges * sizeof *into);
    memcpy(into + one->window_ranges, other->windows, other->window_ranges * sizeof *into);
    qsort(into, all, sizeof *into, in_order);
    *count = 0;
    for (size_t i = 0; i < all; i++) {
        erai_windows *last = *count ? &into[*count - 1] : NULL;
        if (!last || last->epoch != into[i].epoch || last->first + last->count < into[i].first) {
            into[(*count)++] = into[i];
        } else if (last->first + last->count == into[i].first) {
            last->count += into[i].count;
        } else {
            *count = 0;
            return;
        }
    }
}

static uint64_t count_windows(const erai_snapshot_info *info) {
    uint64_t windows = 0;
    for (size_t i = 0; i < info->window_ranges; i++) windows += info->windows[i].count;
    return windows;
}

/* ---- Counts ---- */

/* Two lists of perhaps different lengths, added; where one of them is, it has moved on. */
static const uint64_t *add(uint64_t **room, const uint64_t *one, uint32_t ones, const uint64_t *other, uint32_t others,
                           uint32_t *size) {
    uint64_t *sum = *room;
    *size = ones > others ? ones : others;
    for (uint32_t i = 0; i < *size; i++) sum[i] = (i < ones ? one[i] : 0) + (i < others ? other[i] : 0);
    *room += *size;
    return sum;
}

static size_t count_counts(const erai_snapshot *snapshot) {
    const erai_snapshot_info *info = &snapshot->info;
    size_t count = (size_t)info->verdicts + info->sources + info->reason_codes + info->decision_counts +
                   info->latency_slots + info->event_classes;
    for (uint32_t f = 0; f < info->features; f++) count += snapshot->features[f].bins;
    return count;
}

static int add_features(erai_snapshot *into, const erai_snapshot *one, const erai_snapshot *other, uint64_t *room) {
    for (uint32_t f = 0; f < into->info.features; f++) {
        const erai_feature_counts *a = &one->features[f], *b = f < other->info.features ? &other->features[f] : NULL;
        erai_feature_counts *sum = &into->features[f];
        if (b && a->bins != b->bins) return 0;
        sum->histogram = add(&room, a->histogram, a->bins, b ? b->histogram : NULL, b ? b->bins : 0, &sum->bins);
        sum->not_finite = a->not_finite + (b ? b->not_finite : 0);
        sum->sum = (int64_t)((uint64_t)a->sum + (b ? (uint64_t)b->sum : 0));
        sum->sum_squares = a->sum_squares + (b ? b->sum_squares : 0);
    }
    return 1;
}

static void add_expired(erai_expired *into, const erai_snapshot_info *info) {
    for (uint32_t i = 0; i < info->expiries; i++) {
        into[i].windows += info->expired[i].windows;
        into[i].unknown += info->expired[i].unknown;
        into[i].calls += info->expired[i].calls;
        into[i].rows += info->expired[i].rows;
        into[i].events += info->expired[i].events;
    }
}

static int is_watched_later(const erai_snapshot_info *one, const erai_snapshot_info *other) {
    if (one->watch == ERAI_WATCH_NONE || other->watch == ERAI_WATCH_NONE) return one->watch != ERAI_WATCH_NONE;
    return one->watch_epoch > other->watch_epoch ||
           (one->watch_epoch == other->watch_epoch && one->watch_sequence > other->watch_sequence);
}

/* What the watch came to last. */
static void take_watch(erai_snapshot *into, const erai_snapshot *one, const erai_snapshot *other) {
    const erai_snapshot *last = is_watched_later(&one->info, &other->info) ? one : other;
    into->info.watch = last->info.watch;
    into->info.watch_epoch = last->info.watch_epoch;
    into->info.watch_sequence = last->info.watch_sequence;
    into->info.watch_rows = last->info.watch_rows;
    into->info.watch_evidence = last->info.watch_evidence;
    for (uint32_t f = 0; f < into->info.features && f < last->info.features; f++)
        into->features[f].watch_evidence = last->features[f].watch_evidence;
}

/* `one` has at least the features of `other`. */
static int add_counts(erai_snapshot *into, const erai_snapshot *one, const erai_snapshot *other) {
    const erai_snapshot_info *a = &one->info, *b = &other->info;
    erai_snapshot_info *info = &into->info;
    uint64_t *room = into->counts;
    info->duration_ns = a->duration_ns + b->duration_ns;
    into->running_ms = one->running_ms > other->running_ms ? one->running_ms : other->running_ms;
    info->calls = a->calls + b->calls;
    info->errors = a->errors + b->errors;
    info->latency_sum_ns = a->latency_sum_ns + b->latency_sum_ns;
    info->rows_by_verdict =
        add(&room, a->rows_by_verdict, a->verdicts, b->rows_by_verdict, b->verdicts, &info->verdicts);
    info->rows_by_source = add(&room, a->rows_by_source, a->sources, b->rows_by_source, b->sources, &info->sources);
    info->reasons = add(&room, a->reasons, a->reason_codes, b->reasons, b->reason_codes, &info->reason_codes);
    info->latency = add(&room, a->latency, a->latency_slots, b->latency, b->latency_slots, &info->latency_slots);
    info->decisions =
        add(&room, a->decisions, a->decision_counts, b->decisions, b->decision_counts, &info->decision_counts);
    info->events_by_class =
        add(&room, a->events_by_class, a->event_classes, b->events_by_class, b->event_classes, &info->event_classes);
    add_expired(into->expired, a);
    add_expired(into->expired, b);
    info->features = a->features;
    take_watch(into, one, other);
    return add_features(into, one, other, room);
}

/* ---- Events ---- */

static size_t count_fields(const erai_snapshot *snapshot) {
    size_t fields = 0;
    for (size_t i = 0; i < snapshot->info.events; i++) fields += snapshot->events[i].field_count;
    return fields;
}

static void take_event(erai_snapshot *into, const erai_event *event, erai_event_field **room) {
    erai_event *copy = &into->events[into->info.events++];
    *copy = *event;
    copy->fields = *room;
    if (event->field_count) memcpy(*room, event->fields, event->field_count * sizeof **room);
    *room += event->field_count;
}

static int before(const erai_event *one, const erai_event *other) {
    return one->epoch < other->epoch || (one->epoch == other->epoch && one->number < other->number);
}

/* Both are sorted. */
static void unite_events(erai_snapshot *into, const erai_snapshot *one, const erai_snapshot *other) {
    erai_event_field *room = into->fields;
    size_t i = 0, j = 0;
    while (i < one->info.events || j < other->info.events)
        if (j == other->info.events || (i < one->info.events && before(&one->events[i], &other->events[j])))
            take_event(into, &one->events[i++], &room);
        else
            take_event(into, &other->events[j++], &room);
}

/* ---- Putting together ---- */

/* Room for what two snapshots make together; 0 when out of memory. `other` may be NULL. */
static erai_snapshot *make_room(const erai_snapshot *one, const erai_snapshot *other) {
    erai_snapshot *into = calloc(1, sizeof *into);
    if (!into) return NULL;
    size_t counts = count_counts(one) + (other ? count_counts(other) : 0);
    size_t expiries = one->info.expiries > ER_EXPIRIES ? one->info.expiries : ER_EXPIRIES;
    if (other && other->info.expiries > expiries) expiries = other->info.expiries;
    size_t windows = one->info.window_ranges + (other ? other->info.window_ranges : 0);
    size_t events = one->info.events + (other ? other->info.events : 0);
    size_t fields = count_fields(one) + (other ? count_fields(other) : 0);
    into->counts = calloc(counts + 1, sizeof *into->counts);
    into->expired = calloc(expiries, sizeof *into->expired);
    into->windows = calloc(windows + 1, sizeof *into->windows);
    into->features = calloc((size_t)one->info.features + 1, sizeof *into->features);
    into->events = calloc(events + 1, sizeof *into->events);
    into->fields = calloc(fields + 1, sizeof *into->fields);
    if (!into->counts || !into->expired || !into->windows || !into->features || !into->events || !into->fields) {
        erai_snapshot_close(into);
        return NULL;
    }
    into->info.expired = into->expired;
    into->info.expiries = (uint32_t)expiries;
    into->info.windows = into->windows;
    return into;
}

static erai_status check_pair(const erai_snapshot_info *one, const erai_snapshot_info *other, char *detail) {
    if (memcmp(one->instance, other->instance, sizeof one->instance) != 0)
        return er_fail(detail, ERAI_E_ARGUMENT, "snapshots of two spools are not merged");
    if (counts_nothing(one) || counts_nothing(other)) return ERAI_OK;
    if (memcmp(one->model_digest, other->model_digest, ERAI_DIGEST_SIZE) != 0 ||
        memcmp(one->guard_digest, other->guard_digest, ERAI_DIGEST_SIZE) != 0 || one->features != other->features)
        return er_fail(detail, ERAI_E_ARGUMENT, "snapshots of two models or guard programs are not merged");
    return ERAI_OK;
}

/* Whose name and digests the merged one bears. */
static const erai_snapshot *leading(const erai_snapshot *one, const erai_snapshot *other) {
    int one_empty = counts_nothing(&one->info), other_empty = counts_nothing(&other->info);
    if (one_empty != other_empty) return one_empty ? other : one;
    return is_later(&one->info, &other->info) ? one : other;
}

erai_status erai_snapshot_merge(const erai_snapshot *one, const erai_snapshot *other, erai_snapshot **merged,
                                char *detail) {
    if (!one || !other || !merged) return er_fail(detail, ERAI_E_ARGUMENT, "erai_snapshot_merge: NULL");
    erai_status status = check_pair(&one->info, &other->info, detail);
    if (status) return status;
    const erai_snapshot *first = leading(one, other), *second = first == one ? other : one;
    erai_snapshot *into = make_room(first, second);
    if (!into) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_snapshot_info *info = &into->info;
    memcpy(info->instance, first->info.instance, sizeof info->instance);
    memcpy(info->model_digest, first->info.model_digest, ERAI_DIGEST_SIZE);
    memcpy(info->guard_digest, first->info.guard_digest, ERAI_DIGEST_SIZE);
    info->epoch = first->info.epoch;
    info->sequence = first->info.sequence;
    const erai_snapshot_info *b = &second->info;
    info->start_unix_ns = first->info.start_unix_ns < b->start_unix_ns ? first->info.start_unix_ns : b->start_unix_ns;
    info->end_unix_ns = first->info.end_unix_ns > b->end_unix_ns ? first->info.end_unix_ns : b->end_unix_ns;
    unite_windows(&one->info, &other->info, into->windows, &info->window_ranges);
    if (!info->window_ranges)
        status = er_fail(detail, ERAI_E_ARGUMENT, "snapshots that share a window are not merged");
    else if (!add_counts(into, first, second))
        status = er_fail(detail, ERAI_E_ARGUMENT, "snapshots whose features have other bins are not merged");
    if (status) {
        erai_snapshot_close(into);
        return status;
    }
    unite_events(into, one, other);
    *merged = into;
    return ERAI_OK;
}

/* ---- What expires ---- */

/* The windows, times and events by class of `info`, of which nothing is counted; who expired before stays. */
static erai_snapshot *emptied(const erai_snapshot_info *info) {
    erai_snapshot source = {.info = *info};
    source.info.verdicts = source.info.sources = source.info.reason_codes = source.info.decision_counts =
        source.info.latency_slots = source.info.features = 0;
    source.info.events = 0;
    erai_snapshot *into = make_room(&source, NULL);
    if (!into) return NULL;
    erai_snapshot_info *to = &into->info;
    memcpy(to->instance, info->instance, sizeof to->instance);
    to->epoch = info->epoch, to->sequence = info->sequence;
    to->start_unix_ns = info->start_unix_ns, to->end_unix_ns = info->end_unix_ns;
    to->duration_ns = info->duration_ns;
    memcpy(into->windows, info->windows, info->window_ranges * sizeof *into->windows);
    to->window_ranges = info->window_ranges;
    uint64_t *room = into->counts;
    to->events_by_class = add(&room, info->events_by_class, info->event_classes, NULL, 0, &to->event_classes);
    add_expired(into->expired, info);
    return into;
}

erai_status er_snapshot_expire(const erai_snapshot *snapshot, erai_expiry why, erai_snapshot **expired, char *detail) {
    const erai_snapshot_info *info = &snapshot->info;
    erai_snapshot *into = emptied(info);
    if (!into) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    into->running_ms = snapshot->running_ms;
    uint64_t windows = count_windows(info);
    for (uint32_t i = 0; i < info->expiries; i++) windows -= info->expired[i].windows;
    erai_expired *gone = &into->expired[why];
    gone->windows += windows;
    gone->calls += info->calls + info->errors;
    gone->rows += er_snapshot_rows(info);
    gone->events += info->events;
    *expired = into;
    return ERAI_OK;
}

erai_status er_account_expire(const er_account *account, int known, erai_snapshot **expired, char *detail) {
    erai_snapshot_info info = account->info;
    info.events_by_class = account->events;
    info.event_classes = ER_EVENT_CLASSES;
    info.expiries = 0;
    erai_snapshot *into = emptied(&info);
    if (!into) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    into->running_ms = account->running_ms;
    erai_expired *gone = &into->expired[ERAI_EXPIRED_CORRUPT];
    gone->windows = count_windows(&info);
    gone->unknown = known ? 0 : gone->windows;
    gone->calls = account->calls;
    gone->rows = account->rows;
    for (unsigned i = 0; i < ER_EVENT_CLASSES; i++) gone->events += account->events[i];
    *expired = into;
    return ERAI_OK;
}

erai_status er_snapshot_without_events(const erai_snapshot *snapshot, erai_event_class most, erai_snapshot **without,
                                       char *detail) {
    erai_snapshot none = {.info = {.windows = snapshot->info.windows}};
    erai_snapshot *into = make_room(snapshot, NULL);
    if (!into) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_snapshot_info *info = &into->info;
    const erai_snapshot_info *from = &snapshot->info;
    memcpy(info->instance, from->instance, sizeof info->instance);
    memcpy(info->model_digest, from->model_digest, ERAI_DIGEST_SIZE);
    memcpy(info->guard_digest, from->guard_digest, ERAI_DIGEST_SIZE);
    info->epoch = from->epoch, info->sequence = from->sequence;
    info->start_unix_ns = from->start_unix_ns, info->end_unix_ns = from->end_unix_ns;
    memcpy(into->windows, from->windows, from->window_ranges * sizeof *into->windows);
    info->window_ranges = from->window_ranges;
    add_counts(into, snapshot, &none);
    erai_event_field *room = into->fields;
    for (size_t i = 0; i < from->events; i++)
        if (snapshot->events[i].event_class > most)
            take_event(into, &snapshot->events[i], &room);
        else
            into->expired[ERAI_EXPIRED_QUOTA].events++;
    *without = into;
    return ERAI_OK;
}
