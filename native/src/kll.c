/* The sketch in memory. A value of level l stands for 2^l values; where there are too many of a level, every other one
 * in their order goes up a level, by the fall of a coin the even or the odd ones. Capacities shrink by 2/3 a level from
 * the last one, which has k; a level is compacted when all of them together are full, as Apache's does.
 *
 * Unlike Apache's, values first come together in level 0 until there are 256 of them: sorting so many at once, by their
 * digits, is what makes a value cheap, and only what is written down has to be as small as the format says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kll.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 8u /* capacity of a level, and the format's "m" */
#define ROOM 256u

/* ---- Room ---- */

/* k (2/3)^depth, to the nearest; in integers, as whoever reads the bytes counts too. */
static uint16_t capacity_at(uint32_t k, unsigned depth) {
    uint64_t thrice = 1, twice = (uint64_t)k << 1;
    if (depth > 30) return SMALLEST; /* where any k has come to that */
    for (unsigned i = 0; i < depth; i++) thrice *= 3;
    uint64_t capacity = ((twice << depth) / thrice + 1) >> 1;
    return (uint16_t)(capacity < SMALLEST ? SMALLEST : capacity);
}

static uint32_t room_of(uint32_t k) {
    return k > ROOM ? k : ROOM;
}

uint32_t er_kll_total(uint32_t k, unsigned levels) {
    uint32_t total = 0;
    for (unsigned depth = 0; depth < levels; depth++) total += capacity_at(k, depth);
    return total;
}

uint32_t er_kll_slots(uint32_t k) {
    return er_kll_total(k, ER_KLL_LEVELS) + room_of(k);
}

void er_kll_init(er_kll *kll, uint32_t k, uint64_t seed, float *items, float *scratch) {
    memset(kll, 0, sizeof *kll);
    /* Neighbouring seeds begin far from each other: the finalizer of SplitMix64. */
    seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9u;
    seed = (seed ^ seed >> 27) * 0x94d049bb133111ebu;
    kll->random = seed ^ seed >> 31;
    kll->k = kll->min_k = (uint16_t)k;
    kll->items = items;
    kll->scratch = scratch;
    kll->slots = er_kll_slots(k);
    kll->room = room_of(k);
    kll->levels = 1;
    kll->begin[0] = kll->begin[1] = kll->slots;
    kll->least = INFINITY;
    kll->greatest = -INFINITY;
    for (unsigned depth = 0; depth < ER_KLL_LEVELS; depth++) kll->capacity[depth] = capacity_at(k, depth);
}

/* ---- Compacting ---- */

/* The greatest bit of Knuth's linear congruential generator. */
static unsigned coin(er_kll *kll) {
    kll->random = kll->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(kll->random >> 63);
}

/* A number that is ordered as the floats are, -0 before 0. */
static uint32_t rank_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ ((0u - (bits >> 31)) | (uint32_t)1 << 31);
}

static float of_rank(uint32_t rank) {
    float value;
    rank ^= ((rank >> 31) - 1u) | (uint32_t)1 << 31;
    memcpy(&value, &rank, sizeof value);
    return value;
}

/* By 16 bits of rank_of, less `least` and from `shift` on: their two bytes, the lesser one first. Equals stay in their
 * order. */
static void sort_by_bits(float *values, float *scratch, size_t count, uint32_t least, unsigned shift) {
    uint32_t places[2][256];
    memset(places, 0, sizeof places);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (rank_of(values[i]) - least) >> shift;
        places[0][bits & 0xff]++;
        places[1][bits >> 8 & 0xff]++;
    }
    for (uint32_t digit = 0, before[2] = {0}; digit < 256; digit++)
        for (int of = 0; of < 2; of++) {
            uint32_t here = places[of][digit];
            places[of][digit] = before[of];
            before[of] += here;
        }
    for (size_t i = 0; i < count; i++) scratch[places[0][(rank_of(values[i]) - least) >> shift & 0xff]++] = values[i];
    for (size_t i = 0; i < count; i++)
        values[places[1][(rank_of(scratch[i]) - least) >> shift >> 8 & 0xff]++] = scratch[i];
}

/* Puts right what is nearly in order; 0 where it turns out not to be. */
static int settle(float *values, size_t count) {
    size_t moves = 0;
    for (size_t i = 1; i < count && moves < 4 * count; i++) {
        float value = values[i];
        size_t at = i;
        for (; at > 0 && values[at - 1] > value; at--, moves++) values[at] = values[at - 1];
        values[at] = value;
    }
    return moves < 4 * count;
}

static void note_range(er_kll *kll, float least, float greatest) {
    if (least < kll->least) kll->least = least;
    if (greatest > kll->greatest) kll->greatest = greatest;
}

/* The first that came, which is the last one here, of those that equal `extreme`: 0 and -0 do, and Apache's has the
 * first. */
static float first_of(const float *values, size_t count, float extreme) {
    if (extreme != 0) return extreme;
    while (values[count - 1] != 0) count--;
    return values[count - 1];
}

/* By the upper 16 bits that they differ in, which is usually all but for some neighbours; notes their range. */
static void sort(er_kll *kll, float *values, size_t count) {
    uint32_t least = UINT32_MAX, most = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t rank = rank_of(values[i]);
        least = rank < least ? rank : least;
        most = rank > most ? rank : most;
    }
    note_range(kll, first_of(values, count, of_rank(least)), first_of(values, count, of_rank(most)));
    unsigned shift = 0;
    while ((most - least) >> shift > UINT16_MAX) shift++;
    sort_by_bits(values, kll->scratch, count, least, shift);
    if (!shift || settle(values, count)) return;
    sort_by_bits(values, kll->scratch, count, 0, 0);
    sort_by_bits(values, kll->scratch, count, 0, 16);
}

/* `half` values that begin at `low` and as many unused places after them, and then `above` values: both in one order,
 * from where the unused places begin. */
static void merge_up(float *low, uint32_t half, uint32_t above) {
    float *out = low + half, *high = low + 2 * half, *end = high + above;
    const float *last = low + half;
    while (low < last && high < end) {
        int from_high = *high < *low;
        *out++ = from_high ? *high : *low;
        high += from_high;
        low += !from_high;
    }
    while (low < last) *out++ = *low++;
}

static void sort_level_zero(er_kll *kll) {
    float *first = kll->items + kll->begin[0];
    uint32_t count = kll->begin[1] - kll->begin[0];
    if (!count) return;
    if (!kll->sorted)
        sort(kll, first, count);
    else
        note_range(kll, first[0], first[count - 1]);
}

/* er_kll_total, from the table. */
static uint32_t total_of(const er_kll *kll) {
    uint32_t total = 0;
    for (unsigned depth = 0; depth < kll->levels; depth++) total += kll->capacity[depth];
    return total;
}

/* One pass over the levels, from the smallest values' up: level 0 is compacted where `flush` says so, any level where
 * it has its capacity or more and all together have more than theirs. Then the rest is packed to the end of the array.
 */
static void compact(er_kll *kll, int flush) {
    float *items = kll->items;
    uint32_t *begin = kll->begin, from = begin[0], out = begin[0];
    uint32_t count = begin[kll->levels] - begin[0], total = total_of(kll);
    for (unsigned level = 0; level < kll->levels; level++) {
        uint32_t end = begin[level + 1], here = end - from;
        int full = count > total && here >= kll->capacity[kll->levels - 1u - level];
        if (!level) sort_level_zero(kll);
        begin[level] = out;
        if (!full && !(flush && !level)) {
            memmove(items + out, items + from, here * sizeof *items);
            out += here;
            from = end;
            continue;
        }
        if (here & 1) items[out++] = items[from++];
        if (level + 1u == kll->levels) {
            begin[level + 2] = end;
            kll->levels++;
            total = total_of(kll);
        }
        uint32_t half = here / 2;
        unsigned odd = coin(kll);
        for (uint32_t i = 0; i < half; i++) items[from + i] = items[from + 2 * i + odd];
        merge_up(items + from, half, begin[level + 2] - end);
        from += half; /* where the next level begins now */
        count -= half;
    }
    uint32_t up = kll->slots - out;
    memmove(items + begin[0] + up, items + begin[0], (out - begin[0]) * sizeof *items);
    for (unsigned level = 0; level < kll->levels; level++) begin[level] += up;
    begin[kll->levels] = kll->slots;
    kll->sorted = 1;
}

/* ---- Adding ---- */

void er_kll_add(er_kll *kll, const float *values, size_t count, size_t stride) {
    while (count) {
        uint32_t there = kll->begin[1] - kll->begin[0];
        if (there >= kll->room) {
            compact(kll, 1);
            there = kll->begin[1] - kll->begin[0];
        }
        size_t some = kll->room - there < count ? kll->room - there : count;
        float *first = kll->items + kll->begin[0], *to = first;
        for (size_t i = 0; i < some; i++, values += stride) {
            to[-1] = *values; /* a NaN is written over */
            to -= *values == *values;
        }
        size_t stored = (size_t)(first - to);
        kll->begin[0] -= (uint32_t)stored;
        kll->n += stored;
        kll->nan += some - stored;
        kll->sorted = 0;
        count -= some;
    }
}

void er_kll_range(const er_kll *kll, float *least, float *greatest) {
    *least = kll->least;
    *greatest = kll->greatest;
    for (uint32_t i = kll->begin[1]; i > kll->begin[0]; i--) { /* as they came */
        if (kll->items[i - 1] < *least) *least = kll->items[i - 1];
        if (kll->items[i - 1] > *greatest) *greatest = kll->items[i - 1];
    }
}

/* ---- Merging ---- */

/* Two ascending runs as one. */
static void merge(const float *one, const float *one_end, const float *other, const float *other_end, float *out) {
    while (one < one_end && other < other_end) *out++ = *other < *one ? *other++ : *one++;
    while (one < one_end) *out++ = *one++;
    while (other < other_end) *out++ = *other++;
}

/* Levels of both but for the other's level 0, in memory of `slots` floats; then as few as there is room for. */
static void merge_levels(er_kll *kll, const er_kll *other, float *room, uint32_t slots) {
    er_kll both = *kll;
    both.items = room;
    both.slots = slots;
    both.levels = kll->levels > other->levels ? kll->levels : other->levels;
    both.begin[both.levels] = slots;
    uint32_t end = slots;
    for (unsigned level = both.levels; level-- > 0;) {
        uint32_t mine = 0, theirs = 0;
        if (level < kll->levels) mine = kll->begin[level + 1] - kll->begin[level];
        if (level && level < other->levels) theirs = other->begin[level + 1] - other->begin[level];
        both.begin[level] = end - mine - theirs;
        end = both.begin[level];
        const float *first = kll->items + (mine ? kll->begin[level] : 0);
        const float *second = other->items + (theirs ? other->begin[level] : 0);
        merge(first, first + mine, second, second + theirs, room + end);
    }
    compact(&both, 0);
    uint32_t kept = slots - both.begin[0], down = slots - kll->slots;
    memcpy(kll->items + kll->slots - kept, room + both.begin[0], kept * sizeof *room);
    for (unsigned level = 0; level <= both.levels; level++) kll->begin[level] = both.begin[level] - down;
    kll->levels = both.levels;
    kll->random = both.random;
    kll->sorted = both.sorted;
    note_range(kll, both.least, both.greatest);
}

erai_status er_kll_merge(er_kll *kll, const er_kll *other) {
    if (other->n > ERAI_QUANTILES_MOST - kll->n) return ERAI_E_SIZE;
    uint64_t n = kll->n + other->n, nan = kll->nan + other->nan;
    uint32_t slots = kll->slots + other->slots;
    float *room = other->levels > 1 ? malloc(slots * sizeof *room) : NULL;
    if (other->levels > 1 && !room) return ERAI_E_MEMORY;
    float least, greatest;
    er_kll_range(other, &least, &greatest);
    /* From the last one on: the order in which they came. */
    for (uint32_t i = other->begin[1]; i > other->begin[0]; i--) er_kll_add(kll, other->items + i - 1, 1, 1);
    if (room) {
        merge_levels(kll, other, room, slots);
        if (other->min_k < kll->min_k) kll->min_k = other->min_k;
    }
    free(room);
    note_range(kll, least, greatest);
    kll->n = n;
    kll->nan = nan;
    return ERAI_OK;
}

erai_status er_kll_fitted(const er_kll *kll, er_kll *fitted, float **room) {
    *fitted = *kll;
    *room = NULL;
    if (kll->slots - kll->begin[0] <= total_of(kll)) return ERAI_OK;
    *room = malloc(2 * (size_t)kll->slots * sizeof **room);
    if (!*room) return ERAI_E_MEMORY;
    fitted->items = *room;
    fitted->scratch = *room + kll->slots;
    memcpy(fitted->items + kll->begin[0], kll->items + kll->begin[0], (kll->slots - kll->begin[0]) * sizeof **room);
    compact(fitted, 0);
    return ERAI_OK;
}
