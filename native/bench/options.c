/* The command line. SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "processes.h"

const char *const bench_scenario_names[4] = {"single_stream", "multi_stream", "server", "offline"};

const char bench_usage[] =
    "usage: erai-bench MODEL_OR_BUNDLE... [--scenario single_stream|multi_stream|server|offline] [--duration S]\n"
    "                  [--threads N] [--batch N] [--against bare-c|none] [--safeguards each] [--data FILE] [--labels "
    "KEY]\n"
    "                  [--percentile P] [--bound-ms MS] [--cold-start N] [--processes N] [--seed N] [--save "
    "FILE.json]\n"
    "                  [--json] [--version] [--help]\n"
    "\n"
    "Measures models and bundles beside each other on this machine, without Python.\n"
    "\n"
    "  --scenario    (default: single_stream)\n"
    "  --duration    seconds, of all together, warm-up apart (default: 20)\n"
    "  --threads     within an operator; 0: the runtime's choice (default: 1)\n"
    "  --batch       rows a query; of offline the greatest batch (default: 1; 8; 1; 64)\n"
    "  --against     bare-c: each model in ONNX Runtime's C API too, without the guard (default: none)\n"
    "  --safeguards  each: switch off each safeguard of a bundle in turn\n"
    "  --data        rows: .npz (numpy.savez) with an array for each input, .npy, or .f32, the values alone (default: "
    "a\n"
    "                bundle's golden inputs; else random ones of the guard's references)\n"
    "  --labels      the array of that .npz with what answers should be, as numbers\n"
    "  --percentile  refuse a duration too short for this percentile; server: the one that is bounded (default: 99)\n"
    "  --bound-ms    server: the bound (default: 10 times the slowest median, at least 1)\n"
    "  --cold-start  fresh processes of each model to their first answer (default: 5)\n"
    "  --processes   fresh processes that share the duration, so that where one's memory happens to lie does not "
    "count\n"
    "                (default: 12; server: 1)\n"
    "  --seed        of every order and of random rows (default: 0)\n"
    "  --save        the result, and beside it the samples as .npz\n"
    "  --json        the result on stdout\n"
    "  --blocks      for programs: one model, bare; reads \"FIRST CALLS\" lines, answers each with CALLS pairs of "
    "int64,\n"
    "                when a call began and when it ended by CLOCK_MONOTONIC\n"
    "  --part        what --processes starts: measures part N of the duration, and writes what it recorded\n"
    "  --cold        what --cold-start starts: opens model N, asks it once, and writes when each step ended\n"
    "\n"
    "$ERAI_ONNXRUNTIME names the ONNX Runtime library. Exit codes: 1 a file is not sound, 2 usage, 3 a component is\n"
    "missing, 4 the environment.\n";

/* A number within bounds, written to its end. */
static int number(const char *name, const char *text, double least, double most, double *value, char *detail) {
    char *end = NULL;
    double read = strtod(text, &end);
    if (end == text || *end || !isfinite(read) || read < least || read > most)
        return bench_fail(detail, USAGE, "%s is %.60s; expected %g to %.15g", name, text, least, most);
    *value = read;
    return FINE;
}

static int whole(const char *name, const char *text, double least, double most, double *value, char *detail) {
    int code = number(name, text, least, most, value, detail);
    if (!code && *value != floor(*value))
        code = bench_fail(detail, USAGE, "%s is %.60s; expected a whole number", name, text);
    return code;
}

static int named(const char *text, bench_options *options, char *detail) {
    for (int i = 0; i < 4; i++)
        if (!strcmp(text, bench_scenario_names[i])) {
            options->scenario = (bench_scenario)i;
            return FINE;
        }
    return bench_fail(detail, USAGE, "--scenario is %.60s; expected single_stream, multi_stream, server or offline",
                      text);
}

/* An option that has a value. */
static int set(const char *name, const char *text, bench_options *options, char *detail) {
    double value = 0;
    int code = FINE;
    if (!strcmp(name, "--scenario")) return named(text, options, detail);
    if (!strcmp(name, "--duration")) return number(name, text, 0.1, 86400, &options->duration_s, detail);
    if (!strcmp(name, "--percentile")) return number(name, text, 1, 99.9999, &options->percentile, detail);
    if (!strcmp(name, "--threads")) {
        code = whole(name, text, 0, 1024, &value, detail);
        options->threads = (uint32_t)value;
    } else if (!strcmp(name, "--batch")) {
        code = whole(name, text, 1, 1048576, &value, detail);
        options->batch = (int64_t)value;
    } else if (!strcmp(name, "--seed")) {
        code = whole(name, text, 0, 9007199254740991, &value, detail);
        options->seed = (uint64_t)value;
    } else if (!strcmp(name, "--processes")) {
        code = whole(name, text, 1, BENCH_MOST_PROCESSES, &value, detail);
        options->processes = (size_t)value;
    } else if (!strcmp(name, "--part")) {
        code = whole(name, text, 0, BENCH_MOST_PROCESSES, &value, detail);
        options->part = (int64_t)value;
    } else if (!strcmp(name, "--cold-start")) {
        code = whole(name, text, 0, 1000, &value, detail);
        options->cold_starts = (size_t)value;
    } else if (!strcmp(name, "--cold")) {
        code = whole(name, text, 0, 1000, &value, detail);
        options->cold = (int64_t)value;
    } else if (!strcmp(name, "--safeguards")) {
        options->each = !strcmp(text, "each");
        if (!options->each) return bench_fail(detail, USAGE, "--safeguards is %.60s; expected each", text);
    } else if (!strcmp(name, "--bound-ms")) {
        code = number(name, text, 0.001, 1e6, &value, detail);
        options->bound_ns = (int64_t)(value * 1e6);
    } else if (!strcmp(name, "--against")) {
        options->bare = !strcmp(text, "bare-c");
        if (!options->bare && strcmp(text, "none"))
            return bench_fail(detail, USAGE, "--against is %.60s; expected bare-c or none", text);
    } else if (!strcmp(name, "--data")) {
        options->data = text;
    } else if (!strcmp(name, "--labels")) {
        options->labels = text;
    } else {
        options->save = text;
    }
    return code;
}

static int takes_value(const char *name) {
    static const char *const names[] = {
        "--scenario", "--duration", "--percentile", "--threads", "--batch",  "--seed", "--bound-ms",   "--against",
        "--data",     "--save",     "--processes",  "--part",    "--labels", "--cold", "--cold-start", "--safeguards"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return 1;
    return 0;
}

static int ends_in(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && !strcmp(text + length - tail, end);
}

/* What single options cannot say of each other. */
static int agree(const bench_options *options, char *detail) {
    if (options->help || options->version) return FINE;
    if (!options->model_count)
        return bench_fail(detail, USAGE, "no model is given; expected the path of a bundle or of an .onnx model");
    if (options->blocks && options->model_count > 1)
        return bench_fail(detail, USAGE, "--blocks has %zu models; expected one", options->model_count);
    if (options->percentile > 0 && options->scenario == OFFLINE)
        return bench_fail(detail, USAGE, "--percentile: offline measures rows a second; expected another scenario");
    if (options->bound_ns && options->scenario != SERVER)
        return bench_fail(detail, USAGE, "--bound-ms: expected --scenario server with it");
    if (options->scenario == SERVER && options->processes > 1)
        return bench_fail(detail, USAGE, "--processes is %zu; server runs in one", options->processes);
    if (options->save && !ends_in(options->save, ".json"))
        return bench_fail(detail, USAGE, "--save is %.200s; expected a name that ends in .json", options->save);
    if (options->data && !ends_in(options->data, ".npy") && !ends_in(options->data, ".npz") &&
        !ends_in(options->data, ".f32"))
        return bench_fail(detail, USAGE, "--data is %.200s; expected a file that ends in .npz, .npy or .f32",
                          options->data);
    if (options->labels && !(options->data && ends_in(options->data, ".npz")))
        return bench_fail(detail, USAGE, "--labels names an array of --data; expected an .npz file there");
    if (options->cold >= (int64_t)options->model_count)
        return bench_fail(detail, USAGE, "--cold is %lld; expected the number of a model", (long long)options->cold);
    return FINE;
}

int bench_options_read(int argc, char **argv, bench_options *options, char *detail) {
    *options = (bench_options){.duration_s = 20, .threads = 1, .part = -1, .cold = -1, .cold_starts = 5};
    options->models = bench_allocate((size_t)argc, sizeof *options->models);
    int names_only = 0; /* after "--" */
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (names_only || name[0] != '-' || !name[1]) {
            options->models[options->model_count++] = name;
        } else if (!strcmp(name, "--")) {
            names_only = 1;
        } else if (!strcmp(name, "--json")) {
            options->json = 1;
        } else if (!strcmp(name, "--blocks")) {
            options->blocks = 1;
        } else if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
            options->help = 1;
        } else if (!strcmp(name, "--version")) {
            options->version = 1;
        } else if (!takes_value(name)) {
            return bench_fail(detail, USAGE, "there is no option %.60s; see erai-bench --help", name);
        } else if (++i == argc) {
            return bench_fail(detail, USAGE, "%s has no value; see erai-bench --help", name);
        } else {
            int code = set(name, argv[i], options, detail);
            if (code) return code;
        }
    }
    int code = agree(options, detail);
    if (!options->processes) options->processes = options->scenario == SERVER ? 1 : BENCH_PROCESSES;
    return code;
}
