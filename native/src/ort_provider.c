/* Execution providers: what runs the nodes of a model. The CPU's is always there and takes whatever the others leave,
 * in silence. Who asks for another one gets it or a refusal: the runtime is told not to fall back
 * (onnxruntime_session_options_config_keys.h), and then opening such a session fails. */
#include "ort_api.h"
#include "status.h"

#include <string.h>

#define CPU_PROVIDER "CPUExecutionProvider"
#define NO_FALLBACK "session.disable_cpu_ep_fallback"

int er_provider_is_cpu(const char *provider) {
    return !provider || strcmp(provider, CPU_PROVIDER) == 0;
}

static erai_status set_up_failed(const er_ort *model, OrtStatus *error, const char *provider, char *detail) {
    char what[ERAI_DETAIL_SIZE / 2];
    er_fail(what, ERAI_E_PROVIDER, "%s could not be set up; see to its driver and libraries on this device", provider);
    return er_ort_error(model, error, ERAI_E_PROVIDER, what, detail);
}

/* ---- Providers that the runtime was built with ---- */

static erai_status find_available(const er_ort *model, const char *provider, char *detail) {
    typedef OrtStatus *(*list_fn)(char ***, int *);
    typedef OrtStatus *(*release_list_fn)(char **, int);
    char **names = NULL, list[ERAI_DETAIL_SIZE / 2] = "";
    int count = 0, found = 0;
    OrtStatus *error = CALL(model, AVAILABLE_PROVIDERS, list_fn)(&names, &count);
    if (error) return set_up_failed(model, error, provider, detail);
    for (int i = 0; i < count; i++) {
        found |= strcmp(names[i], provider) == 0;
        if (strlen(list) + strlen(names[i]) + 3 > sizeof list) continue;
        if (list[0]) strcat(list, ", ");
        strcat(list, names[i]);
    }
    error = CALL(model, RELEASE_AVAILABLE_PROVIDERS, release_list_fn)(names, count);
    er_ort_release(model, RELEASE_STATUS, error);
    if (found) return ERAI_OK;
    return er_fail(detail, ERAI_E_PROVIDER,
                   "%s was asked for and this ONNX Runtime (%s) has %s; install a build that has it, name the library "
                   "that brings it, or ask for another",
                   provider, model->head.version, list);
}

/* Providers with options of a type of their own, which stay as they are made. */
typedef struct typed_provider {
    const char *name;
    enum slot create, append, release;
} typed_provider;

static OrtStatus *append_typed(const er_ort *model, const typed_provider *typed, OrtHandle *options) {
    typedef OrtStatus *(*create_fn)(OrtHandle **);
    typedef OrtStatus *(*append_fn)(OrtHandle *, const OrtHandle *);
    OrtHandle *own = NULL;
    OrtStatus *error = CALL(model, typed->create, create_fn)(&own);
    if (!error) error = CALL(model, typed->append, append_fn)(options, own);
    er_ort_release(model, typed->release, own);
    return error;
}

/* The others are appended by name: up to ONNX Runtime 1.21 by a shorter one. */
static const char *short_name(const char *provider) {
    static const char *const names[][2] = {
        {"XnnpackExecutionProvider", "XNNPACK"},   {"QNNExecutionProvider", "QNN"},
        {"OpenVINOExecutionProvider", "OpenVINO"}, {"CoreMLExecutionProvider", "CoreML"},
        {"WebGpuExecutionProvider", "WebGPU"},     {"VitisAIExecutionProvider", "VitisAI"},
        {"AzureExecutionProvider", "AZURE"},       {"NvTensorRTRTXExecutionProvider", "NvTensorRtRtx"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], provider) == 0) return names[i][1];
    return provider;
}

static erai_status append_built_in(const er_ort *model, const char *provider, OrtHandle *options, char *detail) {
    typedef OrtStatus *(*append_fn)(OrtHandle *, const char *, const char *const *, const char *const *, size_t);
    static const typed_provider typed[] = {
        {"CUDAExecutionProvider", CREATE_CUDA_OPTIONS, APPEND_CUDA, RELEASE_CUDA_OPTIONS},
        {"TensorrtExecutionProvider", CREATE_TENSORRT_OPTIONS, APPEND_TENSORRT, RELEASE_TENSORRT_OPTIONS},
    };
    OrtStatus *error = NULL;
    erai_status status = find_available(model, provider, detail);
    if (status) return status;
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        if (strcmp(typed[i].name, provider) != 0) continue;
        error = append_typed(model, &typed[i], options);
        return error ? set_up_failed(model, error, provider, detail) : ERAI_OK;
    }
    if (model->version < NAMED_PROVIDERS)
        return er_fail(detail, ERAI_E_PROVIDER, "%s needs ONNX Runtime 1.%d or newer, and %s is here", provider,
                       NAMED_PROVIDERS, model->head.version);
    error = CALL(model, APPEND_PROVIDER, append_fn)(options, short_name(provider), NULL, NULL, 0);
    return error ? set_up_failed(model, error, provider, detail) : ERAI_OK;
}

/* ---- Providers that a library of their own brings ---- */

/* The first device that the provider can run on; NULL when it is not registered, or finds none. */
static OrtStatus *find_device(const er_ort *model, const char *provider, const OrtHandle **device) {
    typedef OrtStatus *(*devices_fn)(const OrtHandle *, const OrtHandle *const **, size_t *);
    typedef const char *(*name_fn)(const OrtHandle *);
    const OrtHandle *const *devices = NULL;
    size_t count = 0;
    *device = NULL;
    OrtStatus *error = CALL(model, GET_EP_DEVICES, devices_fn)(model->env, &devices, &count);
    for (size_t i = 0; !error && !*device && i < count; i++)
        if (strcmp(CALL(model, EP_DEVICE_NAME, name_fn)(devices[i]), provider) == 0) *device = devices[i];
    return error;
}

static erai_status append_library(const er_ort *model, const er_ort_options *asked, OrtHandle *options, char *detail) {
    typedef OrtStatus *(*register_fn)(OrtHandle *, const char *, const char *);
    typedef OrtStatus *(*append_fn)(OrtHandle *, OrtHandle *, const OrtHandle *const *, size_t, const char *const *,
                                    const char *const *, size_t);
    if (model->version < PROVIDER_LIBRARIES)
        return er_fail(detail, ERAI_E_PROVIDER,
                       "%s from %s: ONNX Runtime 1.%d or newer takes providers from libraries, and %s is here",
                       asked->provider, asked->provider_path, PROVIDER_LIBRARIES, model->head.version);
    const OrtHandle *device = NULL;
    OrtStatus *refused = NULL, *error = find_device(model, asked->provider, &device);
    if (!error && !device) {
        /* Registered for the process. Where another session does it at the same time this is refused, and fine. */
        refused =
            CALL(model, REGISTER_PROVIDER_LIBRARY, register_fn)(model->env, asked->provider_path, asked->provider_path);
        error = find_device(model, asked->provider, &device);
    }
    if (!error && device) {
        er_ort_release(model, RELEASE_STATUS, refused);
        error = CALL(model, APPEND_PROVIDER_DEVICES, append_fn)(options, model->env, &device, 1, NULL, NULL, 0);
        return error ? set_up_failed(model, error, asked->provider, detail) : ERAI_OK;
    }
    if (error) {
        er_ort_release(model, RELEASE_STATUS, refused);
        refused = error;
    }
    if (refused) return set_up_failed(model, refused, asked->provider, detail);
    return er_fail(detail, ERAI_E_PROVIDER, "%s: the library was loaded and offers no device of %s here",
                   asked->provider_path, asked->provider);
}

erai_status er_provider_append(const er_ort *model, const er_ort_options *asked, OrtHandle *options, char *detail) {
    typedef OrtStatus *(*config_fn)(OrtHandle *, const char *, const char *);
    if (er_provider_is_cpu(asked->provider)) return ERAI_OK;
    OrtStatus *error = CALL(model, ADD_SESSION_CONFIG, config_fn)(options, NO_FALLBACK, "1");
    if (error) return set_up_failed(model, error, asked->provider, detail);
    return asked->provider_path ? append_library(model, asked, options, detail)
                                : append_built_in(model, asked->provider, options, detail);
}
