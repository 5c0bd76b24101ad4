/* From what a scenario recorded to what is reported of it. SPDX-License-Identifier: Apache-2.0 */
#include "summary.h"

#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "histogram.h"
#include "order.h"
#include "throttling.h"

static const double PERCENTS[BENCH_PERCENTILES] = {50, 90, 99, 99.9};

static bench_series_summary summary_of(const bench_series *series, int timed) {
    bench_series_summary found = {.series = series};
    size_t count = series->count;
    int64_t *latency = bench_allocate(count, sizeof *latency), *sorted = bench_allocate(count, sizeof *sorted);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)(latency[i] = bench_latency(series, i));
    memcpy(sorted, latency, count * sizeof *sorted);
    bench_sort_whole(sorted, count);
    found.mean_ns = sum / (double)count;
    found.min_ns = sorted[0];
    found.max_ns = sorted[count - 1];
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        int64_t independent = bench_independent(latency, sorted, count, PERCENTS[i]);
        if (!i) found.independent_queries = independent;
        found.percentiles[i] = bench_percentile_of(sorted, count, PERCENTS[i], independent);
    }
    found.histogram = bench_histogram(latency, count);
    if (timed) found.blocks = bench_blocks_of(series);
    free(latency);
    free(sorted);
    return found;
}

/* Throttling is of one load: in `server` each trial has another. */
static void find_throttling(bench_summary *summary) {
    const bench_blocks *yardstick = NULL;
    for (size_t i = 0; i < summary->series_count; i++)
        if (!strcmp(summary->series[i].series->subject, BENCH_YARDSTICK)) yardstick = &summary->series[i].blocks;
    for (size_t i = 0; i < summary->series_count; i++) {
        bench_series_summary *one = &summary->series[i];
        one->throttled =
            bench_throttling(summary->run, &one->blocks, yardstick, &one->throttled_at_s, &one->throttled_ratio);
    }
}

static void add_ratios(bench_summary *summary, const bench_pair *pair) {
    for (size_t i = 0; i < summary->series_count; i++)
        for (size_t k = 0; k < summary->series_count; k++) {
            const bench_series *ours = summary->series[i].series, *theirs = summary->series[k].series;
            if (ours->rows != theirs->rows || strcmp(ours->subject, pair->subject) ||
                strcmp(theirs->subject, pair->against))
                continue;
            summary->ratios = bench_resize(summary->ratios, summary->ratio_count + 1, sizeof *summary->ratios);
            summary->ratio_count +=
                (size_t)bench_ratio_of(summary->run, ours, theirs, &summary->ratios[summary->ratio_count]);
        }
}

static int enough_rounds(const bench_series_summary *series) {
    return series->blocks.count >= BENCH_FEWEST_ROUNDS;
}

/* All batches of the subject that the series at `first` is the first of. */
static void add_throughput(bench_summary *summary, size_t first) {
    const char *name = summary->series[first].series->subject;
    const bench_series **batches = bench_allocate(summary->series_count, sizeof *batches);
    size_t count = 0;
    int enough = strcmp(name, BENCH_YARDSTICK) != 0;
    for (size_t i = 0; i < summary->series_count; i++)
        if (!strcmp(summary->series[i].series->subject, name)) {
            enough = enough && i >= first && enough_rounds(&summary->series[i]);
            batches[count++] = summary->series[i].series;
        }
    if (enough) {
        summary->throughput =
            bench_resize(summary->throughput, summary->throughput_count + count, sizeof *summary->throughput);
        bench_throughput_of(summary->run, batches, count, summary->throughput + summary->throughput_count);
        summary->throughput_count += count;
    }
    free(batches);
}

bench_summary bench_summarize(bench_scenario scenario, const bench_run *run, const bench_pair *pairs, size_t pair_count,
                              const bench_rate *rates, size_t rate_count) {
    bench_summary found = {.scenario = scenario, .run = run, .rates = rates, .rate_count = rate_count};
    found.series = bench_allocate(run->count, sizeof *found.series);
    for (size_t i = 0; i < run->count; i++)
        if (run->series[i].count) found.series[found.series_count++] = summary_of(&run->series[i], scenario != SERVER);
    if (scenario != SERVER) find_throttling(&found);
    for (size_t i = 0; i < pair_count; i++) add_ratios(&found, &pairs[i]);
    if (scenario == OFFLINE)
        for (size_t i = 0; i < found.series_count; i++) add_throughput(&found, i);
    return found;
}

void bench_summary_free(bench_summary *summary) {
    for (size_t i = 0; i < summary->series_count; i++) {
        free(summary->series[i].histogram);
        bench_blocks_free(&summary->series[i].blocks);
    }
    free(summary->series);
    free(summary->ratios);
    free(summary->throughput);
    *summary = (bench_summary){0};
}
