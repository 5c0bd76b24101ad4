/* The ONNX Runtime C API, by slot number, for the ort_*.c files and nobody else.
 *
 * The interface is a table of function pointers that only ever grows at its end (onnxruntime_c_api.h: OrtApi). A wheel
 * of ONNX Runtime carries the library and no header, so the table is read here by slot number (docs/adr/0003). Slots
 * used without a question exist since version 11 of the interface; model->version says which of the later ones do. */
#ifndef ER_ORT_API_H
#define ER_ORT_API_H

#include "answer.h"
#include "ort.h"
#include "platform/platform.h"

typedef struct OrtStatus OrtStatus;
typedef struct OrtValue OrtValue;
typedef struct OrtInfo OrtInfo;     /* OrtTypeInfo, OrtTensorTypeAndShapeInfo: only passed through */
typedef struct OrtHandle OrtHandle; /* environment, options, session, allocator, memory info: likewise */

enum slot {
    GET_ERROR_CODE = 1,
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    DISABLE_TELEMETRY = 6,
    CREATE_SESSION = 7,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_INTRA_OP_THREADS = 24,
    SESSION_INPUT_COUNT = 30,
    SESSION_OUTPUT_COUNT = 31,
    SESSION_INPUT_TYPE = 33,
    SESSION_OUTPUT_TYPE = 34,
    SESSION_INPUT_NAME = 36,
    SESSION_OUTPUT_NAME = 37,
    CREATE_RUN_OPTIONS = 39,
    RUN_OPTIONS_SET_TERMINATE = 46,
    RUN_OPTIONS_UNSET_TERMINATE = 47,
    CREATE_TENSOR = 48,
    CREATE_TENSOR_WITH_DATA = 49,
    TENSOR_DATA = 51,
    STRING_DATA_LENGTH = 53,
    STRING_CONTENT = 54,
    CAST_TYPE_TO_TENSOR = 55,
    ONNX_TYPE = 56,
    ELEMENT_TYPE = 60,
    DIMENSIONS_COUNT = 61,
    DIMENSIONS = 62,
    SYMBOLIC_DIMENSIONS = 63,
    TENSOR_TYPE_AND_SHAPE = 65,
    VALUE_TYPE = 67,
    CREATE_CPU_MEMORY_INFO = 69,
    ALLOCATOR_FREE = 76,
    DEFAULT_ALLOCATOR = 78,
    GET_VALUE = 80,
    GET_VALUE_COUNT = 81,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_RUN_OPTIONS = 97,
    RELEASE_TYPE_INFO = 98,
    RELEASE_TENSOR_INFO = 99,
    RELEASE_SESSION_OPTIONS = 100,
    CAST_TYPE_TO_SEQUENCE = 104,
    SEQUENCE_ELEMENT_TYPE = 107,
    AVAILABLE_PROVIDERS = 125,
    RELEASE_AVAILABLE_PROVIDERS = 126,
    ADD_SESSION_CONFIG = 130,
    RUN_WITH_BINDING = 133,
    CREATE_IO_BINDING = 134,
    RELEASE_IO_BINDING = 135,
    BIND_INPUT = 136,
    BIND_OUTPUT = 137,
    APPEND_TENSORRT = 170,
    CREATE_TENSORRT_OPTIONS = 171,
    RELEASE_TENSORRT_OPTIONS = 174,
    HAS_VALUE = 192,
    APPEND_CUDA = 204,
    CREATE_CUDA_OPTIONS = 205,
    RELEASE_CUDA_OPTIONS = 208,
    APPEND_PROVIDER = 216,           /* since NAMED_PROVIDERS */
    RESIZED_STRING_BUFFER = 252,     /* since STRING_BUFFERS */
    ADD_FILES_IN_MEMORY = 279,       /* since FILES_IN_MEMORY */
    REGISTER_PROVIDER_LIBRARY = 301, /* since PROVIDER_LIBRARIES, and so are these: */
    GET_EP_DEVICES = 303,
    APPEND_PROVIDER_DEVICES = 304,
    EP_DEVICE_NAME = 312,
    HAS_SHAPE = 390 /* since SHAPES_TOLD */
};

/* Version N of the interface came with ONNX Runtime 1.N. */
enum api_version {
    OLDEST_API = 11,
    NAMED_PROVIDERS = 12,
    STRING_BUFFERS = 15,
    FILES_IN_MEMORY = 18,
    PROVIDER_LIBRARIES = 22,
    SHAPES_TOLD = 24,
    NEWEST_API = SHAPES_TOLD
};

enum onnx_type {
    ONNX_TENSOR = 1,
    ONNX_SEQUENCE = 2,
    ONNX_MAP = 3,
    ONNX_OPAQUE = 4,
    ONNX_SPARSE_TENSOR = 5,
    ONNX_OPTIONAL = 6
};

typedef struct er_ort {
    er_model head;
    const void *const *api;
    uint32_t version; /* of the interface that `api` has */
    er_library *library;
    OrtHandle *env, *session, *memory_info, *allocator;
    const char **input_names, **output_names;
} er_ort;

/* Calling slot s of model m with the C type of that function. */
#define CALL(m, s, type) ((type)(uintptr_t)(m)->api[s])

typedef void (*release_fn)(void *);

/* ort.c: the functions of a model that ONNX Runtime runs. */
extern const er_engine er_ort_engine;

/* ort_session.c: what remains of a model that is closed. */
void er_ort_close(er_model *model);
/* ort_session.c: takes the runtime's error object: its message goes to detail, and it is released. Returns status. */
erai_status er_ort_error(const er_ort *model, OrtStatus *error, erai_status status, const char *what, char *detail);
void er_ort_release(const er_ort *model, enum slot slot, void *object); /* NULL is allowed */

/* ort_provider.c: makes the session that these options will open run on the provider asked for, all of it. */
erai_status er_provider_append(const er_ort *model, const er_ort_options *asked, OrtHandle *options, char *detail);

/* ort_signature.c: names, kinds, types and shapes of the inputs and outputs. */
erai_status er_signature_read(er_ort *model, char *detail);
void er_signature_free(er_ort *model);
/* ort_signature.c: type and shape of a tensor, from an OrtTensorTypeAndShapeInfo. */
OrtStatus *er_shape_read(const er_ort *model, const OrtInfo *info, int64_t *shape, uint32_t *rank, uint32_t *dtype,
                         size_t *true_rank);

/* ort_values.c: what came out of a run, as the output `index`: into the buffer's memory, or its nest. */
erai_status er_value_take(const er_ort *model, size_t index, OrtValue *value, er_buffer *buffer, char *detail);
/* ort_values.c: the strings of an input, into a string tensor of its shape. */
erai_status er_value_fill(const er_ort *model, const erai_tensor *tensor, OrtValue *value, char *detail);

#endif
