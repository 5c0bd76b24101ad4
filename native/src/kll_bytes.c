/* The sketch as bytes (docs/formats/quantiles.md): read from anybody, and written so that every reader of Apache
 * DataSketches' kll_floats_sketch takes them for its own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kll.h"

#include "status.h"

#include <math.h>
#include <stdlib.h>

#define FAMILY 15u
#define SMALLEST 8u /* "m" */
#define SHORT_INTS 2u
#define FULL_INTS 5u
#define VERSION_FULL 1u /* and of an empty sketch */
#define VERSION_SINGLE 2u
#define FLAG_EMPTY 1u
#define FLAG_SORTED 2u
#define FLAG_SINGLE 4u
#define SIZE_EMPTY 8u
#define SIZE_SINGLE 12u
#define SIZE_HEAD 20u

/* ---- Writing ---- */

static void write_head(const er_kll *kll, er_writer *out) {
    int single = kll->n == 1;
    unsigned flags = (kll->n ? 0 : FLAG_EMPTY) | (single ? FLAG_SINGLE : 0);
    if (kll->sorted) flags |= FLAG_SORTED;
    er_write_u8(out, kll->n > 1 ? FULL_INTS : SHORT_INTS);
    er_write_u8(out, single ? VERSION_SINGLE : VERSION_FULL);
    er_write_u8(out, FAMILY);
    er_write_u8(out, (uint8_t)flags);
    er_write_u16(out, kll->k);
    er_write_u8(out, SMALLEST);
    er_write_u8(out, 0);
}

static void write_fitted(const er_kll *kll, er_writer *out) {
    write_head(kll, out);
    if (kll->n > 1) {
        uint32_t total = er_kll_total(kll->k, kll->levels);
        float least, greatest;
        er_kll_range(kll, &least, &greatest);
        er_write_u64(out, kll->n);
        er_write_u16(out, kll->min_k);
        er_write_u8(out, kll->levels);
        er_write_u8(out, 0);
        for (unsigned level = 0; level < kll->levels; level++)
            er_write_u32(out, total - (kll->slots - kll->begin[level]));
        er_write_f32(out, least);
        er_write_f32(out, greatest);
    }
    for (uint32_t i = kll->begin[0]; i < kll->slots; i++) er_write_f32(out, kll->items[i]);
}

erai_status er_kll_write(const er_kll *kll, er_writer *out) {
    er_kll fitted;
    float *room;
    erai_status status = er_kll_fitted(kll, &fitted, &room);
    if (status) return status;
    write_fitted(&fitted, out);
    free(room);
    return out->failed ? ERAI_E_MEMORY : ERAI_OK;
}

/* ---- Reading ---- */

typedef struct head {
    uint64_t n;
    uint32_t k, min_k, levels, flags;
} head;

static erai_status malformed(char *detail, const char *what, uint64_t came, const char *expected) {
    return er_fail(detail, ERAI_E_BATCH_FORMAT, "not a sketch of quantiles: %s is %llu; expected %s", what,
                   (unsigned long long)came, expected);
}

/* The first eight bytes, which all sketches have; n is 0, 1 or, where it stands further on, more. */
static erai_status read_start(er_reader *in, head *found, char *detail) {
    unsigned ints = er_read_u8(in), version = er_read_u8(in), family = er_read_u8(in);
    found->flags = er_read_u8(in);
    found->k = found->min_k = er_read_u16(in);
    unsigned smallest = er_read_u8(in), unused = er_read_u8(in);
    if (in->failed) return malformed(detail, "its size", in->size, "at least 8 bytes");
    if (family != FAMILY) return malformed(detail, "the family", family, "15, which is KLL");
    if (smallest != SMALLEST) return malformed(detail, "m", smallest, "8");
    if (unused) return malformed(detail, "byte 7", unused, "0");
    if (found->k < ERAI_QUANTILES_LEAST_K) return malformed(detail, "k", found->k, "at least 8");
    unsigned few = found->flags & (FLAG_EMPTY | FLAG_SINGLE);
    if (found->flags > (FLAG_EMPTY | FLAG_SORTED | FLAG_SINGLE) || few == (FLAG_EMPTY | FLAG_SINGLE))
        return malformed(detail, "the byte of flags", found->flags, "empty (1) or single (4), and sorted (2)");
    if (ints != (few ? SHORT_INTS : FULL_INTS))
        return malformed(detail, "the length of the preamble", ints, few ? "2" : "5");
    if (version != (few == FLAG_SINGLE ? VERSION_SINGLE : VERSION_FULL))
        return malformed(detail, "the version", version, few == FLAG_SINGLE ? "2" : "1");
    found->n = few == FLAG_EMPTY ? 0 : few == FLAG_SINGLE ? 1 : 2;
    if (few && in->size != (few == FLAG_SINGLE ? SIZE_SINGLE : SIZE_EMPTY))
        return malformed(detail, "its size", in->size, few == FLAG_SINGLE ? "12 bytes" : "8 bytes");
    return ERAI_OK;
}

static erai_status read_head(er_reader *in, head *found, char *detail) {
    erai_status status = read_start(in, found, detail);
    if (status || found->n < 2) {
        found->levels = 1;
        return status;
    }
    found->n = er_read_u64(in);
    found->min_k = er_read_u16(in);
    found->levels = er_read_u8(in);
    unsigned unused = er_read_u8(in);
    if (in->failed) return malformed(detail, "its size", in->size, "more");
    if (found->n < 2 || found->n > ERAI_QUANTILES_MOST) return malformed(detail, "n", found->n, "2 to 2^50 - 1");
    if (found->min_k < ERAI_QUANTILES_LEAST_K || found->min_k > found->k)
        return malformed(detail, "the least k", found->min_k, "8 to k");
    if (found->levels < 1 || found->levels > ER_KLL_LEVELS)
        return malformed(detail, "the number of levels", found->levels, "1 to 50");
    if (unused) return malformed(detail, "byte 19", unused, "0");
    return ERAI_OK;
}

/* Where the levels begin, counted from the array's end: `left` values from there on. */
static erai_status read_levels(er_reader *in, const head *found, uint32_t left[ER_KLL_LEVELS + 1], char *detail) {
    uint32_t total = er_kll_total(found->k, found->levels);
    for (unsigned level = 0; level < found->levels; level++) {
        uint32_t begin = er_read_u32(in);
        if (in->failed) return malformed(detail, "its size", in->size, "more");
        if (begin > total) return malformed(detail, "the beginning of a level", begin, "one within its array");
        left[level] = total - begin;
    }
    left[found->levels] = 0;
    uint64_t n = 0;
    for (unsigned level = 0; level < found->levels; level++) {
        if (left[level + 1] > left[level]) return malformed(detail, "a level's size", level, "none below 0");
        uint64_t here = left[level] - left[level + 1];
        if (here > (found->n - n) >> level) return malformed(detail, "n", found->n, "the sum of the weights");
        n += here << level;
    }
    if (n != found->n) return malformed(detail, "n", found->n, "the sum of the weights");
    if (!left[found->levels - 1]) return malformed(detail, "the size of the last level", 0, "at least 1");
    return ERAI_OK;
}

/* Values of a level: numbers within the range, and in order where they are said to be. */
static erai_status check_values(er_reader *in, uint32_t count, int ordered, const float range[2], char *detail) {
    float before = -INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        float value = er_read_f32(in);
        if (!(value >= range[0] && value <= range[1])) return malformed(detail, "a value", i, "one within the range");
        if (ordered && value < before) return malformed(detail, "a value", i, "one not below that before it");
        before = value;
    }
    return ERAI_OK;
}

erai_status er_kll_check(const uint8_t *bytes, size_t size, uint32_t *k, char *detail) {
    er_reader in = {.data = bytes, .size = size};
    head found;
    erai_status status = read_head(&in, &found, detail);
    if (status) return status;
    float range[2] = {-INFINITY, INFINITY};
    uint32_t left[ER_KLL_LEVELS + 1] = {found.n == 1};
    if (found.n > 1) {
        status = read_levels(&in, &found, left, detail);
        if (status) return status;
        uint64_t expected = SIZE_HEAD + 4 * ((uint64_t)found.levels + 2 + left[0]);
        if (size != expected) return malformed(detail, "its size", size, "that of its levels and values");
        range[0] = er_read_f32(&in);
        range[1] = er_read_f32(&in);
    }
    for (unsigned level = 0; level < found.levels && !status; level++)
        status = check_values(&in, left[level] - left[level + 1], level || found.flags & FLAG_SORTED, range, detail);
    if (!status) *k = found.k;
    return status;
}

void er_kll_load(er_kll *kll, const uint8_t *bytes, size_t size) {
    er_reader in = {.data = bytes, .size = size};
    head found;
    read_head(&in, &found, NULL);
    kll->n = found.n;
    kll->min_k = (uint16_t)found.min_k;
    kll->levels = (uint8_t)found.levels;
    kll->sorted = (found.flags & FLAG_SORTED) != 0;
    kll->begin[0] = kll->slots - (found.n == 1);
    if (found.n > 1) {
        uint32_t aside = kll->slots - er_kll_total(kll->k, found.levels);
        for (unsigned level = 0; level < found.levels; level++) kll->begin[level] = aside + er_read_u32(&in);
        kll->least = er_read_f32(&in);
        kll->greatest = er_read_f32(&in);
    }
    kll->begin[found.levels] = kll->slots;
    for (uint32_t i = kll->begin[0]; i < kll->slots; i++) kll->items[i] = er_read_f32(&in);
}
