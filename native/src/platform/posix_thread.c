/* Locks and threads, for POSIX. Timed waits are by the monotonic clock, which setting the time does not move
 * (POSIX.1-2017 pthread_condattr_setclock). */
#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

int er_mutex_init(er_mutex *mutex) {
    return pthread_mutex_init(mutex, NULL);
}

void er_mutex_destroy(er_mutex *mutex) {
    pthread_mutex_destroy(mutex);
}

void er_mutex_lock(er_mutex *mutex) {
    pthread_mutex_lock(mutex);
}

void er_mutex_unlock(er_mutex *mutex) {
    pthread_mutex_unlock(mutex);
}

int er_condition_init(er_condition *condition) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error) return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (!error) error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

void er_condition_destroy(er_condition *condition) {
    pthread_cond_destroy(condition);
}

void er_condition_signal(er_condition *condition) {
    pthread_cond_signal(condition);
}

void er_condition_wait(er_condition *condition, er_mutex *mutex) {
    pthread_cond_wait(condition, mutex);
}

int er_condition_wait_until(er_condition *condition, er_mutex *mutex, uint64_t monotonic_ns) {
    uint64_t seconds = monotonic_ns / 1000000000u;
    struct timespec until = {.tv_nsec = (long)(monotonic_ns % 1000000000u)};
    until.tv_sec = seconds < INT32_MAX ? (time_t)seconds : INT32_MAX; /* time_t may have 32 bits; 68 years will do */
    return pthread_cond_timedwait(condition, mutex, &until) != ETIMEDOUT;
}

int er_thread_start(er_thread *thread, void *(*body)(void *), void *context) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&blocked, own[i]);
    int error = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (error) return error;
    error = pthread_create(thread, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void er_thread_join(er_thread thread) {
    pthread_join(thread, NULL);
}

#if defined(__linux__) && defined(SYS_sched_setattr)
/* sched_setattr(2), first version of its structure: C libraries declare it since glibc 2.41 only. */
typedef struct turn_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} turn_attributes;

static int get_turns(turn_attributes *attributes) {
    return syscall(SYS_sched_getattr, 0, attributes, sizeof *attributes, 0) == 0;
}

/* The scheduler takes a thread that wakes before one whose turn is longer, if it has had less than its share. For
 * threads of the ordinary policy kernels before 6.12 tell no length, and take none. */
er_turns er_thread_hasten(void) {
    enum { SHORTEST = 100000 }; /* ns; the kernel's own limit */
    turn_attributes now = {0};
    if (!get_turns(&now) || now.policy != SCHED_OTHER || now.runtime <= SHORTEST) return (er_turns){0};
    er_turns before = {now.runtime};
    now.size = sizeof now;
    now.runtime = SHORTEST;
    return syscall(SYS_sched_setattr, 0, &now, 0) == 0 ? before : (er_turns){0};
}

void er_thread_relax(er_turns before) {
    turn_attributes now = {0};
    if (!before.length_ns || !get_turns(&now)) return;
    now.size = sizeof now;
    now.runtime = before.length_ns;
    syscall(SYS_sched_setattr, 0, &now, 0);
}
#else
er_turns er_thread_hasten(void) {
    return (er_turns){0};
}

void er_thread_relax(er_turns before) {
    (void)before;
}
#endif

static uint64_t forks;
static pthread_once_t counting = PTHREAD_ONCE_INIT;

static void count_fork(void) {
    forks++;
}

/* For want of memory at the first call nothing is counted. */
static void begin_counting(void) {
    pthread_atfork(NULL, NULL, count_fork);
}

uint64_t er_process(void) {
    pthread_once(&counting, begin_counting);
    return forks;
}
