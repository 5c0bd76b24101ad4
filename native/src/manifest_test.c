/* Manifests that are well sealed but wrong. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "er_test.h"
#include "test_bundle.h"

/* A sound manifest with one text replaced by another, sealed again. */
typedef struct manifest_case {
    const char *text, *replacement;
    erai_status status;
    const char *detail;
} manifest_case;

static const manifest_case manifest_cases[] = {
    {"\"format_version\":1", "\"format_version\":2", ERAI_E_BUNDLE_NEWER, "version 2 and this build reads up to 1"},
    {"\"format_version\":1", "\"format_version\":0", ERAI_E_BUNDLE_FORMAT, "format_version"},
    {"\"format_version\":1", "\"format_version\":1.0", ERAI_E_BUNDLE_FORMAT, "format_version"},
    {"\"format_version\":1", "\"format_version\":\"1\"", ERAI_E_BUNDLE_FORMAT, "format_version"},
    {"\"format_version\":1", "\"format_version\":99999999999999999999", ERAI_E_BUNDLE_FORMAT, "format_version"},
    {"\"format_version\":1", "\"other\":1", ERAI_E_BUNDLE_FORMAT, "format_version"},
    {"{\"files\"", "{\"format_version\":1,\"files\"", ERAI_E_BUNDLE_FORMAT, "twice"},
    {"{\"files\"", "[{\"files\"", ERAI_E_BUNDLE_FORMAT, "at byte"},
    {"{\"files\":{", "{\"files\":{\"../x\":\"0\",", ERAI_E_BUNDLE_FORMAT, "invalid path"},
    {"{\"files\":{", "{\"files\":{\"card.md\\u0000\":\"0\",", ERAI_E_BUNDLE_FORMAT, "invalid path"},
    {"{\"files\":{", "{\"files\":{\"manifest.json\":\"0\",", ERAI_E_BUNDLE_FORMAT, "must not list"},
    {"{\"files\":{", "{\"files\":{\"absent.txt\":\"0\",", ERAI_E_BUNDLE_INTEGRITY, "absent.txt"},
    {"{\"files\":{", "{\"files\":[],\"x\":{", ERAI_E_BUNDLE_FORMAT, "\"files\""},
    {"\"card.md\":\"", "\"card.md\":\"0", ERAI_E_BUNDLE_INTEGRITY, "card.md"},
    {"\"models\":[", "\"models\":{},\"x\":[", ERAI_E_BUNDLE_FORMAT, "\"models\""},
    {"\"models\":[", "\"models\":[],\"x\":[", ERAI_E_BUNDLE_FORMAT, "\"models\""},
    {"\"models\":[", "\"models\":[0,", ERAI_E_BUNDLE_FORMAT, "\"role\""},
    {"\"models\":[", "\"models\":[{\"role\":\"primary\"},", ERAI_E_BUNDLE_FORMAT, "more than one model"},
    {"\"role\":\"primary\"", "\"role\":\"fallback\"", ERAI_E_BUNDLE_FORMAT, "no model"},
    {"\"path\":\"models/m.onnx\"", "\"path\":\"models/n.onnx\"", ERAI_E_BUNDLE_INTEGRITY, "models/n.onnx"},
    {"\"path\":\"models/m.onnx\"", "\"path\":3", ERAI_E_BUNDLE_FORMAT, "primary model"},
    {"\"format\":\"onnx\"", "\"format\":\"\"", ERAI_E_BUNDLE_FORMAT, "primary model"},
    {"\"golden\":{", "\"golden\":1,\"x\":{", ERAI_E_BUNDLE_FORMAT, "\"golden\""},
    {"\"atol\":1e-05", "\"atol\":-1", ERAI_E_BUNDLE_FORMAT, "\"atol\""},
    {"\"atol\":1e-05", "\"atol\":1e999", ERAI_E_BUNDLE_FORMAT, "\"atol\""},
    {"\"atol\":1e-05", "\"atol\":1e300", ERAI_E_BUNDLE_FORMAT, "expected at most 1"},
    {"\"atol\":1e-05", "\"atol\":1.0000001", ERAI_E_BUNDLE_FORMAT, "expected at most 1"},
    {"\"atol\":1e-05", "\"atol\":1", ERAI_OK, ""},
    {"\"requirements\":{}", "\"more\":{}", ERAI_OK, ""},
    {"\"requirements\":{}", "\"requirements\":null", ERAI_E_BUNDLE_FORMAT, "\"requirements\""},
    {"\"requirements\":{}", "\"requirements\":[\">=1\"]", ERAI_E_BUNDLE_FORMAT, "\"requirements\""},
    {"\"requirements\":{}", "\"requirements\":{\"edge_rai\":1}", ERAI_E_BUNDLE_FORMAT, "\"requirements\""},
    {"\"requirements\":{}", "\"requirements\":{\"onnxruntime\":\"==1.2\"}", ERAI_E_BUNDLE_FORMAT, ">=1.17"},
    {"\"requirements\":{}", "\"requirements\":{\"edge_rai\":\">=99\",\"x\":[]}", ERAI_OK, ""},
    {"\"atol\":1e-05,\"inputs\":[", "\"atol\":0,\"inputs\":[],\"x\":[", ERAI_E_BUNDLE_FORMAT, "1 to 64"},
    {"\"dtype\":\"float32\",\"name\":\"x\",\"path\"", "\"dtype\":\"float16\",\"name\":\"x\",\"path\"",
     ERAI_E_BUNDLE_FORMAT, "\"dtype\""},
    {"\"dtype\":\"float32\",\"name\":\"x\",\"path\"", "\"dtype\":\"float64\",\"name\":\"x\",\"path\"",
     ERAI_E_BUNDLE_FORMAT, "input_0.bin: 24 bytes; the shape in manifest.json asks for 48"},
    {"\"name\":\"y\",\"path\"", "\"name\":\"y\\u0000\",\"path\"", ERAI_E_BUNDLE_FORMAT, "\"name\""},
    {"\"path\":\"reference/golden/output_0.bin\"", "\"path\":\"x\\u001b[2J\"", ERAI_E_BUNDLE_INTEGRITY, "x?[2J"},
    {"\"shape\":[2,3]", "\"shape\":[2,0]", ERAI_E_BUNDLE_FORMAT, "\"shape\""},
    {"\"shape\":[2,3]", "\"shape\":[-2,-3]", ERAI_E_BUNDLE_FORMAT, "\"shape\""},
    {"\"shape\":[2,3]", "\"shape\":[null,3]", ERAI_E_BUNDLE_FORMAT, "\"shape\""},
    {"\"shape\":[2,3]", "\"shape\":[9223372036854775807,9223372036854775807]", ERAI_E_BUNDLE_FORMAT, "\"shape\""},
    {"\"shape\":[2,3]", "\"shape\":[1,1,1,1,1,1,1,1,6]", ERAI_E_BUNDLE_FORMAT, "\"shape\""},
    {"\"shape\":[2,3]", "\"shape\":[6,1,1,1,1,1,1,1]", ERAI_OK, ""},
    {"\"shape\":[2,3]", "\"shape\":[]", ERAI_E_BUNDLE_FORMAT, "asks for 4"},
    {"\"provenance\":{}", "\"provenance\":{\"later\":[{\"x\":[1.5,null]}]},\"more\":{\"golden\":[]}", ERAI_OK, ""},
};

static void replace(const char *manifest, const char *text, const char *replacement, char out[TEST_MANIFEST_SIZE]) {
    const char *at = strstr(manifest, text);
    if (at == NULL) {
        ER_FAILED("the manifest has no %s", text);
        at = manifest + strlen(manifest);
        text = "";
    }
    snprintf(out, TEST_MANIFEST_SIZE, "%.*s%s%s", (int)(at - manifest), manifest, replacement, at + strlen(text));
}

static void a_wrong_manifest_gets_a_clear_answer(void) {
    for (size_t i = 0; i < sizeof manifest_cases / sizeof manifest_cases[0]; i++) {
        const manifest_case *c = &manifest_cases[i];
        test_bundle made;
        test_bundle_make(&made);
        char manifest[TEST_MANIFEST_SIZE], detail[ERAI_DETAIL_SIZE];
        replace(made.manifest, c->text, c->replacement, manifest);
        test_bundle_seal(&made, manifest, strlen(manifest));
        erai_status status = test_open_files(made.files, made.count, detail);
        if (status != c->status || strstr(detail, c->detail) == NULL)
            ER_FAILED("%s: status %d, expected %d; \"%s\"", c->replacement, status, c->status, detail);
        if (status != ERAI_OK) ER_CHECK_CONTAINS(detail, TEST_LABEL);
    }
}

static void hex_digest(const void *data, size_t size, char hex[2 * ERAI_DIGEST_SIZE + 1]) {
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256(data, size, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* Opens the sound bundle with two other values in its only golden output and another tolerance. */
static erai_status open_golden(const char *dtype, const void *values, size_t size, const char *atol, char *detail) {
    test_bundle made;
    test_bundle_make(&made);
    test_file *output = test_bundle_file(&made, "reference/golden/output_0.bin");
    char before[2 * ERAI_DIGEST_SIZE + 1], after[2 * ERAI_DIGEST_SIZE + 1], typed[64], tolerated[64];
    char manifests[3][TEST_MANIFEST_SIZE];
    hex_digest(output->data, output->size, before);
    hex_digest(values, size, after);
    output->data = values;
    output->size = size;
    snprintf(typed, sizeof typed, "{\"dtype\":\"%s\",\"name\":\"y\",\"path\"", dtype);
    snprintf(tolerated, sizeof tolerated, "\"atol\":%s", atol);
    replace(made.manifest, before, after, manifests[0]);
    replace(manifests[0], "{\"dtype\":\"int64\",\"name\":\"y\",\"path\"", typed, manifests[1]);
    replace(manifests[1], "\"atol\":1e-05", tolerated, manifests[2]);
    test_bundle_seal(&made, manifests[2], strlen(manifests[2]));
    return test_open_files(made.files, made.count, detail);
}

static void a_tolerance_is_at_most_the_largest_golden_output(void) {
    char detail[ERAI_DETAIL_SIZE];
    const float floats[2] = {0.25f, -2.5f}, small[2] = {1e-6f, 0.0f}, endless[2] = {-INFINITY, 0.5f};
    const double none[2] = {NAN, NAN};
    const uint8_t bytes[2] = {3, 200};
    ER_CHECK_INT(open_golden("float32", floats, sizeof floats, "2.5", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("float32", floats, sizeof floats, "2.500001", detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "expected at most 2.5");
    ER_CHECK_INT(open_golden("float32", small, sizeof small, "1e-6", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("float32", small, sizeof small, "1.1e-6", detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(open_golden("float32", endless, sizeof endless, "0.5", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("float32", endless, sizeof endless, "1e300", detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(open_golden("float64", none, sizeof none, "1e-6", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("float64", none, sizeof none, "0.01", detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(open_golden("uint8", bytes, sizeof bytes, "200", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("uint8", bytes, sizeof bytes, "201", detail), ERAI_E_BUNDLE_FORMAT);
}

static void every_truncated_manifest_is_refused_although_sealed(void) {
    test_bundle made;
    test_bundle_make(&made);
    char detail[ERAI_DETAIL_SIZE];
    for (size_t size = 0; size + 1 < strlen(made.manifest); size++) {
        test_bundle_seal(&made, made.manifest, size);
        ER_CHECK_INT(test_open_files(made.files, made.count, detail), ERAI_E_BUNDLE_FORMAT);
        ER_CHECK_CONTAINS(detail, "manifest.json");
    }
}

int main(void) {
    ER_RUN(a_wrong_manifest_gets_a_clear_answer);
    ER_RUN(a_tolerance_is_at_most_the_largest_golden_output);
    ER_RUN(every_truncated_manifest_is_refused_although_sealed);
    return er_test_result();
}
