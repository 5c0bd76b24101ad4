/* Opening a session: from a bundle, a bare model, or a guard program alone. */
#include "manifest.h"
#include "requirements.h"
#include "session.h"
#include "sha256.h"
#include "spool.h"
#include "status.h"

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

/* ---- Guard and models belong together ---- */

static const char *type_name(uint32_t dtype) {
    return dtype ? er_dtype_name(dtype) : "a sequence, map or optional";
}

/* Holds a model's input or output against the rule with its name. */
static erai_status match(const char *side, const char *name, uint32_t dtype, uint32_t rank, const int64_t *shape,
                         const er_tensor_spec *spec, char *detail) {
    if (dtype != spec->dtype)
        return er_fail(detail, ERAI_E_GUARD_MISMATCH, "%s '%s': the guard program says %s, the model %s", side, name,
                       type_name(dtype), type_name(spec->dtype));
    for (uint32_t i = 0; i < rank && i < spec->rank; i++)
        if (shape[i] > 0 && spec->shape[i] > 0 && shape[i] != spec->shape[i])
            return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                           "%s '%s': the guard program says %lld on axis %u, the model %lld", side, name,
                           (long long)shape[i], i, (long long)spec->shape[i]);
    return ERAI_OK;
}

static erai_status match_input(const er_input *input, const er_tensor_spec *spec, char *detail) {
    erai_status status = match("input", input->name, input->dtype, input->rank, input->shape, spec, detail);
    if (!status && input->rank != spec->rank && !spec->any_rank)
        return er_fail(detail, ERAI_E_GUARD_MISMATCH, "input '%s': the guard program says rank %u, the model %u",
                       input->name, input->rank, spec->rank);
    return status;
}

/* An output's declared rank may lie, the model's own and so the policy's. */
static erai_status match_output(const er_output *output, const er_tensor_spec *spec, char *detail) {
    return match("output", output->name, output->dtype, output->rank, output->shape, spec, detail);
}

static erai_status misplaced(const char *side, const char *name, const er_tensor_spec *spec, char *detail) {
    return er_fail(detail, ERAI_E_GUARD_MISMATCH, "the guard program's %s '%s' stands where the model has '%s'", side,
                   name, spec->name);
}

static erai_status match_model(const erai_guard *guard, const er_model *model, char *detail) {
    if (guard->input_count != er_model_inputs(model) || guard->output_count != er_model_outputs(model))
        return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                       "the guard program has %zu inputs and %zu outputs, the model %zu and %zu", guard->input_count,
                       guard->output_count, er_model_inputs(model), er_model_outputs(model));
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && i < guard->input_count; i++) {
        const er_tensor_spec *spec = er_model_input(model, i);
        const er_input *input = &guard->inputs[i];
        status = strcmp(input->name, spec->name) == 0 ? match_input(input, spec, detail)
                                                      : misplaced("input", input->name, spec, detail);
    }
    for (size_t i = 0; !status && i < guard->output_count; i++) {
        const er_tensor_spec *spec = er_model_output(model, i);
        const er_output *output = &guard->outputs[i];
        status = strcmp(output->name, spec->name) == 0 ? match_output(output, spec, detail)
                                                       : misplaced("output", output->name, spec, detail);
    }
    return status;
}

/* ---- The fallback model takes what the primary takes, and answers what it answers ---- */

static const er_tensor_spec *find_spec(const er_tensor_spec *(*spec_of)(const er_model *, size_t),
                                       const er_model *model, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(spec_of(model, i)->name, name) == 0) return spec_of(model, i);
    return NULL;
}

static erai_status lacks(const char *side, const char *name, char *detail) {
    return er_fail(detail, ERAI_E_GUARD_MISMATCH, "the fallback model has no %s '%s', which the primary has", side,
                   name);
}

/* In any order; without the states, or with them. */
static erai_status match_fallback(const erai_guard *guard, const er_model *primary, er_model *fallback, char *detail) {
    size_t inputs = er_model_inputs(fallback), outputs = er_model_outputs(fallback);
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        const er_tensor_spec *spec = find_spec(er_model_input, fallback, inputs, input->name);
        if (spec)
            status = match_input(input, spec, detail);
        else if (!input->is_state)
            status = lacks("input", input->name, detail);
    }
    for (size_t i = 0; !status && i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        const er_tensor_spec *spec = find_spec(er_model_output, fallback, outputs, output->name);
        if (!spec) {
            if (!output->is_state) status = lacks("output", output->name, detail);
            continue;
        }
        status = match_output(output, spec, detail);
        if (!status && spec->rank != er_model_output(primary, i)->rank)
            status =
                er_fail(detail, ERAI_E_GUARD_MISMATCH, "output '%s': the fallback model says rank %u, the primary %u",
                        output->name, spec->rank, er_model_output(primary, i)->rank);
    }
    if (!status && !er_model_align(fallback, primary))
        status = er_fail(detail, ERAI_E_GUARD_MISMATCH,
                         "the fallback model has an input or output that the primary does not have");
    return status;
}

/* ---- Composition ---- */

/* What a session is made of. */
typedef struct er_parts {
    erai_guard *guard;
    er_model *model, *fallback;
    const uint8_t *model_digest;
    const char *path; /* of the bundle or model, resolved; NULL: none */
    int rows_assumed, rows_depend;
} er_parts;

static erai_status out_of_memory(char *detail) {
    return er_fail(detail, ERAI_E_MEMORY, "out of memory");
}

static erai_status open_spool(erai_session *session, const char *path, char *detail) {
    erai_status status = erai_spool_open(path, &session->spool, detail);
    if (status) return status;
    char name[16 + 2 * ERAI_DIGEST_SIZE] = "guard-";
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) snprintf(name + 6 + 2 * i, 3, "%02x", session->guard->digest[i]);
    strcat(name, ".bin");
    return er_spool_put_once(session->spool, name, session->guard->bytes, session->guard->size, detail);
}

static char *stop_path(const char *path) {
    char *made = malloc(strlen(path) + sizeof ".stopped");
    if (made) sprintf(made, "%s.stopped", path);
    return made;
}

/* What is under a lock. 0 when out of memory: then none of it is open. */
static int open_locked(erai_session *session) {
    if (er_mutex_init(&session->lock)) return 0;
    if (er_mutex_init(&session->call_lock) == 0) {
        if (er_memory_open(&session->memory, session->guard)) {
            if (er_gate_open(&session->gate, er_session_ns(session))) return 1;
            er_memory_close(&session->memory);
        }
        er_mutex_destroy(&session->call_lock);
    }
    er_mutex_destroy(&session->lock);
    return 0;
}

static erai_status open_cache(erai_session *session, size_t bytes, char *detail) {
    const char *why = !session->model                   ? "has no model"
                      : session->rows_depend            ? "has a model whose rows depend on their batch mates"
                      : session->guard->state_count > 0 ? "has a model with states"
                                                        : NULL;
    if (why)
        return er_fail(detail, ERAI_E_ARGUMENT, "cache_bytes is %zu, and this session %s: leave cache_bytes 0", bytes,
                       why);
    session->cache = er_cache_open(bytes);
    return session->cache ? ERAI_OK : out_of_memory(detail);
}

/* What only some policies ask for. */
static erai_status open_components(erai_session *session, const erai_session_config *config, char *detail) {
    const erai_guard *guard = session->guard;
    const erai_decision_rule *decision = &guard->decision;
    if (guard->state_count && !(session->recurrent = er_recurrent_open(guard))) return out_of_memory(detail);
    if (decision->last_good_keys &&
        !(session->last_good = er_last_good_open(decision->last_good_keys, guard->outputs, guard->output_count)))
        return out_of_memory(detail);
    if (decision->review_rows && !(session->review = er_review_open(decision->review_rows, guard->given_count)))
        return out_of_memory(detail);
    return config->cache_bytes ? open_cache(session, config->cache_bytes, detail) : ERAI_OK;
}

static erai_status fill_session(erai_session *session, const er_parts *parts, const erai_session_config *config,
                                char *detail) {
    memcpy(session->model_digest, parts->model_digest, ERAI_DIGEST_SIZE);
    session->statistics_size = er_statistics_size(session->guard->feature_count);
    session->carried = calloc(session->statistics_size, sizeof *session->carried);
    session->taken = calloc(session->statistics_size, sizeof *session->taken);
    session->process = er_process();
    session->window_ns = er_session_ns(session);
    session->window_unix_ns = er_session_unix_ns(session);
    if (parts->path) session->stop_path = stop_path(parts->path);
    if (!session->carried || !session->taken || (parts->path && !session->stop_path)) return out_of_memory(detail);
    erai_status status = open_components(session, config, detail);
    if (!status && config->spool_path) status = open_spool(session, config->spool_path, detail);
    if (!status) session->stopped = er_stop_found(session);
    return status;
}

static void close_parts(const er_parts *parts) {
    er_model_close(parts->fallback);
    er_model_close(parts->model);
    erai_guard_close(parts->guard);
}

/* Takes guard and models whatever the outcome. */
static erai_status compose(const er_parts *parts, const erai_session_config *config, erai_session **out, char *detail) {
    erai_session *session = calloc(1, sizeof *session);
    if (session) {
        session->guard = parts->guard;
        session->model = parts->model;
        session->fallback = parts->fallback;
        session->clock = config->clock;
        session->rows_assumed = parts->rows_assumed;
        session->rows_depend = parts->rows_depend;
    }
    if (!session || !open_locked(session)) {
        free(session);
        close_parts(parts);
        return out_of_memory(detail);
    }
    erai_status status = fill_session(session, parts, config, detail);
    if (status)
        erai_session_close(session);
    else
        *out = session;
    return status;
}

void erai_session_close(erai_session *session) {
    if (!session) return;
    erai_spool_close(session->spool);
    er_cache_close(session->cache);
    er_review_close(session->review);
    er_last_good_close(session->last_good);
    er_recurrent_close(session->recurrent);
    er_gate_close(&session->gate);
    er_memory_close(&session->memory);
    er_model_close(session->fallback);
    er_model_close(session->model);
    erai_guard_close(session->guard);
    free(session->stop_path);
    free(session->carried);
    free(session->taken);
    er_mutex_destroy(&session->call_lock);
    er_mutex_destroy(&session->lock);
    free(session);
}

/* ---- From a bundle ---- */

/* The provider that the policy requires and the one asked for. */
static erai_status take_provider(const erai_guard *guard, const erai_session_config *config, er_model_options *options,
                                 char *detail) {
    const char *required = guard->decision.provider;
    if (required && config->provider && strcmp(required, config->provider) != 0)
        return er_fail(detail, ERAI_E_PROVIDER, "the policy requires %s and %s was asked for: ask for what it requires",
                       required, config->provider);
    options->provider = required ? required : config->provider;
    return ERAI_OK;
}

/* The files beside a model, by their names relative to it: it may have weights there. */
static size_t find_model_files(const erai_bundle *bundle, const char *model, er_model_file files[ER_MAX_MODEL_FILES]) {
    const char *slash = strrchr(model, '/');
    size_t directory = slash ? (size_t)(slash + 1 - model) : 0, count = 0;
    for (size_t i = 0; i < bundle->count && count < ER_MAX_MODEL_FILES; i++) {
        const er_bundle_file *file = &bundle->files[i];
        if (strncmp(file->name, model, directory) != 0 || strcmp(file->name, model) == 0) continue;
        files[count++] = (er_model_file){.name = file->name + directory, .data = file->data, .size = file->size};
    }
    return count;
}

static erai_status open_bundle_model(const erai_bundle *bundle, const er_manifest_model *source,
                                     er_model_options options, er_model **model, char *detail) {
    er_model_file files[ER_MAX_MODEL_FILES];
    options.files = files;
    options.file_count = find_model_files(bundle, source->name, files);
    return er_model_open(&options, source->name, source->data, source->size, model, detail);
}

static erai_status check_format(const er_manifest_model *source, char *detail) {
    if (!source->name || strcmp(source->format, "onnx") == 0) return ERAI_OK;
    return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s: model format '%s'; this version runs onnx", source->name,
                   source->format);
}

static er_model_options options_of(const erai_session_config *config) {
    return (er_model_options){.runtime_path = config->runtime_path,
                              .provider = config->provider,
                              .provider_path = config->provider_path,
                              .threads = config->threads};
}

static erai_status open_bundle_parts(const erai_bundle *bundle, const erai_session_config *config, er_parts *parts,
                                     char *detail) {
    const er_manifest *manifest = er_bundle_manifest(bundle);
    er_model_options options = options_of(config);
    erai_status status = check_format(&manifest->primary, detail);
    if (!status) status = check_format(&manifest->fallback, detail);
    if (!status) status = er_requirements_check_build(bundle, detail);
    if (!status) status = erai_guard_open(manifest->guard, manifest->guard_size, &parts->guard, detail);
    if (!status) status = take_provider(parts->guard, config, &options, detail);
    if (!status) status = open_bundle_model(bundle, &manifest->primary, options, &parts->model, detail);
    if (!status) status = er_requirements_check_runtime(bundle, er_model_runtime_version(parts->model), detail);
    if (!status) status = match_model(parts->guard, parts->model, detail);
    if (!status) status = er_replay_golden(parts->model, manifest, detail);
    if (status || !manifest->fallback.name) return status;
    status = open_bundle_model(bundle, &manifest->fallback, options, &parts->fallback, detail);
    return status ? status : match_fallback(parts->guard, parts->model, parts->fallback, detail);
}

erai_status erai_session_open_bundle(const erai_bundle *bundle, const erai_session_config *config,
                                     erai_session **session, char *detail) {
    if (!bundle || !session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_open_bundle: NULL");
    erai_status status = take_config(&config, detail);
    if (status) return status;
    const er_manifest *manifest = er_bundle_manifest(bundle);
    er_parts parts = {.model_digest = manifest->primary.digest, .path = bundle->path};
    parts.rows_depend = !manifest->primary.rows_independent;
    if (manifest->fallback.name) parts.rows_depend |= !manifest->fallback.rows_independent;
    status = open_bundle_parts(bundle, config, &parts, detail);
    if (!status) return compose(&parts, config, session, detail);
    close_parts(&parts);
    return status;
}

/* ---- From a model, or from a guard program ---- */

/* What the bytes of a model say; they are not kept, as the runtime reads the file itself. */
typedef struct er_seen {
    uint8_t digest[ERAI_DIGEST_SIZE];
    int recurrent, mixes_rows; /* er_model_may_be_recurrent, er_model_may_mix_rows */
} er_seen;

static erai_status look_at_model(const char *path, er_seen *seen, char *detail) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    erai_status status = er_file_read(path, MAX_MODEL_SIZE, &bytes, &size, detail);
    if (status) return status;
    erai_sha256(bytes, size, seen->digest);
    if (er_model_points_into_memory(bytes, size))
        status = er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                         "%s takes its weights from addresses in memory, not from files", path);
    seen->recurrent = er_model_may_be_recurrent(bytes, size);
    seen->mixes_rows = er_model_may_mix_rows(bytes, size);
    free(bytes);
    return status;
}

static erai_status open_model(const char *path, const erai_session_config *config, erai_session **session,
                              char *detail) {
    er_seen seen;
    char *resolved = NULL;
    er_parts parts = {.model_digest = seen.digest};
    er_model_options options = options_of(config);
    erai_status status = look_at_model(path, &seen, detail);
    if (!status) status = er_path_resolve(path, &resolved, detail);
    parts.path = resolved;
    /* By path, so that weights in files beside the model are found. */
    if (!status) status = er_model_open(&options, path, NULL, 0, &parts.model, detail);
    if (!status) status = er_default_guard(parts.model, seen.recurrent, &parts.guard, detail);
    if (!status) {
        parts.rows_depend = parts.guard->batched && seen.mixes_rows;
        parts.rows_assumed = parts.guard->batched && !seen.mixes_rows;
        status = compose(&parts, config, session, detail);
    } else {
        close_parts(&parts);
    }
    free(resolved);
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
    er_parts parts = {.model_digest = model_digest};
    if (!status) status = erai_guard_open(guard->bytes, guard->size, &parts.guard, detail);
    return status ? status : compose(&parts, config, session, detail);
}

const erai_guard *erai_session_guard(const erai_session *session) {
    return session->guard;
}

int erai_session_rows_independent(const erai_session *session) {
    return !session->rows_depend;
}
