/* Percentiles with confidence intervals from order statistics. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PERCENTILES_H
#define BENCH_PERCENTILES_H

#include <stddef.h>
#include <stdint.h>

/* An end of an interval; `there` is 0 where too few values are for it. */
typedef struct bench_end {
    double value;
    int there;
} bench_end;

typedef struct bench_percentile {
    double percent, ns;
    bench_end low_95, high_95, low_99, high_99;
    int64_t queries_needed; /* by LoadGen's rule, before this percentile is claimed */
} bench_percentile;

/* An interval as ranks of sorted values, from 0; -1 and the number of values: it would lie outside them. */
typedef struct bench_ranks {
    int64_t low, high;
} bench_ranks;

int64_t bench_queries_needed(double percent);

/* The ranks between which the true quantile of n independent values lies with that confidence, or a little more. */
bench_ranks bench_interval_ranks(int64_t n, double share, double confidence);

/* The rank of a percentile among n sorted values, from 0. */
size_t bench_rank_of(size_t n, double percent);

/* One percentile of `n` rising latencies, at least one, that count for as many independent ones as `independent` says.
 */
bench_percentile bench_percentile_of(const int64_t *sorted, size_t n, double percent, int64_t independent);

/* For how many independent values latencies in the order in which they came count, where a percentile is asked for. */
int64_t bench_independent(const int64_t *latency, const int64_t *sorted, size_t n, double percent);

#endif
