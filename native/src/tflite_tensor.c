/* Tensors of a .tflite file: types, extents, values and quantization parameters. What is refused is what LiteRT refuses
 * as well, or goes on with and ends the process. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

#include <math.h>

static erai_status check_shape(const er_tensor_part *tensor) {
    if (tensor->shape.count > ER_TFLITE_MAX_RANK)
        return er_refuse_tensor(tensor, "rank %u; at most %d is supported", (unsigned)tensor->shape.count,
                                ER_TFLITE_MAX_RANK);
    /* Without those of 0, which would hide that the others make a number that overflows in a kernel. */
    uint64_t product = 1;
    for (uint32_t i = 0; i < tensor->shape.count; i++) {
        int32_t extent = er_flat_vector_i32(&tensor->shape, i);
        if (extent < 0) return er_refuse_tensor(tensor, "extent %d on axis %u", (int)extent, (unsigned)i);
        if (extent > 0) product *= (uint64_t)extent;
        if (product > INT32_MAX)
            return er_refuse_tensor(tensor, "its extents up to axis %u make %llu elements; at most %d are supported",
                                    (unsigned)i, (unsigned long long)product, INT32_MAX);
    }
    er_flat_vector signature = er_flat_vector_at(&tensor->table, ER_TENSOR_SIGNATURE);
    if (signature.count != 0 && signature.count != tensor->shape.count)
        return er_refuse_tensor(tensor, "a shape signature of rank %u and a shape of rank %u",
                                (unsigned)signature.count, (unsigned)tensor->shape.count);
    for (uint32_t i = 0; i < signature.count; i++)
        if (er_flat_vector_i32(&signature, i) < -1)
            return er_refuse_tensor(tensor, "extent %d on axis %u of its shape signature",
                                    (int)er_flat_vector_i32(&signature, i), (unsigned)i);
    return ERAI_OK;
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* How many there are, where each begins, and where the last ends; then the texts. */
static erai_status check_strings(const er_tensor_part *tensor) {
    uint64_t size = tensor->data_size, count = size < 4 ? 0 : get32(tensor->data);
    if (size < 4 || (count + 2) * 4 > size)
        return er_refuse_tensor(tensor, "%llu strings do not fit into its %llu bytes", (unsigned long long)count,
                                (unsigned long long)size);
    if (count != er_elements(&tensor->shape))
        return er_refuse_tensor(tensor, "%llu strings, and its shape has %llu elements", (unsigned long long)count,
                                (unsigned long long)er_elements(&tensor->shape));
    uint64_t before = (count + 2) * 4;
    for (size_t i = 0; i <= count; i++) {
        uint32_t begin = get32(tensor->data + 4 + 4 * i);
        if (begin < before || begin > size)
            return er_refuse_tensor(tensor, "string %zu begins at byte %u of %llu", i, (unsigned)begin,
                                    (unsigned long long)size);
        before = begin;
    }
    return ERAI_OK;
}

static erai_status check_values(const er_tensor_part *tensor) {
    const er_tflite *model = tensor->subgraph->model;
    uint32_t index = er_flat_u32(&tensor->table, ER_TENSOR_BUFFER, 0);
    if (index >= model->buffers.count)
        return er_refuse_tensor(tensor, "buffer %u of %u", (unsigned)index, (unsigned)model->buffers.count);
    if (tensor->data == NULL) return ERAI_OK;
    if (er_flat_u8(&tensor->table, ER_TENSOR_IS_VARIABLE, 0))
        return er_refuse_tensor(tensor, "a variable, and its values are in buffer %u", (unsigned)index);
    er_flat_table sparsity = er_flat_table_at(&tensor->table, ER_TENSOR_SPARSITY);
    if (sparsity.flat != NULL) return er_tflite_check_sparsity(tensor);
    if (tensor->type == ER_TYPE_STRING) return check_strings(tensor);
    unsigned bits = er_type_bits(tensor->type);
    if (bits == 0) return ERAI_OK; /* a handle: LiteRT does not look at the bytes */
    uint64_t expected = (er_elements(&tensor->shape) * bits + 7) / 8;
    if (expected != tensor->data_size)
        return er_refuse_tensor(tensor, "its shape and type ask for %llu bytes, and buffer %u has %llu",
                                (unsigned long long)expected, (unsigned)index, (unsigned long long)tensor->data_size);
    return ERAI_OK;
}

/* What zero points the type has. Wider types have symmetric quantization only, whose zero point is 0. */
static bool zero_point_fits(uint32_t type, int64_t zero_point) {
    switch (type) {
    case ER_TYPE_INT8: return zero_point >= INT8_MIN && zero_point <= INT8_MAX;
    case ER_TYPE_UINT8: return zero_point >= 0 && zero_point <= UINT8_MAX;
    case ER_TYPE_INT16: return zero_point >= INT16_MIN && zero_point <= INT16_MAX;
    default: return zero_point >= INT32_MIN && zero_point <= INT32_MAX;
    }
}

static erai_status check_affine(const er_tensor_part *tensor, const er_flat_table *quantization) {
    er_flat_vector scales = er_flat_vector_at(quantization, ER_QUANTIZATION_SCALE);
    er_flat_vector zeros = er_flat_vector_at(quantization, ER_QUANTIZATION_ZERO_POINT);
    int32_t axis = er_flat_i32(quantization, ER_QUANTIZATION_DIMENSION, 0);
    if (scales.count == 0) return ERAI_OK; /* minima and maxima alone: notes of a converter */
    if (scales.count != zeros.count)
        return er_refuse_tensor(tensor, "%u scales and %u zero points", (unsigned)scales.count, (unsigned)zeros.count);
    if (axis < 0 || (tensor->shape.count > 0 && axis >= (int32_t)tensor->shape.count))
        return er_refuse_tensor(tensor, "quantized along axis %d of %u", (int)axis, (unsigned)tensor->shape.count);
    if (scales.count > 1 &&
        (tensor->shape.count == 0 || (int64_t)scales.count != er_flat_vector_i32(&tensor->shape, (uint32_t)axis)))
        return er_refuse_tensor(tensor, "%u scales, and the extent on axis %d is %d", (unsigned)scales.count, (int)axis,
                                tensor->shape.count == 0 ? 0 : (int)er_flat_vector_i32(&tensor->shape, (uint32_t)axis));
    for (uint32_t i = 0; i < scales.count; i++) {
        float scale = er_flat_vector_f32(&scales, i);
        int64_t zero = er_flat_vector_i64(&zeros, i);
        if (!(scale >= 0) || isinf(scale))
            return er_refuse_tensor(tensor, "scale %u is %g", (unsigned)i, (double)scale);
        if (!zero_point_fits(tensor->type, zero))
            return er_refuse_tensor(tensor, "zero point %u is %lld", (unsigned)i, (long long)zero);
    }
    return ERAI_OK;
}

/* Blocks and several axes: scales and zero points are tensors. */
static erai_status check_details(const er_tensor_part *tensor, const er_flat_table *quantization) {
    enum { CUSTOM = 1 };
    enum { SCALES = 0, ZERO_POINTS = 1, BLOCK_SIZE = 2 };
    uint8_t type = er_flat_u8(quantization, ER_QUANTIZATION_DETAILS_TYPE, 0);
    er_flat_table details = er_flat_table_at(quantization, ER_QUANTIZATION_DETAILS);
    if (type <= CUSTOM) return ERAI_OK;
    if (details.flat == NULL) return er_refuse_tensor(tensor, "quantization details of type %u are absent", type);
    int64_t tensors = tensor->subgraph->tensors.count;
    int32_t scales = er_flat_i32(&details, SCALES, 0), zeros = er_flat_i32(&details, ZERO_POINTS, 0);
    int32_t block = er_flat_i32(&details, BLOCK_SIZE, 0);
    if (scales < 0 || scales >= tensors)
        return er_refuse_tensor(tensor, "scales in tensor %d of %lld", (int)scales, (long long)tensors);
    if (zeros < ER_TFLITE_ABSENT || zeros >= tensors)
        return er_refuse_tensor(tensor, "zero points in tensor %d of %lld", (int)zeros, (long long)tensors);
    if (block < 0) return er_refuse_tensor(tensor, "blocks of %d", (int)block);
    return ERAI_OK;
}

erai_status er_tflite_check_tensor(const er_tensor_part *tensor) {
    if (tensor->type >= ER_TYPES)
        return er_refuse_tensor(tensor, "type %u, which this build does not know", (unsigned)tensor->type);
    er_flat_table quantization = er_flat_table_at(&tensor->table, ER_TENSOR_QUANTIZATION);
    erai_status status = check_shape(tensor);
    if (!status) status = check_values(tensor);
    if (!status) status = check_affine(tensor, &quantization);
    return status ? status : check_details(tensor, &quantization);
}
