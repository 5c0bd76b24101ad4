/* See tensor_set.h. SPDX-License-Identifier: Apache-2.0 */
#include "tensor_set.h"

#include <stdlib.h>
#include <string.h>

#include "program.h"

static void must(int holds) {
    if (!holds) abort();
}

uint32_t fuzz_take(fuzz_bytes *bytes, uint32_t below) {
    uint32_t value = 0;
    for (uint32_t most = 1; most < below && bytes->left > 0; most *= 256, bytes->left--)
        value = value << 8 | *bytes->at++;
    return value % below;
}

void tensor_set_free(tensor_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        for (size_t k = 0; k < set->strings[i]; k++) free((void *)(uintptr_t)((erai_string *)set->data[i])[k].bytes);
        free(set->data[i]);
    }
}

/* Gives a shape or type that the rule does not have, or, rarely, has. */
static void distort(fuzz_bytes *bytes, int64_t *shape, erai_tensor *tensor) {
    static const int64_t extents[] = {0,
                                      -1,
                                      INT64_MIN,
                                      INT64_MAX,
                                      1,
                                      2,
                                      UINT16_MAX,
                                      INT32_MAX,
                                      (int64_t)1 << 32,
                                      ((int64_t)1 << 32) + 1,
                                      INT64_MAX / 4};
    uint32_t what = fuzz_take(bytes, 8);
    if (what & 1) shape[fuzz_take(bytes, FUZZ_MOST_AXES)] = extents[fuzz_take(bytes, sizeof extents / sizeof *extents)];
    if (what & 2) tensor->dtype = fuzz_take(bytes, 32);
    if (what & 4) tensor->rank = fuzz_take(bytes, FUZZ_MOST_AXES + 1);
}

/* Bytes that the shape claims; 0 when they are more than FUZZ_MOST_BYTES. */
static int claimed(const erai_tensor *tensor, size_t *size) {
    *size = erai_dtype_size(tensor->dtype);
    int fits = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 1) {
            *size = 0; /* no value, whatever the other extents */
            return 1;
        }
        fits = fits && (uint64_t)tensor->shape[i] <= FUZZ_MOST_BYTES / (*size ? *size : 1);
        *size *= fits ? (size_t)tensor->shape[i] : 1;
    }
    return fits;
}

/* Memory as large as the shape says, holding some of the bytes over and over; NULL for none. */
static void *fill(fuzz_bytes *bytes, size_t size) {
    uint8_t *data = size ? calloc(size, 1) : NULL;
    must(data || !size);
    size_t period = fuzz_take(bytes, 256);
    if (period > bytes->left) period = bytes->left;
    for (size_t i = 0; period && i < size; i++) data[i] = bytes->at[i % period];
    bytes->at += period;
    bytes->left -= period;
    return data;
}

erai_string fuzz_take_string(fuzz_bytes *bytes, uint32_t most) {
    size_t size = fuzz_take(bytes, most + 1);
    if (size > bytes->left) size = bytes->left;
    char *text = size ? malloc(size) : NULL;
    must(!size || text);
    if (size) memcpy(text, bytes->at, size);
    bytes->at += size;
    bytes->left -= size;
    return (erai_string){.bytes = text, .size = size};
}

static void *fill_strings(fuzz_bytes *bytes, size_t count) {
    erai_string *strings = count ? calloc(count, sizeof *strings) : NULL;
    must(strings || !count);
    for (size_t i = 0; i < count; i++) strings[i] = fuzz_take_string(bytes, 31);
    return strings;
}

/* Whether the rule's type, rank and extents are those of the tensor, so that its values may be read. */
static int fits_rule(const erai_input_rule *rule, const erai_tensor *tensor) {
    int64_t least = rule->flags & ERAI_RULE_EMPTY ? 0 : 1;
    int any = rule->flags & ERAI_RULE_ANY_RANK ? 1 : 0;
    if (tensor->dtype != rule->dtype || (any ? tensor->rank > ERAI_MAX_RANK : tensor->rank != rule->rank)) return 0;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        int64_t extent = tensor->shape[i];
        int is_free = any || rule->shape[i] < 0;
        int64_t most = any ? INT32_MAX : rule->max_shape[i];
        if (is_free ? extent < least || extent > most : extent != rule->shape[i]) return 0;
    }
    return 1;
}

/* A tensor of the rule's type and rank; its first free extent is `rows` (-1: none are counted), others are small. */
static void shape_tensor(fuzz_bytes *bytes, tensor_set *set, const int64_t *shape, uint32_t rank, uint32_t dtype,
                         int64_t rows) {
    int64_t *mine = set->shapes[set->count];
    erai_tensor *tensor = &set->tensors[set->count];
    *tensor = (erai_tensor){.shape = mine, .rank = rank, .dtype = dtype};
    for (uint32_t i = 0; i < FUZZ_MOST_AXES; i++) mine[i] = 1;
    for (uint32_t i = 0; i < rank; i++) {
        mine[i] = shape[i] >= 0 ? shape[i] : rows >= 0 ? rows : 1 + (int64_t)fuzz_take(bytes, 5);
        if (shape[i] < 0) rows = -1;
    }
    if (fuzz_take(bytes, 8) == 7) distort(bytes, mine, tensor);
}

/* `dtype`: of the rule. */
static void give_values(fuzz_bytes *bytes, tensor_set *set, uint32_t dtype, size_t size) {
    erai_tensor *tensor = &set->tensors[set->count];
    int is_text = dtype == ERAI_DTYPE_STRING && tensor->dtype == ERAI_DTYPE_STRING;
    set->strings[set->count] = is_text ? size / sizeof(erai_string) : 0;
    tensor->data = set->data[set->count] =
        is_text ? fill_strings(bytes, size / sizeof(erai_string)) : fill(bytes, size);
    set->count++;
}

int tensor_set_inputs(const erai_guard *guard, fuzz_bytes *bytes, int64_t rows, tensor_set *set) {
    int all_fit = 1;
    for (size_t i = 0; i < erai_guard_inputs(guard); i++) {
        erai_input_rule rule;
        size_t size;
        must(erai_guard_input(guard, i, &rule) == ERAI_OK);
        if (fuzz_is_state(guard, i)) continue;
        uint32_t rank = rule.flags & ERAI_RULE_ANY_RANK ? fuzz_take(bytes, ERAI_MAX_RANK + 1) : rule.rank;
        shape_tensor(bytes, set, rule.shape, rank, rule.dtype, rows);
        const erai_tensor *tensor = &set->tensors[set->count];
        int fits = fits_rule(&rule, tensor), held = claimed(tensor, &size);
        if (!held && rule.flags & ERAI_RULE_ANY_RANK) { /* which allows more than FUZZ_MOST_BYTES: no such tensor */
            set->shapes[set->count][0] = 0;
            fits = fits_rule(&rule, tensor);
            held = claimed(tensor, &size);
        }
        must(held || !fits); /* else the program allows more than FUZZ_MOST_BYTES */
        give_values(bytes, set, rule.dtype, held ? size : 0);
        all_fit = all_fit && fits && (rows < 0 || tensor->shape[0] == set->tensors[0].shape[0]);
    }
    return all_fit;
}

void tensor_set_outputs(const erai_guard *guard, fuzz_bytes *bytes, int64_t rows, tensor_set *set) {
    for (size_t i = 0; i < erai_guard_outputs(guard); i++) {
        erai_output_rule rule;
        size_t size;
        must(erai_guard_output(guard, i, &rule) == ERAI_OK);
        shape_tensor(bytes, set, rule.shape, rule.rank, rule.dtype, rows);
        int held = claimed(&set->tensors[i], &size);
        if (!held && set->tensors[i].dtype == rule.dtype) set->tensors[i].dtype = rule.dtype ? 0 : ERAI_DTYPE_BOOL;
        give_values(bytes, set, rule.dtype, held ? size : 0);
    }
}

void tensor_read(const erai_tensor *tensor) {
    volatile uint8_t sum = 0;
    size_t size = erai_dtype_size(tensor->dtype);
    for (uint32_t axis = 0; axis < tensor->rank; axis++) size *= (size_t)tensor->shape[axis];
    for (size_t at = 0; at < size; at++) sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[at]);
    if (tensor->dtype != ERAI_DTYPE_STRING) return;
    const erai_string *strings = tensor->data;
    for (size_t i = 0; i < size / sizeof *strings; i++)
        for (size_t at = 0; at < strings[i].size; at++) sum = (uint8_t)(sum + (uint8_t)strings[i].bytes[at]);
}
