/* Guard programs: rules read back as written, and damaged bytes are refused or read within the format's bounds. What
 * each field may be is in tests/unit/test_policy_program.py. SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <math.h>
#include <stdlib.h>

#include "er_test.h"
#include "test_guard.h"

/* Opens a copy that ends where its memory ends, so that the sanitizer sees any read past it. */
static erai_status open_copy(const uint8_t *bytes, size_t size, erai_guard **guard, char *detail) {
    uint8_t *copy = malloc(size ? size : 1);
    if (copy == NULL) abort();
    memcpy(copy, bytes, size);
    erai_status status = erai_guard_open(copy, size, guard, detail);
    free(copy);
    return status;
}

static void rules_read_back_as_they_were_written(void) {
    erai_guard *guard = test_guard_open();
    ER_CHECK_INT(erai_guard_batched(guard), 1);
    ER_CHECK_INT(erai_guard_inputs(guard), 1);
    ER_CHECK_INT(erai_guard_features(guard), TEST_FEATURES);
    ER_CHECK_INT(erai_guard_outputs(guard), 1);
    erai_input_rule input;
    ER_CHECK_INT(erai_guard_input(guard, 0, &input), ERAI_OK);
    ER_CHECK_STR(input.name, "x");
    ER_CHECK(input.shape[0] == -1 && input.max_shape[0] == 4096 && input.shape[1] == 3 && input.max_shape[1] == 3);
    ER_CHECK(input.rank == 2 && input.feature_axis == 1 && input.feature_count == 3 && input.sketch_stride == 1);
    ER_CHECK_INT(input.flags, ERAI_RULE_FINITE);
    erai_feature_rule feature;
    ER_CHECK_INT(erai_guard_feature(guard, 1, &feature), ERAI_OK);
    ER_CHECK_STR(feature.name, "b");
    ER_CHECK(feature.low == -10.0f && feature.high == 10.0f && feature.mean == 0.5 && feature.stddev == 2.0);
    ER_CHECK(feature.bins == 4 && feature.edges[2] == 2.0f && feature.counts[3] == 20);
    erai_output_rule output;
    ER_CHECK_INT(erai_guard_output(guard, 0, &output), ERAI_OK);
    ER_CHECK(output.default_size == 2 && output.default_row[1] == 0.75 && output.shape[0] == -1);
    ER_CHECK_INT(erai_guard_input(guard, 1, &input), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_guard_feature(guard, 3, &feature), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_guard_output(guard, SIZE_MAX, &output), ERAI_E_ARGUMENT);
    erai_guard_close(guard);
    erai_guard_close(NULL);
}

static void a_buffer_that_is_too_small_is_told_the_size(void) {
    size_t size, needed = 0;
    uint8_t *bytes = test_guard_bytes(&size);
    erai_guard *guard = NULL;
    char detail[ERAI_DETAIL_SIZE] = "untouched";
    ER_CHECK_INT(open_copy(bytes, size, &guard, detail), ERAI_OK);
    ER_CHECK_STR(detail, "untouched");
    erai_guard_close(guard);
    free(bytes);
    erai_policy *policy = NULL;
    ER_CHECK_INT(erai_policy_open(0, &policy), ERAI_OK);
    ER_CHECK_INT(erai_policy_write(policy, NULL, 0, &needed, detail), ERAI_E_POLICY);
    erai_policy_close(policy);
    erai_policy_close(NULL);
}

static void structs_of_another_size_are_refused(void) {
    erai_policy *policy = NULL;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(erai_policy_open(1, &policy), ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input + 8, .name = "x"};
    erai_feature_rule feature = {.struct_size = 0, .name = "x"};
    erai_output_rule output = {.struct_size = 1, .name = "x"};
    ER_CHECK_INT(erai_policy_add_input(policy, &input, detail), ERAI_E_STRUCT);
    ER_CHECK_INT(erai_policy_add_feature(policy, &feature, detail), ERAI_E_STRUCT);
    ER_CHECK_INT(erai_policy_add_output(policy, &output, detail), ERAI_E_STRUCT);
    ER_CHECK_INT(erai_policy_add_input(policy, NULL, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_guard_open(NULL, 0, NULL, detail), ERAI_E_ARGUMENT);
    erai_policy_close(policy);
}

/* Of rules that name how many values they have, and have none. */
static void arrays_that_are_not_there_are_refused(void) {
    erai_policy *policy = NULL;
    char detail[ERAI_DETAIL_SIZE];
    const int64_t shape[] = {-1, 1};
    const double value = 1;
    erai_input_rule input = {.struct_size = sizeof input, .name = "x", .rank = 2, .dtype = 1, .feature_axis = 1};
    erai_feature_rule feature = {.struct_size = sizeof feature, .name = "a", .high = 1, .bins = 2};
    erai_output_rule output = {.struct_size = sizeof output, .name = "y", .rank = 2, .dtype = 1};
    erai_check_rule check = {.struct_size = sizeof check, .kind = ERAI_CHECK_INTEGRAL, .verdict = 1, .count = 1};
    erai_distance_rule distance = {.struct_size = sizeof distance, .verdict = 1, .threshold = 1, .mean = &value};
    erai_fallback_rule fallback = {.struct_size = sizeof fallback, .reasons = 1, .steps = 1};
    input.sketch_stride = 1;
    ER_CHECK_INT(erai_policy_open(1, &policy), ERAI_OK);
    ER_CHECK_INT(erai_policy_add_input(policy, &input, detail), ERAI_E_ARGUMENT);
    input.shape = shape;
    ER_CHECK_INT(erai_policy_add_input(policy, &input, detail), ERAI_E_ARGUMENT);
    ER_CHECK_STR(detail, "max_shape of the rule is NULL");
    input.max_shape = (const int64_t[]){8, 1};
    ER_CHECK_INT(erai_policy_add_input(policy, &input, detail), ERAI_OK);
    ER_CHECK_INT(erai_policy_add_feature(policy, &feature, detail), ERAI_E_ARGUMENT);
    feature.edges = &value;
    ER_CHECK_INT(erai_policy_add_feature(policy, &feature, detail), ERAI_E_ARGUMENT);
    feature.bins = 0;
    ER_CHECK_INT(erai_policy_add_feature(policy, &feature, detail), ERAI_OK);
    ER_CHECK_INT(erai_policy_add_check(policy, &check, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_policy_set_distance(policy, &distance, detail), ERAI_E_ARGUMENT);
    distance.scale = &value;
    distance.directions = 1;
    ER_CHECK_INT(erai_policy_set_distance(policy, &distance, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_policy_add_output(policy, &output, detail), ERAI_E_ARGUMENT);
    output.shape = shape;
    output.flags = ERAI_RULE_HAS_DEFAULT;
    output.default_size = 1;
    ER_CHECK_INT(erai_policy_add_output(policy, &output, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_policy_add_fallback(policy, &fallback, detail), ERAI_E_ARGUMENT);
    ER_CHECK_STR(detail, "chain of the rule is NULL");
    erai_policy_close(policy);
}

/* A program of two inputs, each one feature of the given name. */
static erai_status write_pair(const char *first, const char *second, uint8_t *bytes, size_t capacity, size_t *size,
                              char *detail) {
    erai_policy *policy = NULL;
    ER_CHECK_INT(erai_policy_open(0, &policy), ERAI_OK);
    for (int i = 0; i < 2; i++) {
        erai_input_rule input = {.struct_size = sizeof input,
                                 .name = i ? "second" : "first",
                                 .dtype = ERAI_DTYPE_FLOAT32,
                                 .feature_axis = -1,
                                 .sketch_stride = 1};
        erai_feature_rule feature = {
            .struct_size = sizeof feature, .name = i ? second : first, .low = 0.0f, .high = 1.0f};
        ER_CHECK_INT(erai_policy_add_input(policy, &input, detail), ERAI_OK);
        ER_CHECK_INT(erai_policy_add_feature(policy, &feature, detail), ERAI_OK);
    }
    erai_output_rule output = {.struct_size = sizeof output, .name = "y", .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK_INT(erai_policy_add_output(policy, &output, detail), ERAI_OK);
    erai_status status = erai_policy_write(policy, bytes, capacity, size, detail);
    erai_policy_close(policy);
    return status;
}

static void two_features_of_one_name_are_refused_by_writer_and_reader(void) {
    uint8_t bytes[512];
    size_t size = 0;
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_guard *guard = NULL;
    ER_CHECK_INT(write_pair("alpha", "alpha", bytes, sizeof bytes, &size, detail), ERAI_E_POLICY);
    ER_CHECK_CONTAINS(detail, "'alpha'");
    ER_CHECK_INT(write_pair("alpha", "alphb", bytes, sizeof bytes, &size, detail), ERAI_OK);
    ER_CHECK_INT(open_copy(bytes, size, &guard, detail), ERAI_OK);
    erai_guard_close(guard);
    guard = NULL;
    for (size_t at = 0; at + 5 <= size; at++)
        if (memcmp(bytes + at, "alphb", 5) == 0) bytes[at + 4] = 'a';
    test_reseal(bytes, size);
    ER_CHECK_INT(open_copy(bytes, size, &guard, detail), ERAI_E_GUARD_FORMAT);
    ER_CHECK_CONTAINS(detail, "'alpha'");
    ER_CHECK(guard == NULL);
}

static void every_truncation_and_flipped_bit_is_refused(void) {
    size_t size;
    uint8_t *bytes = test_guard_bytes(&size);
    erai_guard *guard = NULL;
    char detail[ERAI_DETAIL_SIZE];
    for (size_t cut = 0; cut < size; cut++) ER_CHECK_INT(open_copy(bytes, cut, &guard, detail), ERAI_E_GUARD_FORMAT);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        erai_status expected = bit / 8 >= 8 && bit / 8 < 12 ? ERAI_E_GUARD_NEWER : ERAI_E_GUARD_FORMAT;
        if (bit == 64 || bit == 66) expected = ERAI_E_GUARD_FORMAT; /* versions 4 and 1, which end elsewhere */
        ER_CHECK_INT(open_copy(bytes, size, &guard, detail), expected);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ER_CHECK(guard == NULL);
    free(bytes);
}

/* What a sound program may be, whatever bytes it came from. */
static void check_bounds(const erai_guard *guard) {
    ER_CHECK(guard->input_count >= 1 && guard->input_count <= ER_MAX_INPUTS);
    ER_CHECK(guard->output_count >= 1 && guard->output_count <= ER_MAX_OUTPUTS);
    ER_CHECK(guard->feature_count <= ER_MAX_FEATURES);
    for (size_t f = 0; f < guard->feature_count; f++) ER_CHECK(guard->features[f].low <= guard->features[f].high);
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        for (size_t f = 0; f < input->feature_count; f++) {
            if (input->width == ER_NARROW) {
                ER_CHECK(isfinite(input->limits.mean[f]) && isfinite(input->limits.z_scale[f]));
                ER_CHECK(isinf(input->limits.edges[f / ER_FLOATS][ERAI_MAX_BINS - 1][f % ER_FLOATS]));
            } else if (input->width == ER_WIDE) {
                ER_CHECK(isfinite(input->wide.mean[f]) && isfinite(input->wide.z_scale[f]));
                ER_CHECK(isinf(input->wide.edges[f / ER_DOUBLES][ERAI_MAX_BINS - 1][f % ER_DOUBLES]));
            }
        }
    }
}

static void sealed_changes_are_refused_or_stay_within_the_bounds(void) {
    size_t size;
    uint8_t *bytes = test_guard_bytes(&size);
    char detail[ERAI_DETAIL_SIZE];
    size_t opened = 0;
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    for (size_t at = ER_GUARD_HEADER; at < size; at++)
        for (size_t v = 0; v < sizeof values; v++) {
            uint8_t kept = bytes[at];
            bytes[at] = values[v];
            test_reseal(bytes, size);
            erai_guard *guard = NULL;
            erai_status status = open_copy(bytes, size, &guard, detail);
            ER_CHECK(status == ERAI_OK || status == ERAI_E_GUARD_FORMAT);
            if (guard != NULL) check_bounds(guard);
            opened += guard != NULL;
            erai_guard_close(guard);
            bytes[at] = kept;
        }
    ER_CHECK(opened > 0);
    for (size_t cut = ER_GUARD_HEADER; cut < size; cut++) {
        erai_guard *guard = NULL;
        uint8_t *copy = malloc(cut);
        if (copy == NULL) abort();
        memcpy(copy, bytes, cut);
        test_reseal(copy, cut);
        ER_CHECK_INT(open_copy(copy, cut, &guard, detail), ERAI_E_GUARD_FORMAT);
        free(copy);
    }
    free(bytes);
}

int main(void) {
    ER_RUN(rules_read_back_as_they_were_written);
    ER_RUN(a_buffer_that_is_too_small_is_told_the_size);
    ER_RUN(structs_of_another_size_are_refused);
    ER_RUN(arrays_that_are_not_there_are_refused);
    ER_RUN(two_features_of_one_name_are_refused_by_writer_and_reader);
    ER_RUN(every_truncation_and_flipped_bit_is_refused);
    ER_RUN(sealed_changes_are_refused_or_stay_within_the_bounds);
    return er_test_result();
}
