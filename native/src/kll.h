/* Quantiles of a stream in bounded memory: the sketch of Karnin, Lang and Liberty ("Optimal Quantile Approximation in
 * Streams", FOCS 2016) as Apache DataSketches stores it (docs/formats/quantiles.md). One thread at a time. */
#ifndef ER_KLL_H
#define ER_KLL_H

#include "bytes.h"
#include "edge_rai.h"

#define ER_KLL_LEVELS 50u /* a value of level l stands for 2^l: enough for ERAI_QUANTILES_MOST values */

typedef struct er_kll {
    uint64_t n;      /* values; NaN is none */
    uint64_t nan;    /* how many of these came */
    uint64_t random; /* state of the generator: a bit a compaction */
    float *items; /* level l, ascending but for level 0: items[begin[l]] up to items[begin[l + 1]]; the last level ends
                   * with the array, and level 0 grows downwards */
    float *scratch;
    float least, greatest; /* of the values that are in level 0 no longer */
    uint32_t slots;        /* of items, and of scratch */
    uint32_t room;         /* level 0 is compacted when it has so many */
    uint32_t begin[ER_KLL_LEVELS + 2];
    uint16_t capacity[ER_KLL_LEVELS]; /* of a level, by its distance from the last one */
    uint16_t k, min_k;
    uint8_t levels;
    uint8_t sorted; /* level 0 is known to be */
} er_kll;

/* Floats that `items` and `scratch` have room for. Sketches of one thread may share their scratch. */
uint32_t er_kll_slots(uint32_t k);
/* Values that so many levels are written down with at most. */
uint32_t er_kll_total(uint32_t k, unsigned levels);

/* k is within ERAI_QUANTILES_LEAST_K and ERAI_QUANTILES_MOST_K. The same values in the same order give the same sketch
 * for a seed. */
void er_kll_init(er_kll *kll, uint32_t k, uint64_t seed, float *items, float *scratch);

/* Values `stride` floats apart; n stays within ERAI_QUANTILES_MOST, the caller sees to that. */
void er_kll_add(er_kll *kll, const float *values, size_t count, size_t stride);

/* Of all values; infinite and crossed of none. */
void er_kll_range(const er_kll *kll, float *least, float *greatest);

/* ERAI_E_SIZE: more values together than ERAI_QUANTILES_MOST. ERAI_E_MEMORY. */
erai_status er_kll_merge(er_kll *kll, const er_kll *other);

/* The sketch, or where it has more values than its levels are written down with, a copy of fewer, whose items are in
 * *room: free() it. ERAI_E_MEMORY. */
erai_status er_kll_fitted(const er_kll *kll, er_kll *fitted, float **room);

/* quantiles.c: what a sketch has come to, in place of what one of the same k has. */
void er_quantiles_copy(erai_quantiles *sketch, const er_kll *kll);

/* ---- Bytes (kll_bytes.c) ---- */

/* The bytes of a sketch, appended. */
erai_status er_kll_write(const er_kll *kll, er_writer *out);

/* Whether these are a sketch's, from anybody; then its k. */
erai_status er_kll_check(const uint8_t *bytes, size_t size, uint32_t *k, char *detail);
/* Of bytes that were checked, into a sketch of their k that has nothing in it. */
void er_kll_load(er_kll *kll, const uint8_t *bytes, size_t size);

#endif
