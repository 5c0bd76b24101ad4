/* Manifests that are well sealed but wrong. SPDX-License-Identifier: Apache-2.0 */
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

static void a_wrong_manifest_gets_a_clear_answer(void) {
    for (size_t i = 0; i < sizeof manifest_cases / sizeof manifest_cases[0]; i++) {
        const manifest_case *c = &manifest_cases[i];
        test_bundle made;
        test_bundle_make(&made);
        char manifest[TEST_MANIFEST_SIZE], detail[ERAI_DETAIL_SIZE];
        const char *at = strstr(made.manifest, c->text);
        if (at == NULL) {
            ER_FAILED("the manifest has no %s", c->text);
            continue;
        }
        int size = snprintf(manifest, sizeof manifest, "%.*s%s%s", (int)(at - made.manifest), made.manifest,
                            c->replacement, at + strlen(c->text));
        test_bundle_seal(&made, manifest, (size_t)size);
        erai_status status = test_open_files(made.files, made.count, detail);
        if (status != c->status || strstr(detail, c->detail) == NULL)
            ER_FAILED("%s: status %d, expected %d; \"%s\"", c->replacement, status, c->status, detail);
        if (status != ERAI_OK) ER_CHECK_CONTAINS(detail, TEST_LABEL);
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
    ER_RUN(every_truncated_manifest_is_refused_although_sealed);
    return er_test_result();
}
