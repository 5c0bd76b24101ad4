/* What a .tflite file takes and gives. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TFLITE_H
#define ER_TFLITE_H

#include "edge_rai.h"

/* An input or output of the first subgraph. Its texts are in the file's bytes. */
typedef struct er_tflite_edge {
    const char *name;             /* in the first signature of that subgraph, or, where that has none, the tensor's */
    const char *tensor_name;      /* "" where it has none */
    int64_t shape[ERAI_MAX_RANK]; /* -1: free */
    uint32_t rank;
    uint32_t dtype;  /* erai_dtype; 0 for a type that has none */
    uint32_t tensor; /* its index in the subgraph */
    int quantized;   /* by one scale and zero point: value = scale * (integer - zero_point) */
    float scale;
    int32_t zero_point;
} er_tflite_edge;

/* Of bytes that erai_tflite_check accepted, and that do not change. */
size_t er_tflite_inputs(const void *bytes, size_t size);
size_t er_tflite_outputs(const void *bytes, size_t size);
/* `index` is below the number of them. */
void er_tflite_input(const void *bytes, size_t size, size_t index, er_tflite_edge *edge);
void er_tflite_output(const void *bytes, size_t size, size_t index, er_tflite_edge *edge);

#endif
