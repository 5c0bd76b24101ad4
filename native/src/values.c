/* Reading values of any data type as float32 or float64, in loops that the compiler vectorizes, and writing them.
 *
 * float16 is IEEE 754 binary16, bfloat16 the upper half of a float32. Both are read exactly, NaN payloads too. A
 * subnormal float16 is read through an integer, not as a subnormal float32 times a power of two, so that neither a
 * process that flushes subnormals to zero nor 32-bit NEON, which always does, loses it. */
#include "values.h"

#include <math.h>
#include <string.h>

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float16_value(uint16_t half) {
    uint32_t magnitude = half & 0x7fffu;
    uint32_t normal = (magnitude << 13) + (112u << 23); /* 127 - 15 more in the exponent */
    uint32_t special = (magnitude << 13) | 0x7f800000u;
    uint32_t subnormal = bits_of((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t bits = magnitude < 0x400u ? subnormal : magnitude < 0x7c00u ? normal : special;
    return float_of(bits | (half & 0x8000u) << 16);
}

static inline float bfloat16_value(uint16_t half) {
    return float_of((uint32_t)half << 16);
}

#define READ(type, expression)                                 \
    do {                                                       \
        const type *from = data;                               \
        for (size_t i = 0; i < count; i++) to[i] = expression; \
    } while (0)

void er_read_narrow(const void *data, uint32_t dtype, size_t count, float *to) {
    switch (dtype) {
    case ERAI_DTYPE_FLOAT16: READ(uint16_t, float16_value(from[i])); break;
    case ERAI_DTYPE_BFLOAT16: READ(uint16_t, bfloat16_value(from[i])); break;
    case ERAI_DTYPE_INT8: READ(int8_t, (float)from[i]); break;
    case ERAI_DTYPE_INT16: READ(int16_t, (float)from[i]); break;
    case ERAI_DTYPE_UINT16: READ(uint16_t, (float)from[i]); break;
    case ERAI_DTYPE_UINT8:
    case ERAI_DTYPE_BOOL: READ(uint8_t, (float)from[i]); break;
    default: READ(float, from[i]); break;
    }
}

void er_read_wide(const void *data, uint32_t dtype, size_t count, double *to) {
    switch (dtype) {
    case ERAI_DTYPE_INT32: READ(int32_t, (double)from[i]); break;
    case ERAI_DTYPE_UINT32: READ(uint32_t, (double)from[i]); break;
    case ERAI_DTYPE_INT64: READ(int64_t, (double)from[i]); break;
    case ERAI_DTYPE_UINT64: READ(uint64_t, (double)from[i]); break;
    default: READ(double, from[i]); break;
    }
}

double er_value(const void *data, uint32_t dtype, size_t at) {
    const char *element = (const char *)data + at * erai_dtype_size(dtype);
    if (er_width_of(dtype) == ER_NARROW) {
        float value;
        er_read_narrow(element, dtype, 1, &value);
        return (double)value;
    }
    double value;
    er_read_wide(element, dtype, 1, &value);
    return value;
}

/* ---- Comparing ---- */

int er_is_below(const void *data, uint32_t dtype, size_t at, double limit) {
    if (dtype == ERAI_DTYPE_INT64)
        return limit >= 0x1p63 || (limit > -0x1p63 && ((const int64_t *)data)[at] < (int64_t)ceil(limit));
    if (dtype == ERAI_DTYPE_UINT64)
        return limit >= 0x1p64 || (limit > 0 && ((const uint64_t *)data)[at] < (uint64_t)ceil(limit));
    double value = er_value(data, dtype, at);
    return er_width_of(dtype) == ER_NARROW ? (float)value < (float)limit : value < limit;
}

int er_is_above(const void *data, uint32_t dtype, size_t at, double limit) {
    if (dtype == ERAI_DTYPE_INT64)
        return limit < -0x1p63 || (limit < 0x1p63 && ((const int64_t *)data)[at] > (int64_t)floor(limit));
    if (dtype == ERAI_DTYPE_UINT64)
        return limit < 0 || (limit < 0x1p64 && ((const uint64_t *)data)[at] > (uint64_t)floor(limit));
    double value = er_value(data, dtype, at);
    return er_width_of(dtype) == ER_NARROW ? (float)value > (float)limit : value > limit;
}

int er_is_missing(const erai_check_rule *missing, const void *data, uint32_t dtype, size_t at) {
    double value = er_value(data, dtype, at);
    if (!missing->count) return isnan(value);
    if (!er_is_float(dtype))
        return !er_is_below(data, dtype, at, missing->values[0]) && !er_is_above(data, dtype, at, missing->values[0]);
    double sentinel;
    er_write(&sentinel, dtype, 0, missing->values[0]); /* any float type fits into a double's bytes */
    return value == er_value(&sentinel, dtype, 0);
}

/* ---- Writing ---- */

/* The bits of the 16-bit float nearest to a value, ties to even. In units of its last place a value's magnitude is a
 * number of steps, and bits count steps from zero, over all exponents: a carry out of the mantissa is right too. */
static uint16_t float_bits(double value, int mantissa_bits, int least_exponent) {
    uint32_t sign = signbit(value) ? 0x8000u : 0, infinity = 0x7fffu >> mantissa_bits << mantissa_bits;
    if (isnan(value)) return (uint16_t)(sign | infinity | 1u << (mantissa_bits - 1));
    if (isinf(value)) return (uint16_t)(sign | infinity);
    int exponent = ilogb(value); /* of zero far below any */
    if (exponent < least_exponent) exponent = least_exponent;
    uint32_t steps = (uint32_t)rint(ldexp(fabs(value), mantissa_bits - exponent));
    uint32_t bits = ((uint32_t)(exponent - least_exponent) << mantissa_bits) + steps;
    return (uint16_t)(sign | (bits < infinity ? bits : infinity));
}

static int64_t to_signed(double value, int bits) {
    double limit = ldexp(1.0, bits - 1);
    if (isnan(value)) return 0;
    value = rint(value);
    return value >= limit ? INT64_MAX >> (64 - bits) : value <= -limit ? (int64_t)-limit : (int64_t)value;
}

static uint64_t to_unsigned(double value, int bits) {
    if (isnan(value) || value <= 0) return 0;
    value = rint(value);
    return value >= ldexp(1.0, bits) ? UINT64_MAX >> (64 - bits) : (uint64_t)value;
}

void er_write(void *data, uint32_t dtype, size_t at, double value) {
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: ((float *)data)[at] = (float)value; break;
    case ERAI_DTYPE_FLOAT64: ((double *)data)[at] = value; break;
    case ERAI_DTYPE_FLOAT16: ((uint16_t *)data)[at] = float_bits(value, 10, -14); break;
    case ERAI_DTYPE_BFLOAT16: ((uint16_t *)data)[at] = float_bits(value, 7, -126); break;
    case ERAI_DTYPE_INT8: ((int8_t *)data)[at] = (int8_t)to_signed(value, 8); break;
    case ERAI_DTYPE_INT16: ((int16_t *)data)[at] = (int16_t)to_signed(value, 16); break;
    case ERAI_DTYPE_INT32: ((int32_t *)data)[at] = (int32_t)to_signed(value, 32); break;
    case ERAI_DTYPE_INT64: ((int64_t *)data)[at] = to_signed(value, 64); break;
    case ERAI_DTYPE_BOOL: ((uint8_t *)data)[at] = (uint8_t)to_unsigned(value, 1); break;
    case ERAI_DTYPE_UINT8: ((uint8_t *)data)[at] = (uint8_t)to_unsigned(value, 8); break;
    case ERAI_DTYPE_UINT16: ((uint16_t *)data)[at] = (uint16_t)to_unsigned(value, 16); break;
    case ERAI_DTYPE_UINT32: ((uint32_t *)data)[at] = (uint32_t)to_unsigned(value, 32); break;
    case ERAI_DTYPE_UINT64: ((uint64_t *)data)[at] = to_unsigned(value, 64); break;
    default: break;
    }
}
