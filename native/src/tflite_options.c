/* Options of single operators in a .tflite file. Only what brings LiteRT's kernels down is looked at, or what they
 * would take for another operation: steps of zero, windows of nothing, axes and numbers of outputs that are not there.
 * What is left to them, such as shapes that do not match, they refuse by themselves. SPDX-License-Identifier:
 * Apache-2.0 */
#include "tflite_parts.h"

/* What a scalar of an operator's options must be. Absent options are zeros. */
typedef struct bound {
    uint8_t code; /* BuiltinOperator */
    uint8_t slot;
    char kind; /* 'b' or 'i', as in the schema */
    uint8_t absent;
    int32_t least, most;
    const char *name;
} bound;

#define PADDING(code, slot) {code, slot, 'b', 0, 0, 1, "padding"}
#define ACTIVATION(code, slot) {code, slot, 'b', 0, 0, 5, "fused activation function"}
#define AT_LEAST_ONE(code, slot, name) {code, slot, 'i', 0, 1, INT32_MAX, name}
#define DILATION(code, slot, name) {code, slot, 'i', 1, 1, INT32_MAX, name}

static const bound bounds[] = {
    ACTIVATION(0, 0), /* ADD */
    PADDING(1, 0),
    AT_LEAST_ONE(1, 1, "stride_w"),
    AT_LEAST_ONE(1, 2, "stride_h"), /* AVERAGE_POOL_2D */
    AT_LEAST_ONE(1, 3, "filter_width"),
    AT_LEAST_ONE(1, 4, "filter_height"),
    ACTIVATION(1, 5),
    ACTIVATION(2, 1), /* CONCATENATION */
    PADDING(3, 0),
    AT_LEAST_ONE(3, 1, "stride_w"),
    AT_LEAST_ONE(3, 2, "stride_h"),
    ACTIVATION(3, 3), /* CONV_2D */
    DILATION(3, 4, "dilation_w_factor"),
    DILATION(3, 5, "dilation_h_factor"),
    PADDING(4, 0),
    AT_LEAST_ONE(4, 1, "stride_w"),
    AT_LEAST_ONE(4, 2, "stride_h"),
    ACTIVATION(4, 4), /* DEPTHWISE_... */
    DILATION(4, 5, "dilation_w_factor"),
    DILATION(4, 6, "dilation_h_factor"),
    AT_LEAST_ONE(5, 0, "block_size"), /* DEPTH_TO_SPACE */
    ACTIVATION(9, 0),
    {9, 1, 'b', 0, 0, 1, "weights format"}, /* FULLY_CONNECTED */
    PADDING(12, 0),
    AT_LEAST_ONE(12, 1, "stride_w"),
    AT_LEAST_ONE(12, 2, "stride_h"), /* L2_POOL_2D */
    AT_LEAST_ONE(12, 3, "filter_width"),
    AT_LEAST_ONE(12, 4, "filter_height"),
    ACTIVATION(12, 5),
    {13, 0, 'i', 0, 0, 1 << 16, "radius"}, /* LOCAL_RESPONSE_NORMALIZATION */
    ACTIVATION(16, 0),
    {16, 3, 'b', 0, 0, 1, "kernel type"}, /* LSTM */
    PADDING(17, 0),
    AT_LEAST_ONE(17, 1, "stride_w"),
    AT_LEAST_ONE(17, 2, "stride_h"), /* MAX_POOL_2D */
    AT_LEAST_ONE(17, 3, "filter_width"),
    AT_LEAST_ONE(17, 4, "filter_height"),
    ACTIVATION(17, 5),
    ACTIVATION(18, 0),                 /* MUL */
    ACTIVATION(24, 0),                 /* RNN */
    AT_LEAST_ONE(26, 0, "block_size"), /* SPACE_TO_DEPTH */
    AT_LEAST_ONE(27, 0, "rank"),
    ACTIVATION(27, 1), /* SVDF */
    ACTIVATION(35, 1), /* UNIDIRECTIONAL_SEQUENCE_RNN */
    ACTIVATION(41, 0),
    ACTIVATION(42, 0), /* SUB, DIV */
    ACTIVATION(44, 0), /* UNIDIRECTIONAL_SEQUENCE_LSTM */
    ACTIVATION(46, 1), /* BIDIRECTIONAL_SEQUENCE_RNN */
    ACTIVATION(52, 0), /* BIDIRECTIONAL_SEQUENCE_LSTM */
    PADDING(67, 0),
    AT_LEAST_ONE(67, 1, "stride_w"),
    AT_LEAST_ONE(67, 2, "stride_h"),
    ACTIVATION(67, 3),              /* TRANSPOSE_CONV */
    {100, 0, 'b', 0, 0, 1, "mode"}, /* MIRROR_PAD */
    PADDING(132, 0),
    AT_LEAST_ONE(132, 1, "stride_d"),
    AT_LEAST_ONE(132, 2, "stride_w"), /* CONV_3D */
    AT_LEAST_ONE(132, 3, "stride_h"),
    ACTIVATION(132, 4),
    DILATION(132, 5, "dilation_d_factor"),
    DILATION(132, 6, "dilation_w_factor"),
    DILATION(132, 7, "dilation_h_factor"),
    PADDING(141, 0),
    AT_LEAST_ONE(141, 1, "stride_d"),
    AT_LEAST_ONE(141, 2, "stride_w"), /* CONV_3D_TRANSPOSE */
    AT_LEAST_ONE(141, 3, "stride_h"),
    ACTIVATION(141, 4),
    DILATION(141, 5, "dilation_d_factor"),
    DILATION(141, 6, "dilation_w_factor"),
    DILATION(141, 7, "dilation_h_factor"),
};

static erai_status check_bounds(const er_operator_part *part) {
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const bound *rule = &bounds[i];
        if (rule->code != part->code) continue;
        int32_t value = rule->kind == 'b' ? er_flat_u8(&part->options, rule->slot, rule->absent)
                                          : er_flat_i32(&part->options, rule->slot, rule->absent);
        if (value < rule->least || value > rule->most) return er_refuse_operator(part, "%s %d", rule->name, (int)value);
    }
    return ERAI_OK;
}

static er_tensor_part input_of(const er_operator_part *part, uint32_t index) {
    return er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(&part->inputs, index));
}

/* An axis, which may count from the end, of a tensor of `rank` axes. A file says rank 0 of those whose rank is not
 * known before they are made. */
static erai_status check_axis(const er_operator_part *part, int32_t axis, uint32_t rank) {
    if (rank == 0) return ERAI_OK;
    if (axis < -(int32_t)rank || axis >= (int32_t)rank)
        return er_refuse_operator(part, "axis %d of %u", (int)axis, (unsigned)rank);
    return ERAI_OK;
}

static erai_status check_number(const er_operator_part *part, const char *what, int32_t stated, uint32_t actual) {
    if (stated < 0 || (uint32_t)stated != actual)
        return er_refuse_operator(part, "its options say %d %s, and it has %u", (int)stated, what, (unsigned)actual);
    return ERAI_OK;
}

static erai_status check_gather(const er_operator_part *part) {
    er_tensor_part values = input_of(part, 0), positions = input_of(part, 1);
    int32_t batch = er_flat_i32(&part->options, 1, 0);
    if (positions.shape.count == 0) return ERAI_OK;
    if (batch < -(int32_t)positions.shape.count || batch > (int32_t)positions.shape.count)
        return er_refuse_operator(part, "%d batch axes of %u", (int)batch, (unsigned)positions.shape.count);
    return check_axis(part, er_flat_i32(&part->options, 0, 0), values.shape.count);
}

static erai_status check_squeeze(const er_operator_part *part) {
    er_flat_vector axes = er_flat_vector_at(&part->options, 0);
    uint32_t rank = input_of(part, 0).shape.count;
    erai_status status = ERAI_OK;
    if (rank > 0 && axes.count > rank)
        return er_refuse_operator(part, "%u axes of %u", (unsigned)axes.count, (unsigned)rank);
    for (uint32_t i = 0; !status && i < axes.count; i++) status = check_axis(part, er_flat_vector_i32(&axes, i), rank);
    return status;
}

erai_status er_tflite_check_options(const er_operator_part *part) {
    enum { CONCATENATION = 2, GATHER = 36, SQUEEZE = 43, SPLIT = 49, PACK = 83, UNPACK = 88, SPLIT_V = 102 };
    erai_status status = check_bounds(part);
    if (status) return status;
    uint32_t rank = part->inputs.count > 0 ? input_of(part, 0).shape.count : 0;
    int32_t first = er_flat_i32(&part->options, 0, 0), second = er_flat_i32(&part->options, 1, 0);
    switch (part->code) {
    case CONCATENATION: return check_axis(part, first, rank);
    case GATHER: return check_gather(part);
    case SQUEEZE: return check_squeeze(part);
    case SPLIT:
    case SPLIT_V: return check_number(part, "outputs", first, part->outputs.count);
    case PACK:
        status = check_number(part, "inputs", first, part->inputs.count);
        return status || !rank ? status : check_axis(part, second, rank + 1);
    case UNPACK:
        status = check_number(part, "outputs", first, part->outputs.count);
        return status ? status : check_axis(part, second, rank);
    default: return ERAI_OK;
    }
}
