/* Affine quantization at a model's edges: real = scale * (integer - zero_point). SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_AFFINE_H
#define ER_AFFINE_H

#include "edge_rai.h"

/* Whether integers of this type are quantized here: INT8, UINT8, INT16. */
int er_quantizes(uint32_t dtype);

/* The nearest integer of each value times 1 / scale, of two the even one, plus the zero point, saturated; of NaN the
 * zero point. These are the bits that LiteRT 2.3 gives where its QUANTIZE runs in XNNPACK, which is its default; its
 * own kernels saturate infinities and values beyond 2^31 steps at the wrong end. `scale` is positive and finite, the
 * zero point one of the type's numbers, and er_quantizes(dtype). */
void er_quantize(const float *real, size_t count, uint32_t dtype, float scale, int32_t zero_point, void *integers);

/* The inverse, in float32, as LiteRT's DEQUANTIZE does it. */
void er_dequantize(const void *integers, size_t count, uint32_t dtype, float scale, int32_t zero_point, float *real);

#endif
