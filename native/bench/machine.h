/* What is seen of the machine. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include "json.h"

enum { BENCH_MOST_CORES = 256 };

/* Seconds of all cores together; all 0 where the system does not tell. */
typedef struct bench_spent {
    double all, spent, stolen, ours;
} bench_spent;

typedef struct bench_look {
    double at_s;
    char governor[64];
    int32_t frequency_mhz[BENCH_MOST_CORES];
    int cores;                         /* whose frequency is known */
    double temperature_c, load_1m;     /* NaN: not known */
    int64_t times_throttled;           /* -1: not known */
    double others_share, stolen_share; /* since the look before; of `after` since the beginning. NaN: not known */
} bench_look;

typedef struct bench_machine {
    bench_look before, *during;
    size_t looks;
    int64_t began_ns;
    bench_spent first, last;
} bench_machine;

/* Looks at it before, and during, a run. */
bench_machine bench_machine_begin(void);
void bench_machine_look(bench_machine *machine);
void bench_machine_free(bench_machine *machine);

/* What is seen now, with the shares of the time since the beginning. */
bench_look bench_machine_after(const bench_machine *machine);

/* Writes object "machine". */
void bench_machine_write(const bench_machine *machine, const bench_look *after, const char *runtime_version,
                         const char *runtime_build, bench_json *json);

#endif
