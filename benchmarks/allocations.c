/* What a steady prediction allocates: calls of malloc, calloc, realloc and aligned_alloc by this library, told apart
 * from those of ONNX Runtime by the linker (-Wl,--wrap=...), which sees this program and libedge_rai.a only.
 *
 *     allocations LIBONNXRUNTIME BUNDLE ROW.f32 WIDTH ROWS [CALLS]
 *
 * Predicts batches of ROWS copies of the row, every third of them with a NaN in its last row; prints the calls, the
 * rows that were rejected and the allocations, after a quarter as many calls to warm up. Exits 1 when there are any.
 * SPDX-License-Identifier: Apache-2.0 */
#include <edge_rai.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size) {
    allocations++;
    return __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return __real_aligned_alloc(alignment, size);
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    size_t width = (size_t)atol(argv[4]), rows = (size_t)atol(argv[5]),
           calls = argc > 6 ? (size_t)atol(argv[6]) : 10000;
    float *values = calloc(width * rows, sizeof *values);
    FILE *file = fopen(argv[3], "rb");
    if (!values || !file || fread(values, sizeof *values, width, file) != width) return 2;
    for (size_t row = 1; row < rows; row++) memcpy(values + row * width, values, width * sizeof *values);

    erai_session_config config = {.struct_size = sizeof config, .runtime_path = argv[1], .threads = 1};
    erai_session *session;
    erai_answer *answer;
    char detail[ERAI_DETAIL_SIZE];
    if (erai_session_open(argv[2], &config, &session, detail) || erai_answer_open(session, &answer)) {
        fprintf(stderr, "%s\n", detail);
        return 2;
    }
    if (!allocations) return 2; /* opening allocates: nothing is counted here */
    int64_t shape[] = {(int64_t)rows, (int64_t)width};
    erai_tensor input = {.data = values, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    float last = values[width * rows - 1];
    size_t rejected = 0, answered = 0;
    for (size_t call = 0; call < calls + calls / 4; call++) {
        if (call == calls / 4) allocations = 0;
        values[width * rows - 1] = call % 3 ? last : NAN;
        if (erai_session_predict(session, &input, 1, answer)) {
            fprintf(stderr, "%s\n", erai_answer_detail(answer));
            return 2;
        }
        const uint8_t *verdicts;
        answered += erai_answer_rows(answer, &verdicts, NULL);
        for (size_t row = 0; row < rows; row++) rejected += verdicts[row] == ERAI_VERDICT_REJECT;
    }
    size_t found = allocations;
    printf("%zu %zu %zu\n", answered, rejected, found);
    erai_answer_close(answer);
    erai_session_close(session);
    free(values);
    fclose(file);
    return found != 0;
}
