/* Running the model within a call: the rows that must not reach it are replaced by stand-ins, an answer that is known
 * comes from the cache, a deadline is kept, and a failure becomes a reason where the policy has rules for it. */
#include "deadline.h"
#include "session.h"
#include "status.h"

#include <string.h>

/* Below this a copy costs less than telling the runtime of a new address. */
#define STAGE_BYTES 4096u

/* Whom a reason of the call is about. */
#define MODEL "model"

/* Large inputs and strings, which the runtime copies in any case, run where they are unless something in them must be
 * replaced; states always do: they are the session's, and stay where they are. */
static int is_staged(const erai_answer *answer, size_t index) {
    const er_input *input = &answer->guard->inputs[index];
    if (input->is_state) return 0;
    if (answer->rejected || input->replaced) return 1;
    return answer->known[index].bytes <= STAGE_BYTES && input->width != ER_TEXT;
}

/* Where rows are run one by one, a batch mate stands in for a rejected row: what the model gives of it has the shape
 * that the others' have. */
static void repeat_rows(const erai_answer *answer, size_t index, uint64_t reasons, const erai_tensor *staged) {
    size_t bytes = answer->known[index].bytes / answer->rows, mate = 0;
    char *rows = (char *)(uintptr_t)staged->data;
    while (mate < answer->rows && answer->row_reasons[mate] & reasons) mate++;
    for (size_t row = 0; bytes && mate < answer->rows && row < answer->rows; row++)
        if (answer->row_reasons[row] & reasons) memcpy(rows + row * bytes, rows + mate * bytes, bytes);
}

static erai_status stage_inputs(erai_answer *answer, const er_model *model, uint64_t reasons, int shift,
                                erai_tensor *staged) {
    for (size_t i = 0; i < answer->guard->input_count; i++) {
        staged[i] = answer->inputs[i];
        if (!is_staged(answer, i)) continue;
        erai_status status = er_stage(answer, i, reasons, shift, &staged[i]);
        if (status) return status;
        if (ER_UNLIKELY(answer->rejected) && model->by_row) repeat_rows(answer, i, reasons, &staged[i]);
    }
    return ERAI_OK;
}

/* A deadline may be as long as for ever. */
static uint64_t later(uint64_t from_ns, uint64_t by_ns) {
    return from_ns + by_ns < from_ns ? UINT64_MAX : from_ns + by_ns;
}

static ER_APART erai_status run_in_time(erai_answer *answer, const erai_tensor *staged, uint64_t deadline_ns) {
    if (!answer->runner) answer->runner = er_runner_open(answer->session->model);
    if (!answer->runner) return er_fail(answer->detail, ERAI_E_MEMORY, "out of memory");
    erai_status status = er_runner_run(answer->runner, staged, answer->outputs, later(answer->begun_ns, deadline_ns),
                                       &answer->missed, answer->detail);
    if (answer->missed)
        er_answer_find(answer, ERAI_VERDICT_REJECT,
                       (erai_reason){.subject = MODEL,
                                     .row = -1,
                                     .value = (double)(er_monotonic_ns() - answer->begun_ns),
                                     .limit = (double)deadline_ns,
                                     .code = ERAI_REASON_DEADLINE});
    return status;
}

/* Stand-ins are the reference's means plus `shift`. */
static erai_status run(erai_answer *answer, int shift) {
    erai_tensor staged[ER_MAX_INPUTS];
    if (stage_inputs(answer, answer->session->model, UINT64_MAX, shift, staged))
        return er_fail(answer->detail, ERAI_E_MEMORY, "out of memory");
    uint64_t deadline_ns = answer->guard->decision.deadline_ns;
    return ER_UNLIKELY(deadline_ns) ? run_in_time(answer, staged, deadline_ns)
                                    : er_binding_run(answer->binding, staged, answer->outputs, answer->detail);
}

/* ---- Rows that are assumed not to depend on each other ---- */

/* The keys of maps too. Types are finite, so this ends. */
static int same_nested(const erai_value *one, const erai_value *other) {
    if (one->kind != other->kind || one->count != other->count) return 0;
    if (one->kind == ERAI_VALUE_TENSOR) return er_same_tensor(&one->tensor, &other->tensor);
    size_t same = 0;
    while (same < one->count && same_nested(&one->items[same], &other->items[same])) same++;
    return same == one->count;
}

static int same_row(const er_buffer *one, const er_buffer *other, size_t row, size_t rows) {
    if (!one->dtype) return same_nested(&one->nest.root.items[row], &other->nest.root.items[row]);
    size_t count = er_elements(one->shape, one->rank) / rows, at = row * count * erai_dtype_size(one->dtype);
    return er_same_values((char *)one->data + at, (char *)other->data + at, one->dtype, count);
}

/* Whether the rows that were not rejected have the same bits in both. */
static int same_rows(const erai_answer *answer, const er_buffer *one, const er_buffer *other) {
    int by_row = er_by_row(answer, one);
    if (one->dtype != other->dtype || one->rank != other->rank || by_row != er_by_row(answer, other) ||
        (one->rank && memcmp(one->shape, other->shape, one->rank * sizeof *one->shape) != 0))
        return 0;
    for (size_t row = 0; by_row && row < answer->rows; row++) /* where there are none, er_judge sees to it */
        if (answer->verdicts[row] != ERAI_VERDICT_REJECT && !same_row(one, other, row, answer->rows)) return 0;
    return 1;
}

/* Runs with other replacements for the rejected rows and keeps the outputs. Whether that could be done. */
static int keep_trial(erai_answer *answer) {
    if (run(answer, 1)) return 0;
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        er_buffer *from = &answer->outputs[i], *to = &answer->trial[i];
        er_nest nest = to->nest;
        to->nest = from->nest;
        from->nest = nest; /* cleared before the next run's is taken */
        erai_tensor output = er_buffer_tensor(from);
        if (!er_buffer_copy(to, &output)) return 0;
    }
    return 1;
}

/* Where a row was rejected under an assumption, the assumption is tried: the answers of the other rows must not change
 * with what stands in for it. When one does, or the trial fails, rows depend on each other as far as anybody can tell,
 * and the bad one spoils the call. */
static ER_APART erai_status run_on_trial(erai_answer *answer) {
    int tried = keep_trial(answer);
    if (answer->missed) return ERAI_OK; /* there is no time for another run */
    erai_status status = run(answer, 0);
    for (size_t i = 0; !status && !answer->missed && i < answer->guard->output_count; i++) {
        if (tried && same_rows(answer, &answer->outputs[i], &answer->trial[i])) continue;
        er_answer_find(
            answer, ERAI_VERDICT_REJECT,
            (erai_reason){.subject = answer->guard->outputs[i].name, .row = -1, .code = ERAI_REASON_ROWS_DEPEND});
        break;
    }
    return status;
}

/* ---- The model, and the fallback model ---- */

static erai_status fail(erai_answer *answer, erai_status status) {
    if (!answer->guard->fallback_count) return status;
    answer->failed = 1;
    er_answer_find(answer, ERAI_VERDICT_REJECT,
                   (erai_reason){.subject = MODEL, .row = -1, .value = status, .code = ERAI_REASON_INFERENCE});
    return ERAI_OK;
}

/* Beside a rejected row others may get what only this call gives them. */
static er_cache *cache_for(const erai_answer *answer) {
    return answer->rejected ? NULL : answer->session->cache;
}

int er_infer_known(erai_answer *answer) {
    er_cache *cache = answer->verdict == ERAI_VERDICT_REJECT ? NULL : cache_for(answer);
    if (ER_LIKELY(!cache) || !er_cache_get(cache, answer, &answer->input_hash)) return 0;
    er_answer_count(answer, ERAI_COUNT_CACHE_HITS, 1);
    answer->ran = answer->cached = 1;
    return 1;
}

erai_status er_infer(erai_answer *answer) {
    er_cache *cache = cache_for(answer);
    erai_status status =
        ER_UNLIKELY(answer->rejected) && answer->session->rows_assumed ? run_on_trial(answer) : run(answer, 0);
    if (ER_UNLIKELY(status)) return fail(answer, status);
    answer->ran = !answer->missed;
    if (ER_UNLIKELY(cache) && answer->ran) er_cache_put(cache, answer, answer->input_hash);
    return ERAI_OK;
}

int er_has_shape(const erai_answer *answer) {
    const uint64_t *found = answer->reasons_by_code;
    return answer->ran || !answer->reasons_found ||
           !(found[ERAI_REASON_DTYPE] || found[ERAI_REASON_RANK] || found[ERAI_REASON_SHAPE] ||
             found[ERAI_REASON_ROWS]);
}

/* Whether a stand-in takes the place of a row that is withheld. */
static int has_stand_in(const erai_answer *answer) {
    for (size_t row = 0; row < answer->rows; row++)
        if (answer->row_reasons[row] & ER_WITHHELD) return 1;
    return 0;
}

int er_infer_fallback(erai_answer *answer) {
    er_model *model = answer->session->fallback;
    if (!model || answer->admitted || !er_has_shape(answer)) return 0;
    if (answer->session->rows_depend && has_stand_in(answer)) return 0;
    erai_tensor staged[ER_MAX_INPUTS];
    if (stage_inputs(answer, model, ER_WITHHELD, 0, staged)) return 0;
    uint64_t deadline_ns = answer->guard->decision.deadline_ns;
    if (!deadline_ns) {
        if (!answer->fallback && er_binding_open(model, &answer->fallback)) return 0;
        return er_binding_run(answer->fallback, staged, answer->fallback_outputs, NULL) == ERAI_OK;
    }
    if (!answer->fallback_runner) answer->fallback_runner = er_runner_open(model);
    int missed = 0;
    return answer->fallback_runner &&
           er_runner_run(answer->fallback_runner, staged, answer->fallback_outputs,
                         later(er_monotonic_ns(), deadline_ns), &missed, NULL) == ERAI_OK &&
           !missed;
}
