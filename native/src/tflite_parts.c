/* The parts of a .tflite file whose FlatBuffer was accepted. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_SIZE 320
#define NAME_SIZE 80

void er_tflite_read(er_tflite *model) {
    model->table = er_flat_root(&model->flat);
    model->codes = er_flat_vector_at(&model->table, ER_MODEL_OPERATOR_CODES);
    model->subgraphs = er_flat_vector_at(&model->table, ER_MODEL_SUBGRAPHS);
    model->buffers = er_flat_vector_at(&model->table, ER_MODEL_BUFFERS);
}

er_subgraph er_subgraph_part(const er_tflite *model, uint32_t index) {
    er_flat_table table = er_flat_element(&model->subgraphs, index);
    return (er_subgraph){.model = model,
                         .index = index,
                         .tensors = er_flat_vector_at(&table, ER_SUBGRAPH_TENSORS),
                         .inputs = er_flat_vector_at(&table, ER_SUBGRAPH_INPUTS),
                         .outputs = er_flat_vector_at(&table, ER_SUBGRAPH_OUTPUTS),
                         .operators = er_flat_vector_at(&table, ER_SUBGRAPH_OPERATORS)};
}

/* Buffer 0 stands for none, whatever it holds; offsets up to 1 are placeholders of writers that patch them later. */
static void find_data(er_tensor_part *tensor) {
    const er_tflite *model = tensor->subgraph->model;
    uint32_t index = er_flat_u32(&tensor->table, ER_TENSOR_BUFFER, 0);
    if (index == 0 || index >= model->buffers.count) return;
    er_flat_table buffer = er_flat_element(&model->buffers, index);
    er_flat_vector data = er_flat_vector_at(&buffer, ER_BUFFER_DATA);
    uint64_t offset = er_flat_u64(&buffer, ER_BUFFER_OFFSET), size = er_flat_u64(&buffer, ER_BUFFER_SIZE);
    if (data.at != 0) {
        tensor->data = model->flat.bytes + data.at;
        tensor->data_size = data.count;
    } else if (offset > 1 && offset <= model->flat.size && size <= model->flat.size - offset) {
        tensor->data = model->flat.bytes + (size_t)offset;
        tensor->data_size = size;
    }
}

er_tensor_part er_tensor_part_of(const er_subgraph *subgraph, uint32_t index) {
    er_tensor_part tensor = {.subgraph = subgraph, .index = index};
    if (index >= subgraph->tensors.count) return tensor;
    tensor.table = er_flat_element(&subgraph->tensors, index);
    tensor.type = er_flat_u8(&tensor.table, ER_TENSOR_TYPE, 0);
    tensor.shape = er_flat_vector_at(&tensor.table, ER_TENSOR_SHAPE);
    find_data(&tensor);
    tensor.constant = tensor.data != NULL || er_flat_u32(&tensor.table, ER_TENSOR_EXTERNAL, 0) != 0;
    return tensor;
}

uint32_t er_code_of(const er_flat_table *code) {
    uint32_t old = er_flat_u8(code, ER_CODE_DEPRECATED, 0), builtin = er_flat_u32(code, ER_CODE_BUILTIN, 0);
    return builtin > old ? builtin : old;
}

er_operator_part er_operator_part_of(const er_subgraph *subgraph, uint32_t index) {
    er_operator_part part = {.subgraph = subgraph, .index = index, .name = "unknown"};
    er_flat_table table = er_flat_element(&subgraph->operators, index);
    part.inputs = er_flat_vector_at(&table, ER_OPERATOR_INPUTS);
    part.outputs = er_flat_vector_at(&table, ER_OPERATOR_OUTPUTS);
    uint32_t at = er_flat_u32(&table, ER_OPERATOR_CODE, 0);
    if (at >= subgraph->model->codes.count) return part;
    er_flat_table code = er_flat_element(&subgraph->model->codes, at);
    part.code = er_code_of(&code);
    part.kind = er_operator_kind_of(part.code);
    if (part.kind == NULL) return part;
    const char *custom = er_flat_string(&code, ER_CODE_CUSTOM);
    part.name = part.code == ER_OPERATOR_CUSTOM && custom != NULL ? custom : part.kind->name;
    if (part.kind->options != 0 && er_flat_u8(&table, ER_OPERATOR_OPTIONS_TYPE, 0) == part.kind->options)
        part.options = er_flat_table_at(&table, ER_OPERATOR_OPTIONS);
    return part;
}

uint64_t er_elements(const er_flat_vector *shape) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < shape->count; i++) count *= (uint64_t)er_flat_vector_i32(shape, i);
    return count;
}

unsigned er_type_bits(uint32_t type) {
    /* In the order of TensorType: floats, integers, complex numbers; 0 for STRING, RESOURCE and VARIANT. */
    static const uint8_t bits[ER_TYPES] = {32, 16, 32, 8,  64, 0, 8,  16, 64, 8, 64, 128,
                                           64, 0,  0,  32, 16, 4, 16, 2,  4,  8, 8};
    return type < ER_TYPES ? bits[type] : 0;
}

int er_text_cut(const char *text, size_t most) {
    size_t size = strlen(text);
    if (size <= most) return (int)size;
    while (most > 0 && ((unsigned char)text[most] & 0xC0) == 0x80) most--;
    return (int)most;
}

/* "subgraph 1, ", or nothing for the first, which is the model to most people. */
static int write_subgraph(const er_subgraph *subgraph, char *text, size_t size) {
    text[0] = '\0';
    return subgraph->index == 0 ? 0 : snprintf(text, size, "subgraph %u, ", (unsigned)subgraph->index);
}

#define FILL(sentence)                                       \
    char sentence[SENTENCE_SIZE];                            \
    va_list arguments;                                       \
    va_start(arguments, format);                             \
    vsnprintf(sentence, sizeof sentence, format, arguments); \
    va_end(arguments)

erai_status er_refuse_tensor(const er_tensor_part *tensor, const char *format, ...) {
    char where[32];
    FILL(sentence);
    write_subgraph(tensor->subgraph, where, sizeof where);
    const char *name = er_flat_string(&tensor->table, ER_TENSOR_NAME);
    if (name == NULL) name = "";
    return er_fail(tensor->subgraph->model->detail, ERAI_E_MODEL_UNSUPPORTED, "%stensor %u ('%.*s'): %s", where,
                   (unsigned)tensor->index, er_text_cut(name, NAME_SIZE), name, sentence);
}

erai_status er_refuse_operator(const er_operator_part *part, const char *format, ...) {
    char where[32];
    FILL(sentence);
    write_subgraph(part->subgraph, where, sizeof where);
    return er_fail(part->subgraph->model->detail, ERAI_E_MODEL_UNSUPPORTED, "%soperator %u (%.*s): %s", where,
                   (unsigned)part->index, er_text_cut(part->name, NAME_SIZE), part->name, sentence);
}

erai_status er_refuse_subgraph(const er_subgraph *subgraph, const char *format, ...) {
    FILL(sentence);
    return er_fail(subgraph->model->detail, ERAI_E_MODEL_UNSUPPORTED, "subgraph %u: %s", (unsigned)subgraph->index,
                   sentence);
}
