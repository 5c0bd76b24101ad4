/* What a bundle's manifest says of its model and its golden inputs: a JSON reader for that and no more, as the library,
 * which has opened the bundle, has found the manifest sound. SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include <string.h>

enum { MOST_DEPTH = 64 };

typedef struct cursor {
    const char *at, *end;
} cursor;

static char next(cursor *json) {
    while (json->at < json->end && strchr(" \t\r\n", *json->at) && *json->at) json->at++;
    return json->at < json->end ? *json->at : 0;
}

static int passes(cursor *json, char expected) {
    if (next(json) != expected) return 0;
    json->at++;
    return 1;
}

static int string(cursor *json, bench_text *text) {
    int escaped = 0;
    if (!passes(json, '"')) return 0;
    text->at = json->at;
    for (; json->at < json->end && *json->at != '"'; json->at++)
        if (*json->at == '\\') {
            escaped = 1;
            if (++json->at == json->end) return 0;
        }
    if (json->at >= json->end) return 0;
    text->size = escaped ? 0 : (size_t)(json->at - text->at);
    json->at++;
    return 1;
}

/* A value of any kind: up to the comma or the bracket after it. */
static int skip(cursor *json) {
    bench_text text;
    int depth = 0;
    do {
        char first = next(json);
        if (!first) return 0;
        if (first == '"') {
            if (!string(json, &text)) return 0;
        } else if (first == '{' || first == '[') {
            json->at++;
            if (++depth > MOST_DEPTH) return 0;
        } else if (first == '}' || first == ']') {
            if (!depth) return 0;
            json->at++;
            depth--;
        } else if (first == ',' || first == ':') {
            if (!depth) return 0;
            json->at++;
        } else {
            while (json->at < json->end && *json->at && !strchr(" \t\r\n,:]}", *json->at)) json->at++;
        }
    } while (depth);
    return 1;
}

/* The next member of an object that was entered; 0: there is none, or it is none. */
static int member(cursor *json, bench_text *key) {
    passes(json, ',');
    return string(json, key) && passes(json, ':');
}

/* The next item of an array that was entered. */
static int item(cursor *json) {
    passes(json, ',');
    return next(json) != ']' && next(json) != 0;
}

int bench_text_is(bench_text text, const char *expected) {
    return text.size == strlen(expected) && !memcmp(text.at, expected, text.size);
}

static int shape_of(cursor *json, bench_golden *golden) {
    if (!passes(json, '[')) return 0;
    while (item(json)) {
        int64_t extent = 0;
        const char *first = json->at;
        for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++) {
            if (extent > INT32_MAX) return 0;
            extent = extent * 10 + (*json->at - '0');
        }
        if (json->at == first || golden->rank == ERAI_MAX_RANK) return 0;
        golden->shape[golden->rank++] = extent;
    }
    return passes(json, ']');
}

static int golden_input(cursor *json, bench_manifest *manifest) {
    bench_golden found = {.rank = 0};
    bench_text key;
    if (manifest->golden_count == BENCH_MOST_GOLDEN || !passes(json, '{')) return 0;
    while (member(json, &key)) {
        int read = bench_text_is(key, "name")    ? string(json, &found.name)
                   : bench_text_is(key, "path")  ? string(json, &found.path)
                   : bench_text_is(key, "dtype") ? string(json, &found.dtype)
                   : bench_text_is(key, "shape") ? shape_of(json, &found)
                                                 : skip(json);
        if (!read) return 0;
    }
    manifest->golden[manifest->golden_count++] = found;
    return passes(json, '}');
}

static int golden(cursor *json, bench_manifest *manifest) {
    bench_text key;
    if (!passes(json, '{')) return 0;
    while (member(json, &key)) {
        if (!bench_text_is(key, "inputs")) {
            if (!skip(json)) return 0;
            continue;
        }
        if (!passes(json, '[')) return 0;
        while (item(json))
            if (!golden_input(json, manifest)) return 0;
        if (!passes(json, ']')) return 0;
    }
    return passes(json, '}');
}

static int model(cursor *json, bench_manifest *manifest) {
    bench_text key, role = {0}, path = {0}, format = {0}, quantization = {0};
    if (!passes(json, '{')) return 0;
    while (member(json, &key)) {
        int read = bench_text_is(key, "role")           ? string(json, &role)
                   : bench_text_is(key, "path")         ? string(json, &path)
                   : bench_text_is(key, "format")       ? string(json, &format)
                   : bench_text_is(key, "quantization") ? string(json, &quantization)
                                                        : skip(json);
        if (!read) return 0;
    }
    if (bench_text_is(role, "primary") && bench_text_is(format, "onnx")) {
        manifest->model = path;
        manifest->quantization = quantization;
    }
    return passes(json, '}');
}

void bench_manifest_read(const uint8_t *bytes, size_t size, bench_manifest *manifest) {
    cursor json = {(const char *)bytes, (const char *)bytes + size};
    bench_text key;
    *manifest = (bench_manifest){.golden_count = 0};
    if (!passes(&json, '{')) return;
    while (member(&json, &key)) {
        if (bench_text_is(key, "golden")) {
            if (!golden(&json, manifest)) return;
        } else if (bench_text_is(key, "models")) {
            if (!passes(&json, '[')) return;
            while (item(&json))
                if (!model(&json, manifest)) return;
            if (!passes(&json, ']')) return;
        } else if (!skip(&json)) {
            return;
        }
    }
}
