/* See test_model.h. SPDX-License-Identifier: Apache-2.0 */
#include "test_model.h"

#include "ort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#ifdef __SANITIZE_THREAD__
/* The runtime is not instrumented, so what its threads hand each other by atomics looks like races. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void) {
    return "race:libonnxruntime.so";
}
#endif

/* A field of a protocol buffer: varint (wire type 0), or bytes with their length (2). */
static void put_number(er_writer *out, uint32_t field, uint64_t value) {
    er_write_varint(out, field << 3);
    er_write_varint(out, value);
}

static void put_bytes(er_writer *out, uint32_t field, const void *data, size_t size) {
    er_write_varint(out, field << 3 | 2);
    er_write_varint(out, size);
    er_write_bytes(out, data, size);
}

static void put_text(er_writer *out, uint32_t field, const char *text) {
    put_bytes(out, field, text, strlen(text));
}

/* Ends the inner message. */
static void put_message(er_writer *out, uint32_t field, er_writer *inner) {
    put_bytes(out, field, inner->data, inner->size);
    free(inner->data);
    memset(inner, 0, sizeof *inner);
}

static void put_node(er_writer *graph, const test_node *node) {
    er_writer out = {0};
    for (int i = 0; i < 2; i++)
        if (node->inputs[i]) put_text(&out, 1, node->inputs[i]);
    put_text(&out, 2, node->output);
    put_text(&out, 4, node->op);
    put_message(graph, 1, &out);
}

static void put_constant(er_writer *graph, const test_constant *constant) {
    er_writer out = {0}, values = {0};
    for (int i = 0; i < 2; i++) put_number(&out, 1, (uint64_t)constant->shape[i]);
    for (int64_t i = 0; i < constant->shape[0] * constant->shape[1]; i++) er_write_f32(&values, constant->value);
    put_number(&out, 2, ERAI_DTYPE_FLOAT32);
    put_text(&out, 8, constant->name);
    put_message(&out, 9, &values);
    put_message(graph, 5, &out);
}

/* A float32 tensor of (rows, 1): ValueInfoProto, TypeProto, TypeProto.Tensor, TensorShapeProto, Dimension; or a
 * sequence of such: TypeProto.Sequence with a TypeProto of its own. */
static void put_signature(er_writer *graph, uint32_t field, const char *name, int sequence) {
    er_writer rows = {0}, one = {0}, shape = {0}, tensor = {0}, type = {0}, inner = {0}, list = {0}, out = {0};
    put_text(&rows, 2, "rows");
    put_number(&one, 1, 1);
    put_message(&shape, 1, &rows);
    put_message(&shape, 1, &one);
    put_number(&tensor, 1, ERAI_DTYPE_FLOAT32);
    put_message(&tensor, 2, &shape);
    put_message(sequence ? &inner : &type, 1, &tensor);
    if (sequence) {
        put_message(&list, 1, &inner);
        put_message(&type, 4, &list);
    }
    put_text(&out, 1, name);
    put_message(&out, 2, &type);
    put_message(graph, field, &out);
}

static er_model *open_model(test_model model, int sequence) {
    er_writer graph = {0}, opset = {0}, out = {0};
    for (size_t i = 0; i < model.node_count; i++) put_node(&graph, &model.nodes[i]);
    put_text(&graph, 2, "test");
    for (size_t i = 0; i < model.constant_count; i++) put_constant(&graph, &model.constants[i]);
    put_signature(&graph, 11, "x", 0);
    put_signature(&graph, 12, "y", sequence);
    put_number(&opset, 2, 13);
    put_number(&out, 1, 7);
    put_message(&out, 8, &opset);
    put_message(&out, 7, &graph);
    er_model *opened = NULL;
    char detail[ERAI_DETAIL_SIZE];
    const er_ort_options options = {.threads = 1};
    erai_status status = er_ort_open(&options, "test.onnx", out.data, out.size, &opened, detail);
    free(out.data);
    if (!status || status == ERAI_E_RUNTIME_MISSING) return opened;
    fprintf(stderr, "%s\n", detail);
    abort();
}

er_model *test_model_open(test_model model) {
    return open_model(model, 0);
}

er_model *test_sequence_model_open(test_model model) {
    return open_model(model, 1);
}

er_model *test_times_ten(void) {
    static const test_node node = {"Mul", {"x", "ten"}, "y"};
    static const test_constant ten = {"ten", {1, 1}, 10};
    return test_model_open((test_model){&node, &ten, 1, 1});
}

er_model *test_two_rows(void) {
    static const test_node node = {"Add", {"x", "two"}, "y"};
    static const test_constant two = {"two", {2, 1}, 1};
    return test_model_open((test_model){&node, &two, 1, 1});
}

er_model *test_plus_mean(void) {
    static const test_node nodes[] = {{"ReduceMean", {"x"}, "mean"}, {"Add", {"x", "mean"}, "y"}};
    return test_model_open((test_model){nodes, NULL, 2, 0});
}
