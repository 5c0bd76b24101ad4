/* A thread that does one job, again and again when asked, and that whoever asked may stop waiting for. */
#ifndef ER_WORKER_H
#define ER_WORKER_H

#include <stdint.h>

typedef struct er_worker er_worker; /* one thread at a time, beside its own */

/* Starts the thread. What the job works on belongs to it from er_worker_ask until er_worker_wait says that it is done.
 * NULL: no memory or no thread. */
er_worker *er_worker_open(void (*job)(void *context), void *context);

/* Waits until a job that was asked for is done. */
void er_worker_close(er_worker *worker);

/* Only while nothing is being done. */
void er_worker_ask(er_worker *worker);

/* 1: nothing is being done; 0: so much of the monotonic clock came first. */
int er_worker_wait(er_worker *worker, uint64_t until_ns);

#endif
