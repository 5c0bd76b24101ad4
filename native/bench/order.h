/* Values sorted, and medians. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ORDER_H
#define BENCH_ORDER_H

#include <stddef.h>
#include <stdint.h>

void bench_sort_whole(int64_t *values, size_t count);
void bench_sort(double *values, size_t count);
double bench_median_whole(int64_t *values, size_t count); /* sorts them; 0 of none */
double bench_median(double *values, size_t count);        /* likewise */
double bench_median_kept(const double *values, size_t count);
double bench_quantile(const double *sorted, size_t count, double share); /* between neighbours: linear */

#endif
