/* Subjects beside each other. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_RATIOS_H
#define BENCH_RATIOS_H

#include "closed_loop.h"

typedef struct bench_ratio {
    const char *subject, *against;
    size_t rounds; /* in which both ran */
    double ratio, low_95, high_95, low_99, high_99;
    double difference_ns, difference_low_95_ns, difference_high_95_ns;
    const char *verdict;
} bench_ratio;

typedef struct bench_throughput {
    const char *subject;
    int64_t batch;
    double rows_per_s, low_95, high_95;
    int best;
} bench_throughput;

enum { BENCH_FEWEST_ROUNDS = 8 }; /* fewer have no interval at 99 % */

/* Latency of one subject of a run beside another's. 0: they share too few rounds. */
int bench_ratio_of(const bench_run *run, const bench_series *subject, const bench_series *against, bench_ratio *ratio);

/* Rows per second of one subject by batch size, and the best one; of BENCH_FEWEST_ROUNDS rounds each, at least. */
void bench_throughput_of(const bench_run *run, const bench_series *const *batches, size_t count,
                         bench_throughput *found);

#endif
