/* How the program fails: one sentence, and an exit code. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_FAILURE_H
#define BENCH_FAILURE_H

#include <stddef.h>

#include "edge_rai.h"

/* Exit codes, those of `edge-rai` too. */
enum { FINE = 0, UNSOUND = 1, USAGE = 2, MISSING = 3, ENVIRONMENT = 4 };

/* Writes a sentence into a buffer of ERAI_DETAIL_SIZE bytes; returns the code. */
int bench_fail(char *detail, int code, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* The exit code of what the library refused. */
int bench_code_of(erai_status status);

/* Zeroed memory of count * size bytes, and memory resized. Where there is none the program ends with a sentence. */
void *bench_allocate(size_t count, size_t size);
void *bench_resize(void *memory, size_t count, size_t size);

#endif
