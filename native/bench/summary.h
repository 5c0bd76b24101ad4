/* From what a scenario recorded to what is reported of it. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SUMMARY_H
#define BENCH_SUMMARY_H

#include "closed_loop.h"
#include "options.h"
#include "percentiles.h"
#include "ratios.h"
#include "server.h"

enum { BENCH_PERCENTILES = 4 };

typedef struct bench_series_summary {
    const bench_series *series;
    double mean_ns;
    int64_t min_ns, max_ns, independent_queries;
    bench_percentile percentiles[BENCH_PERCENTILES]; /* p50, p90, p99, p99.9 */
    char *histogram;
    bench_blocks blocks; /* of `server` none */
    int throttled;
    double throttled_at_s, throttled_ratio;
} bench_series_summary;

/* A pair of names: the ratio of the first over the second is asked for. */
typedef struct bench_pair {
    const char *subject, *against;
} bench_pair;

typedef struct bench_summary {
    bench_scenario scenario;
    const bench_run *run;
    bench_series_summary *series; /* those of which a call counted */
    bench_ratio *ratios;
    bench_throughput *throughput;
    size_t series_count, ratio_count, throughput_count;
    const bench_rate *rates; /* of `server`; the caller's */
    size_t rate_count;
} bench_summary;

bench_summary bench_summarize(bench_scenario scenario, const bench_run *run, const bench_pair *pairs, size_t pair_count,
                              const bench_rate *rates, size_t rate_count);
void bench_summary_free(bench_summary *summary);

#endif
