/* Values sorted, and medians. SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include <stdlib.h>
#include <string.h>

#include "failure.h"

static int compare_whole(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

void bench_sort_whole(int64_t *values, size_t count) {
    qsort(values, count, sizeof *values, compare_whole);
}

void bench_sort(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare);
}

double bench_median_whole(int64_t *values, size_t count) {
    if (!count) return 0;
    bench_sort_whole(values, count);
    return ((double)values[(count - 1) / 2] + (double)values[count / 2]) / 2;
}

double bench_median(double *values, size_t count) {
    if (!count) return 0;
    bench_sort(values, count);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

double bench_median_kept(const double *values, size_t count) {
    double *copy = bench_allocate(count, sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    double median = bench_median(copy, count);
    free(copy);
    return median;
}

double bench_quantile(const double *sorted, size_t count, double share) {
    double place = share * (double)(count - 1);
    size_t below = (size_t)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (sorted[above] - sorted[below]) * (place - (double)below);
}
