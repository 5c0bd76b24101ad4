/* What a bundle's manifest says of its model and its golden inputs. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MANIFEST_H
#define BENCH_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

enum { BENCH_MOST_GOLDEN = 64 };

/* Part of the manifest's own bytes, not terminated; of what is written with a backslash, nothing. */
typedef struct bench_text {
    const char *at;
    size_t size;
} bench_text;

typedef struct bench_golden {
    bench_text name, path, dtype;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
} bench_golden;

typedef struct bench_manifest {
    bench_text model, quantization; /* of the primary model that ONNX Runtime runs; size 0: there is none */
    bench_golden golden[BENCH_MOST_GOLDEN];
    size_t golden_count;
} bench_manifest;

/* Reads them; what is not as docs/formats/bundle.md says is left out. The bytes must outlive what is found. */
void bench_manifest_read(const uint8_t *bytes, size_t size, bench_manifest *manifest);

int bench_text_is(bench_text text, const char *expected);

#endif
