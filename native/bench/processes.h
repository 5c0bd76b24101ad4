/* A scenario measured by several fresh processes in turn. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PROCESSES_H
#define BENCH_PROCESSES_H

#include <stdio.h>
#include <sys/types.h>

#include "closed_loop.h"

enum { BENCH_PROCESSES = 12, BENCH_MOST_PROCESSES = 1000 };

/* Starts this program once more, with "OPTION NUMBER" before its arguments and its standard output in a pipe. 0, or
 * what errno would be. */
int bench_process_start(char **argv, const char *option, size_t number, pid_t *child, FILE **output);

/* Runs this program again, `processes` times one after the other, each with the same arguments behind "--part N", and
 * joins in `run`, which has the subjects' empty series, what each gives. Times pass in their rounds alone. plan->watch
 * is given what there is after each. A code whose sentence a process has printed itself comes with an empty detail. */
int bench_in_processes(char **argv, size_t processes, const bench_plan *plan, bench_run *run, char *detail);

/* Such a process ends when the one that started it does. */
void bench_part_begin(void);

/* What such a process gives: its run, as this machine has it in memory. 0: nobody reads it. */
int bench_part_write(const bench_run *run, FILE *file);

#endif
