/* Subjects in turn, each call made when the one before has ended: single_stream, multi_stream and offline.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CLOSED_LOOP_H
#define BENCH_CLOSED_LOOP_H

#include "series.h"

typedef struct bench_run {
    bench_series *series;
    size_t count;
    double warm_up_s;
    int64_t warm_up_rounds;
    int steady;           /* 0: the time allowed for warm-up was over before the series had settled */
    int32_t *first_round; /* of each of the `processes` that measured a part; none of them: this one did, all of it */
    size_t processes;
} bench_run;

/* A run of these subjects in which nothing was recorded yet. */
bench_run bench_run_begin(const bench_subject *subjects, size_t count);

void bench_run_free(bench_run *run);

/* Given what there is so far, between rounds: at first soon, then about every 2 s. */
typedef void (*bench_watch)(void *user, const bench_run *run);

typedef struct bench_plan {
    double duration_s; /* of all processes together */
    size_t processes;  /* that share it; 0: this one alone */
    double percentile; /* to be claimed; 0: whichever the queries will do for */
    uint64_t seed;
    bench_watch watch; /* NULL: nobody */
    void *user;
} bench_plan;

/* Warms up and then calls the subjects in turn until the time is over. Returns USAGE with a sentence when the duration
 * is too short for the percentile, UNSOUND when a call failed. `run` is to be freed in any case. */
int bench_closed_loop(const bench_subject *subjects, size_t count, const bench_plan *plan, bench_run *run,
                      char *detail);

/* Times calls with consecutive numbers: when each began and ended. Not 0: one failed. */
int bench_timed_calls(const bench_subject *subject, uint64_t first, size_t calls, int64_t *began, int64_t *ended);

#endif
