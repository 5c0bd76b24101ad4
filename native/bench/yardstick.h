/* What every run has beside its models. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_YARDSTICK_H
#define BENCH_YARDSTICK_H

#include "series.h"

/* Fixed work, by which two runs are compared: six products of a matrix of 64 by 64 float32 and a vector. */
bench_subject bench_yardstick(void);

/* A call of nothing: what timing itself costs. */
bench_subject bench_empty(void);

#endif
