/* Reads manifest.json (docs/formats/bundle.md): its own digest, its version, the digests of all files, and of the rest
 * only what a device needs. Unknown keys are skipped. SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "requirements.h"
#include "sha256.h"
#include "status.h"
#include "values.h"

#define MANIFEST "manifest.json"
#define MANIFEST_DIGEST "manifest.sha256"
#define GUARD "guard.bin"
#define MAX_LIST 64
#define STRING_HEAD 4u
#define ATOL_NEAR_ZERO 1e-6 /* that golden outputs of less than it may have */

static erai_status damaged(const erai_bundle *bundle, const char *file, const char *what, char *detail) {
    return er_fail(detail, ERAI_E_BUNDLE_INTEGRITY, "%s: %s; copy the bundle again (%s)", file, what, bundle->label);
}

static erai_status malformed(const erai_bundle *bundle, const char *what, char *detail) {
    return er_fail(detail, ERAI_E_BUNDLE_FORMAT, MANIFEST ": %s (in %s)", what, bundle->label);
}

static erai_status verify_manifest(erai_bundle *bundle, const er_bundle_file **found, char *detail) {
    er_bundle_file *manifest = er_bundle_find(bundle, MANIFEST), *digest = er_bundle_find(bundle, MANIFEST_DIGEST);
    if (manifest == NULL) return damaged(bundle, MANIFEST, "the file is missing", detail);
    if (digest == NULL) return damaged(bundle, MANIFEST_DIGEST, "the file is missing", detail);
    erai_sha256(manifest->data, manifest->size, manifest->digest);
    erai_sha256(digest->data, digest->size, digest->digest);
    char hex[ER_DIGEST_HEX_SIZE + 1];
    er_digest_hex(manifest->digest, hex);
    hex[ER_DIGEST_HEX_SIZE] = '\n';
    if (digest->size != sizeof hex || digest->data[sizeof hex - 1] != '\n')
        return damaged(bundle, MANIFEST_DIGEST, "expected 64 hexadecimal digits and a line feed", detail);
    if (memcmp(digest->data, hex, sizeof hex) != 0)
        return damaged(bundle, MANIFEST, "its SHA-256 differs from manifest.sha256", detail);
    manifest->listed = digest->listed = true;
    *found = manifest;
    return ERAI_OK;
}

static erai_status check_version(const erai_bundle *bundle, const er_json_value *root, char *detail) {
    int64_t version;
    if (!er_json_is(root, ER_JSON_OBJECT)) return malformed(bundle, "expected a JSON object", detail);
    if (!er_json_int64(er_json_get(root, "format_version"), &version) || version < 1)
        return malformed(bundle, "expected \"format_version\" to be an integer of at least 1", detail);
    if (version > ER_BUNDLE_VERSION)
        return er_fail(
            detail, ERAI_E_BUNDLE_NEWER,
            "%s has bundle format version %lld and this build reads up to %d; update edge-rai on this device",
            bundle->label, (long long)version, ER_BUNDLE_VERSION);
    return ERAI_OK;
}

static erai_status verify_file(erai_bundle *bundle, const er_json_value *key, char *detail) {
    const char *name = key->text, *expected = er_json_text(key + 1);
    if (!er_bundle_path_valid(name, key->length)) return malformed(bundle, "\"files\" has an invalid path", detail);
    if (strcmp(name, MANIFEST) == 0 || strcmp(name, MANIFEST_DIGEST) == 0)
        return malformed(bundle, "\"files\" must not list manifest.json or manifest.sha256", detail);
    er_bundle_file *file = er_bundle_find(bundle, name);
    if (file == NULL) return damaged(bundle, name, "the file is missing", detail);
    erai_sha256(file->data, file->size, file->digest);
    char hex[ER_DIGEST_HEX_SIZE];
    er_digest_hex(file->digest, hex);
    if (expected == NULL || strlen(expected) != sizeof hex || memcmp(expected, hex, sizeof hex) != 0)
        return damaged(bundle, name, "its SHA-256 differs from the one in manifest.json", detail);
    file->listed = true;
    return ERAI_OK;
}

static erai_status verify_files(erai_bundle *bundle, const er_json_value *root, char *detail) {
    const er_json_value *files = er_json_get(root, "files");
    if (!er_json_is(files, ER_JSON_OBJECT)) return malformed(bundle, "expected \"files\" to be an object", detail);
    for (const er_json_value *key = er_json_first(files); key != NULL; key = er_json_next(files, key)) {
        erai_status status = verify_file(bundle, key, detail);
        if (status != ERAI_OK) return status;
    }
    for (size_t i = 0; i < bundle->count; i++)
        if (!bundle->files[i].listed)
            return damaged(bundle, bundle->files[i].name, "the manifest does not list this file", detail);
    return ERAI_OK;
}

/* Documents that the bundle says it has for people. Who takes one out, and its digest out of "files", is found here. */
static erai_status verify_promises(const erai_bundle *bundle, const er_json_value *root, char *detail) {
    const er_json_value *promises = er_json_get(root, "promises");
    if (promises == NULL) return ERAI_OK;
    if (!er_json_is(promises, ER_JSON_ARRAY))
        return malformed(bundle, "expected \"promises\" to be an array of paths", detail);
    for (const er_json_value *item = er_json_first(promises); item != NULL; item = er_json_next(promises, item)) {
        const char *path = er_json_text(item);
        if (path == NULL) return malformed(bundle, "expected \"promises\" to be an array of paths", detail);
        const er_bundle_file *file = er_bundle_find(bundle, path);
        if (file == NULL || file->size == 0)
            return damaged(bundle, path, "the manifest promises this file, and it is missing or empty", detail);
    }
    return ERAI_OK;
}

static const char *get_text(const er_json_value *object, const char *key) {
    const char *text = er_json_text(er_json_get(object, key));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* The erai_dtype with numpy's name (of bfloat16, ml_dtypes'), 0 when there is none. */
static uint32_t dtype_named(const char *name) {
    static const struct {
        const char *name;
        uint32_t dtype;
    } dtypes[] = {
        {"float32", ERAI_DTYPE_FLOAT32},   {"float64", ERAI_DTYPE_FLOAT64}, {"bool", ERAI_DTYPE_BOOL},
        {"uint8", ERAI_DTYPE_UINT8},       {"uint16", ERAI_DTYPE_UINT16},   {"uint32", ERAI_DTYPE_UINT32},
        {"uint64", ERAI_DTYPE_UINT64},     {"int8", ERAI_DTYPE_INT8},       {"int16", ERAI_DTYPE_INT16},
        {"int32", ERAI_DTYPE_INT32},       {"int64", ERAI_DTYPE_INT64},     {"float16", ERAI_DTYPE_FLOAT16},
        {"bfloat16", ERAI_DTYPE_BFLOAT16}, {"string", ERAI_DTYPE_STRING},
    };
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtypes[i].name, name) == 0) return dtypes[i].dtype;
    return 0;
}

/* Reads the shape and stores the size in bytes; false when it is not a shape or exceeds what any bundle can hold. */
static bool read_shape(const er_json_value *shape, er_golden *golden) {
    if (!er_json_is(shape, ER_JSON_ARRAY) || shape->count > ERAI_MAX_RANK) return false;
    golden->rank = shape->count;
    golden->size = erai_dtype_size(golden->dtype);
    uint32_t axis = 0;
    for (const er_json_value *item = er_json_first(shape); item != NULL; item = er_json_next(shape, item), axis++) {
        int64_t extent;
        if (!er_json_int64(item, &extent) || extent < 1) return false;
        if ((uint64_t)extent > ER_BUNDLE_MAX_SIZE / golden->size) return false;
        golden->shape[axis] = extent;
        golden->size *= (size_t)extent;
    }
    return true;
}

/* A string in a file: its size in 4 bytes, little-endian, and its bytes. Fills what follows the elements with the file
 * and points them into it; false when the file is not `count` strings and nothing else. */
static bool read_strings(const er_bundle_file *file, size_t count, erai_string *elements) {
    char *text = (char *)(elements + count);
    size_t at = 0;
    memcpy(text, file->data, file->size);
    for (size_t i = 0; i < count; i++) {
        if (file->size - at < STRING_HEAD) return false;
        const uint8_t *head = file->data + at;
        size_t size = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        at += STRING_HEAD;
        if (size > file->size - at) return false;
        elements[i] = (erai_string){.bytes = text + at, .size = size};
        at += size;
    }
    return at == file->size;
}

/* A copy, since files in a zip are not aligned. */
static erai_status copy_golden(const erai_bundle *bundle, const er_bundle_file *file, er_golden *golden, char *detail) {
    bool is_text = golden->dtype == ERAI_DTYPE_STRING;
    size_t count = golden->size / erai_dtype_size(golden->dtype);
    if (is_text ? count > file->size / STRING_HEAD : file->size != golden->size)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: %zu bytes; the shape in manifest.json asks for %s%zu (in %s)",
                       file->name, file->size, is_text ? "at least " : "", is_text ? count * STRING_HEAD : golden->size,
                       bundle->label);
    void *copy = malloc((is_text ? golden->size : 0) + file->size);
    if (copy == NULL) return er_fail(detail, ERAI_E_MEMORY, "no memory for %s of %s", file->name, bundle->label);
    golden->data = copy;
    if (!is_text)
        memcpy(copy, file->data, file->size);
    else if (!read_strings(file, count, copy))
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: not %zu strings, each with its size before it (in %s)",
                       file->name, count, bundle->label);
    return ERAI_OK;
}

static erai_status read_golden(const erai_bundle *bundle, const er_json_value *item, er_golden *golden, char *detail) {
    const char *name = get_text(item, "name"), *path = get_text(item, "path"), *dtype = get_text(item, "dtype");
    if (name == NULL || path == NULL || dtype == NULL)
        return malformed(bundle, "expected every golden tensor to have a \"name\", a \"path\" and a \"dtype\"", detail);
    golden->name = name;
    golden->dtype = dtype_named(dtype);
    if (golden->dtype == 0) return malformed(bundle, "a golden tensor has an unknown \"dtype\"", detail);
    if (!read_shape(er_json_get(item, "shape"), golden))
        return malformed(bundle, "expected the \"shape\" of a golden tensor to be 0 to 8 integers of at least 1",
                         detail);
    const er_bundle_file *file = er_bundle_find(bundle, path);
    if (file == NULL) return damaged(bundle, path, "the file of a golden tensor is missing", detail);
    return copy_golden(bundle, file, golden, detail);
}

static erai_status read_golden_list(const erai_bundle *bundle, const er_json_value *list, size_t least,
                                    er_golden **golden, size_t *count, char *detail) {
    if (!er_json_is(list, ER_JSON_ARRAY) || list->count < least || list->count > MAX_LIST)
        return malformed(
            bundle, "expected golden \"inputs\" to be an array of 1 to 64 tensors and \"outputs\" one of at most 64",
            detail);
    if (list->count == 0) return ERAI_OK;
    *golden = calloc(list->count, sizeof **golden);
    if (*golden == NULL) return er_fail(detail, ERAI_E_MEMORY, "no memory for the manifest of %s", bundle->label);
    *count = list->count;
    er_golden *next = *golden;
    for (const er_json_value *item = er_json_first(list); item != NULL; item = er_json_next(list, item), next++) {
        erai_status status = read_golden(bundle, item, next, detail);
        if (status != ERAI_OK) return status;
    }
    return ERAI_OK;
}

/* A tolerance beyond what the model answers at all would accept any answer. */
static erai_status check_tolerance(const erai_bundle *bundle, const er_golden_set *set, char *detail) {
    double largest = ATOL_NEAR_ZERO;
    for (size_t i = 0; i < set->output_count; i++) {
        const er_golden *golden = &set->outputs[i];
        if (golden->dtype == ERAI_DTYPE_STRING) continue;
        size_t count = golden->size / erai_dtype_size(golden->dtype);
        for (size_t at = 0; at < count; at++) {
            double value = fabs(er_value(golden->data, golden->dtype, at));
            if (isfinite(value) && value > largest) largest = value;
        }
    }
    if (set->atol <= largest) return ERAI_OK;
    return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                   MANIFEST ": golden \"atol\" is %g; expected at most %g, the largest golden output value or %g where "
                            "that is less (in %s)",
                   set->atol, largest, ATOL_NEAR_ZERO, bundle->label);
}

static erai_status read_golden_set(const erai_bundle *bundle, const er_json_value *golden, er_golden_set *set,
                                   char *detail) {
    if (!er_json_double(er_json_get(golden, "atol"), &set->atol) || set->atol < 0)
        return malformed(bundle, "expected \"golden\" with an \"atol\" of at least 0", detail);
    erai_status status =
        read_golden_list(bundle, er_json_get(golden, "inputs"), 1, &set->inputs, &set->input_count, detail);
    if (status == ERAI_OK)
        status = read_golden_list(bundle, er_json_get(golden, "outputs"), 0, &set->outputs, &set->output_count, detail);
    return status == ERAI_OK ? check_tolerance(bundle, set, detail) : status;
}

static erai_status read_model(const erai_bundle *bundle, const er_json_value *model, const char *role,
                              er_manifest_model *into, char *detail) {
    const char *path = get_text(model, "path"), *format = get_text(model, "format");
    if (path == NULL || format == NULL)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                       MANIFEST ": expected the %s model to have a \"path\" and a \"format\" (in %s)", role,
                       bundle->label);
    const er_json_value *independent = er_json_get(model, "rows_independent");
    into->rows_independent = er_json_is(independent, ER_JSON_TRUE);
    if (independent != NULL && !into->rows_independent && !er_json_is(independent, ER_JSON_FALSE))
        return malformed(bundle, "expected \"rows_independent\" to be true or false", detail);
    const er_bundle_file *file = er_bundle_find(bundle, path);
    if (file == NULL)
        return er_fail(detail, ERAI_E_BUNDLE_INTEGRITY,
                       "%s: the file of the %s model is missing; copy the bundle again (%s)", path, role,
                       bundle->label);
    into->name = file->name;
    into->format = format;
    into->data = file->data;
    into->size = file->size;
    memcpy(into->digest, file->digest, sizeof into->digest);
    const er_json_value *golden = er_json_get(model, "golden");
    return golden == NULL || er_json_is(golden, ER_JSON_NULL) ? ERAI_OK
                                                              : read_golden_set(bundle, golden, &into->golden, detail);
}

/* The models with the role, each of a format of its own. */
static erai_status read_role(const erai_bundle *bundle, const er_json_value *models, const char *role,
                             er_manifest_role *into, char *detail) {
    for (const er_json_value *model = er_json_first(models); model != NULL; model = er_json_next(models, model)) {
        const char *name = get_text(model, "role");
        if (name == NULL) return malformed(bundle, "expected every model to have a \"role\"", detail);
        if (strcmp(name, role) != 0) continue;
        if (into->count == ER_MAX_FORMATS)
            return er_fail(detail, ERAI_E_BUNDLE_FORMAT, MANIFEST ": more than %d models have the role \"%s\" (in %s)",
                           ER_MAX_FORMATS, role, bundle->label);
        er_manifest_model *read = &into->models[into->count++];
        erai_status status = read_model(bundle, model, role, read, detail);
        if (status != ERAI_OK) return status;
        for (const er_manifest_model *other = into->models; other < read; other++)
            if (strcmp(other->format, read->format) == 0)
                return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                               MANIFEST ": more than one %s model has the role \"%s\" (in %s)", read->format, role,
                               bundle->label);
    }
    return ERAI_OK;
}

static erai_status read_models(erai_bundle *bundle, const er_json_value *root, char *detail) {
    er_manifest *manifest = &bundle->manifest;
    const er_json_value *models = er_json_get(root, "models");
    if (!er_json_is(models, ER_JSON_ARRAY) || models->count == 0 || models->count > MAX_LIST)
        return malformed(bundle, "expected \"models\" to be an array of 1 to 64 models", detail);
    erai_status status = read_role(bundle, models, "primary", &manifest->primary, detail);
    if (status == ERAI_OK) status = read_role(bundle, models, "fallback", &manifest->fallback, detail);
    if (status != ERAI_OK) return status;
    if (manifest->primary.count == 0) return malformed(bundle, "no model has the role \"primary\"", detail);
    const er_bundle_file *guard = er_bundle_find(bundle, GUARD);
    if (guard == NULL) return damaged(bundle, GUARD, "the file is missing", detail);
    manifest->guard = guard->data;
    manifest->guard_size = guard->size;
    return ERAI_OK;
}

static erai_status read_requirements(erai_bundle *bundle, const er_json_value *root, char *detail) {
    const er_json_value *requirements = er_json_get(root, "requirements");
    if (requirements != NULL && !er_requirements_valid(requirements))
        return malformed(bundle,
                         "expected \"requirements\" to be an object and those of edge_rai, onnxruntime and litert to "
                         "be like \">=1.17\"",
                         detail);
    bundle->manifest.requirements = requirements;
    return ERAI_OK;
}

erai_status er_manifest_read(erai_bundle *bundle, char *detail) {
    const er_bundle_file *file = NULL;
    erai_status status = verify_manifest(bundle, &file, detail);
    if (status != ERAI_OK) return status;
    char why[ERAI_DETAIL_SIZE];
    status = er_json_open(file->data, file->size, &bundle->json, why);
    if (status != ERAI_OK)
        return er_fail(detail, status, MANIFEST ": not the JSON expected: %s (in %s)", why, bundle->label);
    const er_json_value *root = er_json_root(bundle->json);
    status = check_version(bundle, root, detail);
    if (status == ERAI_OK) status = verify_files(bundle, root, detail);
    if (status == ERAI_OK) status = verify_promises(bundle, root, detail);
    if (status == ERAI_OK) status = read_requirements(bundle, root, detail);
    if (status == ERAI_OK) status = read_models(bundle, root, detail);
    if (status == ERAI_OK)
        status = read_golden_set(bundle, er_json_get(root, "golden"), &bundle->manifest.golden, detail);
    return status;
}

static void clear_golden(er_golden *golden, size_t count) {
    for (size_t i = 0; i < count; i++) free((void *)(uintptr_t)golden[i].data);
    free(golden);
}

static void clear_set(er_golden_set *set) {
    clear_golden(set->inputs, set->input_count);
    clear_golden(set->outputs, set->output_count);
}

void er_manifest_clear(er_manifest *manifest) {
    clear_set(&manifest->golden);
    for (size_t i = 0; i < manifest->primary.count; i++) clear_set(&manifest->primary.models[i].golden);
    for (size_t i = 0; i < manifest->fallback.count; i++) clear_set(&manifest->fallback.models[i].golden);
}
