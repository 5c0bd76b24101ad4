/* The bare C contender: nanoseconds of OrtApi::Run on one row, and of erai_session_predict on the same row and model.
 *
 *     bare_run LIBONNXRUNTIME MODEL.onnx BUNDLE ROW.f32 WIDTH INPUT OUTPUT OUTPUT_WIDTH [ROUNDS]
 *
 * Blocks of 50 calls in turn, one thread. Prints one line a round: the mean of Run and of predict in that round, in ns.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <edge_rai.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK = 50 };

/* Slots of OrtApi, header version 29; the table only grows at its end. */
enum {
    MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_OPTIONS = 10,
    SET_THREADS = 24,
    CREATE_TENSOR = 49,
    CREATE_MEMORY_INFO = 69
};
typedef const void *const *ort_api;
#define CALL(slot, ...) ((void *(*)(__VA_ARGS__))(uintptr_t)api[slot])

static void check(ort_api api, void *error) {
    if (!error) return;
    fprintf(stderr, "%s\n", ((const char *(*)(void *))(uintptr_t)api[MESSAGE])(error));
    exit(1);
}

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 9) return 2;
    int64_t shape[2] = {1, atoll(argv[5])}, output_shape[2] = {1, atoll(argv[8])};
    size_t width = (size_t)shape[1], output_width = (size_t)output_shape[1];
    float *row = calloc(width, sizeof *row), *answer_row = calloc(output_width, sizeof *answer_row);
    FILE *file = fopen(argv[4], "rb");
    if (!row || !answer_row || !file || fread(row, sizeof *row, width, file) != width) return 1;

    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) return 1;
    typedef struct {
        ort_api (*get_api)(uint32_t);
    } api_base;
    ort_api api = ((const api_base *(*)(void))(uintptr_t)dlsym(library, "OrtGetApiBase"))()->get_api(11);
    void *env, *options, *model, *memory, *input, *output;
    const char *input_name = argv[6], *output_name = argv[7];
    check(api, CALL(CREATE_ENV, int, const char *, void **)(3, "bare", &env));
    check(api, CALL(CREATE_OPTIONS, void **)(&options));
    check(api, CALL(SET_THREADS, void *, int)(options, 1));
    check(api, CALL(CREATE_SESSION, void *, const char *, void *, void **)(env, argv[2], options, &model));
    check(api, CALL(CREATE_MEMORY_INFO, int, int, void **)(0, 0, &memory));
    check(api, CALL(CREATE_TENSOR, void *, void *, size_t, int64_t *, size_t, int,
                    void **)(memory, row, width * sizeof *row, shape, 2, 1, &input));
    check(api, CALL(CREATE_TENSOR, void *, void *, size_t, int64_t *, size_t, int,
                    void **)(memory, answer_row, output_width * sizeof *answer_row, output_shape, 2, 1, &output));

    erai_session_config config = {.struct_size = sizeof config, .runtime_path = argv[1], .threads = 1};
    erai_session *session;
    erai_answer *answer;
    char detail[ERAI_DETAIL_SIZE];
    if (erai_session_open(argv[3], &config, &session, detail) || erai_answer_open(session, &answer)) {
        fprintf(stderr, "%s\n", detail);
        return 1;
    }
    erai_tensor tensor = {.data = row, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    for (int round = 0, rounds = argc > 9 ? atoi(argv[9]) : 400; round < rounds; round++) {
        double start = now_ns();
        for (int i = 0; i < BLOCK; i++)
            check(api, CALL(RUN, void *, void *, const char **, void **, size_t, const char **, size_t,
                            void **)(model, NULL, &input_name, &input, 1, &output_name, 1, &output));
        double middle = now_ns();
        for (int i = 0; i < BLOCK; i++)
            if (erai_session_predict(session, &tensor, 1, answer)) return 1;
        double end = now_ns();
        printf("%.1f %.1f\n", (middle - start) / BLOCK, (end - middle) / BLOCK);
    }
    if (erai_answer_verdict(answer) != ERAI_VERDICT_ACCEPT) return 1;
    erai_answer_close(answer);
    erai_session_close(session);
    return 0;
}
