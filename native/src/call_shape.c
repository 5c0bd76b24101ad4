/* Admitting an input: data type, rank and shape of the call. */
#include "answer.h"

static int extent_allowed(const er_input *input, uint32_t axis, int64_t extent) {
    int64_t least = input->flags & ERAI_RULE_EMPTY ? 0 : 1;
    return input->shape[axis] < 0 ? extent >= least && extent <= input->max_shape[axis] : extent == input->shape[axis];
}

static erai_reason shape_reason(const er_input *input, const erai_tensor *tensor, uint32_t axis) {
    return (erai_reason){.subject = input->name,
                         .row = -1,
                         .code = ERAI_REASON_SHAPE,
                         .value = (double)tensor->shape[axis],
                         .limit = (double)input->max_shape[axis],
                         .element = axis};
}

static erai_reason rows_reason(const er_input *input, const erai_tensor *tensor, size_t limit) {
    return (erai_reason){.subject = input->name,
                         .row = -1,
                         .code = ERAI_REASON_ROWS,
                         .value = (double)tensor->shape[0],
                         .limit = (double)limit};
}

/* Where the rules do not allow axes of no extent they are refused: ONNX Runtime 1.31 ends the process when an LSTM or
 * GRU gets one. */
int er_check_tensor(erai_answer *answer, const er_input *input, const erai_tensor *tensor, size_t rows, size_t *bytes) {
    erai_reason reason = {.subject = input->name, .row = -1};
    if (tensor->dtype != input->dtype) {
        reason.code = ERAI_REASON_DTYPE;
        reason.value = tensor->dtype;
        reason.limit = input->dtype;
    } else if (!er_rank_fits(input, tensor->rank)) {
        reason.code = ERAI_REASON_RANK;
        reason.value = tensor->rank;
        reason.limit = input->flags & ERAI_RULE_ANY_RANK ? ERAI_MAX_RANK : input->rank;
    } else {
        uint32_t axis = 0;
        while (axis < tensor->rank && extent_allowed(input, axis, tensor->shape[axis])) axis++;
        if (axis == 0 && answer->guard->batched && tensor->shape[0] == 0) {
            reason = rows_reason(input, tensor, rows ? rows : 1);
        } else if (axis < tensor->rank) {
            reason = shape_reason(input, tensor, axis);
        } else if (!er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, bytes)) {
            reason = shape_reason(input, tensor, tensor->rank - 1); /* the last axis is one too many */
        } else {
            if (!answer->guard->batched || (size_t)tensor->shape[0] == rows) return 1;
            reason = rows_reason(input, tensor, rows);
        }
    }
    er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
    return 0;
}

/* As many as the caller meant, none among them, where that can be believed. A tensor without a value costs its caller
 * nothing, and may claim any number of rows unless the rules allow it. */
size_t er_believed_rows(const erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    size_t first = 0, elements;
    while (first < guard->input_count && guard->inputs[first].is_state) first++;
    if (!guard->batched || first == guard->input_count) return 1;
    const er_input *input = &guard->inputs[first];
    const erai_tensor *tensor = &answer->inputs[first];
    if (tensor->rank == 0 || tensor->rank > ERAI_MAX_RANK) return 1;
    if (tensor->shape[0] == 0) return 0;
    if (!er_rank_fits(input, tensor->rank)) return 1; /* which axis counts rows is not known */
    if (!extent_allowed(input, 0, tensor->shape[0])) return 1;
    if (!er_tensor_bytes(tensor->shape, tensor->rank, ERAI_DTYPE_UINT8, &elements)) return 1;
    return elements || input->flags & ERAI_RULE_EMPTY ? (size_t)tensor->shape[0] : 1;
}
