/* Fuzzes sketches of quantiles: the first half of the bytes and the second each as a sketch, and both as one. What
 * opens is written as it was read, asked, filled and merged, and stays a sketch. Build with -fsanitize=fuzzer, or with
 * replay.c to run a corpus. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "edge_rai.h"

#define VALUES 700
#define ASKED 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds) {
    if (!holds) abort();
}

static uint8_t *written(const erai_quantiles *sketch, size_t *size) {
    must(erai_quantiles_write(sketch, NULL, 0, size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(*size);
    must(bytes && erai_quantiles_write(sketch, bytes, *size, size, NULL) == ERAI_OK);
    return bytes;
}

/* Ranks rise, quantiles rise, and each has the rank that it was asked for at least. */
static void ask(const erai_quantiles *sketch) {
    const double ranks[ASKED] = {0, 0.001, 0.5, 0.999, 1};
    float values[ASKED] = {0};
    double found[ASKED] = {0};
    erai_quantiles_info info;
    erai_quantiles_read(sketch, &info);
    if (!info.n) {
        must(erai_quantiles_at(sketch, ranks, ASKED, values, NULL) == ERAI_E_ARGUMENT);
        return;
    }
    must(erai_quantiles_at(sketch, ranks, ASKED, values, NULL) == ERAI_OK);
    must(erai_quantiles_rank(sketch, values, ASKED, found, NULL) == ERAI_OK);
    must(values[0] == info.least && values[ASKED - 1] == info.greatest && found[ASKED - 1] == 1);
    for (int i = 1; i < ASKED; i++) must(values[i] >= values[i - 1] && found[i] >= found[i - 1]);
    for (int i = 1; i < ASKED - 1; i++) must(found[i] >= ranks[i]);
}

static void check_sound(const erai_quantiles *sketch, uint64_t n) {
    size_t size;
    uint8_t *bytes = written(sketch, &size);
    erai_quantiles *read = NULL;
    must(erai_quantiles_open_bytes(bytes, size, 1, &read, NULL) == ERAI_OK);
    erai_quantiles_info info;
    erai_quantiles_read(read, &info);
    must(info.n == n);
    erai_quantiles_close(read);
    free(bytes);
}

static erai_quantiles *open_bytes(const uint8_t *data, size_t size) {
    erai_quantiles *sketch = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    uint8_t *copy = malloc(size ? size : 1); /* ends where they end */
    if (!copy) return NULL;
    if (size) memcpy(copy, data, size);
    erai_status status = erai_quantiles_open_bytes(copy, size, 1, &sketch, detail);
    /* A failure without a sentence, or a success with one, is a fault as well. */
    must((status == ERAI_OK) == (sketch != NULL) && (status == ERAI_OK) == (detail[0] == '\0'));
    if (sketch) {
        size_t again;
        uint8_t *bytes = written(sketch, &again);
        must(again == size && memcmp(bytes, copy, size) == 0);
        free(bytes);
        ask(sketch);
    }
    free(copy);
    return sketch;
}

static uint64_t count_of(const erai_quantiles *sketch) {
    erai_quantiles_info info;
    erai_quantiles_read(sketch, &info);
    return info.n;
}

static void use(erai_quantiles *sketch, const erai_quantiles *other) {
    float values[VALUES];
    for (int i = 0; i < VALUES; i++) values[i] = (float)(i * 37 % VALUES);
    uint64_t n = count_of(sketch);
    int full = n > ERAI_QUANTILES_MOST - VALUES;
    must(erai_quantiles_add(sketch, values, VALUES, 1, NULL) == (full ? ERAI_E_SIZE : ERAI_OK));
    if (!full) n += VALUES;
    check_sound(sketch, n);
    if (!other) return;
    full = count_of(other) > ERAI_QUANTILES_MOST - n;
    must(erai_quantiles_merge(sketch, other, NULL) == (full ? ERAI_E_SIZE : ERAI_OK));
    if (!full) n += count_of(other);
    check_sound(sketch, n);
    ask(sketch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    erai_quantiles *whole = open_bytes(data, size), *one = open_bytes(data, size / 2),
                   *other = open_bytes(data + size / 2, size - size / 2);
    if (whole) use(whole, NULL);
    if (one) use(one, other);
    if (other) use(other, one);
    erai_quantiles_close(whole);
    erai_quantiles_close(one);
    erai_quantiles_close(other);
    return 0;
}
