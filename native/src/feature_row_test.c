/* Reading a feature's values in every layout, and their fingerprints as the check STUCK sees them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "feature_row.h"

#include <math.h>

#include "er_test.h"
#include "test_checks.h"

static er_feature_row feature_of(const test_checks *rig) {
    return (er_feature_row){.row = &rig->row,
                            .feature = &rig->session->guard->features[1],
                            .place = 1,
                            .size = rig->row.outer * rig->row.inner};
}

/* Each value says where it stands. */
static void every_value_is_read_once_and_in_order(void) {
    static const size_t layouts[][2] = {{1, 1}, {1, 256}, {1, 257}, {600, 1}, {300, 2}, {2, 300}, {7, 73}};
    static double wide[600 * TEST_CHECKED_FEATURES];
    static uint16_t narrow[600 * TEST_CHECKED_FEATURES];
    for (uint16_t i = 0; i < 600 * TEST_CHECKED_FEATURES; i++) wide[i] = narrow[i] = i;
    for (size_t test = 0; test < 14; test++) {
        size_t outer = layouts[test / 2][0], inner = layouts[test / 2][1], seen = 0, wrong = 0;
        uint32_t dtype = test % 2 ? ERAI_DTYPE_UINT16 : ERAI_DTYPE_FLOAT64;
        test_checks rig = test_checks_open((test_layout){.dtype = dtype, .outer = outer, .inner = inner}, NULL, 0);
        rig.row.values = test % 2 ? (const void *)narrow : (const void *)wide;
        er_feature_row feature = feature_of(&rig);
        er_block block;
        for (size_t next = 0; next < feature.size;) {
            next = er_read_block(&feature, next, &block);
            for (size_t i = 0; i < block.count; i++, seen++) {
                size_t element = (seen / inner * TEST_CHECKED_FEATURES + 1) * inner + seen % inner;
                wrong += er_number_of(&block, i) != seen || er_element_of(&feature, seen) != element ||
                         block.values[i] != (double)element;
            }
        }
        ER_CHECK_INT(wrong, 0);
        ER_CHECK_INT(seen, outer * inner);
        test_checks_close(&rig);
    }
}

static void absent_values_are_dropped_and_the_others_keep_their_numbers(void) {
    const double sentinel[] = {-1};
    const erai_check_rule missing = {.kind = ERAI_CHECK_MISSING, .values = sentinel, .count = 1, .limit = 0};
    static float values[5 * TEST_CHECKED_FEATURES];
    const float mixed[] = {-1, 7, NAN, -1, INFINITY};
    memcpy(values + 5, mixed, sizeof mixed);
    for (uint32_t flags = 0; flags <= ERAI_RULE_FINITE; flags += ERAI_RULE_FINITE) {
        test_checks rig = test_checks_open(
            (test_layout){.dtype = ERAI_DTYPE_FLOAT32, .flags = flags, .outer = 1, .inner = 5}, &missing, 1);
        rig.row.in_order = 0;
        rig.row.values = values;
        er_feature_row feature = feature_of(&rig);
        er_block block;
        ER_CHECK_INT(er_read_block(&feature, 0, &block), 5);
        ER_CHECK_INT(block.count, flags ? 1 : 3);
        ER_CHECK(block.values[0] == 7.0 && er_number_of(&block, 0) == 1);
        if (!flags) ER_CHECK(isnan(block.values[1]) && er_number_of(&block, 2) == 4);
        test_checks_close(&rig);
    }
}

static void every_nan_is_the_same(void) {
    const erai_check_rule rules[] = {{.kind = ERAI_CHECK_MISSING, .limit = (double)NAN},
                                     {.kind = ERAI_CHECK_STUCK, .window = 2}};
    const uint32_t float32[][2] = {{0x3F800000, 0x7F800001}, {0x3F800000, 0xFFC00000}, {0x3F800000, 0x7F800000}};
    const uint64_t float64[][2] = {{1, 0x7FF0000000000001}, {1, 0xFFF8000000000000}, {1, 0x7FF0000000000000}};
    const uint16_t float16[][2] = {{1, 0x7C01}, {1, 0xFE00}, {1, 0x7C00}},
                   bfloat16[][2] = {{1, 0x7F81}, {1, 0xFFC0}, {1, 0x7F80}};
    const void *const rows[] = {float32, float64, float16, bfloat16};
    const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64, ERAI_DTYPE_FLOAT16, ERAI_DTYPE_BFLOAT16};
    for (size_t i = 0; i < 4; i++) {
        test_checks rig = test_checks_open((test_layout){.dtype = dtypes[i], .outer = 1, .inner = 2}, rules, 2);
        size_t bytes = 2 * erai_dtype_size(dtypes[i]), found[3];
        for (size_t row = 0; row < 3; row++) {
            unsigned char values[6 * 8] = {0};
            memcpy(values + bytes, (const char *)rows[i] + row * bytes, bytes);
            found[row] = test_check(&rig, values);
        }
        ER_CHECK(found[0] == 0 && found[1] == 1 && found[2] == 0); /* the last is an infinity */
        test_checks_close(&rig);
    }
}

/* In every layout and size: a bit of each value of the feature in turn, and of the others. */
static void a_fingerprint_is_of_all_of_the_feature_and_of_nothing_else(void) {
    const erai_check_rule rule = {.kind = ERAI_CHECK_STUCK, .window = 2};
    static const size_t layouts[][2] = {{1, 700}, {700, 1}, {233, 3}};
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_UINT8, ERAI_DTYPE_INT64, ERAI_DTYPE_BFLOAT16};
    static unsigned char values[700 * TEST_CHECKED_FEATURES * 8];
    for (size_t test = 0; test < 12; test++) {
        test_layout layout = {.dtype = dtypes[test % 4], .outer = layouts[test / 4][0], .inner = layouts[test / 4][1]};
        size_t bytes = erai_dtype_size(layout.dtype), size = layout.outer * layout.inner * TEST_CHECKED_FEATURES;
        test_checks rig = test_checks_open(layout, &rule, 1);
        memset(values, 0, sizeof values);
        size_t wrong = test_check(&rig, values) != 0;
        for (size_t i = 0; i < size; i++) {
            values[i * bytes + bytes / 2] ^= 1;
            wrong += test_check(&rig, values) != (i / layout.inner % TEST_CHECKED_FEATURES != 1);
        }
        ER_CHECK_INT(wrong, 0);
        test_checks_close(&rig);
    }
}

int main(void) {
    ER_RUN(every_value_is_read_once_and_in_order);
    ER_RUN(absent_values_are_dropped_and_the_others_keep_their_numbers);
    ER_RUN(every_nan_is_the_same);
    ER_RUN(a_fingerprint_is_of_all_of_the_feature_and_of_nothing_else);
    return er_test_result();
}
