/* What models are measured with: rows of a file, a bundle's golden inputs, or random ones that the guard's references
 * and ranges describe. SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "file.h"
#include "npy.h"
#include "random.h"

enum { CHANCE_ROWS = 256, MOST_VALUES = 1 << 18 };

/* The guard's inputs, without rows. */
static void begin(const erai_guard *guard, bench_rows *rows) {
    erai_state_rule state = {.struct_size = sizeof state};
    *rows = (bench_rows){.count = erai_guard_inputs(guard), .batched = erai_guard_batched(guard), .rows = 1};
    rows->inputs = bench_allocate(rows->count, sizeof *rows->inputs);
    for (size_t i = 0; i < rows->count; i++) {
        erai_input_rule rule = {.struct_size = sizeof rule};
        bench_input *input = &rows->inputs[i];
        if (erai_guard_input(guard, i, &rule)) continue;
        input->name = rule.name;
        input->rank = rule.rank;
        input->dtype = rule.dtype;
        memcpy(input->shape, rule.shape, rule.rank * sizeof *rule.shape);
        for (size_t s = 0; !erai_guard_state(guard, s, &state); s++) input->state |= !strcmp(state.input, rule.name);
    }
}

/* Elements of a row, or of the call where that is one; free axes count as one. */
static size_t per_row(const bench_input *input, int batched) {
    size_t count = 1;
    for (uint32_t i = batched ? 1 : 0; i < input->rank; i++) count *= input->shape[i] > 0 ? (size_t)input->shape[i] : 1;
    return count;
}

void bench_rows_free(bench_rows *rows) {
    for (size_t i = 0; i < rows->count; i++) free(rows->inputs[i].data);
    free(rows->inputs);
    *rows = (bench_rows){0};
}

/* ---- Of a file ----------------------------------------------------------------------------------------------------
 */

/* The one input that callers give; NULL: there are more, or none. */
static bench_input *only_input(bench_rows *rows) {
    bench_input *found = NULL;
    for (size_t i = 0; i < rows->count; i++)
        if (!rows->inputs[i].state) {
            if (found) return NULL;
            found = &rows->inputs[i];
        }
    return found;
}

/* The shape of values that came without one: as many rows as they make. */
static int shape_of_bytes(const bench_input *input, int batched, size_t size, bench_array *array) {
    size_t row = per_row(input, batched) * sizeof(float);
    if (size % row || !size || (!batched && size != row)) return 0;
    array->rank = input->rank;
    array->count = size / sizeof(float);
    memcpy(array->shape, input->shape, input->rank * sizeof *input->shape);
    for (uint32_t i = 0; i < input->rank; i++)
        if (array->shape[i] < 0) array->shape[i] = 1;
    if (batched) array->shape[0] = (int64_t)(size / row);
    return 1;
}

static int fits(const bench_input *input, int batched, const bench_array *array) {
    if (array->rank != input->rank || !array->count) return 0;
    for (uint32_t i = batched ? 1 : 0; i < input->rank; i++)
        if (input->shape[i] >= 0 && input->shape[i] != array->shape[i]) return 0;
    return 1;
}

static int take_values(const char *path, const uint8_t *bytes, size_t size, bench_rows *rows, char *detail) {
    bench_input *input = only_input(rows);
    bench_array array = {.values = bytes};
    char why[ERAI_DETAIL_SIZE];
    if (!input || input->dtype != ERAI_DTYPE_FLOAT32)
        return bench_fail(detail, USAGE,
                          "--data %.200s holds one float32 array; expected a model with one float32 input", path);
    size_t length = strlen(path);
    if (!strcmp(path + length - 4, ".npy")) {
        if (bench_npy_read(bytes, size, &array, why)) return bench_fail(detail, UNSOUND, "%.200s: %s", path, why);
    } else if (!shape_of_bytes(input, rows->batched, size, &array)) {
        return bench_fail(detail, UNSOUND, "%.200s has %zu bytes; expected rows of %zu float32 values each", path, size,
                          per_row(input, rows->batched));
    }
    if (!fits(input, rows->batched, &array))
        return bench_fail(detail, UNSOUND, "%.200s does not hold rows of input %.100s: another shape, or no row", path,
                          input->name);
    memcpy(input->shape, array.shape, sizeof input->shape);
    input->data = bench_allocate(array.count, sizeof(float));
    memcpy(input->data, array.values, array.count * sizeof(float));
    if (rows->batched) rows->rows = array.shape[0];
    return FINE;
}

int bench_rows_of_file(const erai_guard *guard, const char *path, bench_rows *rows, char *detail) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    begin(guard, rows);
    int code = bench_file_read(path, &bytes, &size, detail);
    if (!code) code = take_values(path, bytes, size, rows, detail);
    free(bytes);
    return code;
}

/* ---- Golden -------------------------------------------------------------------------------------------------------
 */

static int file_of(const erai_bundle *bundle, bench_text path, const uint8_t **data, size_t *size) {
    const char *name;
    for (size_t i = 0; !erai_bundle_file(bundle, i, &name, data, size); i++)
        if (bench_text_is(path, name)) return 1;
    return 0;
}

static int take_golden(const bench_golden *golden, const erai_bundle *bundle, int batched, bench_input *input) {
    const uint8_t *data;
    size_t size = 0, needed = erai_dtype_size(input->dtype);
    if (golden->rank != input->rank || input->dtype == ERAI_DTYPE_STRING) return 0;
    if (!file_of(bundle, golden->path, &data, &size)) return 0;
    for (uint32_t i = 0; i < golden->rank; i++) {
        if (golden->shape[i] <= 0 || (uint64_t)golden->shape[i] > size) return 0;
        if (needed > size / (size_t)golden->shape[i]) return 0;
        needed *= (size_t)golden->shape[i];
        if ((i || !batched) && input->shape[i] >= 0 && input->shape[i] != golden->shape[i]) return 0;
    }
    if (needed != size) return 0;
    memcpy(input->shape, golden->shape, sizeof input->shape);
    input->data = bench_allocate(size, 1);
    memcpy(input->data, data, size);
    return 1;
}

int bench_rows_of_golden(const erai_guard *guard, const erai_bundle *bundle, const bench_manifest *manifest,
                         bench_rows *rows) {
    begin(guard, rows);
    rows->rows = 0;
    for (size_t i = 0; i < rows->count; i++) {
        bench_input *input = &rows->inputs[i];
        int taken = input->state;
        for (size_t g = 0; g < manifest->golden_count && !taken; g++)
            if (bench_text_is(manifest->golden[g].name, input->name))
                taken = take_golden(&manifest->golden[g], bundle, rows->batched, input);
        if (!taken) return UNSOUND;
        if (input->state) continue;
        int64_t count = rows->batched && input->rank ? input->shape[0] : 1;
        if (rows->rows && rows->rows != count) return UNSOUND;
        rows->rows = count;
    }
    return rows->rows ? FINE : UNSOUND;
}

/* ---- Random -------------------------------------------------------------------------------------------------------
 */

/* A value that a feature may have, as far as its rules say. */
static double value_of(const erai_guard *guard, size_t feature, bench_random *random) {
    erai_feature_rule rule = {.struct_size = sizeof rule};
    erai_check_rule check = {.struct_size = sizeof check};
    if (erai_guard_feature(guard, feature, &rule)) return bench_random_normal(random);
    double value = bench_random_normal(random);
    if (rule.bins)
        value = rule.mean + rule.stddev * value;
    else if (isfinite(rule.low) && isfinite(rule.high))
        value = rule.low + (rule.high - rule.low) * bench_random_share(random);
    value = fmin(fmax(value, rule.low), rule.high);
    for (size_t c = 0; c < rule.checks && !erai_guard_check(guard, 0, feature, c, &check); c++) {
        if (check.kind == ERAI_CHECK_CATEGORIES && check.count && check.values)
            value = check.values[(size_t)(bench_random_share(random) * check.count)];
        if (check.kind == ERAI_CHECK_INTEGRAL) value = floor(value) < rule.low ? ceil(value) : floor(value);
    }
    return value;
}

/* Writes a number of that type; 0: a type that no random number is made of. */
static int put(uint8_t *at, uint32_t dtype, double value) {
#define PUT(type)                                 \
    do {                                          \
        type put_value = (type)value;             \
        memcpy(at, &put_value, sizeof put_value); \
        return 1;                                 \
    } while (0)
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: PUT(float);
    case ERAI_DTYPE_FLOAT64: PUT(double);
    default: break;
    }
    value = fmin(fmax(value, -100), 100); /* that every whole type but the unsigned ones holds */
    switch (dtype) {
    case ERAI_DTYPE_INT8: PUT(int8_t);
    case ERAI_DTYPE_INT16: PUT(int16_t);
    case ERAI_DTYPE_INT32: PUT(int32_t);
    case ERAI_DTYPE_INT64: PUT(int64_t);
    default: break;
    }
    value = fmax(value, 0);
    switch (dtype) {
    case ERAI_DTYPE_UINT8: PUT(uint8_t);
    case ERAI_DTYPE_UINT16: PUT(uint16_t);
    case ERAI_DTYPE_UINT32: PUT(uint32_t);
    case ERAI_DTYPE_UINT64: PUT(uint64_t);
    case ERAI_DTYPE_BOOL: value = value > 0; PUT(uint8_t);
    default: return 0;
    }
#undef PUT
}

static int fill(const erai_guard *guard, const bench_rows *rows, bench_input *input, const erai_input_rule *rule,
                size_t first_feature, bench_random *random) {
    size_t size = erai_dtype_size(input->dtype), row = per_row(input, rows->batched), inner = 1, extent = 1;
    for (uint32_t i = 0; i < input->rank; i++)
        if (input->shape[i] < 0) input->shape[i] = 1;
    if (rows->batched && input->rank) input->shape[0] = rows->rows;
    if (rule->feature_axis >= 0) {
        extent = (size_t)input->shape[rule->feature_axis];
        for (uint32_t i = (uint32_t)rule->feature_axis + 1; i < input->rank; i++) inner *= (size_t)input->shape[i];
    }
    input->data = bench_allocate((size_t)rows->rows * row, size ? size : 1);
    for (size_t i = 0; i < (size_t)rows->rows * row; i++) {
        size_t feature = first_feature + i % row / inner % extent;
        if (!put(input->data + i * size, input->dtype, value_of(guard, feature, random))) return 0;
    }
    return 1;
}

int bench_rows_of_chance(const erai_guard *guard, uint64_t seed, bench_rows *rows, char *detail) {
    bench_random random = {seed};
    size_t feature = 0, widest = 1;
    begin(guard, rows);
    for (size_t i = 0; i < rows->count; i++) {
        size_t row = per_row(&rows->inputs[i], rows->batched);
        if (row > widest) widest = row;
    }
    if (rows->batched) rows->rows = widest > MOST_VALUES / CHANCE_ROWS ? 1 : CHANCE_ROWS;
    for (size_t i = 0; i < rows->count; i++) {
        erai_input_rule rule = {.struct_size = sizeof rule};
        if (erai_guard_input(guard, i, &rule)) continue;
        if (!rows->inputs[i].state && !fill(guard, rows, &rows->inputs[i], &rule, feature, &random))
            return bench_fail(detail, USAGE,
                              "input %.100s is of a type that no random rows are made of; expected a bundle, which has "
                              "golden inputs",
                              rows->inputs[i].name);
        feature += rule.feature_count;
    }
    return FINE;
}
