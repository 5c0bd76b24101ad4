/* Percentiles with confidence intervals from order statistics, and how many queries a percentile asks for.
 *
 * The interval of a percentile is a pair of the sorted values themselves: how many of n independent values lie below
 * the true percentile is binomial, whatever the law (David and Nagaraja, Order Statistics, 3rd edition, section 7.1).
 * Where neighbours resemble each other the values count for fewer: the variance of the share of values below the
 * estimate, taken from means of consecutive batches, says for how many. SPDX-License-Identifier: Apache-2.0 */
#include "percentiles.h"

#include <math.h>
#include <stdlib.h>

#include "failure.h"

enum { BATCHES = 40, ROUND_UP = 8192 };

/* Variance among batches over what independent values would give: beyond this, one run in a hundred of such. */
static const double RESEMBLES = 1.6;
static const double ROUNDING = 1e-12;       /* of sums of probabilities, and of percentages */
static const double Z_99 = 2.5758293035489; /* two-sided quantile of the normal law */

/* Reddi et al., MLPerf Inference Benchmark, 2020, section III-D: the share of queries within the percentile is known to
 * a twentieth of what is beyond it, at 99 % confidence. */
int64_t bench_queries_needed(double percent) {
    double share = percent / 100, margin = fmin(share, 1 - share) / 20;
    return (int64_t)ceil(Z_99 * Z_99 * share * (1 - share) / (margin * margin) / ROUND_UP) * ROUND_UP;
}

size_t bench_rank_of(size_t n, double percent) {
    double rank = ceil((double)n * percent / 100 * (1 - ROUNDING)) - 1;
    if (rank < 0) return 0;
    return rank > (double)(n - 1) ? n - 1 : (size_t)rank;
}

/* The binomial law's distribution function from a first count on; what lies beyond is nothing. */
typedef struct binomial {
    double *cumulative;
    int64_t first;
    size_t count;
} binomial;

static binomial binomial_of(int64_t n, double share) {
    double spread = 12 * sqrt((double)n * share * (1 - share)) + 40;
    binomial law = {.first = (int64_t)fmax(0, floor((double)n * share - spread))};
    int64_t last = (int64_t)fmin((double)n, ceil((double)n * share + spread));
    law.count = (size_t)(last - law.first) + 1;
    law.cumulative = bench_allocate(law.count, sizeof *law.cumulative);
    double greatest = 0, sum = 0; /* logarithms at first, of masses over that of the first count */
    for (size_t i = 1; i < law.count; i++) {
        double count = (double)law.first + (double)i - 1;
        law.cumulative[i] = law.cumulative[i - 1] + log(((double)n - count) / (count + 1)) + log(share / (1 - share));
        greatest = fmax(greatest, law.cumulative[i]);
    }
    for (size_t i = 0; i < law.count; i++) law.cumulative[i] = sum += exp(law.cumulative[i] - greatest);
    for (size_t i = 0; i < law.count; i++) law.cumulative[i] /= sum;
    return law;
}

/* The probability that at most so many values lie below the quantile. */
static double upto(const binomial *law, int64_t count) {
    if (count < law->first) return 0;
    size_t at = (size_t)(count - law->first);
    return law->cumulative[at < law->count ? at : law->count - 1];
}

bench_ranks bench_interval_ranks(int64_t n, double share, double confidence) {
    binomial law = binomial_of(n, share);
    double half = (1 - confidence) / 2;
    size_t low_at = 0, high_at = 0;
    while (low_at < law.count && law.cumulative[low_at] <= half) low_at++;
    while (high_at < law.count && law.cumulative[high_at] < 1 - half - ROUNDING) high_at++;
    /* The quantile is above sorted value r (from 0) when more than r values lie below it. */
    int64_t low = law.first + (int64_t)low_at - 1, high = law.first + (int64_t)high_at;
    /* Counts are whole, so that equal tails leave some to spare: give it to the end that is further out in time. */
    if (high < n && upto(&law, high - 1) - upto(&law, low) >= confidence)
        high--;
    else if (low >= 0 && upto(&law, high) - upto(&law, low + 1) >= confidence)
        low++;
    free(law.cumulative);
    return (bench_ranks){low < 0 ? -1 : low, high < n ? high : n};
}

/* The sorted value at that rank of `independent` values, where these are more. */
static bench_end end_at(const int64_t *sorted, size_t n, int64_t rank, int64_t independent) {
    if (rank < 0 || rank >= independent) return (bench_end){0};
    double at = ((double)rank + 0.5) * (double)n / (double)independent;
    return (bench_end){(double)sorted[at < (double)n ? (size_t)at : n - 1], 1};
}

bench_percentile bench_percentile_of(const int64_t *sorted, size_t n, double percent, int64_t independent) {
    bench_ranks of_95 = bench_interval_ranks(independent, percent / 100, 0.95);
    bench_ranks of_99 = bench_interval_ranks(independent, percent / 100, 0.99);
    return (bench_percentile){.percent = percent,
                              .ns = (double)sorted[bench_rank_of(n, percent)],
                              .low_95 = end_at(sorted, n, of_95.low, independent),
                              .high_95 = end_at(sorted, n, of_95.high, independent),
                              .low_99 = end_at(sorted, n, of_99.low, independent),
                              .high_99 = end_at(sorted, n, of_99.high, independent),
                              .queries_needed = bench_queries_needed(percent)};
}

int64_t bench_independent(const int64_t *latency, const int64_t *sorted, size_t n, double percent) {
    size_t size = n / BATCHES;
    if (size < 2) return (int64_t)n;
    int64_t middle = sorted[bench_rank_of(n, percent)];
    double shares[BATCHES], mean = 0, variance = 0;
    for (size_t b = 0; b < BATCHES; b++) {
        size_t over = 0;
        for (size_t i = 0; i < size; i++) over += latency[b * size + i] > middle;
        shares[b] = (double)over / (double)size;
        mean += shares[b] / BATCHES;
    }
    if (mean <= 0 || mean >= 1) return (int64_t)n;
    for (size_t b = 0; b < BATCHES; b++) variance += (shares[b] - mean) * (shares[b] - mean) / (BATCHES - 1);
    double spread = variance * (double)size / (mean * (1 - mean));
    if (spread <= RESEMBLES) return (int64_t)n;
    return spread < (double)n ? (int64_t)((double)n / spread) : 1;
}
