/* Running a model through the ONNX Runtime C API. Only the ort*.c files know that interface. */
#ifndef ER_ORT_H
#define ER_ORT_H

#include "edge_rai.h"

typedef struct er_model er_model;     /* immutable; any thread */
typedef struct er_binding er_binding; /* one thread at a time */
typedef struct er_runner er_runner;   /* deadline.h */
struct er_buffer;

typedef struct er_tensor_spec {
    const char *name;   /* lives as long as the model */
    uint32_t kind;      /* erai_value_kind: of inputs always TENSOR, of an optional NONE */
    uint32_t item_kind; /* of a sequence: that of its elements */
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    int any_rank;         /* no shape is declared, not even that of a scalar; rank is 0 */
    uint32_t dtype;       /* 0 where it is no tensor */
    uint32_t rows_symbol; /* checksum of the name of a free axis 0; 0 where it has none that somebody gave */
} er_tensor_spec;

/* A file that a model in memory has weights in. */
typedef struct er_model_file {
    const char *name; /* relative to the model's directory */
    const void *data;
    size_t size;
} er_model_file;

#define ER_MAX_MODEL_FILES 1024

typedef struct er_model_options {
    const char *runtime_path;   /* NULL: $ERAI_ONNXRUNTIME, then the loader's own search */
    const char *provider;       /* execution provider that must run the whole model; NULL: the CPU's */
    const char *provider_path;  /* the library that brings it; NULL: the runtime has it */
    const er_model_file *files; /* of a model in memory; at most ER_MAX_MODEL_FILES, more than it needs is fine */
    size_t file_count;
    uint32_t threads; /* 0: the runtime's choice */
} er_model_options;

/* NULL, or the provider that is always there. */
int er_provider_is_cpu(const char *provider);

/* Whether a model has weights at an address of the process instead of in a file: ONNX Runtime before 1.24 would read
 * them there, whatever the address. */
int er_model_points_into_memory(const void *bytes, size_t size);

/* Whether the bytes of a model may name a recurrent layer: ONNX Runtime 1.31 ends the process when one gets no rows. */
int er_model_may_be_recurrent(const void *bytes, size_t size);

/* Whether the bytes of a model may name a layer that quantizes by the greatest and least value of its whole input
 * (DynamicQuantizeLinear, and what ONNX Runtime makes of it): a row's answer then depends on its batch mates. */
int er_model_may_mix_rows(const void *bytes, size_t size);

/* From memory, which is not needed afterwards, nor are its files, or, when bytes is NULL, from a file. ERAI_E_PROVIDER
 * when the provider is not there, or any part of the model would run on another. */
erai_status er_model_open(const er_model_options *options, const char *path, const void *bytes, size_t size,
                          er_model **model, char *detail);
void er_model_close(er_model *model);
/* Of the ONNX Runtime that was found, as it says itself: "1.17.1". */
const char *er_model_runtime_version(const er_model *model);
size_t er_model_inputs(const er_model *model);
size_t er_model_outputs(const er_model *model);
const er_tensor_spec *er_model_input(const er_model *model, size_t index);
const er_tensor_spec *er_model_output(const er_model *model, size_t index);

/* From now on the model takes its inputs from the places, and puts its outputs into the places, that `like` has for
 * those names; those of other names are passed over. er_model_inputs and er_model_outputs then count places, while the
 * specs are still the model's own. 0 when `like` lacks one of the names. */
int er_model_align(er_model *model, const er_model *like);

/* A binding keeps the runtime's views of one thread's inputs and outputs from call to call. */
erai_status er_binding_open(er_model *model, er_binding **binding);
void er_binding_close(er_binding *binding);

/* Runs the model. The inputs' memory must live through the call; `outputs` (one an output) receive shape and values and
 * grow as needed; an output that is no tensor has dtype 0 and is in its nest. Costs nothing beyond the run itself while
 * addresses and shapes stay the same and no input or output is of strings, sequences or maps. */
erai_status er_binding_run(er_binding *binding, const erai_tensor *inputs, struct er_buffer *outputs, char *detail);

/* Makes a run of this binding, in another thread, end with a failure before its next node; or, with 0, lets later runs
 * be. Any thread. */
void er_binding_terminate(er_binding *binding, int terminate);

#endif
