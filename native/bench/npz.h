/* Arrays of a file that numpy.savez wrote. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NPZ_H
#define BENCH_NPZ_H

#include "npy.h"

/* The bytes of a file's member number i, which may come from anybody, with its name without ".npy" in memory of
 * BENCH_MOST_NAME bytes. Returns FINE; MISSING where there are only i members; or UNSOUND with a sentence that does not
 * name the file. */
enum { BENCH_MOST_NAME = 256 };
int bench_npz_member(const uint8_t *bytes, size_t size, size_t i, char *name, const uint8_t **member,
                     size_t *member_size, char *detail);

#endif
