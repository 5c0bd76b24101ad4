/* Running a model through the ONNX Runtime C API, found at run time in whatever libonnxruntime is installed.
 *
 * The interface is a table of function pointers that only ever grows at its end (onnxruntime_c_api.h: OrtApi). A wheel
 * of ONNX Runtime carries the library and no header, so the table is read here by slot number (docs/adr/0003). Slots
 * used exist since version 11 of the interface, and that version is what is asked for.
 *
 * A run writes straight into the answer's buffers: the shapes of the first run with given input shapes are learned, and
 * from then on the same values stay bound, which is the cheapest way to run. A model whose output shapes depend on the
 * data refuses that, and its outputs are copied from then on. */
#include "ort.h"

#include "answer.h"
#include "platform/platform.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

#define API_VERSION 11

typedef struct OrtStatus OrtStatus;
typedef struct OrtValue OrtValue;
typedef struct OrtInfo OrtInfo;     /* OrtTypeInfo, OrtTensorTypeAndShapeInfo: only passed through */
typedef struct OrtHandle OrtHandle; /* environment, options, session, allocator, memory info: likewise */

typedef struct OrtApiBase {
    const void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} OrtApiBase;

enum slot {
    GET_ERROR_CODE = 1,
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_INTRA_OP_THREADS = 24,
    SESSION_INPUT_COUNT = 30,
    SESSION_OUTPUT_COUNT = 31,
    SESSION_INPUT_TYPE = 33,
    SESSION_OUTPUT_TYPE = 34,
    SESSION_INPUT_NAME = 36,
    SESSION_OUTPUT_NAME = 37,
    CREATE_RUN_OPTIONS = 39,
    CREATE_TENSOR_WITH_DATA = 49,
    TENSOR_DATA = 51,
    CAST_TYPE_TO_TENSOR = 55,
    ONNX_TYPE = 56,
    ELEMENT_TYPE = 60,
    DIMENSIONS_COUNT = 61,
    DIMENSIONS = 62,
    TENSOR_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    ALLOCATOR_FREE = 76,
    DEFAULT_ALLOCATOR = 78,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_RUN_OPTIONS = 97,
    RELEASE_TYPE_INFO = 98,
    RELEASE_TENSOR_INFO = 99,
    RELEASE_SESSION_OPTIONS = 100,
    RUN_WITH_BINDING = 133,
    CREATE_IO_BINDING = 134,
    RELEASE_IO_BINDING = 135,
    BIND_INPUT = 136,
    BIND_OUTPUT = 137
};

/* The library never prints: what the runtime would log as an error comes back as one. */
enum { LOG_LEVEL_FATAL = 4, ONNX_TYPE_TENSOR = 1, ERROR_NO_SUCHFILE = 3, DEVICE_ALLOCATOR = 0, MEMORY_DEFAULT = 0 };

struct er_model {
    const void *const *api;
    er_library *library;
    const char *runtime_version;
    OrtHandle *env, *session, *memory_info, *allocator;
    er_tensor_spec *inputs, *outputs;
    const char **input_names, **output_names;
    size_t input_count, output_count;
};

/* Calling slot s of model m with the C type of that function. */
#define CALL(m, s, type) ((type)(uintptr_t)(m)->api[s])

typedef OrtStatus *(*get_count_fn)(const OrtHandle *, size_t *);
typedef OrtStatus *(*get_info_fn)(const OrtHandle *, size_t, OrtInfo **);
typedef OrtStatus *(*get_name_fn)(const OrtHandle *, size_t, OrtHandle *, char **);
typedef OrtStatus *(*create_tensor_fn)(const OrtHandle *, void *, size_t, const int64_t *, size_t, int, OrtValue **);
typedef OrtStatus *(*run_fn)(OrtHandle *, const OrtHandle *, const char *const *, const OrtValue *const *, size_t,
                             const char *const *, size_t, OrtValue **);
typedef OrtStatus *(*bind_fn)(OrtHandle *, const char *, const OrtValue *);
typedef void (*release_fn)(void *);

/* Takes the runtime's error object: its message goes to detail, and it is released. */
static erai_status take_error(const er_model *model, OrtStatus *error, erai_status status, const char *what,
                              char *detail) {
    typedef const char *(*message_fn)(const OrtStatus *);
    er_fail(detail, status, "%s: %s", what, CALL(model, GET_ERROR_MESSAGE, message_fn)(error));
    CALL(model, RELEASE_STATUS, release_fn)(error);
    return status;
}

static void release(const er_model *model, enum slot slot, void *object) {
    if (object) CALL(model, slot, release_fn)(object);
}

static erai_status load_runtime(const char *runtime_path, er_model *model, char *detail) {
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
    const char *path = runtime_path ? runtime_path : getenv("ERAI_ONNXRUNTIME");
    char why[ERAI_DETAIL_SIZE / 2] = "";
    if (path && path[0])
        model->library = er_library_open(path, why, sizeof why);
    else
        for (size_t i = 0; i < sizeof names / sizeof *names && !model->library; i++)
            model->library = er_library_open(names[i], why, sizeof why);
    if (!model->library)
        return er_fail(detail, ERAI_E_RUNTIME_MISSING,
                       "ONNX Runtime was not found (%s); run 'pip install onnxruntime', or set ERAI_ONNXRUNTIME to the "
                       "path of libonnxruntime.so",
                       why);
    typedef const OrtApiBase *(*base_fn)(void);
    base_fn base = (base_fn)(uintptr_t)er_library_symbol(model->library, "OrtGetApiBase");
    if (!base)
        return er_fail(detail, ERAI_E_RUNTIME_MISSING, "%s is not an ONNX Runtime library: it has no OrtGetApiBase",
                       path ? path : names[0]);
    model->runtime_version = base()->get_version();
    model->api = base()->get_api(API_VERSION);
    if (!model->api)
        return er_fail(detail, ERAI_E_RUNTIME_OLD, "ONNX Runtime %s is too old: version 1.11 or newer is needed",
                       model->runtime_version);
    return ERAI_OK;
}

static erai_status create_session(er_model *model, uint32_t threads, const char *path, const void *bytes, size_t size,
                                  char *detail) {
    typedef OrtStatus *(*env_fn)(int, const char *, OrtHandle **);
    typedef OrtStatus *(*options_fn)(OrtHandle **);
    typedef OrtStatus *(*threads_fn)(OrtHandle *, int);
    typedef OrtStatus *(*session_fn)(const OrtHandle *, const char *, const OrtHandle *, OrtHandle **);
    typedef OrtStatus *(*array_fn)(const OrtHandle *, const void *, size_t, const OrtHandle *, OrtHandle **);
    typedef OrtStatus *(*memory_fn)(int, int, OrtHandle **);
    typedef OrtStatus *(*allocator_fn)(OrtHandle **);
    OrtHandle *options = NULL;
    OrtStatus *error = CALL(model, CREATE_ENV, env_fn)(LOG_LEVEL_FATAL, "edge_rai", &model->env);
    if (!error)
        error = CALL(model, CREATE_CPU_MEMORY_INFO, memory_fn)(DEVICE_ALLOCATOR, MEMORY_DEFAULT, &model->memory_info);
    if (!error) error = CALL(model, DEFAULT_ALLOCATOR, allocator_fn)(&model->allocator);
    if (!error) error = CALL(model, CREATE_SESSION_OPTIONS, options_fn)(&options);
    if (!error && threads) error = CALL(model, SET_INTRA_OP_THREADS, threads_fn)(options, (int)threads);
    if (error) {
        release(model, RELEASE_SESSION_OPTIONS, options);
        return take_error(model, error, ERAI_E_INFERENCE, "ONNX Runtime could not be set up", detail);
    }
    error = bytes ? CALL(model, CREATE_SESSION_FROM_ARRAY, array_fn)(model->env, bytes, size, options, &model->session)
                  : CALL(model, CREATE_SESSION, session_fn)(model->env, path, options, &model->session);
    release(model, RELEASE_SESSION_OPTIONS, options);
    if (!error) return ERAI_OK;
    typedef int (*code_fn)(const OrtStatus *);
    int missing = CALL(model, GET_ERROR_CODE, code_fn)(error) == ERROR_NO_SUCHFILE;
    return take_error(model, error, missing ? ERAI_E_BUNDLE_READ : ERAI_E_MODEL_UNSUPPORTED, path, detail);
}

/* Type and shape of a tensor, from an OrtTensorTypeAndShapeInfo. */
static OrtStatus *read_shape(const er_model *model, const OrtInfo *info, int64_t *shape, uint32_t *rank,
                             uint32_t *dtype, size_t *true_rank) {
    typedef OrtStatus *(*element_fn)(const OrtInfo *, int *);
    typedef OrtStatus *(*count_fn)(const OrtInfo *, size_t *);
    typedef OrtStatus *(*dims_fn)(const OrtInfo *, int64_t *, size_t);
    int element = 0;
    OrtStatus *error = CALL(model, ELEMENT_TYPE, element_fn)(info, &element);
    if (!error) error = CALL(model, DIMENSIONS_COUNT, count_fn)(info, true_rank);
    *rank = *true_rank > ERAI_MAX_RANK ? ERAI_MAX_RANK : (uint32_t)*true_rank;
    if (!error) error = CALL(model, DIMENSIONS, dims_fn)(info, shape, *rank);
    *dtype = (uint32_t)element;
    return error;
}

static erai_status read_spec(er_model *model, int output, size_t index, er_tensor_spec *spec, char *detail) {
    typedef OrtStatus *(*type_fn)(const OrtInfo *, int *);
    typedef OrtStatus *(*cast_fn)(const OrtInfo *, const OrtInfo **);
    const char *side = output ? "output" : "input";
    char *name = NULL;
    OrtInfo *type = NULL;
    const OrtInfo *tensor = NULL;
    int kind = 0;
    size_t true_rank = 0;
    OrtStatus *error = CALL(model, output ? SESSION_OUTPUT_NAME : SESSION_INPUT_NAME,
                            get_name_fn)(model->session, index, model->allocator, &name);
    if (!error) {
        spec->name = name;
        error =
            CALL(model, output ? SESSION_OUTPUT_TYPE : SESSION_INPUT_TYPE, get_info_fn)(model->session, index, &type);
    }
    if (!error) error = CALL(model, ONNX_TYPE, type_fn)(type, &kind);
    if (!error && kind == ONNX_TYPE_TENSOR) error = CALL(model, CAST_TYPE_TO_TENSOR, cast_fn)(type, &tensor);
    if (!error && kind == ONNX_TYPE_TENSOR)
        error = read_shape(model, tensor, spec->shape, &spec->rank, &spec->dtype, &true_rank);
    release(model, RELEASE_TYPE_INFO, type);
    if (error) return take_error(model, error, ERAI_E_MODEL_UNSUPPORTED, "reading the model's signature", detail);
    if (kind != ONNX_TYPE_TENSOR)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                       "%s '%s' is a sequence, map, optional or sparse value; this version takes dense tensors", side,
                       name);
    if (true_rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s '%s' has rank %zu; at most %d is supported", side, name,
                       true_rank, ERAI_MAX_RANK);
    if (!erai_dtype_size(spec->dtype))
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s '%s' is %s; this version takes %s", side, spec->name,
                       er_dtype_name(spec->dtype),
                       output ? "outputs of float32, float64, integers and booleans" : "float32 inputs");
    return ERAI_OK;
}

static erai_status read_signature(er_model *model, int output, char *detail) {
    size_t count = 0;
    OrtStatus *error =
        CALL(model, output ? SESSION_OUTPUT_COUNT : SESSION_INPUT_COUNT, get_count_fn)(model->session, &count);
    if (error) return take_error(model, error, ERAI_E_MODEL_UNSUPPORTED, "reading the model's signature", detail);
    size_t most = output ? ER_MAX_OUTPUTS : ER_MAX_INPUTS;
    if (count < 1 || count > most)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "the model has %zu %s; expected 1 to %zu", count,
                       output ? "outputs" : "inputs", most);
    er_tensor_spec *specs = calloc(count, sizeof *specs);
    const char **names = calloc(count, sizeof *names);
    *(output ? &model->outputs : &model->inputs) = specs;
    *(output ? &model->output_names : &model->input_names) = names;
    if (!specs || !names) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    *(output ? &model->output_count : &model->input_count) = count;
    for (size_t i = 0; i < count; i++) {
        erai_status status = read_spec(model, output, i, &specs[i], detail);
        names[i] = specs[i].name;
        if (status) return status;
    }
    return ERAI_OK;
}

erai_status er_model_open(const er_model_options *options, const char *path, const void *bytes, size_t size,
                          er_model **out, char *detail) {
    er_model *model = calloc(1, sizeof *model);
    if (!model) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_status status = load_runtime(options->runtime_path, model, detail);
    if (!status) status = create_session(model, options->threads, path, bytes, size, detail);
    if (!status) status = read_signature(model, 0, detail);
    if (!status) status = read_signature(model, 1, detail);
    if (status) {
        er_model_close(model);
        return status;
    }
    *out = model;
    return ERAI_OK;
}

static void free_specs(er_model *model, er_tensor_spec *specs, size_t count) {
    typedef OrtStatus *(*free_fn)(OrtHandle *, void *);
    for (size_t i = 0; i < count; i++)
        if (specs[i].name) CALL(model, ALLOCATOR_FREE, free_fn)(model->allocator, (void *)(uintptr_t)specs[i].name);
    free(specs);
}

void er_model_close(er_model *model) {
    if (!model) return;
    free_specs(model, model->inputs, model->input_count);
    free_specs(model, model->outputs, model->output_count);
    free(model->input_names);
    free(model->output_names);
    if (model->api) {
        release(model, RELEASE_SESSION, model->session);
        release(model, RELEASE_MEMORY_INFO, model->memory_info);
        release(model, RELEASE_ENV, model->env);
    }
    /* The library stays loaded: its thread pools and registries do not survive being unloaded. */
    free(model->library);
    free(model);
}

const char *er_model_runtime_version(const er_model *model) {
    return model->runtime_version;
}
size_t er_model_inputs(const er_model *model) {
    return model->input_count;
}
size_t er_model_outputs(const er_model *model) {
    return model->output_count;
}
const er_tensor_spec *er_model_input(const er_model *model, size_t index) {
    return &model->inputs[index];
}
const er_tensor_spec *er_model_output(const er_model *model, size_t index) {
    return &model->outputs[index];
}

/* ---- Binding ---- */

/* A tensor value of the runtime over memory of ours, and what it was made for. */
typedef struct er_view {
    OrtValue *value;
    const void *data;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    uint32_t dtype;
} er_view;

struct er_binding {
    er_model *model;
    er_view *inputs;
    er_view *outputs;
    OrtHandle *io;      /* the runtime's binding of those values */
    OrtHandle *options; /* of a run; without them the runtime makes some each time */
    OrtValue **values;  /* scratch of a learning run: inputs, then outputs */
    int learned;        /* `outputs` hold for the input shapes in `inputs` */
    int dynamic;        /* output shapes depend on the data: never pass values */
};

erai_status er_binding_open(er_model *model, er_binding **out) {
    er_binding *binding = calloc(1, sizeof *binding);
    if (!binding) return ERAI_E_MEMORY;
    binding->model = model;
    binding->inputs = calloc(model->input_count, sizeof *binding->inputs);
    binding->outputs = calloc(model->output_count, sizeof *binding->outputs);
    binding->values = calloc(model->input_count + model->output_count, sizeof *binding->values);
    typedef OrtStatus *(*create_fn)(OrtHandle *, OrtHandle **);
    typedef OrtStatus *(*create_options_fn)(OrtHandle **);
    OrtStatus *error = NULL;
    if (binding->inputs && binding->outputs && binding->values)
        error = CALL(model, CREATE_IO_BINDING, create_fn)(model->session, &binding->io);
    if (!error && binding->io) error = CALL(model, CREATE_RUN_OPTIONS, create_options_fn)(&binding->options);
    if (error) CALL(model, RELEASE_STATUS, release_fn)(error);
    if (!binding->options) {
        er_binding_close(binding);
        return ERAI_E_MEMORY;
    }
    *out = binding;
    return ERAI_OK;
}

void er_binding_close(er_binding *binding) {
    if (!binding) return;
    const er_model *model = binding->model;
    release(model, RELEASE_IO_BINDING, binding->io);
    release(model, RELEASE_RUN_OPTIONS, binding->options);
    for (size_t i = 0; binding->inputs && i < model->input_count; i++)
        release(model, RELEASE_VALUE, binding->inputs[i].value);
    for (size_t i = 0; binding->outputs && i < model->output_count; i++)
        release(model, RELEASE_VALUE, binding->outputs[i].value);
    free(binding->inputs);
    free(binding->outputs);
    free(binding->values);
    free(binding);
}

/* Wraps memory of ours as a value of the runtime and binds it to an input or output. */
static erai_status make_view(er_binding *binding, er_view *view, enum slot slot, const char *name, const void *data,
                             const int64_t *shape, uint32_t rank, uint32_t dtype, char *detail) {
    const er_model *model = binding->model;
    release(model, RELEASE_VALUE, view->value);
    view->value = NULL;
    view->data = data;
    view->rank = rank;
    view->dtype = dtype;
    size_t bytes = erai_dtype_size(dtype);
    for (uint32_t i = 0; i < rank; i++) {
        view->shape[i] = shape[i];
        bytes *= (size_t)shape[i];
    }
    OrtStatus *error = CALL(model, CREATE_TENSOR_WITH_DATA, create_tensor_fn)(
        model->memory_info, (void *)(uintptr_t)data, bytes, view->shape, rank, (int)dtype, &view->value);
    if (!error) error = CALL(model, slot, bind_fn)(binding->io, name, view->value);
    return error ? take_error(model, error, ERAI_E_INFERENCE, "binding a tensor", detail) : ERAI_OK;
}

static int same_shape(const er_view *view, const int64_t *shape, uint32_t rank) {
    return view->value && view->rank == rank && memcmp(view->shape, shape, rank * sizeof *shape) == 0;
}

static erai_status bind_inputs(er_binding *binding, const erai_tensor *inputs, char *detail) {
    for (size_t i = 0; i < binding->model->input_count; i++) {
        er_view *view = &binding->inputs[i];
        int same = same_shape(view, inputs[i].shape, inputs[i].rank);
        if (!same) binding->learned = 0;
        if (!same || view->data != inputs[i].data) {
            erai_status status = make_view(binding, view, BIND_INPUT, binding->model->input_names[i], inputs[i].data,
                                           inputs[i].shape, inputs[i].rank, inputs[i].dtype, detail);
            if (status) return status;
        }
    }
    return ERAI_OK;
}

/* One output of a run that allocated its own: its shape and values go into the answer's buffer. */
static erai_status copy_output(er_binding *binding, OrtValue *value, er_buffer *buffer, const char *name,
                               char *detail) {
    typedef OrtStatus *(*info_fn)(const OrtValue *, OrtInfo **);
    typedef OrtStatus *(*data_fn)(OrtValue *, void **);
    const er_model *model = binding->model;
    OrtInfo *info = NULL;
    void *data = NULL;
    size_t true_rank = 0;
    OrtStatus *error = CALL(model, TENSOR_TYPE_AND_SHAPE, info_fn)(value, &info);
    if (!error) error = read_shape(model, info, buffer->shape, &buffer->rank, &buffer->dtype, &true_rank);
    release(model, RELEASE_TENSOR_INFO, info);
    if (!error) error = CALL(model, TENSOR_DATA, data_fn)(value, &data);
    if (error) return take_error(model, error, ERAI_E_INFERENCE, "reading an output", detail);
    size_t bytes = erai_dtype_size(buffer->dtype);
    if (true_rank > ERAI_MAX_RANK || !bytes)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "output '%s' came back as %s of rank %zu", name,
                       er_dtype_name(buffer->dtype), true_rank);
    for (uint32_t i = 0; i < buffer->rank; i++) bytes *= (size_t)buffer->shape[i];
    if (!er_buffer_reserve(buffer, bytes)) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    if (bytes) memcpy(buffer->data, data, bytes);
    return ERAI_OK;
}

static erai_status run_and_learn(er_binding *binding, er_buffer *outputs, char *detail) {
    er_model *model = binding->model;
    OrtValue **values = binding->values + model->input_count;
    for (size_t i = 0; i < model->input_count; i++) binding->values[i] = binding->inputs[i].value;
    memset(values, 0, model->output_count * sizeof(OrtValue *));
    OrtStatus *error = CALL(model, RUN, run_fn)(model->session, binding->options, model->input_names,
                                                (const OrtValue *const *)binding->values, model->input_count,
                                                model->output_names, model->output_count, values);
    if (error) return take_error(model, error, ERAI_E_INFERENCE, "ONNX Runtime", detail);
    erai_status status = ERAI_OK;
    for (size_t i = 0; i < model->output_count; i++) {
        if (!status) status = copy_output(binding, values[i], &outputs[i], model->output_names[i], detail);
        release(model, RELEASE_VALUE, values[i]);
    }
    for (size_t i = 0; !status && !binding->dynamic && i < model->output_count; i++)
        status = make_view(binding, &binding->outputs[i], BIND_OUTPUT, model->output_names[i], outputs[i].data,
                           outputs[i].shape, outputs[i].rank, outputs[i].dtype, detail);
    binding->learned = !status && !binding->dynamic;
    return status;
}

/* Whether the bound outputs are still where the answer's buffers are. */
static int outputs_bound(const er_binding *binding, const er_buffer *outputs) {
    for (size_t i = 0; i < binding->model->output_count; i++)
        if (binding->outputs[i].data != outputs[i].data) return 0;
    return 1;
}

erai_status er_binding_run(er_binding *binding, const erai_tensor *inputs, er_buffer *outputs, char *detail) {
    typedef OrtStatus *(*run_bound_fn)(OrtHandle *, const OrtHandle *, const OrtHandle *);
    er_model *model = binding->model;
    erai_status status = bind_inputs(binding, inputs, detail);
    if (status) return status;
    if (!binding->learned || !outputs_bound(binding, outputs)) return run_and_learn(binding, outputs, detail);
    OrtStatus *error = CALL(model, RUN_WITH_BINDING, run_bound_fn)(model->session, binding->options, binding->io);
    if (!error) {
        for (size_t i = 0; i < model->output_count; i++) {
            outputs[i].rank = binding->outputs[i].rank;
            outputs[i].dtype = binding->outputs[i].dtype;
            memcpy(outputs[i].shape, binding->outputs[i].shape, sizeof outputs[i].shape);
        }
        return ERAI_OK;
    }
    /* Either the outputs have another shape this time, or the run fails in any case: the second run tells. */
    CALL(model, RELEASE_STATUS, release_fn)(error);
    binding->dynamic = 1;
    status = run_and_learn(binding, outputs, detail);
    if (status) binding->dynamic = 0;
    return status;
}

void er_binding_terminate(er_binding *binding, int terminate) {
    (void)binding;
    (void)terminate;
}
