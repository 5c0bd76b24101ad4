/* Cold start: from a fresh process to its first answer, as an application begins. SPDX-License-Identifier: Apache-2.0
 */
#ifndef BENCH_COLD_START_H
#define BENCH_COLD_START_H

#include "options.h"

/* Medians over processes. */
typedef struct bench_cold_start {
    size_t rounds;                                                     /* 0: not measured */
    double process_ns, runtime_ns, load_ns, first_answer_ns, total_ns; /* to main; to load ONNX Runtime; and so on */
    double total_low_ns, total_high_ns;
    double resident_bytes, peak_bytes; /* after the first answer */
} bench_cold_start;

/* Starts processes of each model in turn: one of each that fills the page cache and does not count, and then so many.
 * `starts` has room for one a model. Returns ENVIRONMENT with a sentence, or what the process ended with, which has
 * said why. */
int bench_cold_starts(char **argv, size_t models, size_t rounds, bench_cold_start *starts, char *detail);

/* What such a process does: opens one model, asks it once, and writes when each step ended to standard output. */
int bench_start_cold(const bench_options *options, char *detail);

#endif
