/* Calls of a session, made of fuzz bytes. SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "tensor_set.h"

/* Opens a session, and admits and judges tensors until the bytes are used up. With `events` the bytes also say what
 * happens around the halves of a call: the clock moves, keys are given, reviews drained, memories reset, snapshots
 * taken, another answer used. Aborts when the library breaks a promise of its header. */
void fuzz_calls(const erai_guard *guard, int events, fuzz_bytes *bytes);

#endif
