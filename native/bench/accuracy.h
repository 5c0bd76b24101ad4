/* How right a session's answers are, so that a fast wrong model shows. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ACCURACY_H
#define BENCH_ACCURACY_H

#include "rows.h"

typedef struct bench_accuracy {
    const char *output; /* lives as long as the session; NULL: not measured */
    const char *metric;
    double value, low_95, high_95;
    uint64_t rejected;
} bench_accuracy;

/* Asks for all rows, `most_rows` at a time at most. What callers get is held against the labels, one a row: where the
 * guard rejects a row, the fallback's answer. The first output of numbers that fits is taken: the index of the greatest
 * of several values a row; whole numbers as they are; shares of one value by the nearer of 0 and 1 where the labels are
 * 0 and 1; else the mean absolute error. Returns USAGE or UNSOUND with a sentence. */
int bench_accuracy_of(erai_session *session, const bench_rows *rows, int64_t most_rows, const double *labels,
                      size_t label_count, bench_accuracy *accuracy, char *detail);

#endif
