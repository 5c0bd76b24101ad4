/* A model in ONNX Runtime's own C API: what a program without the guard does that is written for speed. The interface
 * is a table of functions that only ever grows at its end (onnxruntime_c_api.h: OrtApi, version 11), read by slot
 * number as the library does (docs/adr/0003). SPDX-License-Identifier: Apache-2.0 */
#include "bare.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum slot {
    ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_OPTIONS = 10,
    SET_THREADS = 24,
    OUTPUT_COUNT = 31,
    OUTPUT_NAME = 37,
    CREATE_TENSOR = 49,
    VALUE_TYPE = 67,
    CREATE_MEMORY_INFO = 69,
    ALLOCATOR_FREE = 76,
    DEFAULT_ALLOCATOR = 78,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_OPTIONS = 100,
    BUILD_INFO = 254
};
enum { API_VERSION = 11, BUILD_INFO_VERSION = 15, LOG_FATAL = 4, DEVICE_ALLOCATOR = 0, MEMORY_DEFAULT = 0, TENSOR = 1 };

typedef void *(*run_fn)(void *, const void *, const char *const *, const void *const *, size_t, const char *const *,
                        size_t, void **);
typedef void (*release_fn)(void *);

typedef struct api_base {
    const void *const *(*get_api)(uint32_t);
    const char *(*get_version)(void);
} api_base;

struct bench_bare {
    const void *const *api;
    run_fn run;
    const bench_feeds *feeds;
    void *env, *options, *session, *memory;
    void **inputs; /* feeds->count * feeds->inputs values over the feeds' memory */
    void **outputs;
    char **output_names;
    size_t output_count;
    uint8_t *kept; /* of each output: it is used again. Sequences and maps are not */
    int all_kept;
    char why[ERAI_DETAIL_SIZE];
};

#define CALL(bare, slot, ...) ((void *(*)(__VA_ARGS__))(uintptr_t)(bare)->api[slot])

static const api_base *find_runtime(void) {
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
    const char *given = getenv("ERAI_ONNXRUNTIME");
    void *library = given && *given ? dlopen(given, RTLD_NOW | RTLD_LOCAL) : NULL;
    for (size_t i = 0; i < 2 && !library && !(given && *given); i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "OrtGetApiBase") : NULL;
    return symbol ? ((const api_base *(*)(void))(uintptr_t)symbol)() : NULL;
}

const char *bench_runtime_version(void) {
    const api_base *base = find_runtime();
    return base ? base->get_version() : NULL;
}

const char *bench_runtime_build(void) {
    const api_base *base = find_runtime();
    const void *const *api = base ? base->get_api(BUILD_INFO_VERSION) : NULL;
    return api ? ((const char *(*)(void))(uintptr_t)api[BUILD_INFO])() : NULL;
}

/* Keeps the message of the runtime's error object, which it releases; 0 where there is none. */
static int failed(bench_bare *bare, void *error) {
    if (!error) return 0;
    const char *message = ((const char *(*)(void *))(uintptr_t)bare->api[ERROR_MESSAGE])(error);
    bench_fail(bare->why, UNSOUND, "%s", message);
    for (char *at = bare->why; *at; at++)
        if (*at == '\n' || *at == '\r') *at = ' ';
    CALL(bare, RELEASE_STATUS, void *)(error);
    return 1;
}

static void release(const bench_bare *bare, enum slot slot, void *object) {
    if (object) ((release_fn)(uintptr_t)bare->api[slot])(object);
}

static void *open_session(bench_bare *bare, const char *path, const uint8_t *bytes, size_t size, uint32_t threads) {
    void *error = CALL(bare, CREATE_ENV, int, const char *, void **)(LOG_FATAL, "erai-bench", &bare->env);
    if (!error) error = CALL(bare, CREATE_OPTIONS, void **)(&bare->options);
    if (!error && threads) error = CALL(bare, SET_THREADS, void *, int)(bare->options, (int)threads);
    if (!error)
        error = CALL(bare, CREATE_MEMORY_INFO, int, int, void **)(DEVICE_ALLOCATOR, MEMORY_DEFAULT, &bare->memory);
    if (error) return error;
    if (!bytes)
        return CALL(bare, CREATE_SESSION, void *, const char *, void *, void **)(bare->env, path, bare->options,
                                                                                 &bare->session);
    return CALL(bare, CREATE_SESSION_FROM_ARRAY, void *, const void *, size_t, void *,
                void **)(bare->env, bytes, size, bare->options, &bare->session);
}

static void *make_inputs(bench_bare *bare) {
    const bench_feeds *feeds = bare->feeds;
    bare->inputs = bench_allocate(feeds->count * feeds->inputs, sizeof *bare->inputs);
    for (size_t i = 0; i < feeds->count * feeds->inputs; i++) {
        const erai_tensor *tensor = &feeds->tensors[i];
        size_t size = erai_dtype_size(tensor->dtype);
        for (uint32_t k = 0; k < tensor->rank; k++) size *= (size_t)tensor->shape[k];
        void *error = CALL(bare, CREATE_TENSOR, void *, const void *, size_t, const int64_t *, size_t, int, void **)(
            bare->memory, tensor->data, size, tensor->shape, tensor->rank, (int)tensor->dtype, &bare->inputs[i]);
        if (error) return error;
    }
    return NULL;
}

static void *name_outputs(bench_bare *bare) {
    void *allocator = NULL;
    void *error = CALL(bare, DEFAULT_ALLOCATOR, void **)(&allocator);
    if (!error) error = CALL(bare, OUTPUT_COUNT, void *, size_t *)(bare->session, &bare->output_count);
    if (error) return error;
    bare->outputs = bench_allocate(bare->output_count, sizeof *bare->outputs);
    bare->output_names = bench_allocate(bare->output_count, sizeof *bare->output_names);
    bare->kept = bench_allocate(bare->output_count, 1);
    for (size_t i = 0; i < bare->output_count && !error; i++) {
        char *name = NULL;
        error = CALL(bare, OUTPUT_NAME, void *, size_t, void *, char **)(bare->session, i, allocator, &name);
        if (error) break;
        bare->output_names[i] = bench_allocate(strlen(name) + 1, 1);
        memcpy(bare->output_names[i], name, strlen(name));
        error = CALL(bare, ALLOCATOR_FREE, void *, void *)(allocator, name);
    }
    return error;
}

static void *run(bench_bare *bare, uint64_t query) {
    const bench_feeds *feeds = bare->feeds;
    const void *const *inputs = (const void *const *)(bare->inputs + query % feeds->count * feeds->inputs);
    return bare->run(bare->session, NULL, feeds->names, inputs, feeds->inputs, (const char *const *)bare->output_names,
                     bare->output_count, bare->outputs);
}

/* Which outputs can be used again: tensors. */
static void *sort_outputs(bench_bare *bare) {
    bare->all_kept = 1;
    for (size_t i = 0; i < bare->output_count; i++) {
        int kind = 0;
        void *error = CALL(bare, VALUE_TYPE, const void *, int *)(bare->outputs[i], &kind);
        if (error) return error;
        bare->kept[i] = kind == TENSOR;
        bare->all_kept = bare->all_kept && bare->kept[i];
    }
    return NULL;
}

int bench_bare_open(const char *path, const uint8_t *bytes, size_t size, uint32_t threads, const bench_feeds *feeds,
                    bench_bare **opened, char *detail) {
    const api_base *base = find_runtime();
    *opened = NULL;
    if (!base)
        return bench_fail(detail, MISSING,
                          "bare-c needs ONNX Runtime; expected the path of libonnxruntime.so in ERAI_ONNXRUNTIME");
    bench_bare *bare = *opened = bench_allocate(1, sizeof *bare);
    bare->feeds = feeds;
    bare->api = base->get_api(API_VERSION);
    if (!bare->api) return bench_fail(detail, MISSING, "ONNX Runtime %s is too old for bare-c", base->get_version());
    bare->run = (run_fn)(uintptr_t)bare->api[RUN];
    void *error = open_session(bare, path, bytes, size, threads);
    if (!error) error = make_inputs(bare);
    if (!error) error = name_outputs(bare);
    if (!error) error = run(bare, 0);
    if (!error) error = sort_outputs(bare);
    if (failed(bare, error)) return bench_fail(detail, UNSOUND, "%.150s bare-c: %.330s", path, bare->why);
    return FINE;
}

void bench_bare_close(bench_bare *bare) {
    if (!bare) return;
    for (size_t i = 0; bare->inputs && i < bare->feeds->count * bare->feeds->inputs; i++)
        release(bare, RELEASE_VALUE, bare->inputs[i]);
    for (size_t i = 0; bare->output_names && i < bare->output_count; i++) {
        release(bare, RELEASE_VALUE, bare->outputs[i]);
        free(bare->output_names[i]);
    }
    free(bare->inputs);
    free(bare->outputs);
    free(bare->output_names);
    free(bare->kept);
    if (bare->api) {
        release(bare, RELEASE_SESSION, bare->session);
        release(bare, RELEASE_MEMORY_INFO, bare->memory);
        release(bare, RELEASE_OPTIONS, bare->options);
        release(bare, RELEASE_ENV, bare->env);
    }
    free(bare);
}

int bench_bare_call(void *self, uint64_t query) {
    bench_bare *bare = self;
    for (size_t i = 0; !bare->all_kept && i < bare->output_count; i++)
        if (!bare->kept[i]) {
            release(bare, RELEASE_VALUE, bare->outputs[i]);
            bare->outputs[i] = NULL;
        }
    return failed(bare, run(bare, query));
}

const char *bench_bare_why(void *self) {
    return ((bench_bare *)self)->why;
}
