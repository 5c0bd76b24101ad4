/* The inside of an open bundle. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_BUNDLE_H
#define ER_BUNDLE_H

#include <stdbool.h>

#include "edge_rai.h"
#include "json.h"
#include "platform/platform.h"

#define ER_BUNDLE_VERSION 1
#define ER_BUNDLE_MAX_FILES 1024
#define ER_BUNDLE_MAX_SIZE ((size_t)0x7FFFFFFF) /* bytes in zip form */
#define ER_BUNDLE_MAX_PATH 255
#define ER_BUNDLE_MAX_DEPTH 8

typedef struct er_bundle_file {
    const char *name; /* valid by the path rules, zero-terminated */
    const uint8_t *data;
    size_t size;
    uint8_t digest[ERAI_DIGEST_SIZE];
    uint8_t *owned; /* directory form: data, to be freed; zip form: NULL */
    bool listed;    /* the manifest has its digest, and it matches */
} er_bundle_file;

typedef struct er_golden {
    const char *name;
    const void *data; /* in C order; aligned for any element; strings are erai_string */
    size_t size;      /* bytes of all elements */
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    uint32_t dtype; /* erai_dtype */
} er_golden;

typedef struct er_golden_set {
    er_golden *inputs, *outputs;
    size_t input_count, output_count;
    double atol;
} er_golden_set;

typedef struct er_manifest_model {
    const char *name; /* its path in the bundle */
    const char *format;
    const uint8_t *data;
    size_t size;
    uint8_t digest[ERAI_DIGEST_SIZE];
    bool rows_independent; /* a row's answer does not depend on the other rows of its batch */
    er_golden_set golden;  /* its own; without inputs: the manifest's are this model's too */
} er_manifest_model;

/* The same model in several formats. */
#define ER_MAX_FORMATS 4
typedef struct er_manifest_role {
    er_manifest_model models[ER_MAX_FORMATS];
    size_t count;
} er_manifest_role;

/* What a device needs of the manifest. Everything in it lives as long as the bundle. */
typedef struct er_manifest {
    er_manifest_role primary, fallback; /* at least one primary */
    const uint8_t *guard;
    size_t guard_size;
    er_golden_set golden;
    const er_json_value *requirements; /* an object, its known names with sound versions; NULL without */
} er_manifest;

struct erai_bundle {
    char *label; /* the path it was opened from, for details */
    char *path;  /* the same, whatever the working directory and links become; NULL: opened from memory */
    er_bundle_file *files;
    size_t count;
    uint8_t *image; /* zip form: the whole file */
    char *names;    /* zip form: what the files' names point into */
    er_tree tree;   /* directory form: what the files' names point into */
    er_json *json;
    er_manifest manifest;
};

const er_manifest *er_bundle_manifest(const erai_bundle *bundle);

/* Opens a bundle in zip form from memory. `image` came from malloc and is taken over in every case. `label` names the
 * bundle in details. */
erai_status er_bundle_open_image(uint8_t *image, size_t size, const char *label, erai_bundle **bundle, char *detail);

/* NULL when the bundle has no such file. */
er_bundle_file *er_bundle_find(const erai_bundle *bundle, const char *name);

/* Whether the bytes are a path as docs/formats/bundle.md allows it. */
bool er_bundle_path_valid(const char *path, size_t size);

#endif
