/* Whether the types of an operator's tensors, and their quantization, are what LiteRT's kernels take for granted: that
 * what they write has the type of what they read, that strings come to none that does not know them, and that what they
 * compute with in 8 bits has a scale. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

static erai_status check_strings(const er_operator_part *part, const char *side, const er_flat_vector *indices) {
    for (uint32_t i = 0; i < indices->count; i++) {
        int32_t index = er_flat_vector_i32(indices, i);
        if (index == ER_TFLITE_ABSENT) continue;
        if (er_tensor_part_of(part->subgraph, (uint32_t)index).type == ER_TYPE_STRING)
            return er_refuse_operator(part, "%s %u is tensor %d, of strings", side, (unsigned)i, (int)index);
    }
    return ERAI_OK;
}

static erai_status check_scale(const er_operator_part *part, const char *side, const er_tensor_part *tensor) {
    if (tensor->type != ER_TYPE_INT8 && tensor->type != ER_TYPE_UINT8) return ERAI_OK;
    er_flat_table quantization = er_flat_table_at(&tensor->table, ER_TENSOR_QUANTIZATION);
    er_flat_vector scales = er_flat_vector_at(&quantization, ER_QUANTIZATION_SCALE);
    if ((part->kind->types & ER_SCALED) && (scales.count == 0 || !(er_flat_vector_f32(&scales, 0) > 0)))
        return er_refuse_operator(part, "its %s is tensor %u, of 8 bits without a scale", side,
                                  (unsigned)tensor->index);
    if ((part->kind->types & ER_SCALE_ONE) && scales.count > 1)
        return er_refuse_operator(part, "its %s is tensor %u, of %u scales; expected one", side,
                                  (unsigned)tensor->index, (unsigned)scales.count);
    return ERAI_OK;
}

static bool keeps_type(const er_operator_part *part, uint32_t in, uint32_t out) {
    bool narrow = in == ER_TYPE_INT8 || in == ER_TYPE_UINT8;
    return in == out || (part->code == ER_OPERATOR_SOFTMAX && narrow && out == ER_TYPE_INT16);
}

erai_status er_tflite_check_types(const er_operator_part *part) {
    uint8_t rules = part->kind->types;
    erai_status status = ERAI_OK;
    if (!(rules & ER_TYPE_STRINGS)) {
        status = check_strings(part, "input", &part->inputs);
        if (!status) status = check_strings(part, "output", &part->outputs);
    }
    if (status || part->inputs.count == 0 || part->outputs.count == 0) return status;
    if ((rules & ~ER_TYPE_STRINGS) == 0) return status;
    er_tensor_part in = er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(&part->inputs, 0));
    er_tensor_part out = er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(&part->outputs, 0));
    if ((rules & ER_TYPE_KEPT) && !keeps_type(part, in.type, out.type))
        return er_refuse_operator(part, "input 0 is of type %u and output 0 of type %u", (unsigned)in.type,
                                  (unsigned)out.type);
    status = check_scale(part, "input", &in);
    if (!status) status = check_scale(part, "output", &out);
    if (status || !(rules & ER_SCALE_BOTH) || part->inputs.count < 2) return status;
    er_tensor_part other = er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(&part->inputs, 1));
    return check_scale(part, "second input", &other);
}
