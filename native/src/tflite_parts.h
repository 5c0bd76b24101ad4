/* A .tflite file as its check sees it, part by part, and how each refuses. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TFLITE_PARTS_H
#define ER_TFLITE_PARTS_H

#include "status.h"
#include "tflite_operators.h"
#include "tflite_schema.h"

#define ER_TFLITE_MAX_RANK 8  /* LiteRT's kernels know no more, most of them fewer */
#define ER_TFLITE_ABSENT (-1) /* an optional input that is not there */

typedef struct er_tflite {
    er_flat flat;
    er_flat_table table;
    er_flat_vector codes, subgraphs, buffers;
    const char *const *custom; /* names of custom operators that the caller has */
    size_t custom_count;
    char *detail;
} er_tflite;

typedef struct er_subgraph {
    const er_tflite *model;
    uint32_t index;
    er_flat_vector tensors, inputs, outputs, operators;
} er_subgraph;

typedef struct er_tensor_part {
    const er_subgraph *subgraph;
    er_flat_table table;
    uint32_t index;
    uint32_t type; /* TensorType */
    er_flat_vector shape;
    bool constant;       /* its values are in the file, or, where it is external, in another */
    const uint8_t *data; /* NULL: none in this file */
    uint64_t data_size;
} er_tensor_part;

typedef struct er_operator_part {
    const er_subgraph *subgraph;
    uint32_t index;
    const er_operator_kind *kind;
    uint32_t code;    /* BuiltinOperator */
    const char *name; /* of a custom operator its own */
    er_flat_vector inputs, outputs;
    er_flat_table options; /* those that `kind` knows; absent when the file has none, or none of that type */
} er_operator_part;

/* Fills what `flat`, which was accepted and stays where it is, holds. */
void er_tflite_read(er_tflite *model);
er_subgraph er_subgraph_part(const er_tflite *model, uint32_t index);
/* Of an index that no tensor has, as of an input that is left out, one that says nothing. */
er_tensor_part er_tensor_part_of(const er_subgraph *subgraph, uint32_t index);
er_operator_part er_operator_part_of(const er_subgraph *subgraph, uint32_t index);
/* BuiltinOperator, from both of the fields that files have it in. */
uint32_t er_code_of(const er_flat_table *code);
/* What the shape's extents make; they are not negative and within limits once er_tflite_check_tensor said so. */
uint64_t er_elements(const er_flat_vector *shape);
/* Bits of one element, 0 for types whose elements have no one size. */
unsigned er_type_bits(uint32_t type);

/* How many bytes of a UTF-8 text to show: at most so many, and whole sequences. */
int er_text_cut(const char *text, size_t most);

/* ERAI_E_MODEL_UNSUPPORTED, and a sentence that begins with whom it is about. */
erai_status er_refuse_tensor(const er_tensor_part *tensor, const char *format, ...) ER_PRINTF(2, 3);
erai_status er_refuse_operator(const er_operator_part *part, const char *format, ...) ER_PRINTF(2, 3);
erai_status er_refuse_subgraph(const er_subgraph *subgraph, const char *format, ...) ER_PRINTF(2, 3);

/* Each returns ERAI_OK or refuses. Tensors come before operators, and these before graphs. */
erai_status er_tflite_check_tensor(const er_tensor_part *tensor);
erai_status er_tflite_check_sparsity(const er_tensor_part *tensor);
erai_status er_tflite_check_operator(const er_operator_part *part);
erai_status er_tflite_check_options(const er_operator_part *part);
erai_status er_tflite_check_types(const er_operator_part *part);
erai_status er_tflite_check_shapes(const er_operator_part *part);
erai_status er_tflite_check_graph(const er_subgraph *subgraph);
erai_status er_tflite_check_calls(const er_tflite *model);

#endif
