/* Reading a feature's values in blocks that stay in the first cache: gathered from where they stand, one type after the
 * other converted by values.c, absent ones dropped. */
#include "feature_row.h"

#include "fingerprint.h"
#include "values.h"

#include <math.h>
#include <string.h>

/* The bits of a block's values, of any type. */
typedef union bit_block {
    unsigned char bytes[8 * ER_BLOCK];
    uint16_t u16[4 * ER_BLOCK];
    uint32_t u32[2 * ER_BLOCK];
    uint64_t u64[ER_BLOCK];
} bit_block;

/* Copies every stride-th element. The sizes are apart so that each copy is one instruction. */
static void copy_strided(unsigned char *to, const unsigned char *from, size_t size, size_t stride, size_t count) {
    switch (size) {
    case 1:
        for (size_t i = 0; i < count; i++) to[i] = from[i * stride];
        break;
    case 2:
        for (size_t i = 0; i < count; i++) memcpy(to + 2 * i, from + 2 * i * stride, 2);
        break;
    case 4:
        for (size_t i = 0; i < count; i++) memcpy(to + 4 * i, from + 4 * i * stride, 4);
        break;
    default:
        for (size_t i = 0; i < count; i++) memcpy(to + 8 * i, from + 8 * i * stride, 8);
        break;
    }
}

/* The feature's values from number `first` on, one after the other: where they stand, or copied into `bits`, which has
 * room for them. */
static const void *gather(const er_feature_row *of, size_t first, size_t count, bit_block *bits) {
    const er_row *row = of->row;
    size_t size = erai_dtype_size(row->input->dtype);
    const unsigned char *values = row->values;
    if (first / row->inner == (first + count - 1) / row->inner) return values + er_element_of(of, first) * size;
    if (row->inner == 1) {
        copy_strided(bits->bytes, values + er_element_of(of, first) * size, size, row->features, count);
        return bits;
    }
    for (size_t i = 0, run; i < count; i += run) {
        size_t left = row->inner - (first + i) % row->inner;
        run = left < count - i ? left : count - i;
        memcpy(bits->bytes + i * size, values + er_element_of(of, first + i) * size, run * size);
    }
    return bits;
}

/* A row in order is finite, but for what is missing. */
static int may_be_absent(const er_feature_row *of) {
    return of->feature->missing || (!of->row->in_order && of->row->input->flags & ERAI_RULE_FINITE);
}

static void drop_absent(const er_feature_row *of, er_block *block) {
    const er_row *row = of->row;
    const erai_check_rule *missing = of->feature->missing;
    int finite_rule = (row->input->flags & ERAI_RULE_FINITE) != 0;
    size_t kept = 0;
    for (size_t i = 0; i < block->count; i++) {
        if (finite_rule && !isfinite(block->values[i])) continue;
        size_t element = er_element_of(of, block->first + i);
        if (missing && er_is_missing(missing, row->values, row->input->dtype, element)) continue;
        block->values[kept] = block->values[i];
        block->after[kept++] = (uint16_t)i;
    }
    block->dropped = kept < block->count;
    block->count = kept;
}

size_t er_read_block(const er_feature_row *of, size_t first, er_block *block) {
    size_t left = of->size - first, count = left < ER_BLOCK ? left : ER_BLOCK;
    const er_input *input = of->row->input;
    bit_block bits;
    const void *from = gather(of, first, count, &bits);
    if (input->width == ER_NARROW) {
        float chunk[ER_BLOCK];
        const float *narrow = from;
        if (input->dtype != ERAI_DTYPE_FLOAT32) {
            er_read_narrow(from, input->dtype, count, chunk);
            narrow = chunk;
        }
        for (size_t i = 0; i < count; i++) block->values[i] = (double)narrow[i];
    } else {
        er_read_wide(from, input->dtype, count, block->values);
    }
    block->first = first;
    block->count = count;
    block->dropped = 0;
    if (may_be_absent(of)) drop_absent(of, block);
    return first + count;
}

int er_is_exactly(const er_feature_row *of, size_t value, double number) {
    const void *values = of->row->values;
    size_t element = er_element_of(of, value);
    switch (of->row->input->dtype) {
    case ERAI_DTYPE_INT64: return number < 0x1p63 && (int64_t)number == ((const int64_t *)values)[element];
    case ERAI_DTYPE_UINT64: return number < 0x1p64 && (uint64_t)number == ((const uint64_t *)values)[element];
    default: return 1;
    }
}

/* One NaN for all: they differ in bits that say nothing of what was measured. */
static void unite_nans(uint32_t dtype, bit_block *bits, size_t count) {
    uint16_t *f16 = bits->u16, infinity = dtype == ERAI_DTYPE_FLOAT16 ? 0x7C00 : 0x7F80;
    uint32_t *f32 = bits->u32;
    uint64_t *f64 = bits->u64;
    switch (dtype) {
    case ERAI_DTYPE_FLOAT16:
    case ERAI_DTYPE_BFLOAT16:
        for (size_t i = 0; i < count; i++) f16[i] = (f16[i] & 0x7FFF) > infinity ? 0x7FFF : f16[i];
        break;
    case ERAI_DTYPE_FLOAT32:
        for (size_t i = 0; i < count; i++) f32[i] = (f32[i] & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FFFFFFFu : f32[i];
        break;
    case ERAI_DTYPE_FLOAT64:
        for (size_t i = 0; i < count; i++)
            f64[i] = (f64[i] & 0x7FFFFFFFFFFFFFFFu) > 0x7FF0000000000000u ? 0x7FFFFFFFFFFFFFFFu : f64[i];
        break;
    default: break;
    }
}

static void add_numbers(const er_feature_row *of, er_fingerprint *fingerprint) {
    uint32_t dtype = of->row->input->dtype;
    size_t size = erai_dtype_size(dtype), most = sizeof(bit_block) / size;
    bit_block bits;
    for (size_t first = 0, count; first < of->size; first += count) {
        count = of->size - first < most ? of->size - first : most;
        const void *from = gather(of, first, count, &bits);
        if (er_is_float(dtype) && (of->feature->missing || !of->row->in_order)) { /* else there is no NaN */
            if (from != &bits) memcpy(&bits, from, count * size);
            unite_nans(dtype, &bits, count);
            from = &bits;
        }
        er_fingerprint_add(fingerprint, from, count * size);
    }
}

static void add_strings(const er_feature_row *of, er_fingerprint *fingerprint) {
    for (size_t i = 0; i < of->size; i++)
        er_fingerprint_add(fingerprint, er_string_of(of, i)->bytes, er_string_of(of, i)->size);
}

uint64_t er_fingerprint_of(const er_feature_row *of) {
    er_fingerprint fingerprint;
    er_fingerprint_begin(&fingerprint);
    if (of->row->input->width == ER_TEXT)
        add_strings(of, &fingerprint);
    else
        add_numbers(of, &fingerprint);
    return er_fingerprint_end(&fingerprint);
}

double er_as_held(uint32_t dtype, double number) {
    uint16_t bits;
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: return (double)(float)number;
    case ERAI_DTYPE_FLOAT16:
    case ERAI_DTYPE_BFLOAT16: er_write(&bits, dtype, 0, number); return er_value(&bits, dtype, 0);
    default: return number;
    }
}
