/* Quantizing and de-quantizing rows, in loops that the compiler vectorizes; see affine.h.
 *
 * A value is first held to the type's range, whose ends are whole numbers, and then rounded by adding and taking away
 * 1.5 * 2^23: of a float32 below 2^22 that leaves the nearest whole number, of two the even one, in the rounding mode
 * that processes start with, without the instruction for it that older processors lack.
 * SPDX-License-Identifier: Apache-2.0 */
#include "affine.h"

#include "dispatch.h"

#define ROUNDER 12582912.0f /* 1.5 * 2^23 */

typedef struct affine {
    float factor;
    float low, high; /* of the integers, less the zero point */
    int32_t zero_point;
} affine;

ER_INLINE int32_t quantize_one(float real, affine by) {
    float scaled = real * by.factor;
    scaled = scaled == scaled ? scaled : 0.0f;
    scaled = scaled > by.low ? scaled : by.low;
    scaled = scaled < by.high ? scaled : by.high;
    return (int32_t)((scaled + ROUNDER) - ROUNDER) + by.zero_point;
}

#define QUANTIZE(type)                                                                            \
    ER_INLINE void quantize_##type##_body(const float *real, size_t count, affine by, type *to) { \
        for (size_t i = 0; i < count; i++) to[i] = (type)quantize_one(real[i], by);               \
    }                                                                                             \
    ER_TWICE(quantize_##type, (const float *real, size_t count, affine by, type *to), (real, count, by, to))

QUANTIZE(int8_t)
QUANTIZE(uint8_t)
QUANTIZE(int16_t)

#define DEQUANTIZE(type)                                                                                            \
    ER_INLINE void dequantize_##type##_body(const type *from, size_t count, float scale, int32_t zero, float *to) { \
        for (size_t i = 0; i < count; i++) to[i] = (float)((int32_t)from[i] - zero) * scale;                        \
    }                                                                                                               \
    ER_TWICE(dequantize_##type, (const type *from, size_t count, float scale, int32_t zero, float *to),             \
             (from, count, scale, zero, to))

DEQUANTIZE(int8_t)
DEQUANTIZE(uint8_t)
DEQUANTIZE(int16_t)

int er_quantizes(uint32_t dtype) {
    return dtype == ERAI_DTYPE_INT8 || dtype == ERAI_DTYPE_UINT8 || dtype == ERAI_DTYPE_INT16;
}

void er_quantize(const float *real, size_t count, uint32_t dtype, float scale, int32_t zero_point, void *integers) {
    int32_t low = dtype == ERAI_DTYPE_INT8 ? INT8_MIN : dtype == ERAI_DTYPE_UINT8 ? 0 : INT16_MIN;
    int32_t high = dtype == ERAI_DTYPE_INT8 ? INT8_MAX : dtype == ERAI_DTYPE_UINT8 ? UINT8_MAX : INT16_MAX;
    affine by = {.factor = 1.0f / scale,
                 .low = (float)(low - zero_point),
                 .high = (float)(high - zero_point),
                 .zero_point = zero_point};
    switch (dtype) {
    case ERAI_DTYPE_INT8: quantize_int8_t(real, count, by, integers); break;
    case ERAI_DTYPE_UINT8: quantize_uint8_t(real, count, by, integers); break;
    default: quantize_int16_t(real, count, by, integers); break;
    }
}

void er_dequantize(const void *integers, size_t count, uint32_t dtype, float scale, int32_t zero_point, float *real) {
    switch (dtype) {
    case ERAI_DTYPE_INT8: dequantize_int8_t(integers, count, scale, zero_point, real); break;
    case ERAI_DTYPE_UINT8: dequantize_uint8_t(integers, count, scale, zero_point, real); break;
    default: dequantize_int16_t(integers, count, scale, zero_point, real); break;
    }
}
