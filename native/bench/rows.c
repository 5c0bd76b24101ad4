/* What models are measured with: rows of a file, a bundle's golden inputs, or random ones that the guard's references
 * and ranges describe. SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "file.h"
#include "npz.h"
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

/* Writes a number of that type; 0: the type has no such number, or is none that this writes. */
static int put(uint8_t *at, uint32_t dtype, double value) {
    enum { EXACT = 53 }; /* bits */
    const double most = (double)(INT64_C(1) << EXACT);
#define PUT(type, least, greatest)                        \
    do {                                                  \
        if (value < (least) || value > (greatest)) break; \
        type put_value = (type)value;                     \
        memcpy(at, &put_value, sizeof put_value);         \
        return 1;                                         \
    } while (0)
    if (isnan(value) && dtype != ERAI_DTYPE_FLOAT32 && dtype != ERAI_DTYPE_FLOAT64) return 0;
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: PUT(float, -(double)INFINITY, (double)INFINITY); break;
    case ERAI_DTYPE_FLOAT64: PUT(double, -(double)INFINITY, (double)INFINITY); break;
    case ERAI_DTYPE_INT8: PUT(int8_t, INT8_MIN, INT8_MAX); break;
    case ERAI_DTYPE_INT16: PUT(int16_t, INT16_MIN, INT16_MAX); break;
    case ERAI_DTYPE_INT32: PUT(int32_t, INT32_MIN, INT32_MAX); break;
    case ERAI_DTYPE_INT64: PUT(int64_t, -most, most); break;
    case ERAI_DTYPE_UINT8: PUT(uint8_t, 0, UINT8_MAX); break;
    case ERAI_DTYPE_UINT16: PUT(uint16_t, 0, UINT16_MAX); break;
    case ERAI_DTYPE_UINT32: PUT(uint32_t, 0, UINT32_MAX); break;
    case ERAI_DTYPE_UINT64: PUT(uint64_t, 0, most); break;
    case ERAI_DTYPE_BOOL: PUT(uint8_t, 0, 1); break;
    default: break;
    }
#undef PUT
    return 0;
}

/* Numbers of any type as those of the input's; what that would change is refused. */
static int convert(const bench_input *input, const bench_array *array, uint8_t *to) {
    size_t from = erai_dtype_size(array->dtype), size = erai_dtype_size(input->dtype);
    if (array->dtype == input->dtype) {
        memcpy(to, array->values, array->count * size);
        return 1;
    }
    for (size_t i = 0; i < array->count; i++) {
        double value = bench_npy_number(array->values + i * from, array->dtype);
        if (!put(to + i * size, input->dtype, value)) return 0;
        if (input->dtype != ERAI_DTYPE_FLOAT32 && bench_npy_number(to + i * size, input->dtype) != value) return 0;
    }
    return 1;
}

static int take_array(const char *path, const bench_array *array, bench_input *input, bench_rows *rows, char *detail) {
    if (!fits(input, rows->batched, array) || (rows->batched && rows->rows && rows->rows != array->shape[0]))
        return bench_fail(detail, UNSOUND, "%.200s does not hold rows of input %.100s: another shape, or no row", path,
                          input->name);
    memcpy(input->shape, array->shape, sizeof input->shape);
    input->data = bench_allocate(array->count, erai_dtype_size(input->dtype));
    if (!convert(input, array, input->data))
        return bench_fail(detail, UNSOUND, "%.200s holds values that input %.100s cannot have; expected its own type",
                          path, input->name);
    if (rows->batched) rows->rows = array->shape[0];
    return FINE;
}

/* The member of that name; NULL: the only one that holds no labels. */
static int find_array(const char *path, const uint8_t *bytes, size_t size, const char *wanted, const char *labels,
                      bench_array *array, char *detail) {
    char name[BENCH_MOST_NAME], why[ERAI_DETAIL_SIZE];
    const uint8_t *member, *found = NULL;
    size_t member_size, found_size = 0, others = 0;
    int code = FINE;
    for (size_t i = 0; !(code = bench_npz_member(bytes, size, i, name, &member, &member_size, why)); i++) {
        if (wanted ? strcmp(name, wanted) : labels && !strcmp(name, labels)) continue;
        others++;
        found = member;
        found_size = member_size;
    }
    if (code != MISSING) return bench_fail(detail, code, "%.200s: %.300s", path, why);
    if (others != 1) return MISSING;
    if (bench_npy_read(found, found_size, array, why)) return bench_fail(detail, UNSOUND, "%.200s: %.300s", path, why);
    return FINE;
}

static int take_arrays(const char *path, const uint8_t *bytes, size_t size, const char *labels, bench_rows *rows,
                       char *detail) {
    bench_input *only = only_input(rows);
    for (size_t i = 0; i < rows->count; i++) {
        bench_input *input = &rows->inputs[i];
        bench_array array;
        if (input->state) continue;
        int code = find_array(path, bytes, size, input->name, labels, &array, detail);
        if (code == MISSING && input == only) code = find_array(path, bytes, size, NULL, labels, &array, detail);
        if (code == MISSING)
            code = bench_fail(detail, UNSOUND, "%.200s has no array '%.100s'; expected one for each input", path,
                              input->name);
        if (!code) code = take_array(path, &array, input, rows, detail);
        if (code) return code;
    }
    return FINE;
}

static int take_values(const char *path, const uint8_t *bytes, size_t size, bench_rows *rows, char *detail) {
    bench_input *input = only_input(rows);
    bench_array array = {.values = bytes, .dtype = ERAI_DTYPE_FLOAT32};
    char why[ERAI_DETAIL_SIZE];
    if (!input)
        return bench_fail(detail, USAGE, "--data %.200s holds one array; expected a model with one input, or an .npz",
                          path);
    size_t length = strlen(path);
    if (!strcmp(path + length - 4, ".npy")) {
        if (bench_npy_read(bytes, size, &array, why)) return bench_fail(detail, UNSOUND, "%.200s: %s", path, why);
    } else if (!shape_of_bytes(input, rows->batched, size, &array)) {
        return bench_fail(detail, UNSOUND, "%.200s has %zu bytes; expected rows of %zu float32 values each", path, size,
                          per_row(input, rows->batched));
    }
    return take_array(path, &array, input, rows, detail);
}

int bench_rows_of_file(const erai_guard *guard, const char *path, const char *labels, bench_rows *rows, char *detail) {
    uint8_t *bytes = NULL;
    size_t size = 0, length = strlen(path);
    begin(guard, rows);
    if (rows->batched) rows->rows = 0; /* as the file says */
    int code = bench_file_read(path, &bytes, &size, detail);
    if (!code && !strcmp(path + length - 4, ".npz"))
        code = take_arrays(path, bytes, size, labels, rows, detail);
    else if (!code)
        code = take_values(path, bytes, size, rows, detail);
    free(bytes);
    return code;
}

int bench_labels_of_file(const char *path, const char *key, double **labels, size_t *count, char *detail) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    bench_array array;
    int code = bench_file_read(path, &bytes, &size, detail);
    if (!code) code = find_array(path, bytes, size, key, NULL, &array, detail);
    if (code == MISSING) code = bench_fail(detail, USAGE, "%.200s has no array '%.100s' for the labels", path, key);
    if (!code && array.rank != 1)
        code = bench_fail(detail, UNSOUND, "%.200s: the labels have %u axes; expected one label a row", path,
                          (unsigned)array.rank);
    if (!code) {
        *count = array.count;
        *labels = bench_allocate(array.count, sizeof **labels);
        for (size_t i = 0; i < array.count; i++)
            (*labels)[i] = bench_npy_number(array.values + i * erai_dtype_size(array.dtype), array.dtype);
    }
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

/* As a number that the type has: whole ones stay small, which every type but the unsigned ones holds. */
static double of_type(uint32_t dtype, double value) {
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32:
    case ERAI_DTYPE_FLOAT64: return value;
    case ERAI_DTYPE_BOOL: return value > 0;
    case ERAI_DTYPE_INT8:
    case ERAI_DTYPE_INT16:
    case ERAI_DTYPE_INT32:
    case ERAI_DTYPE_INT64: return fmin(fmax(value, -100), 100);
    default: return fmin(fmax(value, 0), 100);
    }
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
        double value = of_type(input->dtype, value_of(guard, feature, random));
        if (!put(input->data + i * size, input->dtype, value)) return 0;
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
                              rows->inputs[i].dtype == ERAI_DTYPE_STRING
                                  ? "input %.100s holds strings, and erai-bench gives numbers alone; measure it with "
                                    "edge-rai bench"
                                  : "input %.100s is of a type that no random rows are made of; expected rows of that "
                                    "type (--data), or a bundle, which has golden inputs",
                              rows->inputs[i].name);
        feature += rule.feature_count;
    }
    return FINE;
}
