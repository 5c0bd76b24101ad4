/* Opening a session: from a bundle, a bare model, or a guard program alone. */
#include "manifest.h"
#include "ort.h"
#include "recording.h"
#include "requirements.h"
#include "runtime.h"
#include "session.h"
#include "sha256.h"
#include "spool.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MODEL_SIZE ((size_t)INT32_MAX)
#define ONNX "onnx"
#define TFLITE "tflite"

static const erai_session_config no_config = {.struct_size = sizeof(erai_session_config)};

static erai_status take_config(const erai_session_config **config, char *detail) {
    if (!*config) *config = &no_config;
    if ((*config)->struct_size != sizeof no_config)
        return er_fail(detail, ERAI_E_STRUCT, "erai_session_config: struct_size is %zu, this build knows %zu",
                       (*config)->struct_size, sizeof no_config);
    return er_runtime_check((*config)->runtime, detail);
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
    int keeps_state = session->model && (session->model->keeps_state || session->guard->state_count > 0);
    const char *why = !session->model        ? "has no model"
                      : keeps_state          ? "has a model with states"
                      : session->rows_depend ? "has a model whose rows depend on their batch mates"
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
    if (guard->drift.struct_size && !(session->watch = er_watch_open(guard, session->clock)))
        return out_of_memory(detail);
    return config->cache_bytes ? open_cache(session, config->cache_bytes, detail) : ERAI_OK;
}

static erai_status fill_session(erai_session *session, const er_parts *parts, const erai_session_config *config,
                                char *detail) {
    memcpy(session->model_digest, parts->model_digest, ERAI_DIGEST_SIZE);
    session->carried = calloc(ER_COUNTS, sizeof *session->carried);
    session->taken = calloc(ER_COUNTS, sizeof *session->taken);
    session->process = er_process();
    er_stopwatch_check();
    session->window_ns = er_session_ns(session);
    session->window_unix_ns = er_session_unix_ns(session);
    if (parts->path) session->stop_path = stop_path(parts->path);
    if (!session->carried || !session->taken || (parts->path && !session->stop_path)) return out_of_memory(detail);
    erai_status status = open_components(session, config, detail);
    if (!status) status = er_recording_open(session, config, detail);
    if (!status && session->spool && session->watch) er_watch_continue(session);
    if (!status && config->quantiles_k) status = er_row_quantiles_open(session, config, detail);
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
    er_events_close(session->events);
    free(session->taken_events);
    free(session->taken_fields);
    er_cache_close(session->cache);
    er_row_quantiles_close(session->quantiles);
    er_watch_close(session->watch);
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
    free(session->totals);
    while (session->left) {
        er_tally *left = session->left;
        session->left = left->next;
        free(left);
    }
    er_mutex_destroy(&session->call_lock);
    er_mutex_destroy(&session->lock);
    free(session);
}

/* ---- Models ---- */

/* A model to be opened: of a bundle, or a bare one. */
typedef struct er_file {
    const char *name, *format;
    const uint8_t *data;
    size_t size;
    const erai_bundle *bundle; /* NULL: the name is its path */
    const char *provider;
} er_file;

/* The provider that the policy requires and the one asked for. */
static erai_status take_provider(const erai_guard *guard, const erai_session_config *config, const char **provider,
                                 char *detail) {
    const char *required = guard->decision.provider;
    if (required && config->provider && strcmp(required, config->provider) != 0)
        return er_fail(detail, ERAI_E_PROVIDER, "the policy requires %s and %s was asked for: ask for what it requires",
                       required, config->provider);
    *provider = required ? required : config->provider;
    return ERAI_OK;
}

/* The files beside a model, by their names relative to it: it may have weights there. */
static size_t find_files(const erai_bundle *bundle, const char *model, er_ort_file files[ER_MAX_ORT_FILES]) {
    const char *slash = strrchr(model, '/');
    size_t directory = slash ? (size_t)(slash + 1 - model) : 0, count = 0;
    for (size_t i = 0; i < bundle->count && count < ER_MAX_ORT_FILES; i++) {
        const er_bundle_file *file = &bundle->files[i];
        if (strncmp(file->name, model, directory) != 0 || strcmp(file->name, model) == 0) continue;
        files[count++] = (er_ort_file){.name = file->name + directory, .data = file->data, .size = file->size};
    }
    return count;
}

/* A bare model by path, so that weights in files beside it are found. */
static erai_status open_onnx(const er_file *file, const erai_session_config *config, er_model **model, char *detail) {
    er_ort_file files[ER_MAX_ORT_FILES];
    er_ort_options options = {.runtime_path = config->runtime_path,
                              .provider = file->provider,
                              .provider_path = config->provider_path,
                              .threads = config->threads};
    if (!file->bundle) return er_ort_open(&options, file->name, NULL, 0, model, detail);
    options.files = files;
    options.file_count = find_files(file->bundle, file->name, files);
    return er_ort_open(&options, file->name, file->data, file->size, model, detail);
}

static erai_status open_file(const er_file *file, const erai_session_config *config, er_model **model, char *detail) {
    if (strcmp(file->format, ONNX) == 0) return open_onnx(file, config, model, detail);
    if (!config->runtime || strcmp(file->format, config->runtime->format) != 0)
        return er_fail(detail, ERAI_E_RUNTIME_MISSING,
                       "%s: model format '%s'; this build runs onnx, and other formats through a runtime of the "
                       "application's own (edge_rai.h, erai_runtime)",
                       file->name, file->format);
    const erai_model_source source = {.name = file->name,
                                      .data = file->data,
                                      .size = file->size,
                                      .provider = file->provider,
                                      .provider_path = config->provider_path,
                                      .threads = config->threads};
    return er_runtime_open(config->runtime, &source, model, detail);
}

/* ---- From a bundle ---- */

/* Of a role's models the one that is to be tried at `turn`: that of the format asked for and no other, or else ONNX
 * first. NULL: there is no more. */
static const er_manifest_model *next_model(const er_manifest_role *role, const char *format, size_t turn) {
    const char *first = format ? format : ONNX;
    size_t at = 0;
    while (at < role->count && strcmp(role->models[at].format, first) != 0) at++;
    if (at < role->count && format) return turn ? NULL : &role->models[at];
    if (at == role->count) return turn < role->count ? &role->models[turn] : NULL;
    if (turn == 0) return &role->models[at];
    return turn < role->count ? &role->models[turn - (turn <= at)] : NULL;
}

/* Whether a model in another format may do: nothing is wrong with this one but that nothing here runs it, or not on the
 * provider that must. */
static int lacks_runtime(erai_status status) {
    return status == ERAI_E_RUNTIME_MISSING || status == ERAI_E_RUNTIME_OLD || status == ERAI_E_PROVIDER;
}

/* What one format lacks, and then another. `said` has ERAI_DETAIL_SIZE bytes. */
static void say_too(char *said, const char *why) {
    size_t used = strlen(said);
    if (used) used += (size_t)snprintf(said + used, ERAI_DETAIL_SIZE - used, "; and ");
    if (used < ERAI_DETAIL_SIZE) snprintf(said + used, ERAI_DETAIL_SIZE - used, "%s", why);
}

/* The role's model in the first format whose runtime is there and has the provider: the runtime and the provider are
 * chosen together. */
static erai_status open_role(const erai_bundle *bundle, const er_manifest_role *role, const char *provider,
                             const char *format, const erai_session_config *config, er_model **model,
                             const er_manifest_model **taken, char *detail) {
    char said[ERAI_DETAIL_SIZE] = "";
    erai_status refusal = ERAI_E_RUNTIME_MISSING;
    for (size_t turn = 0; (*taken = next_model(role, format, turn)); turn++) {
        const er_file file = {.name = (*taken)->name,
                              .format = (*taken)->format,
                              .data = (*taken)->data,
                              .size = (*taken)->size,
                              .bundle = bundle,
                              .provider = provider};
        char why[ERAI_DETAIL_SIZE] = "";
        erai_status status = open_file(&file, config, model, why);
        if (!status) return ERAI_OK;
        if (!lacks_runtime(status)) return er_fail(detail, status, "%s", why);
        if (turn == 0 || status == ERAI_E_PROVIDER) refusal = status;
        say_too(said, why);
    }
    return er_fail(detail, refusal, "%s", said);
}

static int has_format(const er_manifest_role *role, const char *format) {
    for (size_t i = 0; i < role->count; i++)
        if (strcmp(role->models[i].format, format) == 0) return 1;
    return 0;
}

static erai_status check_format(const erai_bundle *bundle, const char *format, char *detail) {
    const er_manifest_role *role = &er_bundle_manifest(bundle)->primary;
    if (!format || has_format(role, format)) return ERAI_OK;
    return er_fail(detail, ERAI_E_ARGUMENT,
                   "%s holds no model of format %s, only %s: leave the choice of the runtime out, or convert the model "
                   "to that format too",
                   bundle->label, format, role->models[0].format);
}

static erai_status open_primary(const erai_bundle *bundle, const char *provider, const erai_session_config *config,
                                er_parts *parts, char *detail) {
    const er_manifest *manifest = er_bundle_manifest(bundle);
    const er_manifest_model *taken = NULL;
    erai_status status =
        open_role(bundle, &manifest->primary, provider, config->format, config, &parts->model, &taken, detail);
    if (!status) status = er_requirements_check_model(bundle, parts->model, detail);
    if (!status) status = er_match_model(parts->guard, parts->model, detail);
    if (status) return status;
    parts->model_digest = taken->digest;
    parts->rows_depend = !taken->rows_independent || parts->model->keeps_state;
    return er_replay_golden(parts->model, taken->golden.inputs ? &taken->golden : &manifest->golden, detail);
}

/* A provider is one runtime's, that which the primary runs on: a fallback model of the same format must run there too,
 * and one of another format runs on its own runtime's CPU. */
static erai_status open_fallback(const erai_bundle *bundle, const char *provider, const erai_session_config *config,
                                 er_parts *parts, char *detail) {
    const er_manifest *manifest = er_bundle_manifest(bundle);
    const er_manifest_model *taken = NULL;
    if (!manifest->fallback.count) return ERAI_OK;
    const char *format = config->format ? config->format : provider ? parts->model->format : NULL;
    if (provider && !has_format(&manifest->fallback, parts->model->format)) provider = NULL;
    erai_status status =
        open_role(bundle, &manifest->fallback, provider, format, config, &parts->fallback, &taken, detail);
    if (!status) status = er_requirements_check_model(bundle, parts->fallback, detail);
    if (status) return status;
    parts->rows_depend |= !taken->rows_independent || parts->fallback->keeps_state;
    return er_match_fallback(parts->guard, parts->model, parts->fallback, detail);
}

static erai_status open_bundle_parts(const erai_bundle *bundle, const erai_session_config *config, er_parts *parts,
                                     char *detail) {
    const er_manifest *manifest = er_bundle_manifest(bundle);
    const char *provider = NULL;
    erai_status status = check_format(bundle, config->format, detail);
    if (!status) status = er_requirements_check_build(bundle, detail);
    if (!status) status = erai_guard_open(manifest->guard, manifest->guard_size, &parts->guard, detail);
    if (!status) status = take_provider(parts->guard, config, &provider, detail);
    if (!status) status = open_primary(bundle, provider, config, parts, detail);
    return status ? status : open_fallback(bundle, provider, config, parts, detail);
}

erai_status erai_session_open_bundle(const erai_bundle *bundle, const erai_session_config *config,
                                     erai_session **session, char *detail) {
    if (!bundle || !session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_open_bundle: NULL");
    erai_status status = take_config(&config, detail);
    if (status) return status;
    er_parts parts = {.path = bundle->path};
    status = open_bundle_parts(bundle, config, &parts, detail);
    if (!status) return compose(&parts, config, session, detail);
    close_parts(&parts);
    return status;
}

/* ---- From a model, or from a guard program ---- */

/* What the bytes of a model say beside its digest. */
static erai_status look_at_model(const er_file *file, er_parts *parts, int *recurrent, char *detail) {
    int is_onnx = strcmp(file->format, ONNX) == 0;
    if (is_onnx && file->size >= 8 && memcmp(file->data + 4, "TFL3", 4) == 0)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%s holds a TFLite model: give it a name that ends in .tflite",
                       file->name);
    if (is_onnx && er_model_points_into_memory(file->data, file->size))
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                       "%s takes its weights from addresses in memory, not from files", file->name);
    *recurrent = !is_onnx || er_model_may_be_recurrent(file->data, file->size);
    parts->rows_depend = is_onnx && er_model_may_mix_rows(file->data, file->size);
    return ERAI_OK;
}

static erai_status open_bare_parts(const er_file *file, int recurrent, const erai_session_config *config,
                                   er_parts *parts, char *detail) {
    erai_status status = open_file(file, config, &parts->model, detail);
    if (!status && recurrent && strcmp(file->format, ONNX) == 0) {
        parts->model->one_row = 0; /* axis 0 of a recurrent network may be time, one step of it */
        status = er_refuse_without_values(parts->model, detail);
    }
    if (!status) status = er_default_guard(parts->model, recurrent, &parts->guard, detail);
    if (!status) status = er_match_model(parts->guard, parts->model, detail);
    if (status) return status;
    parts->rows_depend = (parts->guard->batched && parts->rows_depend) || parts->model->keeps_state;
    parts->rows_assumed = parts->guard->batched && !parts->rows_depend && !parts->model->one_row;
    return ERAI_OK;
}

static erai_status open_model(const char *path, const char *format, const erai_session_config *config,
                              erai_session **session, char *detail) {
    uint8_t digest[ERAI_DIGEST_SIZE], *bytes = NULL;
    char *resolved = NULL;
    er_file file = {.name = path, .format = format, .provider = config->provider};
    er_parts parts = {.model_digest = digest};
    if (config->format && strcmp(config->format, format) != 0)
        return er_fail(
            detail, ERAI_E_ARGUMENT,
            "%s is a model of format %s, not %s: leave the choice of the runtime out, or name a file of that "
            "format",
            path, format, config->format);
    int recurrent = 0;
    erai_status status = er_file_read(path, MAX_MODEL_SIZE, &bytes, &file.size, detail);
    if (!status) status = er_path_resolve(path, &resolved, detail);
    if (!status) {
        parts.path = resolved;
        file.data = bytes;
        erai_sha256(bytes, file.size, digest);
        status = look_at_model(&file, &parts, &recurrent, detail);
    }
    /* ONNX Runtime reads the file itself, and a large one is not to be in memory twice. */
    if (strcmp(format, ONNX) == 0) {
        free(bytes);
        file.data = bytes = NULL;
    }
    if (!status) status = open_bare_parts(&file, recurrent, config, &parts, detail);
    free(bytes);
    if (status)
        close_parts(&parts);
    else
        status = compose(&parts, config, session, detail);
    free(resolved);
    return status;
}

/* Of ASCII; tolower's depends on the locale. */
static int small(char letter) {
    return letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter;
}

static int same_letters(const char *one, const char *other) {
    size_t i = 0;
    while (one[i] && small(one[i]) == small(other[i])) i++;
    return !one[i] && !other[i];
}

/* The format that a file's name ends in, in letters of either case; NULL: none that a model has. */
static const char *format_of(const char *path, const erai_session_config *config) {
    const char *dot = strrchr(path, '.'), *formats[] = {ONNX, TFLITE, config->runtime ? config->runtime->format : ONNX};
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++)
        if (same_letters(dot + 1, formats[i])) return formats[i];
    return NULL;
}

erai_status erai_session_open(const char *path, const erai_session_config *config, erai_session **session,
                              char *detail) {
    if (!path || !session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_open: NULL");
    erai_status status = take_config(&config, detail);
    if (status) return status;
    const char *format = format_of(path, config);
    if (format && er_path_look(path) != ER_PATH_DIRECTORY) return open_model(path, format, config, session, detail);
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

const char *erai_session_format(const erai_session *session) {
    return session->model ? session->model->format : NULL;
}

int erai_session_scale(const erai_session *session, int of_output, size_t index, double *scale, int32_t *zero_point) {
    const er_model *model = session->model;
    size_t count = !model ? 0 : of_output ? model->output_count : model->input_count;
    for (size_t i = 0; i < count; i++) {
        const er_tensor_spec *spec = of_output ? &model->outputs[i] : &model->inputs[i];
        if ((of_output ? model->output_places[i] : model->input_places[i]) != index || !(spec->scale > 0)) continue;
        *scale = spec->scale;
        *zero_point = spec->zero_point;
        return 1;
    }
    return 0;
}
