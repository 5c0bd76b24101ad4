/* A model in ONNX Runtime's own C API, without the guard. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "rows.h"
#include "series.h"

typedef struct bench_bare bench_bare;

/* "1.31.1"; NULL: no ONNX Runtime is found ($ERAI_ONNXRUNTIME, or the loader's search). */
const char *bench_runtime_version(void);

/* What it says of its own build: commit, build type, compiler flags. NULL: nothing, or there is none. */
const char *bench_runtime_build(void);

/* Opens a model from its bytes, or, where `bytes` is NULL, from `path`. The feeds must outlive it. Inputs lie where the
 * feeds have them; outputs are made by a first run and used again by all others. */
int bench_bare_open(const char *path, const uint8_t *bytes, size_t size, uint32_t threads, const bench_feeds *feeds,
                    bench_bare **bare, char *detail);
void bench_bare_close(bench_bare *bare);

/* As a subject calls it. */
int bench_bare_call(void *bare, uint64_t query);
const char *bench_bare_why(void *bare);

#endif
