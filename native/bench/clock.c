/* Time that never runs backwards. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "clock.h"

#include <time.h>

/* A sleeping thread is woken late by about this much, so the last stretch before a moment is spent asking for the time.
 */
enum { WAKES_LATE_NS = 300000, SECOND_NS = 1000000000 };

static int64_t read_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

int64_t bench_now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

int64_t bench_wall_ns(void) {
    return read_clock(CLOCK_REALTIME);
}

int64_t bench_processor_ns(void) {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_sleep_until(int64_t moment_ns) {
    int64_t early = moment_ns - WAKES_LATE_NS;
    struct timespec until = {.tv_sec = (time_t)(early / SECOND_NS), .tv_nsec = (long)(early % SECOND_NS)};
    if (early > bench_now_ns()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    while (bench_now_ns() < moment_ns) {
    }
}
