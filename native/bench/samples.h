/* Raw samples as numpy's .npz. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stdio.h>

#include "closed_loop.h"

/* Writes the arrays SCENARIO.i.block, .scheduled_ns, .began_ns and .ended_ns of each series i of which a call counted.
 * 0: they are more than the 4 GiB that a plain zip holds, or the file cannot be written. */
int bench_samples_write(FILE *file, const char *scenario, const bench_run *run);

#endif
