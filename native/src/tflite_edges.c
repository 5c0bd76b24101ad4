/* What a .tflite file takes and gives, read without a runtime. SPDX-License-Identifier: Apache-2.0 */
#include "tflite.h"

#include <string.h>

#include "affine.h"
#include "tflite_parts.h"

static uint32_t dtype_of(uint32_t type) {
    static const uint8_t dtypes[ER_TYPES] = {
        [ER_TYPE_FLOAT32] = ERAI_DTYPE_FLOAT32, [ER_TYPE_FLOAT16] = ERAI_DTYPE_FLOAT16,
        [ER_TYPE_INT32] = ERAI_DTYPE_INT32,     [ER_TYPE_UINT8] = ERAI_DTYPE_UINT8,
        [ER_TYPE_INT64] = ERAI_DTYPE_INT64,     [ER_TYPE_STRING] = ERAI_DTYPE_STRING,
        [ER_TYPE_BOOL] = ERAI_DTYPE_BOOL,       [ER_TYPE_INT16] = ERAI_DTYPE_INT16,
        [ER_TYPE_INT8] = ERAI_DTYPE_INT8,       [ER_TYPE_FLOAT64] = ERAI_DTYPE_FLOAT64,
        [ER_TYPE_UINT64] = ERAI_DTYPE_UINT64,   [ER_TYPE_UINT32] = ERAI_DTYPE_UINT32,
        [ER_TYPE_UINT16] = ERAI_DTYPE_UINT16,   [ER_TYPE_BFLOAT16] = ERAI_DTYPE_BFLOAT16,
    };
    return type < ER_TYPES ? dtypes[type] : 0;
}

/* The name that the first signature of the first subgraph gives a tensor, NULL where there is none. */
static const char *signature_name(const er_tflite *model, unsigned slot, uint32_t tensor) {
    er_flat_vector signatures = er_flat_vector_at(&model->table, ER_MODEL_SIGNATURES);
    for (uint32_t i = 0; i < signatures.count; i++) {
        er_flat_table signature = er_flat_element(&signatures, i);
        if (er_flat_u32(&signature, ER_SIGNATURE_SUBGRAPH, 0) != 0) continue;
        er_flat_vector map = er_flat_vector_at(&signature, slot);
        for (uint32_t k = 0; k < map.count; k++) {
            er_flat_table entry = er_flat_element(&map, k);
            if (er_flat_u32(&entry, ER_MAP_TENSOR, 0) == tensor) return er_flat_string(&entry, ER_MAP_NAME);
        }
        return NULL;
    }
    return NULL;
}

static void read_quantization(const er_tensor_part *tensor, er_tflite_edge *edge) {
    er_flat_table quantization = er_flat_table_at(&tensor->table, ER_TENSOR_QUANTIZATION);
    er_flat_vector scales = er_flat_vector_at(&quantization, ER_QUANTIZATION_SCALE);
    er_flat_vector zeros = er_flat_vector_at(&quantization, ER_QUANTIZATION_ZERO_POINT);
    bool integer = er_quantizes(dtype_of(tensor->type));
    if (!integer || scales.count != 1 || zeros.count != 1 || !(er_flat_vector_f32(&scales, 0) > 0)) return;
    edge->quantized = 1;
    edge->scale = er_flat_vector_f32(&scales, 0);
    edge->zero_point = (int32_t)er_flat_vector_i64(&zeros, 0);
}

static void read_edge(const void *bytes, size_t size, unsigned slot, size_t index, er_tflite_edge *edge) {
    er_tflite model = {.flat = {.bytes = bytes, .size = size}};
    er_tflite_read(&model);
    er_subgraph subgraph = er_subgraph_part(&model, 0);
    bool input = slot == ER_SIGNATURE_INPUTS;
    const er_flat_vector *indices = input ? &subgraph.inputs : &subgraph.outputs;
    uint32_t at = (uint32_t)er_flat_vector_i32(indices, (uint32_t)index);
    er_tensor_part tensor = er_tensor_part_of(&subgraph, at);
    er_flat_vector free_shape = er_flat_vector_at(&tensor.table, ER_TENSOR_SIGNATURE);
    const char *name = er_flat_string(&tensor.table, ER_TENSOR_NAME), *given = signature_name(&model, slot, at);
    *edge = (er_tflite_edge){.tensor_name = name != NULL ? name : "",
                             .rank = tensor.shape.count,
                             .dtype = dtype_of(tensor.type),
                             .tensor = at};
    edge->name = given != NULL ? given : edge->tensor_name;
    for (uint32_t i = 0; i < edge->rank; i++)
        edge->shape[i] = er_flat_vector_i32(free_shape.count > 0 ? &free_shape : &tensor.shape, i);
    read_quantization(&tensor, edge);
}

static size_t count_edges(const void *bytes, size_t size, bool inputs) {
    er_tflite model = {.flat = {.bytes = bytes, .size = size}};
    er_tflite_read(&model);
    er_subgraph subgraph = er_subgraph_part(&model, 0);
    return inputs ? subgraph.inputs.count : subgraph.outputs.count;
}

size_t er_tflite_inputs(const void *bytes, size_t size) {
    return count_edges(bytes, size, true);
}

size_t er_tflite_outputs(const void *bytes, size_t size) {
    return count_edges(bytes, size, false);
}

void er_tflite_input(const void *bytes, size_t size, size_t index, er_tflite_edge *edge) {
    read_edge(bytes, size, ER_SIGNATURE_INPUTS, index, edge);
}

void er_tflite_output(const void *bytes, size_t size, size_t index, er_tflite_edge *edge) {
    read_edge(bytes, size, ER_SIGNATURE_OUTPUTS, index, edge);
}
