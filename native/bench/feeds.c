/* What single calls are given. Inputs of different calls differ, as they would, and together stay within what a cache
 * close to the core may hold. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "rows.h"

enum { MOST_FEEDS = 256, MOST_FEED_BYTES = 1 << 20, ALIGNMENT = 64 };

/* Bytes of an input in one call, after its shape is written. */
static size_t shape_of(const bench_input *input, int batched, int64_t per_call, int64_t *shape) {
    size_t size = erai_dtype_size(input->dtype);
    for (uint32_t i = 0; i < input->rank; i++) {
        shape[i] = input->shape[i];
        if (input->state && shape[i] < 0) shape[i] = per_call;
        if (!input->state && batched && !i) shape[i] = per_call;
        size *= (size_t)shape[i];
    }
    return size;
}

/* The rows of a feed: from its first one on, and from the beginning again after the last. */
static void copy_rows(const bench_input *input, const bench_rows *rows, int64_t first, int64_t per_call, size_t size,
                      uint8_t *to) {
    size_t row = size / (size_t)(rows->batched ? per_call : 1);
    for (int64_t r = 0; r < (rows->batched ? per_call : 1); r++)
        memcpy(to + (size_t)r * row, input->data + (size_t)((first + r) % rows->rows) * row, row);
}

bench_feeds bench_feeds_of(const bench_rows *rows, int64_t per_call) {
    bench_feeds feeds = {.inputs = rows->count, .count = 1};
    size_t *sizes = bench_allocate(rows->count, sizeof *sizes), bytes = 0, all = 0, place = 0;
    const bench_input **order = bench_allocate(rows->count, sizeof *order);
    for (int state = 0; state < 2; state++) {
        for (size_t i = 0; i < rows->count; i++)
            if (rows->inputs[i].state == state) order[place++] = &rows->inputs[i];
        if (!state) feeds.given = place;
    }
    feeds.names = bench_allocate(rows->count, sizeof *feeds.names);
    feeds.shapes = bench_allocate(rows->count * ERAI_MAX_RANK, sizeof *feeds.shapes);
    for (size_t i = 0; i < rows->count; i++) {
        feeds.names[i] = order[i]->name;
        sizes[i] = shape_of(order[i], rows->batched, per_call, feeds.shapes + i * ERAI_MAX_RANK);
        bytes += sizes[i];
        all += (sizes[i] / ALIGNMENT + 1) * ALIGNMENT;
    }
    if (rows->batched) {
        size_t several = (size_t)((rows->rows + per_call - 1) / per_call), fit = MOST_FEED_BYTES / (bytes ? bytes : 1);
        if (several > MOST_FEEDS) several = MOST_FEEDS;
        feeds.count = several > fit ? (fit ? fit : 1) : several;
    }
    feeds.memory = bench_allocate(feeds.count, all);
    feeds.tensors = bench_allocate(feeds.count * feeds.inputs, sizeof *feeds.tensors);
    for (size_t f = 0, at = 0; f < feeds.count; f++)
        for (size_t i = 0; i < feeds.inputs; i++) {
            if (!order[i]->state)
                copy_rows(order[i], rows, (int64_t)f * per_call, per_call, sizes[i], feeds.memory + at);
            feeds.tensors[f * feeds.inputs + i] = (erai_tensor){.data = feeds.memory + at,
                                                                .shape = feeds.shapes + i * ERAI_MAX_RANK,
                                                                .rank = order[i]->rank,
                                                                .dtype = order[i]->dtype};
            at += (sizes[i] / ALIGNMENT + 1) * ALIGNMENT;
        }
    free(sizes);
    free(order);
    return feeds;
}

void bench_feeds_free(bench_feeds *feeds) {
    free(feeds->tensors);
    free(feeds->names);
    free(feeds->memory);
    free(feeds->shapes);
    *feeds = (bench_feeds){0};
}
