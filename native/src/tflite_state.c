/* See tflite_state.h. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_state.h"

#include "tflite_parts.h"

#include <string.h>

/* What resource variables are made by. */
static bool makes_state(const er_operator_kind *kind) {
    return kind != NULL && strcmp(kind->name, "VAR_HANDLE") == 0;
}

static bool subgraph_keeps_state(const er_subgraph *subgraph) {
    for (uint32_t i = 0; i < subgraph->tensors.count; i++) {
        er_flat_table tensor = er_flat_element(&subgraph->tensors, i);
        if (er_flat_u8(&tensor, ER_TENSOR_IS_VARIABLE, 0) != 0) return true;
    }
    for (uint32_t i = 0; i < subgraph->operators.count; i++)
        if (makes_state(er_operator_part_of(subgraph, i).kind)) return true;
    return false;
}

int er_tflite_keeps_state(const void *bytes, size_t size) {
    er_tflite model = {.flat = {.bytes = bytes, .size = size}};
    er_tflite_read(&model);
    for (uint32_t i = 0; i < model.subgraphs.count; i++) {
        er_subgraph subgraph = er_subgraph_part(&model, i);
        if (subgraph_keeps_state(&subgraph)) return 1;
    }
    return 0;
}
