/* The stopwatch beside the monotonic clock, before and after its rate is known. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "er_test.h"
#include "platform/platform.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* A stretch of `ms` by both; the clock is read within the stopwatch's, and once more after it. */
static void check_stretch(long ms) {
    er_stopwatch stopwatch = er_stopwatch_start();
    uint64_t start_ns = er_monotonic_ns();
    sleep_ms(ms);
    uint64_t inner_ns = er_monotonic_ns() - start_ns, taken_ns = er_stopwatch_ns(&stopwatch);
    uint64_t outer_ns = er_monotonic_ns() - start_ns + 1000000;
    ER_CHECK((double)taken_ns > 0.999 * (double)inner_ns && (double)taken_ns < 1.001 * (double)outer_ns);
}

static void goes_as_the_clock_does(void) {
    er_stopwatch first = er_stopwatch_start();
    ER_CHECK(first.ns_a_tick == 0); /* nothing is known yet */
    check_stretch(2);
    er_stopwatch_check();
    check_stretch(12);
    check_stretch(12); /* from here on by the counter, where there is one */
    double rate = er_stopwatch_start().ns_a_tick;
    printf("ns a tick: %g (0: the kernel counts by something else)\n", rate);
    check_stretch(30);
    er_stopwatch_check();
    ER_CHECK((er_stopwatch_start().ns_a_tick > 0) == (rate > 0)); /* once known it stays known */
    ER_CHECK(fabs(er_stopwatch_start().ns_a_tick - rate) <= 1e-3 * rate);
    check_stretch(30);
    ER_CHECK(er_stopwatch_ns(&first) > 50000000); /* one that began before the rate was known goes on by the clock */
}

static void a_counter_that_parts_from_the_clock_is_left(void) {
    ER_CHECK(er_stopwatch_rate(0, 10000000, 25000000) == 0.4);
    ER_CHECK(er_stopwatch_rate(0.4, 20000000, 50010000) > 0.39);
    ER_CHECK(er_stopwatch_rate(0.4, 20000000, 51000000) == 0); /* the clock stood still while the machine slept */
    ER_CHECK(er_stopwatch_rate(0.4, 20000000, 49000000) == 0);
    ER_CHECK(er_stopwatch_rate(0.4, 20000000, 0) == 0); /* set back */
}

static void a_counter_that_was_set_back_has_counted_nothing(void) {
    er_stopwatch stopwatch = er_stopwatch_start();
    stopwatch.from = UINT64_MAX;
    ER_CHECK(er_stopwatch_ns(&stopwatch) == 0);
}

int main(void) {
    ER_RUN(goes_as_the_clock_does);
    ER_RUN(a_counter_that_parts_from_the_clock_is_left);
    ER_RUN(a_counter_that_was_set_back_has_counted_nothing);
    return er_test_result();
}
