/* Cold start, in steps: until main has begun, until ONNX Runtime is loaded, until the session is open, until it has
 * answered. The rows to ask with are made between the last two, off the clock. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "cold_start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bare.h"
#include "clock.h"
#include "failure.h"
#include "file.h"
#include "model.h"
#include "order.h"
#include "processes.h"

enum { STATUS = 4096 };

/* Ends of steps, by the clock that all processes share; of the last, how long it took. Bytes of memory, 0: not told. */
typedef struct steps {
    int64_t main_ns, runtime_ns, load_ns, first_answer_took_ns, resident, peak;
} steps;

static int64_t kilobytes(const char *status, const char *key) {
    const char *line = strstr(status, key);
    return line ? atoll(line + strlen(key)) * 1024 : 0;
}

int bench_start_cold(const bench_options *options, char *detail) {
    steps found = {.main_ns = bench_now_ns()};
    const char *path = options->models[options->cold];
    bench_rows rows = {.count = 0};
    erai_answer *answer = NULL;
    char status[STATUS];
    bench_runtime_version();
    found.runtime_ns = bench_now_ns();
    erai_session_config config = {.struct_size = sizeof config, .threads = options->threads, .format = "onnx"};
    erai_session *session = NULL;
    int code = bench_code_of(erai_session_open(path, &config, &session, detail));
    found.load_ns = bench_now_ns();
    if (!code) code = bench_rows_of(session, path, options, &rows, detail);
    bench_feeds feeds = {.count = 0};
    if (!code) feeds = bench_feeds_of(&rows, 1);
    int64_t asked_ns = bench_now_ns();
    if (!code &&
        (erai_answer_open(session, &answer) || erai_session_predict(session, feeds.tensors, feeds.given, answer)))
        code =
            bench_fail(detail, UNSOUND, "%.200s: %.280s", path, answer ? erai_answer_detail(answer) : "out of memory");
    found.first_answer_took_ns = bench_now_ns() - asked_ns;
    bench_file_text("/proc/self/status", status, sizeof status);
    found.resident = kilobytes(status, "VmRSS:");
    found.peak = kilobytes(status, "VmHWM:");
    if (!code && (fwrite(&found, sizeof found, 1, stdout) != 1 || fflush(stdout))) code = ENVIRONMENT;
    erai_answer_close(answer);
    bench_feeds_free(&feeds);
    bench_rows_free(&rows);
    erai_session_close(session);
    return code;
}

/* What a fresh process of a model says, in the columns of bench_cold_start. */
static int once(char **argv, size_t model, double *values, char *detail) {
    pid_t child = 0;
    FILE *output = NULL;
    steps found;
    int status = 0;
    int64_t began_ns = bench_now_ns();
    int failed = bench_process_start(argv, "--cold", model, &child, &output);
    if (failed)
        return bench_fail(detail, ENVIRONMENT, "no process can be started: %s; expected --cold-start 0",
                          strerror(failed));
    int told = output && fread(&found, sizeof found, 1, output) == 1;
    if (output) fclose(output);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status)) {
        *detail = 0; /* it has said why */
        return WEXITSTATUS(status);
    }
    if (!told) return bench_fail(detail, ENVIRONMENT, "a fresh process was killed before its first answer");
    values[0] = (double)(found.main_ns - began_ns);
    values[1] = (double)(found.runtime_ns - found.main_ns);
    values[2] = (double)(found.load_ns - found.runtime_ns);
    values[3] = (double)found.first_answer_took_ns;
    values[4] = values[0] + values[1] + values[2] + values[3];
    values[5] = (double)found.resident;
    values[6] = (double)found.peak;
    return FINE;
}

enum { COLUMNS = 7, TOTAL = 4 };

static bench_cold_start summary_of(const double *values, size_t rounds) {
    double medians[COLUMNS], low = values[TOTAL], high = values[TOTAL];
    double *column = bench_allocate(rounds, sizeof *column);
    for (size_t c = 0; c < COLUMNS; c++) {
        for (size_t r = 0; r < rounds; r++) column[r] = values[r * COLUMNS + c];
        medians[c] = bench_median(column, rounds);
    }
    for (size_t r = 0; r < rounds; r++) {
        double total = values[r * COLUMNS + TOTAL];
        low = total < low ? total : low;
        high = total > high ? total : high;
    }
    free(column);
    return (bench_cold_start){rounds,         medians[0], medians[1], medians[2], medians[3],
                              medians[TOTAL], low,        high,       medians[5], medians[6]};
}

int bench_cold_starts(char **argv, size_t models, size_t rounds, bench_cold_start *starts, char *detail) {
    double *values = bench_allocate((rounds + 1) * models * COLUMNS, sizeof *values);
    int code = FINE;
    for (size_t r = 0; r <= rounds && !code; r++)
        for (size_t m = 0; m < models && !code; m++)
            code = once(argv, m, values + (m * (rounds + 1) + r) * COLUMNS, detail);
    for (size_t m = 0; m < models && !code; m++)
        starts[m] = summary_of(values + (m * (rounds + 1) + 1) * COLUMNS, rounds);
    free(values);
    return code;
}
