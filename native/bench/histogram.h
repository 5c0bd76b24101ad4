/* Latencies as an HdrHistogram in base64. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Of `count` latencies in ns; beyond an hour they count as one hour, below 0 as 0. A string that the caller frees. */
char *bench_histogram(const int64_t *latency, size_t count);

#endif
