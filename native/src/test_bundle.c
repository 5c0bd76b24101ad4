/* Writes bundles from docs/formats/bundle.md, header by header, for tests and fuzzing. SPDX-License-Identifier:
 * Apache-2.0
 */
#include "test_bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "crc32.h"

static const char card[] = "# A small model\n";
static const char guard[] = "not a guard program";
static const char model[] = "not a model\n";
static const uint8_t golden_input[24] = {0, 0, 128, 63}; /* two rows of three float32, the first 1.0 */
static const uint8_t golden_output[16] = {1};            /* two int64, the first 1 */

static const char manifest_format[] =
    "{\"files\":{\"card.md\":\"%s\",\"guard.bin\":\"%s\",\"models/m.onnx\":\"%s\","
    "\"reference/golden/input_0.bin\":\"%s\",\"reference/golden/output_0.bin\":\"%s\"},"
    "\"format_version\":1,"
    "\"golden\":{\"atol\":1e-05,"
    "\"inputs\":[{\"dtype\":\"float32\",\"name\":\"x\",\"path\":\"reference/golden/input_0.bin\",\"shape\":[2,3]}],"
    "\"outputs\":[{\"dtype\":\"int64\",\"name\":\"y\",\"path\":\"reference/golden/output_0.bin\",\"shape\":[2]}]},"
    "\"inputs\":[{\"dtype\":\"float32\",\"name\":\"x\",\"shape\":[null,3]}],"
    "\"models\":[{\"format\":\"onnx\",\"path\":\"models/m.onnx\",\"quantization\":\"none\",\"role\":\"primary\","
    "\"rows_independent\":true}],"
    "\"name\":\"small\",\"outputs\":[{\"dtype\":\"int64\",\"name\":\"y\",\"shape\":[null]}],"
    "\"provenance\":{},\"requirements\":{}}\n";

static void hex_digest(const void *data, size_t size, char hex[65]) {
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256(data, size, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

test_file *test_bundle_file(test_bundle *bundle, const char *name) {
    for (size_t i = 0; i < bundle->count; i++)
        if (strcmp(bundle->files[i].name, name) == 0) return &bundle->files[i];
    abort();
}

void test_bundle_seal(test_bundle *bundle, const void *manifest, size_t size) {
    test_file *file = test_bundle_file(bundle, "manifest.json");
    file->data = manifest;
    file->size = size;
    hex_digest(manifest, size, bundle->manifest_digest);
    bundle->manifest_digest[64] = '\n';
}

void test_bundle_make(test_bundle *bundle) {
    const test_file files[] = {
        {"card.md", card, sizeof card - 1},
        {"guard.bin", guard, sizeof guard - 1},
        {"manifest.json", bundle->manifest, 0},
        {"manifest.sha256", bundle->manifest_digest, sizeof bundle->manifest_digest},
        {"models/m.onnx", model, sizeof model - 1},
        {"reference/golden/input_0.bin", golden_input, sizeof golden_input},
        {"reference/golden/output_0.bin", golden_output, sizeof golden_output},
    };
    bundle->count = sizeof files / sizeof files[0];
    memcpy(bundle->files, files, sizeof files);
    char hex[5][65];
    hex_digest(card, sizeof card - 1, hex[0]);
    hex_digest(guard, sizeof guard - 1, hex[1]);
    hex_digest(model, sizeof model - 1, hex[2]);
    hex_digest(golden_input, sizeof golden_input, hex[3]);
    hex_digest(golden_output, sizeof golden_output, hex[4]);
    int size =
        snprintf(bundle->manifest, sizeof bundle->manifest, manifest_format, hex[0], hex[1], hex[2], hex[3], hex[4]);
    if (size < 0 || (size_t)size >= sizeof bundle->manifest) abort();
    test_bundle_seal(bundle, bundle->manifest, (size_t)size);
}

/* Bytes being written one after another. */
typedef struct sink {
    uint8_t *at;
} sink;

static void put(sink *out, const void *data, size_t size) {
    if (size > 0) memcpy(out->at, data, size);
    out->at += size;
}

static void put_number(sink *out, size_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) *out->at++ = (uint8_t)(value >> (8 * i));
}

static void put_header(sink *out, const test_file *file, const size_t *offset) {
    put(out, offset != NULL ? "PK\1\2\x14\0" : "PK\3\4", offset != NULL ? 6 : 4);
    put(out, "\x14\0\0\0\0\0\0\0\x21\0", 10);
    put_number(out, er_crc32(0, file->data, file->size), 4);
    put_number(out, file->size, 4);
    put_number(out, file->size, 4);
    put_number(out, strlen(file->name), 2);
    put_number(out, 0, 2);
    if (offset != NULL) {
        put(out, "\0\0\0\0\0\0\0\0\0\0", 10);
        put_number(out, *offset, 4);
    }
    put(out, file->name, strlen(file->name));
}

uint8_t *test_zip(const test_file *files, size_t count, size_t *size) {
    size_t total = 22, *offsets = calloc(count + 1, sizeof *offsets);
    for (size_t i = 0; i < count; i++) total += 30 + 46 + 2 * strlen(files[i].name) + files[i].size;
    uint8_t *image = malloc(total);
    if (image == NULL || offsets == NULL) abort();
    sink out = {image};
    for (size_t i = 0; i < count; i++) {
        offsets[i] = (size_t)(out.at - image);
        put_header(&out, &files[i], NULL);
        put(&out, files[i].data, files[i].size);
    }
    size_t directory = (size_t)(out.at - image);
    for (size_t i = 0; i < count; i++) put_header(&out, &files[i], &offsets[i]);
    size_t end = (size_t)(out.at - image);
    put(&out, "PK\5\6\0\0\0\0", 8);
    put_number(&out, count, 2);
    put_number(&out, count, 2);
    put_number(&out, end - directory, 4);
    put_number(&out, directory, 4);
    put_number(&out, 0, 2);
    free(offsets);
    *size = total;
    return image;
}

erai_status test_open_image(const uint8_t *image, size_t size, char *detail) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, image, size);
    erai_bundle *bundle = NULL;
    detail[0] = '\0';
    erai_status status = er_bundle_open_image(copy, size, TEST_LABEL, &bundle, detail);
    erai_bundle_close(bundle);
    return status;
}

erai_status test_open_files(const test_file *files, size_t count, char *detail) {
    size_t size;
    uint8_t *image = test_zip(files, count, &size);
    erai_status status = test_open_image(image, size, detail);
    free(image);
    return status;
}
