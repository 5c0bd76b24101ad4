/* A result: as JSON, as files, as text. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "cold_start.h"
#include "machine.h"
#include "meter.h"
#include "model.h"
#include "options.h"
#include "summary.h"

/* What calls take beside time, means over a tenth of the duration of them, at most a quarter of a second. */
typedef struct bench_per_call {
    uint64_t calls; /* 0: not measured */
    double cpu_ns, voluntary_switches, involuntary_switches, page_faults, joules;
} bench_per_call;

bench_per_call bench_per_call_of(const bench_subject *subject, bench_meter *meter, double duration_s);

/* All that a result says, but what a scenario recorded. */
typedef struct bench_report {
    int argc;
    char **argv;
    const bench_options *options;
    int64_t made_unix_ns;
    bench_machine machine;
    const char *runtime_version, *runtime_build;
    bench_meter meter;
    const bench_cold_start *cold_starts; /* one a model */
    const bench_model *models;
    size_t model_count;
    const bench_subject *subjects;
    const bench_per_call *per_call; /* one a subject */
    size_t subject_count;
    const bench_asked *asked; /* one a model: when what calls take beside time was measured */
} bench_report;

/* `summary` is NULL as long as nothing was recorded. */
void bench_report_write(const bench_report *report, const bench_summary *summary, int complete, FILE *file);
void bench_report_print(const bench_summary *summary, const bench_report *report, FILE *file);

/* Writes NAME.json, and NAME.npz before it: whoever reads them meanwhile, or after a kill, finds the old ones or the
 * new ones whole. Returns ENVIRONMENT with a sentence. */
int bench_report_save(const bench_report *report, const bench_summary *summary, int complete, char *detail);

/* Calls `warn` with what whoever reads the numbers must know, one sentence each. `after`: how the machine looked then.
 */
typedef void (*bench_warn)(void *user, const char *sentence);
void bench_warnings(const bench_report *report, const bench_summary *summary, const bench_look *after, bench_warn warn,
                    void *user);

#endif
