/* Time that never runs backwards, in nanoseconds. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>

int64_t bench_now_ns(void);
int64_t bench_wall_ns(void);
int64_t bench_processor_ns(void); /* of all threads of this process */

/* Returns at that time, or at once when it is past. */
void bench_sleep_until(int64_t moment_ns);

#endif
