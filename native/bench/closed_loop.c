/* Subjects in turn, each call made when the one before has ended.
 *
 * A round is one block of each subject, in an order drawn anew each time. A block lasts about 2 ms, less than a
 * clock speed or a neighbour's load does, so that the blocks of a round meet the same machine. Warm-up is over when no
 * subject is still getting faster: its last third of blocks beside the third before (edge_rai/bench/closed_loop.py and
 * warm_up.py do the same). SPDX-License-Identifier: Apache-2.0 */
#include "closed_loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "failure.h"
#include "order.h"
#include "percentiles.h"
#include "random.h"

enum { BLOCK_NS = 2000000, REFILLS = 10, MOST_CALLS = 1000, USUAL = 5, FEWEST_KEPT = 8, FEWEST_WARM_UP = 12 };

static const double WARM_UP_SHARE = 0.2, LEAST_WARM_UP_SHARE = 0.05, LEAST_WARM_UP_S = 1, WARM_UP_GROWS = 1.5;
static const double STILL_FALLING = 0.02, FIRST_WATCH_NS = 25e7, WATCH_NS = 2e9, WATCH_SHARE = 10;

typedef struct medians {
    double *values;
    size_t count, capacity;
} medians;

typedef struct closed_loop {
    const bench_subject *subjects;
    size_t count;
    bench_random order;
    size_t *turns;        /* the subjects' numbers, in the order of the round */
    size_t *calls;        /* of each subject's block */
    uint64_t *next_query; /* of each */
    double round_ns;      /* of the last one */
    bench_run *run;
    char *detail;
} closed_loop;

void bench_run_free(bench_run *run) {
    for (size_t i = 0; i < run->count; i++) bench_series_free(&run->series[i]);
    free(run->series);
    free(run->first_round);
    *run = (bench_run){0};
}

bench_run bench_run_begin(const bench_subject *subjects, size_t count) {
    bench_run run = {.series = bench_allocate(count, sizeof *run.series), .count = count};
    for (size_t i = 0; i < count; i++)
        run.series[i] = (bench_series){.subject = subjects[i].name, .rows = subjects[i].rows};
    return run;
}

int bench_timed_calls(const bench_subject *subject, uint64_t first, size_t calls, int64_t *began, int64_t *ended) {
    int failed = 0;
    for (size_t i = 0; i < calls; i++) {
        began[i] = bench_now_ns();
        failed |= subject->call(subject->self, first + i);
        ended[i] = bench_now_ns();
    }
    return failed;
}

/* One block, at the end of its subject's series. */
static int block(closed_loop *loop, size_t number, int32_t round) {
    const bench_subject *subject = &loop->subjects[number];
    bench_series *series = &loop->run->series[number];
    size_t calls = loop->calls[number];
    uint64_t first = loop->next_query[number];
    bench_series_reserve(series, calls);
    int failed = 0;
    /* The first calls after another subject find that one's data in the caches. */
    size_t refills = calls / REFILLS > 1 ? calls / REFILLS : calls > 1;
    while (refills--) failed |= subject->call(subject->self, first++);
    failed |= bench_timed_calls(subject, first, calls, series->began + series->count, series->ended + series->count);
    for (size_t i = 0; i < calls; i++) series->block[series->count + i] = round;
    series->count += calls;
    loop->next_query[number] = first + calls;
    if (!failed) return FINE;
    return bench_fail(loop->detail, UNSOUND, "%s failed: %s", subject->name, subject->why(subject->self));
}

static int one_round(closed_loop *loop, int32_t round) {
    int64_t began_ns = bench_now_ns();
    bench_shuffle(&loop->order, loop->turns, loop->count);
    for (size_t i = 0; i < loop->count; i++) {
        int code = block(loop, loop->turns[i], round);
        if (code) return code;
    }
    loop->round_ns = (double)(bench_now_ns() - began_ns);
    return FINE;
}

static int settled(const medians *seen, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t third = seen[i].count / 3;
        const double *last = seen[i].values + seen[i].count - third;
        if (seen[i].count < FEWEST_WARM_UP) return 0;
        if (bench_median_kept(last, third) < (1 - STILL_FALLING) * bench_median_kept(last - third, third)) return 0;
    }
    return 1;
}

/* Takes a round's blocks out of the series again, keeping their medians, and fits the blocks to the subjects' speed. */
static void learn(closed_loop *loop, medians *seen) {
    for (size_t i = 0; i < loop->count; i++) {
        bench_series *series = &loop->run->series[i];
        for (size_t k = 0; k < series->count; k++) series->ended[k] -= series->began[k];
        if (seen[i].count == seen[i].capacity) {
            seen[i].capacity = seen[i].capacity ? 2 * seen[i].capacity : 256;
            seen[i].values = bench_resize(seen[i].values, seen[i].capacity, sizeof *seen[i].values);
        }
        seen[i].values[seen[i].count++] = bench_median_whole(series->ended, series->count);
        series->count = 0;
        /* Of several blocks: one of them may have been stalled. */
        size_t last = seen[i].count < USUAL ? seen[i].count : USUAL;
        double fit = BLOCK_NS / fmax(1, bench_median_kept(seen[i].values + seen[i].count - last, last));
        loop->calls[i] = fit < 1 ? 1 : fit > MOST_CALLS ? MOST_CALLS : (size_t)fit;
    }
}

static int warm_up(closed_loop *loop, double least_s, double most_s) {
    medians *seen = bench_allocate(loop->count, sizeof *seen);
    double check_at = FEWEST_WARM_UP;
    int64_t began_ns = bench_now_ns();
    int code = FINE;
    for (int done = 0; !done && !code;) {
        code = one_round(loop, 0);
        learn(loop, seen);
        bench_run *run = loop->run;
        run->warm_up_s = (double)(bench_now_ns() - began_ns) / 1e9;
        run->warm_up_rounds++;
        int over = run->warm_up_s > most_s;
        if (over || ((double)run->warm_up_rounds >= check_at && run->warm_up_s >= least_s)) {
            check_at = floor((double)run->warm_up_rounds * WARM_UP_GROWS);
            run->steady = settled(seen, loop->count);
            done = over || run->steady;
        }
    }
    for (size_t i = 0; i < loop->count; i++) free(seen[i].values);
    free(seen);
    return code;
}

static int refuse_too_short(const closed_loop *loop, const bench_plan *plan) {
    double needed = (double)bench_queries_needed(plan->percentile);
    for (size_t i = 0; i < loop->count; i++) {
        double expected = floor(plan->duration_s * 1e9 / loop->round_ns * (double)loop->calls[i]);
        if (expected < needed && strcmp(loop->subjects[i].name, BENCH_YARDSTICK))
            return bench_fail(loop->detail, USAGE,
                              "--duration of %g s gives about %.0f queries of %s, and p%g asks for %.0f; expected "
                              "about %.0f s, or a lower percentile",
                              plan->duration_s, expected, loop->subjects[i].name, plan->percentile, needed,
                              needed / (double)loop->calls[i] * loop->round_ns / 1e9 * 1.1);
    }
    return FINE;
}

/* Times from the beginning of the scenario on, of the calls from `first` on. */
static void set_back(bench_series *series, size_t first, int64_t began_ns) {
    for (size_t i = first; i < series->count; i++) {
        series->began[i] -= began_ns;
        series->ended[i] -= began_ns;
    }
}

static int measure(closed_loop *loop, const bench_plan *plan, double duration_s) {
    int64_t began_ns = bench_now_ns();
    double watch_at_ns = FIRST_WATCH_NS, now_ns = 0;
    /* Together the processes have as many rounds as are needed. */
    int32_t processes = plan->processes ? (int32_t)plan->processes : 1;
    int32_t fewest = (FEWEST_KEPT + processes - 1) / processes;
    for (int32_t round = 0; round < fewest || now_ns < duration_s * 1e9; round++) {
        int code = one_round(loop, round);
        if (code) return code;
        for (size_t i = 0; i < loop->count; i++) {
            bench_series *series = &loop->run->series[i];
            set_back(series, series->count - loop->calls[i], began_ns);
        }
        now_ns = (double)(bench_now_ns() - began_ns);
        if (plan->watch && now_ns >= watch_at_ns) {
            plan->watch(plan->user, loop->run);
            double took_ns = (double)(bench_now_ns() - began_ns) - now_ns;
            watch_at_ns = now_ns + fmax(fmin(WATCH_NS, now_ns), WATCH_SHARE * took_ns);
        }
    }
    return FINE;
}

int bench_closed_loop(const bench_subject *subjects, size_t count, const bench_plan *plan, bench_run *run,
                      char *detail) {
    *run = bench_run_begin(subjects, count);
    double duration_s = plan->duration_s / (double)(plan->processes ? plan->processes : 1);
    closed_loop loop = {.subjects = subjects,
                        .count = count,
                        .order = {plan->seed},
                        .turns = bench_allocate(count, sizeof *loop.turns),
                        .calls = bench_allocate(count, sizeof *loop.calls),
                        .next_query = bench_allocate(count, sizeof *loop.next_query),
                        .run = run,
                        .detail = detail};
    for (size_t i = 0; i < count; i++) {
        loop.turns[i] = i;
        loop.calls[i] = 1;
    }
    int code = warm_up(&loop, fmin(LEAST_WARM_UP_S, LEAST_WARM_UP_SHARE * duration_s),
                       fmax(LEAST_WARM_UP_S, WARM_UP_SHARE * duration_s));
    if (!code && plan->percentile > 0) code = refuse_too_short(&loop, plan);
    if (!code) code = measure(&loop, plan, duration_s);
    free(loop.turns);
    free(loop.calls);
    free(loop.next_query);
    return code;
}
