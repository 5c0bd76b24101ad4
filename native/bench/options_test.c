/* The command line. SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdlib.h>

#include "er_test.h"
#include "failure.h"

enum { MOST_ARGUMENTS = 12 };

static int read_line(const char *line, bench_options *options, char *detail) {
    char text[512], *arguments[MOST_ARGUMENTS + 1] = {"erai-bench"};
    int count = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word && count < MOST_ARGUMENTS; word = strtok(NULL, " "))
        arguments[count++] = word;
    int code = bench_options_read(count, arguments, options, detail);
    free(options->models);
    return code;
}

static void options_and_models_may_stand_in_any_order(void) {
    bench_options options;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(read_line("--seed 9 a.onnx --scenario server --bound-ms 2.5 b.erai", &options, detail), FINE);
    ER_CHECK_INT(options.model_count, 2);
    ER_CHECK_INT(options.scenario, SERVER);
    ER_CHECK_INT(options.bound_ns, 2500000);
    ER_CHECK_INT(options.seed, 9);
    ER_CHECK(options.duration_s == 20 && options.threads == 1 && !options.bare && !options.json);
}

static void what_follows_two_dashes_is_a_model(void) {
    bench_options options;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(read_line("--json --against bare-c -- --odd.onnx", &options, detail), FINE);
    ER_CHECK_INT(options.model_count, 1);
    ER_CHECK(options.json && options.bare);
}

static void what_is_not_right_is_said(void) {
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "no model"},
        {"a --duration nan", "--duration is nan"},
        {"a --duration inf", "--duration is inf"},
        {"a --duration 1s", "--duration is 1s"},
        {"a --duration -1", "--duration is -1"},
        {"a --duration", "no value"},
        {"a --batch 0", "--batch is 0"},
        {"a --batch 1048577", "--batch is 1048577"},
        {"a --seed 1e300", "--seed is 1e300"},
        {"a --threads 2.5", "whole number"},
        {"a --percentile 100", "--percentile is 100"},
        {"a --percentile 99 --scenario offline", "offline"},
        {"a --bound-ms 1", "--scenario server"},
        {"a --against bare-python", "expected bare-c"},
        {"a --data rows.csv", ".npy or .f32"},
        {"a --data .npy", ".npy or .f32"},
        {"a --save out", ".json"},
        {"a b --blocks", "expected one"},
        {"a -x", "no option -x"},
        {"a --processes 0", "--processes is 0"},
        {"a --processes 2 --scenario server", "server runs in one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_options options;
        char detail[ERAI_DETAIL_SIZE] = "";
        ER_CHECK_INT(read_line(cases[i].line, &options, detail), USAGE);
        ER_CHECK_CONTAINS(detail, cases[i].says);
    }
}

int main(void) {
    ER_RUN(options_and_models_may_stand_in_any_order);
    ER_RUN(what_follows_two_dashes_is_a_model);
    ER_RUN(what_is_not_right_is_said);
    return er_test_result();
}
