/* Running a model through the ONNX Runtime C API. Only ort.c knows that interface. */
#ifndef ER_ORT_H
#define ER_ORT_H

#include "edge_rai.h"

typedef struct er_model er_model;     /* immutable; any thread */
typedef struct er_binding er_binding; /* one thread at a time */
typedef struct er_runner er_runner;   /* deadline.h */
struct er_buffer;

typedef struct er_tensor_spec {
    const char *name; /* lives as long as the model */
    uint32_t kind;    /* erai_value_kind; of inputs always TENSOR */
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    uint32_t dtype;
} er_tensor_spec;

typedef struct er_model_options {
    const char *runtime_path;  /* NULL: $ERAI_ONNXRUNTIME, then the loader's own search */
    const char *provider;      /* execution provider that must run the whole model; NULL: the CPU's */
    const char *provider_path; /* the library that brings it; NULL: the runtime has it */
    uint32_t threads;          /* 0: the runtime's choice */
} er_model_options;

/* From memory, which is not needed afterwards, or, when bytes is NULL, from a file. */
erai_status er_model_open(const er_model_options *options, const char *path, const void *bytes, size_t size,
                          er_model **model, char *detail);
void er_model_close(er_model *model);
/* Of the ONNX Runtime that was found, as it says itself: "1.17.1". */
const char *er_model_runtime_version(const er_model *model);
size_t er_model_inputs(const er_model *model);
size_t er_model_outputs(const er_model *model);
const er_tensor_spec *er_model_input(const er_model *model, size_t index);
const er_tensor_spec *er_model_output(const er_model *model, size_t index);

/* A binding keeps the runtime's views of one thread's inputs and outputs from call to call. */
erai_status er_binding_open(er_model *model, er_binding **binding);
void er_binding_close(er_binding *binding);

/* Runs the model. The inputs' memory must live through the call; `outputs` (one an output) receive shape and values and
 * grow as needed. Costs nothing beyond the run itself while addresses and shapes stay the same. */
erai_status er_binding_run(er_binding *binding, const erai_tensor *inputs, struct er_buffer *outputs, char *detail);

/* Makes a run of this binding, in another thread, end soon with a failure; or, with 0, lets later runs be. Any thread.
 */
void er_binding_terminate(er_binding *binding, int terminate);

#endif
