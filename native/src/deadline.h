/* Runs that end in time. The model runs on a thread of the runner's own, over copies of the inputs and into outputs of
 * the runner's own, so that whoever waits can leave at the deadline: the run is told to end (the run options' terminate
 * flag, which the runtime looks at between nodes), ends when it ends, and what it gave is dropped. The next run waits
 * for that, within its own deadline. Why a thread: docs/adr/0007-deadlines.md. */
#ifndef ER_DEADLINE_H
#define ER_DEADLINE_H

#include "model.h"

typedef struct er_runner er_runner;
struct er_buffer;

/* The thread starts with the first run. A forked child has none of its parent's threads: its first run leaves to
 * itself whatever the parent's thread was doing, and starts another. */
er_runner *er_runner_open(er_model *model); /* NULL when out of memory; one thread at a time */
void er_runner_close(er_runner *runner);    /* waits for a run that was left */

/* As er_binding_run, copying inputs and outputs. When it lasts until so much of the system's monotonic clock: ERAI_OK
 * and *missed, and the outputs stay as they were. */
erai_status er_runner_run(er_runner *runner, const erai_tensor *inputs, struct er_buffer *outputs, uint64_t until_ns,
                          int *missed, char *detail);

#endif
