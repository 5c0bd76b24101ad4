/* LoadGen's server scenario: Poisson arrivals in one queue, and the highest rate that keeps a percentile in a bound.
 *
 * The arrivals are drawn before a trial begins and do not wait for answers. Latency counts from the scheduled arrival,
 * so a stall delays every query that arrives during it and is seen in each (no coordinated omission; Tene, How NOT to
 * Measure Latency, 2013). SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <math.h>
#include <stdlib.h>

#include "clock.h"
#include "failure.h"
#include "order.h"
#include "percentiles.h"
#include "random.h"

enum { STEPS = 7, CONFIRMATIONS = 5, BOUND_MEDIANS = 10, LEAST_BOUND_NS = 1000000, LEAD_NS = 1000000 };

/* How a duration is spent. */
static const double ALONE = 0.1, SEARCH = 0.4, CONFIRM = 0.5, LOWER = 0.95;

typedef struct rate_search {
    const bench_subject *subject;
    bench_rate *rate;
    bench_series *best; /* of the highest rate that kept the bound; of the confirming trials once they are over */
    double mean_ns, low, high; /* rates between which the highest one lies; high 0: not known */
} rate_search;

/* Queries a second with no pause between them: no higher rate can be kept for long. */
static double capacity(const rate_search *search) {
    return 1e9 / fmax(1, search->mean_ns);
}

static int refuse_too_short(const rate_search *search, double trial_s, double duration_s, char *detail) {
    double needed = ceil(1 / (1 - search->rate->percent / 100)), has = trial_s * capacity(search);
    if (has >= needed) return FINE;
    return bench_fail(detail, USAGE,
                      "--duration of %g s gives %.0f queries of %s in each trial of a rate, and p%g asks for %.0f; "
                      "expected at least %.0f s",
                      duration_s, floor(has), search->subject->name, search->rate->percent, needed,
                      ceil(duration_s * needed / has));
}

/* Serves one schedule of arrivals, in `series`. It ends early when the bound can no longer be kept: when more queries
 * than `allowed` were late. */
static int serve(const rate_search *search, bench_series *series, size_t queries, size_t allowed, size_t *late) {
    int64_t start_ns = bench_now_ns() + LEAD_NS, bound_ns = search->rate->bound_ns;
    int failed = 0;
    *late = 0;
    for (size_t i = 0; i < queries && *late <= allowed && !failed; i++) {
        bench_sleep_until(start_ns + series->scheduled[i]);
        series->began[i] = bench_now_ns() - start_ns;
        failed = search->subject->call(search->subject->self, i);
        series->ended[i] = bench_now_ns() - start_ns;
        *late += series->ended[i] - series->scheduled[i] > bound_ns;
        series->count++;
    }
    return failed;
}

/* One trial. `series` is to be freed. */
static int try_rate(rate_search *search, double rate, double trial_s, bench_random *random, bench_series *series,
                    char *detail) {
    bench_rate *found = search->rate;
    bench_trial *trial = &found->trials[found->trial_count];
    size_t queries = rate * trial_s < 1 ? 1 : (size_t)(rate * trial_s), late = 0;
    size_t allowed = queries - 1 - bench_rank_of(queries, found->percent);
    *series = (bench_series){.subject = search->subject->name, .rows = search->subject->rows};
    bench_series_reserve(series, queries);
    series->scheduled = bench_allocate(queries, sizeof *series->scheduled);
    double due_ns = 0;
    for (size_t i = 0; i < queries; i++) {
        due_ns += bench_random_exponential(random) * 1e9 / rate;
        if (queries == 1) due_ns = fmin(due_ns, trial_s * 1e9); /* the next may be far away */
        series->scheduled[i] = (int64_t)due_ns;
        series->block[i] = (int32_t)found->trial_count;
    }
    if (serve(search, series, queries, allowed, &late))
        return bench_fail(detail, UNSOUND, "%s failed: %s", search->subject->name,
                          search->subject->why(search->subject->self));
    int64_t *sorted = bench_allocate(series->count, sizeof *sorted);
    for (size_t i = 0; i < series->count; i++) sorted[i] = bench_latency(series, i);
    bench_sort_whole(sorted, series->count);
    *trial = (bench_trial){.rate_per_s = rate,
                           .ns = (double)sorted[bench_rank_of(series->count, found->percent)],
                           .queries = series->count,
                           .kept = late <= allowed};
    found->trial_count++;
    free(sorted);
    return FINE;
}

static int last_kept(const rate_search *search) {
    return search->rate->trials[search->rate->trial_count - 1].kept;
}

/* The highest rate so far that kept the bound, and its series, which is taken over. */
static void take(rate_search *search, double rate, bench_series *series) {
    bench_series_free(search->best);
    *search->best = *series;
    search->rate->rate_per_s = rate;
}

static int bisect(rate_search *search, double trial_s, bench_random *random, char *detail) {
    double rate = (search->low + (search->high > 0 ? search->high : capacity(search))) / 2;
    bench_series series;
    int code = try_rate(search, rate, trial_s, random, &series, detail);
    if (!code && last_kept(search)) {
        search->low = rate;
        take(search, rate, &series);
        return FINE;
    }
    bench_series_free(&series);
    if (!code) search->high = search->rate->exceeded_per_s = rate;
    return code;
}

/* A longer trial at the rate found, and at lower ones while they fail: a short trial may have been lucky. */
static int confirm(rate_search *search, double trial_s, bench_random *random, char *detail) {
    double rate = search->low;
    for (int attempt = 1; attempt <= CONFIRMATIONS && rate > 0; attempt++) {
        bench_series series;
        int code = try_rate(search, rate, trial_s, random, &series, detail);
        if (!code && last_kept(search)) {
            take(search, rate, &series);
            return FINE;
        }
        bench_series_free(&series);
        if (code) return code;
        search->high = search->rate->exceeded_per_s = rate;
        rate *= pow(LOWER, attempt);
    }
    search->rate->rate_per_s = 0;
    search->best->count = 0;
    return FINE;
}

/* What the subjects take alone: the bound where none is given, and where each search begins. */
static int alone(const bench_subject *subjects, size_t count, const bench_plan *plan, int64_t *bound_ns,
                 rate_search *searches, bench_run *run, char *detail) {
    bench_run found;
    bench_plan part = {.duration_s = ALONE * plan->duration_s, .seed = plan->seed};
    int code = bench_closed_loop(subjects, count, &part, &found, detail);
    double slowest = 0;
    for (size_t i = 0; i < count && !code; i++) {
        const bench_series *series = &found.series[i];
        int64_t *latency = bench_allocate(series->count, sizeof *latency);
        double sum = 0;
        for (size_t k = 0; k < series->count; k++) sum += (double)(latency[k] = bench_latency(series, k));
        slowest = fmax(slowest, bench_median_whole(latency, series->count));
        searches[i].mean_ns = sum / (double)series->count;
        free(latency);
    }
    if (!*bound_ns) *bound_ns = (int64_t)fmax(LEAST_BOUND_NS, BOUND_MEDIANS * slowest);
    run->warm_up_s = found.warm_up_s;
    run->warm_up_rounds = found.warm_up_rounds;
    run->steady = found.steady;
    bench_run_free(&found);
    return code;
}

/* All trials, the subjects' in turn, in an order drawn anew each time. */
static int search_all(rate_search *searches, size_t *turns, size_t count, const bench_plan *plan, bench_run *run,
                      char *detail) {
    bench_random random = {plan->seed};
    double trial_s = SEARCH * plan->duration_s / STEPS / (double)count;
    double confirm_s = CONFIRM * plan->duration_s / (double)count;
    int code = FINE;
    for (size_t i = 0; i < count && !code; i++)
        code = refuse_too_short(&searches[i], trial_s, plan->duration_s, detail);
    for (int step = 0; step < STEPS && !code; step++) {
        bench_shuffle(&random, turns, count);
        for (size_t i = 0; i < count && !code; i++) code = bisect(&searches[turns[i]], trial_s, &random, detail);
        if (!code && plan->watch) plan->watch(plan->user, run);
    }
    bench_shuffle(&random, turns, count);
    for (size_t i = 0; i < count && !code; i++) {
        code = confirm(&searches[turns[i]], confirm_s, &random, detail);
        if (!code && plan->watch) plan->watch(plan->user, run);
    }
    return code;
}

int bench_server(const bench_subject *subjects, size_t count, const bench_plan *plan, int64_t bound_ns, bench_run *run,
                 bench_rate *rates, char *detail) {
    *run = bench_run_begin(subjects, count);
    rate_search *searches = bench_allocate(count, sizeof *searches);
    size_t *turns = bench_allocate(count, sizeof *turns);
    int code = alone(subjects, count, plan, &bound_ns, searches, run, detail);
    for (size_t i = 0; i < count; i++) {
        rates[i] = (bench_rate){.subject = subjects[i].name, .percent = plan->percentile, .bound_ns = bound_ns};
        searches[i].subject = &subjects[i];
        searches[i].rate = &rates[i];
        searches[i].best = &run->series[i];
        turns[i] = i;
    }
    if (!code) code = search_all(searches, turns, count, plan, run, detail);
    free(searches);
    free(turns);
    return code;
}
