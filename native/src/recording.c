/* Opening what a session records into, and what comes to it from elsewhere than a call: another key of the device, and
 * an alarm of drift, which is told once. */
#include "recording.h"

#include "fields.h"
#include "sha256.h"
#include "snapshot.h"
#include "spool.h"
#include "status.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

static erai_status open_spool(erai_session *session, const erai_session_config *config, char *detail) {
    erai_status status = erai_spool_open(config->spool_path, &session->spool, detail);
    if (!status) status = er_spool_limit(session->spool, config->spool_quota_bytes, config->spool_age_ns, detail);
    if (status) return status;
    session->opened_ns = session->window_ns;
    session->ran_before_ms = er_spool_ran_ms(session->spool);
    char name[6 + ER_DIGEST_HEX_SIZE + 5] = "guard-";
    er_digest_hex(session->guard->digest, name + 6);
    memcpy(name + 6 + ER_DIGEST_HEX_SIZE, ".bin", 5);
    return er_spool_put_once(session->spool, name, session->guard->bytes, session->guard->size, detail);
}

static erai_status open_events(erai_session *session, uint32_t keep, uint32_t sample_one_in, char *detail) {
    if (keep > ER_MAX_EVENTS)
        return er_fail(detail, ERAI_E_ARGUMENT, "room for %u events; expected at most %d, or ERAI_NO_EVENTS", keep,
                       ER_MAX_EVENTS);
    size_t fields = er_fields_most(session->guard);
    session->events = er_events_open(keep, sample_one_in, fields);
    if (session->events) {
        size_t capacity = er_events_capacity(session->events);
        session->taken_events = calloc(capacity, sizeof *session->taken_events);
        session->taken_fields = calloc(capacity * fields + 1, sizeof *session->taken_fields);
    }
    return session->taken_events && session->taken_fields ? ERAI_OK : er_fail(detail, ERAI_E_MEMORY, "out of memory");
}

static int hashes(const erai_guard *guard) {
    for (uint32_t f = 0; f < guard->events.features; f++)
        if (guard->events.forms[f] == ERAI_FIELD_KEYED_HASH) return 1;
    return 0;
}

/* A hash without a key would be one that anybody can make. */
static erai_status open_key(erai_session *session, char *detail) {
    if (!session->events || !hashes(session->guard)) return ERAI_OK;
    session->hashes = 1;
    er_recording_begin_window(session, session->window_ns, session->window_unix_ns);
    return session->key.there ? ERAI_OK
                              : er_fail(detail, ERAI_E_SPOOL, "the system has no random numbers for the device's key");
}

erai_status er_recording_open(erai_session *session, const erai_session_config *config, char *detail) {
    const erai_events_rule *rule = &session->guard->events;
    uint32_t keep = config->events ? config->events : rule->keep;
    if (!config->spool_path) return ERAI_OK;
    erai_status status = open_spool(session, config, detail);
    if (!status && keep && keep != ERAI_NO_EVENTS)
        status =
            open_events(session, keep, config->sample_one_in ? config->sample_one_in : rule->sample_one_in, detail);
    return status ? status : open_key(session, detail);
}

void er_recording_begin_window(erai_session *session, uint64_t now_ns, int64_t now_unix_ns) {
    session->window_ns = now_ns;
    session->window_unix_ns = now_unix_ns;
    if (session->hashes && er_device_key_renew(&session->key, session->spool, now_ns, now_unix_ns))
        er_events_set_key(session->events, session->key.bytes);
}

int er_recording_hear_alarm(erai_session *session) {
    erai_event_field fields[3];
    int64_t unix_ns;
    if (!er_watch_hear(session->watch, fields, &unix_ns)) return 0;
    if (session->events) er_events_alarm(session->events, unix_ns, fields, 3);
    er_watch_tell(session->watch);
    return 1;
}

/* A batch file holds finite numbers; evidence may have overflowed. */
static double bounded(double evidence) {
    return evidence < DBL_MAX ? evidence : DBL_MAX;
}

void er_recording_view_watch(erai_session *session, erai_snapshot *view) {
    erai_drift drift = {.struct_size = sizeof drift};
    erai_snapshot_info *info = &view->info;
    if (erai_session_drift(session, &drift)) return;
    info->watch = drift.alarm_row ? ERAI_WATCH_ALARM : ERAI_WATCH_CALM;
    info->watch_epoch = info->epoch;
    info->watch_sequence = info->sequence;
    info->watch_rows = drift.rows;
    info->watch_evidence = bounded(drift.evidence);
    for (uint32_t f = 0; drift.alarm_row && f < info->features; f++) {
        erai_feature_drift feature = {.struct_size = sizeof feature};
        if (!erai_session_feature_drift(session, f, &feature) && feature.named)
            view->features[f].watch_evidence = bounded(feature.evidence);
    }
}
