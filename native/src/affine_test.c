/* SPDX-License-Identifier: Apache-2.0 */
#include "affine.h"

#include <math.h>

#include "er_test.h"

static int quantized(float real, uint32_t dtype, float scale, int32_t zero_point) {
    int8_t narrow;
    uint8_t positive;
    int16_t wide;
    void *to = dtype == ERAI_DTYPE_INT8 ? (void *)&narrow : dtype == ERAI_DTYPE_UINT8 ? (void *)&positive : &wide;
    er_quantize(&real, 1, dtype, scale, zero_point, to);
    return dtype == ERAI_DTYPE_INT8 ? narrow : dtype == ERAI_DTYPE_UINT8 ? positive : wide;
}

static void halves_go_to_the_even_integer(void) {
    static const struct {
        float real;
        int expected;
    } cases[] = {{0.25f, 3}, {0.75f, 5}, {1.25f, 5}, {-0.25f, 3}, {-0.75f, 1}, {0.3f, 4}, {-0.0f, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ER_CHECK_INT(quantized(cases[i].real, ERAI_DTYPE_INT8, 0.5f, 3), cases[i].expected);
}

static void values_beyond_the_type_saturate_and_nan_is_the_zero_point(void) {
    static const struct {
        uint32_t dtype;
        int zero_point, low, high;
    } types[] = {
        {ERAI_DTYPE_INT8, -3, -128, 127}, {ERAI_DTYPE_UINT8, 130, 0, 255}, {ERAI_DTYPE_INT16, 0, -32768, 32767}};
    for (size_t i = 0; i < 3; i++) {
        ER_CHECK_INT(quantized(INFINITY, types[i].dtype, 0.1f, types[i].zero_point), types[i].high);
        ER_CHECK_INT(quantized(-INFINITY, types[i].dtype, 0.1f, types[i].zero_point), types[i].low);
        ER_CHECK_INT(quantized(3e38f, types[i].dtype, 0.1f, types[i].zero_point), types[i].high);
        ER_CHECK_INT(quantized(-4e9f, types[i].dtype, 0.1f, types[i].zero_point), types[i].low);
        ER_CHECK_INT(quantized(NAN, types[i].dtype, 0.1f, types[i].zero_point), types[i].zero_point);
    }
}

static void every_integer_survives_the_way_back_and_forth(void) {
    static const float scales[] = {0.1f, 1.0f / 255, 3.7f, 1e-5f};
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++)
        for (int value = -32768; value < 32768; value++) {
            int8_t narrow = (int8_t)(value / 256);
            int16_t wide = (int16_t)value;
            float real = 0;
            er_dequantize(&wide, 1, ERAI_DTYPE_INT16, scales[s], 0, &real);
            ER_CHECK(real == scales[s] * (float)value && quantized(real, ERAI_DTYPE_INT16, scales[s], 0) == value);
            er_dequantize(&narrow, 1, ERAI_DTYPE_INT8, scales[s], -7, &real);
            ER_CHECK_INT(quantized(real, ERAI_DTYPE_INT8, scales[s], -7), narrow);
        }
}

static void rows_of_every_length_are_as_their_single_values(void) {
    float real[67] = {0};
    uint8_t integers[67];
    for (size_t count = 0; count <= 67; count++) {
        for (size_t i = 0; i < count; i++) real[i] = (float)i * 0.173f - 3;
        er_quantize(real, count, ERAI_DTYPE_UINT8, 0.07f, 90, integers);
        for (size_t i = 0; i < count; i++) ER_CHECK_INT(integers[i], quantized(real[i], ERAI_DTYPE_UINT8, 0.07f, 90));
    }
}

static void types_that_are_not_quantized_are_named(void) {
    ER_CHECK(er_quantizes(ERAI_DTYPE_INT8) && er_quantizes(ERAI_DTYPE_UINT8) && er_quantizes(ERAI_DTYPE_INT16));
    ER_CHECK(!er_quantizes(ERAI_DTYPE_FLOAT32) && !er_quantizes(ERAI_DTYPE_INT32) && !er_quantizes(0));
}

int main(void) {
    ER_RUN(halves_go_to_the_even_integer);
    ER_RUN(values_beyond_the_type_saturate_and_nan_is_the_zero_point);
    ER_RUN(every_integer_survives_the_way_back_and_forth);
    ER_RUN(rows_of_every_length_are_as_their_single_values);
    ER_RUN(types_that_are_not_quantized_are_named);
    return er_test_result();
}
