/* Fuzzes the check of a .tflite file, and what reads the inputs and outputs of one that was accepted. Build with
 * -fsanitize=fuzzer, or with replay.c to run a corpus. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tflite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink; /* what is read must not be left out */

static void read_edges(const uint8_t *bytes, size_t size) {
    er_tflite_edge edge;
    size_t sum = 0;
    for (size_t i = 0; i < er_tflite_inputs(bytes, size); i++) {
        er_tflite_input(bytes, size, i, &edge);
        sum += strlen(edge.name) + strlen(edge.tensor_name) + edge.tensor;
        if (edge.rank > ERAI_MAX_RANK || (edge.quantized && !(edge.scale > 0))) abort();
    }
    for (size_t i = 0; i < er_tflite_outputs(bytes, size); i++) {
        er_tflite_output(bytes, size, i, &edge);
        sum += strlen(edge.name) + strlen(edge.tensor_name) + edge.tensor;
        if (edge.rank > ERAI_MAX_RANK || (edge.quantized && !(edge.scale > 0))) abort();
    }
    sink = sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const custom[] = {"Known"};
    uint8_t *copy = malloc(size + 1); /* ends where the input ends, and is not aligned */
    if (copy == NULL) return 0;
    if (size > 0) memcpy(copy + 1, data, size);
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_status status = erai_tflite_check(copy + 1, size, custom, 1, detail);
    /* A failure without a sentence, or a success with one, is a fault as well. */
    if ((status == ERAI_OK) != (detail[0] == '\0')) abort();
    if (status == ERAI_OK) read_edges(copy + 1, size);
    free(copy);
    return 0;
}
