/* Manifests, sound and damaged. SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include <stdlib.h>

#include "er_test.h"

static const char SOUND[] =
    "{\"files\": {\"a\": \"00\", \"b\": [1, {\"c\": null}, -2.5e3, true]}, \"golden\": {\"atol\": 1e-05, \"inputs\": "
    "[{\"dtype\": \"float32\", \"name\": \"x\", \"path\": \"g/0.bin\", \"shape\": [8, 30]},\n {\"dtype\": \"int64\", "
    "\"name\": \"t\\u00e9\", \"path\": \"g/1.bin\", \"shape\": []}], \"outputs\": [{\"name\": \"y\"}]},"
    "\"models\": [{\"role\": \"fallback\", \"path\": \"models/f.onnx\", \"format\": \"onnx\"}, {\"role\": \"primary\", "
    "\"path\": \"models/m.tflite\", \"format\": \"tflite\"}, {\"format\": \"onnx\", \"path\": \"models/m.onnx\", "
    "\"quantization\": \"none\", \"role\": \"primary\"}]}";

static void model_and_golden_inputs_are_found(void) {
    bench_manifest manifest;
    bench_manifest_read((const uint8_t *)SOUND, sizeof SOUND - 1, &manifest);
    ER_CHECK(bench_text_is(manifest.model, "models/m.onnx"));
    ER_CHECK(bench_text_is(manifest.quantization, "none"));
    ER_CHECK_INT(manifest.golden_count, 2);
    ER_CHECK(bench_text_is(manifest.golden[0].name, "x"));
    ER_CHECK(bench_text_is(manifest.golden[0].path, "g/0.bin"));
    ER_CHECK_INT(manifest.golden[0].rank, 2);
    ER_CHECK_INT(manifest.golden[0].shape[1], 30);
    ER_CHECK_INT(manifest.golden[1].name.size, 0); /* written with a backslash */
    ER_CHECK_INT(manifest.golden[1].rank, 0);
}

/* Each copy ends where its memory ends, so that the sanitizer sees any read past it. */
static void no_damage_reads_past_the_end_or_goes_on_for_ever(void) {
    bench_manifest manifest;
    size_t size = sizeof SOUND - 1;
    for (size_t length = 0; length <= size; length++) {
        uint8_t *part = malloc(length ? length : 1);
        if (!part) exit(1);
        memcpy(part, SOUND, length);
        bench_manifest_read(part, length, &manifest);
        ER_CHECK(manifest.golden_count <= 2);
        for (size_t at = 0; at < length && length == size; at++)
            for (const char *other = "\"\\{}[],: 0\x80"; *other; other++) {
                uint8_t kept = part[at];
                part[at] = (uint8_t)*other;
                bench_manifest_read(part, length, &manifest);
                ER_CHECK(manifest.golden_count <= BENCH_MOST_GOLDEN);
                part[at] = kept;
            }
        free(part);
    }
}

int main(void) {
    ER_RUN(model_and_golden_inputs_are_found);
    ER_RUN(no_damage_reads_past_the_end_or_goes_on_for_ever);
    return er_test_result();
}
