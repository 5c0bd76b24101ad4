/* Opening a session: from a bundle, a bare model, or a guard program alone. */
#include "manifest.h"
#include "requirements.h"
#include "session.h"
#include "sha256.h"
#include "spool.h"
#include "status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MODEL_SIZE ((size_t)INT32_MAX)

static const erai_session_config no_config = {.struct_size = sizeof(erai_session_config)};

static erai_status take_config(const erai_session_config **config, char *detail) {
    if (!*config) *config = &no_config;
    if ((*config)->struct_size != sizeof no_config)
        return er_fail(detail, ERAI_E_STRUCT, "erai_session_config: struct_size is %zu, this build knows %zu",
                       (*config)->struct_size, sizeof no_config);
    return ERAI_OK;
}

/* ---- The default policy of a bare model: data type, declared shape, finite ---- */

static erai_status default_guard(const er_model *model, erai_guard **guard, char *detail) {
    size_t inputs = er_model_inputs(model), outputs = er_model_outputs(model);
    int batched = 1;
    for (size_t i = 0; i < inputs; i++)
        batched &= er_model_input(model, i)->rank > 0 && er_model_input(model, i)->shape[0] < 0;
    for (size_t i = 0; i < outputs; i++)
        batched &= er_model_output(model, i)->rank > 0 && er_model_output(model, i)->shape[0] < 0;
    erai_policy *policy = NULL;
    erai_status status = erai_policy_open(batched, &policy);
    static const int64_t most[ERAI_MAX_RANK] = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX,
                                                INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    for (size_t i = 0; !status && i < inputs; i++) {
        const er_tensor_spec *spec = er_model_input(model, i);
        erai_input_rule input = {.struct_size = sizeof input,
                                 .name = spec->name,
                                 .shape = spec->shape,
                                 .max_shape = most,
                                 .rank = spec->rank,
                                 .dtype = spec->dtype,
                                 .flags = ERAI_RULE_FINITE,
                                 .feature_axis = -1,
                                 .sketch_stride = 1};
        erai_feature_rule feature = {
            .struct_size = sizeof feature, .name = spec->name, .low = -INFINITY, .high = INFINITY};
        status = erai_policy_add_input(policy, &input, detail);
        if (!status) status = erai_policy_add_feature(policy, &feature, detail);
    }
    for (size_t i = 0; !status && i < outputs; i++) {
        const er_tensor_spec *spec = er_model_output(model, i);
        erai_output_rule output = {.struct_size = sizeof output,
                                   .name = spec->name,
                                   .shape = spec->shape,
                                   .rank = spec->rank,
                                   .dtype = spec->dtype,
                                   .flags = ERAI_RULE_FINITE};
        status = erai_policy_add_output(policy, &output, detail);
    }
    size_t size = 0;
    uint8_t *bytes = NULL;
    if (!status) status = erai_policy_write(policy, NULL, 0, &size, detail);
    if (status == ERAI_E_SIZE) {
        bytes = malloc(size);
        status = bytes ? erai_policy_write(policy, bytes, size, &size, detail)
                       : er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    if (!status) status = erai_guard_open(bytes, size, guard, detail);
    free(bytes);
    erai_policy_close(policy);
    /* A signature that no rule can describe (a zero-size axis, say) is a model this version does not take. */
    return status == ERAI_E_POLICY ? ERAI_E_MODEL_UNSUPPORTED : status;
}

/* ---- Guard and model belong together ---- */

static erai_status match(const char *side, const char *name, uint32_t dtype, uint32_t rank, const int64_t *shape,
                         const er_tensor_spec *spec, char *detail) {
    if (strcmp(name, spec->name) != 0)
        return er_fail(detail, ERAI_E_GUARD_MISMATCH, "the guard program's %s '%s' stands where the model has '%s'",
                       side, name, spec->name);
    if (dtype != spec->dtype)
        return er_fail(detail, ERAI_E_GUARD_MISMATCH, "%s '%s': the guard program says %s, the model %s", side, name,
                       er_dtype_name(dtype), er_dtype_name(spec->dtype));
    for (uint32_t i = 0; i < rank && i < spec->rank; i++)
        if (shape[i] > 0 && spec->shape[i] > 0 && shape[i] != spec->shape[i])
            return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                           "%s '%s': the guard program says %lld on axis %u, the model %lld", side, name,
                           (long long)shape[i], i, (long long)spec->shape[i]);
    return ERAI_OK;
}

static erai_status match_model(const erai_guard *guard, const er_model *model, char *detail) {
    if (guard->input_count != er_model_inputs(model) || guard->output_count != er_model_outputs(model))
        return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                       "the guard program has %zu inputs and %zu outputs, the model %zu and %zu", guard->input_count,
                       guard->output_count, er_model_inputs(model), er_model_outputs(model));
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        const er_tensor_spec *spec = er_model_input(model, i);
        erai_status status = match("input", input->name, input->dtype, input->rank, input->shape, spec, detail);
        if (status) return status;
        if (input->rank != spec->rank)
            return er_fail(detail, ERAI_E_GUARD_MISMATCH, "input '%s': the guard program says rank %u, the model %u",
                           input->name, input->rank, spec->rank);
    }
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        erai_status status = match("output", output->name, output->dtype, output->rank, output->shape,
                                   er_model_output(model, i), detail);
        if (status) return status;
    }
    return ERAI_OK;
}

/* ---- Golden vectors ---- */

static erai_status compare_golden(const er_golden *golden, const er_buffer *got, double atol, char *detail) {
    int same_form = golden->dtype == got->dtype && golden->rank == got->rank &&
                    memcmp(golden->shape, got->shape, got->rank * sizeof *got->shape) == 0;
    if (!same_form)
        return er_fail(detail, ERAI_E_GOLDEN, "golden output '%s' came back with another type or shape", golden->name);
    size_t count = golden->size / erai_dtype_size(golden->dtype);
    for (size_t i = 0; i < count; i++) {
        double expected = er_golden_value(golden->data, golden->dtype, i);
        double value = er_golden_value(got->data, got->dtype, i);
        if (fabs(expected - value) <= atol || (isnan(expected) && isnan(value)) || expected == value) continue;
        return er_fail(detail, ERAI_E_GOLDEN,
                       "golden output '%s', element %zu: this device's ONNX Runtime answers %.9g where %.9g was "
                       "recorded (tolerance %g)",
                       golden->name, i, value, expected, atol);
    }
    return ERAI_OK;
}

static const er_golden *find_golden(const er_golden *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

static erai_status collect_golden(const er_model *model, const er_manifest *manifest, erai_tensor *inputs,
                                  char *detail) {
    for (size_t i = 0; i < er_model_inputs(model); i++) {
        const er_tensor_spec *spec = er_model_input(model, i);
        const er_golden *golden = find_golden(manifest->golden_inputs, manifest->golden_input_count, spec->name);
        if (!golden || golden->dtype != spec->dtype || golden->rank != spec->rank)
            return er_fail(detail, ERAI_E_GOLDEN, "manifest.json: no golden vector fits input '%s'", spec->name);
        for (uint32_t axis = 0; axis < golden->rank; axis++)
            if (golden->shape[axis] < 1)
                return er_fail(detail, ERAI_E_GOLDEN, "manifest.json: golden input '%s' has a zero-size axis",
                               spec->name);
        inputs[i] =
            (erai_tensor){.data = golden->data, .shape = golden->shape, .rank = golden->rank, .dtype = golden->dtype};
    }
    return ERAI_OK;
}

erai_status er_replay_golden(er_model *model, const er_manifest *manifest, char *detail) {
    size_t input_count = er_model_inputs(model), output_count = er_model_outputs(model);
    erai_tensor *inputs = calloc(input_count, sizeof *inputs);
    er_buffer *outputs = calloc(output_count, sizeof *outputs);
    er_binding *binding = NULL;
    erai_status status =
        inputs && outputs ? er_binding_open(model, &binding) : er_fail(detail, ERAI_E_MEMORY, "out of memory");
    if (!status) status = collect_golden(model, manifest, inputs, detail);
    if (!status) status = er_binding_run(binding, inputs, outputs, detail);
    if (status == ERAI_E_INFERENCE) status = ERAI_E_GOLDEN;
    for (size_t i = 0; !status && i < output_count; i++) {
        const char *name = er_model_output(model, i)->name;
        const er_golden *golden = find_golden(manifest->golden_outputs, manifest->golden_output_count, name);
        status = golden ? compare_golden(golden, &outputs[i], manifest->golden_atol, detail)
                        : er_fail(detail, ERAI_E_GOLDEN, "manifest.json: no golden vector for output '%s'", name);
    }
    er_binding_close(binding);
    for (size_t i = 0; outputs && i < output_count; i++) free(outputs[i].data);
    free(inputs);
    free(outputs);
    return status;
}

/* ---- Composition ---- */

static erai_status open_spool(erai_session *session, const char *path, char *detail) {
    erai_status status = erai_spool_open(path, &session->spool, detail);
    if (status) return status;
    char name[16 + 2 * ERAI_DIGEST_SIZE] = "guard-";
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) snprintf(name + 6 + 2 * i, 3, "%02x", session->guard->digest[i]);
    strcat(name, ".bin");
    return er_spool_put_once(session->spool, name, session->guard->bytes, session->guard->size, detail);
}

/* Takes guard and model whatever the outcome. */
static erai_status compose(erai_guard *guard, er_model *model, const uint8_t *model_digest,
                           const erai_session_config *config, erai_session **out, char *detail) {
    erai_session *session = calloc(1, sizeof *session);
    if (!session || er_mutex_init(&session->lock)) {
        free(session);
        erai_guard_close(guard);
        er_model_close(model);
        return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    session->guard = guard;
    session->model = model;
    memcpy(session->model_digest, model_digest, ERAI_DIGEST_SIZE);
    session->statistics_size = er_statistics_size(guard->feature_count);
    if (!er_memory_open(&session->memory, guard) || !er_gate_open(&session->gate, &guard->decision, 0)) abort(); /* scaffold */
    session->clock = config->clock;
    session->carried = calloc(session->statistics_size, sizeof *session->carried);
    session->taken = calloc(session->statistics_size, sizeof *session->taken);
    session->window_ns = er_monotonic_ns();
    session->window_unix_ns = er_unix_ns();
    erai_status status = session->carried && session->taken ? ERAI_OK : er_fail(detail, ERAI_E_MEMORY, "out of memory");
    if (!status && config->spool_path) status = open_spool(session, config->spool_path, detail);
    if (status) {
        erai_session_close(session);
        return status;
    }
    *out = session;
    return ERAI_OK;
}

erai_status erai_session_open_bundle(const erai_bundle *bundle, const erai_session_config *config,
                                     erai_session **session, char *detail) {
    if (!bundle || !session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_open_bundle: NULL");
    erai_status status = take_config(&config, detail);
    if (status) return status;
    const er_manifest *manifest = er_bundle_manifest(bundle);
    if (strcmp(manifest->model_format, "onnx") != 0)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s: model format '%s'; this version runs onnx",
                       manifest->model_name, manifest->model_format);
    er_model *model = NULL;
    erai_guard *guard = NULL;
    status = er_requirements_check_build(bundle, detail);
    if (!status)
        status = er_model_open(&(er_model_options){.runtime_path = config->runtime_path, .threads = config->threads}, manifest->model_name, manifest->model,
                               manifest->model_size, &model, detail);
    if (!status) status = er_requirements_check_runtime(bundle, er_model_runtime_version(model), detail);
    if (!status) status = erai_guard_open(manifest->guard, manifest->guard_size, &guard, detail);
    if (!status) status = match_model(guard, model, detail);
    if (!status) status = er_replay_golden(model, manifest, detail);
    if (status) {
        er_model_close(model);
        erai_guard_close(guard);
        return status;
    }
    return compose(guard, model, manifest->model_digest, config, session, detail);
}

static erai_status open_model(const char *path, const erai_session_config *config, erai_session **session,
                              char *detail) {
    uint8_t *bytes = NULL, digest[ERAI_DIGEST_SIZE];
    size_t size = 0;
    erai_status status = er_file_read(path, MAX_MODEL_SIZE, &bytes, &size, detail);
    if (status) return status;
    erai_sha256(bytes, size, digest);
    free(bytes);
    er_model *model = NULL;
    erai_guard *guard = NULL;
    /* By path, so that weights in files beside the model are found. */
    status = er_model_open(&(er_model_options){.runtime_path = config->runtime_path, .threads = config->threads}, path, NULL, 0, &model, detail);
    if (!status) status = default_guard(model, &guard, detail);
    if (status) {
        er_model_close(model);
        return status;
    }
    status = compose(guard, model, digest, config, session, detail);
    if (!status) (*session)->rows_assumed = (*session)->guard->batched;
    return status;
}

static int has_suffix(const char *text, const char *suffix) {
    size_t length = strlen(text), end = strlen(suffix);
    return length >= end && strcmp(text + length - end, suffix) == 0;
}

erai_status erai_session_open(const char *path, const erai_session_config *config, erai_session **session,
                              char *detail) {
    if (!path || !session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_open: NULL");
    erai_status status = take_config(&config, detail);
    if (status) return status;
    if (has_suffix(path, ".onnx") && er_path_look(path) != ER_PATH_DIRECTORY)
        return open_model(path, config, session, detail);
    if (has_suffix(path, ".tflite") && er_path_look(path) == ER_PATH_FILE)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s is a TFLite model; this version runs ONNX models", path);
    erai_bundle *bundle = NULL;
    status = erai_bundle_open(path, &bundle, detail);
    if (!status) status = erai_session_open_bundle(bundle, config, session, detail);
    erai_bundle_close(bundle);
    return status;
}

erai_status erai_session_open_guard(const erai_guard *guard, const uint8_t model_digest[ERAI_DIGEST_SIZE],
                                    const erai_session_config *config, erai_session **session, char *detail) {
    if (!guard || !model_digest || !session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_open_guard: NULL");
    erai_status status = take_config(&config, detail);
    erai_guard *copy = NULL;
    if (!status) status = erai_guard_open(guard->bytes, guard->size, &copy, detail);
    return status ? status : compose(copy, NULL, model_digest, config, session, detail);
}

void erai_session_close(erai_session *session) {
    if (!session) return;
    erai_spool_close(session->spool);
    er_model_close(session->model);
    erai_guard_close(session->guard);
    free(session->carried);
    free(session->taken);
    er_mutex_destroy(&session->lock);
    free(session);
}

const erai_guard *erai_session_guard(const erai_session *session) {
    return session->guard;
}
