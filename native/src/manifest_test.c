/* Manifests that are well sealed but wrong. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "bundle.h"
#include "er_test.h"
#include "test_bundle.h"

/* A sound manifest with one text replaced by another, sealed again. */
typedef struct manifest_case {
    const char *text, *replacement;
    erai_status status;
    const char *detail;
} manifest_case;

#define OTHER(format) "{\"role\":\"primary\",\"path\":\"models/m.onnx\",\"format\":\"" format "\"},"

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
    {"\"models\":[", "\"models\":[{\"role\":\"primary\",\"path\":\"models/m.onnx\",\"format\":\"onnx\"},",
     ERAI_E_BUNDLE_FORMAT, "more than one onnx model has the role \"primary\""},
    {"\"models\":[", "\"models\":[{\"role\":\"primary\",\"path\":\"models/m.onnx\",\"format\":\"tflite\"},", ERAI_OK,
     ""},
    {"\"models\":[", "\"models\":[" OTHER("a") OTHER("b") OTHER("c") OTHER("d"), ERAI_E_BUNDLE_FORMAT,
     "more than 4 models have the role \"primary\""},
    {"\"rows_independent\":true", "\"golden\":1", ERAI_E_BUNDLE_FORMAT, "\"golden\""},
    {"\"rows_independent\":true", "\"golden\":null", ERAI_OK, ""},
    {"\"role\":\"primary\"", "\"role\":\"fallback\"", ERAI_E_BUNDLE_FORMAT, "no model"},
    {"\"models\":[", "\"models\":[{\"role\":\"fallback\"},", ERAI_E_BUNDLE_FORMAT, "expected the fallback model"},
    {"\"models\":[", "\"models\":[{\"role\":\"fallback\",\"path\":\"no.onnx\",\"format\":\"onnx\"},",
     ERAI_E_BUNDLE_INTEGRITY, "no.onnx: the file of the fallback model"},
    {"\"models\":[", "\"models\":[{\"role\":\"fallback\",\"path\":\"models/m.onnx\",\"format\":\"onnx\"},", ERAI_OK,
     ""},
    {"\"models\":[", "\"models\":[{\"role\":\"later\"},", ERAI_OK, ""},
    {"\"rows_independent\":true", "\"rows_independent\":1", ERAI_E_BUNDLE_FORMAT, "rows_independent"},
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
    {"\"outputs\":[{\"dtype\":\"int64\",\"name\":\"y\",\"path\"",
     "\"outputs\":[],\"x\":[{\"dtype\":\"int64\",\"name\":\"y\",\"path\"", ERAI_E_BUNDLE_FORMAT,
     "expected at most 1e-06"},
    {"\"dtype\":\"float32\",\"name\":\"x\",\"path\"", "\"dtype\":\"float8\",\"name\":\"x\",\"path\"",
     ERAI_E_BUNDLE_FORMAT, "\"dtype\""},
    {"\"dtype\":\"float32\",\"name\":\"x\",\"path\"", "\"dtype\":\"float16\",\"name\":\"x\",\"path\"",
     ERAI_E_BUNDLE_FORMAT, "input_0.bin: 24 bytes; the shape in manifest.json asks for 12"},
    {"\"dtype\":\"float32\",\"name\":\"x\",\"path\"", "\"dtype\":\"string\",\"name\":\"x\",\"path\"",
     ERAI_E_BUNDLE_FORMAT, "input_0.bin: not 6 strings"},
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
    {"\"provenance\":{}", "\"promises\":[\"card.md\",\"manifest.json\"]", ERAI_OK, ""},
    {"\"provenance\":{}", "\"promises\":[]", ERAI_OK, ""},
    {"\"provenance\":{}", "\"promises\":[\"card.md\",\"evidence/gate.json\"]", ERAI_E_BUNDLE_INTEGRITY,
     "evidence/gate.json: the manifest promises this file, and it is missing or empty"},
    {"\"provenance\":{}", "\"promises\":[\"x\\u001b[2J\"]", ERAI_E_BUNDLE_INTEGRITY, "x?[2J"},
    {"\"provenance\":{}", "\"promises\":[\"card.md\\u0000\"]", ERAI_E_BUNDLE_FORMAT, "\"promises\""},
    {"\"provenance\":{}", "\"promises\":[1]", ERAI_E_BUNDLE_FORMAT, "\"promises\""},
    {"\"provenance\":{}", "\"promises\":\"card.md\"", ERAI_E_BUNDLE_FORMAT, "\"promises\""},
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

/* Opens the sound bundle with one text of its manifest replaced; NULL, and a failed check, when that cannot be done. */
static erai_bundle *open_with(const char *text, const char *replacement) {
    static test_bundle made;
    char manifest[TEST_MANIFEST_SIZE], detail[ERAI_DETAIL_SIZE] = "";
    size_t size;
    test_bundle_make(&made);
    replace(made.manifest, text, replacement, manifest);
    test_bundle_seal(&made, manifest, strlen(manifest));
    erai_bundle *bundle = NULL;
    uint8_t *image = test_zip(made.files, made.count, &size);
    er_bundle_open_image(image, size, TEST_LABEL, &bundle, detail);
    if (bundle == NULL) ER_FAILED("%s: %s", replacement, detail);
    return bundle;
}

static void a_fallback_model_is_found_beside_the_primary_one(void) {
    erai_bundle *bundle = open_with("\"models\":[", "\"models\":[{\"role\":\"fallback\",\"path\":\"models/m.onnx\","
                                                    "\"format\":\"tiny\",\"rows_independent\":false},");
    if (bundle == NULL) return;
    const er_manifest *manifest = er_bundle_manifest(bundle);
    ER_CHECK_STR(manifest->fallback.models[0].name, "models/m.onnx");
    ER_CHECK_STR(manifest->fallback.models[0].format, "tiny");
    ER_CHECK_INT(manifest->fallback.models[0].size, manifest->primary.models[0].size);
    ER_CHECK(manifest->primary.models[0].rows_independent && !manifest->fallback.models[0].rows_independent);
    ER_CHECK_STR(manifest->primary.models[0].format, "onnx");
    erai_bundle_close(bundle);
}

static void rows_are_independent_only_where_the_manifest_says_so(void) {
    static const char *const other[] = {"\"rows_independent\":false", "\"more\":0"};
    for (size_t i = 0; i < 2; i++) {
        erai_bundle *bundle = open_with("\"rows_independent\":true", other[i]);
        if (bundle == NULL) return;
        ER_CHECK(!er_bundle_manifest(bundle)->primary.models[0].rows_independent);
        ER_CHECK(er_bundle_manifest(bundle)->fallback.count == 0);
        erai_bundle_close(bundle);
    }
}

static void hex_digest(const void *data, size_t size, char hex[2 * ERAI_DIGEST_SIZE + 1]) {
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256(data, size, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* The sound bundle with two other values in its only golden output and another tolerance. */
static erai_bundle *make_golden(const char *dtype, const void *values, size_t size, const char *atol,
                                erai_status *status, char *detail) {
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
    size_t zipped;
    uint8_t *image = test_zip(made.files, made.count, &zipped);
    erai_bundle *bundle = NULL;
    *status = er_bundle_open_image(image, zipped, TEST_LABEL, &bundle, detail);
    return bundle;
}

static erai_status open_golden(const char *dtype, const void *values, size_t size, const char *atol, char *detail) {
    erai_status status;
    erai_bundle_close(make_golden(dtype, values, size, atol, &status, detail));
    return status;
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

static void halves_are_read_as_numbers(void) {
    char detail[ERAI_DETAIL_SIZE];
    const uint16_t halves[2] = {0xC100, 0x7C00}, bfloats[2] = {0x4020, 0x7FC0}; /* -2.5, infinity; 2.5, NaN */
    ER_CHECK_INT(open_golden("float16", halves, sizeof halves, "2.5", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("float16", halves, sizeof halves, "2.51", detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(open_golden("bfloat16", bfloats, sizeof bfloats, "2.5", detail), ERAI_OK);
    ER_CHECK_INT(open_golden("bfloat16", bfloats, sizeof bfloats, "2.51", detail), ERAI_E_BUNDLE_FORMAT);
}

static void golden_strings_have_their_size_before_them(void) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_status status;
    erai_bundle *bundle = make_golden("string", "\2\0\0\0a\0\0\0\0\0", 10, "1e-6", &status, detail);
    ER_CHECK_INT(status, ERAI_OK);
    if (bundle == NULL) return;
    const er_golden *golden = er_bundle_manifest(bundle)->golden.outputs;
    const erai_string *strings = golden->data;
    ER_CHECK_INT(golden->dtype, ERAI_DTYPE_STRING);
    ER_CHECK_INT(golden->size, 2 * sizeof(erai_string));
    ER_CHECK(strings[0].size == 2 && memcmp(strings[0].bytes, "a\0", 2) == 0 && strings[1].size == 0);
    erai_bundle_close(bundle);
}

static void golden_strings_of_another_size_than_said_are_refused(void) {
    static const struct {
        const char *bytes;
        size_t size;
    } files[] = {{"\0\0\0\0", 4},
                 {"\0\0\0\0\0\0\0\0x", 9},
                 {"\2\0\0\0a\0\0\0\0", 9},
                 {"\1\0\0\0a\0\0\0", 8},
                 {"\377\377\377\377xxxx", 8}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char detail[ERAI_DETAIL_SIZE];
        ER_CHECK_INT(open_golden("string", files[i].bytes, files[i].size, "1e-6", detail), ERAI_E_BUNDLE_FORMAT);
        ER_CHECK_CONTAINS(detail, "output_0.bin");
    }
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
    ER_RUN(a_fallback_model_is_found_beside_the_primary_one);
    ER_RUN(rows_are_independent_only_where_the_manifest_says_so);
    ER_RUN(halves_are_read_as_numbers);
    ER_RUN(golden_strings_have_their_size_before_them);
    ER_RUN(golden_strings_of_another_size_than_said_are_refused);
    ER_RUN(a_tolerance_is_at_most_the_largest_golden_output);
    ER_RUN(every_truncated_manifest_is_refused_although_sealed);
    return er_test_result();
}
