/* Judging the model's outputs: rank and fixed extents where the policy states them, and that every value is finite. An
 * output has rows when the policy is batched and its axis 0 has one entry a row; a finding in any other output concerns
 * every row of the call. */
#include "answer.h"

#include <math.h>
#include <string.h>

int er_by_row(const erai_answer *answer, const er_buffer *buffer) {
    return answer->guard->batched && buffer->rank > 0 && (size_t)buffer->shape[0] == answer->rows;
}

static void reject_all(erai_answer *answer, erai_reason reason) {
    reason.row = -1;
    er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
}

static int shape_holds(erai_answer *answer, const er_output *output, const er_buffer *buffer) {
    erai_reason reason = {.subject = output->name, .code = ERAI_REASON_OUTPUT_SHAPE};
    if (output->flags & ERAI_RULE_SHAPE) {
        if (buffer->rank != output->rank) {
            reason.code = ERAI_REASON_RANK;
            reason.value = buffer->rank;
            reason.limit = output->rank;
            reject_all(answer, reason);
            return 0;
        }
        for (uint32_t i = 0; i < buffer->rank; i++) {
            int64_t expected = answer->guard->batched && i == 0 ? (int64_t)answer->rows : output->shape[i];
            if (expected < 0 || buffer->shape[i] == expected) continue;
            reason.value = (double)buffer->shape[i];
            reason.limit = (double)expected;
            reason.element = i;
            reject_all(answer, reason);
            return 0;
        }
    }
    return 1;
}

/* Index of the first value that is not finite, or count. */
static size_t first_not_finite(const er_buffer *buffer, size_t begin, size_t count, double *value) {
    if (buffer->dtype == ERAI_DTYPE_FLOAT32) {
        const float *values = (const float *)buffer->data + begin;
        for (size_t i = 0; i < count; i++)
            if (!isfinite(values[i])) {
                *value = (double)values[i];
                return i;
            }
    } else if (buffer->dtype == ERAI_DTYPE_FLOAT64) {
        const double *values = (const double *)buffer->data + begin;
        for (size_t i = 0; i < count; i++)
            if (!isfinite(values[i])) {
                *value = values[i];
                return i;
            }
    }
    return count;
}

static void check_finite(erai_answer *answer, const er_output *output, const er_buffer *buffer) {
    size_t elements = 1;
    for (uint32_t i = 0; i < buffer->rank; i++) elements *= (size_t)buffer->shape[i];
    int by_row = er_by_row(answer, buffer);
    size_t rows = by_row ? answer->rows : 1, row_size = elements / rows;
    for (size_t row = 0; row < rows; row++) {
        if (by_row && answer->verdicts[row] == ERAI_VERDICT_REJECT) continue; /* the reference row's answer */
        erai_reason reason = {.subject = output->name, .limit = (double)NAN, .code = ERAI_REASON_OUTPUT_NOT_FINITE};
        size_t at = first_not_finite(buffer, row * row_size, row_size, &reason.value);
        if (at == row_size) continue;
        reason.element = (uint32_t)at;
        if (!by_row) {
            reject_all(answer, reason);
            return;
        }
        reason.row = (int64_t)row;
        er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
    }
}

void er_judge(erai_answer *answer) {
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        const er_output *output = &answer->guard->outputs[i];
        const er_buffer *buffer = &answer->outputs[i];
        /* Computed from the replaced rows too: nobody's answer. */
        if (answer->rejected && answer->rejected < answer->rows && !er_by_row(answer, buffer))
            reject_all(answer, (erai_reason){.subject = output->name, .code = ERAI_REASON_ROWS_DEPEND});
        if (shape_holds(answer, output, buffer) && (output->flags & ERAI_RULE_FINITE))
            check_finite(answer, output, buffer);
    }
}
