/* erai-bench: what models and bundles cost on this machine beside each other, for devices without Python. It measures
 * as `edge-rai bench` does and writes the same results (docs/formats/bench.md), and knows the library by its public
 * header alone. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cold_start.h"
#include "failure.h"
#include "processes.h"
#include "random.h"
#include "report.h"
#include "yardstick.h"

static const double SERVED_PERCENT = 99;
enum { SAVE_SHARE = 10 }; /* saving gets at most about a tenth of the time */
static const int64_t USUAL_ROWS[4] = {1, 8, 1, 64};

/* A run: what is open, and what is known so far. */
typedef struct bench_program {
    bench_report report;
    bench_model *models;
    bench_subject *subjects;
    bench_caller *callers;
    bench_pair *pairs;
    bench_per_call *per_call;
    bench_cold_start *cold_starts;
    bench_asked *asked;
    size_t opened, subject_count, caller_count, pair_count;
    bench_rate *rates; /* of `server` */
    size_t rate_count;
    int save_failed; /* while the run lasts */
    int64_t save_at_ns;
    bench_random order;
    char detail[ERAI_DETAIL_SIZE];
} bench_program;

/* A subject to be made. */
typedef struct wanted {
    const bench_model *model;
    const bench_variant *variant; /* NULL: with all safeguards, or bare */
    int64_t rows;
    int bare;
} wanted;

/* Numbers below `count` in an order drawn anew for each process: what is opened first may lie better in memory. */
static size_t *order_of(bench_program *bench, size_t count) {
    size_t *turns = bench_allocate(count, sizeof *turns);
    for (size_t i = 0; i < count; i++) turns[i] = i;
    bench_shuffle(&bench->order, turns, count);
    return turns;
}

static int open_models(bench_program *bench) {
    const bench_options *options = bench->report.options;
    bench->models = bench_allocate(options->model_count, sizeof *bench->models);
    bench->asked = bench_allocate(options->model_count, sizeof *bench->asked);
    bench->pairs = bench_allocate((2 + BENCH_SAFEGUARDS) * options->model_count, sizeof *bench->pairs);
    bench->opened = options->model_count;
    size_t *turns = order_of(bench, options->model_count);
    int code = FINE;
    for (size_t i = 0; i < options->model_count && !code; i++)
        code = bench_model_open(options, turns[i], &bench->models[turns[i]], bench->detail);
    free(turns);
    return code;
}

/* What is measured, in the order of the report. */
static wanted *list_subjects(bench_program *bench, size_t *count) {
    enum { MOST_BATCHES = 32 };
    const bench_options *options = bench->report.options;
    wanted *list = bench_allocate(options->model_count * (2 + BENCH_SAFEGUARDS) * MOST_BATCHES, sizeof *list);
    *count = 0;
    for (size_t i = 0; i < bench->opened; i++) {
        const bench_model *model = &bench->models[i];
        int64_t usual = USUAL_ROWS[options->scenario], most = options->batch;
        if (!most) most = usual < model->most_rows ? usual : model->most_rows;
        for (int64_t rows = options->scenario == OFFLINE ? 1 : most;; rows *= 2) {
            if (rows > most) rows = most;
            list[(*count)++] = (wanted){.model = model, .rows = rows};
            if (options->bare) list[(*count)++] = (wanted){.model = model, .rows = rows, .bare = 1};
            for (size_t v = 0; v < model->variant_count; v++)
                list[(*count)++] = (wanted){.model = model, .variant = &model->variants[v], .rows = rows};
            if (rows == most) break;
        }
        if (options->bare) bench->pairs[bench->pair_count++] = (bench_pair){model->name, model->bare_name};
        if (i) bench->pairs[bench->pair_count++] = (bench_pair){model->name, bench->models[0].name};
        for (size_t v = 0; v < model->variant_count; v++)
            bench->pairs[bench->pair_count++] = (bench_pair){model->name, model->variants[v].name};
    }
    return list;
}

static int make_subjects(bench_program *bench) {
    enum { HARNESS = 2 };
    const bench_options *options = bench->report.options;
    size_t count;
    wanted *list = list_subjects(bench, &count);
    size_t *turns = order_of(bench, count);
    bench->subjects = bench_allocate(count + HARNESS, sizeof *bench->subjects);
    bench->callers = bench_allocate(count, sizeof *bench->callers);
    bench->subject_count = bench->caller_count = count;
    int code = FINE;
    for (size_t i = 0; i < count && !code; i++) {
        const wanted *one = &list[turns[i]];
        bench_caller *caller = &bench->callers[turns[i]];
        bench_subject *subject = &bench->subjects[turns[i]];
        code = one->bare ? bench_unguarded(one->model, one->rows, options->threads, caller, subject, bench->detail)
                         : bench_guarded(one->model, one->variant, one->rows, caller, subject, bench->detail);
    }
    free(list);
    free(turns);
    if (options->scenario == SERVER) return code;
    if (options->scenario != OFFLINE) bench->subjects[bench->subject_count++] = bench_empty();
    bench->subjects[bench->subject_count++] = bench_yardstick();
    return code;
}

/* What is reported beside latency, as far as it is known. */
static void begin_report(bench_program *bench) {
    bench->per_call = bench_allocate(bench->subject_count, sizeof *bench->per_call);
    bench->cold_starts = bench_allocate(bench->opened, sizeof *bench->cold_starts);
    bench->report.cold_starts = bench->cold_starts;
    bench->report.models = bench->models;
    bench->report.model_count = bench->opened;
    bench->report.subjects = bench->subjects;
    bench->report.subject_count = bench->subject_count;
    bench->report.per_call = bench->per_call;
    bench->report.asked = bench->asked;
}

/* What calls take beside time, and whether the guard takes the rows. */
static void measure_per_call(bench_program *bench) {
    bench->report.meter = bench_meter_find("/sys");
    for (size_t i = 0; i < bench->opened; i++) bench->asked[i] = bench_model_asked(&bench->models[i]);
    for (size_t i = 0; i < bench->subject_count; i++) {
        size_t first = 0; /* of offline, the smallest batch */
        while (strcmp(bench->subjects[first].name, bench->subjects[i].name)) first++;
        if (first == i)
            bench->per_call[i] =
                bench_per_call_of(&bench->subjects[i], &bench->report.meter, bench->report.options->duration_s);
    }
    for (size_t i = 0; i < bench->opened; i++) {
        bench_asked before = bench->asked[i], after = bench_model_asked(&bench->models[i]);
        bench->asked[i] = (bench_asked){after.rows - before.rows, after.rejected - before.rejected};
    }
}

static int gather(bench_program *bench) {
    const bench_options *options = bench->report.options;
    int code = FINE;
    for (size_t i = 0; i < bench->opened && options->labels && !code; i++)
        code = bench_model_judge(options, &bench->models[i], bench->detail);
    if (!code && options->cold_starts)
        code = bench_cold_starts(bench->report.argv, bench->opened, options->cold_starts, bench->cold_starts,
                                 bench->detail);
    if (!code) measure_per_call(bench);
    return code;
}

static int save(bench_program *bench, const bench_summary *summary, int complete) {
    if (!bench->report.options->save) return FINE;
    return bench_report_save(&bench->report, summary, complete, bench->detail);
}

static void watch(void *user, const bench_run *run) {
    bench_program *bench = user;
    bench_machine_look(&bench->report.machine);
    int64_t began_ns = bench_now_ns();
    if (!bench->report.options->save || bench->save_failed || began_ns < bench->save_at_ns) return;
    bench_summary summary = bench_summarize(bench->report.options->scenario, run, bench->pairs, bench->pair_count,
                                            bench->rates, bench->rate_count);
    bench->save_failed = save(bench, &summary, 0);
    bench_summary_free(&summary);
    int64_t ended_ns = bench_now_ns();
    bench->save_at_ns = ended_ns + (SAVE_SHARE - 1) * (ended_ns - began_ns);
}

/* One of several processes: what it recorded goes to the one that started it. */
static int measure_part(bench_program *bench) {
    const bench_options *options = bench->report.options;
    bench_plan plan = {.duration_s = options->duration_s,
                       .processes = options->processes,
                       .percentile = options->percentile,
                       .seed = bench_random_bits(&bench->order)};
    bench_run run;
    bench_part_begin();
    int code = bench_closed_loop(bench->subjects, bench->subject_count, &plan, &run, bench->detail);
    if (!code && !bench_part_write(&run, stdout)) code = ENVIRONMENT;
    bench_run_free(&run);
    return code;
}

static int measure_in_processes(bench_program *bench, const bench_plan *plan, bench_run *run) {
    const bench_options *options = bench->report.options;
    *run = bench_run_begin(bench->subjects, bench->subject_count);
    return bench_in_processes(bench->report.argv, options->processes, plan, run, bench->detail);
}

static int measure_server(bench_program *bench, bench_plan *plan, bench_run *run) {
    if (!(plan->percentile > 0)) plan->percentile = SERVED_PERCENT;
    bench->rate_count = bench->subject_count;
    bench->rates = bench_allocate(bench->rate_count, sizeof *bench->rates);
    return bench_server(bench->subjects, bench->subject_count, plan, bench->report.options->bound_ns, run, bench->rates,
                        bench->detail);
}

static int measure(bench_program *bench) {
    const bench_options *options = bench->report.options;
    bench_plan plan = {.duration_s = options->duration_s,
                       .percentile = options->percentile,
                       .seed = options->seed,
                       .watch = watch,
                       .user = bench};
    bench_run run = {.count = 0};
    int code = FINE;
    bench_machine_free(&bench->report.machine);
    bench->report.machine = bench_machine_begin();
    if (options->scenario == SERVER)
        code = measure_server(bench, &plan, &run);
    else if (options->processes > 1)
        code = measure_in_processes(bench, &plan, &run);
    else
        code = bench_closed_loop(bench->subjects, bench->subject_count, &plan, &run, bench->detail);
    if (!code) {
        bench_summary summary =
            bench_summarize(options->scenario, &run, bench->pairs, bench->pair_count, bench->rates, bench->rate_count);
        code = save(bench, &summary, 1);
        if (options->json)
            bench_report_write(&bench->report, &summary, 1, stdout);
        else
            bench_report_print(&summary, &bench->report, stdout);
        bench_summary_free(&summary);
    }
    bench_run_free(&run);
    return code;
}

static void close_all(bench_program *bench) {
    for (size_t i = 0; i < bench->caller_count; i++) bench_caller_close(&bench->callers[i]);
    for (size_t i = 0; i < bench->opened; i++) bench_model_close(&bench->models[i]);
    free(bench->models);
    free(bench->subjects);
    free(bench->callers);
    free(bench->pairs);
    free(bench->per_call);
    free(bench->cold_starts);
    free(bench->asked);
    free(bench->rates);
    bench_machine_free(&bench->report.machine);
}

/* Answers each line "FIRST CALLS" with CALLS times when calls of the bare model began and ended, until there is no
 * more.
 */
static int serve_blocks(bench_program *bench, int64_t rows) {
    bench_subject subject;
    unsigned long long first;
    size_t calls;
    enum { MOST = 1 << 20 };
    bench->callers = bench_allocate(1, sizeof *bench->callers);
    bench->caller_count = 1;
    int code = bench_unguarded(&bench->models[0], rows, bench->report.options->threads, bench->callers, &subject,
                               bench->detail);
    int64_t *began = bench_allocate(MOST, sizeof *began), *ended = bench_allocate(MOST, sizeof *ended);
    while (!code && scanf("%llu %zu", &first, &calls) == 2) {
        if (calls < 1 || calls > MOST) {
            code = bench_fail(bench->detail, USAGE, "%zu calls in a block; expected 1 to %d", calls, MOST);
        } else if (bench_timed_calls(&subject, first, calls, began, ended)) {
            code = bench_fail(bench->detail, UNSOUND, "%s failed: %s", subject.name, subject.why(subject.self));
        } else if (fwrite(began, sizeof *began, calls, stdout) != calls ||
                   fwrite(ended, sizeof *ended, calls, stdout) != calls || fflush(stdout)) {
            break; /* whoever asked is gone */
        }
    }
    free(began);
    free(ended);
    return code;
}

static int run(bench_program *bench) {
    const bench_options *options = bench->report.options;
    if (options->cold >= 0) return bench_start_cold(options, bench->detail);
    int code = open_models(bench);
    if (code) return code;
    if (options->blocks) return serve_blocks(bench, options->batch ? options->batch : 1);
    code = make_subjects(bench);
    if (code || options->part >= 0) return code ? code : measure_part(bench);
    begin_report(bench);
    code = save(bench, NULL, 0); /* now rather than at the end: it may not be possible */
    if (!code) code = gather(bench);
    return code ? code : measure(bench);
}

int main(int argc, char **argv) {
    bench_program bench = {.save_failed = 0};
    bench_options options;
    int code = bench_options_read(argc, argv, &options, bench.detail);
    if (!code && options.help) {
        fputs(bench_usage, stdout);
    } else if (!code && options.version) {
        printf("erai-bench %s\n", erai_version());
    } else if (!code) {
        bench.report = (bench_report){.argc = argc,
                                      .argv = argv,
                                      .options = &options,
                                      .made_unix_ns = bench_wall_ns(),
                                      .machine = bench_machine_begin()};
        if (options.cold < 0) {
            bench.report.runtime_version = bench_runtime_version();
            bench.report.runtime_build = bench_runtime_build();
        }
        bench.order.state = options.seed * (BENCH_MOST_PROCESSES + 2) + (uint64_t)(options.part + 1);
        code = run(&bench);
        close_all(&bench);
    }
    free(options.models);
    if (code && *bench.detail) fprintf(stderr, "erai-bench: %s\n", bench.detail);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "erai-bench: standard output cannot be written: %s\n", strerror(errno));
        return ENVIRONMENT;
    }
    return code;
}
