/* What is recorded of calls. SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <stdlib.h>

#include "failure.h"
#include "order.h"

void bench_series_reserve(bench_series *series, size_t more) {
    size_t needed = series->count + more;
    if (needed <= series->capacity) return;
    size_t capacity = series->capacity * 2 > needed ? series->capacity * 2 : needed;
    series->block = bench_resize(series->block, capacity, sizeof *series->block);
    series->began = bench_resize(series->began, capacity, sizeof *series->began);
    series->ended = bench_resize(series->ended, capacity, sizeof *series->ended);
    series->capacity = capacity;
}

void bench_series_free(bench_series *series) {
    free(series->block);
    free(series->scheduled);
    free(series->began);
    free(series->ended);
    *series = (bench_series){0};
}

bench_blocks bench_blocks_of(const bench_series *series) {
    bench_blocks found = {0};
    size_t blocks = 0, longest = 0;
    for (size_t i = 0, first = 0; i < series->count; i++) {
        if (!i || series->block[i] != series->block[i - 1]) first = i, blocks++;
        if (i + 1 - first > longest) longest = i + 1 - first;
    }
    found.block = bench_allocate(blocks, sizeof *found.block);
    found.began_ns = bench_allocate(blocks, sizeof *found.began_ns);
    found.median_ns = bench_allocate(blocks, sizeof *found.median_ns);
    int64_t *latency = bench_allocate(longest, sizeof *latency);
    for (size_t i = 0; i < series->count;) {
        size_t first = i;
        for (; i < series->count && series->block[i] == series->block[first]; i++)
            latency[i - first] = bench_latency(series, i);
        found.block[found.count] = series->block[first];
        found.began_ns[found.count] = bench_due(series, first);
        found.median_ns[found.count++] = bench_median_whole(latency, i - first);
    }
    free(latency);
    return found;
}

void bench_blocks_free(bench_blocks *blocks) {
    free(blocks->block);
    free(blocks->began_ns);
    free(blocks->median_ns);
    *blocks = (bench_blocks){0};
}
