/* A worker thread. One flag, `busy`, is all that both sides look at: the asker sets it and the worker clears it, both
 * under the lock, so that neither misses the other's signal; between the two, what the job works on is the worker's. A
 * deadline ends the asker's wait and nothing else. */
#include "worker.h"

#include "platform/platform.h"

#include <stdlib.h>

struct er_worker {
    void (*job)(void *);
    void *context;
    er_thread thread;
    er_mutex lock;
    er_condition asked, done;
    int busy; /* atomic */
    int quit; /* under `lock` */
};

static int is_busy(const er_worker *worker) {
    return __atomic_load_n(&worker->busy, __ATOMIC_ACQUIRE);
}

static void set_busy(er_worker *worker, int busy) {
    er_mutex_lock(&worker->lock);
    __atomic_store_n(&worker->busy, busy, __ATOMIC_RELEASE);
    er_mutex_unlock(&worker->lock);
    er_condition_signal(busy ? &worker->asked : &worker->done);
}

static int wait_asked(er_worker *worker) {
    er_mutex_lock(&worker->lock);
    while (!is_busy(worker) && !worker->quit) er_condition_wait(&worker->asked, &worker->lock);
    int asked = is_busy(worker);
    er_mutex_unlock(&worker->lock);
    return asked;
}

static void *work(void *context) {
    er_worker *worker = context;
    while (wait_asked(worker)) {
        worker->job(worker->context);
        set_busy(worker, 0);
    }
    return NULL;
}

static int begin(er_worker *worker) {
    if (er_mutex_init(&worker->lock)) return 0;
    if (!er_condition_init(&worker->asked)) {
        if (!er_condition_init(&worker->done)) {
            if (!er_thread_start(&worker->thread, work, worker)) return 1;
            er_condition_destroy(&worker->done);
        }
        er_condition_destroy(&worker->asked);
    }
    er_mutex_destroy(&worker->lock);
    return 0;
}

er_worker *er_worker_open(void (*job)(void *), void *context) {
    er_worker *worker = calloc(1, sizeof *worker);
    if (!worker) return NULL;
    worker->job = job;
    worker->context = context;
    if (begin(worker)) return worker;
    free(worker);
    return NULL;
}

void er_worker_close(er_worker *worker) {
    if (!worker) return;
    er_mutex_lock(&worker->lock);
    worker->quit = 1;
    er_mutex_unlock(&worker->lock);
    er_condition_signal(&worker->asked);
    er_thread_join(worker->thread);
    er_condition_destroy(&worker->done);
    er_condition_destroy(&worker->asked);
    er_mutex_destroy(&worker->lock);
    free(worker);
}

void er_worker_ask(er_worker *worker) {
    set_busy(worker, 1);
}

/* Under the lock. */
static void wait_done(er_worker *worker, uint64_t until_ns) {
    while (is_busy(worker) && er_condition_wait_until(&worker->done, &worker->lock, until_ns)) {
    }
}

/* Who wakes soon after falling asleep gets a turn at once on Linux 6.12 and up, which keep in the queue a thread that
 * sleeps ahead of the others until they have caught up with it and the queue is next looked at. One that has left the
 * queue waits instead where the turn of whoever runs would end before its own. */
static void doze(er_worker *worker, uint64_t until_ns) {
    enum { FIRST = 4000000, LAST = 500000 }; /* ns before the end; the queue is looked at every 4 ms in most kernels */
    for (uint64_t left = FIRST; left >= LAST; left /= 2)
        if (until_ns > left) wait_done(worker, until_ns - left);
    wait_done(worker, until_ns);
}

/* A job may have every processor, and whoever wakes then waits for a turn, some milliseconds. So the second half of the
 * wait, and what else is so near to its end that such a turn could make it late, asks for short turns and ends in naps.
 * A job that ends before that, as nearly all do where the end is further away, is spared what it costs. */
int er_worker_wait(er_worker *worker, uint64_t until_ns) {
    enum { NEAR = 8000000 }; /* ns: two ticks */
    if (!is_busy(worker)) return 1;
    uint64_t now = er_monotonic_ns(), left = until_ns > now ? until_ns - now : 0, far = left > NEAR ? left - NEAR : 0;
    er_mutex_lock(&worker->lock);
    if (far) wait_done(worker, now + (far < left / 2 ? far : left / 2));
    if (is_busy(worker)) {
        er_turns before = er_thread_hasten();
        doze(worker, until_ns);
        er_mutex_unlock(&worker->lock);
        er_thread_relax(before);
    } else {
        er_mutex_unlock(&worker->lock);
    }
    return !is_busy(worker);
}
