/* What a call takes beside time: processor time, context switches, page faults. SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE
#include <sys/resource.h>

#include "clock.h"
#include "report.h"

enum { CALLS_NS = 250000000 };

bench_per_call bench_per_call_of(const bench_subject *subject) {
    struct rusage before, after;
    bench_per_call found = {.calls = 0};
    int failed = 0;
    getrusage(RUSAGE_SELF, &before);
    int64_t processor_ns = bench_processor_ns(), end_ns = bench_now_ns() + CALLS_NS;
    do {
        failed = subject->call(subject->self, found.calls++);
    } while (!failed && bench_now_ns() < end_ns);
    double calls = (double)found.calls;
    found.cpu_ns = (double)(bench_processor_ns() - processor_ns) / calls;
    getrusage(RUSAGE_SELF, &after);
    found.voluntary_switches = (double)(after.ru_nvcsw - before.ru_nvcsw) / calls;
    found.involuntary_switches = (double)(after.ru_nivcsw - before.ru_nivcsw) / calls;
    found.page_faults = (double)(after.ru_minflt - before.ru_minflt) / calls;
    return found;
}
