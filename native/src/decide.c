/* Deciding who answers: a rejected row gets its output's default, or, where the policy states none, NaN in float
 * outputs, -1 in signed integers, which is no class, and zero in others. An output without rows is replaced as a whole:
 * then er_judge has rejected every row. */
#include "answer.h"

#include <math.h>
#include <string.h>

static void store(void *data, uint32_t dtype, size_t at, double value) {
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: ((float *)data)[at] = (float)value; break;
    case ERAI_DTYPE_FLOAT64: ((double *)data)[at] = value; break;
    case ERAI_DTYPE_INT8: ((int8_t *)data)[at] = (int8_t)value; break;
    case ERAI_DTYPE_INT16: ((int16_t *)data)[at] = (int16_t)value; break;
    case ERAI_DTYPE_INT32: ((int32_t *)data)[at] = (int32_t)value; break;
    case ERAI_DTYPE_INT64: ((int64_t *)data)[at] = (int64_t)value; break;
    case ERAI_DTYPE_UINT8: ((uint8_t *)data)[at] = (uint8_t)value; break;
    case ERAI_DTYPE_BOOL: ((uint8_t *)data)[at] = value != 0; break;
    case ERAI_DTYPE_UINT16: ((uint16_t *)data)[at] = (uint16_t)value; break;
    case ERAI_DTYPE_UINT32: ((uint32_t *)data)[at] = (uint32_t)value; break;
    case ERAI_DTYPE_UINT64: ((uint64_t *)data)[at] = (uint64_t)value; break;
    default: break;
    }
}

static int is_signed(uint32_t dtype) {
    return dtype == ERAI_DTYPE_INT8 || dtype == ERAI_DTYPE_INT16 || dtype == ERAI_DTYPE_INT32 ||
           dtype == ERAI_DTYPE_INT64;
}

static void fill(const er_output *output, er_buffer *buffer, size_t begin, size_t count) {
    int is_float = buffer->dtype == ERAI_DTYPE_FLOAT32 || buffer->dtype == ERAI_DTYPE_FLOAT64;
    double none = is_float ? (double)NAN : is_signed(buffer->dtype) ? -1.0 : 0.0;
    for (size_t i = 0; i < count; i++) {
        double value = none;
        if (output->default_size == 1)
            value = output->default_row[0];
        else if (i < output->default_size)
            value = output->default_row[i];
        store(buffer->data, buffer->dtype, begin + i, value);
    }
}

/* Every row is rejected and the model did not run: the outputs take the shape it would have given, as far as it is
 * known, and one where it is not. */
static erai_status shape_outputs(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        er_buffer *buffer = &answer->outputs[i];
        size_t bytes = 0;
        /* What the last run gave is better than what the model declares. */
        int known = buffer->dtype != 0;
        if (!known) {
            buffer->rank = output->rank;
            buffer->dtype = output->dtype;
        }
        for (uint32_t axis = 0; axis < buffer->rank; axis++) {
            if (!known) buffer->shape[axis] = output->shape[axis] > 0 ? output->shape[axis] : 1;
            if (guard->batched && axis == 0) buffer->shape[0] = (int64_t)answer->rows;
        }
        if (!er_tensor_bytes(buffer->shape, buffer->rank, buffer->dtype, &bytes) || !er_buffer_reserve(buffer, bytes))
            return ERAI_E_MEMORY;
    }
    return ERAI_OK;
}

erai_status er_decide(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    if (!answer->rejected) return ERAI_OK;
    if (!answer->ran) {
        erai_status status = shape_outputs(answer);
        if (status) return status;
    }
    int has_default = 0;
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        er_buffer *buffer = &answer->outputs[i];
        size_t elements = 1;
        has_default |= output->default_size > 0;
        for (uint32_t axis = 0; axis < buffer->rank; axis++) elements *= (size_t)buffer->shape[axis];
        if (!er_by_row(answer, buffer)) {
            fill(output, buffer, 0, elements);
            continue;
        }
        size_t row_size = elements / answer->rows;
        for (size_t row = 0; row < answer->rows; row++)
            if (answer->verdicts[row] == ERAI_VERDICT_REJECT) fill(output, buffer, row * row_size, row_size);
    }
    uint8_t source = has_default ? ERAI_SOURCE_DEFAULT : ERAI_SOURCE_NONE;
    for (size_t row = 0; row < answer->rows; row++)
        if (answer->verdicts[row] == ERAI_VERDICT_REJECT) answer->sources[row] = source;
    answer->source = (erai_source)source;
    return ERAI_OK;
}
