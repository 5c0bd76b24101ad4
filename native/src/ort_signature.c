/* What a model takes and gives. Inputs are dense tensors; sequences, maps and optionals are read where they come out.
 */
#include "crc32.h"
#include "ort_api.h"
#include "status.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef OrtStatus *(*type_fn)(const OrtInfo *, int *);
typedef OrtStatus *(*cast_fn)(const OrtInfo *, const OrtInfo **);

OrtStatus *er_shape_read(const er_ort *model, const OrtInfo *info, int64_t *shape, uint32_t *rank, uint32_t *dtype,
                         size_t *true_rank) {
    typedef OrtStatus *(*count_fn)(const OrtInfo *, size_t *);
    typedef OrtStatus *(*dims_fn)(const OrtInfo *, int64_t *, size_t);
    int element = 0;
    OrtStatus *error = CALL(model, ELEMENT_TYPE, type_fn)(info, &element);
    if (!error) error = CALL(model, DIMENSIONS_COUNT, count_fn)(info, true_rank);
    *rank = *true_rank > ERAI_MAX_RANK ? ERAI_MAX_RANK : (uint32_t)*true_rank;
    if (!error) error = CALL(model, DIMENSIONS, dims_fn)(info, shape, *rank);
    *dtype = (uint32_t)element;
    return error;
}

/* The name of axis 0. Exporters that know none make one up. */
static OrtStatus *read_rows_symbol(const er_ort *model, const OrtInfo *info, er_tensor_spec *spec) {
    typedef OrtStatus *(*symbols_fn)(const OrtInfo *, const char **, size_t);
    const char *names[ERAI_MAX_RANK] = {NULL};
    if (spec->rank == 0 || spec->shape[0] >= 0) return NULL;
    OrtStatus *error = CALL(model, SYMBOLIC_DIMENSIONS, symbols_fn)(info, names, spec->rank);
    int given = !error && names[0] && names[0][0] && strncmp(names[0], "unk", 3) != 0;
    if (given) spec->rows_symbol = er_crc32(0, names[0], strlen(names[0]));
    return error;
}

/* An older runtime says rank 0 of a scalar and of what has no shape: then any rank will do for both. */
static int declares_no_shape(const er_ort *model, const OrtInfo *info, size_t true_rank) {
    typedef bool (*has_fn)(const OrtInfo *);
    return !true_rank && (model->version < SHAPES_TOLD || !CALL(model, HAS_SHAPE, has_fn)(info));
}

static uint32_t kind_of(int onnx_type) {
    switch (onnx_type) {
    case ONNX_TENSOR: return ERAI_VALUE_TENSOR;
    case ONNX_SEQUENCE: return ERAI_VALUE_SEQUENCE;
    case ONNX_MAP: return ERAI_VALUE_MAP;
    default: return ERAI_VALUE_NONE;
    }
}

static const char *type_name(int onnx_type) {
    switch (onnx_type) {
    case ONNX_SEQUENCE: return "a sequence";
    case ONNX_MAP: return "a map";
    case ONNX_SPARSE_TENSOR: return "a sparse tensor";
    case ONNX_OPTIONAL: return "an optional";
    default: return "of no standard type";
    }
}

/* The kind of a sequence's elements. */
static OrtStatus *read_item_kind(const er_ort *model, const OrtInfo *type, uint32_t *item_kind) {
    typedef OrtStatus *(*element_fn)(const OrtInfo *, OrtInfo **);
    const OrtInfo *sequence = NULL;
    OrtInfo *element = NULL;
    int onnx_type = 0;
    OrtStatus *error = CALL(model, CAST_TYPE_TO_SEQUENCE, cast_fn)(type, &sequence);
    if (!error) error = CALL(model, SEQUENCE_ELEMENT_TYPE, element_fn)(sequence, &element);
    if (!error) error = CALL(model, ONNX_TYPE, type_fn)(element, &onnx_type);
    er_ort_release(model, RELEASE_TYPE_INFO, element);
    *item_kind = kind_of(onnx_type);
    return error;
}

static OrtStatus *read_type(const er_ort *model, int output, size_t index, er_tensor_spec *spec, int *onnx_type,
                            size_t *true_rank) {
    typedef OrtStatus *(*name_fn)(const OrtHandle *, size_t, OrtHandle *, char **);
    typedef OrtStatus *(*info_fn)(const OrtHandle *, size_t, OrtInfo **);
    char *name = NULL;
    OrtInfo *type = NULL;
    const OrtInfo *tensor = NULL;
    OrtStatus *error = CALL(model, output ? SESSION_OUTPUT_NAME : SESSION_INPUT_NAME, name_fn)(model->session, index,
                                                                                               model->allocator, &name);
    spec->name = name;
    if (!error)
        error = CALL(model, output ? SESSION_OUTPUT_TYPE : SESSION_INPUT_TYPE, info_fn)(model->session, index, &type);
    if (!error) error = CALL(model, ONNX_TYPE, type_fn)(type, onnx_type);
    spec->kind = kind_of(*onnx_type);
    if (!error && *onnx_type == ONNX_SEQUENCE) error = read_item_kind(model, type, &spec->item_kind);
    if (!error && *onnx_type == ONNX_TENSOR) {
        error = CALL(model, CAST_TYPE_TO_TENSOR, cast_fn)(type, &tensor);
        if (!error) error = er_shape_read(model, tensor, spec->shape, &spec->rank, &spec->dtype, true_rank);
        if (!error) spec->any_rank = declares_no_shape(model, tensor, *true_rank);
        if (!error && *true_rank <= ERAI_MAX_RANK) error = read_rows_symbol(model, tensor, spec);
    }
    er_ort_release(model, RELEASE_TYPE_INFO, type);
    return error;
}

static erai_status read_spec(const er_ort *model, int output, size_t index, er_tensor_spec *spec, char *detail) {
    int onnx_type = 0;
    size_t true_rank = 0;
    OrtStatus *error = read_type(model, output, index, spec, &onnx_type, &true_rank);
    if (error) return er_ort_error(model, error, ERAI_E_MODEL_UNSUPPORTED, "reading the model's signature", detail);
    const char *side = output ? "output" : "input";
    int nested = onnx_type == ONNX_SEQUENCE || onnx_type == ONNX_MAP || onnx_type == ONNX_OPTIONAL;
    if (onnx_type != ONNX_TENSOR && !(output && nested))
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s '%s' is %s; %s", side, spec->name, type_name(onnx_type),
                       output ? "outputs are dense tensors, sequences, maps and optionals"
                              : "inputs are dense tensors");
    if (onnx_type != ONNX_TENSOR) return ERAI_OK;
    if (true_rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s '%s' has rank %zu; at most %d is supported", side,
                       spec->name, true_rank, ERAI_MAX_RANK);
    if (!erai_dtype_size(spec->dtype))
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                       "%s '%s' has elements of ONNX type %u; supported are floats of 16 to 64 bits, integers of 8 to "
                       "64 bits, booleans and strings",
                       side, spec->name, spec->dtype);
    if (!output && spec->dtype == ERAI_DTYPE_STRING && model->version < STRING_BUFFERS)
        return er_fail(detail, ERAI_E_RUNTIME_OLD,
                       "input '%s' is of strings, which needs ONNX Runtime 1.%d or newer, and %s is here", spec->name,
                       STRING_BUFFERS, model->head.version);
    return ERAI_OK;
}

static erai_status read_side(er_ort *model, int output, char *detail) {
    typedef OrtStatus *(*count_fn)(const OrtHandle *, size_t *);
    size_t count = 0, most = output ? ER_MAX_OUTPUTS : ER_MAX_INPUTS;
    OrtStatus *error =
        CALL(model, output ? SESSION_OUTPUT_COUNT : SESSION_INPUT_COUNT, count_fn)(model->session, &count);
    if (error) return er_ort_error(model, error, ERAI_E_MODEL_UNSUPPORTED, "reading the model's signature", detail);
    if (count < 1 || count > most)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "the model has %zu %s; expected 1 to %zu", count,
                       output ? "outputs" : "inputs", most);
    const char **names = calloc(count, sizeof *names);
    *(output ? &model->output_names : &model->input_names) = names;
    if (!names || !er_model_make_side(&model->head, output, count))
        return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    er_tensor_spec *specs = output ? model->head.outputs : model->head.inputs;
    for (size_t i = 0; i < count; i++) {
        erai_status status = read_spec(model, output, i, &specs[i], detail);
        names[i] = specs[i].name;
        if (status) return status;
    }
    return ERAI_OK;
}

erai_status er_signature_read(er_ort *model, char *detail) {
    erai_status status = read_side(model, 0, detail);
    if (!status) status = read_side(model, 1, detail);
    if (!status) er_model_find_rows(&model->head);
    return status;
}

static void free_names(er_ort *model, const er_tensor_spec *specs, size_t count) {
    typedef OrtStatus *(*free_fn)(OrtHandle *, void *);
    for (size_t i = 0; i < count; i++)
        if (specs[i].name) CALL(model, ALLOCATOR_FREE, free_fn)(model->allocator, (void *)(uintptr_t)specs[i].name);
}

void er_signature_free(er_ort *model) {
    free_names(model, model->head.inputs, model->head.input_count);
    free_names(model, model->head.outputs, model->head.output_count);
    free(model->input_names);
    free(model->output_names);
    er_model_clear(&model->head);
}
