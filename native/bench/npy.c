/* Arrays of numbers in numpy's .npy form (numpy/lib/format.py: "\x93NUMPY", version, length of the header, and the
 * header, a dictionary as Python writes it, with the keys descr, fortran_order and shape). SPDX-License-Identifier:
 * Apache-2.0
 */
#include "npy.h"

#include <math.h>
#include <string.h>

#include "failure.h"

enum { MAGIC = 6 };

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static void skip_blanks(cursor *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n')) text->at++;
}

/* Whether these characters come next, blanks aside; they are passed. */
static int passes(cursor *text, const char *expected) {
    size_t length = strlen(expected);
    skip_blanks(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, expected, length)) return 0;
    text->at += length;
    return 1;
}

static int extent(cursor *text, int64_t *value) {
    skip_blanks(text);
    const uint8_t *first = text->at;
    *value = 0;
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
        if (*value > (INT64_MAX - 9) / 10) return 0;
        *value = *value * 10 + (*text->at - '0');
    }
    return text->at > first;
}

/* "()", "(3,)" or "(3, 4)". */
static int shape_of(cursor *text, bench_array *array) {
    if (!passes(text, "(")) return 0;
    array->rank = 0;
    while (!passes(text, ")")) {
        if (array->rank == ERAI_MAX_RANK || !extent(text, &array->shape[array->rank])) return 0;
        array->rank++;
        if (!passes(text, ",")) return array->rank > 1 && passes(text, ")");
    }
    return 1;
}

/* A type as numpy writes it, 0 for one that is not read. */
static uint32_t type_of(cursor *text) {
    static const struct {
        const char *name;
        uint32_t dtype;
    } types[] = {{"'<f2'", ERAI_DTYPE_FLOAT16}, {"'<f4'", ERAI_DTYPE_FLOAT32}, {"'<f8'", ERAI_DTYPE_FLOAT64},
                 {"'|b1'", ERAI_DTYPE_BOOL},    {"'|i1'", ERAI_DTYPE_INT8},    {"'<i2'", ERAI_DTYPE_INT16},
                 {"'<i4'", ERAI_DTYPE_INT32},   {"'<i8'", ERAI_DTYPE_INT64},   {"'|u1'", ERAI_DTYPE_UINT8},
                 {"'<u2'", ERAI_DTYPE_UINT16},  {"'<u4'", ERAI_DTYPE_UINT32},  {"'<u8'", ERAI_DTYPE_UINT64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (passes(text, types[i].name)) return types[i].dtype;
    return 0;
}

static int header_read(cursor text, bench_array *array, char *detail) {
    int order = 0, shape = 0;
    if (!passes(&text, "{")) return bench_fail(detail, UNSOUND, "its header is not that of an .npy file");
    while (!passes(&text, "}")) {
        if (passes(&text, "'descr':")) {
            if (array->dtype || !(array->dtype = type_of(&text)))
                return bench_fail(detail, UNSOUND, "it does not hold numbers; expected an array of type float32");
        } else if (passes(&text, "'fortran_order':")) {
            if (order++ || !passes(&text, "False"))
                return bench_fail(detail, UNSOUND,
                                  "it is in Fortran's order; expected C order (numpy.ascontiguousarray)");
        } else if (passes(&text, "'shape':")) {
            if (shape++ || !shape_of(&text, array))
                return bench_fail(detail, UNSOUND, "its shape cannot be read; expected at most %d extents",
                                  ERAI_MAX_RANK);
        } else {
            return bench_fail(detail, UNSOUND, "its header is not that of an .npy file");
        }
        passes(&text, ",");
    }
    skip_blanks(&text);
    if (!array->dtype || !order || !shape || text.at < text.end)
        return bench_fail(detail, UNSOUND, "its header is not that of an .npy file");
    return FINE;
}

/* The product of the extents; 0 where it is more than memory could hold. */
static int product(bench_array *array) {
    size_t count = 1, value = erai_dtype_size(array->dtype);
    for (uint32_t i = 0; i < array->rank; i++)
        if (!array->shape[i]) {
            array->count = 0;
            return 1;
        }
    for (uint32_t i = 0; i < array->rank; i++) {
        if ((uint64_t)array->shape[i] > SIZE_MAX / value / count) return 0;
        count *= (size_t)array->shape[i];
    }
    array->count = count;
    return 1;
}

int bench_npy_read(const uint8_t *bytes, size_t size, bench_array *array, char *detail) {
    *array = (bench_array){0};
    if (size < MAGIC + 2 || memcmp(bytes, "\x93NUMPY", MAGIC))
        return bench_fail(detail, UNSOUND, "it is no .npy file; expected one that numpy.save wrote");
    size_t field = bytes[MAGIC] == 1 ? 2 : 4, first = MAGIC + 2 + field, length = 0;
    if (bytes[MAGIC] < 1 || bytes[MAGIC] > 3)
        return bench_fail(detail, UNSOUND, "it is of version %d of .npy; expected 1 to 3", bytes[MAGIC]);
    if (size < first) return bench_fail(detail, UNSOUND, "it ends within its header");
    for (size_t i = field; i-- > 0;) length = length << 8 | bytes[MAGIC + 2 + i];
    if (length > size - first) return bench_fail(detail, UNSOUND, "it ends within its header");
    int code = header_read((cursor){bytes + first, bytes + first + length}, array, detail);
    if (code) return code;
    size_t rest = size - first - length, value = erai_dtype_size(array->dtype);
    if (!product(array) || array->count != rest / value || rest % value)
        return bench_fail(detail, UNSOUND, "it has %zu bytes of values, which is not what its shape asks for", rest);
    array->values = bytes + first + length;
    return FINE;
}

/* IEEE 754's binary16. */
static double of_half(const uint8_t *at) {
    int bits = at[0] | at[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                   : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                  : ldexp(fraction, -24);
    return bits >> 15 ? -value : value;
}

double bench_npy_number(const uint8_t *at, uint32_t dtype) {
#define NUMBER(type)                        \
    do {                                    \
        type number;                        \
        memcpy(&number, at, sizeof number); \
        return (double)number;              \
    } while (0)
    switch (dtype) {
    case ERAI_DTYPE_FLOAT16: return of_half(at);
    case ERAI_DTYPE_FLOAT32: NUMBER(float);
    case ERAI_DTYPE_FLOAT64: NUMBER(double);
    case ERAI_DTYPE_INT8: NUMBER(int8_t);
    case ERAI_DTYPE_INT16: NUMBER(int16_t);
    case ERAI_DTYPE_INT32: NUMBER(int32_t);
    case ERAI_DTYPE_INT64: NUMBER(int64_t);
    case ERAI_DTYPE_UINT16: NUMBER(uint16_t);
    case ERAI_DTYPE_UINT32: NUMBER(uint32_t);
    case ERAI_DTYPE_UINT64: NUMBER(uint64_t);
    default: return *at;
    }
#undef NUMBER
}
