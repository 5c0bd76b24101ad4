/* Status sentences, reason names, element sizes and details: the tables behind the public enums.
 * SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *erai_strerror(erai_status status) {
    switch (status) {
    case ERAI_OK: return "success";
    case ERAI_E_ARGUMENT: return "an argument or the order of calls is not allowed";
    case ERAI_E_STRUCT: return "struct_size names a struct this build does not know";
    case ERAI_E_NO_MODEL: return "the session was opened without a model";
    case ERAI_E_STOPPED: return "the session is stopped until it is resumed";
    case ERAI_E_MEMORY: return "out of memory";
    case ERAI_E_SIZE: return "a buffer is too small, or a file or a count exceeds the limits of its format";
    case ERAI_E_BUNDLE_READ: return "the bundle or model cannot be read";
    case ERAI_E_BUNDLE_FORMAT: return "not a bundle, or malformed";
    case ERAI_E_BUNDLE_INTEGRITY: return "a file of the bundle is missing, extra or changed";
    case ERAI_E_BUNDLE_NEWER: return "the bundle is newer than this build understands";
    case ERAI_E_MODEL_UNSUPPORTED: return "the model uses something this build cannot run";
    case ERAI_E_GOLDEN: return "the golden vectors gave another answer";
    case ERAI_E_POLICY: return "a policy rule is not valid";
    case ERAI_E_GUARD_FORMAT: return "the guard program is malformed or corrupt";
    case ERAI_E_GUARD_NEWER: return "the guard program is newer than this build understands";
    case ERAI_E_GUARD_MISMATCH: return "the guard program does not describe this model";
    case ERAI_E_SPOOL: return "the spool directory cannot be read or written";
    case ERAI_E_BATCH_FORMAT: return "the batch file is malformed or corrupt";
    case ERAI_E_BATCH_NEWER: return "the batch file is newer than this build understands";
    case ERAI_E_RUNTIME_MISSING: return "no runtime for the model was found";
    case ERAI_E_RUNTIME_OLD: return "the ONNX Runtime library is too old";
    case ERAI_E_INFERENCE: return "ONNX Runtime failed during a run";
    case ERAI_E_PROVIDER: return "a required execution provider does not run the whole model";
    case ERAI_E_INTERNAL: return "a fault of this library; please report it";
    }
    return "unknown status";
}

const char *erai_version(void) {
    return ERAI_VERSION_STRING;
}

const char *erai_build(void) {
    return ERAI_BUILD_STRING;
}

const char *erai_reason_name(uint32_t code) {
    static const char *const names[] = {
        [ERAI_REASON_DTYPE] = "dtype",
        [ERAI_REASON_RANK] = "rank",
        [ERAI_REASON_SHAPE] = "shape",
        [ERAI_REASON_ROWS] = "rows",
        [ERAI_REASON_NOT_FINITE] = "not_finite",
        [ERAI_REASON_BELOW_RANGE] = "below_range",
        [ERAI_REASON_ABOVE_RANGE] = "above_range",
        [ERAI_REASON_OUTPUT_NOT_FINITE] = "output_not_finite",
        [ERAI_REASON_OUTPUT_SHAPE] = "output_shape",
        [ERAI_REASON_ROWS_DEPEND] = "rows_depend",
        [ERAI_REASON_CATEGORY] = "category",
        [ERAI_REASON_NOT_INTEGRAL] = "not_integral",
        [ERAI_REASON_MISSING] = "missing",
        [ERAI_REASON_STUCK] = "stuck",
        [ERAI_REASON_STEP] = "step",
        [ERAI_REASON_MEAN] = "mean",
        [ERAI_REASON_STDDEV] = "stddev",
        [ERAI_REASON_CLIPPED] = "clipped",
        [ERAI_REASON_LENGTH] = "length",
        [ERAI_REASON_CHARACTER] = "character",
        [ERAI_REASON_NOT_MONOTONIC] = "not_monotonic",
        [ERAI_REASON_AGE] = "age",
        [ERAI_REASON_OUT_OF_DISTRIBUTION] = "out_of_distribution",
        [ERAI_REASON_STATE_NOT_FINITE] = "state_not_finite",
        [ERAI_REASON_OUTPUT_RANGE] = "output_range",
        [ERAI_REASON_OUTPUT_SUM] = "output_sum",
        [ERAI_REASON_CONFIDENCE] = "confidence",
        [ERAI_REASON_MARGIN] = "margin",
        [ERAI_REASON_ENTROPY] = "entropy",
        [ERAI_REASON_DEADLINE] = "deadline",
        [ERAI_REASON_BREAKER_OPEN] = "breaker_open",
        [ERAI_REASON_RATE_LIMITED] = "rate_limited",
        [ERAI_REASON_HELD] = "held",
        [ERAI_REASON_INFERENCE] = "inference",
        [ERAI_REASON_DRIFT] = "drift",
    };
    return code < sizeof names / sizeof names[0] ? names[code] : "unknown";
}

size_t erai_dtype_size(uint32_t dtype) {
    switch (dtype) {
    case ERAI_DTYPE_UINT8:
    case ERAI_DTYPE_INT8:
    case ERAI_DTYPE_BOOL: return 1;
    case ERAI_DTYPE_UINT16:
    case ERAI_DTYPE_INT16:
    case ERAI_DTYPE_FLOAT16:
    case ERAI_DTYPE_BFLOAT16: return 2;
    case ERAI_DTYPE_FLOAT32:
    case ERAI_DTYPE_INT32:
    case ERAI_DTYPE_UINT32: return 4;
    case ERAI_DTYPE_FLOAT64:
    case ERAI_DTYPE_INT64:
    case ERAI_DTYPE_UINT64: return 8;
    case ERAI_DTYPE_STRING: return sizeof(erai_string);
    default: return 0;
    }
}

const char *er_dtype_name(uint32_t dtype) {
    static const char *const names[] = {NULL,     "float32", "uint8",     "int8",       "uint16",  "int16",
                                        "int32",  "int64",   "string",    "bool",       "float16", "float64",
                                        "uint32", "uint64",  "complex64", "complex128", "bfloat16"};
    return dtype > 0 && dtype < sizeof names / sizeof *names ? names[dtype] : "an unknown type";
}

/* Ends `text`, cut at `length` bytes, before a UTF-8 sequence that the cut left incomplete. */
static void drop_partial_sequence(char *text, size_t length) {
    size_t lead = length;
    while (lead > 0 && length - lead < 3 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80) lead--;
    if (lead == 0 || (unsigned char)text[lead - 1] < 0xC0) return;
    unsigned char first = (unsigned char)text[lead - 1];
    size_t expected = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (length - (lead - 1) < expected) text[lead - 1] = '\0';
}

erai_status er_fail(char *detail, erai_status status, const char *format, ...) {
    if (detail == NULL) return status;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(detail, ERAI_DETAIL_SIZE, format, arguments);
    va_end(arguments);
    if (length < 0) detail[0] = '\0';
    if (length >= ERAI_DETAIL_SIZE) drop_partial_sequence(detail, ERAI_DETAIL_SIZE - 1);
    for (unsigned char *c = (unsigned char *)detail; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7F) *c = '?';
    return status;
}
