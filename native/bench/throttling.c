/* A series that slows down for good: Pettitt's test for one change (A non-parametric approach to the change-point
 * problem, Applied Statistics 28, 1979) on medians of consecutive windows, of which neighbours that resemble each other
 * count for fewer (edge_rai/bench/throttling.py does the same). SPDX-License-Identifier: Apache-2.0 */
#include "throttling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "order.h"

enum { WINDOWS = 160, FEWEST_WINDOWS = 20, AGREEING = 3 };

static const double CHANCE = 1e-5; /* one steady series in a hundred thousand looks like this by chance */
static const double SLOWER = 1.05;
static const double QUARTER = 0.25; /* before and after may overlap by so much */
static const double LEAST = 1e-9;   /* where a clock is so coarse that a call takes no time */

/* The sum of products of neighbours, and of squares, of values less their mean and slope. */
static void add_around(const double *values, size_t count, double *around) {
    double mean = 0, slope = 0, squares = 0, middle = ((double)count - 1) / 2;
    for (size_t i = 0; i < count; i++) {
        double time = (double)i - middle;
        mean += values[i] / (double)count;
        slope += time * values[i];
        squares += time * time;
    }
    slope /= fmax(1, squares);
    for (size_t i = 0; i < count; i++) around[i] = values[i] - mean - slope * ((double)i - middle);
}

/* What share of the windows counts: that of a first-order autoregression. */
static double independence(const double *ranks, size_t count, size_t split) {
    double around[WINDOWS], products = 0, squares = 0;
    add_around(ranks, split, around);
    add_around(ranks + split, count - split, around + split);
    for (size_t i = 0; i < count; i++) {
        squares += around[i] * around[i];
        if (i) products += around[i] * around[i - 1];
    }
    double r = products / fmax(LEAST, squares);
    return r > 0 ? (1 - r) / (1 + r) : 1;
}

/* Where the series rises most; the probability of a rise like its greatest by chance. */
static size_t pettitt(const double *level, size_t count, double *chance) {
    double ranks[WINDOWS], sum = 0, greatest = 0, best = -1, n = (double)count;
    size_t split = 1;
    for (size_t i = 0; i < count; i++) {
        double below = 0, upto = 0;
        for (size_t k = 0; k < count; k++) below += level[k] < level[i], upto += level[k] <= level[i];
        ranks[i] = below + upto + 1; /* doubled */
    }
    for (size_t i = 1; i < count; i++) {
        double size = (double)i;
        sum += ranks[i - 1];
        double rise = fmax(0, size * (n + 1) - sum);
        greatest = fmax(greatest, rise);
        /* The statistic alone would draw the place towards the middle: divide by its own standard deviation. */
        double standing = rise / sqrt(size * (n - size));
        if (standing > best) best = standing, split = i;
    }
    double exponent = 6 * greatest * greatest / (n * n * n + n * n);
    *chance = exp(-exponent * independence(ranks, count, split));
    return split;
}

/* Of values in time order: the index of the first after the step. */
static int step_of(const double *values, size_t count, size_t *first, double *ratio) {
    double level[WINDOWS], sorted[WINDOWS], chance = 1;
    size_t windows = count < WINDOWS ? count : WINDOWS;
    if (windows < FEWEST_WINDOWS) return 0;
    for (size_t i = 0; i < windows; i++) {
        size_t from = i * count / windows, to = (i + 1) * count / windows;
        level[i] = bench_median_kept(values + from, to - from);
    }
    size_t split = pettitt(level, windows, &chance), rest = windows - split;
    memcpy(sorted, level, windows * sizeof *level);
    bench_sort(sorted, split);
    bench_sort(sorted + split, rest);
    *ratio = bench_quantile(sorted + split, rest, 0.5) / fmax(bench_quantile(sorted, split, 0.5), LEAST);
    *first = split * count / windows;
    return chance <= CHANCE && *ratio >= SLOWER &&
           bench_quantile(sorted + split, rest, QUARTER) > bench_quantile(sorted, split, 1 - QUARTER);
}

/* Whether enough processes ran before and after that round. */
static int agreed(const bench_run *run, int32_t round) {
    size_t earlier = 0;
    while (earlier < run->processes && run->first_round[earlier] < round) earlier++;
    return run->processes < 2 || (earlier >= AGREEING && run->processes - earlier >= AGREEING);
}

/* In multiples of the yardstick. */
static int step_beside(const bench_run *run, const bench_blocks *blocks, const bench_blocks *yardstick, double *at_s,
                       double *ratio) {
    double *multiples = bench_allocate(blocks->count, sizeof *multiples);
    size_t *places = bench_allocate(blocks->count, sizeof *places), shared = 0, first = 0;
    for (size_t i = 0, k = 0; i < blocks->count && k < yardstick->count;) {
        if (blocks->block[i] != yardstick->block[k]) {
            blocks->block[i] < yardstick->block[k] ? i++ : k++;
            continue;
        }
        places[shared] = i;
        multiples[shared++] = blocks->median_ns[i++] / fmax(yardstick->median_ns[k++], 1);
    }
    int found = step_of(multiples, shared, &first, ratio) && agreed(run, blocks->block[places[first]]);
    if (found) *at_s = (double)blocks->began_ns[places[first]] / 1e9;
    free(multiples);
    free(places);
    return found;
}

int bench_throttling(const bench_run *run, const bench_blocks *blocks, const bench_blocks *yardstick, double *at_s,
                     double *ratio) {
    size_t first = 0;
    if (yardstick && step_beside(run, blocks, yardstick, at_s, ratio)) return 1;
    if (!step_of(blocks->median_ns, blocks->count, &first, ratio) || !agreed(run, blocks->block[first])) return 0;
    *at_s = (double)blocks->began_ns[first] / 1e9;
    return 1;
}
