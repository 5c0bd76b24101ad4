/* What is counted, as unsigned integers, so that merging two is addition and nothing else: exact, associative and
 * independent of order. Signed sums are in two's complement. The layout is internal; the form that leaves the process
 * is docs/formats/snapshot.md. */
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

/* Of calls and rows, modulo 2^64. */
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
    ER_COUNTS = ER_COUNT_EXPIRED + ER_EXPIRIES * ER_EXPIRED_COUNTS
};

static inline void er_counts_add(uint64_t *into, const uint64_t *from) {
    for (size_t i = 0; i < ER_COUNTS; i++) into[i] += from[i];
}

/* The values of one feature in a window, modulo 2^64. Sums are of standardized values (sketch.h). */
typedef struct er_feature_total {
    uint64_t histogram[ERAI_MAX_BINS];
    uint64_t not_finite, sum, sum_squares;
} er_feature_total;

/* The same of each feature since it was last added to a total, which is to happen before there are 2^32 values: 148
 * bytes a feature, in vectors that follow each other. */
typedef struct er_tally {
    struct er_tally *next; /* of those that closed answers left */
    uint32_t (*histogram)[ERAI_MAX_BINS];
    uint32_t *not_finite;
    uint64_t *sum, *sum_squares;
} er_tally;

/* One of zeros, to be freed; NULL when out of memory. */
er_tally *er_tally_open(size_t features);

void er_tally_add(const er_tally *tally, er_feature_total *totals, size_t features);
void er_tally_clear(er_tally *tally, size_t features);

/* The slot of a duration: 0 up to 1 ns, i for 2^((i-1)/8) < ns <= 2^(i/8). */
unsigned er_latency_slot(uint64_t ns);

#endif
