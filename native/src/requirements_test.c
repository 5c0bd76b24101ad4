/* Versions compared, and what a bundle that requires them is told. SPDX-License-Identifier: Apache-2.0 */
#include "requirements.h"

#include "er_test.h"

static void a_requirement_has_one_form(void) {
    static const char *const valid[] = {">=0", ">=1", ">=1.17", ">=1.17.3", ">=0.1.0", ">=999999999.0.1", ">=01.2"};
    static const char *const invalid[] = {
        "",           "1.17",      ">1.17",         "==1.17", "<2",           ">=",        ">= 1.17", " >=1.17",
        ">=1.17 ",    ">=1.17,<2", ">=1.",          ">=.1",   ">=1..2",       ">=1.2.3.4", ">=1.x",   ">=1.17rc1",
        ">=1.2.3-rc", ">=-1.2",    ">=+1.2",        ">=1.2.", ">=1000000000", ">==1.17",   "~=1.17",  ">=v1",
        ">=1.17\n",   ">=1.2.3.",  ">=1.2000000000"};
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        if (!er_requirement_valid(valid[i])) ER_FAILED("\"%s\" was refused", valid[i]);
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        if (er_requirement_valid(invalid[i])) ER_FAILED("\"%s\" was taken", invalid[i]);
}

static void versions_are_compared_number_by_number(void) {
    static const struct {
        const char *requirement, *version;
        bool met;
    } cases[] = {
        {">=1.17", "1.17.0", true},
        {">=1.17", "1.17", true},
        {">=1.17.0", "1.17", true},
        {">=1.17.1", "1.17", false},
        {">=1.17", "1.16.3", false},
        {">=1.9", "1.17.0", true}, /* not as text */
        {">=1.17", "1.9.9", false},
        {">=1.17", "2.0.0", true},
        {">=2", "1.99.99", false},
        {">=1", "1.0.0", true},
        {">=0", "0.0.1", true},
        {">=1.23.2", "1.23.2", true},
        {">=1.23.3", "1.23.2", false},
        {">=1.23.2", "1.24.0", true},
        {">=1.20", "1.20.0-dev", true},
        {">=1.20.1", "1.20-dev", false},
        {">=1.2.3", "1.2.3.4", true},
        {">=999999999", "999999999", true},
        {">=0", "", false},
        {">=0", "unknown", false},
        {">=0", "99999999999", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (er_requirement_met(cases[i].requirement, cases[i].version) != cases[i].met)
            ER_FAILED("%s with %s: expected %d", cases[i].requirement, cases[i].version, cases[i].met);
}

static const er_engine engine = {.requirement = "onnxruntime", .update = "ONNX Runtime"};

/* A bundle of which there is only what the manifest requires, held against this build or a runtime's version. */
static erai_status check(const char *requirements, const char *runtime, char *detail) {
    const er_model model = {.engine = &engine, .version = runtime};
    char label[] = "small.erai";
    erai_bundle bundle = {.label = label};
    ER_CHECK_INT(er_json_open(requirements, strlen(requirements), &bundle.json, detail), ERAI_OK);
    bundle.manifest.requirements = er_json_root(bundle.json);
    ER_CHECK(er_requirements_valid(bundle.manifest.requirements));
    erai_status status = runtime != NULL ? er_requirements_check_model(&bundle, &model, detail)
                                         : er_requirements_check_build(&bundle, detail);
    er_json_close(bundle.json);
    return status;
}

static void a_bundle_whose_requirements_are_met_passes(void) {
    char detail[ERAI_DETAIL_SIZE] = "untouched";
    const char *text = "{\"edge_rai\":\">=" ERAI_VERSION_STRING "\",\"onnxruntime\":\">=1.17\"}";
    ER_CHECK_INT(check(text, NULL, detail), ERAI_OK);
    ER_CHECK_INT(check(text, "1.17.0", detail), ERAI_OK);
    ER_CHECK_INT(check("{}", NULL, detail), ERAI_OK);
    ER_CHECK_INT(check("{}", "1.11.0", detail), ERAI_OK);
    const erai_bundle without = {.label = NULL};
    ER_CHECK_INT(er_requirements_check_build(&without, detail), ERAI_OK);
    ER_CHECK_INT(er_requirements_check_model(&without, &(er_model){.engine = &engine, .version = "1.11.0"}, detail),
                 ERAI_OK);
    ER_CHECK_INT(er_requirements_check_model(&without, &(er_model){.engine = &engine}, detail), ERAI_OK);
    ER_CHECK_STR(detail, "untouched");
}

static void a_bundle_that_requires_more_is_told_what_and_what_is_here(void) {
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(check("{\"onnxruntime\":\">=1.17\"}", "1.16.3", detail), ERAI_E_BUNDLE_NEWER);
    ER_CHECK_CONTAINS(detail, "small.erai requires onnxruntime >=1.17 and 1.16.3 is here; update ONNX Runtime");
    ER_CHECK_INT(check("{\"edge_rai\":\">=99.1\"}", NULL, detail), ERAI_E_BUNDLE_NEWER);
    ER_CHECK_CONTAINS(detail,
                      "small.erai requires edge_rai >=99.1 and " ERAI_VERSION_STRING " is here; update edge-rai");
}

static void a_requirement_that_this_build_does_not_know_is_newer_whatever_its_form(void) {
    static const char *const unknown[] = {"{\"npu\":\">=1\"}", "{\"npu\":[1]}", "{\"edge_rai\":\">=0\",\"npu\":null}"};
    char detail[ERAI_DETAIL_SIZE];
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        ER_CHECK_INT(check(unknown[i], NULL, detail), ERAI_E_BUNDLE_NEWER);
        ER_CHECK_CONTAINS(detail, "small.erai requires npu, which this build does not know; update edge-rai");
    }
    ER_CHECK_INT(check("{\"edge_rai\\u0000\":\">=0\"}", NULL, detail), ERAI_E_BUNDLE_NEWER);
}

int main(void) {
    ER_RUN(a_requirement_has_one_form);
    ER_RUN(versions_are_compared_number_by_number);
    ER_RUN(a_bundle_whose_requirements_are_met_passes);
    ER_RUN(a_bundle_that_requires_more_is_told_what_and_what_is_here);
    ER_RUN(a_requirement_that_this_build_does_not_know_is_newer_whatever_its_form);
    return er_test_result();
}
