/* Models that a runtime of the application's own runs.
 *
 * What such a runtime knows is one run on tensors of the model's own types. Here a call becomes that: inputs from their
 * places, float values quantized where the model stores integers and the policy says float32; and its outputs a call's.
 * The runtime gives outputs where it has them, and they are copied, so that an answer's stay where its readers know
 * them to be. */
#include "runtime.h"

#include "affine.h"
#include "answer.h"
#include "guard.h"
#include "platform/platform.h"
#include "status.h"
#include "tflite.h"
#include "tflite_state.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define GREATEST_EXTENT INT32_MAX

typedef struct er_guest {
    er_model head;
    const erai_runtime *runtime;
    erai_model_info info;
    int opened;
    erai_edge *read; /* those of a file whose runtime does not say: inputs, then outputs */
    char *names;     /* likewise: what theirs point into */
    er_mutex lock;   /* of a model that keeps state: what follows, and its runs */
    void *stream;    /* NULL: not begun */
    uint64_t busy;   /* atomic: of a run under way one more than its er_process(); 0: there is none */
} er_guest;

typedef struct er_guest_binding {
    er_binding head;
    void *stream;        /* NULL: not begun, or the model's */
    erai_tensor *inputs; /* of a run, in the model's order */
    erai_tensor *outputs;
    er_buffer *quantized; /* one an input; those of float32 that the model has as integers */
} er_guest_binding;

/* ---- Runs ---- */

static int is_converted(const er_tensor_spec *spec, const erai_edge *edge) {
    return spec->dtype != edge->dtype;
}

static erai_status out_of_memory(char *detail) {
    return er_fail(detail, ERAI_E_MEMORY, "out of memory");
}

static erai_status place_inputs(er_guest_binding *binding, const erai_tensor *given, char *detail) {
    const er_model *model = binding->head.model;
    const erai_edge *edges = ((const er_guest *)model)->info.inputs;
    for (size_t i = 0; i < model->input_count; i++) {
        erai_tensor *input = &binding->inputs[i];
        *input = given[model->input_places[i]];
        if (!is_converted(&model->inputs[i], &edges[i])) continue;
        size_t count = er_elements(input->shape, input->rank);
        input->dtype = edges[i].dtype;
        if (!er_buffer_reserve(&binding->quantized[i], count * erai_dtype_size(input->dtype)))
            return out_of_memory(detail);
        er_quantize(input->data, count, input->dtype, (float)edges[i].scale, edges[i].zero_point,
                    binding->quantized[i].data);
        input->data = binding->quantized[i].data;
    }
    return ERAI_OK;
}

static erai_status misshapen(const er_guest *guest, size_t index, const char *what, char *detail) {
    return er_fail(detail, ERAI_E_INFERENCE, "%s gave output '%s' with another %s than it said", guest->runtime->name,
                   guest->head.outputs[index].name, what);
}

/* An output into its buffer. */
static erai_status take_output(const er_guest *guest, size_t index, const erai_tensor *from, er_buffer *to,
                               char *detail) {
    const er_tensor_spec *spec = &guest->head.outputs[index];
    const erai_edge *edge = &guest->info.outputs[index];
    size_t stored = 0;
    if (from->dtype != edge->dtype) return misshapen(guest, index, "type", detail);
    if (from->rank > ERAI_MAX_RANK || !er_tensor_bytes(from->shape, from->rank, from->dtype, &stored))
        return misshapen(guest, index, "shape", detail);
    size_t count = stored / erai_dtype_size(edge->dtype), bytes;
    if (__builtin_mul_overflow(count, erai_dtype_size(spec->dtype), &bytes) || !er_buffer_reserve(to, bytes))
        return out_of_memory(detail);
    to->rank = from->rank;
    to->dtype = spec->dtype;
    if (from->rank) memcpy(to->shape, from->shape, from->rank * sizeof *to->shape);
    if (is_converted(spec, edge))
        er_dequantize(from->data, count, edge->dtype, (float)edge->scale, edge->zero_point, to->data);
    else if (bytes)
        memcpy(to->data, from->data, bytes);
    return ERAI_OK;
}

static erai_status start(const er_guest *guest, void **stream, char *detail) {
    return *stream ? ERAI_OK : guest->runtime->start(guest->runtime->user, guest->info.model, stream, detail);
}

static erai_status run_stream(er_guest_binding *binding, void **stream, er_buffer *outputs, char *detail) {
    const er_guest *guest = (const er_guest *)binding->head.model;
    erai_status status = start(guest, stream, detail);
    if (status) return status;
    status = guest->runtime->run(*stream, binding->inputs, binding->outputs, detail);
    for (size_t i = 0; !status && i < guest->head.output_count; i++)
        status = take_output(guest, i, &binding->outputs[i], &outputs[guest->head.output_places[i]], detail);
    return status;
}

/* Whether the process was forked while a run held lock and stream, which nobody here will ever give back. */
static int is_forsaken(const er_guest *guest) {
    uint64_t busy = __atomic_load_n(&guest->busy, __ATOMIC_ACQUIRE);
    return busy && busy != er_process() + 1;
}

static erai_status run(er_binding *asked, const erai_tensor *inputs, er_buffer *outputs, char *detail) {
    er_guest_binding *binding = (er_guest_binding *)asked;
    er_guest *guest = (er_guest *)asked->model;
    char unread[ERAI_DETAIL_SIZE] = "";
    if (!detail) detail = unread;
    erai_status status = place_inputs(binding, inputs, detail);
    if (status) return status;
    if (!guest->head.keeps_state) return run_stream(binding, &binding->stream, outputs, detail);
    if (is_forsaken(guest))
        return er_fail(
            detail, ERAI_E_INFERENCE,
            "this process was forked in the middle of a run, and the model's state is lost: reset the session");
    er_mutex_lock(&guest->lock);
    __atomic_store_n(&guest->busy, er_process() + 1, __ATOMIC_RELEASE);
    status = run_stream(binding, &guest->stream, outputs, detail);
    __atomic_store_n(&guest->busy, 0, __ATOMIC_RELEASE);
    er_mutex_unlock(&guest->lock);
    return status;
}

/* ---- Bindings ---- */

static void end(const er_guest *guest, void *stream) {
    if (stream) guest->runtime->end(guest->runtime->user, stream);
}

static void close_binding(er_binding *closed) {
    er_guest_binding *binding = (er_guest_binding *)closed;
    end((const er_guest *)closed->model, binding->stream);
    er_buffers_free(binding->quantized, closed->model->input_count);
    free(binding->inputs);
    free(binding->outputs);
    free(binding);
}

static erai_status open_binding(er_model *model, er_binding **out) {
    er_guest_binding *binding = calloc(1, sizeof *binding);
    if (!binding) return ERAI_E_MEMORY;
    binding->head.model = model;
    binding->inputs = calloc(model->input_count, sizeof *binding->inputs);
    binding->outputs = calloc(model->output_count, sizeof *binding->outputs);
    binding->quantized = calloc(model->input_count, sizeof *binding->quantized);
    if (binding->inputs && binding->outputs && binding->quantized) {
        *out = &binding->head;
        return ERAI_OK;
    }
    close_binding(&binding->head);
    return ERAI_E_MEMORY;
}

static void reset(er_model *model) {
    er_guest *guest = (er_guest *)model;
    if (is_forsaken(guest)) {
        if (er_mutex_init(&guest->lock)) return;
        guest->stream = NULL;
        __atomic_store_n(&guest->busy, 0, __ATOMIC_RELEASE);
    }
    er_mutex_lock(&guest->lock);
    end(guest, guest->stream);
    guest->stream = NULL;
    er_mutex_unlock(&guest->lock);
}

/* ---- Opening ---- */

static void close_guest(er_model *model) {
    er_guest *guest = (er_guest *)model;
    if (!is_forsaken(guest)) end(guest, guest->stream);
    if (guest->opened) guest->runtime->close(guest->runtime->user, guest->info.model);
    er_mutex_destroy(&guest->lock);
    er_model_clear(model);
    free(guest->read);
    free(guest->names);
    free(guest);
}

/* Whether values of this type, in the type that the policy says, are what the edge's scale is for. */
static int converts(const erai_edge *edge, uint32_t dtype) {
    return dtype == ERAI_DTYPE_FLOAT32 && edge->scale > 0 && er_quantizes(edge->dtype);
}

/* Where this library converts, callers see numbers. */
static void settle_type(er_tensor_spec *spec, const erai_edge *edge, uint32_t dtype) {
    if (!converts(edge, dtype)) return;
    spec->dtype = dtype;
    spec->scale = 0;
}

static void settle(er_model *model, const erai_guard *guard) {
    const er_guest *guest = (const er_guest *)model;
    for (size_t i = 0; i < model->input_count; i++)
        settle_type(&model->inputs[i], &guest->info.inputs[i], guard->inputs[model->input_places[i]].dtype);
    for (size_t i = 0; i < model->output_count; i++)
        settle_type(&model->outputs[i], &guest->info.outputs[i], guard->outputs[model->output_places[i]].dtype);
}

static const er_engine engine = {.requirement = "litert",
                                 .update = "LiteRT (pip install --upgrade ai-edge-litert)",
                                 .close = close_guest,
                                 .bind = open_binding,
                                 .unbind = close_binding,
                                 .run = run,
                                 .reset = reset,
                                 .settle = settle};

static erai_status refuse_edge(const er_guest *guest, const erai_edge *edge, const char *what, char *detail) {
    return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s: '%s' %s", guest->runtime->name, edge->name, what);
}

/* The zero point is a number of the type. */
static int has_sound_scale(const erai_edge *edge) {
    if (edge->scale == 0 || !er_quantizes(edge->dtype)) return 1;
    int32_t low = edge->dtype == ERAI_DTYPE_INT8 ? INT8_MIN : edge->dtype == ERAI_DTYPE_UINT8 ? 0 : INT16_MIN;
    int32_t high = edge->dtype == ERAI_DTYPE_INT8 ? INT8_MAX : edge->dtype == ERAI_DTYPE_UINT8 ? UINT8_MAX : INT16_MAX;
    return edge->scale >= (double)FLT_MIN && edge->scale <= (double)FLT_MAX && edge->zero_point >= low &&
           edge->zero_point <= high;
}

static int is_number(uint32_t dtype) {
    return erai_dtype_size(dtype) != 0 && dtype != ERAI_DTYPE_STRING;
}

static erai_status read_edge(er_guest *guest, const erai_edge *edge, er_tensor_spec *spec, char *detail) {
    if (!edge->name) return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "an input or output has no name");
    if (edge->rank > ERAI_MAX_RANK) return refuse_edge(guest, edge, "has more than 8 axes", detail);
    if (!is_number(edge->dtype))
        return refuse_edge(guest, edge, "is of no type of numbers that this library knows", detail);
    if (!has_sound_scale(edge)) return refuse_edge(guest, edge, "has no scale and zero point that it could", detail);
    *spec = (er_tensor_spec){.name = edge->name, .kind = ERAI_VALUE_TENSOR, .rank = edge->rank, .dtype = edge->dtype};
    if (edge->scale > 0 && er_quantizes(edge->dtype)) {
        spec->scale = edge->scale;
        spec->zero_point = edge->zero_point;
    }
    for (uint32_t axis = 0; axis < edge->rank; axis++) {
        if (edge->shape[axis] < -1 || edge->shape[axis] > GREATEST_EXTENT)
            return refuse_edge(guest, edge, "has an extent that is none", detail);
        spec->shape[axis] = edge->shape[axis];
    }
    return ERAI_OK;
}

static erai_status check_count(size_t count, int output, char *detail) {
    size_t most = output ? ER_MAX_OUTPUTS : ER_MAX_INPUTS;
    if (count >= 1 && count <= most) return ERAI_OK;
    return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "the model has %zu %s; expected 1 to %zu", count,
                   output ? "outputs" : "inputs", most);
}

static const erai_edge *find_edge(const erai_edge *edges, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(edges[i].name, name) == 0) return &edges[i];
    return NULL;
}

static erai_status read_edges(er_guest *guest, int output, char *detail) {
    const erai_edge *edges = output ? guest->info.outputs : guest->info.inputs;
    size_t count = output ? guest->info.output_count : guest->info.input_count;
    erai_status status = check_count(count, output, detail);
    if (status) return status;
    if (!er_model_make_side(&guest->head, output, count)) return out_of_memory(detail);
    for (size_t i = 0; !status && i < count; i++) {
        status = read_edge(guest, &edges[i], output ? &guest->head.outputs[i] : &guest->head.inputs[i], detail);
        if (!status && find_edge(edges, i, edges[i].name))
            status = refuse_edge(guest, &edges[i], output ? "is the name of two outputs" : "is the name of two inputs",
                                 detail);
    }
    return status;
}

/* ---- What a .tflite file says of itself ---- */

/* Outputs are counted on from the inputs. */
static er_tflite_edge look(const erai_model_source *source, size_t index, size_t inputs) {
    er_tflite_edge seen;
    if (index < inputs)
        er_tflite_input(source->data, source->size, index, &seen);
    else
        er_tflite_output(source->data, source->size, index - inputs, &seen);
    return seen;
}

/* Its name is copied to `name`. */
static erai_edge edge_of(const er_tflite_edge *seen, int free_ones, char *name) {
    erai_edge edge = {.name = strcpy(name, seen->name), .rank = seen->rank, .dtype = seen->dtype};
    for (uint32_t axis = 0; axis < seen->rank; axis++)
        edge.shape[axis] = free_ones && seen->shape[axis] == 1 ? -1 : seen->shape[axis];
    if (seen->quantized) {
        edge.scale = (double)seen->scale;
        edge.zero_point = seen->zero_point;
    }
    return edge;
}

/* Before a runtime hands out their memory, as what it has of strings and handles is none that could be read. */
static erai_status check_types(const erai_model_source *source, char *detail) {
    size_t inputs = er_tflite_inputs(source->data, source->size);
    size_t count = inputs + er_tflite_outputs(source->data, source->size);
    for (size_t i = 0; i < count; i++) {
        er_tflite_edge seen = look(source, i, inputs);
        if (is_number(seen.dtype)) continue;
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s: %s '%s' is of %s", source->name,
                       i < inputs ? "input" : "output", seen.name,
                       seen.dtype == ERAI_DTYPE_STRING ? "strings; give the model numbers in their place"
                                                       : "no type of numbers that this library knows");
    }
    return ERAI_OK;
}

static erai_status check_file(const erai_runtime *runtime, const erai_model_source *source, char *detail) {
    char why[ERAI_DETAIL_SIZE] = "";
    erai_status status = erai_tflite_check(source->data, source->size, runtime->custom, runtime->custom_count, why);
    if (status) return er_fail(detail, status, "%s: %s", source->name, why);
    status = check_count(er_tflite_inputs(source->data, source->size), 0, detail);
    if (!status) status = check_count(er_tflite_outputs(source->data, source->size), 1, detail);
    return status ? status : check_types(source, detail);
}

static erai_status read_file(er_guest *guest, const erai_model_source *source, char *detail) {
    erai_model_info *info = &guest->info;
    if (info->inputs) return ERAI_OK;
    size_t inputs = er_tflite_inputs(source->data, source->size), size = 1;
    size_t count = inputs + er_tflite_outputs(source->data, source->size);
    for (size_t i = 0; i < count; i++) size += strlen(look(source, i, inputs).name) + 1;
    guest->read = calloc(count ? count : 1, sizeof *guest->read);
    guest->names = malloc(size);
    if (!guest->read || !guest->names) return out_of_memory(detail);
    char *name = guest->names;
    for (size_t i = 0; i < count; i++, name += strlen(name) + 1) {
        er_tflite_edge seen = look(source, i, inputs);
        guest->read[i] = edge_of(&seen, info->free_ones != 0, name);
    }
    info->inputs = guest->read;
    info->outputs = guest->read + inputs;
    info->input_count = inputs;
    info->output_count = count - inputs;
    return ERAI_OK;
}

erai_status er_runtime_check(const erai_runtime *runtime, char *detail) {
    if (!runtime) return ERAI_OK;
    if (runtime->struct_size != sizeof *runtime)
        return er_fail(detail, ERAI_E_STRUCT, "erai_runtime: struct_size is %zu, this build knows %zu",
                       runtime->struct_size, sizeof *runtime);
    if (!runtime->format || !runtime->name || !runtime->open || !runtime->close || !runtime->start || !runtime->end ||
        !runtime->run)
        return er_fail(detail, ERAI_E_ARGUMENT, "erai_runtime: a NULL among its names and functions");
    if (strcmp(runtime->format, "onnx") == 0)
        return er_fail(detail, ERAI_E_ARGUMENT, "erai_runtime: format is \"onnx\", which ONNX Runtime runs");
    return ERAI_OK;
}

erai_status er_runtime_open(const erai_runtime *runtime, const erai_model_source *source, er_model **model,
                            char *detail) {
    char unread[ERAI_DETAIL_SIZE] = "";
    if (!detail) detail = unread;
    er_guest *guest = calloc(1, sizeof *guest);
    if (!guest) return out_of_memory(detail);
    if (er_mutex_init(&guest->lock)) {
        free(guest);
        return out_of_memory(detail);
    }
    guest->runtime = runtime;
    guest->head = (er_model){.engine = &engine, .format = runtime->format, .runtime = runtime->name};
    int is_tflite = strcmp(runtime->format, "tflite") == 0;
    erai_status status = is_tflite ? check_file(runtime, source, detail) : ERAI_OK;
    if (!status && is_tflite) guest->info.keeps_state = (uint32_t)er_tflite_keeps_state(source->data, source->size);
    if (!status) status = runtime->open(runtime->user, source, &guest->info, detail);
    guest->opened = !status;
    if (!status && is_tflite) status = read_file(guest, source, detail);
    guest->head.version = guest->info.version;
    guest->head.keeps_state = guest->info.keeps_state != 0;
    if (!status) status = read_edges(guest, 0, detail);
    if (!status) status = read_edges(guest, 1, detail);
    if (!status) er_model_find_rows(&guest->head);
    if (status)
        close_guest(&guest->head);
    else
        *model = &guest->head;
    return status;
}
