/* A watch as bytes (docs/formats/watch.md), so that another process goes on where one ended. They may come from
 * anybody: checksum first, every number within what a watch could have come to, and nothing changed before all of it
 * was read. */
#include "crc32.h"
#include "session.h"
#include "spool.h"
#include "status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "ERAIWCH\n"
#define VERSION 1u
#define HEADER 24u
#define MOST_BYTES (1u << 27) /* of a file: 65,536 features have a fifteenth of it */

/* ---- Writing ---- */

static void write_detector(er_writer *out, const er_detector *detector) {
    for (size_t i = 0; i < ER_BETS; i++) er_write_f32(out, detector->won[i]);
    for (size_t i = 0; i < ER_BETS; i++) er_write_f64(out, detector->fair[i]);
    er_write_f64(out, detector->total);
    er_write_u32(out, detector->values);
    er_write_u32(out, detector->began);
    er_write_u32(out, detector->measured);
    er_write_f32(out, detector->moved);
    er_write_f32(out, detector->squared);
    er_write_u32(out, detector->missing);
    er_write_u32(out, detector->outside);
}

static void write_body(er_writer *out, const er_watch *watch) {
    const erai_guard *guard = watch->guard;
    er_write_bytes(out, guard->digest, ERAI_DIGEST_SIZE);
    for (size_t i = 0; i < guard->watched_count; i++) er_write_u64(out, watch->inputs[i].rows);
    er_write_u64(out, watch->now.alarm_row);
    er_write_f64(out, watch->now.alarm_evidence);
    er_write_u64(out, (uint64_t)watch->now.alarm_unix_ns);
    er_write_u32(out, watch->now.alarm_feature);
    er_write_u8(out, (uint8_t)watch->unheard);
    for (size_t f = 0; f < guard->feature_count; f++) {
        if (!watch->of[f]) continue;
        write_detector(out, &watch->detectors[f]);
        er_write_u8(out, watch->named[f]);
    }
}

void er_watch_write(er_watch *watch, er_writer *out) {
    size_t begin = out->size;
    er_write_bytes(out, MAGIC, 8);
    er_write_u32(out, VERSION);
    er_write_u32(out, 0);
    er_write_u32(out, 0); /* size and checksum of the body: below */
    er_write_u32(out, 0);
    er_mutex_lock(&watch->lock);
    write_body(out, watch);
    er_mutex_unlock(&watch->lock);
    if (out->failed) return;
    size_t body = out->size - begin - HEADER;
    er_patch_u32(out, begin + 16, (uint32_t)body);
    er_patch_u32(out, begin + 20, er_crc32(0, out->data + begin + HEADER, body));
}

/* ---- Reading ---- */

typedef struct watch_state {
    erai_drift now;
    er_watched *inputs;
    er_detector *detectors;
    uint8_t *named;
    int unheard;
} watch_state;

static double read_amount(er_reader *in) {
    double amount = er_read_f64(in);
    if (!(amount >= 0) || isinf(amount)) in->failed = 1;
    return amount;
}

static float read_stake(er_reader *in) {
    float stake = er_read_f32(in);
    if (!(stake >= 0) || isinf(stake)) in->failed = 1;
    return stake;
}

static er_detector read_detector(er_reader *in, const er_bets *bets) {
    er_detector detector;
    for (size_t i = 0; i < ER_BETS; i++) detector.won[i] = read_stake(in);
    for (size_t i = 0; i < ER_BETS; i++) {
        detector.fair[i] = read_amount(in);
        if (!(detector.fair[i] > 0)) in->failed = 1;
    }
    detector.total = read_amount(in);
    detector.mixture = er_detector_mixture(detector.won, bets);
    detector.values = er_read_u32(in);
    detector.began = er_read_u32(in);
    detector.measured = er_read_u32(in);
    detector.moved = er_read_f32(in);
    detector.squared = read_stake(in);
    detector.missing = er_read_u32(in);
    detector.outside = er_read_u32(in);
    if (!isfinite(detector.moved)) in->failed = 1;
    return detector;
}

static void read_alarm(er_reader *in, const er_watch *watch, erai_drift *now, int *unheard) {
    now->alarm_row = er_read_u64(in);
    now->alarm_evidence = read_amount(in);
    now->alarm_unix_ns = (int64_t)er_read_u64(in);
    now->alarm_feature = er_read_u32(in);
    *unheard = er_read_u8(in);
    if (now->alarm_row > now->rows || now->alarm_feature >= watch->guard->feature_count || *unheard > 1 ||
        (now->alarm_row ? !watch->of[now->alarm_feature] : *unheard))
        in->failed = 1;
}

/* What follows from the stakes, in the order in which watch.c adds it up. */
static double add_up(const er_watch *watch, er_watched *inputs, const er_detector *detectors) {
    const erai_guard *guard = watch->guard;
    double sum = 0;
    for (size_t i = 0; i < guard->watched_count; i++) {
        const er_input *input = &guard->inputs[i];
        for (size_t f = input->first_feature; f < input->first_feature + input->feature_count; f++)
            if (watch->of[f]) inputs[i].sum += (double)detectors[f].mixture;
        sum += inputs[i].sum;
    }
    return sum / watch->now.watched;
}

/* Into what is as large as the watch's own; 0: these are not the numbers of such a watch. */
static int read_body(er_reader *in, const er_watch *watch, watch_state *into) {
    const erai_guard *guard = watch->guard;
    into->now = watch->now;
    into->now.continued = 1;
    into->now.rows = 0;
    for (size_t i = 0; i < guard->watched_count; i++) {
        into->inputs[i].rows = er_read_u64(in);
        if (into->inputs[i].rows > into->now.rows) into->now.rows = into->inputs[i].rows;
    }
    read_alarm(in, watch, &into->now, &into->unheard);
    for (size_t f = 0; f < guard->feature_count; f++) {
        if (!watch->of[f]) continue;
        into->detectors[f] = read_detector(in, watch->of[f]);
        into->named[f] = er_read_u8(in);
        if (into->named[f] > 1) in->failed = 1;
    }
    into->now.evidence = add_up(watch, into->inputs, into->detectors);
    int reached = into->now.evidence >= guard->drift.average_run_length;
    return !in->failed && in->at == in->size && reached == (into->now.alarm_row != 0);
}

static erai_status check_header(er_reader *in, const er_watch *watch, char *detail) {
    const uint8_t *magic = er_read_bytes(in, 8);
    uint32_t version = er_read_u32(in), zero = er_read_u32(in), body = er_read_u32(in), crc = er_read_u32(in);
    if (in->failed || memcmp(magic, MAGIC, 8) != 0)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "not the state of a watch");
    if (version > VERSION)
        return er_fail(detail, ERAI_E_BATCH_NEWER,
                       "state of a watch of format version %u; this build understands up to %u: update edge_rai",
                       version, VERSION);
    if (!version || zero || body != in->size - HEADER || er_crc32(0, in->data + HEADER, body) != crc)
        return er_fail(detail, ERAI_E_BATCH_FORMAT, "state of a watch: cut short or damaged");
    const uint8_t *digest = er_read_bytes(in, ERAI_DIGEST_SIZE);
    if (!digest) return er_fail(detail, ERAI_E_BATCH_FORMAT, "state of a watch: cut short or damaged");
    if (memcmp(digest, watch->guard->digest, ERAI_DIGEST_SIZE) != 0)
        return er_fail(detail, ERAI_E_ARGUMENT, "state of a watch: it is of another guard program");
    return ERAI_OK;
}

erai_status er_watch_read(er_watch *watch, const uint8_t *bytes, size_t size, char *detail) {
    const erai_guard *guard = watch->guard;
    size_t features = guard->feature_count;
    er_reader in = {.data = bytes, .size = size};
    erai_status status = check_header(&in, watch, detail);
    if (status) return status;
    watch_state state = {.inputs = calloc(guard->watched_count, sizeof *state.inputs),
                         .detectors = calloc(features, sizeof *state.detectors),
                         .named = calloc(features, sizeof *state.named)};
    if (!state.inputs || !state.detectors || !state.named) {
        status = er_fail(detail, ERAI_E_MEMORY, "out of memory");
    } else if (!read_body(&in, watch, &state)) {
        status = er_fail(detail, ERAI_E_BATCH_FORMAT, "state of a watch: it has numbers that no watch comes to");
    } else {
        er_mutex_lock(&watch->lock);
        memcpy(watch->inputs, state.inputs, guard->watched_count * sizeof *state.inputs);
        memcpy(watch->detectors, state.detectors, features * sizeof *state.detectors);
        memcpy(watch->named, state.named, features * sizeof *state.named);
        watch->now = state.now;
        __atomic_store_n(&watch->alarmed, state.now.alarm_row != 0, __ATOMIC_RELEASE);
        __atomic_store_n(&watch->unheard, state.unheard, __ATOMIC_RELEASE);
        er_mutex_unlock(&watch->lock);
    }
    free(state.inputs);
    free(state.detectors);
    free(state.named);
    return status;
}

/* ---- In the spool ---- */

enum { NAME_SIZE = 7 + 2 * ERAI_DIGEST_SIZE };

static void name_file(const erai_session *session, char name[NAME_SIZE]) {
    strcpy(name, "watch-");
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) snprintf(name + 6 + 2 * i, 3, "%02x", session->guard->digest[i]);
}

void er_watch_store(erai_session *session) {
    char name[NAME_SIZE];
    er_writer out = {0};
    name_file(session, name);
    er_watch_write(session->watch, &out);
    if (!out.failed) erai_spool_put(session->spool, name, out.data, out.size, NULL);
    free(out.data);
}

void er_watch_continue(erai_session *session) {
    char name[NAME_SIZE];
    name_file(session, name);
    char *path = er_path_join(er_spool_path(session->spool), name);
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (path && er_path_look(path) == ER_PATH_FILE && !er_file_read(path, MOST_BYTES, &bytes, &size, NULL))
        er_watch_read(session->watch, bytes, size, NULL);
    free(bytes);
    free(path);
}

/* ---- For the application ---- */

void er_session_watch_waiting(erai_session *session) {
    er_mutex_lock(&session->lock);
    for (erai_answer *answer = session->answers; answer; answer = answer->next) {
        er_mutex_lock(&answer->lock);
        er_waiting_sketch(answer);
        er_mutex_unlock(&answer->lock);
    }
    er_mutex_unlock(&session->lock);
}

erai_status erai_session_drift_state(erai_session *session, uint8_t *buffer, size_t capacity, size_t *size) {
    if (!session || !session->watch || !size || (!buffer && capacity)) return ERAI_E_ARGUMENT;
    er_writer out = {0};
    er_session_watch_waiting(session);
    er_watch_write(session->watch, &out);
    erai_status status = out.failed ? ERAI_E_MEMORY : ERAI_OK;
    *size = out.size;
    if (!status && buffer && capacity < out.size) status = ERAI_E_SIZE;
    if (!status && buffer) memcpy(buffer, out.data, out.size);
    free(out.data);
    return status;
}

erai_status erai_session_drift_continue(erai_session *session, const uint8_t *bytes, size_t size, char *detail) {
    if (!session || !bytes) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_drift_continue: NULL");
    if (!session->watch) return er_fail(detail, ERAI_E_ARGUMENT, "the policy watches nothing for drift");
    return er_watch_read(session->watch, bytes, size, detail);
}
