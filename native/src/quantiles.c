/* Sketches of quantiles as an application has them: kll.h in memory of its own, and the questions to it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kll.h"

#include "sha256.h"
#include "status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct erai_quantiles {
    er_kll kll;
    float memory[];
};

/* ---- Opening ---- */

static erai_quantiles *make(uint32_t k, uint64_t seed) {
    size_t slots = er_kll_slots(k);
    erai_quantiles *sketch = malloc(sizeof *sketch + 2 * slots * sizeof *sketch->memory);
    if (sketch) er_kll_init(&sketch->kll, k, seed, sketch->memory, sketch->memory + slots);
    return sketch;
}

erai_status erai_quantiles_open(uint32_t k, uint64_t seed, erai_quantiles **sketch, char *detail) {
    if (!sketch) return er_fail(detail, ERAI_E_ARGUMENT, "a pointer for the sketch is NULL");
    if (k < ERAI_QUANTILES_LEAST_K || k > ERAI_QUANTILES_MOST_K)
        return er_fail(detail, ERAI_E_ARGUMENT, "k is %u; expected %u to %u, of which 200 is usual", (unsigned)k,
                       ERAI_QUANTILES_LEAST_K, ERAI_QUANTILES_MOST_K);
    erai_quantiles *made = make(k, seed);
    if (!made) return er_fail(detail, ERAI_E_MEMORY, "out of memory for a sketch of quantiles with k %u", (unsigned)k);
    *sketch = made;
    return ERAI_OK;
}

erai_status erai_quantiles_open_bytes(const uint8_t *bytes, size_t size, uint64_t seed, erai_quantiles **sketch,
                                      char *detail) {
    if (!bytes || !sketch) return er_fail(detail, ERAI_E_ARGUMENT, "the bytes or a pointer for the sketch is NULL");
    uint32_t k;
    erai_status status = er_kll_check(bytes, size, &k, detail);
    if (!status) status = erai_quantiles_open(k, seed, sketch, detail);
    if (!status) er_kll_load(&(*sketch)->kll, bytes, size);
    return status;
}

uint64_t erai_quantiles_seed(const char *device, const char *feature, uint64_t window) {
    static const uint8_t key[ERAI_DIGEST_SIZE] = {0};
    uint8_t digest[ERAI_DIGEST_SIZE], bytes[sizeof window];
    uint64_t seed = 0;
    er_hmac hmac;
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(window >> 8 * i);
    er_hmac_begin(&hmac, key);
    er_hmac_add(&hmac, device, strlen(device) + 1);
    er_hmac_add(&hmac, feature, strlen(feature) + 1);
    er_hmac_add(&hmac, bytes, sizeof bytes);
    er_hmac_end(&hmac, digest);
    for (unsigned i = 0; i < sizeof seed; i++) seed |= (uint64_t)digest[i] << 8 * i;
    return seed;
}

void erai_quantiles_close(erai_quantiles *sketch) {
    free(sketch);
}

void er_quantiles_copy(erai_quantiles *sketch, const er_kll *kll) {
    float *items = sketch->kll.items, *scratch = sketch->kll.scratch;
    memcpy(items, kll->items, kll->slots * sizeof *items);
    sketch->kll = *kll;
    sketch->kll.items = items;
    sketch->kll.scratch = scratch;
}

/* ---- Filling ---- */

static erai_status too_many(char *detail) {
    return er_fail(detail, ERAI_E_SIZE, "a sketch of quantiles takes at most 2^50 - 1 values; begin another one");
}

erai_status erai_quantiles_add(erai_quantiles *sketch, const float *values, size_t count, size_t stride, char *detail) {
    if (!sketch || (count && !values)) return er_fail(detail, ERAI_E_ARGUMENT, "the sketch or the values are NULL");
    if (count > ERAI_QUANTILES_MOST - sketch->kll.n) return too_many(detail);
    er_kll_add(&sketch->kll, values, count, stride);
    return ERAI_OK;
}

erai_status erai_quantiles_merge(erai_quantiles *sketch, const erai_quantiles *other, char *detail) {
    if (!sketch || !other || sketch == other)
        return er_fail(detail, ERAI_E_ARGUMENT, "a sketch of quantiles is merged with another one, not with %s",
                       sketch == other && sketch ? "itself" : "NULL");
    erai_status status = er_kll_merge(&sketch->kll, &other->kll);
    if (status == ERAI_E_SIZE) return too_many(detail);
    return status ? er_fail(detail, status, "out of memory for a merge of two sketches of quantiles") : ERAI_OK;
}

erai_status erai_quantiles_write(const erai_quantiles *sketch, uint8_t *buffer, size_t capacity, size_t *size,
                                 char *detail) {
    if (!sketch || !size || (capacity && !buffer))
        return er_fail(detail, ERAI_E_ARGUMENT, "the sketch, the buffer or a pointer for its size is NULL");
    er_writer out = {0};
    erai_status status = er_kll_write(&sketch->kll, &out);
    if (status)
        er_fail(detail, status, "out of memory for the bytes of a sketch of quantiles");
    else {
        *size = out.size;
        if (out.size > capacity)
            status = er_fail(detail, ERAI_E_SIZE, "the sketch needs %zu bytes; the buffer has %zu", out.size, capacity);
        else
            memcpy(buffer, out.data, out.size);
    }
    free(out.data);
    return status;
}

/* ---- Asking ---- */

void erai_quantiles_read(const erai_quantiles *sketch, erai_quantiles_info *info) {
    const er_kll *kll = &sketch->kll;
    float least, greatest;
    er_kll_range(kll, &least, &greatest);
    /* Of one rank, and of the share between two, with 99 % confidence: fits of the DataSketches project's. */
    *info = (erai_quantiles_info){.struct_size = sizeof *info,
                                  .n = kll->n,
                                  .nan = kll->nan,
                                  .rank_error = 2.296 / pow((double)kll->min_k, 0.9723),
                                  .least = kll->n ? least : NAN,
                                  .greatest = kll->n ? greatest : NAN,
                                  .k = kll->k,
                                  .min_k = kll->min_k,
                                  .kept = kll->slots - kll->begin[0]};
}

typedef struct weighted {
    uint64_t weight; /* of this and all that are before it */
    float value;
} weighted;

static int rising(const void *one, const void *other) {
    float a = ((const weighted *)one)->value, b = ((const weighted *)other)->value;
    return (a > b) - (a < b);
}

/* What is kept in order, in memory that the caller frees. */
static erai_status in_order(const erai_quantiles *sketch, weighted **entries, size_t *count, char *detail) {
    const er_kll *kll = &sketch->kll;
    *count = kll->slots - kll->begin[0];
    if (!*count) return er_fail(detail, ERAI_E_ARGUMENT, "a sketch of quantiles without a value has no ranks");
    *entries = malloc(*count * sizeof **entries);
    if (!*entries) return er_fail(detail, ERAI_E_MEMORY, "out of memory for a question to a sketch of quantiles");
    weighted *entry = *entries;
    for (unsigned level = 0; level < kll->levels; level++)
        for (uint32_t i = kll->begin[level]; i < kll->begin[level + 1]; i++)
            *entry++ = (weighted){.weight = (uint64_t)1 << level, .value = kll->items[i]};
    qsort(*entries, *count, sizeof **entries, rising);
    for (size_t i = 1; i < *count; i++) (*entries)[i].weight += (*entries)[i - 1].weight;
    return ERAI_OK;
}

/* The first entry that has at least this weight; the last one has. */
static size_t by_weight(const weighted *entries, size_t count, uint64_t weight) {
    size_t low = 0, high = count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].weight < weight)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many entries have no greater value. */
static size_t by_value(const weighted *entries, size_t count, float value) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].value <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

erai_status erai_quantiles_at(const erai_quantiles *sketch, const double *ranks, size_t count, float *values,
                              char *detail) {
    if (!sketch || (count && (!ranks || !values)))
        return er_fail(detail, ERAI_E_ARGUMENT, "the sketch, the ranks or room for values is NULL");
    for (size_t i = 0; i < count; i++)
        if (!(ranks[i] >= 0 && ranks[i] <= 1))
            return er_fail(detail, ERAI_E_ARGUMENT, "rank %zu is %g; expected 0 to 1", i, ranks[i]);
    weighted *entries;
    size_t kept;
    erai_status status = in_order(sketch, &entries, &kept, detail);
    if (status) return status;
    float least, greatest;
    er_kll_range(&sketch->kll, &least, &greatest);
    for (size_t i = 0; i < count; i++) {
        double weight = ceil(ranks[i] * (double)sketch->kll.n);
        if (ranks[i] <= 0)
            values[i] = least;
        else if (ranks[i] >= 1)
            values[i] = greatest;
        else
            values[i] = entries[by_weight(entries, kept, (uint64_t)weight)].value;
    }
    free(entries);
    return ERAI_OK;
}

erai_status erai_quantiles_rank(const erai_quantiles *sketch, const float *values, size_t count, double *ranks,
                                char *detail) {
    if (!sketch || (count && (!values || !ranks)))
        return er_fail(detail, ERAI_E_ARGUMENT, "the sketch, the values or room for ranks is NULL");
    for (size_t i = 0; i < count; i++)
        if (values[i] != values[i]) return er_fail(detail, ERAI_E_ARGUMENT, "value %zu is NaN, which has no rank", i);
    weighted *entries;
    size_t kept;
    erai_status status = in_order(sketch, &entries, &kept, detail);
    if (status) return status;
    for (size_t i = 0; i < count; i++) {
        size_t below = by_value(entries, kept, values[i]);
        ranks[i] = below ? (double)entries[below - 1].weight / (double)sketch->kll.n : 0;
    }
    free(entries);
    return ERAI_OK;
}
