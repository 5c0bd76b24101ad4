/* Running a model through the ONNX Runtime C API. Only the ort*.c files know that interface. */
#ifndef ER_ORT_H
#define ER_ORT_H

#include "model.h"

/* A file that a model in memory has weights in. */
typedef struct er_ort_file {
    const char *name; /* relative to the model's directory */
    const void *data;
    size_t size;
} er_ort_file;

#define ER_MAX_ORT_FILES 1024

typedef struct er_ort_options {
    const char *runtime_path;  /* NULL: $ERAI_ONNXRUNTIME, then the loader's own search */
    const char *provider;      /* execution provider that must run the whole model; NULL: the CPU's */
    const char *provider_path; /* the library that brings it; NULL: the runtime has it */
    const er_ort_file *files;  /* of a model in memory; at most ER_MAX_ORT_FILES, more than it needs is fine */
    size_t file_count;
    uint32_t threads; /* 0: the runtime's choice */
} er_ort_options;

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
 * when the provider is not there, or any part of the model would run on another. A run of it costs nothing beyond the
 * run itself while addresses and shapes stay the same and no input or output is of strings, sequences or maps; it can
 * be ended before its next node. */
erai_status er_ort_open(const er_ort_options *options, const char *path, const void *bytes, size_t size,
                        er_model **model, char *detail);

#endif
