/* Small ONNX models for tests, written field by field from ONNX's own onnx.proto3. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ER_TEST_MODEL_H
#define ER_TEST_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

typedef struct test_node {
    const char *op;
    const char *inputs[2]; /* the second may be NULL */
    const char *output;
} test_node;

typedef struct test_constant {
    const char *name;
    int64_t shape[2];
    float value; /* of every element */
} test_constant;

typedef struct test_model {
    const test_node *nodes;
    const test_constant *constants;
    size_t node_count, constant_count;
} test_model;

/* The model with float32 input "x" and output "y", both (rows, 1), in ONNX Runtime with one thread; NULL where there is
 * no ONNX Runtime ($ERAI_ONNXRUNTIME, or the loader's search). Whatever else fails ends the test. */
er_model *test_model_open(test_model model);

/* The same with a sequence of such tensors as its output. */
er_model *test_sequence_model_open(test_model model);

/* 10 x; x + 1 of one row or two, and a failure of three; x + the mean of all rows. */
er_model *test_times_ten(void);
er_model *test_two_rows(void);
er_model *test_plus_mean(void);

#endif
