/* One call: admit, infer, judge, decide, record. And what a session has counted, as snapshots. */
#include "session.h"
#include "snapshot.h"
#include "spool.h"
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers ---- */

erai_status erai_answer_open(erai_session *session, erai_answer **out) {
    if (!session || !out) return ERAI_E_ARGUMENT;
    const erai_guard *guard = session->guard;
    erai_answer *answer = calloc(1, sizeof *answer);
    if (!answer) return ERAI_E_MEMORY;
    if (er_mutex_init(&answer->lock)) {
        free(answer);
        return ERAI_E_MEMORY;
    }
    answer->session = session;
    answer->guard = guard;
    answer->statistics = calloc(session->statistics_size, sizeof *answer->statistics);
    answer->seen = calloc(ER_KINDS * guard->feature_count, sizeof *answer->seen);
    answer->outputs = calloc(guard->output_count, sizeof *answer->outputs);
    answer->shown = calloc(guard->output_count, sizeof *answer->shown);
    answer->staging = calloc(guard->input_count, sizeof *answer->staging);
    answer->trial = calloc(guard->output_count, sizeof *answer->trial);
    int complete =
        answer->statistics && answer->seen && answer->outputs && answer->shown && answer->staging && answer->trial;
    erai_status status = complete ? ERAI_OK : ERAI_E_MEMORY;
    if (!status && session->model) status = er_binding_open(session->model, &answer->binding);
    er_mutex_lock(&session->lock);
    answer->next = session->answers;
    session->answers = answer;
    er_mutex_unlock(&session->lock);
    if (status)
        erai_answer_close(answer);
    else
        *out = answer;
    return status;
}

void erai_answer_close(erai_answer *answer) {
    if (!answer) return;
    erai_session *session = answer->session;
    er_mutex_lock(&session->lock);
    erai_answer **link = &session->answers;
    while (*link != answer) link = &(*link)->next;
    *link = answer->next;
    if (answer->statistics) er_statistics_add(session->carried, answer->statistics, session->statistics_size);
    er_mutex_unlock(&session->lock);
    er_binding_close(answer->binding);
    for (size_t i = 0; answer->outputs && i < answer->guard->output_count; i++) free(answer->outputs[i].data);
    for (size_t i = 0; answer->staging && i < answer->guard->input_count; i++) free(answer->staging[i].data);
    for (size_t i = 0; answer->trial && i < answer->guard->output_count; i++) free(answer->trial[i].data);
    free(answer->trial);
    free(answer->statistics);
    free(answer->seen);
    free(answer->outputs);
    free(answer->shown);
    free(answer->staging);
    free(answer->verdicts);
    free(answer->sources);
    free(answer->reasons);
    er_mutex_destroy(&answer->lock);
    free(answer);
}

/* ---- One call ---- */

static erai_status fail_call(erai_answer *answer, erai_status status) {
    answer->admitted = 0;
    answer->rows = 0;
    answer->reason_count = 0;
    er_mutex_lock(&answer->lock);
    answer->statistics[ER_COUNT_ERRORS]++;
    er_mutex_unlock(&answer->lock);
    return status;
}

static erai_status admit(erai_answer *answer, const erai_tensor *inputs, size_t count) {
    answer->start_ns = er_monotonic_ns();
    if (count != answer->guard->input_count)
        return er_fail(answer->detail, ERAI_E_ARGUMENT, "%zu inputs given, the model has %zu", count,
                       answer->guard->input_count);
    erai_status status = er_validate(answer, inputs);
    if (status) return er_fail(answer->detail, status, "out of memory");
    answer->admitted = 1;
    return ERAI_OK;
}

static void show_outputs(erai_answer *answer) {
    size_t bytes = answer->guard->output_count * sizeof *answer->outputs;
    if (memcmp(answer->shown, answer->outputs, bytes) != 0) {
        memcpy(answer->shown, answer->outputs, bytes);
        answer->layout++;
    }
    answer->accepted = answer->verdict == ERAI_VERDICT_ACCEPT ? answer->layout : 0;
}

static void record(erai_answer *answer) {
    uint64_t *counts = answer->statistics;
    er_mutex_lock(&answer->lock);
    for (size_t row = 0; row < answer->rows; row++) {
        counts[ER_COUNT_VERDICTS + answer->verdicts[row]]++;
        counts[ER_COUNT_SOURCES + answer->sources[row]]++;
    }
    for (size_t i = 0; i < ER_REASONS; i++) counts[ER_COUNT_REASONS + i] += answer->reasons_by_code[i];
    uint64_t latency = er_monotonic_ns() - answer->start_ns;
    counts[ER_COUNT_CALLS]++;
    counts[ER_COUNT_LATENCY_SUM] += latency;
    counts[ER_COUNT_LATENCY + er_latency_slot(latency)]++;
    er_mutex_unlock(&answer->lock);
}

static erai_status decide_and_record(erai_answer *answer) {
    answer->admitted = 0;
    erai_status status = er_decide(answer);
    if (status) return er_fail(answer->detail, status, "out of memory");
    show_outputs(answer);
    record(answer);
    return ERAI_OK;
}

/* Below this a copy costs less than telling the runtime of a new address. */
#define STAGE_BYTES 4096u

/* Large inputs run where they are, unless rejected rows must be replaced: by the reference's means plus `shift`. */
static erai_status run(erai_answer *answer, const erai_tensor *inputs, float shift) {
    erai_tensor staged[ER_MAX_INPUTS];
    for (size_t i = 0; i < answer->guard->input_count; i++) {
        size_t bytes = 0;
        staged[i] = inputs[i];
        er_tensor_bytes(inputs[i].shape, inputs[i].rank, inputs[i].dtype, &bytes); /* validated: it fits */
        if (!answer->rejected && bytes > STAGE_BYTES) continue;
        erai_status status = er_stage(answer, &inputs[i], i, shift, &staged[i]);
        if (status) return er_fail(answer->detail, status, "out of memory");
    }
    return er_binding_run(answer->binding, staged, answer->outputs, answer->detail);
}

/* Whether the rows that were not rejected have the same bits in both. */
static int same_rows(const erai_answer *answer, const er_buffer *one, const er_buffer *other) {
    size_t bytes = 0;
    if (one->rank != other->rank || memcmp(one->shape, other->shape, one->rank * sizeof *one->shape) != 0) return 0;
    if (!er_by_row(answer, one)) return 1; /* er_judge sees to it */
    er_tensor_bytes(one->shape, one->rank, one->dtype, &bytes);
    size_t row_bytes = bytes / answer->rows;
    for (size_t row = 0; row < answer->rows; row++)
        if (answer->verdicts[row] != ERAI_VERDICT_REJECT &&
            memcmp((char *)one->data + row * row_bytes, (char *)other->data + row * row_bytes, row_bytes) != 0)
            return 0;
    return 1;
}

/* Runs with other replacements for the rejected rows and keeps the outputs. Whether that could be done. */
static int keep_trial(erai_answer *answer, const erai_tensor *inputs) {
    if (run(answer, inputs, 1.0f)) return 0;
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        const er_buffer *output = &answer->outputs[i];
        er_buffer *trial = &answer->trial[i];
        size_t bytes = 0;
        er_tensor_bytes(output->shape, output->rank, output->dtype, &bytes);
        if (!er_buffer_reserve(trial, bytes)) return 0;
        if (bytes) memcpy(trial->data, output->data, bytes);
        memcpy(trial->shape, output->shape, sizeof trial->shape);
        trial->rank = output->rank;
    }
    return 1;
}

/* Where a row was rejected under an assumption, the assumption is tried: the answers of the other rows must not change
 * with what stands in for it. When one does, or the trial fails, rows depend on each other as far as anybody can tell,
 * and the bad one spoils the call. */
static erai_status infer(erai_answer *answer, const erai_tensor *inputs) {
    const erai_guard *guard = answer->guard;
    int doubtful = answer->rejected && answer->session->rows_assumed;
    int tried = doubtful && keep_trial(answer, inputs);
    erai_status status = run(answer, inputs, 0.0f);
    for (size_t i = 0; !status && doubtful && i < guard->output_count; i++) {
        if (tried && same_rows(answer, &answer->outputs[i], &answer->trial[i])) continue;
        er_answer_find(answer, ERAI_VERDICT_REJECT,
                       (erai_reason){.subject = guard->outputs[i].name, .row = -1, .code = ERAI_REASON_ROWS_DEPEND});
        break;
    }
    return status;
}

erai_status erai_session_predict(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer) {
    if (!session || !inputs || !answer || answer->session != session) return ERAI_E_ARGUMENT;
    if (!session->model)
        return fail_call(answer,
                         er_fail(answer->detail, ERAI_E_NO_MODEL,
                                 "this session has a guard program and no model: use erai_admit and erai_judge"));
    erai_status status = admit(answer, inputs, count);
    if (!status && answer->rejected < answer->rows) {
        status = infer(answer, inputs);
        if (!status) {
            answer->ran = 1;
            er_judge(answer);
        }
    }
    if (!status) status = decide_and_record(answer);
    return status ? fail_call(answer, status) : ERAI_OK;
}

erai_status erai_admit(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer,
                       size_t *admitted) {
    if (!session || !inputs || !answer || !admitted || answer->session != session) return ERAI_E_ARGUMENT;
    erai_status status = admit(answer, inputs, count);
    if (status) return fail_call(answer, status);
    *admitted = answer->rows - answer->rejected;
    return ERAI_OK;
}

static erai_status copy_outputs(erai_answer *answer, const erai_tensor *outputs, size_t count) {
    const erai_guard *guard = answer->guard;
    if (count != guard->output_count)
        return er_fail(answer->detail, ERAI_E_ARGUMENT, "%zu outputs given, the guard program has %zu", count,
                       guard->output_count);
    for (size_t i = 0; i < count; i++) {
        er_buffer *buffer = &answer->outputs[i];
        if (outputs[i].dtype != guard->outputs[i].dtype || outputs[i].rank > ERAI_MAX_RANK)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "output '%s': %s of rank %u came, %s is declared",
                           guard->outputs[i].name, er_dtype_name(outputs[i].dtype), outputs[i].rank,
                           er_dtype_name(guard->outputs[i].dtype));
        size_t bytes = 0;
        if (!er_tensor_bytes(outputs[i].shape, outputs[i].rank, outputs[i].dtype, &bytes))
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "output '%s': its shape is that of no tensor",
                           guard->outputs[i].name);
        buffer->rank = outputs[i].rank;
        buffer->dtype = outputs[i].dtype;
        if (buffer->rank) memcpy(buffer->shape, outputs[i].shape, buffer->rank * sizeof *buffer->shape);
        if (!er_buffer_reserve(buffer, bytes)) return er_fail(answer->detail, ERAI_E_MEMORY, "out of memory");
        if (bytes) memcpy(buffer->data, outputs[i].data, bytes);
    }
    answer->ran = 1;
    return ERAI_OK;
}

erai_status erai_judge(erai_session *session, const erai_tensor *outputs, size_t count, erai_answer *answer) {
    if (!session || !answer || answer->session != session || (count && !outputs)) return ERAI_E_ARGUMENT;
    erai_status status = ERAI_OK;
    if (!answer->admitted)
        status = er_fail(answer->detail, ERAI_E_ARGUMENT, "erai_judge without an erai_admit before it");
    else if (count || answer->rejected < answer->rows) {
        status = copy_outputs(answer, outputs, count);
        if (!status) er_judge(answer);
    }
    if (!status) status = decide_and_record(answer);
    return status ? fail_call(answer, status) : ERAI_OK;
}

/* ---- Snapshots ---- */

/* Adds every answer's statistics to `into`; with `take`, they begin again from zero. Under the session's lock. */
static void gather(erai_session *session, uint64_t *into, int take) {
    size_t size = session->statistics_size;
    memcpy(into, session->carried, size * sizeof *into);
    if (take) memset(session->carried, 0, size * sizeof *into);
    for (erai_answer *answer = session->answers; answer; answer = answer->next) {
        er_mutex_lock(&answer->lock);
        er_statistics_add(into, answer->statistics, size);
        if (take) memset(answer->statistics, 0, size * sizeof *into);
        er_mutex_unlock(&answer->lock);
    }
}

static void write_window(erai_session *session, uint64_t *statistics, uint64_t now_ns, int64_t now_unix_ns,
                         er_writer *out) {
    erai_snapshot_info info = {.sequence = session->sequence,
                               .start_unix_ns = session->window_unix_ns,
                               .end_unix_ns = now_unix_ns,
                               .duration_ns = now_ns - session->window_ns};
    if (session->spool) {
        memcpy(info.instance, er_spool_instance(session->spool), sizeof info.instance);
        info.epoch = er_spool_epoch(session->spool);
    }
    memcpy(info.model_digest, session->model_digest, ERAI_DIGEST_SIZE);
    memcpy(info.guard_digest, session->guard->digest, ERAI_DIGEST_SIZE);
    er_snapshot_write(out, &info, session->guard, statistics);
}

erai_status erai_session_snapshot(erai_session *session, erai_snapshot **snapshot, char *detail) {
    if (!session || !snapshot) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_snapshot: NULL");
    er_writer out = {0};
    er_mutex_lock(&session->lock);
    gather(session, session->taken, 0);
    write_window(session, session->taken, er_monotonic_ns(), er_unix_ns(), &out);
    er_mutex_unlock(&session->lock);
    erai_status status = out.failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory")
                                    : erai_snapshot_open(out.data, out.size, snapshot, detail);
    free(out.data);
    return status;
}

erai_status erai_session_flush(erai_session *session, char *name, char *detail) {
    if (!session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_flush: NULL");
    if (!session->spool)
        return er_fail(detail, ERAI_E_ARGUMENT, "this session has no spool: give a spool directory when opening it");
    er_writer out = {0};
    char file[64];
    er_mutex_lock(&session->lock);
    uint64_t now_ns = er_monotonic_ns();
    int64_t now_unix_ns = er_unix_ns();
    gather(session, session->taken, 1);
    write_window(session, session->taken, now_ns, now_unix_ns, &out);
    snprintf(file, sizeof file, "%016" PRIx64 "-%016" PRIx64 ".batch", er_spool_epoch(session->spool),
             session->sequence);
    int visible = 0;
    erai_status status = out.failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory")
                                    : er_spool_put_batch(session->spool, file, out.data, out.size, &visible, detail);
    if (status && !visible) {
        er_statistics_add(session->carried, session->taken, session->statistics_size);
    } else {
        session->sequence++;
        session->window_ns = now_ns;
        session->window_unix_ns = now_unix_ns;
    }
    er_mutex_unlock(&session->lock);
    free(out.data);
    if (!status && name) memcpy(name, file, strlen(file) + 1);
    return status;
}
