/* Files read whole. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_FILE_H
#define BENCH_FILE_H

#include <stddef.h>
#include <stdint.h>

/* All bytes of a file, in memory that the caller frees. Returns ENVIRONMENT with a sentence that names it. */
int bench_file_read(const char *path, uint8_t **bytes, size_t *size, char *detail);

/* The text of a small file, as /proc has them, without what is blank at its end; empty where there is none. */
void bench_file_text(const char *path, char *text, size_t capacity);

#endif
