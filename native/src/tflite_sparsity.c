/* Sparse constants of a .tflite file. The file has a tree of levels, one an axis in the order of traversal and then one
 * a block axis: a dense level has every index, a sparse one the indices that are there, by segments, as CSR has them.
 * LiteRT's kernels walk it without another look. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

#define MAX_LEVELS (2 * ER_TFLITE_MAX_RANK)

typedef struct levels {
    er_flat_vector order, block_map, dimensions;
    uint32_t rank, count;
    int64_t extents[MAX_LEVELS]; /* of axes, divided by their blocks, and of block axes */
} levels;

/* The first elements of the order are the axes, the others the block axes, each once. */
static erai_status check_order(const er_tensor_part *tensor, const levels *all) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        int32_t axis = er_flat_vector_i32(&all->order, i);
        bool block = i >= all->rank;
        if (axis < 0 || (uint32_t)axis >= all->count || ((uint32_t)axis >= all->rank) != block || (seen >> axis & 1))
            return er_refuse_tensor(tensor, "axis %d at place %u of its sparse traversal", (int)axis, (unsigned)i);
        seen |= 1u << axis;
    }
    return ERAI_OK;
}

static erai_status find_extents(const er_tensor_part *tensor, levels *all) {
    for (uint32_t i = 0; i < all->rank; i++) all->extents[i] = er_flat_vector_i32(&tensor->shape, i);
    for (uint32_t i = all->rank; i < all->count; i++) {
        er_flat_table level = er_flat_element(&all->dimensions, i);
        int32_t size = er_flat_i32(&level, ER_DIMENSION_DENSE_SIZE, 0);
        int32_t mapped = er_flat_vector_i32(&all->block_map, i - all->rank);
        int32_t axis = er_flat_vector_i32(&all->order, i);
        if (size < 1 || mapped < 0 || (uint32_t)mapped >= all->rank || all->extents[mapped] % size != 0)
            return er_refuse_tensor(tensor, "blocks of %d along axis %d", (int)size, (int)mapped);
        all->extents[axis] = size;
        all->extents[mapped] /= size;
    }
    return ERAI_OK;
}

/* One of an Int32Vector, a Uint16Vector or a Uint8Vector; false when it is none or absent. */
typedef struct numbers {
    er_flat_vector values;
    unsigned width;
} numbers;

static bool read_numbers(const er_flat_table *level, unsigned type_slot, numbers *read) {
    static const uint8_t widths[] = {0, 4, 2, 1};
    uint8_t type = er_flat_u8(level, type_slot, 0);
    er_flat_table table = er_flat_table_at(level, type_slot + 1);
    *read = (numbers){.values = er_flat_vector_at(&table, 0), .width = widths[type < sizeof widths ? type : 0]};
    return read->values.at != 0 && read->width != 0;
}

static int64_t number_at(const numbers *read, uint32_t index) {
    if (read->width == 4) return er_flat_vector_i32(&read->values, index);
    const uint8_t *bytes = read->values.flat->bytes + read->values.at + (size_t)index * read->width;
    return read->width == 1 ? bytes[0] : bytes[0] | bytes[1] << 8;
}

/* *count: the elements of the level before, and then of this one. */
static erai_status check_sparse_level(const er_tensor_part *tensor, const er_flat_table *level, uint32_t at,
                                      int64_t extent, uint64_t *count) {
    numbers segments, indices;
    if (!read_numbers(level, ER_DIMENSION_SEGMENTS_TYPE, &segments) ||
        !read_numbers(level, ER_DIMENSION_INDICES_TYPE, &indices))
        return er_refuse_tensor(tensor, "sparse level %u has no segments or no indices", (unsigned)at);
    if (segments.values.count != *count + 1)
        return er_refuse_tensor(tensor, "sparse level %u has %u segments; expected %llu", (unsigned)at,
                                (unsigned)segments.values.count, (unsigned long long)*count + 1);
    int64_t before = 0;
    for (uint32_t i = 0; i < segments.values.count; i++) {
        int64_t begin = number_at(&segments, i);
        if (begin < before || (i == 0 && begin != 0) || begin > (int64_t)indices.values.count)
            return er_refuse_tensor(tensor, "sparse level %u, segment %u begins at %lld", (unsigned)at, (unsigned)i,
                                    (long long)begin);
        before = begin;
    }
    if (before != (int64_t)indices.values.count)
        return er_refuse_tensor(tensor, "sparse level %u has %u indices, and its segments end at %lld", (unsigned)at,
                                (unsigned)indices.values.count, (long long)before);
    for (uint32_t i = 0; i < indices.values.count; i++)
        if (number_at(&indices, i) < 0 || number_at(&indices, i) >= extent)
            return er_refuse_tensor(tensor, "sparse level %u, index %u is %lld of %lld", (unsigned)at, (unsigned)i,
                                    (long long)number_at(&indices, i), (long long)extent);
    *count = indices.values.count;
    return ERAI_OK;
}

static erai_status check_level(const er_tensor_part *tensor, const levels *all, uint32_t at, uint64_t *count) {
    enum { DENSE = 0, SPARSE_CSR = 1 };
    er_flat_table level = er_flat_element(&all->dimensions, at);
    uint8_t format = er_flat_u8(&level, ER_DIMENSION_FORMAT, 0);
    int64_t extent = all->extents[er_flat_vector_i32(&all->order, at)];
    if (format == SPARSE_CSR) return check_sparse_level(tensor, &level, at, extent, count);
    if (format != DENSE) return er_refuse_tensor(tensor, "sparse level %u is of format %u", (unsigned)at, format);
    int32_t size = er_flat_i32(&level, ER_DIMENSION_DENSE_SIZE, 0);
    if (size != extent)
        return er_refuse_tensor(tensor, "sparse level %u has %d elements; expected %lld", (unsigned)at, (int)size,
                                (long long)extent);
    *count *= (uint64_t)size;
    return ERAI_OK;
}

erai_status er_tflite_check_sparsity(const er_tensor_part *tensor) {
    er_flat_table table = er_flat_table_at(&tensor->table, ER_TENSOR_SPARSITY);
    levels all = {.order = er_flat_vector_at(&table, ER_SPARSITY_ORDER),
                  .block_map = er_flat_vector_at(&table, ER_SPARSITY_BLOCK_MAP),
                  .dimensions = er_flat_vector_at(&table, ER_SPARSITY_DIMENSIONS),
                  .rank = tensor->shape.count};
    all.count = all.order.count;
    if (all.count < all.rank || all.count > MAX_LEVELS || all.dimensions.count != all.count ||
        all.block_map.count != all.count - all.rank)
        return er_refuse_tensor(tensor, "%u sparse levels, %u block axes and an order of %u for rank %u",
                                (unsigned)all.dimensions.count, (unsigned)all.block_map.count, (unsigned)all.count,
                                (unsigned)all.rank);
    erai_status status = check_order(tensor, &all);
    if (!status) status = find_extents(tensor, &all);
    uint64_t count = 1;
    for (uint32_t i = 0; !status && i < all.count; i++) status = check_level(tensor, &all, i, &count);
    if (status) return status;
    uint64_t expected = (count * er_type_bits(tensor->type) + 7) / 8;
    if (expected != tensor->data_size)
        return er_refuse_tensor(tensor, "its sparse levels ask for %llu bytes, and its buffer has %llu",
                                (unsigned long long)expected, (unsigned long long)tensor->data_size);
    return ERAI_OK;
}
