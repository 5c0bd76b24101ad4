/* A result as text for people, and its warnings. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "report.h"

enum { SENTENCE = 512 };

static const char FEW[] = "fewer than LoadGen's rule asks for", UNFAIR[] = "no fair comparison";

/* Beyond these, others or the host had a part in the numbers. */
static const double MEGABYTE = 1048576;

static const double MAY_REJECT = 0.05, OTHERS = 0.10, STOLEN = 0.02, LOWER_CLOCK = 0.9;

static int32_t fastest(const bench_look *look) {
    int32_t clock = 0;
    for (int i = 0; i < look->cores; i++)
        if (look->frequency_mhz[i] > clock) clock = look->frequency_mhz[i];
    return clock;
}

static void warn_of_machine(const bench_machine *machine, const bench_look *after, bench_warn warn, void *user) {
    char text[SENTENCE];
    int32_t greatest = 0, last = 0;
    if (after->others_share > OTHERS) {
        snprintf(text, sizeof text, "other processes used %.0f%% of the processors' time during the run",
                 100 * after->others_share);
        warn(user, text);
    }
    if (after->stolen_share > STOLEN) {
        snprintf(text, sizeof text,
                 "the host of this virtual machine took %.0f%% of the processors' time during the run",
                 100 * after->stolen_share);
        warn(user, text);
    }
    if (machine->before.times_throttled >= 0 && after->times_throttled > machine->before.times_throttled) {
        snprintf(text, sizeof text, "the processor says that it was throttled %lld times during the run",
                 (long long)(after->times_throttled - machine->before.times_throttled));
        warn(user, text);
    }
    for (size_t i = 0; i < machine->looks; i++) {
        last = fastest(&machine->during[i]);
        if (last > greatest) greatest = last;
    }
    if (machine->looks > 1 && (double)last < LOWER_CLOCK * (double)greatest) {
        snprintf(text, sizeof text, "the clock fell from %d to %d MHz during the run", (int)greatest, (int)last);
        warn(user, text);
    }
}

static void warn_of_few(const bench_summary *summary, const bench_series_summary *one, bench_warn warn, void *user) {
    char text[SENTENCE], few[SENTENCE / 2] = "";
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        const bench_percentile *entry = &one->percentiles[i];
        size_t length = strlen(few);
        if ((int64_t)one->series->count < entry->queries_needed)
            snprintf(few + length, sizeof few - length, "%sp%g (%lld)", length ? ", " : "", entry->percent,
                     (long long)entry->queries_needed);
    }
    if (!*few) return;
    snprintf(text, sizeof text, "%s: %.150s answered %zu queries, %s %s", bench_scenario_names[summary->scenario],
             one->series->subject, one->series->count, FEW, few);
    warn(user, text);
}

static void warn_of_scenario(const bench_summary *summary, bench_warn warn, void *user) {
    const char *scenario = bench_scenario_names[summary->scenario];
    char text[SENTENCE];
    if (!summary->run->steady) {
        snprintf(text, sizeof text,
                 "%s: not yet settled when warm-up had to end, after %.1f s; a longer run has a longer warm-up",
                 scenario, summary->run->warm_up_s);
        warn(user, text);
    }
    for (size_t i = 0; i < summary->series_count; i++) {
        const bench_series_summary *one = &summary->series[i];
        int machine = !strcmp(one->series->subject, BENCH_YARDSTICK);
        if (one->throttled) {
            snprintf(text, sizeof text, "%s: %.150s slowed down: %.2f times the latency from %.1f s on (throttling?)",
                     scenario, machine ? "the machine" : one->series->subject, one->throttled_ratio,
                     one->throttled_at_s);
            warn(user, text);
        }
        if (!machine && summary->scenario != OFFLINE) warn_of_few(summary, one, warn, user);
    }
}

/* Of the rows asked, up to a twentieth may be rejected: the medians show nothing of it. */
static int too_many(const bench_asked *asked) {
    return (double)asked->rejected > MAY_REJECT * (double)asked->rows;
}

void bench_warnings(const bench_report *report, const bench_summary *summary, const bench_look *after, bench_warn warn,
                    void *user) {
    char text[SENTENCE];
    if (summary) warn_of_scenario(summary, warn, user);
    warn_of_machine(&report->machine, after, warn, user);
    for (size_t i = 0; i < report->model_count; i++) {
        const bench_asked *asked = &report->asked[i];
        if (!asked->rejected) continue;
        snprintf(text, sizeof text,
                 "%.150s: the guard rejected %llu of %llu rows asked before the run; for these the model is not run, "
                 "or its answer not taken%s%s%s",
                 report->models[i].name, (unsigned long long)asked->rejected, (unsigned long long)asked->rows,
                 too_many(asked) ? ", so this is "
                                 : ": too few for the medians, by which subjects are compared, to show",
                 too_many(asked) ? UNFAIR : "", too_many(asked) ? "; give rows that it accepts" : "");
        warn(user, text);
    }
}

/* ---- Text ---------------------------------------------------------------------------------------------------------
 */

static void print_warning(void *file, const char *sentence) {
    if (!strstr(sentence, FEW)) fprintf(file, "warning: %s\n", sentence); /* the table's stars say that */
}

/* A subject without a safeguard is in the prices, not among the latencies. */
static int lacks(const bench_report *report, const char *subject) {
    for (size_t m = 0; m < report->model_count; m++)
        for (size_t v = 0; v < report->models[m].variant_count; v++)
            if (subject == report->models[m].variants[v].name) return 1;
    return 0;
}

static int widest_name(const bench_report *report, const bench_summary *summary) {
    size_t widest = 8;
    for (size_t i = 0; i < summary->series_count; i++) {
        if (lacks(report, summary->series[i].series->subject)) continue;
        size_t length = strlen(summary->series[i].series->subject);
        if (length > widest) widest = length;
    }
    return widest > 60 ? 60 : (int)widest;
}

static void print_latencies(const bench_report *report, const bench_summary *summary, FILE *file) {
    int width = widest_name(report, summary);
    fprintf(file, "%-*s %6s %12s %12s %12s %12s %10s\n", width, "", "rows", "p50", "p90", "p99", "p99.9", "queries");
    for (size_t i = 0; i < summary->series_count; i++) {
        const bench_series_summary *one = &summary->series[i];
        if (lacks(report, one->series->subject)) continue;
        fprintf(file, "%-*s %6lld", width, one->series->subject, (long long)one->series->rows);
        for (size_t p = 0; p < BENCH_PERCENTILES; p++)
            fprintf(file, " %11.2f%c", one->percentiles[p].ns / 1e3,
                    (int64_t)one->series->count < one->percentiles[p].queries_needed ? '*' : ' ');
        fprintf(file, " %10zu\n", one->series->count);
    }
    fprintf(file, "* %s\n", FEW);
}

static void print_throughput(const bench_report *report, const bench_summary *summary, FILE *file) {
    int width = widest_name(report, summary);
    fprintf(file, "%-*s %6s %14s\n", width, "", "batch", "rows a second");
    for (size_t i = 0; i < summary->throughput_count; i++) {
        const bench_throughput *one = &summary->throughput[i];
        if (lacks(report, one->subject)) continue;
        fprintf(file, "%-*s %6lld %14.0f (%.0f to %.0f)%s\n", width, one->subject, (long long)one->batch,
                one->rows_per_s, one->low_95, one->high_95, one->best ? " best" : "");
    }
}

/* Whether a subject's guard rejected too many rows, for which no answer of its model counted. */
static int rejects(const bench_report *report, const char *subject) {
    for (size_t m = 0; m < report->model_count; m++)
        if (too_many(&report->asked[m]) && !strcmp(report->models[m].name, subject)) return 1;
    return 0;
}

static void print_ratio(const bench_report *report, const bench_ratio *one, FILE *file) {
    int unfair = rejects(report, one->subject) || rejects(report, one->against);
    int unsure = one->low_99 <= 1 && one->high_99 >= 1;
    if (lacks(report, one->against))
        fprintf(file, "the price of %s: %+.3f us (%+.3f to %+.3f), %+.1f %%%s%s\n",
                one->against + strlen(one->subject) + strlen(" without "), one->difference_ns / 1e3,
                one->difference_low_95_ns / 1e3, one->difference_high_95_ns / 1e3, 100 * (one->ratio - 1),
                unfair || unsure ? ": " : "",
                unfair   ? UNFAIR
                : unsure ? "cannot tell"
                         : "");
    else
        fprintf(file, "%s / %s: %.3f (%.3f to %.3f), %+.2f us: %s\n", one->subject, one->against, one->ratio,
                one->low_95, one->high_95, one->difference_ns / 1e3, unfair ? UNFAIR : one->verdict);
}

/* What is known beside latency. */
static void print_facts(const bench_report *report, FILE *file) {
    for (size_t i = 0; i < report->subject_count; i++) {
        const bench_per_call *call = &report->per_call[i];
        if (!call->calls || lacks(report, report->subjects[i].name)) continue;
        fprintf(file, "%s: a call takes %.2f us of processor time, %.4f waits, %.4f page faults; energy ",
                report->subjects[i].name, call->cpu_ns / 1e3, call->voluntary_switches, call->page_faults);
        if (report->meter.count)
            fprintf(file, "%.4g mJ (%s)\n", call->joules * 1e3, report->meter.name);
        else
            fprintf(file, "not measured\n");
    }
    for (size_t i = 0; i < report->model_count; i++) {
        const bench_cold_start *start = &report->cold_starts[i];
        const bench_accuracy *right = &report->models[i].accuracy;
        if (start->rounds)
            fprintf(file,
                    "%s: a fresh process answers after %.1f ms: %.1f to start, %.1f to load ONNX Runtime, %.1f to open "
                    "the model, %.2f to answer; memory %.1f MB, at its peak %.1f MB\n",
                    report->models[i].name, start->total_ns / 1e6, start->process_ns / 1e6, start->runtime_ns / 1e6,
                    start->load_ns / 1e6, start->first_answer_ns / 1e6, start->resident_bytes / MEGABYTE,
                    start->peak_bytes / MEGABYTE);
        if (right->output)
            fprintf(file, "%s: %s %.4g (%.4g to %.4g) of %lld rows, of which the guard rejected %llu\n",
                    report->models[i].name, right->metric, right->value, right->low_95, right->high_95,
                    (long long)report->models[i].rows.rows, (unsigned long long)right->rejected);
    }
}

void bench_report_print(const bench_summary *summary, const bench_report *report, FILE *file) {
    fprintf(file, "%s, %g s for all subjects after %.1f s of warm-up; times in us\n",
            bench_scenario_names[summary->scenario], report->options->duration_s, summary->run->warm_up_s);
    if (summary->throughput_count)
        print_throughput(report, summary, file);
    else if (summary->series_count)
        print_latencies(report, summary, file);
    for (size_t i = 0; i < summary->ratio_count && !summary->throughput_count; i++) {
        print_ratio(report, &summary->ratios[i], file);
    }
    for (size_t i = 0; i < summary->rate_count; i++) {
        const bench_rate *one = &summary->rates[i];
        if (one->rate_per_s > 0)
            fprintf(file, "%s: %.0f queries a second with p%g within %.2f us\n", one->subject, one->rate_per_s,
                    one->percent, (double)one->bound_ns / 1e3);
        else
            fprintf(file, "%s: p%g within %.2f us at no rate that was tried\n", one->subject, one->percent,
                    (double)one->bound_ns / 1e3);
    }
    print_facts(report, file);
    bench_look after = bench_machine_after(&report->machine);
    bench_warnings(report, summary, &after, print_warning, file);
}
