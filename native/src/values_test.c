/* Every bit pattern of the 16-bit types, and the ends of the others. Expected values come from the formats'
 * definitions, by ldexp. SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include <math.h>

#include "er_test.h"

enum { PATTERNS = 65536 };

/* What a pattern of a 16-bit float says: sign, exponent with the given bias, mantissa. */
static double meaning(unsigned pattern, int mantissa_bits, int bias) {
    int exponent = (int)(pattern & 0x7fff) >> mantissa_bits, most = (int)(0x7fffu >> mantissa_bits);
    int mantissa = (int)(pattern & ((1u << mantissa_bits) - 1));
    double magnitude = exponent == most ? (mantissa ? (double)NAN : (double)INFINITY)
                       : exponent == 0  ? ldexp(mantissa, 1 - bias - mantissa_bits)
                                        : ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
    return pattern & 0x8000 ? -magnitude : magnitude;
}

static void check_patterns(uint32_t dtype, int mantissa_bits, int bias) {
    static uint16_t patterns[PATTERNS];
    static float values[PATTERNS];
    for (unsigned i = 0; i < PATTERNS; i++) patterns[i] = (uint16_t)i;
    er_read_narrow(patterns, dtype, PATTERNS, values);
    for (unsigned i = 0; i < PATTERNS; i++) {
        double expected = meaning(i, mantissa_bits, bias), one = er_value(patterns, dtype, i);
        ER_CHECK(isnan(expected)
                     ? isnan(values[i]) && isnan(one)
                     : (double)values[i] == expected && one == expected && !signbit(values[i]) == (i < 32768));
        uint32_t bits, mantissa = (1u << mantissa_bits) - 1;
        memcpy(&bits, &values[i], sizeof bits);
        if (isnan(expected)) ER_CHECK_INT(bits >> (23 - mantissa_bits) & mantissa, i & mantissa);
    }
}

static void every_float16_is_read_exactly(void) {
    check_patterns(ERAI_DTYPE_FLOAT16, 10, 15);
}

static void every_bfloat16_is_read_exactly(void) {
    check_patterns(ERAI_DTYPE_BFLOAT16, 7, 127);
}

static unsigned written(uint32_t dtype, double value) {
    uint16_t pattern = 0xdead;
    er_write(&pattern, dtype, 0, value);
    return pattern;
}

/* Each value is written as itself; what lies between two goes to the nearer, and the middle to the even one. */
static void check_rounding(uint32_t dtype, int mantissa_bits, int bias) {
    for (unsigned i = 0; i < PATTERNS; i++) {
        double value = meaning(i, mantissa_bits, bias);
        if (isnan(value)) {
            ER_CHECK(isnan(meaning(written(dtype, value), mantissa_bits, bias)));
            continue;
        }
        ER_CHECK_INT(written(dtype, value), i);
        if (isinf(value) || i & 1) continue; /* from an odd one the step may be longer than to it */
        double next = meaning(i + 1, mantissa_bits, bias), middle = value + (next - value) / 2;
        ER_CHECK_INT(written(dtype, middle), i);
        ER_CHECK_INT(written(dtype, nextafter(middle, next)), i + 1);
        ER_CHECK_INT(written(dtype, nextafter(middle, value)), i);
    }
}

static void writing_float16_rounds_to_nearest_even(void) {
    check_rounding(ERAI_DTYPE_FLOAT16, 10, 15);
    ER_CHECK_INT(written(ERAI_DTYPE_FLOAT16, 65504), 0x7bff);
    ER_CHECK_INT(written(ERAI_DTYPE_FLOAT16, 65519.999), 0x7bff);
    ER_CHECK_INT(written(ERAI_DTYPE_FLOAT16, 65520), 0x7c00);
    ER_CHECK_INT(written(ERAI_DTYPE_FLOAT16, -1e300), 0xfc00);
    ER_CHECK_INT(written(ERAI_DTYPE_FLOAT16, 1e-300), 0);
    /* Rounded once: through float32 this would become a tie, and then even. */
    ER_CHECK_INT(written(ERAI_DTYPE_FLOAT16, 1 + 0x1p-11 + 0x1p-40), 0x3c01);
}

static void writing_bfloat16_rounds_to_nearest_even(void) {
    check_rounding(ERAI_DTYPE_BFLOAT16, 7, 127);
    ER_CHECK_INT(written(ERAI_DTYPE_BFLOAT16, 3.5e38), 0x7f80);
}

static void every_small_integer_is_read_as_itself(void) {
    static uint16_t patterns[PATTERNS];
    static float values[PATTERNS];
    for (unsigned i = 0; i < PATTERNS; i++) patterns[i] = (uint16_t)i;
    er_read_narrow(patterns, ERAI_DTYPE_UINT16, PATTERNS, values);
    for (int i = 0; i < PATTERNS; i++) ER_CHECK(values[i] == (float)i);
    er_read_narrow(patterns, ERAI_DTYPE_INT16, PATTERNS, values);
    for (int i = 0; i < PATTERNS; i++) ER_CHECK(values[i] == (float)(i < 32768 ? i : i - 65536));
    uint8_t bytes[256];
    for (unsigned i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    er_read_narrow(bytes, ERAI_DTYPE_INT8, 256, values);
    for (int i = 0; i < 256; i++) ER_CHECK(values[i] == (float)(i < 128 ? i : i - 256));
    er_read_narrow(bytes, ERAI_DTYPE_UINT8, 256, values);
    for (int i = 0; i < 256; i++) ER_CHECK(values[i] == (float)i);
    er_read_narrow(bytes, ERAI_DTYPE_BOOL, 256, values);
    for (int i = 0; i < 256; i++) ER_CHECK(values[i] == (float)i);
}

static void wide_types_are_read_at_their_ends(void) {
    const int32_t i32[] = {INT32_MIN, -1, INT32_MAX};
    const uint32_t u32[] = {0, 1, UINT32_MAX};
    const int64_t i64[] = {INT64_MIN, (1ll << 53) + 1, INT64_MAX};
    const uint64_t u64[] = {0, (1ull << 53) + 3, UINT64_MAX};
    const double f64[] = {-0.0, (double)INFINITY, 5e-324};
    double values[3];
    er_read_wide(i32, ERAI_DTYPE_INT32, 3, values);
    ER_CHECK(values[0] == -0x1p31 && values[1] == -1 && values[2] == 0x1p31 - 1);
    er_read_wide(u32, ERAI_DTYPE_UINT32, 3, values);
    ER_CHECK(values[0] == 0 && values[1] == 1 && values[2] == 0x1p32 - 1);
    er_read_wide(i64, ERAI_DTYPE_INT64, 3, values);
    ER_CHECK(values[0] == -0x1p63 && values[1] == 0x1p53 && values[2] == 0x1p63);
    er_read_wide(u64, ERAI_DTYPE_UINT64, 3, values);
    ER_CHECK(values[0] == 0 && values[1] == 0x1p53 + 4 && values[2] == 0x1p64);
    er_read_wide(f64, ERAI_DTYPE_FLOAT64, 3, values);
    ER_CHECK(memcmp(values, f64, sizeof f64) == 0);
    ER_CHECK(er_value(i64, ERAI_DTYPE_INT64, 2) == 0x1p63 && er_value(f64, ERAI_DTYPE_FLOAT64, 2) == 5e-324);
}

static void writing_integers_rounds_and_saturates(void) {
    static const struct {
        uint32_t dtype;
        double low, high;
    } types[] = {
        {ERAI_DTYPE_INT8, -128, 127},        {ERAI_DTYPE_INT16, -32768, 32767}, {ERAI_DTYPE_INT32, -0x1p31, 0x1p31 - 1},
        {ERAI_DTYPE_INT64, -0x1p63, 0x1p63}, {ERAI_DTYPE_UINT8, 0, 255},        {ERAI_DTYPE_UINT16, 0, 65535},
        {ERAI_DTYPE_UINT32, 0, 0x1p32 - 1},  {ERAI_DTYPE_UINT64, 0, 0x1p64},    {ERAI_DTYPE_BOOL, 0, 1}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        static const double given[] = {
            0.4,   0.6,    1.5,    2.5,     -0.6, -1.5, (double)NAN, (double)INFINITY, -(double)INFINITY,
            1e300, -1e300, 0x1p63, 127.4999};
        for (size_t k = 0; k < sizeof given / sizeof *given; k++) {
            uint64_t cell[2] = {0, 0};
            er_write(cell, types[i].dtype, 1, given[k]);
            double expected = isnan(given[k]) ? 0 : fmin(fmax(nearbyint(given[k]), types[i].low), types[i].high);
            ER_CHECK(er_value(cell, types[i].dtype, 1) == expected);
            ER_CHECK(er_value(cell, types[i].dtype, 0) == 0);
        }
    }
    int64_t most = 0;
    er_write(&most, ERAI_DTYPE_INT64, 0, 1e300);
    ER_CHECK_INT(most, INT64_MAX);
    uint64_t unsigned_most = 0;
    er_write(&unsigned_most, ERAI_DTYPE_UINT64, 0, 1e300);
    ER_CHECK(unsigned_most == UINT64_MAX);
}

static void integers_of_64_bits_compare_as_real_numbers(void) {
    const int64_t at[] = {(1ll << 53) + 1, INT64_MAX, INT64_MIN, 0, 5};
    ER_CHECK(er_is_above(at, ERAI_DTYPE_INT64, 0, 0x1p53) && !er_is_below(at, ERAI_DTYPE_INT64, 0, 0x1p53));
    ER_CHECK(er_is_below(at, ERAI_DTYPE_INT64, 1, 0x1p63) && !er_is_above(at, ERAI_DTYPE_INT64, 1, 0x1p63));
    ER_CHECK(er_is_above(at, ERAI_DTYPE_INT64, 1, 0x1p63 - 1024));
    ER_CHECK(!er_is_below(at, ERAI_DTYPE_INT64, 2, -0x1p63) && !er_is_above(at, ERAI_DTYPE_INT64, 2, -0x1p63));
    ER_CHECK(er_is_above(at, ERAI_DTYPE_INT64, 2, -0x1.1p63) && !er_is_below(at, ERAI_DTYPE_INT64, 2, -0x1.1p63));
    ER_CHECK(!er_is_below(at, ERAI_DTYPE_INT64, 3, -(double)INFINITY));
    ER_CHECK(!er_is_above(at, ERAI_DTYPE_INT64, 3, (double)INFINITY));
    ER_CHECK(er_is_below(at, ERAI_DTYPE_INT64, 4, 5.5) && er_is_above(at, ERAI_DTYPE_INT64, 4, 4.5));
    ER_CHECK(er_is_below(at, ERAI_DTYPE_INT64, 3, 0.5) && er_is_above(at, ERAI_DTYPE_INT64, 3, -0.5));
    const int64_t low[] = {INT64_MIN + 1, INT64_MIN};
    ER_CHECK(er_is_below(low, ERAI_DTYPE_INT64, 0, -0x1p62) && !er_is_below(low, ERAI_DTYPE_INT64, 0, -0x1p63));
    ER_CHECK(er_is_above(low, ERAI_DTYPE_INT64, 0, -0x1p63) && er_is_below(low, ERAI_DTYPE_INT64, 1, -0x1p63 + 1024));
    const uint64_t unsigned_at[] = {UINT64_MAX, 0, (1ull << 63) + 1};
    ER_CHECK(er_is_below(unsigned_at, ERAI_DTYPE_UINT64, 0, 0x1p64));
    ER_CHECK(er_is_above(unsigned_at, ERAI_DTYPE_UINT64, 0, 0x1p64 - 2048));
    ER_CHECK(er_is_above(unsigned_at, ERAI_DTYPE_UINT64, 1, -0.5));
    ER_CHECK(!er_is_below(unsigned_at, ERAI_DTYPE_UINT64, 1, 0) && !er_is_above(unsigned_at, ERAI_DTYPE_UINT64, 1, 0));
    ER_CHECK(er_is_above(unsigned_at, ERAI_DTYPE_UINT64, 2, 0x1p63));
    ER_CHECK(er_is_below(unsigned_at, ERAI_DTYPE_UINT64, 2, (double)INFINITY));
}

static void narrow_types_compare_in_float32(void) {
    const float values[] = {0.1f, NAN, -INFINITY};
    ER_CHECK(!er_is_above(values, ERAI_DTYPE_FLOAT32, 0, 0.1) && !er_is_below(values, ERAI_DTYPE_FLOAT32, 0, 0.1));
    ER_CHECK(!er_is_above(values, ERAI_DTYPE_FLOAT32, 1, 0) && !er_is_below(values, ERAI_DTYPE_FLOAT32, 1, 0));
    ER_CHECK(er_is_below(values, ERAI_DTYPE_FLOAT32, 2, -1e300) == 0); /* which is -infinity in float32 */
    const double wide[] = {(double)0.1f};
    ER_CHECK(er_is_above(wide, ERAI_DTYPE_FLOAT64, 0, 0.1));
}

static void missing_is_nan_or_what_the_rule_says(void) {
    const float values[] = {NAN, -999.9f, 0};
    const double sentinel[] = {-999.9}, great[] = {0x1p53}, beyond[] = {300}, half[] = {1.5};
    const erai_check_rule nan_rule = {.kind = ERAI_CHECK_MISSING};
    const erai_check_rule number_rule = {.kind = ERAI_CHECK_MISSING, .values = sentinel, .count = 1};
    ER_CHECK(er_is_missing(&nan_rule, values, ERAI_DTYPE_FLOAT32, 0));
    ER_CHECK(!er_is_missing(&nan_rule, values, ERAI_DTYPE_FLOAT32, 1));
    ER_CHECK(!er_is_missing(&number_rule, values, ERAI_DTYPE_FLOAT32, 0));
    ER_CHECK(er_is_missing(&number_rule, values, ERAI_DTYPE_FLOAT32, 1));
    ER_CHECK(!er_is_missing(&number_rule, values, ERAI_DTYPE_FLOAT32, 2));
    uint16_t halves[] = {0, 0};
    er_write(halves, ERAI_DTYPE_FLOAT16, 1, -999.9); /* -1000 */
    ER_CHECK(er_is_missing(&number_rule, halves, ERAI_DTYPE_FLOAT16, 1));
    ER_CHECK(!er_is_missing(&number_rule, halves, ERAI_DTYPE_FLOAT16, 0));
    const int64_t integers[] = {1ll << 53, (1ll << 53) + 1};
    const erai_check_rule great_rule = {.kind = ERAI_CHECK_MISSING, .values = great, .count = 1};
    ER_CHECK(er_is_missing(&great_rule, integers, ERAI_DTYPE_INT64, 0));
    ER_CHECK(!er_is_missing(&great_rule, integers, ERAI_DTYPE_INT64, 1));
    const uint8_t bytes[] = {255, 2, 1}; /* a number that the type does not have is none of them */
    const erai_check_rule beyond_rule = {.kind = ERAI_CHECK_MISSING, .values = beyond, .count = 1};
    const erai_check_rule half_rule = {.kind = ERAI_CHECK_MISSING, .values = half, .count = 1};
    ER_CHECK(!er_is_missing(&beyond_rule, bytes, ERAI_DTYPE_UINT8, 0));
    ER_CHECK(!er_is_missing(&half_rule, bytes, ERAI_DTYPE_UINT8, 1));
    ER_CHECK(!er_is_missing(&half_rule, bytes, ERAI_DTYPE_UINT8, 2));
}

int main(void) {
    ER_RUN(every_float16_is_read_exactly);
    ER_RUN(every_bfloat16_is_read_exactly);
    ER_RUN(writing_float16_rounds_to_nearest_even);
    ER_RUN(writing_bfloat16_rounds_to_nearest_even);
    ER_RUN(every_small_integer_is_read_as_itself);
    ER_RUN(wide_types_are_read_at_their_ends);
    ER_RUN(writing_integers_rounds_and_saturates);
    ER_RUN(integers_of_64_bits_compare_as_real_numbers);
    ER_RUN(narrow_types_compare_in_float32);
    ER_RUN(missing_is_nan_or_what_the_rule_says);
    return er_test_result();
}
