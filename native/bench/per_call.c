/* What a call takes beside time: processor time, context switches, page faults, energy. SPDX-License-Identifier:
 * Apache-2.0 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <sys/resource.h>

#include "clock.h"
#include "report.h"

enum { MOST_NS = 250000000, SLICE_NS = 20000000 };

static const double SHARE = 0.1;

bench_per_call bench_per_call_of(const bench_subject *subject, bench_meter *meter, double duration_s) {
    struct rusage before, after;
    bench_per_call found = {.calls = 0};
    int64_t calls_ns = (int64_t)fmin(MOST_NS, SHARE * duration_s * 1e9);
    int failed = 0;
    getrusage(RUSAGE_SELF, &before);
    double joules = bench_meter_joules(meter);
    int64_t processor_ns = bench_processor_ns(), now_ns = bench_now_ns(), end_ns = now_ns + calls_ns;
    while (!failed && now_ns < end_ns) {
        int64_t until_ns = now_ns + SLICE_NS < end_ns ? now_ns + SLICE_NS : end_ns;
        for (; !failed && now_ns < until_ns; now_ns = bench_now_ns())
            failed = subject->call(subject->self, found.calls++);
        bench_meter_joules(meter);
    }
    double calls = (double)found.calls;
    found.cpu_ns = (double)(bench_processor_ns() - processor_ns) / calls;
    found.joules = (bench_meter_joules(meter) - joules) / calls;
    getrusage(RUSAGE_SELF, &after);
    found.voluntary_switches = (double)(after.ru_nvcsw - before.ru_nvcsw) / calls;
    found.involuntary_switches = (double)(after.ru_nivcsw - before.ru_nivcsw) / calls;
    found.page_faults = (double)(after.ru_minflt - before.ru_minflt) / calls;
    return found;
}
