/* A model or bundle that is measured, and the subjects made of it. SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "file.h"

static int ends_in(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && !strcmp(text + length - tail, end);
}

static void digest_of(const uint8_t *bytes, size_t size, char *text) {
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256(bytes, size, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static void manifest_of(const erai_bundle *bundle, bench_manifest *manifest) {
    const char *name;
    const uint8_t *data;
    size_t size;
    for (size_t i = 0; !erai_bundle_file(bundle, i, &name, &data, &size); i++)
        if (!strcmp(name, "manifest.json")) bench_manifest_read(data, size, manifest);
}

/* Of a bundle that the library has opened, and found sound. */
static int read_bundle(bench_model *model, char *detail) {
    const char *name;
    const uint8_t *data;
    size_t size;
    int code = bench_code_of(erai_bundle_open(model->path, &model->bundle, detail));
    if (code) return code;
    for (size_t i = 0; !erai_bundle_file(model->bundle, i, &name, &data, &size); i++) {
        model->all_bytes += size;
        if (!strcmp(name, "manifest.json")) digest_of(data, size, model->sha256);
    }
    manifest_of(model->bundle, &model->manifest);
    for (size_t i = 0; !erai_bundle_file(model->bundle, i, &name, &data, &size); i++)
        if (bench_text_is(model->manifest.model, name)) {
            model->bytes = data;
            model->size = size;
        }
    if (model->bytes) return FINE;
    return bench_fail(detail, UNSOUND, "%.300s has no ONNX model; expected a bundle with one", model->path);
}

static int read_model(bench_model *model, char *detail) {
    uint8_t *bytes = NULL;
    int code = bench_file_read(model->path, &bytes, &model->size, detail);
    if (code) return code;
    model->all_bytes = model->size;
    digest_of(bytes, model->size, model->sha256);
    free(bytes);
    return FINE;
}

/* The least of what each input allows. */
static int64_t most_rows(const bench_model *model) {
    const erai_guard *guard = erai_session_guard(model->session);
    erai_input_rule rule = {.struct_size = sizeof rule};
    int64_t most = INT64_MAX;
    if (!model->rows.batched || !erai_session_rows_independent(model->session)) return 1;
    for (size_t i = 0; !erai_guard_input(guard, i, &rule); i++) {
        int64_t rows = !rule.rank ? 1 : rule.shape[0] < 0 ? rule.max_shape[0] : rule.shape[0];
        if (!model->rows.inputs[i].state && rows < most) most = rows;
    }
    return most;
}

static const char *last_part(const char *path) {
    const char *last = path;
    for (const char *at = path; *at; at++)
        if (at[0] == '/' && at[1]) last = at + 1;
    return last;
}

/* A name for each path: its last part, or the whole path where that is not enough, numbered where nothing is. */
static char *name_of(const char *const *paths, size_t count, size_t which) {
    const char *path = paths[which], *name = last_part(path);
    size_t times = 0, others = 0, length = strlen(path) + 24;
    for (size_t i = 0; i < count; i++) {
        int same = !strcmp(paths[i], path);
        times += same && i < which;
        others += !same && !strcmp(last_part(paths[i]), name);
    }
    char *found = bench_allocate(length, 1);
    snprintf(found, length, times ? "%s (%zu)" : "%s", others ? path : name, times + 1);
    return found;
}

static char *joined(const char *name, const char *more) {
    size_t length = strlen(name) + strlen(more) + 1;
    char *text = bench_allocate(length, 1);
    snprintf(text, length, "%s%s", name, more);
    return text;
}

/* Opens the bundle once more without each of its safeguards. */
static int open_variants(bench_model *model, const erai_session_config *config, char *detail) {
    const erai_guard *guard = erai_session_guard(model->session);
    int code = FINE;
    if (!model->bundle)
        return bench_fail(detail, USAGE,
                          "%.300s has no policy that a safeguard could be left out of; expected a bundle", model->path);
    for (size_t i = 0; i < BENCH_SAFEGUARDS && !code; i++) {
        bench_variant *variant = &model->variants[model->variant_count];
        uint8_t *program = NULL;
        size_t size = 0;
        code = bench_guard_without(guard, i, &program, &size, detail);
        if (!code && program) {
            char *without = joined(model->name, " without ");
            variant->name = joined(without, bench_safeguards[i]);
            free(without);
            model->variant_count++;
            code = bench_session_with(model->bundle, program, size, config, &variant->session, detail);
        }
        free(program);
    }
    return code;
}

int bench_rows_of(const erai_session *session, const char *path, const bench_options *options, bench_rows *rows,
                  char *detail) {
    const erai_guard *guard = erai_session_guard(session);
    bench_manifest manifest;
    erai_bundle *bundle = NULL;
    int found = 0;
    if (options->data) return bench_rows_of_file(guard, options->data, options->labels, rows, detail);
    if (!ends_in(path, ".onnx") && !erai_bundle_open(path, &bundle, NULL)) {
        manifest_of(bundle, &manifest);
        found = !bench_rows_of_golden(guard, bundle, &manifest, rows);
        if (!found) bench_rows_free(rows);
        erai_bundle_close(bundle);
    }
    return found ? FINE : bench_rows_of_chance(guard, options->seed, rows, detail);
}

int bench_model_open(const bench_options *options, size_t which, bench_model *model, char *detail) {
    erai_session_config config = {.struct_size = sizeof config, .threads = options->threads, .format = "onnx"};
    const char *path = options->models[which];
    *model = (bench_model){.path = path, .name = name_of(options->models, options->model_count, which)};
    model->bare_name = joined(model->name, " bare-c");
    if (ends_in(path, ".tflite"))
        return bench_fail(
            detail, MISSING,
            "%.300s: erai-bench runs ONNX models alone, as LiteRT has no C interface that is the same from "
            "one version to the next; measure it with edge-rai bench",
            path);
    char why[ERAI_DETAIL_SIZE] = "";
    int code = bench_code_of(erai_session_open(path, &config, &model->session, why));
    if (code && strstr(why, path)) return bench_fail(detail, code, "%s", why);
    if (code) return bench_fail(detail, code, "%.200s: %.300s", path, why);
    code = ends_in(path, ".onnx") ? read_model(model, detail) : read_bundle(model, detail);
    if (!code) code = bench_rows_of(model->session, path, options, &model->rows, detail);
    if (code) return code;
    model->most_rows = most_rows(model);
    return options->each ? open_variants(model, &config, detail) : FINE;
}

void bench_model_close(bench_model *model) {
    for (size_t i = 0; i < model->variant_count; i++) {
        erai_session_close(model->variants[i].session);
        free(model->variants[i].name);
    }
    bench_rows_free(&model->rows);
    erai_session_close(model->session);
    erai_bundle_close(model->bundle);
    free(model->name);
    free(model->bare_name);
    *model = (bench_model){0};
}

int bench_model_judge(const bench_options *options, bench_model *model, char *detail) {
    double *labels = NULL;
    size_t count = 0;
    char why[ERAI_DETAIL_SIZE] = "";
    int code = bench_labels_of_file(options->data, options->labels, &labels, &count, detail);
    if (code) return code;
    code = bench_accuracy_of(model->session, &model->rows, model->most_rows, labels, count, &model->accuracy, why);
    free(labels);
    return code ? bench_fail(detail, code, "%.100s: %.400s", model->name, why) : FINE;
}

bench_asked bench_model_asked(const bench_model *model) {
    bench_asked found = {0};
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    if (erai_session_snapshot(model->session, &snapshot, NULL)) return found;
    erai_snapshot_read(snapshot, &info);
    for (int i = 0; i <= ERAI_VERDICT_REJECT; i++) found.rows += info.rows_by_verdict[i];
    found.rejected = info.rows_by_verdict[ERAI_VERDICT_REJECT];
    erai_snapshot_close(snapshot);
    return found;
}

/* ---- Subjects -----------------------------------------------------------------------------------------------------
 */

static int call_guarded(void *self, uint64_t query) {
    bench_caller *caller = self;
    const erai_tensor *feed = caller->feeds.tensors + query % caller->feeds.count * caller->feeds.inputs;
    return erai_session_predict(caller->session, feed, caller->feeds.given, caller->answer) != ERAI_OK;
}

static const char *why_guarded(void *self) {
    return erai_answer_detail(((bench_caller *)self)->answer);
}

static int refuse_rows(const bench_model *model, int64_t rows, char *detail) {
    if (rows <= model->most_rows) return FINE;
    return bench_fail(detail, USAGE, "--batch: %.200s has at most %lld rows a call%s", model->name,
                      (long long)model->most_rows,
                      erai_session_rows_independent(model->session) ? "" : ", as its rows depend on their batch mates");
}

int bench_guarded(const bench_model *model, const bench_variant *variant, int64_t rows, bench_caller *caller,
                  bench_subject *subject, char *detail) {
    int code = refuse_rows(model, rows, detail);
    if (code) return code;
    caller->session = variant ? variant->session : model->session;
    caller->feeds = bench_feeds_of(&model->rows, rows);
    *subject = (bench_subject){variant ? variant->name : model->name, rows, call_guarded, why_guarded, caller};
    erai_status status = erai_answer_open(caller->session, &caller->answer);
    return status ? bench_fail(detail, bench_code_of(status), "%.200s: %s", model->name, erai_strerror(status)) : FINE;
}

int bench_unguarded(const bench_model *model, int64_t rows, uint32_t threads, bench_caller *caller,
                    bench_subject *subject, char *detail) {
    int code = refuse_rows(model, rows, detail);
    if (code) return code;
    caller->feeds = bench_feeds_of(&model->rows, rows);
    code = bench_bare_open(model->path, model->bytes, model->size, threads, &caller->feeds, &caller->bare, detail);
    *subject = (bench_subject){model->bare_name, rows, bench_bare_call, bench_bare_why, caller->bare};
    return code;
}

void bench_caller_close(bench_caller *caller) {
    erai_answer_close(caller->answer);
    bench_bare_close(caller->bare);
    bench_feeds_free(&caller->feeds);
    *caller = (bench_caller){0};
}
