/* Series that slow down, and others, of a known law. SPDX-License-Identifier: Apache-2.0 */
#include "throttling.h"

#include <math.h>

#include "er_test.h"
#include "random.h"

enum { ROUNDS = 400, STEP_NS = 1000000 };

static const bench_run RUN; /* of one process */
static int32_t rounds[ROUNDS];
static int64_t began_ns[ROUNDS];
static double median_ns[ROUNDS];

/* Block medians of 1 ms, scattered by 5 %, that take `slower` times as long from round `from` on. */
static bench_blocks blocks_of(uint64_t seed, size_t from, double slower) {
    bench_random random = {seed};
    for (size_t i = 0; i < ROUNDS; i++) {
        rounds[i] = (int32_t)i;
        began_ns[i] = (int64_t)i * STEP_NS;
        median_ns[i] = 1e6 * exp(0.05 * bench_random_normal(&random)) * (i < from ? 1 : slower);
    }
    return (bench_blocks){ROUNDS, rounds, began_ns, median_ns};
}

static void a_subject_that_slows_down_by_a_fifth_is_found_where_it_does(void) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        double at_s = 0, ratio = 0;
        bench_blocks blocks = blocks_of(seed, ROUNDS / 2, 1.2);
        ER_CHECK_INT(bench_throttling(&RUN, &blocks, NULL, &at_s, &ratio), 1);
        ER_CHECK(fabs(at_s - 0.2) < 0.02);
        ER_CHECK(fabs(ratio - 1.2) < 0.05);
    }
}

static void a_steady_one_is_not(void) {
    double at_s, ratio;
    for (uint64_t seed = 0; seed < 200; seed++) {
        bench_blocks blocks = blocks_of(seed, ROUNDS, 1);
        ER_CHECK_INT(bench_throttling(&RUN, &blocks, NULL, &at_s, &ratio), 0);
    }
}

static void of_few_blocks_nothing_is_told(void) {
    double at_s, ratio;
    bench_blocks blocks = blocks_of(0, 9, 3);
    blocks.count = 19;
    ER_CHECK_INT(bench_throttling(&RUN, &blocks, NULL, &at_s, &ratio), 0);
    blocks.count = 0;
    ER_CHECK_INT(bench_throttling(&RUN, &blocks, NULL, &at_s, &ratio), 0);
}

int main(void) {
    ER_RUN(a_subject_that_slows_down_by_a_fifth_is_found_where_it_does);
    ER_RUN(a_steady_one_is_not);
    ER_RUN(of_few_blocks_nothing_is_told);
    return er_test_result();
}
