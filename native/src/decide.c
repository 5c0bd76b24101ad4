/* Deciding who answers: each rejected row goes along the chain of the first fallback rule that names one of its
 * reasons, or, where none does, to the default; at the end of a chain stands NONE. What nobody answers is NaN in float
 * outputs, -1 in signed integers, which is no class, zero in other numbers, and no text in strings. An output without
 * rows is replaced as a whole, and only when every row was rejected: it stands beside the rows that are the model's.
 * Rows that the model answered well are remembered. */
#include "session.h"
#include "values.h"

#include <math.h>
#include <string.h>

#define BIT(reason) ((uint64_t)1 << (reason))

/* Reasons that say nothing against the input: another model can answer a row that has no others. RANK is here because
 * rows whose input has a wrong rank are told apart by it. */
#define ANSWERABLE                                                                                                    \
    (BIT(ERAI_REASON_RANK) | BIT(ERAI_REASON_OUTPUT_NOT_FINITE) | BIT(ERAI_REASON_OUTPUT_SHAPE) |                     \
     BIT(ERAI_REASON_OUT_OF_DISTRIBUTION) | BIT(ERAI_REASON_STATE_NOT_FINITE) | BIT(ERAI_REASON_OUTPUT_RANGE) |       \
     BIT(ERAI_REASON_OUTPUT_SUM) | BIT(ERAI_REASON_CONFIDENCE) | BIT(ERAI_REASON_MARGIN) | BIT(ERAI_REASON_ENTROPY) | \
     BIT(ERAI_REASON_DEADLINE) | BIT(ERAI_REASON_BREAKER_OPEN) | BIT(ERAI_REASON_RATE_LIMITED) |                      \
     BIT(ERAI_REASON_HELD) | BIT(ERAI_REASON_INFERENCE) | BIT(ERAI_REASON_DRIFT))

typedef struct decision {
    erai_answer *answer;
    uint64_t now_ns;
    int64_t unix_ns;
    int readable; /* the inputs have the types and shapes that the policy says */
    int asked;    /* the fallback model ran, or could not */
    int answered; /* it did */
    int guessed;  /* outputs have shapes that no model gave in this call */
    uint64_t review_full;
} decision;

/* ---- What nobody answers, and defaults ---- */

static void fill(void *data, uint32_t dtype, size_t begin, size_t count, const double *values, size_t value_count) {
    if (dtype == ERAI_DTYPE_STRING) {
        for (size_t i = 0; i < count; i++) ((erai_string *)data)[begin + i] = (erai_string){.bytes = "", .size = 0};
        return;
    }
    double none = er_is_float(dtype) ? (double)NAN : -1.0; /* becomes 0 where there is no sign */
    for (size_t i = 0; i < count; i++) {
        double value = value_count == 1 ? values[0] : i < value_count ? values[i] : none;
        er_write(data, dtype, begin + i, value);
    }
}

/* A row of all outputs; those without rows once, with the last row of all that were rejected. Nested ones come at the
 * end. */
static void fill_row(erai_answer *answer, size_t row, int with_default) {
    int last = row + 1 == answer->rows && answer->rejected == answer->rows;
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        const er_output *output = &answer->guard->outputs[i];
        er_buffer *buffer = &answer->outputs[i];
        if (!buffer->dtype || output->is_state) continue;
        int by_row = er_by_row(answer, buffer);
        if (!by_row && !last) continue;
        size_t count = er_elements(buffer->shape, buffer->rank) / (by_row ? answer->rows : 1);
        fill(buffer->data, buffer->dtype, by_row ? row * count : 0, count, output->default_row,
             with_default ? output->default_size : 0);
    }
}

static int has_default(const erai_guard *guard) {
    for (size_t i = 0; i < guard->output_count; i++)
        if (guard->outputs[i].default_size) return 1;
    return 0;
}

/* Keys of maps stay. */
static void blank(const erai_value *value) {
    const erai_tensor *tensor = &value->tensor;
    if (value->kind == ERAI_VALUE_TENSOR)
        fill((void *)(uintptr_t)tensor->data, tensor->dtype, 0, er_elements(tensor->shape, tensor->rank), NULL, 0);
    else
        for (size_t i = value->kind == ERAI_VALUE_MAP; i < value->count; i++) blank(&value->items[i]);
}

/* ---- The outputs of a model that did not run ---- */

/* The output takes the shape that the model would have given, as far as it is known, and one where it is not. */
static int shape_output(const erai_answer *answer, const er_output *output, er_buffer *buffer, int known) {
    size_t bytes = 0;
    if (!known) {
        buffer->rank = output->rank;
        buffer->dtype = output->dtype;
    }
    for (uint32_t axis = 0; axis < buffer->rank; axis++) {
        if (!known) buffer->shape[axis] = output->shape[axis] > 0 ? output->shape[axis] : 1;
        if ((int32_t)axis == output->row_axis) buffer->shape[axis] = (int64_t)answer->rows;
    }
    return er_tensor_bytes(buffer->shape, buffer->rank, buffer->dtype, &bytes) && er_buffer_reserve(buffer, bytes);
}

static erai_status shape_outputs(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        er_buffer *buffer = &answer->outputs[i];
        if (!output->dtype) continue;
        /* What the last run gave is better than what the model declares. */
        if (!shape_output(answer, output, buffer, buffer->dtype != 0)) return ERAI_E_MEMORY;
        /* Strings are looked at before all of them are given; states, and calls without a row, are given no more than
         * this. */
        if (buffer->dtype == ERAI_DTYPE_STRING || output->is_state || !answer->rows)
            fill(buffer->data, buffer->dtype, 0, er_elements(buffer->shape, buffer->rank), NULL, 0);
    }
    return ERAI_OK;
}

/* What the model gave in another shape than the rules state is nobody's answer, and has no place for one a row: it
 * takes the stated one. Whether any did; -1: out of memory. */
static int restate_outputs(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    int any = 0;
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        er_buffer *buffer = &answer->outputs[i];
        if (!buffer->dtype || output->is_state || er_fits_shape(output, buffer, (int64_t)answer->rows, guard->batched))
            continue;
        if (!shape_output(answer, output, buffer, 0)) return -1;
        fill(buffer->data, buffer->dtype, 0, er_elements(buffer->shape, buffer->rank), NULL, 0);
        any = 1;
    }
    return any;
}

/* ---- The fallback model ---- */

/* The outputs of a model that did not run take the fallback model's shapes, and the rows before `row` are filled again,
 * unless one of them is a last good answer, whose shape is no guess. */
static int take_shapes(erai_answer *answer, size_t row) {
    int room = 1;
    for (size_t i = 0; i < row; i++)
        if (answer->sources[i] == ERAI_SOURCE_LAST_GOOD) return 0;
    for (size_t i = 0; room && i < answer->guard->output_count; i++) {
        const er_buffer *from = &answer->fallback_outputs[i];
        er_buffer *to = &answer->outputs[i];
        size_t bytes = 0;
        if (!from->dtype || answer->guard->outputs[i].is_state) continue;
        er_tensor_bytes(from->shape, from->rank, from->dtype, &bytes); /* it is in memory: it fits */
        room = er_buffer_reserve(to, bytes);
        if (!room) continue;
        to->rank = from->rank;
        memcpy(to->shape, from->shape, sizeof to->shape);
        if (to->dtype == ERAI_DTYPE_STRING) fill(to->data, to->dtype, 0, er_elements(to->shape, to->rank), NULL, 0);
    }
    for (size_t i = 0; i < row; i++) fill_row(answer, i, answer->sources[i] == ERAI_SOURCE_DEFAULT);
    return room;
}

/* Whether rows of its outputs, from `row` on, can stand among the rows of the model's. */
static int fits(const decision *it, size_t row) {
    erai_answer *answer = it->answer;
    int same = 1;
    for (size_t i = 0; answer->rows > 1 && i < answer->guard->output_count; i++) {
        const er_buffer *from = &answer->fallback_outputs[i], *to = &answer->outputs[i];
        if (answer->guard->outputs[i].is_state) continue;
        if (from->dtype != to->dtype || !er_by_row(answer, from)) return 0;
        if (!from->dtype && answer->ran && !er_by_row(answer, to)) return 0;
        if (from->dtype)
            same &= from->rank == to->rank && memcmp(from->shape, to->shape, from->rank * sizeof *from->shape) == 0;
    }
    return same || (it->guessed && take_shapes(answer, row));
}

static int take_fallback(decision *it, size_t row) {
    erai_answer *answer = it->answer;
    if (!it->readable || answer->row_reasons[row] & ~ANSWERABLE) return 0;
    if (!it->asked) it->answered = er_infer_fallback(answer) && fits(it, row);
    it->asked = 1;
    if (!it->answered || !er_judge_fallback(answer, row)) return 0;
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        const er_buffer *from = &answer->fallback_outputs[i];
        er_buffer *to = &answer->outputs[i];
        if (!from->dtype || answer->guard->outputs[i].is_state) continue;
        erai_tensor all = er_buffer_tensor(from);
        if (answer->rows == 1) {
            if (!er_buffer_copy(to, &all)) return 0;
            continue;
        }
        size_t bytes = 0; /* strings stay where they are: both live until the next call */
        er_tensor_bytes(from->shape, from->rank, from->dtype, &bytes);
        bytes /= answer->rows;
        if (bytes) memcpy((char *)to->data + row * bytes, (const char *)from->data + row * bytes, bytes);
    }
    return 1;
}

/* Rejected rows of an output that is no tensor, once it is known who answers them. Items of the fallback model's stay
 * where they are: both live until the next call. */
static void settle_nest(erai_answer *answer, size_t index) {
    er_nest *nest = &answer->outputs[index].nest;
    const erai_value *other = &answer->fallback_outputs[index].nest.root;
    int any = 0;
    for (size_t row = 0; row < answer->rows; row++) any |= answer->sources[row] == ERAI_SOURCE_FALLBACK_MODEL;
    if (!answer->ran) {
        er_nest_clear(nest);
        nest->root = any ? *other : (erai_value){.kind = ERAI_VALUE_SEQUENCE};
    }
    if (any && answer->rows == 1) {
        nest->root = *other;
    } else if (er_by_row(answer, &answer->outputs[index])) {
        erai_value *items = (erai_value *)(uintptr_t)nest->root.items;
        for (size_t row = 0; row < answer->rows; row++)
            if (answer->sources[row] == ERAI_SOURCE_FALLBACK_MODEL)
                items[row] = other->items[row];
            else if (answer->sources[row] != ERAI_SOURCE_PRIMARY)
                blank(&items[row]);
    } else if (answer->rejected == answer->rows) {
        blank(&nest->root);
    }
}

/* ---- Steps of a chain: whether it answered the row ---- */

static int take_last_good(const decision *it, size_t row) {
    erai_answer *answer = it->answer;
    const erai_decision_rule *rule = &answer->guard->decision;
    const er_key *key = er_answer_key(answer, row);
    if (!answer->session->last_good || (!key && !(rule->flags & ERAI_DECISION_SHARED))) return 0;
    return er_last_good_get(answer->session->last_good, key, answer->outputs, row, answer->rows, it->now_ns,
                            rule->last_good_age_ns);
}

static int ask_for_review(decision *it, size_t row) {
    erai_answer *answer = it->answer;
    er_review_queue *queue = answer->session->review;
    if (!it->readable) return 0;
    uint64_t id = queue ? er_review_put(queue, answer, row, it->unix_ns) : 0;
    if (!id) {
        it->review_full++;
        return 0;
    }
    answer->review_ids[row] = id;
    answer->reviewed = 1;
    fill_row(answer, row, 0);
    return 1;
}

static int take_step(decision *it, uint32_t source, size_t row) {
    switch (source) {
    case ERAI_SOURCE_FALLBACK_MODEL: return take_fallback(it, row);
    case ERAI_SOURCE_LAST_GOOD: return take_last_good(it, row);
    case ERAI_SOURCE_ABSTAIN: return ask_for_review(it, row);
    case ERAI_SOURCE_DEFAULT:
        if (!has_default(it->answer->guard)) return 0;
        fill_row(it->answer, row, 1);
        return 1;
    default: fill_row(it->answer, row, 0); return 1;
    }
}

/* Of a policy without any answer of its own, what is no number already says so by itself: the row stays as the model
 * gave it. */
static int speaks_for_itself(const erai_answer *answer, size_t row) {
    return answer->ran && !answer->guard->fallback_count && !has_default(answer->guard) &&
           answer->row_reasons[row] == BIT(ERAI_REASON_OUTPUT_NOT_FINITE);
}

static uint8_t decide_row(decision *it, size_t row) {
    static const er_fallback usual = {.steps = 1, .chain = {ERAI_SOURCE_DEFAULT}};
    const erai_guard *guard = it->answer->guard;
    const er_fallback *rule = &usual;
    if (speaks_for_itself(it->answer, row)) return ERAI_SOURCE_NONE;
    for (uint32_t i = 0; i < guard->fallback_count && rule == &usual; i++)
        if (guard->fallbacks[i].reasons & it->answer->row_reasons[row]) rule = &guard->fallbacks[i];
    for (uint32_t i = 0; i < rule->steps; i++)
        if (take_step(it, rule->chain[i], row)) return (uint8_t)rule->chain[i];
    fill_row(it->answer, row, 0);
    return ERAI_SOURCE_NONE;
}

/* ---- The call ---- */

/* Whether rows of the inputs can be read as the policy says. */
static int inputs_fit(const erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    /* Reasons of the whole call: the first row has them all. */
    if (answer->row_reasons[0] & (BIT(ERAI_REASON_DTYPE) | BIT(ERAI_REASON_SHAPE) | BIT(ERAI_REASON_ROWS))) return 0;
    for (size_t i = 0; i < guard->input_count; i++)
        if (!guard->inputs[i].is_state && !er_rank_fits(&guard->inputs[i], answer->inputs[i].rank)) return 0;
    return 1;
}

static void decide_rejected(erai_answer *answer, int guessed, uint64_t now_ns, int64_t unix_ns) {
    decision it = {
        .answer = answer, .now_ns = now_ns, .unix_ns = unix_ns, .readable = inputs_fit(answer), .guessed = guessed};
    for (size_t row = 0; row < answer->rows; row++) {
        if (answer->verdicts[row] != ERAI_VERDICT_REJECT) continue;
        uint8_t source = decide_row(&it, row);
        answer->sources[row] = source;
        if (source > answer->source) answer->source = (erai_source)source;
    }
    if (it.review_full) er_answer_count(answer, ERAI_COUNT_REVIEW_FULL, it.review_full);
}

static void settle_nests(erai_answer *answer) {
    for (size_t i = 0; i < answer->guard->output_count; i++)
        if (!answer->guard->outputs[i].dtype) settle_nest(answer, i);
}

/* Of rows that share a key the last one is kept. */
static void remember(erai_answer *answer, uint64_t now_ns) {
    const erai_guard *guard = answer->guard;
    int shared = (guard->decision.flags & ERAI_DECISION_SHARED) != 0;
    erai_tensor outputs[ER_MAX_OUTPUTS];
    for (size_t i = 0; i < guard->output_count; i++) outputs[i] = er_buffer_tensor(&answer->outputs[i]);
    size_t row = 0;
    if (answer->key_count <= 1) /* the last good row, and no other */
        for (row = answer->rows - 1; answer->verdicts[row] == ERAI_VERDICT_REJECT;) row--;
    for (; row < answer->rows; row++) {
        const er_key *key = er_answer_key(answer, row);
        if (answer->verdicts[row] != ERAI_VERDICT_REJECT && (key || shared))
            er_last_good_put(answer->session->last_good, key, outputs, guard->batched, row, answer->rows, now_ns);
    }
}

/* Of an answer that is not the model's alone, or is to be remembered. */
static ER_APART erai_status decide(erai_answer *answer, uint64_t now_ns, int64_t unix_ns) {
    int guessed = !answer->ran; /* also of no row at all */
    if (guessed && shape_outputs(answer)) return ERAI_E_MEMORY;
    if (answer->ran && answer->verdict == ERAI_VERDICT_REJECT && answer->rejected == answer->rows)
        guessed = restate_outputs(answer);
    if (guessed < 0) return ERAI_E_MEMORY;
    if (!answer->rows && answer->verdict == ERAI_VERDICT_REJECT) answer->source = ERAI_SOURCE_NONE;
    if (answer->rejected) decide_rejected(answer, guessed, now_ns, unix_ns);
    if (answer->rejected || !answer->ran) settle_nests(answer);
    if (answer->session->last_good && answer->ran && answer->rejected < answer->rows) remember(answer, now_ns);
    return ERAI_OK;
}

erai_status er_decide(erai_answer *answer, uint64_t now_ns, int64_t unix_ns) {
    if (ER_LIKELY(answer->ran && answer->rows && !answer->rejected && !answer->session->last_good)) return ERAI_OK;
    return decide(answer, now_ns, unix_ns);
}
