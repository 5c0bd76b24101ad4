/* What answers have counted: brought together, as the snapshot of a window, and flushed into the spool. */
#include "recording.h"
#include "session.h"
#include "snapshot.h"
#include "spool.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

er_feature_total *er_session_totals(erai_session *session) {
    if (!session->totals) session->totals = calloc(session->guard->feature_count + 1, sizeof *session->totals);
    return session->totals;
}

int er_answer_carry(erai_answer *answer) {
    erai_session *session = answer->session;
    er_mutex_lock(&session->lock);
    er_feature_total *totals = er_session_totals(session);
    if (totals) {
        er_mutex_lock(&answer->lock);
        er_waiting_sketch(answer);
        er_tally_add(answer->tally, totals, session->guard->feature_count);
        er_tally_clear(answer->tally, session->guard->feature_count);
        er_mutex_unlock(&answer->lock);
    }
    er_mutex_unlock(&session->lock);
    return totals != NULL;
}

void er_answer_leave(erai_answer *answer) {
    erai_session *session = answer->session;
    er_counts_add(session->carried, answer->counts);
    if (er_session_totals(session)) {
        er_tally_add(answer->tally, session->totals, session->guard->feature_count);
    } else {
        answer->tally->next = session->left;
        session->left = answer->tally;
        answer->tally = NULL;
    }
}

/* Every answer's counts into `into`, and copies the events; the features' are added to `totals` (NULL: to none). With
 * `take`, all of them begin again from zero. Under the session's lock. */
static void gather(erai_session *session, uint64_t *into, er_feature_total *totals, int take) {
    size_t size = ER_COUNTS * sizeof *into, features = session->guard->feature_count;
    memcpy(into, session->carried, size);
    if (take) memset(session->carried, 0, size);
    for (erai_answer *answer = session->answers; answer; answer = answer->next) {
        er_mutex_lock(&answer->lock);
        er_waiting_sketch(answer);
        er_counts_add(into, answer->counts);
        if (totals) er_tally_add(answer->tally, totals, features);
        if (take) memset(answer->counts, 0, size);
        if (take) er_tally_clear(answer->tally, features);
        er_mutex_unlock(&answer->lock);
    }
    for (er_tally **link = &session->left; *link;) {
        er_tally *left = *link;
        if (totals) er_tally_add(left, totals, features);
        *link = take ? left->next : left;
        if (take)
            free(left);
        else
            link = &left->next;
    }
    if (session->watch && er_recording_hear_alarm(session)) { /* of rows that had waited until now */
        into[ER_COUNT_DECISIONS + ERAI_COUNT_DRIFT_ALARMS]++;
        if (!take) session->carried[ER_COUNT_DECISIONS + ERAI_COUNT_DRIFT_ALARMS]++;
    }
    if (session->events)
        session->taken_event_count = er_events_gather(session->events, er_spool_epoch(session->spool),
                                                      session->taken_events, session->taken_fields, into, take);
}

/* What is in `taken` and `totals`, as the snapshot of this window. Free its features. */
static erai_status view_window(erai_session *session, er_feature_total *totals, uint64_t now_ns, int64_t now_unix_ns,
                               erai_windows *window, erai_snapshot *view) {
    erai_snapshot_info info = {.sequence = session->sequence,
                               .start_unix_ns = session->window_unix_ns,
                               .end_unix_ns = now_unix_ns,
                               .duration_ns = er_since(session->window_ns, now_ns),
                               .windows = window,
                               .window_ranges = 1};
    if (session->spool) {
        memcpy(info.instance, er_spool_instance(session->spool), sizeof info.instance);
        info.epoch = er_spool_epoch(session->spool);
    }
    memcpy(info.model_digest, session->model_digest, ERAI_DIGEST_SIZE);
    memcpy(info.guard_digest, session->guard->digest, ERAI_DIGEST_SIZE);
    *window = (erai_windows){.epoch = info.epoch, .first = info.sequence, .count = 1};
    erai_status status = er_snapshot_view(view, &info, session->guard, session->taken, totals);
    view->running_ms = session->ran_before_ms + er_since(session->opened_ns, now_ns) / 1000000;
    view->events = session->taken_events;
    view->info.events = session->taken_event_count;
    if (!status && session->watch) er_recording_view_watch(session, view);
    return status;
}

void er_session_own(erai_session *session) {
    uint64_t process = er_process();
    if (__atomic_load_n(&session->process, __ATOMIC_ACQUIRE) == process) return;
    er_mutex_lock(&session->lock);
    if (session->process != process) {
        gather(session, session->taken, NULL, 1);
        free(session->totals);
        session->totals = NULL;
        er_row_quantiles_begin(session);
        session->sequence = 0;
        er_recording_begin_window(session, er_session_ns(session), er_session_unix_ns(session));
        __atomic_store_n(&session->process, process, __ATOMIC_RELEASE);
    }
    er_mutex_unlock(&session->lock);
}

/* Another epoch, whose files nobody else writes. */
static erai_status begin_epoch(erai_session *session, char *detail) {
    erai_status status = er_spool_begin_epoch(session->spool, detail);
    if (!status) session->sequence = 0;
    return status;
}

static erai_status ensure_epoch(erai_session *session, char *detail) {
    return !session->spool || er_spool_is_own(session->spool) ? ERAI_OK : begin_epoch(session, detail);
}

static er_feature_total *copy_totals(const erai_session *session) {
    er_feature_total *copy = calloc(session->guard->feature_count + 1, sizeof *copy);
    if (copy && session->totals) memcpy(copy, session->totals, session->guard->feature_count * sizeof *copy);
    return copy;
}

erai_status erai_session_snapshot(erai_session *session, erai_snapshot **snapshot, char *detail) {
    if (!session || !snapshot) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_snapshot: NULL");
    er_writer out = {0};
    er_session_own(session);
    er_mutex_lock(&session->lock);
    erai_status status = ensure_epoch(session, detail);
    if (!status) {
        erai_windows window;
        erai_snapshot view = {0};
        er_feature_total *totals = copy_totals(session);
        if (totals) gather(session, session->taken, totals, 0);
        status = totals
                     ? view_window(session, totals, er_session_ns(session), er_session_unix_ns(session), &window, &view)
                     : ERAI_E_MEMORY;
        if (!status) er_snapshot_write(&out, &view);
        free(view.features);
        free(totals);
    }
    er_mutex_unlock(&session->lock);
    if (out.failed) status = ERAI_E_MEMORY;
    if (status == ERAI_E_MEMORY) er_fail(detail, status, "out of memory");
    if (!status) status = erai_snapshot_open(out.data, out.size, snapshot, detail);
    free(out.data);
    return status;
}

/* Stores what is in `taken` and `totals`. *visible as er_spool_store says. */
static erai_status put_window(erai_session *session, uint64_t now_ns, int64_t now_unix_ns, char file[ER_FILE_NAME],
                              int *visible, char *detail) {
    erai_windows window;
    erai_snapshot view = {0};
    erai_status status = view_window(session, session->totals, now_ns, now_unix_ns, &window, &view)
                             ? er_fail(detail, ERAI_E_MEMORY, "out of memory")
                             : er_spool_store(session->spool, &view, file, visible, detail);
    free(view.features);
    return status;
}

int erai_session_flush_due(erai_session *session, uint64_t timeout_ns) {
    return session->events ? er_events_wait(session->events, timeout_ns) : 0;
}

erai_status erai_session_flush(erai_session *session, char *name, char *detail) {
    if (!session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_flush: NULL");
    if (!session->spool)
        return er_fail(detail, ERAI_E_ARGUMENT, "this session has no spool: give a spool directory when opening it");
    char file[ER_FILE_NAME];
    int visible = 0;
    er_session_own(session);
    er_mutex_lock(&session->lock);
    erai_status status = ensure_epoch(session, detail);
    if (!status && !er_session_totals(session)) status = er_fail(detail, ERAI_E_MEMORY, "out of memory");
    if (status) {
        er_mutex_unlock(&session->lock);
        return status;
    }
    er_stopwatch_check();
    uint64_t now_ns = er_session_ns(session);
    int64_t now_unix_ns = er_session_unix_ns(session);
    gather(session, session->taken, session->totals, 1);
    status = put_window(session, now_ns, now_unix_ns, file, &visible, detail);
    if (!status && !visible) { /* somebody else has this epoch, of a spool that was copied, say */
        status = begin_epoch(session, detail);
        for (size_t i = 0; i < session->taken_event_count; i++)
            session->taken_events[i].epoch = er_spool_epoch(session->spool);
        if (!status) status = put_window(session, now_ns, now_unix_ns, file, &visible, detail);
        if (!status && !visible) status = er_fail(detail, ERAI_E_SPOOL, "spool: there is a file %s already", file);
    }
    if (visible) {
        free(session->totals);
        session->totals = NULL;
        session->sequence++;
        er_recording_begin_window(session, now_ns, now_unix_ns);
        /* On a disk without room the one before stays: counts come first, and the batch is stored. */
        if (!status && session->watch) er_watch_store(session);
    } else {
        er_counts_add(session->carried, session->taken);
        if (session->events) er_events_put_back(session->events, session->taken_events, session->taken_event_count);
    }
    er_mutex_unlock(&session->lock);
    if (!status && name) memcpy(name, file, strlen(file) + 1);
    return status;
}
