/* A scenario measured by several fresh processes in turn, whose spread says how far to trust it: where a process's
 * memory happens to lie makes a model some percent faster or slower for as long as the process lives (Mytkowicz et al.,
 * Producing Wrong Data Without Doing Anything Obviously Wrong!, 2009). SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "processes.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failure.h"

extern char **environ;

static const char SELF[] = "/proc/self/exe";

typedef struct part_head {
    double warm_up_s;
    int64_t warm_up_rounds, steady, series;
} part_head;

static int put(FILE *file, const void *bytes, size_t size, size_t count) {
    return fwrite(bytes, size, count, file) == count;
}

void bench_part_begin(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int bench_part_write(const bench_run *run, FILE *file) {
    part_head head = {run->warm_up_s, run->warm_up_rounds, run->steady, (int64_t)run->count};
    int fine = put(file, &head, sizeof head, 1);
    for (size_t i = 0; i < run->count && fine; i++) {
        const bench_series *one = &run->series[i];
        uint64_t count = one->count;
        fine = put(file, &count, sizeof count, 1) && put(file, one->block, sizeof *one->block, one->count) &&
               put(file, one->began, sizeof *one->began, one->count) &&
               put(file, one->ended, sizeof *one->ended, one->count);
    }
    return fine && !fflush(file);
}

/* Appends a part's series, its rounds and times later by so much; how far they then go is noted. */
static int take_series(FILE *file, bench_series *series, int32_t rounds, int64_t time_ns, int32_t *last_round,
                       int64_t *last_ns) {
    uint64_t count;
    if (fread(&count, sizeof count, 1, file) != 1 || count > SIZE_MAX / 64) return 0;
    size_t first = series->count, more = (size_t)count;
    bench_series_reserve(series, more);
    if (fread(series->block + first, sizeof *series->block, more, file) != more ||
        fread(series->began + first, sizeof *series->began, more, file) != more ||
        fread(series->ended + first, sizeof *series->ended, more, file) != more)
        return 0;
    series->count += more;
    for (size_t i = first; i < series->count; i++) {
        series->block[i] += rounds;
        series->began[i] += time_ns;
        series->ended[i] += time_ns;
    }
    if (more && series->block[series->count - 1] > *last_round) *last_round = series->block[series->count - 1];
    if (more && series->ended[series->count - 1] > *last_ns) *last_ns = series->ended[series->count - 1];
    return 1;
}

static int take_part(FILE *file, bench_run *run, int32_t *next_round, int64_t *next_ns) {
    part_head head;
    int32_t last_round = *next_round - 1;
    int64_t last_ns = *next_ns;
    if (fread(&head, sizeof head, 1, file) != 1 || head.series != (int64_t)run->count) return 0;
    for (size_t i = 0; i < run->count; i++)
        if (!take_series(file, &run->series[i], *next_round, *next_ns, &last_round, &last_ns)) return 0;
    run->warm_up_s += head.warm_up_s;
    run->warm_up_rounds += head.warm_up_rounds;
    run->steady = run->steady && head.steady;
    run->first_round = bench_resize(run->first_round, run->processes + 1, sizeof *run->first_round);
    run->first_round[run->processes++] = *next_round;
    *next_round = last_round + 1;
    *next_ns = last_ns;
    return 1;
}

int bench_process_start(char **argv, const char *option, size_t number, pid_t *child, FILE **output) {
    int ends[2];
    size_t count = 0;
    char text[24];
    posix_spawn_file_actions_t actions;
    while (argv[count]) count++;
    char **arguments = bench_allocate(count + 3, sizeof *arguments);
    snprintf(text, sizeof text, "%zu", number);
    arguments[0] = argv[0];
    arguments[1] = (char *)(uintptr_t)option;
    arguments[2] = text;
    memcpy(arguments + 3, argv + 1, (count - 1) * sizeof *argv);
    int failed = pipe(ends) ? errno : 0;
    if (!failed) {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_addclose(&actions, ends[0]);
        failed = posix_spawn(child, SELF, &actions, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(ends[1]);
        *output = failed ? NULL : fdopen(ends[0], "rb");
        if (failed) close(ends[0]);
    }
    free(arguments);
    return failed;
}

int bench_in_processes(char **argv, size_t processes, const bench_plan *plan, bench_run *run, char *detail) {
    int32_t next_round = 0;
    int64_t next_ns = 0;
    run->steady = 1;
    for (size_t number = 0; number < processes; number++) {
        pid_t child = 0;
        FILE *output = NULL;
        int status = 0, failed = bench_process_start(argv, "--part", number, &child, &output);
        if (failed)
            return bench_fail(detail, ENVIRONMENT, "no process can be started: %s; expected --processes 1",
                              strerror(failed));
        int taken = output && take_part(output, run, &next_round, &next_ns);
        if (output) fclose(output);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
        if (WIFEXITED(status) && WEXITSTATUS(status)) {
            *detail = 0; /* it has said why */
            return WEXITSTATUS(status);
        }
        if (!taken || !WIFEXITED(status))
            return bench_fail(detail, ENVIRONMENT, "process %zu of %zu was killed", number + 1, processes);
        if (plan->watch) plan->watch(plan->user, run);
    }
    return FINE;
}
