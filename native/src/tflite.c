/* The check of a .tflite file before a runtime reads it: LiteRT follows what it finds, and ends the process on much
 * that is damaged. First the whole FlatBuffer is bounded by its schema (flatbuffer.c, tflite_schema.c), then the parts
 * are held to what they say of each other. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

#include <string.h>

#define SCHEMA_VERSION 3
#define MAX_OPERATOR_VERSION 127

static erai_status check_header(const er_flat *flat, char *detail) {
    if (flat->size < 8 || memcmp(flat->bytes + 4, "TFL3", 4) != 0)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                       "not a TFLite model: bytes 4 to 7 are not TFL3; unpack an archive, and fetch again what a page "
                       "or a pointer was saved instead of");
    return ERAI_OK;
}

/* Those that LiteRT registers with its builtin operators: tflite/core/kernels/register.cc. */
static bool is_known_custom(const er_tflite *model, const char *name) {
    static const char *const known[] = {"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0) return true;
    for (size_t i = 0; i < model->custom_count; i++)
        if (strcmp(name, model->custom[i]) == 0) return true;
    return false;
}

static erai_status check_code(const er_tflite *model, uint32_t index) {
    er_flat_table table = er_flat_element(&model->codes, index);
    uint32_t code = er_code_of(&table);
    const er_operator_kind *kind = er_operator_kind_of(code);
    const char *custom = er_flat_string(&table, ER_CODE_CUSTOM);
    int32_t version = er_flat_i32(&table, ER_CODE_VERSION, 1);
    if (kind == NULL)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED,
                       "operator code %u is %u, which this build does not know", (unsigned)index, (unsigned)code);
    if (code == ER_OPERATOR_CUSTOM && (custom == NULL || custom[0] == '\0'))
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED,
                       "operator code %u is of a custom operator without a name", (unsigned)index);
    if (code == ER_OPERATOR_CUSTOM && !is_known_custom(model, custom))
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED,
                       "operator code %u is the custom operator '%.*s', which the runtime does not have",
                       (unsigned)index, er_text_cut(custom, 120), custom);
    if (version < 1 || version > MAX_OPERATOR_VERSION)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "operator code %u (%s) is of version %d",
                       (unsigned)index, kind->name, (int)version);
    return ERAI_OK;
}

static erai_status check_buffer(const er_tflite *model, uint32_t index) {
    er_flat_table buffer = er_flat_element(&model->buffers, index);
    uint64_t offset = er_flat_u64(&buffer, ER_BUFFER_OFFSET), size = er_flat_u64(&buffer, ER_BUFFER_SIZE);
    uint64_t end = model->flat.size;
    if (offset > 1 && (offset > end || size > end - offset))
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "buffer %u: %llu bytes from byte %llu of %llu",
                       (unsigned)index, (unsigned long long)size, (unsigned long long)offset, (unsigned long long)end);
    return ERAI_OK;
}

static erai_status check_metadata(const er_tflite *model, const er_flat_vector *metadata, uint32_t index) {
    er_flat_table entry = er_flat_element(metadata, index);
    uint32_t buffer = er_flat_u32(&entry, ER_METADATA_BUFFER, 0);
    if (er_flat_string(&entry, ER_METADATA_NAME) == NULL)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "metadata %u has no name", (unsigned)index);
    if (buffer >= model->buffers.count)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "metadata %u is buffer %u of %u", (unsigned)index,
                       (unsigned)buffer, (unsigned)model->buffers.count);
    return ERAI_OK;
}

static erai_status check_map(const er_tflite *model, const er_flat_table *signature, unsigned slot, uint32_t index,
                             uint32_t tensors) {
    er_flat_vector map = er_flat_vector_at(signature, slot);
    const char *side = slot == ER_SIGNATURE_INPUTS ? "input" : "output";
    for (uint32_t i = 0; i < map.count; i++) {
        er_flat_table entry = er_flat_element(&map, i);
        uint32_t tensor = er_flat_u32(&entry, ER_MAP_TENSOR, 0);
        if (er_flat_string(&entry, ER_MAP_NAME) == NULL || tensor >= tensors)
            return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED,
                           "signature %u: %s %u is tensor %u of %u, or has no name", (unsigned)index, side, (unsigned)i,
                           (unsigned)tensor, (unsigned)tensors);
    }
    return ERAI_OK;
}

static erai_status check_signature(const er_tflite *model, const er_flat_vector *signatures, uint32_t index) {
    er_flat_table signature = er_flat_element(signatures, index);
    uint32_t number = er_flat_u32(&signature, ER_SIGNATURE_SUBGRAPH, 0);
    if (er_flat_string(&signature, ER_SIGNATURE_KEY) == NULL)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "signature %u has no key", (unsigned)index);
    if (number >= model->subgraphs.count)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "signature %u is of subgraph %u of %u", (unsigned)index,
                       (unsigned)number, (unsigned)model->subgraphs.count);
    uint32_t tensors = er_subgraph_part(model, number).tensors.count;
    erai_status status = check_map(model, &signature, ER_SIGNATURE_INPUTS, index, tensors);
    return status ? status : check_map(model, &signature, ER_SIGNATURE_OUTPUTS, index, tensors);
}

static erai_status check_subgraph(const er_tflite *model, uint32_t index) {
    er_subgraph subgraph = er_subgraph_part(model, index);
    if (subgraph.tensors.at == 0 || subgraph.operators.at == 0)
        return er_refuse_subgraph(&subgraph, "it has no list of %s",
                                  subgraph.tensors.at == 0 ? "tensors" : "operators");
    erai_status status = ERAI_OK;
    for (uint32_t i = 0; !status && i < subgraph.tensors.count; i++) {
        er_tensor_part tensor = er_tensor_part_of(&subgraph, i);
        status = er_tflite_check_tensor(&tensor);
    }
    return status ? status : er_tflite_check_graph(&subgraph);
}

static erai_status check_parts(const er_tflite *model) {
    uint32_t version = er_flat_u32(&model->table, ER_MODEL_VERSION, 0);
    if (version != SCHEMA_VERSION)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "schema version %u; expected %d", (unsigned)version,
                       SCHEMA_VERSION);
    if (model->subgraphs.count == 0 || model->buffers.at == 0)
        return er_fail(model->detail, ERAI_E_MODEL_UNSUPPORTED, "the model has no %s",
                       model->subgraphs.count == 0 ? "subgraphs" : "buffers");
    er_flat_vector metadata = er_flat_vector_at(&model->table, ER_MODEL_METADATA);
    er_flat_vector signatures = er_flat_vector_at(&model->table, ER_MODEL_SIGNATURES);
    erai_status status = ERAI_OK;
    for (uint32_t i = 0; !status && i < model->codes.count; i++) status = check_code(model, i);
    for (uint32_t i = 0; !status && i < model->buffers.count; i++) status = check_buffer(model, i);
    for (uint32_t i = 0; !status && i < model->subgraphs.count; i++) status = check_subgraph(model, i);
    if (!status) status = er_tflite_check_calls(model);
    for (uint32_t i = 0; !status && i < metadata.count; i++) status = check_metadata(model, &metadata, i);
    for (uint32_t i = 0; !status && i < signatures.count; i++) status = check_signature(model, &signatures, i);
    return status;
}

erai_status erai_tflite_check(const void *bytes, size_t size, const char *const *custom, size_t custom_count,
                              char *detail) {
    er_tflite model = {.flat = {.bytes = bytes, .size = size}};
    erai_status status = check_header(&model.flat, detail);
    if (!status) status = er_flat_check(&model.flat, &er_tflite_schema, detail);
    if (status) return status;
    er_tflite_read(&model);
    model.custom = custom;
    model.custom_count = custom_count;
    model.detail = detail;
    return check_parts(&model);
}
