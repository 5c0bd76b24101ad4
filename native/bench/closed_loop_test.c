/* Subjects called in turn: what is called, what is recorded, and what no memory is asked for. The subjects take so long
 * as they say, by asking for the time. SPDX-License-Identifier: Apache-2.0 */
#include "test_allocations.h"

#include "clock.h"
#include "closed_loop.h"
#include "er_test.h"
#include "failure.h"

typedef struct worker {
    int64_t takes_ns;
    uint64_t calls, fails_at; /* 0: never */
    int in_order;
} worker;

static int work(void *self, uint64_t query) {
    worker *one = self;
    int64_t end_ns = bench_now_ns() + one->takes_ns;
    one->in_order = one->in_order && query == one->calls;
    one->calls++;
    while (bench_now_ns() < end_ns) {
    }
    return one->calls == one->fails_at;
}

static const char *why(void *self) {
    (void)self;
    return "it was to fail";
}

static void every_call_is_timed_and_belongs_to_its_round(void) {
    worker fast = {.takes_ns = 1000, .in_order = 1}, slow = {.takes_ns = 2000000, .in_order = 1};
    bench_subject subjects[] = {{"fast", 1, work, why, &fast}, {"slow", 8, work, why, &slow}};
    bench_plan plan = {.duration_s = 0.2, .seed = 3};
    bench_run run;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(bench_closed_loop(subjects, 2, &plan, &run, detail), FINE);
    ER_CHECK(fast.in_order && slow.in_order);
    for (size_t s = 0; s < 2; s++) {
        const bench_series *series = &run.series[s];
        ER_CHECK_STR(series->subject, subjects[s].name);
        ER_CHECK_INT(series->rows, subjects[s].rows);
        ER_CHECK(series->count > 0 && series->block[0] == 0 && series->block[series->count - 1] >= 7);
        for (size_t i = 0; i < series->count; i++) {
            ER_CHECK(bench_latency(series, i) >= ((const worker *)subjects[s].self)->takes_ns);
            if (i) ER_CHECK(series->began[i] >= series->ended[i - 1] && series->block[i] >= series->block[i - 1]);
        }
    }
    bench_run_free(&run);
}

static void a_call_that_fails_ends_the_run(void) {
    worker failing = {.takes_ns = 1000, .fails_at = 5000};
    bench_subject subject = {"failing", 1, work, why, &failing};
    bench_plan plan = {.duration_s = 60};
    bench_run run;
    char detail[ERAI_DETAIL_SIZE] = "";
    ER_CHECK_INT(bench_closed_loop(&subject, 1, &plan, &run, detail), UNSOUND);
    ER_CHECK_STR(detail, "failing failed: it was to fail");
    bench_run_free(&run);
}

static void timing_calls_allocates_nothing(void) {
    worker fast = {.takes_ns = 0};
    bench_subject subject = {"fast", 1, work, why, &fast};
    int64_t began[64], ended[64];
    allocations = 0;
    ER_CHECK_INT(bench_timed_calls(&subject, 0, 64, began, ended), 0);
    ER_CHECK_INT(allocations, 0);
    ER_CHECK_INT(fast.calls, 64);
}

int main(void) {
    ER_RUN(every_call_is_timed_and_belongs_to_its_round);
    ER_RUN(a_call_that_fails_ends_the_run);
    ER_RUN(timing_calls_allocates_nothing);
    return er_test_result();
}
