/* Subjects beside each other: ratios and differences of the block medians of one round, and throughput.
 *
 * Which of two subjects comes first in a round is drawn anew each time. Were they equal, each would be the slower one
 * of a round with probability one half, whatever clock speeds and neighbours did and however long; so the median of the
 * ratios has the interval of a median of independent values. Where a process's memory happens to lie one process cannot
 * see: of FEWEST_PROCESSES or more, their medians take the rounds' place; of fewer, a verdict asks for ONE_PROCESS more
 * (docs/formats/bench.md). SPDX-License-Identifier: Apache-2.0 */
#include "ratios.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "order.h"
#include "percentiles.h"

enum { BATCHES = 20, FEWEST_PROCESSES = BENCH_FEWEST_ROUNDS };

static const double ONE_PROCESS = 1.05;
static const double Z_95 = 1.9599639845400545; /* two-sided quantile of the normal law */

typedef struct estimate {
    double middle, low_95, high_95, low_99, high_99;
} estimate;

/* The median of at least BENCH_FEWEST_ROUNDS values, which it sorts, and its intervals. */
static estimate estimate_of(double *values, size_t count) {
    estimate found = {.middle = bench_median(values, count)};
    bench_ranks of_95 = bench_interval_ranks((int64_t)count, 0.5, 0.95);
    bench_ranks of_99 = bench_interval_ranks((int64_t)count, 0.5, 0.99);
    found.low_95 = values[of_95.low], found.high_95 = values[of_95.high];
    found.low_99 = values[of_99.low], found.high_99 = values[of_99.high];
    return found;
}

/* Takes the medians of processes for the values of rounds, where there are enough; how many values that makes. `rounds`
 * are theirs, rising. */
static size_t by_process(const bench_run *run, const int32_t *rounds, double *values, size_t count) {
    double *medians = bench_allocate(run->processes, sizeof *medians);
    size_t parts = 0, first = 0;
    for (size_t p = 1; p <= run->processes; p++) {
        size_t last = first;
        while (last < count && (p == run->processes || rounds[last] < run->first_round[p])) last++;
        if (last > first) medians[parts++] = bench_median_kept(values + first, last - first);
        first = last;
    }
    int enough = parts >= FEWEST_PROCESSES;
    if (enough) memcpy(values, medians, parts * sizeof *values);
    free(medians);
    return enough ? parts : count;
}

static const char *verdict(double low, double high) {
    return high < 1 ? "faster" : low > 1 ? "slower" : "cannot tell";
}

int bench_ratio_of(const bench_run *run, const bench_series *subject, const bench_series *against, bench_ratio *ratio) {
    bench_blocks ours = bench_blocks_of(subject), theirs = bench_blocks_of(against);
    double *logs = bench_allocate(ours.count, sizeof *logs);
    double *differences = bench_allocate(ours.count, sizeof *differences);
    size_t rounds = 0;
    for (size_t i = 0, k = 0; i < ours.count && k < theirs.count;) {
        if (ours.block[i] != theirs.block[k]) {
            ours.block[i] < theirs.block[k] ? i++ : k++;
            continue;
        }
        double above = fmax(ours.median_ns[i++], 1), below = fmax(theirs.median_ns[k++], 1);
        ours.block[rounds] = ours.block[i - 1];
        logs[rounds] = log(above / below);
        differences[rounds++] = above - below;
    }
    int enough = rounds >= BENCH_FEWEST_ROUNDS;
    if (enough) {
        size_t values = by_process(run, ours.block, logs, rounds);
        by_process(run, ours.block, differences, rounds);
        estimate of_logs = estimate_of(logs, values), of_differences = estimate_of(differences, values);
        double alone = values < rounds ? 1 : ONE_PROCESS;
        *ratio = (bench_ratio){.subject = subject->subject,
                               .against = against->subject,
                               .rounds = rounds,
                               .ratio = exp(of_logs.middle),
                               .low_95 = exp(of_logs.low_95),
                               .high_95 = exp(of_logs.high_95),
                               .low_99 = exp(of_logs.low_99),
                               .high_99 = exp(of_logs.high_99),
                               .difference_ns = of_differences.middle,
                               .difference_low_95_ns = of_differences.low_95,
                               .difference_high_95_ns = of_differences.high_95};
        ratio->verdict = verdict(ratio->low_99 / alone, ratio->high_99 * alone);
    }
    free(logs);
    free(differences);
    bench_blocks_free(&ours);
    bench_blocks_free(&theirs);
    return enough;
}

/* Two-sided quantile of Student's t at 95 %, to 1.5 % from 4 degrees of freedom on (Abramowitz and Stegun 26.7.5). */
static double student_t(double freedom) {
    double z = Z_95, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
    return z + (z3 + z) / 4 / freedom + (5 * z5 + 16 * z3 + 3 * z) / 96 / (freedom * freedom) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384 / (freedom * freedom * freedom);
}

static double total_ns(const bench_series *series, size_t first, size_t count) {
    double sum = 0;
    for (size_t i = first; i < first + count; i++) sum += (double)bench_latency(series, i);
    return sum;
}

static double rows_per_s(const bench_series *series) {
    return (double)series->rows * (double)series->count * 1e9 / fmax(1, total_ns(series, 0, series->count));
}

/* The interval at 95 %, from the mean times of consecutive batches of calls. */
static void add_interval(const bench_series *series, bench_throughput *found) {
    size_t batches = series->count < BATCHES ? series->count : BATCHES, size = series->count / batches;
    double means[BATCHES], mean = 0, variance = 0;
    for (size_t b = 0; b < batches; b++) {
        means[b] = total_ns(series, b * size, size) / (double)size;
        mean += means[b] / (double)batches;
    }
    for (size_t b = 0; b < batches; b++) variance += (means[b] - mean) * (means[b] - mean) / (double)(batches - 1);
    double half = student_t((double)(batches - 1)) * sqrt(variance / (double)batches);
    double of_all = fmax(1, total_ns(series, 0, series->count) / (double)series->count);
    found->low_95 = found->rows_per_s * of_all / (of_all + half);
    found->high_95 = found->rows_per_s * of_all / fmax(1, of_all - half);
}

/* Whether a batch takes longer a row than the fastest one, beyond doubt. */
static int beaten(const bench_run *run, const bench_series *series, const bench_series *fastest) {
    bench_ratio ratio;
    if (series == fastest) return 0;
    if (!bench_ratio_of(run, series, fastest, &ratio)) return 1;
    return ratio.low_99 * (double)fastest->rows / (double)series->rows > 1;
}

void bench_throughput_of(const bench_run *run, const bench_series *const *batches, size_t count,
                         bench_throughput *found) {
    const bench_series *fastest = batches[0], *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (rows_per_s(batches[i]) > rows_per_s(fastest)) fastest = batches[i];
    for (size_t i = 0; i < count; i++)
        if ((!best || batches[i]->rows < best->rows) && !beaten(run, batches[i], fastest)) best = batches[i];
    for (size_t i = 0; i < count; i++) {
        found[i] = (bench_throughput){.subject = batches[i]->subject,
                                      .batch = batches[i]->rows,
                                      .rows_per_s = rows_per_s(batches[i]),
                                      .best = batches[i] == best};
        add_interval(batches[i], &found[i]);
    }
}
