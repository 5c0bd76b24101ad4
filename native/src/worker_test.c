/* A worker hands over what it did, and lets go of whoever will not wait. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "worker.h"

#include <signal.h>
#include <time.h>

#include "er_test.h"
#include "platform/platform.h"

#define MS 1000000u

typedef struct test_task {
    uint32_t sleep_ms;
    int count; /* written by the job, without any lock */
    int blocks_term, blocks_segv;
} test_task;

static void do_task(void *context) {
    test_task *at = context;
    struct timespec pause = {.tv_sec = at->sleep_ms / 1000, .tv_nsec = (long)(at->sleep_ms % 1000) * (long)MS};
    if (at->sleep_ms) nanosleep(&pause, NULL);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    at->blocks_term = sigismember(&mask, SIGTERM);
    at->blocks_segv = sigismember(&mask, SIGSEGV);
    at->count++;
}

static uint64_t in_ms(uint32_t ms) {
    return er_monotonic_ns() + (uint64_t)ms * MS;
}

static void what_a_job_did_is_there_when_the_wait_ends(void) {
    test_task task = {0};
    er_worker *worker = er_worker_open(do_task, &task);
    for (int i = 1; i <= 2000; i++) {
        er_worker_ask(worker);
        ER_CHECK(er_worker_wait(worker, UINT64_MAX));
        if (task.count != i) ER_CHECK_INT(task.count, i);
    }
    er_worker_close(worker);
}

static void a_wait_ends_in_time_whatever_the_job_does(void) {
    test_task task = {.sleep_ms = 400};
    er_worker *worker = er_worker_open(do_task, &task);
    uint64_t until = in_ms(20);
    er_worker_ask(worker);
    ER_CHECK(!er_worker_wait(worker, until));
    uint64_t now = er_monotonic_ns();
    ER_CHECK(now >= until);
    ER_CHECK(now < until + 200 * MS); /* a machine may be busy; the job takes longer */
    er_worker_close(worker);
}

static void the_second_half_of_a_wait_takes_short_turns_and_gives_the_long_ones_back(void) {
    er_turns before = er_thread_hasten();
    if (!before.length_ns) {
        printf("not tested: this kernel has no turns of a length that a thread asks for (Linux 6.12 and up)\n");
        return;
    }
    ER_CHECK(!er_thread_hasten().length_ns); /* they are short */
    er_thread_relax(before);
    test_task task = {.sleep_ms = 100};
    er_worker *worker = er_worker_open(do_task, &task);
    er_worker_ask(worker);
    ER_CHECK(!er_worker_wait(worker, in_ms(10)));
    er_worker_close(worker);
    er_turns after = er_thread_hasten();
    ER_CHECK_INT(after.length_ns, before.length_ns);
    er_thread_relax(after);
}

static void a_job_that_was_left_holds_the_next_one_back_no_longer_than_its_deadline(void) {
    test_task task = {.sleep_ms = 200};
    er_worker *worker = er_worker_open(do_task, &task);
    er_worker_ask(worker);
    ER_CHECK(!er_worker_wait(worker, in_ms(1)));
    ER_CHECK(!er_worker_wait(worker, in_ms(1)));
    ER_CHECK(!er_worker_wait(worker, 0));
    ER_CHECK(er_worker_wait(worker, in_ms(60000)));
    ER_CHECK_INT(task.count, 1);
    task.sleep_ms = 0;
    er_worker_ask(worker);
    ER_CHECK(er_worker_wait(worker, in_ms(60000)));
    ER_CHECK_INT(task.count, 2);
    er_worker_close(worker);
}

static void closing_waits_for_a_job_that_was_left(void) {
    test_task task = {.sleep_ms = 50};
    er_worker *worker = er_worker_open(do_task, &task);
    er_worker_ask(worker);
    ER_CHECK(!er_worker_wait(worker, in_ms(1)));
    er_worker_close(worker);
    ER_CHECK_INT(task.count, 1);
}

static void a_worker_that_was_never_asked_closes(void) {
    test_task task = {0};
    er_worker_close(er_worker_open(do_task, &task));
    er_worker_close(NULL);
    ER_CHECK_INT(task.count, 0);
}

static void signals_of_the_process_are_for_other_threads(void) {
    test_task task = {0};
    er_worker *worker = er_worker_open(do_task, &task);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    ER_CHECK(!sigismember(&mask, SIGTERM));
    er_worker_ask(worker);
    ER_CHECK(er_worker_wait(worker, UINT64_MAX));
    ER_CHECK(task.blocks_term);
    ER_CHECK(!task.blocks_segv);
    er_worker_close(worker);
}

int main(void) {
    ER_RUN(what_a_job_did_is_there_when_the_wait_ends);
    ER_RUN(a_wait_ends_in_time_whatever_the_job_does);
    ER_RUN(the_second_half_of_a_wait_takes_short_turns_and_gives_the_long_ones_back);
    ER_RUN(a_job_that_was_left_holds_the_next_one_back_no_longer_than_its_deadline);
    ER_RUN(closing_waits_for_a_job_that_was_left);
    ER_RUN(a_worker_that_was_never_asked_closes);
    ER_RUN(signals_of_the_process_are_for_other_threads);
    return er_test_result();
}
