/* How long something takes, on Linux. Virtual machines may take 40 ns to read the monotonic clock, most of it to wait
 * for what came before; the time stamp counter of x86-64, which that clock is made from, a third of it. */
#define _GNU_SOURCE
#include "platform.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static uint64_t since(uint64_t from, uint64_t now) {
    return now > from ? now - from : 0; /* also where processors' counters differ a little */
}

#define SAME_RATE 1e-3 /* more than a clock is ever slewed by */

double er_stopwatch_rate(double before, uint64_t ns, uint64_t ticks) {
    if (!ticks) return 0;
    double now = (double)ns / (double)ticks;
    return before > 0 && (now > before * (1 + SAME_RATE) || now < before * (1 - SAME_RATE)) ? 0 : now;
}

#if defined(__x86_64__)

#define SHORTEST_NS \
    10000000u /* to measure a rate over: reading both takes less than a thousandth of a per cent of it */

static struct {
    int taken;          /* by a check; one that a fork cut off is never given back, and then no other is needed */
    int holds;          /* the kernel counted ticks then */
    uint64_t ns, ticks; /* read together */
} anchor;
static double rate;                         /* ns a tick; 0: not known */
static uint64_t next_check_ns = UINT64_MAX; /* of the monotonic clock, as long as the rate is not known but may be */

/* The kernel takes the counter for its clock where it goes evenly, on all processors alike. */
static int kernel_counts_ticks(void) {
    char name[8] = "";
    int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    int found = read(file, name, sizeof name - 1) > 0 && strcmp(name, "tsc\n") == 0;
    close(file);
    return found;
}

/* The pair, of some, that was read the fastest: others may have been interrupted. */
static void read_both(uint64_t *ns, uint64_t *ticks) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t before = __builtin_ia32_rdtsc(), now = er_monotonic_ns(), took = __builtin_ia32_rdtsc() - before;
        if (took >= least) continue;
        least = took;
        *ns = now;
        *ticks = before + took / 2;
    }
}

void er_stopwatch_check(void) {
    uint64_t ns = 0, ticks = 0, next = UINT64_MAX;
    double now = 0;
    if (__atomic_exchange_n(&anchor.taken, 1, __ATOMIC_ACQUIRE)) return;
    read_both(&ns, &ticks);
    int early = anchor.holds && since(anchor.ns, ns) < SHORTEST_NS;
    if (anchor.holds && !early) now = er_stopwatch_rate(rate, ns - anchor.ns, since(anchor.ticks, ticks));
    if (!early && !(now > 0)) {
        anchor.ns = ns;
        anchor.ticks = ticks;
        anchor.holds = kernel_counts_ticks();
        if (anchor.holds) next = ns + SHORTEST_NS;
    }
    if (!early) {
        __atomic_store(&rate, &now, __ATOMIC_RELAXED);
        __atomic_store_n(&next_check_ns, next, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&anchor.taken, 0, __ATOMIC_RELEASE);
}

er_stopwatch er_stopwatch_start(void) {
    double now;
    __atomic_load(&rate, &now, __ATOMIC_RELAXED);
    if (now > 0) return (er_stopwatch){__builtin_ia32_rdtsc(), now};
    return (er_stopwatch){er_monotonic_ns(), 0};
}

uint64_t er_stopwatch_ns(const er_stopwatch *stopwatch) {
    if (stopwatch->ns_a_tick > 0)
        return (uint64_t)((double)since(stopwatch->from, __builtin_ia32_rdtsc()) * stopwatch->ns_a_tick);
    uint64_t now = er_monotonic_ns();
    if (now >= __atomic_load_n(&next_check_ns, __ATOMIC_RELAXED)) er_stopwatch_check();
    return since(stopwatch->from, now);
}

#else /* their clocks cost no more than their counters */

void er_stopwatch_check(void) {
}

er_stopwatch er_stopwatch_start(void) {
    return (er_stopwatch){er_monotonic_ns(), 0};
}

uint64_t er_stopwatch_ns(const er_stopwatch *stopwatch) {
    return since(stopwatch->from, er_monotonic_ns());
}

#endif
