#define _GNU_SOURCE /* memmem */
/* ONNX Runtime found at run time in whatever libonnxruntime is installed, and a session of it opened.
 *
 * A model in memory gets its weights from memory. Left alone, the runtime would look for a file that such a model names
 * in the working directory, which nobody has verified. Given files in memory it looks there alone, so the model itself
 * is always one of them; but not for a subgraph's weights, so the directory is named too, and is none. A runtime that
 * cannot be given files is not given a model that needs some. */
#include "ort_api.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

/* The library never prints: what the runtime would log as an error comes back as one. */
enum { LOG_LEVEL_FATAL = 4, DEVICE_ALLOCATOR = 0, MEMORY_DEFAULT = 0 };
enum { ERROR_NO_SUCHFILE = 3, ERROR_NO_MODEL = 4, ERROR_INVALID_PROTOBUF = 7, ERROR_INVALID_GRAPH = 10 };

typedef struct OrtApiBase {
    const void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} OrtApiBase;

erai_status er_ort_error(const er_ort *model, OrtStatus *error, erai_status status, const char *what, char *detail) {
    typedef const char *(*message_fn)(const OrtStatus *);
    er_fail(detail, status, "%s: %s", what, CALL(model, GET_ERROR_MESSAGE, message_fn)(error));
    CALL(model, RELEASE_STATUS, release_fn)(error);
    return status;
}

void er_ort_release(const er_ort *model, enum slot slot, void *object) {
    if (object) CALL(model, slot, release_fn)(object);
}

/* The newest version of the interface that both sides know, 0 when there is none. Asked for one that it does not have,
 * the runtime prints; so what it calls itself is read first. */
static uint32_t common_version(const char *runtime_version) {
    char *end = NULL;
    unsigned long major = strtoul(runtime_version, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    if (major > 1 || (major == 1 && minor > NEWEST_API)) return NEWEST_API;
    return major == 1 && minor >= OLDEST_API ? (uint32_t)minor : 0;
}

static erai_status load_runtime(const char *runtime_path, er_ort *model, char *detail) {
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
    model->head.version = base()->get_version();
    model->version = common_version(model->head.version);
    if (model->version) model->api = base()->get_api(model->version);
    if (!model->api)
        return er_fail(detail, ERAI_E_RUNTIME_OLD, "ONNX Runtime %s is too old: version 1.%d or newer is needed",
                       model->head.version, OLDEST_API);
    return ERAI_OK;
}

int er_model_points_into_memory(const void *bytes, size_t size) {
    return memmem(bytes, size, "*/_ORT_MEM_ADDR_/*", 18) != NULL;
}

int er_model_may_be_recurrent(const void *bytes, size_t size) {
    return memmem(bytes, size, "LSTM", 4) || memmem(bytes, size, "GRU", 3) || memmem(bytes, size, "RNN", 3);
}

int er_model_may_mix_rows(const void *bytes, size_t size) {
    return memmem(bytes, size, "DynamicQuantize", 15) != NULL;
}

/* Whether the bytes of a model name a file with weights: key "location" of a StringStringEntryProto (onnx.proto:
 * TensorProto.external_data). Metadata with that key looks the same; then a model is refused that would have run. */
static int names_files(const void *bytes, size_t size) {
    return memmem(bytes, size, "\x0a\x08location", 10) != NULL;
}

#define WEIGHTS_DIRECTORY "session.model_external_initializers_file_folder_path"
#define NO_DIRECTORY "/dev/null"

/* The model, which an unknown name is not found in, and the files that it may have weights in. */
static erai_status add_files(const er_ort *model, const er_ort_options *asked, OrtHandle *options,
                             const er_ort_file *self, char *detail) {
    typedef OrtStatus *(*config_fn)(OrtHandle *, const char *, const char *);
    typedef OrtStatus *(*files_fn)(OrtHandle *, const char *const *, char *const *, const size_t *, size_t);
    if (model->version < FILES_IN_MEMORY) {
        if (!names_files(self->data, self->size)) return ERAI_OK;
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                       "%s has weights in other files, which a bundle can have with ONNX Runtime 1.%d or newer, and %s "
                       "is here",
                       self->name, FILES_IN_MEMORY, model->head.version);
    }
    const char *names[1 + ER_MAX_ORT_FILES] = {self->name};
    char *data[1 + ER_MAX_ORT_FILES] = {(char *)(uintptr_t)self->data}; /* only read, and only while it opens */
    size_t sizes[1 + ER_MAX_ORT_FILES] = {self->size};
    for (size_t i = 0; i < asked->file_count; i++) {
        names[1 + i] = asked->files[i].name;
        data[1 + i] = (char *)(uintptr_t)asked->files[i].data;
        sizes[1 + i] = asked->files[i].size;
    }
    OrtStatus *error = CALL(model, ADD_SESSION_CONFIG, config_fn)(options, WEIGHTS_DIRECTORY, NO_DIRECTORY);
    if (!error) error = CALL(model, ADD_FILES_IN_MEMORY, files_fn)(options, names, data, sizes, 1 + asked->file_count);
    return error ? er_ort_error(model, error, ERAI_E_INFERENCE, self->name, detail) : ERAI_OK;
}

/* Official builds from 1.29 on report to their maker what process runs what model, and keep a device's id for it. The
 * variable alone keeps them from it before there is an environment; the call reaches those builds that know no
 * variable. Who has set the variable has decided. */
#define TELEMETRY_SWITCH "ORT_DISABLE_TELEMETRY"

static OrtStatus *set_up(er_ort *model, const er_ort_options *asked, OrtHandle **options) {
    typedef OrtStatus *(*env_fn)(int, const char *, OrtHandle **);
    typedef OrtStatus *(*memory_fn)(int, int, OrtHandle **);
    typedef OrtStatus *(*make_fn)(OrtHandle **);
    typedef OrtStatus *(*threads_fn)(OrtHandle *, int);
    typedef OrtStatus *(*telemetry_fn)(const OrtHandle *);
    er_environment_default(TELEMETRY_SWITCH, "1");
    const char *off = getenv(TELEMETRY_SWITCH);
    OrtStatus *error = CALL(model, CREATE_ENV, env_fn)(LOG_LEVEL_FATAL, "edge_rai", &model->env);
    if (!error && (!off || !strcmp(off, "1"))) error = CALL(model, DISABLE_TELEMETRY, telemetry_fn)(model->env);
    if (!error)
        error = CALL(model, CREATE_CPU_MEMORY_INFO, memory_fn)(DEVICE_ALLOCATOR, MEMORY_DEFAULT, &model->memory_info);
    if (!error) error = CALL(model, DEFAULT_ALLOCATOR, make_fn)(&model->allocator);
    if (!error) error = CALL(model, CREATE_SESSION_OPTIONS, make_fn)(options);
    if (!error && asked->threads) error = CALL(model, SET_INTRA_OP_THREADS, threads_fn)(*options, (int)asked->threads);
    return error;
}

/* Whose fault it is that the session could not be made. */
static erai_status refuse(const er_ort *model, OrtStatus *error, const er_ort_options *asked, const char *path,
                          char *detail) {
    typedef int (*code_fn)(const OrtStatus *);
    int code = CALL(model, GET_ERROR_CODE, code_fn)(error);
    char what[ERAI_DETAIL_SIZE / 2];
    if (code == ERROR_NO_SUCHFILE) return er_ort_error(model, error, ERAI_E_BUNDLE_READ, path, detail);
    int broken = code == ERROR_NO_MODEL || code == ERROR_INVALID_PROTOBUF || code == ERROR_INVALID_GRAPH;
    if (er_provider_is_cpu(asked->provider) || broken)
        return er_ort_error(model, error, ERAI_E_MODEL_UNSUPPORTED, path, detail);
    er_fail(what, ERAI_E_PROVIDER, "%s must run all of %s, and cannot; convert the model for it, or ask for another",
            asked->provider, path);
    return er_ort_error(model, error, ERAI_E_PROVIDER, what, detail);
}

static erai_status create_session(er_ort *model, const er_ort_options *asked, const char *path, const void *bytes,
                                  size_t size, char *detail) {
    typedef OrtStatus *(*session_fn)(const OrtHandle *, const char *, const OrtHandle *, OrtHandle **);
    typedef OrtStatus *(*array_fn)(const OrtHandle *, const void *, size_t, const OrtHandle *, OrtHandle **);
    OrtHandle *options = NULL;
    OrtStatus *error = set_up(model, asked, &options);
    erai_status status = error
                             ? er_ort_error(model, error, ERAI_E_INFERENCE, "ONNX Runtime could not be set up", detail)
                             : er_provider_append(model, asked, options, detail);
    if (!status && bytes) status = add_files(model, asked, options, &(er_ort_file){path, bytes, size}, detail);
    if (!status) {
        error =
            bytes ? CALL(model, CREATE_SESSION_FROM_ARRAY, array_fn)(model->env, bytes, size, options, &model->session)
                  : CALL(model, CREATE_SESSION, session_fn)(model->env, path, options, &model->session);
        if (error) status = refuse(model, error, asked, path, detail);
    }
    er_ort_release(model, RELEASE_SESSION_OPTIONS, options);
    return status;
}

erai_status er_ort_open(const er_ort_options *options, const char *path, const void *bytes, size_t size, er_model **out,
                        char *detail) {
    er_ort *model = calloc(1, sizeof *model);
    if (!model) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    model->head = (er_model){.engine = &er_ort_engine, .format = "onnx", .runtime = "ONNX Runtime"};
    erai_status status = load_runtime(options->runtime_path, model, detail);
    if (!status) status = create_session(model, options, path, bytes, size, detail);
    if (!status) status = er_signature_read(model, detail);
    if (status) {
        er_ort_close(&model->head);
        return status;
    }
    *out = &model->head;
    return ERAI_OK;
}

void er_ort_close(er_model *closed) {
    er_ort *model = (er_ort *)closed;
    er_signature_free(model);
    if (model->api) {
        er_ort_release(model, RELEASE_SESSION, model->session);
        er_ort_release(model, RELEASE_MEMORY_INFO, model->memory_info);
        er_ort_release(model, RELEASE_ENV, model->env);
    }
    /* The library stays loaded: its thread pools and registries do not survive being unloaded. */
    free(model->library);
    free(model);
}
