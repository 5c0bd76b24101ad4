/* Whether the shapes that a .tflite file states for an operator's tensors agree. LiteRT computes them anew, but XNNPACK
 * has by then laid out its memory by those of the file, and a stated extent that nothing supports is run as it stands.
 * Passed over are tensors with a free axis, and those of rank 0, which is also written for a rank that is not known.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

typedef struct shape {
    int64_t extents[ER_TFLITE_MAX_RANK];
    uint32_t rank;
    bool known;
} shape;

static shape shape_of(const er_operator_part *part, const er_flat_vector *side, uint32_t index) {
    shape found = {.known = false};
    if (index >= side->count || er_flat_vector_i32(side, index) < 0) return found;
    er_tensor_part tensor = er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(side, index));
    er_flat_vector signature = er_flat_vector_at(&tensor.table, ER_TENSOR_SIGNATURE);
    found.rank = tensor.shape.count;
    found.known = found.rank > 0;
    for (uint32_t i = 0; i < found.rank; i++) found.extents[i] = er_flat_vector_i32(&tensor.shape, i);
    for (uint32_t i = 0; i < signature.count; i++) found.known = found.known && er_flat_vector_i32(&signature, i) >= 0;
    return found;
}

static int64_t count_of(const shape *one) {
    int64_t count = 1;
    for (uint32_t i = 0; i < one->rank; i++) count *= one->extents[i];
    return count;
}

static bool are_same(const shape *one, const shape *other) {
    bool same = one->rank == other->rank;
    for (uint32_t i = 0; same && i < one->rank; i++) same = one->extents[i] == other->extents[i];
    return same;
}

/* The extents of both, aligned at the last axis, are the same or 1, and the result has the greater; 0 stays 0. */
static bool broadcasts_to(const shape *one, const shape *other, const shape *result) {
    uint32_t rank = one->rank > other->rank ? one->rank : other->rank;
    if (result->rank != rank) return false;
    for (uint32_t i = 1; i <= rank; i++) {
        int64_t a = i > one->rank ? 1 : one->extents[one->rank - i];
        int64_t b = i > other->rank ? 1 : other->extents[other->rank - i];
        if ((a != b && a != 1 && b != 1) || result->extents[rank - i] != (a == 1 ? b : a)) return false;
    }
    return true;
}

/* What a window leaves of an extent; see LiteRT's tflite/kernels/padding.h. */
static int64_t windows(int64_t extent, int64_t window, int64_t stride, int64_t dilation, bool same) {
    int64_t reach = (window - 1) * dilation + 1;
    return same ? (extent + stride - 1) / stride : (extent + stride - reach) / stride;
}

static bool pools(const er_operator_part *part, const shape *in, const shape *out) {
    const er_flat_table *options = &part->options;
    bool same = er_flat_u8(options, 0, 0) == 0;
    return in->rank == 4 && out->rank == 4 && in->extents[0] == out->extents[0] && in->extents[3] == out->extents[3] &&
           out->extents[1] ==
               windows(in->extents[1], er_flat_i32(options, 4, 0), er_flat_i32(options, 2, 0), 1, same) &&
           out->extents[2] == windows(in->extents[2], er_flat_i32(options, 3, 0), er_flat_i32(options, 1, 0), 1, same);
}

/* Filters are (outputs, height, width, inputs of a group), or (1, height, width, outputs) when depthwise. */
static bool convolves(const er_operator_part *part, const shape *in, const shape *out, bool depthwise) {
    shape filter = shape_of(part, &part->inputs, 1), bias = shape_of(part, &part->inputs, 2);
    const er_flat_table *options = &part->options;
    unsigned dilations = depthwise ? 5 : 4;
    bool same = er_flat_u8(options, 0, 0) == 0;
    if (!filter.known) return true;
    if (in->rank != 4 || filter.rank != 4 || out->rank != 4) return false;
    int64_t inputs = in->extents[3], outputs = out->extents[3];
    bool channels = depthwise
                        ? filter.extents[0] == 1 && filter.extents[3] == outputs && inputs > 0 && outputs % inputs == 0
                        : filter.extents[0] == outputs && filter.extents[3] > 0 && inputs % filter.extents[3] == 0;
    return channels && in->extents[0] == out->extents[0] && (!bias.known || count_of(&bias) == outputs) &&
           out->extents[1] == windows(in->extents[1], filter.extents[1], er_flat_i32(options, 2, 0),
                                      er_flat_i32(options, dilations + 1, 1), same) &&
           out->extents[2] == windows(in->extents[2], filter.extents[2], er_flat_i32(options, 1, 0),
                                      er_flat_i32(options, dilations, 1), same);
}

static bool transposes_convolution(const er_operator_part *part, const shape *out) {
    shape filter = shape_of(part, &part->inputs, 1), in = shape_of(part, &part->inputs, 2);
    if (!filter.known || !in.known) return true;
    return filter.rank == 4 && in.rank == 4 && out->rank == 4 && filter.extents[0] == out->extents[3] &&
           filter.extents[3] == in.extents[3] && in.extents[0] == out->extents[0];
}

static bool connects(const er_operator_part *part, const shape *in, const shape *out) {
    shape weights = shape_of(part, &part->inputs, 1), bias = shape_of(part, &part->inputs, 2);
    if (!weights.known) return true;
    if (weights.rank != 2 || weights.extents[1] < 1 || count_of(in) % weights.extents[1] != 0) return false;
    return count_of(out) == count_of(in) / weights.extents[1] * weights.extents[0] &&
           (!bias.known || count_of(&bias) == weights.extents[0]);
}

static bool concatenates(const er_operator_part *part, const shape *out) {
    int32_t axis = er_flat_i32(&part->options, 0, 0);
    if (axis < 0) axis += (int32_t)out->rank;
    int64_t sum = 0;
    for (uint32_t i = 0; i < part->inputs.count; i++) {
        shape in = shape_of(part, &part->inputs, i);
        if (!in.known) return true;
        if (in.rank != out->rank || axis < 0 || axis >= (int32_t)in.rank) return false;
        for (uint32_t k = 0; k < in.rank; k++)
            if (k != (uint32_t)axis && in.extents[k] != out->extents[k]) return false;
        sum += in.extents[axis];
    }
    return sum == out->extents[axis];
}

static bool keeps_steps(const shape *in, const shape *out) {
    return in->rank == 3 && out->rank == 3 && in->extents[0] == out->extents[0] && in->extents[1] == out->extents[1];
}

static int64_t get_little(const uint8_t *p, unsigned width) {
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++) value |= (uint64_t)p[i] << (8 * i);
    return width == 4 ? (int32_t)(uint32_t)value : (int64_t)value;
}

/* Paddings in the file: (rank, 2) of what comes before and behind each axis. */
static bool pads(const er_operator_part *part, const shape *in, const shape *out) {
    er_tensor_part amounts = er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(&part->inputs, 1));
    unsigned width = amounts.type == ER_TYPE_INT32 ? 4 : amounts.type == ER_TYPE_INT64 ? 8 : 0;
    if (amounts.data == NULL || width == 0) return true;
    if (in->rank != out->rank || amounts.data_size != (uint64_t)in->rank * 2 * width) return false;
    for (uint32_t i = 0; i < in->rank; i++) {
        int64_t before = get_little(amounts.data + (size_t)(2 * i) * width, width);
        int64_t behind = get_little(amounts.data + (size_t)(2 * i + 1) * width, width);
        if (before < 0 || behind < 0 || before > INT32_MAX || behind > INT32_MAX ||
            in->extents[i] + before + behind != out->extents[i])
            return false;
    }
    return true;
}

static bool agree(const er_operator_part *part, const shape *in, const shape *out) {
    shape other = shape_of(part, &part->inputs, 1);
    switch (part->kind->shape) {
    case ER_SHAPE_SAME: return are_same(in, out);
    case ER_SHAPE_COUNT: return count_of(in) == count_of(out);
    case ER_SHAPE_BROADCAST: return !other.known || broadcasts_to(in, &other, out);
    case ER_SHAPE_CONVOLUTION: return convolves(part, in, out, false);
    case ER_SHAPE_DEPTHWISE: return convolves(part, in, out, true);
    case ER_SHAPE_POOL: return pools(part, in, out);
    case ER_SHAPE_CONNECTED: return connects(part, in, out);
    case ER_SHAPE_CONCATENATED: return concatenates(part, out);
    case ER_SHAPE_PADDED: return pads(part, in, out);
    case ER_SHAPE_SEQUENCE: return keeps_steps(in, out);
    default: return true;
    }
}

/* XNNPACK unpacks constants, sparse or of few bits, before anything is planned: into a result as large as is stated. */
static bool unpacks_into_nothing(const er_operator_part *part, const shape *in, const shape *out) {
    return part->kind->shape == ER_SHAPE_SAME && in->known && out->rank == 0 && count_of(in) != 1 &&
           er_tensor_part_of(part->subgraph, (uint32_t)er_flat_vector_i32(&part->inputs, 0)).data != NULL;
}

/* Whether the shapes agree as far as they are stated. */
static bool are_sound(const er_operator_part *part) {
    shape in = shape_of(part, &part->inputs, 0), out = shape_of(part, &part->outputs, 0);
    bool transposed = part->kind->shape == ER_SHAPE_TRANSPOSED; /* its first input is a shape */
    if (unpacks_into_nothing(part, &in, &out)) return false;
    if (!out.known || (!in.known && !transposed)) return true;
    return transposed ? transposes_convolution(part, &out) : agree(part, &in, &out);
}

erai_status er_tflite_check_shapes(const er_operator_part *part) {
    if (are_sound(part)) return ERAI_OK;
    return er_refuse_operator(part, "the stated shapes of its tensors do not agree (input %d, output %d)",
                              (int)er_flat_vector_i32(&part->inputs, 0), (int)er_flat_vector_i32(&part->outputs, 0));
}
