/* Fuzzes what applications pass on from outside: the type, rank, extents and values of tensors. The first byte chooses
 * one of a few guard programs, the others become calls of its session (calls.h). Build with -fsanitize=fuzzer, or with
 * replay.c to run a corpus. SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fuzz_program programs[] = {
    /* named columns, as of a table */
    {.batched = 1,
     .inputs = {{.name = "columns",
                 .shape = (const int64_t[]){-1, 6},
                 .max_shape = (const int64_t[]){300, 6},
                 .rank = 2,
                 .dtype = ERAI_DTYPE_FLOAT32,
                 .flags = ERAI_RULE_FINITE,
                 .feature_axis = 1,
                 .sketch_stride = 1}},
     .outputs = {{.name = "scores",
                  .shape = (const int64_t[]){-1, 2},
                  .default_row = (const double[]){0.25, 0.75},
                  .rank = 2,
                  .dtype = ERAI_DTYPE_FLOAT32,
                  .flags = ERAI_RULE_FINITE | ERAI_RULE_HAS_DEFAULT | ERAI_RULE_SHAPE,
                  .default_size = 2}}},
    /* channels of one image, of which every third value is sketched and a value out of range only flagged */
    {.batched = 0,
     .inputs = {{.name = "image",
                 .shape = (const int64_t[]){3, -1, -1},
                 .max_shape = (const int64_t[]){3, 5, 4},
                 .rank = 3,
                 .dtype = ERAI_DTYPE_FLOAT32,
                 .flags = ERAI_RULE_FINITE | ERAI_RULE_FLAG_RANGE,
                 .feature_axis = 0,
                 .sketch_stride = 3}},
     .outputs = {{.name = "mask",
                  .shape = (const int64_t[]){-1, -1},
                  .rank = 2,
                  .dtype = ERAI_DTYPE_FLOAT64,
                  .flags = ERAI_RULE_FINITE | ERAI_RULE_SHAPE}}},
    /* two inputs that must agree on their rows, NaN allowed in one; outputs whose shape is not held to anything */
    {.batched = 1,
     .inputs = {{.name = "signal",
                 .shape = (const int64_t[]){-1, 2, 5, 3},
                 .max_shape = (const int64_t[]){7, 2, 5, 3},
                 .rank = 4,
                 .dtype = ERAI_DTYPE_FLOAT32,
                 .feature_axis = 2,
                 .sketch_stride = 2},
                {.name = "gain",
                 .shape = (const int64_t[]){-1},
                 .max_shape = (const int64_t[]){7},
                 .rank = 1,
                 .dtype = ERAI_DTYPE_FLOAT32,
                 .flags = ERAI_RULE_FINITE,
                 .feature_axis = -1,
                 .sketch_stride = 1}},
     .outputs = {{.name = "label",
                  .shape = (const int64_t[]){-1},
                  .default_row = (const double[]){-1.0},
                  .rank = 1,
                  .dtype = ERAI_DTYPE_INT64,
                  .flags = ERAI_RULE_HAS_DEFAULT,
                  .default_size = 1},
                 {.name = "shares",
                  .shape = (const int64_t[]){-1, -1, 2},
                  .rank = 3,
                  .dtype = ERAI_DTYPE_FLOAT32,
                  .flags = ERAI_RULE_FINITE}}},
    /* no axis at all */
    {.batched = 0,
     .inputs = {{.name = "scalar",
                 .shape = (const int64_t[]){1},
                 .max_shape = (const int64_t[]){1},
                 .rank = 0,
                 .dtype = ERAI_DTYPE_FLOAT32,
                 .flags = ERAI_RULE_FINITE,
                 .feature_axis = -1,
                 .sketch_stride = 1}},
     .outputs = {{.name = "flag", .shape = (const int64_t[]){1}, .rank = 0, .dtype = ERAI_DTYPE_BOOL}}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static erai_guard *guards[sizeof programs / sizeof *programs];
    fuzz_bytes bytes = {.at = data, .left = size};
    uint32_t program = fuzz_take(&bytes, sizeof programs / sizeof *programs);
    if (!guards[program]) guards[program] = fuzz_guard(&programs[program]);
    fuzz_calls(guards[program], &bytes);
    return 0;
}
