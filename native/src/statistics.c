/* Tallies and latency slots.
 *
 * The latency histogram is OpenTelemetry's exponential histogram at scale 3: upper bounds 2^(i/8) ns. A duration's
 * octave is its highest bit; its place within the octave is searched among seven constants. */
#include "statistics.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_A_FEATURE ((ERAI_MAX_BINS + 1) * sizeof(uint32_t) + 2 * sizeof(uint64_t))

er_tally *er_tally_open(size_t features) {
    size_t bytes = 64 + (features * BYTES_A_FEATURE + 63) / 64 * 64; /* so that a histogram is two cache lines */
    char *memory = aligned_alloc(64, bytes);
    if (!memory) return NULL;
    memset(memory, 0, bytes);
    er_tally *tally = (er_tally *)(void *)memory;
    tally->histogram = (uint32_t (*)[ERAI_MAX_BINS])(void *)(memory + 64);
    tally->sum = (uint64_t *)(void *)(tally->histogram + features);
    tally->sum_squares = tally->sum + features;
    tally->not_finite = (uint32_t *)(void *)(tally->sum_squares + features);
    return tally;
}

void er_tally_add(const er_tally *tally, er_feature_total *totals, size_t features) {
    for (size_t f = 0; f < features; f++) {
        for (size_t i = 0; i < ERAI_MAX_BINS; i++) totals[f].histogram[i] += tally->histogram[f][i];
        totals[f].not_finite += tally->not_finite[f];
        totals[f].sum += tally->sum[f];
        totals[f].sum_squares += tally->sum_squares[f];
    }
}

void er_tally_clear(er_tally *tally, size_t features) {
    memset(tally->histogram, 0, features * BYTES_A_FEATURE);
}

unsigned er_latency_slot(uint64_t ns) {
    /* floor(2^(j/8) * 2^63): the durations of an octave, shifted up to bit 63, compare with these. */
    static const uint64_t bounds[7] = {10058158527438640870u, 10968499650544839023u, 11961233684655323370u,
                                       13043817825332782212u, 14224384202002324189u, 15511800964685064948u,
                                       16915738899553466670u};
    if (ns <= 1) return 0;
    if (ns > (uint64_t)1 << 40) return ER_LATENCY_SLOTS - 1;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    uint64_t leading = ns << (63 - octave);
    if (leading == (uint64_t)1 << 63) return octave * 8; /* a power of two closes its octave */
    unsigned above = leading > bounds[3] ? 4 : 0;        /* how many bounds the duration is above */
    above += leading > bounds[above + 1] ? 2 : 0;
    above += leading > bounds[above];
    return octave * 8 + 1 + above;
}
