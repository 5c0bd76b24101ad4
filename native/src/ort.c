/* Running a model through the ONNX Runtime C API (ort_api.h).
 *
 * A run writes straight into the answer's buffers: the shapes of the first run with given input shapes are learned, and
 * from then on the same values stay bound, which is the cheapest way to run. What is no memory of ours cannot be bound:
 * of a model with outputs that are strings, sequences or maps those are left to the runtime and read after the run, and
 * the others are still written in place. A model whose output shapes depend on the data refuses what was learned, and
 * all its outputs are copied from then on. */
#include "ort_api.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

/* A tensor value of the runtime over memory of ours, and what it was made for. A string tensor is the runtime's own
 * memory, filled before each run. */
typedef struct er_view {
    OrtValue *value;
    const void *data;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    uint32_t dtype;
} er_view;

typedef struct er_ort_binding {
    er_binding head;
    er_ort *model;
    er_view *inputs;
    er_view *outputs;
    OrtHandle *io;      /* the runtime's binding of those values */
    OrtHandle *options; /* of a run; without them the runtime makes some each time */
    OrtValue **values;  /* scratch of a run: inputs, then outputs */
    int loose;          /* some output is not bound */
    int learned;        /* `outputs` hold for the input shapes in `inputs` */
    int dynamic;        /* output shapes depend on the data: never pass values */
} er_ort_binding;

static int is_loose(const er_tensor_spec *spec) {
    return spec->kind != ERAI_VALUE_TENSOR || spec->dtype == ERAI_DTYPE_STRING;
}

static void close_binding(er_binding *closed) {
    er_ort_binding *binding = (er_ort_binding *)closed;
    const er_ort *model = binding->model;
    er_ort_release(model, RELEASE_IO_BINDING, binding->io);
    er_ort_release(model, RELEASE_RUN_OPTIONS, binding->options);
    for (size_t i = 0; binding->inputs && i < model->head.input_count; i++)
        er_ort_release(model, RELEASE_VALUE, binding->inputs[i].value);
    for (size_t i = 0; binding->outputs && i < model->head.output_count; i++)
        er_ort_release(model, RELEASE_VALUE, binding->outputs[i].value);
    free(binding->inputs);
    free(binding->outputs);
    free(binding->values);
    free(binding);
}

static erai_status open_binding(er_model *bound, er_binding **out) {
    er_ort *model = (er_ort *)bound;
    er_ort_binding *binding = calloc(1, sizeof *binding);
    if (!binding) return ERAI_E_MEMORY;
    binding->head.model = bound;
    binding->model = model;
    binding->inputs = calloc(bound->input_count, sizeof *binding->inputs);
    binding->outputs = calloc(bound->output_count, sizeof *binding->outputs);
    binding->values = calloc(bound->input_count + bound->output_count, sizeof *binding->values);
    for (size_t i = 0; i < bound->output_count; i++) binding->loose |= is_loose(&bound->outputs[i]);
    typedef OrtStatus *(*create_fn)(OrtHandle *, OrtHandle **);
    typedef OrtStatus *(*create_options_fn)(OrtHandle **);
    OrtStatus *error = NULL;
    if (binding->inputs && binding->outputs && binding->values)
        error = CALL(model, CREATE_IO_BINDING, create_fn)(model->session, &binding->io);
    if (!error && binding->io) error = CALL(model, CREATE_RUN_OPTIONS, create_options_fn)(&binding->options);
    er_ort_release(model, RELEASE_STATUS, error);
    if (!binding->options) {
        close_binding(&binding->head);
        return ERAI_E_MEMORY;
    }
    *out = &binding->head;
    return ERAI_OK;
}

static void terminate(er_binding *ended, int yes) {
    typedef OrtStatus *(*terminate_fn)(OrtHandle *);
    const er_ort_binding *binding = (const er_ort_binding *)ended;
    const er_ort *model = binding->model;
    enum slot slot = yes ? RUN_OPTIONS_SET_TERMINATE : RUN_OPTIONS_UNSET_TERMINATE;
    er_ort_release(model, RELEASE_STATUS, CALL(model, slot, terminate_fn)(binding->options));
}

/* ---- Views ---- */

/* Makes a value of the runtime for a tensor, over its memory or, of strings, with memory of the runtime's, and binds it
 * to an input or output. */
static ER_APART erai_status make_view(er_ort_binding *binding, er_view *view, enum slot slot, const char *name,
                                      const erai_tensor *tensor, char *detail) {
    typedef OrtStatus *(*own_fn)(OrtHandle *, const int64_t *, size_t, int, OrtValue **);
    typedef OrtStatus *(*over_fn)(const OrtHandle *, void *, size_t, const int64_t *, size_t, int, OrtValue **);
    typedef OrtStatus *(*bind_fn)(OrtHandle *, const char *, const OrtValue *);
    const er_ort *model = binding->model;
    er_ort_release(model, RELEASE_VALUE, view->value);
    view->value = NULL;
    view->data = tensor->data;
    view->rank = tensor->rank;
    view->dtype = tensor->dtype;
    if (tensor->rank) memcpy(view->shape, tensor->shape, tensor->rank * sizeof *view->shape);
    size_t bytes = er_elements(view->shape, view->rank) * erai_dtype_size(view->dtype);
    OrtStatus *error =
        view->dtype == ERAI_DTYPE_STRING
            ? CALL(model, CREATE_TENSOR, own_fn)(model->allocator, view->shape, view->rank, (int)view->dtype,
                                                 &view->value)
            : CALL(model, CREATE_TENSOR_WITH_DATA, over_fn)(model->memory_info, (void *)(uintptr_t)view->data, bytes,
                                                            view->shape, view->rank, (int)view->dtype, &view->value);
    if (!error) error = CALL(model, slot, bind_fn)(binding->io, name, view->value);
    return error ? er_ort_error(model, error, ERAI_E_INFERENCE, "binding a tensor", detail) : ERAI_OK;
}

static int same_shape(const er_view *view, const erai_tensor *tensor) {
    if (ER_UNLIKELY(!view->value || view->rank != tensor->rank)) return 0;
    for (uint32_t axis = 0; axis < view->rank; axis++)
        if (view->shape[axis] != tensor->shape[axis]) return 0;
    return 1;
}

static erai_status bind_inputs(er_ort_binding *binding, const erai_tensor *inputs, char *detail) {
    const er_ort *model = binding->model;
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && i < model->head.input_count; i++) {
        const erai_tensor *input = &inputs[model->head.input_places[i]];
        er_view *view = &binding->inputs[i];
        int same = same_shape(view, input), is_text = input->dtype == ERAI_DTYPE_STRING;
        if (ER_UNLIKELY(!same)) binding->learned = 0;
        if (ER_UNLIKELY(!same || (!is_text && view->data != input->data)))
            status = make_view(binding, view, BIND_INPUT, model->input_names[i], input, detail);
        if (!status && ER_UNLIKELY(is_text)) status = er_value_fill(model, input, view->value, detail);
    }
    return status;
}

/* Whether the bound outputs are still where the answer's buffers are. */
static int outputs_bound(const er_ort_binding *binding, const er_buffer *outputs) {
    const er_ort *model = binding->model;
    for (size_t i = 0; i < model->head.output_count; i++)
        if (!is_loose(&model->head.outputs[i]) &&
            binding->outputs[i].data != outputs[model->head.output_places[i]].data)
            return 0;
    return 1;
}

/* ---- Runs ---- */

/* A run with the values that are bound, and one that makes its own for those that are not. */
static ER_APART erai_status run_values(er_ort_binding *binding, er_buffer *outputs, char *detail) {
    typedef OrtStatus *(*run_fn)(OrtHandle *, const OrtHandle *, const char *const *, const OrtValue *const *, size_t,
                                 const char *const *, size_t, OrtValue **);
    er_ort *model = binding->model;
    OrtValue **values = binding->values + model->head.input_count;
    for (size_t i = 0; i < model->head.input_count; i++) binding->values[i] = binding->inputs[i].value;
    for (size_t i = 0; i < model->head.output_count; i++)
        values[i] = binding->learned && !is_loose(&model->head.outputs[i]) ? binding->outputs[i].value : NULL;
    OrtStatus *error = CALL(model, RUN, run_fn)(model->session, binding->options, model->input_names,
                                                (const OrtValue *const *)binding->values, model->head.input_count,
                                                model->output_names, model->head.output_count, values);
    if (error) return er_ort_error(model, error, ERAI_E_INFERENCE, "ONNX Runtime", detail);
    erai_status status = ERAI_OK;
    for (size_t i = 0; i < model->head.output_count; i++) {
        if (values[i] == binding->outputs[i].value) continue;
        if (!status) status = er_value_take(model, i, values[i], &outputs[model->head.output_places[i]], detail);
        er_ort_release(model, RELEASE_VALUE, values[i]);
    }
    return status;
}

static erai_status run_bound(er_ort_binding *binding, char *detail) {
    typedef OrtStatus *(*run_fn)(OrtHandle *, const OrtHandle *, const OrtHandle *);
    er_ort *model = binding->model;
    OrtStatus *error = CALL(model, RUN_WITH_BINDING, run_fn)(model->session, binding->options, binding->io);
    return ER_UNLIKELY(error) ? er_ort_error(model, error, ERAI_E_INFERENCE, "ONNX Runtime", detail) : ERAI_OK;
}

static ER_APART erai_status run_and_learn(er_ort_binding *binding, er_buffer *outputs, char *detail) {
    er_ort *model = binding->model;
    binding->learned = 0;
    erai_status status = run_values(binding, outputs, detail);
    if (status || binding->dynamic) return status;
    for (size_t i = 0; !status && i < model->head.output_count; i++) {
        if (is_loose(&model->head.outputs[i])) continue;
        erai_tensor tensor = er_buffer_tensor(&outputs[model->head.output_places[i]]);
        status = make_view(binding, &binding->outputs[i], BIND_OUTPUT, model->output_names[i], &tensor, detail);
    }
    binding->learned = !status;
    return status;
}

static erai_status run(er_binding *asked, const erai_tensor *inputs, er_buffer *outputs, char *detail) {
    er_ort_binding *binding = (er_ort_binding *)asked;
    er_ort *model = binding->model;
    erai_status status = bind_inputs(binding, inputs, detail);
    if (status) return status;
    if (ER_UNLIKELY(!binding->learned || !outputs_bound(binding, outputs)))
        return run_and_learn(binding, outputs, detail);
    status = ER_UNLIKELY(binding->loose) ? run_values(binding, outputs, NULL) : run_bound(binding, NULL);
    if (ER_LIKELY(!status)) {
        for (size_t i = 0; i < model->head.output_count; i++) {
            if (ER_UNLIKELY(is_loose(&model->head.outputs[i]))) continue;
            er_buffer *output = &outputs[model->head.output_places[i]];
            output->rank = binding->outputs[i].rank;
            output->dtype = binding->outputs[i].dtype;
            memcpy(output->shape, binding->outputs[i].shape, sizeof output->shape);
        }
        return ERAI_OK;
    }
    /* Either the outputs have another shape this time, or the run fails in any case: the second run tells. */
    binding->dynamic = 1;
    status = run_and_learn(binding, outputs, detail);
    if (status) binding->dynamic = 0;
    return status;
}

const er_engine er_ort_engine = {.requirement = "onnxruntime",
                                 .update = "ONNX Runtime (pip install --upgrade onnxruntime)",
                                 .close = er_ort_close,
                                 .bind = open_binding,
                                 .unbind = close_binding,
                                 .run = run,
                                 .terminate = terminate};
