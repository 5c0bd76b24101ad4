/* What models are measured with. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include "edge_rai.h"
#include "manifest.h"

/* One input of all rows: axis 0 counts them, where the model is batched. */
typedef struct bench_input {
    const char *name;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank, dtype;
    int state; /* a recurrent state: the session's own, zeros for a bare runtime */
    uint8_t *data;
} bench_input;

typedef struct bench_rows {
    bench_input *inputs; /* in the guard's order, states too */
    size_t count;
    int64_t rows; /* 1 where a call is one row */
    int batched;
} bench_rows;

/* Of a file (.npy, .npz or .f32), of golden inputs, or random ones of the guard's references and ranges. `labels` is
 * the array of an .npz that holds no input; NULL: there is none. */
int bench_rows_of_file(const erai_guard *guard, const char *path, const char *labels, bench_rows *rows, char *detail);
/* UNSOUND without a word of it to the user: the manifest has no golden inputs for this guard. */
int bench_rows_of_golden(const erai_guard *guard, const erai_bundle *bundle, const bench_manifest *manifest,
                         bench_rows *rows);
int bench_rows_of_chance(const erai_guard *guard, uint64_t seed, bench_rows *rows, char *detail);
/* The labels of a file's rows, as numbers in memory that the caller frees. */
int bench_labels_of_file(const char *path, const char *key, double **labels, size_t *count, char *detail);
void bench_rows_free(bench_rows *rows);

/* What single calls are given: `count` feeds of `rows` rows, each one tensor an input. The first `given` of a feed are
 * for a session, in the guard's order; its states come after them. */
typedef struct bench_feeds {
    erai_tensor *tensors; /* count * inputs */
    const char **names;   /* inputs */
    size_t count, inputs, given;
    uint8_t *memory;
    int64_t *shapes;
} bench_feeds;

bench_feeds bench_feeds_of(const bench_rows *rows, int64_t per_call);
void bench_feeds_free(bench_feeds *feeds);

#endif
