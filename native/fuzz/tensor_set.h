/* Tensors made of fuzz bytes. SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_TENSOR_SET_H
#define FUZZ_TENSOR_SET_H

#include "edge_rai.h"

/* Bytes not used yet. */
typedef struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
} fuzz_bytes;

/* A number from 0 to below - 1, of the next byte, or two where below is more than 256; 0 when none is left. */
uint32_t fuzz_take(fuzz_bytes *bytes, uint32_t below);

/* A string of at most `most` bytes in memory of its own, which ends where it ends. */
erai_string fuzz_take_string(fuzz_bytes *bytes, uint32_t most);

#define FUZZ_MOST_TENSORS 5
#define FUZZ_MOST_AXES (ERAI_MAX_RANK + 4) /* more than a tensor may have */
#define FUZZ_MOST_BYTES 65536u

/* The tensors of one half of a call, with the memory they point to. Most fit their rule, the others have a wrong type,
 * rank or extent. A tensor's memory ends where its shape ends; where the shape claims more than FUZZ_MOST_BYTES, the
 * rule refuses it before its values are read, and there are none. */
typedef struct tensor_set {
    erai_tensor tensors[FUZZ_MOST_TENSORS];
    int64_t shapes[FUZZ_MOST_TENSORS][FUZZ_MOST_AXES];
    void *data[FUZZ_MOST_TENSORS];
    size_t strings[FUZZ_MOST_TENSORS]; /* how many the data are */
    size_t count;
} tensor_set;

/* `rows`: of axis 0, -1: no axis counts rows. Of the inputs, whether every one fits its rule and all have the same
 * rows: only then are values judged. Inputs that are states are left out. */
int tensor_set_inputs(const erai_guard *guard, fuzz_bytes *bytes, int64_t rows, tensor_set *set);
void tensor_set_outputs(const erai_guard *guard, fuzz_bytes *bytes, int64_t rows, tensor_set *set);
void tensor_set_free(tensor_set *set);

/* Reads every byte of a tensor and of its strings: the sanitizer sees one that is not there. */
void tensor_read(const erai_tensor *tensor);

#endif
