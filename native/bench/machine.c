/* What is seen of the machine, from /proc and /sys; what a system does not tell is null (docs/formats/bench.md).
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "machine.h"

#include <gnu/libc-version.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "clock.h"
#include "edge_rai.h"
#include "failure.h"
#include "file.h"

enum { TEXT = 256, CPUINFO = 1 << 18, ZONES = 64 };

static const double ZONES_BELOW_C = 200; /* sensors that are not connected show more */

static bench_spent spent_so_far(void) {
    char text[TEXT];
    double user, nice, kernel, idle, waiting, interrupts, soft, stolen, tick = (double)sysconf(_SC_CLK_TCK);
    struct tms ours;
    bench_file_text("/proc/stat", text, sizeof text);
    if (sscanf(text, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &kernel, &idle, &waiting, &interrupts, &soft,
               &stolen) != 8)
        return (bench_spent){0};
    times(&ours);
    double spent = user + nice + kernel + interrupts + soft;
    return (bench_spent){(spent + idle + waiting + stolen) / tick, spent / tick, stolen / tick,
                         (double)(ours.tms_utime + ours.tms_stime) / tick};
}

static int frequencies(int32_t *found) {
    char path[TEXT], text[TEXT];
    int cores = 0;
    for (int i = 0; i < BENCH_MOST_CORES; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", i);
        bench_file_text(path, text, sizeof text);
        if (atol(text) > 0) found[cores++] = (int32_t)(atol(text) / 1000);
    }
    if (cores) return cores;
    char *info = bench_allocate(CPUINFO, 1);
    bench_file_text("/proc/cpuinfo", info, CPUINFO);
    for (const char *at = info; (at = strstr(at, "cpu MHz")) && cores < BENCH_MOST_CORES; at += 7) {
        const char *value = strchr(at, ':');
        if (value) found[cores++] = (int32_t)atof(value + 1);
    }
    free(info);
    return cores;
}

static double temperature(void) {
    char path[TEXT], text[TEXT];
    double hottest = NAN;
    for (int i = 0; i < ZONES; i++) {
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i);
        bench_file_text(path, text, sizeof text);
        double degrees = *text ? atof(text) / 1000 : ZONES_BELOW_C;
        if (degrees < ZONES_BELOW_C) hottest = fmax(isnan(hottest) ? degrees : hottest, degrees);
    }
    return hottest;
}

static int64_t times_throttled(void) {
    char path[TEXT], text[TEXT];
    int64_t times = -1;
    for (int i = 0; i < BENCH_MOST_CORES; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", i);
        bench_file_text(path, text, sizeof text);
        if (*text) times = (times < 0 ? 0 : times) + atol(text);
    }
    return times;
}

static void add_shares(bench_look *look, const bench_spent *before, const bench_spent *now) {
    double all = now->all - before->all, others = now->spent - before->spent - (now->ours - before->ours);
    look->others_share = look->stolen_share = NAN;
    if (all <= 0) return;
    look->others_share = fmin(1, fmax(0, others) / all);
    look->stolen_share = (now->stolen - before->stolen) / all;
}

static bench_look look_now(const bench_machine *machine) {
    char load[TEXT];
    bench_look look = {.at_s = (double)(bench_now_ns() - machine->began_ns) / 1e9,
                       .temperature_c = temperature(),
                       .times_throttled = times_throttled()};
    bench_file_text("/proc/loadavg", load, sizeof load);
    look.load_1m = *load ? atof(load) : NAN;
    bench_file_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", look.governor, sizeof look.governor);
    look.cores = frequencies(look.frequency_mhz);
    return look;
}

bench_machine bench_machine_begin(void) {
    bench_machine machine = {.began_ns = bench_now_ns()};
    machine.before = look_now(&machine);
    machine.first = machine.last = spent_so_far();
    return machine;
}

void bench_machine_look(bench_machine *machine) {
    bench_spent before = machine->last;
    machine->last = spent_so_far();
    machine->during = bench_resize(machine->during, machine->looks + 1, sizeof *machine->during);
    machine->during[machine->looks] = look_now(machine);
    add_shares(&machine->during[machine->looks++], &before, &machine->last);
}

bench_look bench_machine_after(const bench_machine *machine) {
    bench_look after = look_now(machine);
    bench_spent now = spent_so_far();
    add_shares(&after, &machine->first, &now);
    return after;
}

void bench_machine_free(bench_machine *machine) {
    free(machine->during);
    *machine = (bench_machine){.looks = 0};
}

/* ---- Written ------------------------------------------------------------------------------------------------------
 */

/* The value of a line "key : value", the last one of that key. */
static void cpuinfo_value(const char *info, const char *key, char *value, size_t capacity) {
    *value = 0;
    size_t length = strlen(key);
    for (const char *line = info; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        const char *end = line + strcspn(line, "\n"), *colon = line + strcspn(line, ":\n");
        if (strncmp(line, key, length) || colon == end || !strchr(" \t:", line[length])) continue;
        for (colon++; *colon == ' '; colon++) continue;
        snprintf(value, capacity, "%.*s", (int)(end - colon), colon);
    }
}

/* What the machine is a guest of, "unknown" where that is all there is to see; empty: no sign of any. */
static void virtual_machine(const char *flags, char *found, size_t capacity) {
    static const char *const names[] = {"QEMU", "VMware", "Xen", "innotek", "Microsoft", "Amazon"};
    char vendor[TEXT];
    bench_file_text("/sys/hypervisor/type", found, capacity);
    if (*found) return;
    bench_file_text("/sys/class/dmi/id/sys_vendor", vendor, sizeof vendor);
    for (size_t i = 0; i < sizeof names / sizeof *names && !*found; i++)
        if (strstr(vendor, names[i])) snprintf(found, capacity, "%s", names[i]);
    if (!*found && strstr(flags, " hypervisor")) snprintf(found, capacity, "unknown");
}

static int64_t memory_bytes(void) {
    char text[TEXT];
    long long kilobytes = 0;
    bench_file_text("/proc/meminfo", text, sizeof text);
    return sscanf(text, "MemTotal: %lld", &kilobytes) == 1 ? (int64_t)kilobytes * 1024 : -1;
}

static void write_environment(bench_json *json) {
    static const char *const names[] = {"OMP_NUM_THREADS", "LD_PRELOAD", "MALLOC_ARENA_MAX"};
    bench_json_open(json, "environment", '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) bench_json_text(json, names[i], getenv(names[i]));
    bench_json_close(json, '}');
}

/* Those of the processor's flags that inference runtimes choose their code by, of x86-64 and of ARM. */
static void write_instructions(const char *flags, bench_json *json) {
    static const char *const beginnings[] = {"sse4", "avx", "fma", "f16c", "amx", "asimd",
                                             "fphp", "sve", "sme", "i8mm", "bf16"};
    char flag[64];
    bench_json_open(json, "instructions", '[');
    for (const char *at = flags; sscanf(at, "%63s", flag) == 1; at = strstr(at, flag) + strlen(flag))
        for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
            if (!strncmp(flag, beginnings[i], strlen(beginnings[i]))) bench_json_text(json, NULL, flag);
    bench_json_close(json, ']');
}

static void write_cpu(bench_json *json) {
    char *info = bench_allocate(CPUINFO, 1), cpu[TEXT], flags[4096], found[TEXT];
    bench_file_text("/proc/cpuinfo", info, CPUINFO);
    cpuinfo_value(info, "model name", cpu, sizeof cpu);
    if (!*cpu) cpuinfo_value(info, "Hardware", cpu, sizeof cpu);
    cpuinfo_value(info, "flags", flags, sizeof flags);
    if (!*flags) cpuinfo_value(info, "Features", flags, sizeof flags);
    bench_json_known(json, "cpu", cpu);
    write_instructions(flags, json);
    virtual_machine(flags, found, sizeof found);
    bench_json_known(json, "virtual_machine", found);
    free(info);
}

static void write_fixed(const char *runtime_version, const char *runtime_build, bench_json *json) {
    char text[TEXT * 4];
    struct utsname system;
    cpu_set_t allowed;
    bench_json_open(json, "fixed", '{');
    write_cpu(json);
    uname(&system);
    bench_json_text(json, "architecture", system.machine);
    bench_json_whole(json, "cores", sysconf(_SC_NPROCESSORS_CONF));
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        bench_json_null(json, "cores_allowed");
    else
        bench_json_whole(json, "cores_allowed", CPU_COUNT(&allowed));
    if (memory_bytes() < 0)
        bench_json_null(json, "memory_bytes");
    else
        bench_json_whole(json, "memory_bytes", memory_bytes());
    bench_file_text("/sys/firmware/devicetree/base/model", text, sizeof text);
    if (!*text) bench_file_text("/sys/class/dmi/id/product_name", text, sizeof text);
    bench_json_known(json, "model", text);
    bench_json_bool(json, "container", !access("/.dockerenv", F_OK) || !access("/run/.containerenv", F_OK));
    snprintf(text, sizeof text, "%s-%s-%s-with-glibc%s", system.sysname, system.release, system.machine,
             gnu_get_libc_version());
    bench_json_text(json, "system", text);
    bench_json_null(json, "python");
    bench_json_null(json, "compiler_of_python");
    bench_json_null(json, "gil");
    bench_json_open(json, "versions", '{');
    bench_json_text(json, "edge-rai", erai_version());
    bench_json_known(json, "onnxruntime", runtime_version);
    bench_json_close(json, '}');
    bench_json_open(json, "builds", '{');
    bench_json_text(json, "edge-rai", erai_build());
    bench_json_known(json, "onnxruntime", runtime_build);
    bench_json_close(json, '}');
    write_environment(json);
    bench_json_close(json, '}');
}

static void write_look(const char *key, const bench_look *look, int during, int shares, bench_json *json) {
    bench_json_open(json, key, '{');
    if (during) bench_json_number(json, "at_s", look->at_s);
    bench_json_known(json, "governor", look->governor);
    if (look->cores) {
        bench_json_open(json, "frequency_mhz", '[');
        for (int i = 0; i < look->cores; i++) bench_json_whole(json, NULL, look->frequency_mhz[i]);
        bench_json_close(json, ']');
    } else {
        bench_json_null(json, "frequency_mhz");
    }
    bench_json_number(json, "temperature_c", look->temperature_c);
    if (look->times_throttled < 0)
        bench_json_null(json, "times_throttled");
    else
        bench_json_whole(json, "times_throttled", look->times_throttled);
    bench_json_number(json, "load_1m", look->load_1m);
    if (shares) {
        bench_json_number(json, "others_share", look->others_share);
        bench_json_number(json, "stolen_share", look->stolen_share);
    }
    bench_json_close(json, '}');
}

void bench_machine_write(const bench_machine *machine, const bench_look *after, const char *runtime_version,
                         const char *runtime_build, bench_json *json) {
    bench_json_open(json, "machine", '{');
    write_fixed(runtime_version, runtime_build, json);
    write_look("before", &machine->before, 0, 0, json);
    bench_json_open(json, "during", '[');
    for (size_t i = 0; i < machine->looks; i++) write_look(NULL, &machine->during[i], 1, 1, json);
    bench_json_close(json, ']');
    write_look("after", after, 0, 1, json);
    bench_json_close(json, '}');
}
