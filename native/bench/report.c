/* A result as JSON, and as files (docs/formats/bench.md). SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "samples.h"

static void write_file_facts(const bench_model *model, uint32_t threads, bench_json *json) {
    bench_json_open(json, "file", '{');
    bench_json_text(json, "path", model->path);
    bench_json_text(json, "runtime", "onnxruntime");
    bench_json_whole(json, "threads", threads);
    bench_json_whole(json, "bytes", (int64_t)model->all_bytes);
    bench_json_whole(json, "model_bytes", (int64_t)model->size);
    if (model->bundle) {
        char quantization[64];
        bench_text text = model->manifest.quantization;
        snprintf(quantization, sizeof quantization, "%.*s", (int)text.size, text.size ? text.at : "");
        bench_json_known(json, "quantization", quantization);
    }
    bench_json_text(json, "sha256", model->sha256);
    bench_json_close(json, '}');
}

static void write_accuracy(const bench_accuracy *accuracy, int64_t rows, bench_json *json) {
    bench_json_open(json, "accuracy", '{');
    bench_json_text(json, "output", accuracy->output);
    bench_json_text(json, "metric", accuracy->metric);
    bench_json_number(json, "value", accuracy->value);
    bench_json_number(json, "low_95", accuracy->low_95);
    bench_json_number(json, "high_95", accuracy->high_95);
    bench_json_whole(json, "rows", rows);
    bench_json_whole(json, "rejected", (int64_t)accuracy->rejected);
    bench_json_close(json, '}');
}

static void write_cold_start(const bench_cold_start *start, bench_json *json) {
    bench_json_open(json, "cold_start", '{');
    bench_json_whole(json, "rounds", (int64_t)start->rounds);
    bench_json_number(json, "interpreter_ns", start->process_ns);
    bench_json_number(json, "import_ns", start->runtime_ns);
    bench_json_number(json, "load_ns", start->load_ns);
    bench_json_number(json, "first_answer_ns", start->first_answer_ns);
    bench_json_number(json, "total_ns", start->total_ns);
    if (start->resident_bytes > 0) bench_json_number(json, "resident_bytes", start->resident_bytes);
    if (start->peak_bytes > 0) bench_json_number(json, "peak_bytes", start->peak_bytes);
    bench_json_number(json, "total_low_ns", start->total_low_ns);
    bench_json_number(json, "total_high_ns", start->total_high_ns);
    bench_json_null(json, "allocations_per_call");
    bench_json_close(json, '}');
}

static void write_per_call(const bench_subject *subject, const bench_per_call *facts, const bench_meter *meter,
                           bench_json *json) {
    bench_json_open(json, "per_call", '{');
    bench_json_whole(json, "rows", subject->rows);
    bench_json_whole(json, "calls", (int64_t)facts->calls);
    bench_json_number(json, "cpu_ns", facts->cpu_ns);
    bench_json_number(json, "voluntary_switches", facts->voluntary_switches);
    bench_json_number(json, "involuntary_switches", facts->involuntary_switches);
    bench_json_number(json, "page_faults", facts->page_faults);
    if (meter->count) {
        bench_json_open(json, "energy", '{');
        bench_json_text(json, "meter", meter->name);
        bench_json_number(json, "joules", facts->joules);
        bench_json_close(json, '}');
    } else {
        bench_json_text(json, "energy", "not measured");
    }
    bench_json_close(json, '}');
}

static void write_model_facts(const bench_report *report, size_t which, bench_json *json) {
    const bench_model *model = &report->models[which];
    write_file_facts(model, report->options->threads, json);
    if (model->accuracy.output) write_accuracy(&model->accuracy, model->rows.rows, json);
    if (report->cold_starts[which].rounds) write_cold_start(&report->cold_starts[which], json);
}

/* One a name: of offline, the facts of the smallest batch. */
static void write_subjects(const bench_report *report, bench_json *json) {
    bench_json_open(json, "subjects", '[');
    for (size_t i = 0; i < report->subject_count; i++) {
        const bench_subject *subject = &report->subjects[i];
        size_t first = 0;
        while (strcmp(report->subjects[first].name, subject->name)) first++;
        if (first < i) continue;
        bench_json_open(json, NULL, '{');
        bench_json_text(json, "name", subject->name);
        bench_json_open(json, "facts", '{');
        for (size_t m = 0; m < report->model_count; m++)
            if (subject->name == report->models[m].name) write_model_facts(report, m, json);
        if (report->per_call[i].calls) write_per_call(subject, &report->per_call[i], &report->meter, json);
        bench_json_close(json, '}');
        bench_json_close(json, '}');
    }
    bench_json_close(json, ']');
}

static void write_end(const char *key, bench_end end, bench_json *json) {
    if (end.there)
        bench_json_number(json, key, end.value);
    else
        bench_json_null(json, key);
}

static void write_percentiles(const bench_series_summary *series, bench_json *json) {
    bench_json_open(json, "percentiles", '[');
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        const bench_percentile *one = &series->percentiles[i];
        bench_json_open(json, NULL, '{');
        bench_json_number(json, "percent", one->percent);
        bench_json_number(json, "ns", one->ns);
        write_end("low_95_ns", one->low_95, json);
        write_end("high_95_ns", one->high_95, json);
        write_end("low_99_ns", one->low_99, json);
        write_end("high_99_ns", one->high_99, json);
        bench_json_whole(json, "queries_needed", one->queries_needed);
        bench_json_bool(json, "claimed", (int64_t)series->series->count >= one->queries_needed);
        bench_json_close(json, '}');
    }
    bench_json_close(json, ']');
}

static void write_blocks(const bench_blocks *blocks, bench_json *json) {
    bench_json_open(json, "blocks", '{');
    bench_json_open(json, "round", '[');
    for (size_t i = 0; i < blocks->count; i++) bench_json_whole(json, NULL, blocks->block[i]);
    bench_json_close(json, ']');
    bench_json_open(json, "began_s", '[');
    for (size_t i = 0; i < blocks->count; i++) bench_json_number(json, NULL, (double)blocks->began_ns[i] / 1e9);
    bench_json_close(json, ']');
    bench_json_open(json, "median_ns", '[');
    for (size_t i = 0; i < blocks->count; i++) bench_json_number(json, NULL, blocks->median_ns[i]);
    bench_json_close(json, ']');
    bench_json_close(json, '}');
}

static void write_series(const bench_series_summary *series, bench_json *json) {
    bench_json_open(json, NULL, '{');
    bench_json_text(json, "subject", series->series->subject);
    bench_json_whole(json, "rows", series->series->rows);
    bench_json_whole(json, "queries", (int64_t)series->series->count);
    bench_json_number(json, "mean_ns", series->mean_ns);
    bench_json_whole(json, "min_ns", series->min_ns);
    bench_json_whole(json, "max_ns", series->max_ns);
    bench_json_whole(json, "independent_queries", series->independent_queries);
    write_percentiles(series, json);
    bench_json_text(json, "histogram", series->histogram);
    write_blocks(&series->blocks, json);
    if (series->throttled) {
        bench_json_open(json, "throttling", '{');
        bench_json_number(json, "at_s", series->throttled_at_s);
        bench_json_number(json, "ratio", series->throttled_ratio);
        bench_json_close(json, '}');
    } else {
        bench_json_null(json, "throttling");
    }
    bench_json_close(json, '}');
}

static void write_ratio(const bench_ratio *ratio, bench_json *json) {
    bench_json_open(json, NULL, '{');
    bench_json_text(json, "subject", ratio->subject);
    bench_json_text(json, "against", ratio->against);
    bench_json_whole(json, "rounds", (int64_t)ratio->rounds);
    bench_json_number(json, "ratio", ratio->ratio);
    bench_json_number(json, "low_95", ratio->low_95);
    bench_json_number(json, "high_95", ratio->high_95);
    bench_json_number(json, "low_99", ratio->low_99);
    bench_json_number(json, "high_99", ratio->high_99);
    bench_json_number(json, "difference_ns", ratio->difference_ns);
    bench_json_number(json, "difference_low_95_ns", ratio->difference_low_95_ns);
    bench_json_number(json, "difference_high_95_ns", ratio->difference_high_95_ns);
    bench_json_text(json, "verdict", ratio->verdict);
    bench_json_close(json, '}');
}

static void write_throughput(const bench_throughput *one, bench_json *json) {
    bench_json_open(json, NULL, '{');
    bench_json_text(json, "subject", one->subject);
    bench_json_whole(json, "batch", one->batch);
    bench_json_number(json, "rows_per_s", one->rows_per_s);
    bench_json_number(json, "low_95", one->low_95);
    bench_json_number(json, "high_95", one->high_95);
    bench_json_bool(json, "best", one->best);
    bench_json_close(json, '}');
}

static void write_rate(const bench_rate *rate, bench_json *json) {
    bench_json_open(json, NULL, '{');
    bench_json_text(json, "subject", rate->subject);
    bench_json_whole(json, "servers", 1);
    bench_json_number(json, "percent", rate->percent);
    bench_json_whole(json, "bound_ns", rate->bound_ns);
    bench_json_number(json, "rate_per_s", rate->rate_per_s);
    write_end("exceeded_per_s", (bench_end){rate->exceeded_per_s, rate->exceeded_per_s > 0}, json);
    bench_json_open(json, "trials", '[');
    for (size_t i = 0; i < rate->trial_count; i++) {
        const bench_trial *trial = &rate->trials[i];
        bench_json_open(json, NULL, '{');
        bench_json_number(json, "rate_per_s", trial->rate_per_s);
        bench_json_whole(json, "queries", (int64_t)trial->queries);
        bench_json_number(json, "ns", trial->ns);
        bench_json_bool(json, "kept", trial->kept);
        bench_json_close(json, '}');
    }
    bench_json_close(json, ']');
    bench_json_close(json, '}');
}

static void write_scenario(const bench_report *report, const bench_summary *summary, bench_json *json) {
    const bench_run *run = summary->run;
    bench_json_open(json, NULL, '{');
    bench_json_text(json, "scenario", bench_scenario_names[summary->scenario]);
    bench_json_number(json, "duration_s", report->options->duration_s);
    bench_json_whole(json, "seed", (int64_t)report->options->seed);
    bench_json_open(json, "warm_up", '{');
    bench_json_number(json, "seconds", run->warm_up_s);
    bench_json_whole(json, "rounds", run->warm_up_rounds);
    bench_json_bool(json, "steady", run->steady);
    bench_json_close(json, '}');
    bench_json_open(json, "processes", '[');
    if (!run->processes) bench_json_whole(json, NULL, 0);
    for (size_t i = 0; i < run->processes; i++) bench_json_whole(json, NULL, run->first_round[i]);
    bench_json_close(json, ']');
    bench_json_open(json, "series", '[');
    for (size_t i = 0; i < summary->series_count; i++) write_series(&summary->series[i], json);
    bench_json_close(json, ']');
    bench_json_open(json, "ratios", '[');
    for (size_t i = 0; i < summary->ratio_count; i++) write_ratio(&summary->ratios[i], json);
    bench_json_close(json, ']');
    bench_json_open(json, "throughput", '[');
    for (size_t i = 0; i < summary->throughput_count; i++) write_throughput(&summary->throughput[i], json);
    bench_json_close(json, ']');
    bench_json_open(json, "server", '[');
    for (size_t i = 0; i < summary->rate_count; i++) write_rate(&summary->rates[i], json);
    bench_json_close(json, ']');
    bench_json_close(json, '}');
}

static void write_warning(void *json, const char *sentence) {
    bench_json_text(json, NULL, sentence);
}

void bench_report_write(const bench_report *report, const bench_summary *summary, int complete, FILE *file) {
    bench_json json = {.file = file};
    bench_json_open(&json, NULL, '{');
    bench_json_open(&json, "command", '[');
    for (int i = 0; i < report->argc; i++) bench_json_text(&json, NULL, report->argv[i]);
    bench_json_close(&json, ']');
    bench_json_whole(&json, "made_unix_ns", report->made_unix_ns);
    char program[64];
    snprintf(program, sizeof program, "erai-bench %s", erai_version());
    bench_json_text(&json, "program", program);
    bench_look after = bench_machine_after(&report->machine);
    bench_machine_write(&report->machine, &after, report->runtime_version, report->runtime_build, &json);
    write_subjects(report, &json);
    bench_json_open(&json, "scenarios", '[');
    if (summary) write_scenario(report, summary, &json);
    bench_json_close(&json, ']');
    bench_json_open(&json, "warnings", '[');
    bench_warnings(report, summary, &after, write_warning, &json);
    bench_json_close(&json, ']');
    bench_json_bool(&json, "complete", complete);
    bench_json_whole(&json, "version", 1);
    bench_json_close(&json, '}');
    putc('\n', file);
}

/* ---- Files --------------------------------------------------------------------------------------------------------
 */

/* "DIRECTORY/.writing-NAME.END" for "DIRECTORY/NAME.json", or the same without ".writing-". */
static char *path_of(const char *save, const char *end, int writing) {
    const char *slash = strrchr(save, '/');
    size_t directory = slash ? (size_t)(slash - save) + 1 : 0, name = strlen(save) - directory - strlen(".json");
    size_t capacity = strlen(save) + 32;
    char *path = bench_allocate(capacity, 1);
    snprintf(path, capacity, "%.*s%s%.*s%s", (int)directory, save, writing ? ".writing-" : "", (int)name,
             save + directory, end);
    return path;
}

/* Writes one of the two files and gives it its name. */
static int save_one(const bench_report *report, const bench_summary *summary, int complete, int samples) {
    const char *end = samples ? ".npz" : ".json", *save = report->options->save;
    char *writing = path_of(save, end, 1), *path = path_of(save, end, 0);
    FILE *file = fopen(writing, "wb");
    int fine = file != NULL;
    if (fine && samples)
        fine = bench_samples_write(file, bench_scenario_names[summary->scenario], summary->run);
    else if (fine)
        bench_report_write(report, summary, complete, file);
    if (file) fine = !ferror(file) && fine;
    if (file && fclose(file)) fine = 0;
    if (fine) fine = !rename(writing, path);
    int why = errno;
    if (!fine) remove(writing); /* it may be what fills the disk */
    errno = why;
    free(writing);
    free(path);
    return fine;
}

int bench_report_save(const bench_report *report, const bench_summary *summary, int complete, char *detail) {
    errno = 0;
    if ((!summary || save_one(report, summary, complete, 1)) && save_one(report, summary, complete, 0)) return FINE;
    return bench_fail(detail, ENVIRONMENT, "--save %.300s: %s", report->options->save,
                      errno ? strerror(errno) : "more than 4 GiB of samples; expected a shorter --duration");
}
