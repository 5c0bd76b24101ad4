/* The public tables are total, and details are safe to print. SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <string.h>

#include "er_test.h"

static void every_status_has_its_own_sentence_and_any_other_value_one_too(void) {
    static const erai_status known[] = {
        ERAI_OK,
        ERAI_E_ARGUMENT,
        ERAI_E_STRUCT,
        ERAI_E_NO_MODEL,
        ERAI_E_MEMORY,
        ERAI_E_SIZE,
        ERAI_E_BUNDLE_READ,
        ERAI_E_BUNDLE_FORMAT,
        ERAI_E_BUNDLE_INTEGRITY,
        ERAI_E_BUNDLE_NEWER,
        ERAI_E_MODEL_UNSUPPORTED,
        ERAI_E_GOLDEN,
        ERAI_E_POLICY,
        ERAI_E_GUARD_FORMAT,
        ERAI_E_GUARD_NEWER,
        ERAI_E_GUARD_MISMATCH,
        ERAI_E_SPOOL,
        ERAI_E_BATCH_FORMAT,
        ERAI_E_BATCH_NEWER,
        ERAI_E_RUNTIME_MISSING,
        ERAI_E_RUNTIME_OLD,
        ERAI_E_INFERENCE,
        ERAI_E_INTERNAL,
        ERAI_E_STOPPED,
        ERAI_E_PROVIDER,
    };
    size_t count = sizeof known / sizeof known[0];
    for (size_t i = 0; i < count; i++) {
        ER_CHECK(strcmp(erai_strerror(known[i]), "unknown status") != 0);
        for (size_t k = 0; k < i; k++) ER_CHECK(strcmp(erai_strerror(known[i]), erai_strerror(known[k])) != 0);
    }
    ER_CHECK_STR(erai_strerror((erai_status)99), "unknown status");
}

static void reason_names_and_element_sizes_are_total(void) {
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_DTYPE), "dtype");
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_BELOW_RANGE), "below_range");
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_OUTPUT_SHAPE), "output_shape");
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_ROWS_DEPEND), "rows_depend");
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_INFERENCE), "inference");
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_DRIFT), "drift");
    ER_CHECK_STR(erai_reason_name(ERAI_REASON_DRIFT + 1), "unknown");
    ER_CHECK_STR(erai_reason_name(UINT32_MAX), "unknown");
    static const size_t sizes[] = {0, 4, 1, 1, 2, 2, 4, 8, sizeof(erai_string), 1, 2, 8, 4, 8, 0, 0, 2, 0};
    for (uint32_t dtype = 0; dtype < sizeof sizes / sizeof sizes[0]; dtype++)
        ER_CHECK_INT(erai_dtype_size(dtype), sizes[dtype]);
    ER_CHECK_INT(erai_dtype_size(UINT32_MAX), 0);
    ER_CHECK_STR(erai_version(), ERAI_VERSION_STRING);
    ER_CHECK(strstr(erai_build(), " -ffp-contract=off"));
}

static void a_detail_is_formatted_cut_and_freed_of_control_characters(void) {
    char detail[ERAI_DETAIL_SIZE + 1];
    detail[ERAI_DETAIL_SIZE] = '#';
    ER_CHECK_INT(er_fail(NULL, ERAI_E_SIZE, "%d", 1), ERAI_E_SIZE);
    ER_CHECK_INT(er_fail(detail, ERAI_E_SIZE, "%s\n\x1b[2J\x7f %d", "a", 7), ERAI_E_SIZE);
    ER_CHECK_STR(detail, "a??[2J? 7");
    er_fail(detail, ERAI_E_SIZE, "%*d", 2 * ERAI_DETAIL_SIZE, 1);
    ER_CHECK_INT(strlen(detail), ERAI_DETAIL_SIZE - 1);
    ER_CHECK(detail[ERAI_DETAIL_SIZE] == '#');
}

static void a_cut_detail_never_ends_inside_a_character(void) {
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 3; c++) {
        size_t length = strlen(characters[c]);
        for (size_t kept = 0; kept <= length; kept++) {
            char detail[ERAI_DETAIL_SIZE];
            int before = (int)(ERAI_DETAIL_SIZE - 1 - kept);
            er_fail(detail, ERAI_E_SIZE, "%*s%s and more", before, "", characters[c]);
            ER_CHECK_INT(strlen(detail), kept == length ? ERAI_DETAIL_SIZE - 1 : before);
        }
    }
}

int main(void) {
    ER_RUN(every_status_has_its_own_sentence_and_any_other_value_one_too);
    ER_RUN(reason_names_and_element_sizes_are_total);
    ER_RUN(a_detail_is_formatted_cut_and_freed_of_control_characters);
    ER_RUN(a_cut_detail_never_ends_inside_a_character);
    return er_test_result();
}
