/* See test_guard.h. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "test_guard.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32.h"
#include "platform/platform.h"

static void must(int holds) {
    if (!holds) abort();
}

uint8_t *test_guard_bytes(size_t *size) {
    static const int64_t shape[] = {-1, TEST_FEATURES}, most[] = {4096, TEST_FEATURES}, output_shape[] = {-1, 2};
    static const double edges[] = {-1.0, 0.5, 2.0};
    static const uint64_t counts[] = {20, 30, 30, 20};
    static const double default_row[] = {0.25, 0.75};
    static const char *const names[TEST_FEATURES] = {"a", "b", "c"};
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy) == ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = shape,
                             .max_shape = most,
                             .rank = 2,
                             .dtype = ERAI_DTYPE_FLOAT32,
                             .flags = ERAI_RULE_FINITE,
                             .feature_axis = 1,
                             .sketch_stride = 1};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    for (int i = 0; i < TEST_FEATURES; i++) {
        erai_feature_rule feature = {.struct_size = sizeof feature,
                                     .name = names[i],
                                     .low = -10.0,
                                     .high = 10.0,
                                     .mean = 0.5,
                                     .stddev = 2.0,
                                     .reference_rows = 100,
                                     .edges = edges,
                                     .counts = counts,
                                     .bins = i < 2 ? 4 : 0};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    }
    erai_output_rule output = {.struct_size = sizeof output,
                               .name = "y",
                               .shape = output_shape,
                               .default_row = default_row,
                               .rank = 2,
                               .dtype = ERAI_DTYPE_FLOAT32,
                               .flags = ERAI_RULE_FINITE | ERAI_RULE_HAS_DEFAULT | ERAI_RULE_SHAPE,
                               .default_size = 2};
    must(erai_policy_add_output(policy, &output, NULL) == ERAI_OK);
    must(erai_policy_write(policy, NULL, 0, size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(*size);
    must(bytes != NULL && erai_policy_write(policy, bytes, *size, size, NULL) == ERAI_OK);
    erai_policy_close(policy);
    return bytes;
}

erai_guard *test_guard_open(void) {
    size_t size;
    uint8_t *bytes = test_guard_bytes(&size);
    erai_guard *guard = NULL;
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    free(bytes);
    return guard;
}

void test_reseal(uint8_t *bytes, size_t size) {
    uint32_t numbers[] = {(uint32_t)(size - 24), er_crc32(0, bytes + 24, size - 24)};
    for (size_t i = 0; i < 8; i++) bytes[16 + i] = (uint8_t)(numbers[i / 4] >> (8 * (i % 4)));
}

void test_directory_make(char *path) {
    strcpy(path, "/tmp/er_test_XXXXXX");
    must(mkdtemp(path) != NULL);
}

static int remove_name(const char *name, void *directory) {
    char *path = er_path_join(directory, name);
    must(path != NULL && er_file_remove(path) == 0);
    free(path);
    return 0;
}

void test_directory_remove(const char *path) {
    must(er_directory_each(path, remove_name, (void *)(uintptr_t)path) == 0);
    must(rmdir(path) == 0);
}
