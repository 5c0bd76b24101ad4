/* The command line. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef enum bench_scenario { SINGLE_STREAM, MULTI_STREAM, SERVER, OFFLINE } bench_scenario;

extern const char *const bench_scenario_names[4];

typedef struct bench_options {
    const char **models; /* model_count paths; the array is the caller's to free */
    size_t model_count;
    bench_scenario scenario;
    double duration_s;
    double percentile; /* to be claimed, in `server` bounded; 0: none */
    int64_t bound_ns;  /* 0: the usual one */
    int64_t batch;     /* 0: the scenario's own */
    uint64_t seed;
    size_t processes;   /* that measure in turn; 1: this one does */
    int64_t part;       /* this is one of those, from 0; -1: it is not */
    size_t cold_starts; /* fresh processes of each model */
    int64_t cold;       /* this is one of those, of model number so and so; -1: it is not */
    uint32_t threads;
    int bare; /* --against bare-c */
    int each; /* --safeguards each */
    int json;
    int blocks; /* serves blocks of calls through its pipes */
    int help, version;
    const char *data, *labels, *save; /* NULL: none */
} bench_options;

extern const char bench_usage[];

/* Reads the command line. Returns USAGE with a sentence for what is not right in it. */
int bench_options_read(int argc, char **argv, bench_options *options, char *detail);

#endif
