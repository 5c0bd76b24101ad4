/* Events, kept in one reservoir a class: of more events than a class has room for, each is kept with the same
 * probability (Vitter, "Random sampling with a reservoir", 1985, algorithm R). So a flood of cheap ones displaces no
 * dear one. Of a row's input an event has what fields.c takes of it. */
#include "events.h"

#include "fields.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

struct er_events {
    er_mutex lock;
    er_condition wake;
    uint32_t capacity[ER_EVENT_CLASSES];
    uint32_t kept[ER_EVENT_CLASSES];
    uint64_t offered[ER_EVENT_CLASSES]; /* to the reservoir since it began anew */
    uint64_t created[ER_EVENT_CLASSES]; /* not yet in the statistics, like: */
    uint64_t displaced;
    erai_event *slots[ER_EVENT_CLASSES];
    erai_event *memory;
    erai_event_field *field_memory; /* `most_fields` a slot, which its event points to */
    size_t most_fields;
    uint8_t key[ERAI_DIGEST_SIZE];
    uint64_t next_number;
    uint64_t random;
    uint32_t sampled;
};

/* Shares of the room, in eighths. */
static const uint32_t eighths[ER_EVENT_CLASSES] = {1, 2, 4, 1};

er_events *er_events_open(uint32_t capacity, uint32_t sampled, size_t fields) {
    er_events *events = calloc(1, sizeof *events);
    if (!events) return NULL;
    size_t all = 0;
    for (size_t i = 0; i < ER_EVENT_CLASSES; i++) {
        events->capacity[i] = (uint32_t)((uint64_t)capacity * eighths[i] / 8);
        if (!events->capacity[i]) events->capacity[i] = 1;
        all += events->capacity[i];
    }
    events->memory = calloc(all, sizeof *events->memory);
    events->most_fields = fields;
    events->field_memory = calloc(all * fields + 1, sizeof *events->field_memory);
    events->sampled = sampled;
    if (er_random(&events->random, sizeof events->random)) events->random = er_monotonic_ns();
    events->random |= 1;
    if (events->memory && events->field_memory && er_mutex_init(&events->lock) == 0) {
        if (er_condition_init(&events->wake) == 0) {
            erai_event *slots = events->memory;
            for (size_t i = 0; i < ER_EVENT_CLASSES; slots += events->capacity[i++]) events->slots[i] = slots;
            return events;
        }
        er_mutex_destroy(&events->lock);
    }
    free(events->memory);
    free(events->field_memory);
    free(events);
    return NULL;
}

void er_events_close(er_events *events) {
    if (!events) return;
    er_condition_destroy(&events->wake);
    er_mutex_destroy(&events->lock);
    free(events->memory);
    free(events->field_memory);
    free(events);
}

void er_events_set_key(er_events *events, const uint8_t key[ERAI_DIGEST_SIZE]) {
    er_mutex_lock(&events->lock);
    memcpy(events->key, key, ERAI_DIGEST_SIZE);
    er_mutex_unlock(&events->lock);
}

/* xorshift64* (Marsaglia 2003; Vigna 2016). */
static uint64_t draw(er_events *events, uint64_t below) {
    events->random ^= events->random >> 12;
    events->random ^= events->random << 25;
    events->random ^= events->random >> 27;
    return (events->random * UINT64_C(0x2545F4914F6CDD1D) >> 11) % below;
}

static int is_due(const er_events *events) {
    if (events->kept[ERAI_EVENT_URGENT]) return 1;
    for (size_t i = 0; i < ER_EVENT_CLASSES; i++)
        if (i != ERAI_EVENT_SAMPLE && events->kept[i] > events->capacity[i] / 2) return 1;
    return 0;
}

/* The slot that an event gets, with its own fields; NULL: none. */
static erai_event_field *keep(er_events *events, const erai_event *event, erai_event **slot) {
    size_t c = event->event_class;
    uint64_t place = events->offered[c]++;
    if (place < events->capacity[c]) {
        events->kept[c]++;
    } else {
        events->displaced++;
        place = draw(events, events->offered[c]);
        if (place >= events->capacity[c]) return NULL;
    }
    *slot = &events->slots[c][place];
    erai_event_field *fields = events->field_memory + (size_t)(*slot - events->memory) * events->most_fields;
    **slot = *event;
    (*slot)->fields = fields;
    (*slot)->field_count = 0;
    return fields;
}

static void keep_with(er_events *events, const erai_event *event, const erai_event_field *from, uint32_t count) {
    erai_event *slot;
    erai_event_field *fields = keep(events, event, &slot);
    if (!fields || !count) return;
    memcpy(fields, from, count * sizeof *fields);
    slot->field_count = count;
}

/* ---- Recording ---- */

static uint64_t reasons_of(const erai_answer *answer, size_t row) {
    uint64_t reasons = answer->row_reasons[row];
    for (size_t i = 0; i < answer->reason_count; i++)
        if (answer->reasons[i].row == (int64_t)row || answer->reasons[i].row == -1)
            reasons |= (uint64_t)1 << answer->reasons[i].code;
    return reasons;
}

static void keep_row(er_events *events, const erai_answer *answer, size_t row, erai_event_class kept_for,
                     erai_event event) {
    event.number = events->next_number++;
    event.row = (uint32_t)row;
    event.event_class = (uint8_t)kept_for;
    if (row < answer->rows) {
        event.verdict = answer->verdicts[row];
        event.source = answer->sources[row];
        event.reasons = reasons_of(answer, row);
    }
    events->created[kept_for]++;
    erai_event *slot;
    erai_event_field *fields = keep(events, &event, &slot);
    if (fields) slot->field_count = er_fields_take(answer, row, events->key, fields);
}

static void keep_rows(er_events *events, const erai_answer *answer, const erai_event *event) {
    size_t looked_at = 0;
    for (size_t row = 0; row < answer->rows; row++) {
        if (answer->verdicts[row] == ERAI_VERDICT_ACCEPT) continue;
        erai_event_class kept_for = answer->verdicts[row] == ERAI_VERDICT_REJECT ? ERAI_EVENT_REJECT : ERAI_EVENT_FLAG;
        if (looked_at++ < ER_EVENT_ROWS) {
            keep_row(events, answer, row, kept_for, *event);
        } else {
            events->next_number++;
            events->created[kept_for]++;
            events->displaced++;
        }
    }
}

/* From one drawn row to the next, over calls, it is 1 to 2 * sampled - 1 rows, each as likely. */
static void draw_rows(er_events *events, erai_answer *answer, const erai_event *event) {
    for (size_t drawn = 0; answer->sample_in < answer->rows; drawn++) {
        if (drawn < ER_EVENT_ROWS) keep_row(events, answer, (size_t)answer->sample_in, ERAI_EVENT_SAMPLE, *event);
        answer->sample_in += 1 + draw(events, 2 * (uint64_t)events->sampled - 1);
    }
    answer->sample_in -= answer->rows;
}

void er_events_record(er_events *events, erai_answer *answer, uint64_t latency_ns) {
    int accepted = answer->verdict == ERAI_VERDICT_ACCEPT, draws = 0;
    if (accepted && events->sampled && answer->rows) {
        draws = answer->sample_in < answer->rows;
        if (!draws) answer->sample_in -= answer->rows;
    }
    if (accepted && !draws && !answer->breaker_opened) return;
    /* Rounded: digits that tell nobody anything are most of what a compressed event is. */
    int64_t unix_ns = er_session_unix_ns(answer->session);
    erai_event event = {.unix_ns = unix_ns - unix_ns % 1000000,
                        .latency_ns = latency_ns - latency_ns % 1000,
                        .verdict = (uint8_t)answer->verdict,
                        .source = (uint8_t)answer->source};
    er_mutex_lock(&events->lock);
    if (draws) {
        draw_rows(events, answer, &event);
    }
    if (!accepted) keep_rows(events, answer, &event);
    if (answer->breaker_opened) keep_row(events, answer, 0, ERAI_EVENT_URGENT, event);
    if (is_due(events)) er_condition_signal(&events->wake);
    er_mutex_unlock(&events->lock);
}

void er_events_alarm(er_events *events, int64_t unix_ns, const erai_event_field *fields, uint32_t count) {
    er_mutex_lock(&events->lock);
    erai_event event = {.unix_ns = unix_ns - unix_ns % 1000000,
                        .number = events->next_number++,
                        .event_class = ERAI_EVENT_URGENT,
                        .reasons = (uint64_t)1 << ERAI_REASON_DRIFT};
    events->created[ERAI_EVENT_URGENT]++;
    keep_with(events, &event, fields, count);
    er_condition_signal(&events->wake);
    er_mutex_unlock(&events->lock);
}

/* ---- Gathering ---- */

size_t er_events_capacity(const er_events *events) {
    size_t all = 0;
    for (size_t i = 0; i < ER_EVENT_CLASSES; i++) all += events->capacity[i];
    return all;
}

static int by_number(const void *left, const void *right) {
    const erai_event *a = left, *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

size_t er_events_gather(er_events *events, uint64_t epoch, erai_event *into, erai_event_field *fields,
                        uint64_t *statistics, int take) {
    size_t count = 0;
    er_mutex_lock(&events->lock);
    for (size_t i = 0; i < ER_EVENT_CLASSES; i++) {
        memcpy(into + count, events->slots[i], events->kept[i] * sizeof *into);
        count += events->kept[i];
        statistics[ER_COUNT_EVENTS + i] += events->created[i];
    }
    statistics[ER_COUNT_EXPIRED + ERAI_EXPIRED_MEMORY * ER_EXPIRED_COUNTS +
               offsetof(erai_expired, events) / sizeof(uint64_t)] += events->displaced;
    if (take) {
        memset(events->kept, 0, sizeof events->kept);
        memset(events->offered, 0, sizeof events->offered);
        memset(events->created, 0, sizeof events->created);
        events->displaced = 0;
    }
    for (size_t i = 0; i < count; i++) {
        into[i].epoch = epoch;
        if (into[i].field_count) memcpy(fields, into[i].fields, into[i].field_count * sizeof *fields);
        into[i].fields = fields;
        fields += into[i].field_count;
    }
    er_mutex_unlock(&events->lock);
    qsort(into, count, sizeof *into, by_number);
    return count;
}

void er_events_put_back(er_events *events, const erai_event *from, size_t count) {
    er_mutex_lock(&events->lock);
    for (size_t i = 0; i < count; i++) keep_with(events, &from[i], from[i].fields, from[i].field_count);
    er_mutex_unlock(&events->lock);
}

int er_events_wait(er_events *events, uint64_t timeout_ns) {
    uint64_t now = er_monotonic_ns(), until = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
    er_mutex_lock(&events->lock);
    while (!is_due(events) && er_condition_wait_until(&events->wake, &events->lock, until)) continue;
    int due = is_due(events);
    er_mutex_unlock(&events->lock);
    return due;
}
