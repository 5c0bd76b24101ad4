/* A session's calls, and the statistics of their answers. The stages of a call are in files of their own; here they are
 * put in their order. */
#include "session.h"

#include "deadline.h"
#include "recording.h"
#include "snapshot.h"
#include "spool.h"
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers ---- */

static erai_status make_room(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    answer->counts = calloc(ER_COUNTS, sizeof *answer->counts);
    answer->tally = er_tally_open(guard->feature_count);
    answer->room = UINT32_MAX;
    answer->seen = calloc(ER_KINDS * guard->feature_count, sizeof *answer->seen);
    answer->inputs = calloc(guard->input_count, sizeof *answer->inputs);
    answer->known = calloc(guard->input_count, sizeof *answer->known);
    answer->outputs = calloc(guard->output_count, sizeof *answer->outputs);
    answer->shown = calloc(guard->output_count, sizeof *answer->shown);
    answer->staging = calloc(guard->input_count, sizeof *answer->staging);
    answer->trial = calloc(guard->output_count, sizeof *answer->trial);
    answer->fallback_outputs = calloc(guard->output_count, sizeof *answer->fallback_outputs);
    return answer->counts && answer->tally && answer->seen && answer->inputs && answer->known && answer->outputs &&
                   answer->shown && answer->staging && answer->trial && answer->fallback_outputs &&
                   er_waiting_open(answer)
               ? ERAI_OK
               : ERAI_E_MEMORY;
}

erai_status erai_answer_open(erai_session *session, erai_answer **out) {
    if (!session || !out) return ERAI_E_ARGUMENT;
    erai_answer *answer = calloc(1, sizeof *answer);
    if (!answer) return ERAI_E_MEMORY;
    if (er_mutex_init(&answer->lock)) {
        free(answer);
        return ERAI_E_MEMORY;
    }
    answer->session = session;
    answer->guard = session->guard;
    er_answer_forget(answer);
    erai_status status = make_room(answer);
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
    const erai_guard *guard = answer->guard;
    erai_session *session = answer->session;
    er_runner_close(answer->runner);
    er_runner_close(answer->fallback_runner);
    er_mutex_lock(&session->lock);
    erai_answer **link = &session->answers;
    while (*link != answer) link = &(*link)->next;
    *link = answer->next;
    if (answer->waiting) er_waiting_sketch(answer);
    if (answer->counts && answer->tally) er_answer_leave(answer);
    er_mutex_unlock(&session->lock);
    er_binding_close(answer->binding);
    er_binding_close(answer->fallback);
    er_buffers_free(answer->outputs, guard->output_count);
    er_buffers_free(answer->staging, guard->input_count);
    er_buffers_free(answer->trial, guard->output_count);
    er_buffers_free(answer->fallback_outputs, guard->output_count);
    er_waiting_close(answer);
    free(answer->observed.data);
    free(answer->inputs);
    free(answer->known);
    free(answer->counts);
    free(answer->tally);
    free(answer->seen);
    free(answer->shown);
    free(answer->verdicts);
    free(answer->sources);
    free(answer->row_reasons);
    free(answer->review_ids);
    free(answer->keys);
    free(answer->reasons);
    er_mutex_destroy(&answer->lock);
    free(answer);
}

/* ---- One call ---- */

/* Nothing of an earlier call is left to be taken for this one's. */
static erai_status fail_call(erai_answer *answer, erai_status status) {
    er_answer_forget(answer);
    answer->admitted = 0;
    answer->key_count = 0;
    er_gate_leave(answer);
    er_mutex_lock(&answer->lock);
    answer->counts[ER_COUNT_ERRORS]++;
    er_waiting_keep(answer);
    er_mutex_unlock(&answer->lock);
    return status;
}

static erai_status refuse_null(erai_answer *answer, const char *function) {
    er_session_own(answer->session);
    return fail_call(answer, er_fail(answer->detail, ERAI_E_ARGUMENT,
                                     "%s: a NULL, or an answer that is not of this session", function));
}

/* The caller's inputs in their places among the model's; those that are states stay as they are. */
static erai_status place_inputs(erai_answer *answer, const erai_tensor *inputs) {
    const erai_guard *guard = answer->guard;
    for (size_t i = 0, given = 0; i < guard->input_count; i++) {
        if (ER_UNLIKELY(guard->inputs[i].is_state)) continue;
        if (inputs[given].rank && !inputs[given].shape)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "input '%s': its shape is NULL", guard->inputs[i].name);
        answer->inputs[i] = inputs[given++];
    }
    return ERAI_OK;
}

/* Where the inputs are not even of the shape that the policy says, nobody knows whose rows they were. */
static erai_status check_keys(erai_answer *answer) {
    if (ER_LIKELY(answer->key_count <= 1) || answer->key_count == answer->rows) return ERAI_OK;
    if (!er_has_shape(answer)) {
        answer->key_count = 0;
        return ERAI_OK;
    }
    return er_fail(answer->detail, ERAI_E_ARGUMENT, "%zu keys for %zu rows; expected one for all, or one a row",
                   answer->key_count, answer->rows);
}

static erai_status refuse_stopped(erai_answer *answer) {
    if (!erai_session_stopped(answer->session)) return ERAI_OK;
    return er_stop_fail(answer->session, answer->detail);
}

/* Where rows depend on each other, what stands in for a rejected one changes the answers of all. */
static void reject_mates(erai_answer *answer) {
    if (ER_UNLIKELY(answer->rejected) && answer->rejected < answer->rows && answer->session->rows_depend)
        er_answer_find(answer, ERAI_VERDICT_REJECT,
                       (erai_reason){.subject = "model", .row = -1, .code = ERAI_REASON_ROWS_DEPEND});
}

/* From an alarm on, where the policy says so, every call has that against it. */
static void judge_drift(erai_answer *answer) {
    const erai_drift_rule *rule = &answer->guard->drift;
    size_t feature;
    double evidence;
    if (rule->verdict == ERAI_VERDICT_ACCEPT || !er_watch_alarm(answer->session->watch, &feature, &evidence)) return;
    er_answer_find(answer, (erai_verdict)rule->verdict,
                   (erai_reason){.subject = answer->guard->features[feature].name,
                                 .row = -1,
                                 .value = evidence,
                                 .limit = rule->average_run_length,
                                 .code = ERAI_REASON_DRIFT});
}

/* Where no rule asks for it, the time is not read, only how long the call takes. */
static void start_call(erai_answer *answer) {
    const erai_session *session = answer->session;
    const erai_decision_rule *rule = &answer->guard->decision;
    int asked_for = session->clock || session->last_good || rule->rate_burst || rule->breaker_window;
    answer->start_ns = ER_UNLIKELY(asked_for) ? er_session_ns(session) : 0;
    if (ER_LIKELY(!session->clock)) answer->call = er_stopwatch_start();
}

static uint64_t latency_of(const erai_answer *answer) {
    const erai_session *session = answer->session;
    return ER_UNLIKELY(session->clock) ? er_since(answer->start_ns, er_session_ns(session))
                                       : er_stopwatch_ns(&answer->call);
}

static erai_status admit(erai_answer *answer, const erai_tensor *inputs, size_t count) {
    const erai_session *session = answer->session;
    start_call(answer);
    erai_status stopped = refuse_stopped(answer);
    if (ER_UNLIKELY(stopped)) return stopped;
    if (count != answer->guard->given_count)
        return er_fail(answer->detail, ERAI_E_ARGUMENT, "%zu inputs given, %zu expected", count,
                       answer->guard->given_count);
    erai_status status = place_inputs(answer, inputs);
    if (status) return status;
    status = er_validate(answer, ER_UNLIKELY(session->guard->timed) ? er_session_unix_ns(session) : 0);
    if (status == ERAI_E_MEMORY) return er_fail(answer->detail, status, "out of memory");
    if (status) return status;
    if (ER_UNLIKELY(session->watch)) judge_drift(answer);
    reject_mates(answer);
    return check_keys(answer);
}

/* Whether the model is asked about the rows that were admitted. */
static void ask_gate(erai_answer *answer) {
    er_gate_before(answer, answer->start_ns);
    reject_mates(answer);
}

/* What is no tensor is nowhere that a view could show. */
static int looks_as_shown(const er_buffer *shown, const er_buffer *output) {
    if (ER_UNLIKELY(!shown->dtype && !output->dtype)) return 1;
    if (shown->data != output->data || shown->dtype != output->dtype || shown->rank != output->rank) return 0;
    for (uint32_t axis = 0; axis < output->rank; axis++)
        if (shown->shape[axis] != output->shape[axis]) return 0;
    return 1;
}

static void show_outputs(erai_answer *answer) {
    int changed = 0;
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        if (ER_LIKELY(looks_as_shown(&answer->shown[i], &answer->outputs[i]))) continue;
        answer->shown[i] = answer->outputs[i];
        changed = 1;
    }
    if (ER_UNLIKELY(changed || !answer->layout)) answer->layout += 2;
    answer->presented = answer->layout + (answer->verdict != ERAI_VERDICT_ACCEPT);
    answer->answered = 1;
}

static void record(erai_answer *answer, uint64_t latency_ns) {
    uint64_t *counts = answer->counts;
    er_mutex_lock(&answer->lock);
    if (ER_LIKELY(answer->verdict == ERAI_VERDICT_ACCEPT)) { /* all of them, and then the model answered them all */
        counts[ER_COUNT_VERDICTS + ERAI_VERDICT_ACCEPT] += answer->rows;
        counts[ER_COUNT_SOURCES + ERAI_SOURCE_PRIMARY] += answer->rows;
    } else {
        for (size_t row = 0; row < answer->rows; row++) {
            counts[ER_COUNT_VERDICTS + answer->verdicts[row]]++;
            counts[ER_COUNT_SOURCES + answer->sources[row]]++;
        }
    }
    if (ER_UNLIKELY(answer->reasons_found))
        for (size_t i = 0; i < ER_REASONS; i++) counts[ER_COUNT_REASONS + i] += answer->reasons_by_code[i];
    er_waiting_keep(answer);
    if (ER_UNLIKELY(answer->guard->observed)) er_observe_rows(answer, latency_ns);
    counts[ER_COUNT_CALLS]++;
    counts[ER_COUNT_LATENCY_SUM] += latency_ns;
    counts[ER_COUNT_LATENCY + er_latency_slot(latency_ns)]++;
    er_mutex_unlock(&answer->lock);
    if (ER_UNLIKELY(answer->session->watch) && er_recording_hear_alarm(answer->session))
        er_answer_count(answer, ERAI_COUNT_DRIFT_ALARMS, 1);
    if (ER_UNLIKELY(answer->session->events)) er_events_record(answer->session->events, answer, latency_ns);
}

static void after_the_model(erai_answer *answer) {
    er_gate_after(answer, ER_UNLIKELY(answer->guard->decision.breaker_window) ? er_session_ns(answer->session) : 0);
}

/* What follows the model's run, or its absence. States advance last: the fallback model is asked with those that the
 * model was asked with. */
static erai_status finish(erai_answer *answer, er_recurrent *states) {
    const erai_session *session = answer->session;
    if (ER_UNLIKELY(answer->guard->observed) && (answer->ran || answer->cached)) er_observe_outputs(answer);
    if (ER_LIKELY(answer->ran)) er_judge(answer);
    after_the_model(answer);
    erai_status status =
        er_decide(answer, answer->start_ns, ER_UNLIKELY(session->review) ? er_session_unix_ns(session) : 0);
    answer->admitted = 0;
    answer->key_count = 0;
    if (status) return er_fail(answer->detail, status, "out of memory");
    if (ER_UNLIKELY(states)) er_recurrent_take(states, answer);
    show_outputs(answer);
    record(answer, latency_of(answer));
    return ERAI_OK;
}

static erai_status predict(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer) {
    erai_status status = admit(answer, inputs, count);
    if (!status && ER_UNLIKELY(session->recurrent)) status = er_recurrent_give(session->recurrent, answer);
    if (status) return status;
    if (ER_UNLIKELY(er_infer_known(answer))) return finish(answer, NULL); /* a session with states has no cache */
    ask_gate(answer);
    /* A batch without a row, where the policy allows that, is for the model to answer. */
    if (answer->rejected < answer->rows || answer->verdict != ERAI_VERDICT_REJECT) status = er_infer(answer);
    if (ER_LIKELY(!status)) return finish(answer, session->recurrent);
    answer->failed = 1;
    after_the_model(answer);
    return status;
}

erai_status erai_session_predict(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer) {
    if (!answer) return ERAI_E_ARGUMENT;
    if (!session || !inputs || answer->session != session) return refuse_null(answer, "erai_session_predict");
    er_session_own(session);
    if (!session->model)
        return fail_call(answer,
                         er_fail(answer->detail, ERAI_E_NO_MODEL,
                                 "this session has a guard program and no model: use erai_admit and erai_judge"));
    if (ER_UNLIKELY(session->guard->decision.deadline_ns)) answer->begun_ns = er_monotonic_ns();
    if (ER_UNLIKELY(session->recurrent)) er_mutex_lock(&session->call_lock);
    erai_status status = predict(session, inputs, count, answer);
    if (ER_UNLIKELY(session->recurrent)) er_mutex_unlock(&session->call_lock);
    return status ? fail_call(answer, status) : ERAI_OK;
}

erai_status erai_admit(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer,
                       size_t *admitted) {
    if (!answer) return ERAI_E_ARGUMENT;
    if (!session || !inputs || !admitted || answer->session != session) return refuse_null(answer, "erai_admit");
    er_session_own(session);
    erai_status status = admit(answer, inputs, count);
    if (status) return fail_call(answer, status);
    er_mutex_lock(&answer->lock); /* erai_judge may never come */
    er_waiting_keep(answer);
    er_mutex_unlock(&answer->lock);
    ask_gate(answer);
    answer->admitted = 1;
    *admitted = answer->rows - answer->rejected;
    return ERAI_OK;
}

static erai_status copy_outputs(erai_answer *answer, const erai_tensor *outputs, size_t count) {
    const erai_guard *guard = answer->guard;
    if (count != guard->output_count)
        return er_fail(answer->detail, ERAI_E_ARGUMENT, "%zu outputs given, the guard program has %zu", count,
                       guard->output_count);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = 0;
        if (outputs[i].rank && !outputs[i].shape)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "output '%s': its shape is NULL", guard->outputs[i].name);
        if (outputs[i].dtype != guard->outputs[i].dtype || outputs[i].rank > ERAI_MAX_RANK)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "output '%s': %s of rank %u came, %s is declared",
                           guard->outputs[i].name, er_dtype_name(outputs[i].dtype), outputs[i].rank,
                           er_dtype_name(guard->outputs[i].dtype));
        if (!er_tensor_bytes(outputs[i].shape, outputs[i].rank, outputs[i].dtype, &bytes))
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "output '%s': its shape is that of no tensor",
                           guard->outputs[i].name);
        if (bytes && !outputs[i].data)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "output '%s': its data is NULL", guard->outputs[i].name);
        if (!er_buffer_copy(&answer->outputs[i], &outputs[i]))
            return er_fail(answer->detail, ERAI_E_MEMORY, "out of memory");
    }
    answer->ran = 1;
    return ERAI_OK;
}

erai_status erai_judge(erai_session *session, const erai_tensor *outputs, size_t count, erai_answer *answer) {
    if (!answer) return ERAI_E_ARGUMENT;
    if (!session || answer->session != session || (count && !outputs)) return refuse_null(answer, "erai_judge");
    er_session_own(session);
    erai_status status = refuse_stopped(answer);
    if (!status && !answer->admitted)
        status = er_fail(answer->detail, ERAI_E_ARGUMENT, "erai_judge without an erai_admit before it");
    if (!status) status = check_keys(answer); /* that may have come since */
    if (!status && (count || answer->rejected < answer->rows)) status = copy_outputs(answer, outputs, count);
    if (!status) status = finish(answer, NULL);
    return status ? fail_call(answer, status) : ERAI_OK;
}

void erai_session_reset(erai_session *session) {
    er_memory_reset(&session->memory, session->guard);
    er_model_reset(session->model);
    er_model_reset(session->fallback);
    if (!session->recurrent) return;
    er_mutex_lock(&session->call_lock);
    er_recurrent_reset(session->recurrent);
    er_mutex_unlock(&session->call_lock);
}
