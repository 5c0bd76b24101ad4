/* A model or bundle that is measured, and the subjects made of it. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include "bare.h"
#include "rows.h"
#include "series.h"

typedef struct bench_model {
    const char *path;
    char *name, *bare_name;                /* in the report */
    erai_bundle *bundle;                   /* NULL: a bare model */
    bench_manifest manifest;               /* of the bundle */
    const uint8_t *bytes;                  /* of the model in the bundle; NULL: `path` is the model */
    size_t size;                           /* of the model */
    uint64_t all_bytes;                    /* of the bundle, or of the model */
    char sha256[2 * ERAI_DIGEST_SIZE + 1]; /* of the bundle's manifest, or of the model */
    erai_session *session;
    bench_rows rows;
    int64_t most_rows; /* that one call may have */
} bench_model;

/* Opens it. `data` is the file with rows; NULL: golden inputs, or random rows. `model` is to be closed in any case. */
int bench_model_open(const char *path, char *name, const char *data, uint32_t threads, uint64_t seed,
                     bench_model *model, char *detail);
void bench_model_close(bench_model *model);

/* Rows rejected so far. */
uint64_t bench_model_rejected(const bench_model *model);

/* A name for each path: its last part, or the whole path where that is not enough, numbered where nothing is. */
char *bench_model_name(const char *const *paths, size_t count, size_t which);

/* One subject's own: what it calls with. */
typedef struct bench_caller {
    bench_feeds feeds;
    erai_session *session;
    erai_answer *answer;
    bench_bare *bare;
} bench_caller;

/* Subjects of a model with so many rows a call: guarded, or bare. `caller` is to be closed in any case. */
int bench_guarded(const bench_model *model, int64_t rows, bench_caller *caller, bench_subject *subject, char *detail);
int bench_unguarded(const bench_model *model, int64_t rows, uint32_t threads, bench_caller *caller,
                    bench_subject *subject, char *detail);
void bench_caller_close(bench_caller *caller);

#endif
