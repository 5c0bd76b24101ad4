/* Calls of a session, made of fuzz bytes; shared by the targets that fuzz tensors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "edge_rai.h"

/* Bytes not used yet. */
typedef struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
} fuzz_bytes;

/* A number from 0 to below - 1, of the next byte, or two where below is more than 256; 0 when none is left. */
uint32_t fuzz_take(fuzz_bytes *bytes, uint32_t below);

/* What a guard program is made of. A rule without a name ends its list. */
typedef struct fuzz_program {
    int batched;
    erai_input_rule inputs[3];
    erai_output_rule outputs[3];
} fuzz_program;

/* The guard of a program that must be valid. Its features differ: with and without limits, reference and spread. */
erai_guard *fuzz_guard(const fuzz_program *program);

/* Opens a session, and admits and judges tensors until the bytes are used up. Most tensors fit their rule, the others
 * have a wrong type, rank or extent. A tensor's memory ends where its shape ends; where the shape claims more than
 * FUZZ_MOST_BYTES, the rule refuses it before its values are read, and there are none. Aborts when the library breaks
 * a promise of its header. */
void fuzz_calls(const erai_guard *guard, fuzz_bytes *bytes);

#define FUZZ_MOST_BYTES 65536u

#endif
