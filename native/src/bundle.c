/* Opens a bundle (docs/formats/bundle.md) from a directory or its zip form, reading everything into memory, so that
 * what was verified is what is used. SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <stdlib.h>
#include <string.h>

#include "manifest.h"
#include "status.h"
#include "zip.h"

static bool component_valid(const char *component, size_t size) {
    if (size == 0 || component[0] == '.') return false;
    for (size_t i = 0; i < size; i++) {
        char c = component[i];
        bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '-';
        if (!allowed) return false;
    }
    return true;
}

bool er_bundle_path_valid(const char *path, size_t size) {
    if (size > ER_BUNDLE_MAX_PATH) return false;
    size_t depth = 0;
    for (size_t start = 0; start <= size; depth++) {
        const char *slash = memchr(path + start, '/', size - start);
        size_t end = slash != NULL ? (size_t)(slash - path) : size;
        if (!component_valid(path + start, end - start)) return false;
        start = end + 1;
    }
    return depth <= ER_BUNDLE_MAX_DEPTH;
}

static int compare_name(const void *name, const void *file) {
    return strcmp(name, ((const er_bundle_file *)file)->name);
}

er_bundle_file *er_bundle_find(const erai_bundle *bundle, const char *name) {
    if (bundle->count == 0) return NULL;
    return bsearch(name, bundle->files, bundle->count, sizeof *bundle->files, compare_name);
}

static erai_status not_a_bundle(const char *path, const char *found, char *detail) {
    return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                   "%s is not an edge_rai bundle: expected a .erai file or a directory with a manifest.json, found %s",
                   path, found);
}

/* A zip could hold both `a` and `a/b`, which no directory can. */
static erai_status refuse_nested_files(const erai_bundle *bundle, char *detail) {
    for (size_t i = 0; i < bundle->count; i++) {
        char parent[ER_BUNDLE_MAX_PATH + 1];
        size_t size = strlen(bundle->files[i].name);
        memcpy(parent, bundle->files[i].name, size + 1);
        for (char *slash = strrchr(parent, '/'); slash != NULL; slash = strrchr(parent, '/')) {
            *slash = '\0';
            if (er_bundle_find(bundle, parent) != NULL)
                return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: both a file and a directory (in %s)", parent,
                               bundle->label);
        }
    }
    return ERAI_OK;
}

static erai_status read_zip(erai_bundle *bundle, uint8_t *image, size_t size, char *detail) {
    bundle->image = image;
    if (size > ER_BUNDLE_MAX_SIZE)
        return er_fail(detail, ERAI_E_SIZE, "%s has %zu bytes; a bundle has at most %zu", bundle->label, size,
                       ER_BUNDLE_MAX_SIZE);
    if (!er_zip_recognise(image, size)) return not_a_bundle(bundle->label, "a file of another kind", detail);
    erai_status status = er_zip_read(bundle, size, detail);
    return status == ERAI_OK ? refuse_nested_files(bundle, detail) : status;
}

static erai_status read_inner_file(const erai_bundle *bundle, er_bundle_file *file, size_t *left, char *detail) {
    size_t overhead = ER_ZIP_LOCAL_SIZE + ER_ZIP_CENTRAL_SIZE + 2 * strlen(file->name);
    if (!er_bundle_path_valid(file->name, strlen(file->name)))
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                       "%s: not a path that a bundle may hold; components are letters, digits, '.', '_' and '-' and do "
                       "not begin with '.' (in %s)",
                       file->name, bundle->label);
    if (overhead > *left)
        return er_fail(detail, ERAI_E_SIZE, "%s: the bundle is larger than %zu bytes (in %s)", file->name,
                       ER_BUNDLE_MAX_SIZE, bundle->label);
    char *path = er_path_join(bundle->label, file->name);
    if (path == NULL) return er_fail(detail, ERAI_E_MEMORY, "no memory to read %s", bundle->label);
    erai_status status = er_file_read(path, *left - overhead, &file->owned, &file->size, detail);
    free(path);
    if (status != ERAI_OK) return status;
    file->data = file->owned;
    *left -= overhead + file->size;
    return ERAI_OK;
}

static bool has_file(const char *directory, const char *name) {
    char *path = er_path_join(directory, name);
    bool found = path != NULL && er_path_look(path) != ER_PATH_MISSING;
    free(path);
    return found;
}

static erai_status read_directory(erai_bundle *bundle, char *detail) {
    if (!has_file(bundle->label, "manifest.json") && !has_file(bundle->label, "manifest.sha256"))
        return not_a_bundle(bundle->label, "a directory without one", detail);
    const er_tree_limits limits = {
        .files = ER_BUNDLE_MAX_FILES, .depth = ER_BUNDLE_MAX_DEPTH, .path_size = ER_BUNDLE_MAX_PATH};
    erai_status status = er_tree_list(bundle->label, &limits, &bundle->tree, detail);
    if (status != ERAI_OK) return status;
    bundle->files = calloc(bundle->tree.count + 1, sizeof *bundle->files);
    if (bundle->files == NULL) return er_fail(detail, ERAI_E_MEMORY, "no memory for the files of %s", bundle->label);
    size_t left = ER_BUNDLE_MAX_SIZE - ER_ZIP_END_SIZE;
    for (size_t i = 0; i < bundle->tree.count && status == ERAI_OK; i++) {
        bundle->files[i].name = bundle->tree.paths[i];
        bundle->count++;
        status = read_inner_file(bundle, &bundle->files[i], &left, detail);
    }
    return status;
}

/* Makes an empty bundle that erai_bundle_close can free. */
static erai_status make_bundle(const char *label, erai_bundle **made, char *detail) {
    erai_bundle *bundle = calloc(1, sizeof *bundle);
    char *copy = malloc(strlen(label) + 1);
    if (bundle == NULL || copy == NULL) {
        free(bundle);
        free(copy);
        return er_fail(detail, ERAI_E_MEMORY, "no memory to open %s", label);
    }
    strcpy(copy, label);
    bundle->label = copy;
    *made = bundle;
    return ERAI_OK;
}

/* Verifies what a container held and hands the bundle out, or closes it. */
static erai_status finish(erai_bundle *bundle, erai_status status, erai_bundle **opened, char *detail) {
    if (status == ERAI_OK) status = er_manifest_read(bundle, detail);
    if (status != ERAI_OK) {
        erai_bundle_close(bundle);
        return status;
    }
    *opened = bundle;
    return ERAI_OK;
}

erai_status er_bundle_open_image(uint8_t *image, size_t size, const char *label, erai_bundle **bundle, char *detail) {
    erai_bundle *made;
    erai_status status = make_bundle(label, &made, detail);
    if (status != ERAI_OK) {
        free(image);
        return status;
    }
    return finish(made, read_zip(made, image, size, detail), bundle, detail);
}

static erai_status open_path(const char *path, erai_bundle **bundle, char *detail) {
    if (er_path_look(path) == ER_PATH_DIRECTORY) {
        erai_bundle *made;
        erai_status status = make_bundle(path, &made, detail);
        return status == ERAI_OK ? finish(made, read_directory(made, detail), bundle, detail) : status;
    }
    uint8_t *image;
    size_t size;
    erai_status status = er_file_read(path, ER_BUNDLE_MAX_SIZE, &image, &size, detail);
    return status == ERAI_OK ? er_bundle_open_image(image, size, path, bundle, detail) : status;
}

erai_status erai_bundle_open(const char *path, erai_bundle **bundle, char *detail) {
    if (path == NULL || bundle == NULL)
        return er_fail(detail, ERAI_E_ARGUMENT, "erai_bundle_open: path and bundle must not be NULL");
    erai_bundle *made = NULL;
    erai_status status = open_path(path, &made, detail);
    if (!status) status = er_path_resolve(path, &made->path, detail);
    if (status) {
        erai_bundle_close(made);
        return status;
    }
    *bundle = made;
    return ERAI_OK;
}

void erai_bundle_close(erai_bundle *bundle) {
    if (bundle == NULL) return;
    er_manifest_clear(&bundle->manifest);
    er_json_close(bundle->json);
    for (size_t i = 0; i < bundle->count; i++) free(bundle->files[i].owned);
    free(bundle->files);
    er_tree_free(&bundle->tree);
    free(bundle->names);
    free(bundle->image);
    free(bundle->label);
    free(bundle->path);
    free(bundle);
}

size_t erai_bundle_files(const erai_bundle *bundle) {
    return bundle->count;
}

erai_status erai_bundle_file(const erai_bundle *bundle, size_t index, const char **name, const uint8_t **data,
                             size_t *size) {
    if (index >= bundle->count) return ERAI_E_ARGUMENT;
    *name = bundle->files[index].name;
    *data = bundle->files[index].data;
    *size = bundle->files[index].size;
    return ERAI_OK;
}

const er_manifest *er_bundle_manifest(const erai_bundle *bundle) {
    return &bundle->manifest;
}
