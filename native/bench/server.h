/* LoadGen's server scenario: Poisson arrivals in one queue. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "closed_loop.h"

enum { BENCH_MOST_TRIALS = 12 };

typedef struct bench_trial {
    double rate_per_s, ns; /* ns: the percentile of its latencies */
    size_t queries;        /* answered before it ended */
    int kept;
} bench_trial;

/* The highest rate of arrivals at which a percentile of latency stays within a bound. */
typedef struct bench_rate {
    const char *subject;
    double percent, rate_per_s; /* rate 0: none */
    double exceeded_per_s;      /* the lowest rate tried above it that was not kept; 0: none failed */
    int64_t bound_ns;
    bench_trial trials[BENCH_MOST_TRIALS];
    size_t trial_count;
} bench_rate;

/* Searches each subject's highest rate by bisection, and confirms it in a longer trial, whose series is in `run`: in
 * the order of the subjects, empty where no rate was kept. plan->percentile is the one that is bounded; bound_ns 0: 10
 * times the slowest subject's median alone, at least 1 ms. `rates` has room for one a subject. Returns as
 * bench_closed_loop.
 */
int bench_server(const bench_subject *subjects, size_t count, const bench_plan *plan, int64_t bound_ns, bench_run *run,
                 bench_rate *rates, char *detail);

#endif
