/* Filling a caller's detail buffer. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_STATUS_H
#define ER_STATUS_H

#include "edge_rai.h"
#include "likely.h"

#if defined(__GNUC__)
#define ER_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define ER_PRINTF(format_index, first_index)
#endif

/* Writes the sentence to `detail` (NULL, or ERAI_DETAIL_SIZE bytes) and returns `status`. Texts from hostile files may
 * be among the arguments: control characters become '?', and a cut never splits a UTF-8 sequence. */
erai_status er_fail(char *detail, erai_status status, const char *format, ...) ER_PRINTF(3, 4) ER_COLD;

/* A type as ONNX TensorProto.DataType numbers it, by numpy's name where it has one; "an unknown type" for others. */
const char *er_dtype_name(uint32_t dtype);

#endif
