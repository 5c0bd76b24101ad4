/* Energy, where the machine has a meter that may be read. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdint.h>

enum { BENCH_METER_PATHS = 8, BENCH_METER_PATH = 160 };

/* One thread. */
typedef struct bench_meter {
    char name[BENCH_METER_PATH];
    char paths[BENCH_METER_PATHS][BENCH_METER_PATH]; /* counters of microjoules; or, of power, one of microwatts */
    double wraps_at[BENCH_METER_PATHS], last[BENCH_METER_PATHS];
    int count; /* 0: there is no meter */
    int is_power;
    int64_t last_ns;
    double joules;
} bench_meter;

/* The first that can be read now: RAPL's packages, then an energy counter or a power sensor of hwmon. `system` is where
 * sysfs is mounted, "/sys". */
bench_meter bench_meter_find(const char *system);

/* Used since it was found; ask often: some meters wrap, and of power it is taken that it was the same since it was last
 * asked. */
double bench_meter_joules(bench_meter *meter);

#endif
