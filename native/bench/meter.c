/* Energy: RAPL's packages by powercap, and sensors of hwmon (the kernel's Documentation/power/powercap and
 * Documentation/hwmon/sysfs-interface). SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "meter.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "file.h"

enum { TEXT = 128 };

/* The number that a file holds; 0: none can be read. */
static int number(const char *path, double *value) {
    char text[TEXT], *end;
    bench_file_text(path, text, sizeof text);
    *value = strtod(text, &end);
    return end != text;
}

/* Takes a file of the meter, if it can be read. */
static int take(bench_meter *meter, const char *path) {
    int i = meter->count;
    if (i == BENCH_METER_PATHS || strlen(path) >= BENCH_METER_PATH || !number(path, &meter->last[i])) return 0;
    memcpy(meter->paths[i], path, strlen(path) + 1);
    meter->count++;
    return 1;
}

/* A zone that is a package: not a part of one, nor the platform that holds them all. */
static void take_package(bench_meter *meter, const char *zone) {
    char path[2 * BENCH_METER_PATH], name[TEXT];
    snprintf(path, sizeof path, "%.200s/name", zone);
    bench_file_text(path, name, sizeof name);
    if (strncmp(name, "package", 7)) return;
    snprintf(path, sizeof path, "%.200s/energy_uj", zone);
    if (!take(meter, path)) return;
    snprintf(path, sizeof path, "%.200s/max_energy_range_uj", zone);
    number(path, &meter->wraps_at[meter->count - 1]);
}

static void take_sensor(bench_meter *meter, const char *sensor) {
    char path[2 * BENCH_METER_PATH], name[TEXT];
    const char *file = strrchr(sensor, '/');
    if (meter->count || !file || !take(meter, sensor)) return;
    snprintf(path, sizeof path, "%.*s/name", (int)(file - sensor), sensor);
    bench_file_text(path, name, sizeof name);
    snprintf(meter->name, sizeof meter->name, "hwmon %.60s %.60s", name, file + 1);
}

static void each_match(bench_meter *meter, const char *system, const char *pattern,
                       void (*visit)(bench_meter *, const char *)) {
    char path[2 * BENCH_METER_PATH];
    glob_t found;
    snprintf(path, sizeof path, "%.100s/class/%.60s", system, pattern);
    if (glob(path, 0, NULL, &found)) return;
    for (size_t i = 0; i < found.gl_pathc; i++) visit(meter, found.gl_pathv[i]);
    globfree(&found);
}

bench_meter bench_meter_find(const char *system) {
    bench_meter meter = {.count = 0};
    each_match(&meter, system, "powercap/intel-rapl:*", take_package);
    if (meter.count)
        snprintf(meter.name, sizeof meter.name, "RAPL, %d package%s", meter.count, meter.count > 1 ? "s" : "");
    if (!meter.count) each_match(&meter, system, "hwmon/*/energy*_input", take_sensor);
    if (meter.count) return meter;
    each_match(&meter, system, "hwmon/*/power*_input", take_sensor);
    each_match(&meter, system, "hwmon/*/power*_average", take_sensor);
    meter.is_power = meter.count > 0;
    meter.last_ns = bench_now_ns();
    return meter;
}

double bench_meter_joules(bench_meter *meter) {
    double now, micro = 0;
    for (int i = 0; i < meter->count; i++) {
        if (!number(meter->paths[i], &now)) continue;
        if (meter->is_power) {
            int64_t now_ns = bench_now_ns();
            micro += now * (double)(now_ns - meter->last_ns) / 1e9;
            meter->last_ns = now_ns;
        } else {
            double used = now - meter->last[i];
            micro += used < 0 ? used + meter->wraps_at[i] : used;
            meter->last[i] = now;
        }
    }
    return meter->joules += micro / 1e6;
}
