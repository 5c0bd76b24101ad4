/* Everything counted, as one vector of 64-bit integers, so that merging two is addition (modulo 2^64) and nothing else:
 * exact, associative and independent of order. The signed sums are in two's complement. The layout is internal; the
 * form that leaves the process is docs/formats/snapshot.md. */
#ifndef ER_STATISTICS_H
#define ER_STATISTICS_H

#include "edge_rai.h"

#define ER_VERDICTS 3u
#define ER_SOURCES 6u
#define ER_REASONS 35u
#define ER_DECISIONS 9u
#define ER_EVENT_CLASSES 4u
#define ER_EXPIRIES 5u
#define ER_EXPIRED_COUNTS (sizeof(erai_expired) / sizeof(uint64_t))
/* Latency: eight slots an octave up to 2^40 ns (18 minutes); longer calls share the last slot. */
#define ER_LATENCY_SLOTS 321u

enum er_count {
    ER_COUNT_CALLS = 0,
    ER_COUNT_ERRORS = 1,
    ER_COUNT_LATENCY_SUM = 2,
    ER_COUNT_VERDICTS = 3,
    ER_COUNT_SOURCES = ER_COUNT_VERDICTS + ER_VERDICTS,
    ER_COUNT_REASONS = ER_COUNT_SOURCES + ER_SOURCES,
    ER_COUNT_DECISIONS = ER_COUNT_REASONS + ER_REASONS,
    ER_COUNT_LATENCY = ER_COUNT_DECISIONS + ER_DECISIONS,
    ER_COUNT_EVENTS = ER_COUNT_LATENCY + ER_LATENCY_SLOTS,
    ER_COUNT_EXPIRED = ER_COUNT_EVENTS + ER_EVENT_CLASSES, /* as erai_expired has them, one after the other */
    ER_COUNT_FEATURES = ER_COUNT_EXPIRED + ER_EXPIRIES * ER_EXPIRED_COUNTS
};

/* After these, for the features of a guard program in its order: their histograms, then their counts of values that are
 * not finite, their sums, and their sums of squares. 280 bytes a feature. */
typedef struct er_feature_statistics {
    uint64_t (*histogram)[ERAI_MAX_BINS];
    uint64_t *not_finite;
    uint64_t *sum;
    uint64_t *sum_squares;
} er_feature_statistics;

static inline size_t er_statistics_size(size_t features) {
    return ER_COUNT_FEATURES + features * (ERAI_MAX_BINS + 3);
}

static inline er_feature_statistics er_of_features(uint64_t *statistics, size_t features) {
    uint64_t *histograms = statistics + ER_COUNT_FEATURES, *after = histograms + features * ERAI_MAX_BINS;
    return (er_feature_statistics){(uint64_t (*)[ERAI_MAX_BINS])histograms, after, after + features,
                                   after + 2 * features};
}

static inline void er_statistics_add(uint64_t *into, const uint64_t *from, size_t size) {
    for (size_t i = 0; i < size; i++) into[i] += from[i];
}

/* The slot of a duration: 0 up to 1 ns, i for 2^((i-1)/8) < ns <= 2^(i/8). */
unsigned er_latency_slot(uint64_t ns);

#endif
