/* A series that slows down for good. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_THROTTLING_H
#define BENCH_THROTTLING_H

#include "closed_loop.h"

/* The moment from which a subject was slower by at least 5 %, to the end, and how many times as slow. `yardstick` may
 * be NULL: a subject that slows down beside it is found on a machine that goes to and fro, too. Of several processes,
 * one may be slow by itself: three on either side must agree. 0: there is none. */
int bench_throttling(const bench_run *run, const bench_blocks *blocks, const bench_blocks *yardstick, double *at_s,
                     double *ratio);

#endif
