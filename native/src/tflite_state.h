/* Whether a .tflite file keeps something from run to run. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TFLITE_STATE_H
#define ER_TFLITE_STATE_H

#include <stddef.h>

/* Whether what one run answers may depend on those before: the file has variables. Of bytes that erai_tflite_check
 * accepted. */
int er_tflite_keeps_state(const void *bytes, size_t size);

#endif
