/* Operators of a .tflite file, and what they read and write. LiteRT runs operators in the
 * order of the file, so that one may read only what is there by then. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

#include <stdlib.h>

static erai_status check_indices(const er_operator_part *part, const char *side, const er_flat_vector *indices,
                                 uint64_t optional) {
    for (uint32_t i = 0; i < indices->count; i++) {
        int32_t tensor = er_flat_vector_i32(indices, i);
        bool absent = tensor == ER_TFLITE_ABSENT && (optional == UINT64_MAX || (i < 64 && (optional >> i & 1)));
        if (!absent && (tensor < 0 || (uint32_t)tensor >= part->subgraph->tensors.count))
            return er_refuse_operator(part, "%s %u is tensor %d of %u", side, (unsigned)i, (int)tensor,
                                      (unsigned)part->subgraph->tensors.count);
    }
    return ERAI_OK;
}

static erai_status check_count(const er_operator_part *part, const char *side, uint32_t count, uint8_t least,
                               uint8_t most) {
    if (count < least) return er_refuse_operator(part, "%u %s; at least %u are needed", (unsigned)count, side, least);
    if (most != UINT8_MAX && count > most)
        return er_refuse_operator(part, "%u %s; at most %u are taken", (unsigned)count, side, most);
    return ERAI_OK;
}

/* Custom options that lie behind the FlatBuffer. */
static erai_status check_large_options(const er_operator_part *part, const er_flat_table *table) {
    uint64_t offset = er_flat_u64(table, ER_OPERATOR_LARGE_OFFSET), size = er_flat_u64(table, ER_OPERATOR_LARGE_SIZE);
    uint64_t end = part->subgraph->model->flat.size;
    if (offset > 1 && (offset > end || size > end - offset))
        return er_refuse_operator(part, "custom options of %llu bytes from byte %llu of %llu", (unsigned long long)size,
                                  (unsigned long long)offset, (unsigned long long)end);
    return ERAI_OK;
}

erai_status er_tflite_check_operator(const er_operator_part *part) {
    const er_operator_kind *kind = part->kind;
    er_flat_table table = er_flat_element(&part->subgraph->operators, part->index);
    if (kind == NULL)
        return er_refuse_operator(part, "operator code %u of %u", (unsigned)er_flat_u32(&table, ER_OPERATOR_CODE, 0),
                                  (unsigned)part->subgraph->model->codes.count);
    er_flat_vector intermediates = er_flat_vector_at(&table, ER_OPERATOR_INTERMEDIATES);
    uint8_t type = er_flat_u8(&table, ER_OPERATOR_OPTIONS_TYPE, 0);
    erai_status status = check_count(part, "inputs", part->inputs.count, kind->least_inputs, kind->most_inputs);
    if (!status) status = check_count(part, "outputs", part->outputs.count, kind->least_outputs, kind->most_outputs);
    if (!status) status = check_indices(part, "input", &part->inputs, kind->optional);
    if (!status) status = check_indices(part, "output", &part->outputs, 0);
    if (!status) status = check_indices(part, "intermediate tensor", &intermediates, UINT64_MAX);
    if (!status) status = check_large_options(part, &table);
    if (status) return status;
    /* LiteRT takes defaults for options of another type, which are zeros. */
    if (kind->options != 0 && type != 0 && type != kind->options)
        return er_refuse_operator(part, "options of type %u; expected type %u", type, kind->options);
    status = er_tflite_check_options(part);
    if (!status) status = er_tflite_check_types(part);
    return status ? status : er_tflite_check_shapes(part);
}

/* ---- What is there when an operator comes ---- */

enum state { UNKNOWN = 0, THERE = 1, WRITTEN_ONCE = 2, EMPTY = 3 /* to be read as it is, or made */ };

static erai_status mark_inputs(const er_subgraph *subgraph, uint8_t *states) {
    for (uint32_t i = 0; i < subgraph->inputs.count; i++) {
        int32_t tensor = er_flat_vector_i32(&subgraph->inputs, i);
        if (tensor < 0 || (uint32_t)tensor >= subgraph->tensors.count)
            return er_refuse_subgraph(subgraph, "input %u is tensor %d of %u", (unsigned)i, (int)tensor,
                                      (unsigned)subgraph->tensors.count);
        if (states[tensor] == WRITTEN_ONCE)
            return er_refuse_subgraph(subgraph, "input %u is tensor %d, which has values of its own", (unsigned)i,
                                      (int)tensor);
        states[tensor] = THERE;
    }
    return ERAI_OK;
}

static erai_status follow_operator(const er_operator_part *part, uint8_t *states) {
    for (uint32_t i = 0; i < part->inputs.count; i++) {
        int32_t tensor = er_flat_vector_i32(&part->inputs, i);
        if (tensor != ER_TFLITE_ABSENT && states[tensor] == UNKNOWN)
            return er_refuse_operator(part,
                                      "input %u is tensor %d, which no input, constant or operator before it makes",
                                      (unsigned)i, (int)tensor);
    }
    for (uint32_t i = 0; i < part->outputs.count; i++) {
        int32_t tensor = er_flat_vector_i32(&part->outputs, i);
        if (states[tensor] != UNKNOWN && states[tensor] != EMPTY)
            return er_refuse_operator(part, "output %u is tensor %d, which is an input, a constant or another's output",
                                      (unsigned)i, (int)tensor);
        states[tensor] = THERE;
    }
    return ERAI_OK;
}

static erai_status follow_operators(const er_subgraph *subgraph, uint8_t *states) {
    for (uint32_t i = 0; i < subgraph->tensors.count; i++) {
        er_tensor_part tensor = er_tensor_part_of(subgraph, i);
        bool variable = er_flat_u8(&tensor.table, ER_TENSOR_IS_VARIABLE, 0);
        bool empty = tensor.shape.count > 0 && er_elements(&tensor.shape) == 0;
        states[i] = tensor.constant ? WRITTEN_ONCE : variable ? THERE : empty ? EMPTY : UNKNOWN;
    }
    erai_status status = mark_inputs(subgraph, states);
    for (uint32_t i = 0; !status && i < subgraph->operators.count; i++) {
        er_operator_part part = er_operator_part_of(subgraph, i);
        status = er_tflite_check_operator(&part);
        if (!status) status = follow_operator(&part, states);
    }
    for (uint32_t i = 0; !status && i < subgraph->outputs.count; i++) {
        int32_t tensor = er_flat_vector_i32(&subgraph->outputs, i);
        if (tensor < 0 || (uint32_t)tensor >= subgraph->tensors.count)
            return er_refuse_subgraph(subgraph, "output %u is tensor %d of %u", (unsigned)i, (int)tensor,
                                      (unsigned)subgraph->tensors.count);
        if (states[tensor] == UNKNOWN)
            return er_refuse_subgraph(subgraph, "output %u is tensor %d, which nothing makes", (unsigned)i,
                                      (int)tensor);
    }
    return status;
}

erai_status er_tflite_check_graph(const er_subgraph *subgraph) {
    uint8_t *states = malloc((size_t)subgraph->tensors.count + 1);
    if (states == NULL)
        return er_fail(subgraph->model->detail, ERAI_E_MEMORY, "no memory for the %u tensors of subgraph %u",
                       (unsigned)subgraph->tensors.count, (unsigned)subgraph->index);
    erai_status status = follow_operators(subgraph, states);
    free(states);
    return status;
}
