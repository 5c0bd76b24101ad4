/* Systems under test, and what is recorded of their calls. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_YARDSTICK "yardstick" /* fixed work that every run has, by which two runs are compared */
#define BENCH_EMPTY "empty"

/* A system under test. `call` answers one query, given its number to choose an input by; not 0: it failed. */
typedef struct bench_subject {
    const char *name;
    int64_t rows; /* of data that one call answers */
    int (*call)(void *self, uint64_t query);
    const char *(*why)(void *self); /* after a failure: a sentence; NULL: it cannot fail */
    void *self;
} bench_subject;

/* The calls of one subject that count, in the order in which they began. Times are from the beginning of the scenario,
 * or of the trial. */
typedef struct bench_series {
    const char *subject;
    int64_t rows;
    size_t count, capacity;
    int32_t *block;     /* the round, or the trial; never falls */
    int64_t *scheduled; /* NULL: a call was due when it began */
    int64_t *began, *ended;
} bench_series;

/* Makes room for so many more calls, so that recording them allocates nothing. */
void bench_series_reserve(bench_series *series, size_t more);
void bench_series_free(bench_series *series);

static inline int64_t bench_due(const bench_series *series, size_t i) {
    return series->scheduled ? series->scheduled[i] : series->began[i];
}

static inline int64_t bench_latency(const bench_series *series, size_t i) {
    return series->ended[i] - bench_due(series, i);
}

/* Median latencies of a series' blocks, in time order. */
typedef struct bench_blocks {
    size_t count;
    int32_t *block;
    int64_t *began_ns;
    double *median_ns;
} bench_blocks;

bench_blocks bench_blocks_of(const bench_series *series);
void bench_blocks_free(bench_blocks *blocks);

#endif
