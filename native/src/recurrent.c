/* Recurrent states: what an output gave is an input of the next call. A state stays at one address, so that the
 * runtime's view of it stays too; the next one is copied over it, row by row where rows were rejected. With o the
 * elements before the row axis and i those after it, a row is o pieces of i elements, (extent of the row axis) * i
 * apart. */
#include "recurrent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct er_recurrent {
    const erai_guard *guard;
    er_buffer *values; /* one a state */
    er_buffer *fresh;  /* zeros, given to a call of another number of rows; values once it has run */
    size_t rows;       /* that the values are of; 0: there are none yet */
};

er_recurrent *er_recurrent_open(const erai_guard *guard) {
    er_recurrent *states = calloc(1, sizeof *states);
    if (!states) return NULL;
    states->guard = guard;
    states->values = calloc(guard->state_count, sizeof *states->values);
    states->fresh = calloc(guard->state_count, sizeof *states->fresh);
    if (states->values && states->fresh) return states;
    er_recurrent_close(states);
    return NULL;
}

void er_recurrent_close(er_recurrent *states) {
    if (!states) return;
    er_buffers_free(states->values, states->guard->state_count);
    er_buffers_free(states->fresh, states->guard->state_count);
    free(states);
}

void er_recurrent_reset(er_recurrent *states) {
    states->rows = 0;
}

/* Zeros, of the declared shape; an axis of unknown extent counts rows. */
static int begin(er_buffer *value, const er_input *input, size_t rows) {
    size_t bytes = 0;
    value->rank = input->rank;
    value->dtype = input->dtype;
    for (uint32_t i = 0; i < input->rank; i++) value->shape[i] = input->shape[i] < 0 ? (int64_t)rows : input->shape[i];
    if (!er_tensor_bytes(value->shape, value->rank, value->dtype, &bytes) || !er_buffer_reserve(value, bytes)) return 0;
    memset(value->data, 0, bytes);
    return 1;
}

erai_status er_recurrent_give(er_recurrent *states, erai_answer *answer) {
    const erai_guard *guard = states->guard;
    if (!er_has_shape(answer)) return ERAI_OK;
    int known = states->rows && states->rows == answer->rows;
    for (uint32_t i = 0; i < guard->state_count; i++) {
        uint32_t input = guard->states[i].input;
        if (!known && !begin(&states->fresh[i], &guard->inputs[input], answer->rows)) return ERAI_E_MEMORY;
        answer->inputs[input] = er_buffer_tensor(known ? &states->values[i] : &states->fresh[i]);
    }
    return ERAI_OK;
}

/* ---- Taking ---- */

static double half_value(uint16_t bits, unsigned fraction_bits) {
    unsigned exponent_bits = 15 - fraction_bits, exponent = (bits & 0x7fffu) >> fraction_bits;
    if (exponent < (1u << exponent_bits) - 1) return 0; /* finite, whatever it is */
    double sign = bits & 0x8000u ? -1.0 : 1.0;
    return bits & ((1u << fraction_bits) - 1) ? (double)NAN : sign * (double)INFINITY;
}

/* Whether element `at` is a NaN or an infinity, and which. */
static int is_bad(const er_buffer *buffer, size_t at, double *value) {
    switch (buffer->dtype) {
    case ERAI_DTYPE_FLOAT32: *value = (double)((const float *)buffer->data)[at]; break;
    case ERAI_DTYPE_FLOAT64: *value = ((const double *)buffer->data)[at]; break;
    case ERAI_DTYPE_FLOAT16: *value = half_value(((const uint16_t *)buffer->data)[at], 10); break;
    case ERAI_DTYPE_BFLOAT16: *value = half_value(((const uint16_t *)buffer->data)[at], 7); break;
    default: return 0;
    }
    return !isfinite(*value);
}

/* The part of a state that is one row's, or, with one row of one piece, all of it. */
typedef struct pieces {
    size_t count, elements, stride, first;
} pieces;

static int find_bad(const er_buffer *next, pieces row, erai_reason *reason) {
    for (size_t piece = 0; piece < row.count; piece++)
        for (size_t i = 0; i < row.elements; i++)
            if (is_bad(next, row.first + piece * row.stride + i, &reason->value)) {
                reason->element = (uint32_t)(piece * row.elements + i);
                return 1;
            }
    return 0;
}

/* From the next state, or, with NULL, zeros. */
static void replace(er_buffer *value, const er_buffer *next, pieces row) {
    size_t size = erai_dtype_size(value->dtype);
    for (size_t piece = 0; piece < row.count; piece++) {
        size_t at = (row.first + piece * row.stride) * size;
        if (next)
            memcpy((char *)value->data + at, (const char *)next->data + at, row.elements * size);
        else
            memset((char *)value->data + at, 0, row.elements * size);
    }
}

static void take_pieces(erai_answer *answer, er_buffer *value, const er_buffer *next, pieces row, erai_reason reason) {
    reason.code = ERAI_REASON_STATE_NOT_FINITE;
    int bad = find_bad(next, row, &reason);
    replace(value, bad ? NULL : next, row);
    if (!bad) return;
    er_answer_find(answer, ERAI_VERDICT_FLAG, reason);
    er_answer_count(answer, ERAI_COUNT_STATE_RESETS, 1);
}

/* The first axis on which shapes differ says what the reason tells. */
static int same_shape(erai_answer *answer, const er_buffer *value, const er_buffer *next, erai_reason reason) {
    reason.code = ERAI_REASON_OUTPUT_SHAPE;
    reason.value = next->rank;
    reason.limit = value->rank;
    int same = value->dtype == next->dtype && value->rank == next->rank;
    for (uint32_t i = 0; same && i < value->rank; i++) {
        if (value->shape[i] == next->shape[i]) continue;
        same = 0;
        reason.value = (double)next->shape[i];
        reason.limit = (double)value->shape[i];
        reason.element = i;
    }
    if (same) return 1;
    er_answer_find(answer, ERAI_VERDICT_FLAG, reason);
    er_answer_count(answer, ERAI_COUNT_STATE_RESETS, 1);
    return 0;
}

/* Whether a row was the model's to answer well. What is held was good, and answered by somebody else. */
static int advances(const erai_answer *answer, size_t row) {
    return answer->verdicts[row] != ERAI_VERDICT_REJECT || answer->row_reasons[row] == (uint64_t)1 << ERAI_REASON_HELD;
}

static size_t count_advancing(const erai_answer *answer) {
    size_t count = 0;
    for (size_t row = 0; row < answer->rows; row++) count += (size_t)advances(answer, row);
    return count;
}

static void take(erai_answer *answer, const er_state *state, er_buffer *value) {
    const er_buffer *next = &answer->outputs[state->output];
    erai_reason reason = {.subject = answer->guard->outputs[state->output].name, .row = -1, .limit = (double)NAN};
    size_t elements = er_elements(value->shape, value->rank);
    pieces all = {.count = 1, .elements = elements};
    if (!same_shape(answer, value, next, reason)) {
        replace(value, NULL, all);
        return;
    }
    int by_row = state->row_axis >= 0 && (size_t)value->shape[state->row_axis] == answer->rows;
    if (!by_row) {
        if (count_advancing(answer) == answer->rows) take_pieces(answer, value, next, all, reason);
        return;
    }
    pieces row = {.count = er_elements(value->shape, (uint32_t)state->row_axis)};
    row.stride = row.count ? elements / row.count : 0;
    row.elements = row.stride / answer->rows;
    for (size_t i = 0; i < answer->rows; i++, row.first += row.elements) {
        reason.row = (int64_t)i;
        if (advances(answer, i)) take_pieces(answer, value, next, row, reason);
    }
}

/* What was given as fresh becomes the states. */
static void change_rows(er_recurrent *states, erai_answer *answer) {
    er_buffer *before = states->values;
    states->values = states->fresh;
    states->fresh = before;
    if (states->rows) er_answer_count(answer, ERAI_COUNT_STATE_RESETS, 1);
    states->rows = answer->rows;
}

void er_recurrent_take(er_recurrent *states, erai_answer *answer) {
    const erai_guard *guard = states->guard;
    if (!answer->ran || !count_advancing(answer)) return;
    if (states->rows != answer->rows) change_rows(states, answer);
    for (uint32_t i = 0; i < guard->state_count; i++) take(answer, &guard->states[i], &states->values[i]);
}
