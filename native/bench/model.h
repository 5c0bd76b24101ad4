/* A model or bundle that is measured, and the subjects made of it. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include "accuracy.h"
#include "bare.h"
#include "options.h"
#include "rows.h"
#include "safeguards.h"
#include "series.h"

/* A bundle with one safeguard switched off. */
typedef struct bench_variant {
    char *name; /* in the report */
    erai_session *session;
} bench_variant;

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
    bench_variant variants[BENCH_SAFEGUARDS];
    size_t variant_count;
    bench_accuracy accuracy;
} bench_model;

/* Opens model number `which` of the options, and its variants where each safeguard is to be switched off. `model` is to
 * be closed in any case. */
int bench_model_open(const bench_options *options, size_t which, bench_model *model, char *detail);
void bench_model_close(bench_model *model);

/* What a session of a file is measured with: of --data, of its golden inputs, or random ones. */
int bench_rows_of(const erai_session *session, const char *path, const bench_options *options, bench_rows *rows,
                  char *detail);

/* How right it is by the file's labels. */
int bench_model_judge(const bench_options *options, bench_model *model, char *detail);

typedef struct bench_asked {
    uint64_t rows, rejected;
} bench_asked;

/* Rows asked so far, and how many of them were rejected. */
bench_asked bench_model_asked(const bench_model *model);

/* One subject's own: what it calls with. */
typedef struct bench_caller {
    bench_feeds feeds;
    erai_session *session;
    erai_answer *answer;
    bench_bare *bare;
} bench_caller;

/* Subjects of a model with so many rows a call: guarded, wholly or (not NULL) as one of its variants is, or bare.
 * `caller` is to be closed in any case. */
int bench_guarded(const bench_model *model, const bench_variant *variant, int64_t rows, bench_caller *caller,
                  bench_subject *subject, char *detail);
int bench_unguarded(const bench_model *model, int64_t rows, uint32_t threads, bench_caller *caller,
                    bench_subject *subject, char *detail);
void bench_caller_close(bench_caller *caller);

#endif
