/* What .tflite files may have for operators. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TFLITE_OPERATORS_H
#define ER_TFLITE_OPERATORS_H

#include <stdint.h>

/* How the shape of the first output follows from those of the inputs (tflite_shapes.c). */
enum er_shape_rule {
    ER_SHAPE_ANY = 0,
    ER_SHAPE_SAME,      /* that of the first input */
    ER_SHAPE_COUNT,     /* as many elements as the first input */
    ER_SHAPE_BROADCAST, /* of the first two inputs */
    ER_SHAPE_CONVOLUTION,
    ER_SHAPE_DEPTHWISE,
    ER_SHAPE_TRANSPOSED,
    ER_SHAPE_POOL,
    ER_SHAPE_CONNECTED,
    ER_SHAPE_CONCATENATED,
    ER_SHAPE_PADDED,
    ER_SHAPE_SEQUENCE /* batch and steps, the first two axes, are those of the first input */
};

/* Types and quantization (tflite_types.c), of the first input and the first output. */
enum er_type_rule {
    ER_TYPE_KEPT = 1,    /* they are of one type */
    ER_TYPE_STRINGS = 2, /* any tensor of the operator may hold strings */
    ER_SCALED = 4,       /* with 8 bits they have a scale */
    ER_SCALE_ONE = 8,    /* and never one a channel */
    ER_SCALE_BOTH = 16   /* the same of the second input */
};

typedef struct er_operator_kind {
    const char *name;
    uint8_t least_inputs, most_inputs, least_outputs, most_outputs; /* UINT8_MAX: any number */
    uint64_t optional;                                              /* bit i: input i may be absent, tensor -1 */
    uint8_t options; /* number in BuiltinOptions of what it reads there; 0: nothing that matters */
    uint8_t shape;   /* er_shape_rule */
    uint8_t types;   /* of er_type_rule */
} er_operator_kind;

/* Codes of BuiltinOperator that something is said of elsewhere. */
enum er_builtin { ER_OPERATOR_SOFTMAX = 25, ER_OPERATOR_CUSTOM = 32 };

/* NULL for a code that this build does not know. */
const er_operator_kind *er_operator_kind_of(uint32_t code);

#endif
