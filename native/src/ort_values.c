/* Values of the runtime to and from memory of ours: tensors, strings, sequences, maps. Strings pass as they are, NUL
 * and all: ONNX says that they are UTF-8, and the runtime does not look; an operator that does, StringNormalizer for
 * one, fails the run over others. A policy that wants to know has ERAI_CHECK_CHARACTERS. */
#include "ort_api.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

typedef OrtStatus *(*length_fn)(const OrtValue *, size_t *);

typedef struct er_form {
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank, dtype;
    size_t elements;
} er_form;

static erai_status failed(const er_ort *model, OrtStatus *error, char *detail) {
    return er_ort_error(model, error, ERAI_E_INFERENCE, "reading an output", detail);
}

static erai_status out_of_memory(char *detail) {
    return er_fail(detail, ERAI_E_MEMORY, "out of memory");
}

static erai_status read_form(const er_ort *model, const OrtValue *value, const char *name, er_form *form,
                             char *detail) {
    typedef OrtStatus *(*info_fn)(const OrtValue *, OrtInfo **);
    OrtInfo *info = NULL;
    size_t true_rank = 0;
    OrtStatus *error = CALL(model, TENSOR_TYPE_AND_SHAPE, info_fn)(value, &info);
    if (!error) error = er_shape_read(model, info, form->shape, &form->rank, &form->dtype, &true_rank);
    er_ort_release(model, RELEASE_TENSOR_INFO, info);
    if (error) return failed(model, error, detail);
    if (true_rank > ERAI_MAX_RANK || !erai_dtype_size(form->dtype))
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "output '%s' came back as %s of rank %zu", name,
                       er_dtype_name(form->dtype), true_rank);
    form->elements = er_elements(form->shape, form->rank);
    return ERAI_OK;
}

static erai_status copy_data(const er_ort *model, OrtValue *value, const er_form *form, void *to, char *detail) {
    typedef OrtStatus *(*data_fn)(OrtValue *, void **);
    void *data = NULL;
    OrtStatus *error = CALL(model, TENSOR_DATA, data_fn)(value, &data);
    if (error) return failed(model, error, detail);
    size_t bytes = form->elements * erai_dtype_size(form->dtype);
    if (bytes) memcpy(to, data, bytes);
    return ERAI_OK;
}

/* ---- Strings ---- */

static erai_status text_size(const er_ort *model, const OrtValue *value, size_t *size, char *detail) {
    OrtStatus *error = CALL(model, STRING_DATA_LENGTH, length_fn)(value, size);
    return error ? failed(model, error, detail) : ERAI_OK;
}

/* Points `elements` at their bytes in `text`, which has room for `size`. */
static erai_status copy_strings(const er_ort *model, const OrtValue *value, size_t count, erai_string *elements,
                                char *text, size_t size, char *detail) {
    typedef OrtStatus *(*content_fn)(const OrtValue *, void *, size_t, size_t *, size_t);
    if (!count) return ERAI_OK;
    /* The runtime gives where each string begins. Of the memory for the elements the second half has room for that:
     * an element is as large as two of these numbers, and so never overwrites one that is still to be read. */
    size_t *begins = (size_t *)(void *)elements + count;
    OrtStatus *error = CALL(model, STRING_CONTENT, content_fn)(value, text, size, begins, count);
    if (error) return failed(model, error, detail);
    for (size_t i = 0; i < count; i++) {
        size_t begin = begins[i], end = i + 1 < count ? begins[i + 1] : size;
        elements[i] = (erai_string){.bytes = text + begin, .size = end - begin};
    }
    return ERAI_OK;
}

static int reserve_text(er_buffer *buffer, size_t size) {
    if (size <= buffer->text_capacity && buffer->text) return 1;
    char *text = malloc(size + 1);
    if (!text) return 0;
    free(buffer->text);
    buffer->text = text;
    buffer->text_capacity = size + 1;
    return 1;
}

erai_status er_value_fill(const er_ort *model, const erai_tensor *tensor, OrtValue *value, char *detail) {
    typedef OrtStatus *(*resize_fn)(OrtValue *, size_t, size_t, char **);
    const erai_string *strings = tensor->data;
    size_t count = er_elements(tensor->shape, tensor->rank);
    for (size_t i = 0; i < count; i++) {
        char *bytes = NULL;
        OrtStatus *error = CALL(model, RESIZED_STRING_BUFFER, resize_fn)(value, i, strings[i].size, &bytes);
        if (error) return er_ort_error(model, error, ERAI_E_INFERENCE, "giving a string to ONNX Runtime", detail);
        if (strings[i].size) memcpy(bytes, strings[i].bytes, strings[i].size);
    }
    return ERAI_OK;
}

/* ---- Sequences, maps, optionals ---- */

typedef struct er_reading {
    const er_ort *model;
    const char *name; /* of the output */
    er_nest *nest;
    char *detail;
} er_reading;

static erai_status read_tensor(const er_reading *reading, OrtValue *value, erai_value *out) {
    const er_ort *model = reading->model;
    er_form form;
    erai_status status = read_form(model, value, reading->name, &form, reading->detail);
    if (status) return status;
    int64_t *shape = er_nest_keep(reading->nest, form.rank, sizeof *shape);
    void *data = er_nest_keep(reading->nest, form.elements, erai_dtype_size(form.dtype));
    if (!shape || !data) return out_of_memory(reading->detail);
    memcpy(shape, form.shape, form.rank * sizeof *shape);
    if (form.dtype == ERAI_DTYPE_STRING) {
        size_t size = 0;
        status = text_size(model, value, &size, reading->detail);
        char *text = status ? NULL : er_nest_keep(reading->nest, size, 1);
        if (!status && !text) return out_of_memory(reading->detail);
        if (!status) status = copy_strings(model, value, form.elements, data, text, size, reading->detail);
    } else {
        status = copy_data(model, value, &form, data, reading->detail);
    }
    out->kind = ERAI_VALUE_TENSOR;
    out->tensor = (erai_tensor){.data = data, .shape = shape, .rank = form.rank, .dtype = form.dtype};
    return status;
}

static erai_status read_value(const er_reading *reading, OrtValue *value, erai_value *out);

/* A sequence's elements; a map's keys and values. Types are finite, so this ends. */
static erai_status read_items(const er_reading *reading, const OrtValue *value, erai_value *out) {
    typedef OrtStatus *(*item_fn)(const OrtValue *, int, OrtHandle *, OrtValue **);
    const er_ort *model = reading->model;
    size_t count = 0;
    OrtStatus *error = CALL(model, GET_VALUE_COUNT, length_fn)(value, &count);
    if (error) return failed(model, error, reading->detail);
    if (count > INT32_MAX)
        return er_fail(reading->detail, ERAI_E_MODEL_UNSUPPORTED, "output '%s' has %zu items", reading->name, count);
    erai_value *items = er_nest_keep(reading->nest, count, sizeof *items);
    if (!items) return out_of_memory(reading->detail);
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && i < count; i++) {
        OrtValue *item = NULL;
        error = CALL(model, GET_VALUE, item_fn)(value, (int)i, model->allocator, &item);
        status = error ? failed(model, error, reading->detail) : read_value(reading, item, &items[i]);
        er_ort_release(model, RELEASE_VALUE, item);
    }
    out->items = items;
    out->count = count;
    return status;
}

static erai_status read_value(const er_reading *reading, OrtValue *value, erai_value *out) {
    typedef OrtStatus *(*int_fn)(const OrtValue *, int *);
    const er_ort *model = reading->model;
    int has_value = 0, onnx_type = 0;
    OrtStatus *error = CALL(model, HAS_VALUE, int_fn)(value, &has_value);
    if (!error && !has_value) return ERAI_OK; /* an optional that holds nothing: `out` is NONE */
    if (!error) error = CALL(model, VALUE_TYPE, int_fn)(value, &onnx_type);
    if (error) return failed(model, error, reading->detail);
    switch (onnx_type) {
    case ONNX_TENSOR: return read_tensor(reading, value, out);
    case ONNX_SEQUENCE: out->kind = ERAI_VALUE_SEQUENCE; return read_items(reading, value, out);
    case ONNX_MAP: out->kind = ERAI_VALUE_MAP; return read_items(reading, value, out);
    default:
        return er_fail(reading->detail, ERAI_E_MODEL_UNSUPPORTED, "output '%s' holds a value of ONNX type %d",
                       reading->name, onnx_type);
    }
}

erai_status er_value_take(const er_ort *model, size_t index, OrtValue *value, er_buffer *buffer, char *detail) {
    const er_tensor_spec *spec = &model->head.outputs[index];
    er_nest_clear(&buffer->nest);
    buffer->dtype = 0;
    buffer->rank = 0;
    if (spec->kind != ERAI_VALUE_TENSOR) {
        er_reading reading = {.model = model, .name = spec->name, .nest = &buffer->nest, .detail = detail};
        return read_value(&reading, value, &buffer->nest.root);
    }
    er_form form;
    erai_status status = read_form(model, value, spec->name, &form, detail);
    if (status) return status;
    if (!er_buffer_reserve(buffer, form.elements * erai_dtype_size(form.dtype))) return out_of_memory(detail);
    if (form.dtype == ERAI_DTYPE_STRING) {
        size_t size = 0;
        status = text_size(model, value, &size, detail);
        if (!status && !reserve_text(buffer, size)) return out_of_memory(detail);
        if (!status) status = copy_strings(model, value, form.elements, buffer->data, buffer->text, size, detail);
    } else {
        status = copy_data(model, value, &form, buffer->data, detail);
    }
    if (status) return status;
    memcpy(buffer->shape, form.shape, form.rank * sizeof *form.shape);
    buffer->rank = form.rank;
    buffer->dtype = form.dtype;
    return ERAI_OK;
}
