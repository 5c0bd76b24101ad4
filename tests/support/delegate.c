/* A delegate as a library brings it to LiteRT (tflite_plugin_create_delegate), with no header of LiteRT's: the
 * beginnings of its structs stand below as they are in tflite/core/c/common.h. It takes the first node of ADD and
 * computes it here, until delegate_break. TAKES_NOTHING: not even that. IS_MISSING: its hardware is not there. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK, ERROR, ADD = 0 };

typedef struct {
    int size;
    int data[];
} IntArray;

typedef struct {
    int type;
    void *data;
    IntArray *dims;
    struct {
        float scale;
        int32_t zero_point;
    } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    void *delegate;
    int buffer_handle;
    bool data_is_stale, is_variable;
    struct {
        int type;
        void *params;
    } quantization;
    void *sparsity;
    const IntArray *dims_signature;
} Tensor;

typedef struct {
    IntArray *inputs, *outputs, *intermediates, *temporaries;
    void *user_data; /* more follows */
} Node;

typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *external, *async_kernel;
    uint64_t inplace_operator;
} Registration;

struct Context {
    size_t tensors_size;
    int (*plan)(Context *, IntArray **);
    Tensor *tensors;
    void *impl;
    int (*resize)(Context *, Tensor *, IntArray *);
    void (*report)(Context *, const char *, ...);
    int (*add_tensors)(Context *, int, int *);
    int (*node)(Context *, int, Node **, Registration **);
    int (*replace)(Context *, Registration, const IntArray *, Delegate *); /* more follows */
};

struct Delegate {
    void *data;
    int (*prepare)(Context *, Delegate *);
    int (*from_handle)(Context *, Delegate *, int, Tensor *);
    int (*to_handle)(Context *, Delegate *, int, Tensor *);
    void (*free_handle)(Context *, Delegate *, int *);
    int64_t flags;
    void *opaque;
};

typedef struct {
    Delegate *delegate;
    IntArray *nodes, *inputs, *outputs;
} Part;

typedef struct {
    int a, b, sum; /* tensors */
} Addition;

static int runs, alive;
static bool is_broken;

int delegate_runs(void);
int delegates_alive(void);
void delegate_break(void);
Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *));
void tflite_plugin_destroy_delegate(Delegate *delegate);

int delegate_runs(void) {
    return runs;
}

int delegates_alive(void) {
    return alive;
}

void delegate_break(void) {
    is_broken = true;
}

static void *addition_init(Context *context, const char *buffer, size_t size) {
    const Part *part = (const Part *)(const void *)buffer;
    Addition *addition = calloc(1, sizeof *addition);
    Node *node;
    Registration *registration;
    (void)size;
    if (addition && !context->node(context, part->nodes->data[0], &node, &registration))
        *addition = (Addition){node->inputs->data[0], node->inputs->data[1], node->outputs->data[0]};
    return addition;
}

static void addition_free(Context *context, void *addition) {
    (void)context;
    free(addition);
}

static int addition_invoke(Context *context, Node *node) {
    ++runs;
    if (is_broken) return ERROR;
    const Addition *addition = node->user_data;
    const float *a = context->tensors[addition->a].data, *b = context->tensors[addition->b].data;
    float *sum = context->tensors[addition->sum].data;
    for (size_t i = 0; i < context->tensors[addition->a].bytes / sizeof *sum; ++i) sum[i] = a[i] + b[i];
    return OK;
}

static int take(Context *context, Delegate *delegate) {
    Registration kernel = {
        .init = addition_init, .free = addition_free, .invoke = addition_invoke, .custom_name = "addition"};
    IntArray *plan, *taken = calloc(1, sizeof *taken + sizeof taken->data[0]);
    int status = taken ? context->plan(context, &plan) : ERROR;
    for (int i = 0; !status && i < plan->size && !taken->size; ++i) {
        Node *node;
        Registration *registration;
        status = context->node(context, plan->data[i], &node, &registration);
#ifndef TAKES_NOTHING
        if (!status && registration->builtin_code == ADD) taken->data[taken->size++] = plan->data[i];
#endif
    }
    if (!status) status = context->replace(context, kernel, taken, delegate);
    free(taken);
    return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    (void)keys, (void)values, (void)count;
#ifdef IS_MISSING
    report("no device /dev/npu0");
    return NULL;
#else
    (void)report;
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = take;
    ++alive;
    return delegate;
#endif
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
    if (delegate) --alive;
    free(delegate);
}
