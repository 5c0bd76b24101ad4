/* The check of .tflite files, and what is read of their inputs and outputs. What is refused is in
 * tests/unit/test_tflite_check.py, where files are made. SPDX-License-Identifier: Apache-2.0 */
#include "tflite.h"

#include <stdlib.h>
#include <string.h>

#include "er_test.h"

/* float32 "x_tensor" (-1, 3), "x" in the signature, to uint8 "y_tensor" (-1, 3) by QUANTIZE with scale 0.5 and zero
 * point 128. Made with tests/support/tflite_models.py and flatbuffers 25.12.19:
 *     graph = Graph()
 *     x = graph.tensor("x_tensor", (1, 3), free=(-1, 3))
 *     y = graph.tensor("y_tensor", (1, 3), "uint8", scale=[0.5], zero_point=[128], free=(-1, 3))
 *     graph.operator("QUANTIZE", [x], [y])
 *     graph.model.description = None
 *     write(graph.edges([x], [y]).signature({"x": x}, {}).model) */
/* clang-format off */
static const uint8_t quantizing[] = {
    28, 0, 0, 0, 84, 70, 76, 51, 20, 0, 24, 0, 20, 0, 16, 0, 12, 0, 0, 0, 8, 0, 0, 0,
    0, 0, 4, 0, 20, 0, 0, 0, 20, 0, 0, 0, 108, 0, 0, 0, 120, 0, 0, 0, 180, 1, 0, 0,
    3, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 10, 0, 16, 0, 12, 0, 8, 0, 4, 0,
    10, 0, 0, 0, 12, 0, 0, 0, 28, 0, 0, 0, 28, 0, 0, 0, 15, 0, 0, 0, 115, 101, 114, 118,
    105, 110, 103, 95, 100, 101, 102, 97, 117, 108, 116, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0,
    0, 0, 6, 0, 8, 0, 4, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 120, 0, 0, 0,
    1, 0, 0, 0, 8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0,
    12, 0, 20, 0, 16, 0, 12, 0, 8, 0, 4, 0, 12, 0, 0, 0, 16, 0, 0, 0, 60, 0, 0, 0,
    64, 0, 0, 0, 68, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 10, 0, 12, 0, 0, 0,
    8, 0, 4, 0, 10, 0, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0, 156, 0, 0, 0, 24, 0, 0, 0, 20, 0, 24, 0, 20, 0, 19, 0, 0, 0, 12, 0,
    8, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0, 20, 0, 0, 0, 40, 0, 0, 0, 68, 0, 0, 0,
    0, 0, 0, 3, 76, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, 12, 0, 12, 0,
    0, 0, 0, 0, 8, 0, 4, 0, 12, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0,
    128, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 8, 0, 0, 0, 121, 95, 116, 101,
    110, 115, 111, 114, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 20, 0, 16, 0,
    12, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0, 12, 0, 0, 0,
    20, 0, 0, 0, 32, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, 8, 0, 0, 0,
    120, 95, 116, 101, 110, 115, 111, 114, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,
    1, 0, 0, 0, 16, 0, 0, 0, 12, 0, 12, 0, 11, 0, 0, 0, 0, 0, 4, 0, 12, 0, 0, 0,
    114, 0, 0, 0, 0, 0, 0, 114,
};
/* clang-format on */

static void a_model_is_accepted_at_any_alignment(void) {
    for (size_t shift = 0; shift < 8; shift++) {
        uint8_t *bytes = malloc(sizeof quantizing + shift);
        if (bytes == NULL) return;
        memcpy(bytes + shift, quantizing, sizeof quantizing);
        char detail[ERAI_DETAIL_SIZE] = "";
        ER_CHECK_INT(erai_tflite_check(bytes + shift, sizeof quantizing, NULL, 0, detail), ERAI_OK);
        ER_CHECK_STR(detail, "");
        free(bytes);
    }
}

static void detail_may_be_left_out(void) {
    ER_CHECK_INT(erai_tflite_check(quantizing, sizeof quantizing, NULL, 0, NULL), ERAI_OK);
    ER_CHECK_INT(erai_tflite_check(quantizing, sizeof quantizing - 1, NULL, 0, NULL), ERAI_E_MODEL_UNSUPPORTED);
}

static void inputs_and_outputs_are_read_with_names_shapes_and_quantization(void) {
    er_tflite_edge edge;
    ER_CHECK_INT(er_tflite_inputs(quantizing, sizeof quantizing), 1);
    ER_CHECK_INT(er_tflite_outputs(quantizing, sizeof quantizing), 1);
    er_tflite_input(quantizing, sizeof quantizing, 0, &edge);
    ER_CHECK_STR(edge.name, "x");
    ER_CHECK_STR(edge.tensor_name, "x_tensor");
    ER_CHECK(edge.rank == 2 && edge.shape[0] == -1 && edge.shape[1] == 3);
    ER_CHECK(edge.dtype == ERAI_DTYPE_FLOAT32 && edge.tensor == 0 && !edge.quantized);
    er_tflite_output(quantizing, sizeof quantizing, 0, &edge);
    ER_CHECK_STR(edge.name, "y_tensor"); /* the signature has no name for it */
    ER_CHECK(edge.dtype == ERAI_DTYPE_UINT8 && edge.tensor == 1 && edge.shape[0] == -1);
    ER_CHECK(edge.quantized && edge.scale == 0.5f && edge.zero_point == 128);
}

/* Whatever one byte says, the check ends without a fault, and what it accepts can be read. */
static void every_byte_may_have_any_value(void) {
    uint8_t *bytes = malloc(sizeof quantizing); /* so that the sanitizer sees a read past the end */
    if (bytes == NULL) return;
    size_t accepted = 0;
    for (size_t at = 0; at < sizeof quantizing; at++)
        for (unsigned value = 0; value < 256; value += 5) {
            char detail[ERAI_DETAIL_SIZE] = "";
            er_tflite_edge edge = {.name = ""};
            memcpy(bytes, quantizing, sizeof quantizing);
            bytes[at] = (uint8_t)value;
            erai_status status = erai_tflite_check(bytes, sizeof quantizing, NULL, 0, detail);
            ER_CHECK((status == ERAI_OK) == (detail[0] == '\0'));
            accepted += status == ERAI_OK;
            if (status == ERAI_OK && er_tflite_outputs(bytes, sizeof quantizing) > 0)
                er_tflite_output(bytes, sizeof quantizing, 0, &edge);
            ER_CHECK(edge.rank <= ERAI_MAX_RANK);
        }
    ER_CHECK(accepted > 0);
    free(bytes);
}

int main(void) {
    ER_RUN(a_model_is_accepted_at_any_alignment);
    ER_RUN(detail_may_be_left_out);
    ER_RUN(inputs_and_outputs_are_read_with_names_shapes_and_quantization);
    ER_RUN(every_byte_may_have_any_value);
    return er_test_result();
}
