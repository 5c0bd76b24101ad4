/* The last good answer of each key: whole keys are compared, so that no row is ever answered with another's. */
#ifndef ER_LAST_GOOD_H
#define ER_LAST_GOOD_H

#include "answer.h"

typedef struct er_last_good er_last_good; /* any thread */

/* Room for `keys` keys; the one used longest ago makes room for a new one. NULL when out of memory. `outputs`, the
 * guard's, live as long; those that are states are left out. */
er_last_good *er_last_good_open(size_t keys, const er_output *outputs, size_t output_count);
void er_last_good_close(er_last_good *store);

/* Remembers a row's part of the outputs, of `rows` rows, for the key (NULL: the one that calls without a key share).
 * Outputs that are no tensors, and outputs without rows in a batched policy, cannot be remembered: then nothing is, and
 * what was remembered stays. So it does where it is of a later time than this. */
void er_last_good_put(er_last_good *store, const er_key *key, const erai_tensor *outputs, int batched, size_t row,
                      size_t rows, uint64_t now_ns);

/* Writes the key's answer into the row's part of `outputs`, or, of a call of one row, makes it the outputs. 0 when
 * there is none of at most age_ns, or one of other types or, beside other rows, of other shapes. */
int er_last_good_get(er_last_good *store, const er_key *key, er_buffer *outputs, size_t row, size_t rows,
                     uint64_t now_ns, uint64_t age_ns);

#endif
