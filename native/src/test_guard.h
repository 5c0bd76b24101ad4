/* A guard program and a directory for tests and fuzzing. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_GUARD_H
#define ER_TEST_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

#define TEST_FEATURES 3

/* A batched program in memory that the caller frees. Input "x" (at most 4096, 3), finite, one feature a column: "a",
 * "b" and "c" in +-10, the first two with four bins around mean 0.5 and standard deviation 2. Output "y" (rows, 2),
 * finite, default 0.25 and 0.75. */
uint8_t *test_guard_bytes(size_t *size);

erai_guard *test_guard_open(void);

/* The same bytes with the length and CRC of a guard program or a batch file that fit them; size is at least 24. */
void test_reseal(uint8_t *bytes, size_t size);

/* A new directory below /tmp; `path` has room for 64 bytes. And its end, with the files in it. */
void test_directory_make(char *path);
void test_directory_remove(const char *path);

#endif
