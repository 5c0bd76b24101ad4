/* How right a session's answers are. SPDX-License-Identifier: Apache-2.0 */
#include "accuracy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "npy.h"

enum { CHUNK = 256 };

static const double Z_95 = 1.959964;

/* Of one output so far. */
typedef struct tally {
    const double *labels;
    int of_classes, of_wholes; /* every label is 0 or 1; a whole number */
    size_t count, answered, right;
    double errors, squares;
    int is_error; /* the metric is the error, and not the share of what is right */
} tally;

/* Rows of an output, held against their labels; 0: it does not fit them. */
static int hold(tally *so_far, const erai_tensor *output, size_t first, size_t rows) {
    size_t size = erai_dtype_size(output->dtype), width = 1;
    int whole = output->dtype != ERAI_DTYPE_FLOAT32 && output->dtype != ERAI_DTYPE_FLOAT64;
    if (output->dtype == ERAI_DTYPE_STRING || output->dtype == ERAI_DTYPE_FLOAT16 ||
        output->dtype == ERAI_DTYPE_BFLOAT16 || !output->rank || output->shape[0] != (int64_t)rows)
        return 0;
    for (uint32_t i = 1; i < output->rank; i++) width *= (size_t)output->shape[i];
    if (!width) return 0;
    so_far->is_error = width == 1 && !so_far->of_classes && !(whole && so_far->of_wholes);
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)output->data + r * width * size;
        double value = bench_npy_number(row, output->dtype), label = so_far->labels[first + r], best = value;
        for (size_t i = 1; i < width; i++) {
            double other = bench_npy_number(row + i * size, output->dtype);
            if (i == 1) value = 0;
            if (!(other > best)) continue;
            best = other;
            value = (double)i;
        }
        if (width == 1 && !whole && so_far->of_classes) value = value > 0.5;
        so_far->right += value == label;
        if (!isfinite(value)) continue;
        so_far->answered++;
        so_far->errors += fabs(value - label);
        so_far->squares += (value - label) * (value - label);
    }
    so_far->count += rows;
    return 1;
}

/* The share that is right, with Wilson's interval (Probable inference, the law of succession, and statistical
 * inference, 1927); or the mean absolute error. */
static void conclude(const tally *so_far, bench_accuracy *accuracy) {
    double n = (double)so_far->count, p = (double)so_far->right / n, z2 = Z_95 * Z_95;
    accuracy->metric = so_far->is_error ? "mean absolute error" : "accuracy";
    if (so_far->is_error) {
        n = (double)so_far->answered;
        double mean = so_far->errors / n, half = Z_95 * sqrt(fmax(0, so_far->squares / n - mean * mean) / n);
        accuracy->value = mean;
        accuracy->low_95 = fmax(0, mean - half);
        accuracy->high_95 = mean + half;
        return;
    }
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z_95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
    accuracy->value = p;
    accuracy->low_95 = fmax(0, middle - half);
    accuracy->high_95 = fmin(1, middle + half);
}

/* Asks for some of the rows. */
static int ask(erai_session *session, const bench_rows *rows, size_t first, size_t count, erai_answer *answer) {
    bench_rows part = *rows;
    part.inputs = bench_allocate(rows->count, sizeof *part.inputs);
    memcpy(part.inputs, rows->inputs, rows->count * sizeof *part.inputs);
    for (size_t i = 0; i < part.count; i++) {
        bench_input *input = &part.inputs[i];
        size_t size = erai_dtype_size(input->dtype);
        for (uint32_t k = 1; k < input->rank; k++) size *= (size_t)input->shape[k];
        if (input->data && rows->batched) input->data += first * size;
    }
    part.rows = (int64_t)count;
    bench_feeds feeds = bench_feeds_of(&part, (int64_t)count);
    erai_status status = erai_session_predict(session, feeds.tensors, feeds.given, answer);
    bench_feeds_free(&feeds);
    free(part.inputs);
    return status != ERAI_OK;
}

static int ask_all(erai_session *session, const bench_rows *rows, int64_t most_rows, erai_answer *answer,
                   tally *tallies, size_t outputs, bench_accuracy *accuracy, char *detail) {
    size_t most = most_rows < CHUNK ? (size_t)most_rows : CHUNK, all = (size_t)rows->rows;
    const uint8_t *verdicts, *sources;
    for (size_t first = 0, count; first < all; first += count) {
        count = all - first < most ? all - first : most;
        if (ask(session, rows, first, count, answer))
            return bench_fail(detail, UNSOUND, "its answers to --data failed: %.400s", erai_answer_detail(answer));
        size_t judged = erai_answer_rows(answer, &verdicts, &sources);
        for (size_t i = 0; i < judged; i++) accuracy->rejected += verdicts[i] == ERAI_VERDICT_REJECT;
        for (size_t i = 0; i < outputs; i++) {
            erai_tensor output;
            if (!tallies[i].labels) continue;
            if (erai_answer_output(answer, i, &output) || !hold(&tallies[i], &output, first, count))
                tallies[i].labels = NULL;
        }
    }
    return FINE;
}

int bench_accuracy_of(erai_session *session, const bench_rows *rows, int64_t most_rows, const double *labels,
                      size_t label_count, bench_accuracy *accuracy, char *detail) {
    const erai_guard *guard = erai_session_guard(session);
    size_t outputs = erai_guard_outputs(guard), classes = 0, wholes = 0;
    erai_answer *answer = NULL;
    *accuracy = (bench_accuracy){.output = NULL};
    if (label_count != (size_t)rows->rows)
        return bench_fail(detail, USAGE, "there are %zu labels and %lld rows; expected one label a row", label_count,
                          (long long)rows->rows);
    for (size_t i = 0; i < label_count; i++)
        if (!isfinite(labels[i]))
            return bench_fail(detail, USAGE, "the label of row %zu is %g; expected a label of each row", i, labels[i]);
    if (erai_answer_open(session, &answer)) return bench_fail(detail, ENVIRONMENT, "out of memory");
    for (size_t i = 0; i < label_count; i++) {
        classes += labels[i] == 0 || labels[i] == 1;
        wholes += labels[i] == floor(labels[i]);
    }
    tally *tallies = bench_allocate(outputs, sizeof *tallies);
    for (size_t i = 0; i < outputs; i++)
        tallies[i] =
            (tally){.labels = labels, .of_classes = classes == label_count, .of_wholes = wholes == label_count};
    int code = ask_all(session, rows, most_rows, answer, tallies, outputs, accuracy, detail);
    for (size_t i = 0; i < outputs && !code && !accuracy->output; i++) {
        erai_output_rule rule = {.struct_size = sizeof rule};
        if (!tallies[i].labels || (tallies[i].is_error && !tallies[i].answered)) continue;
        if (erai_guard_output(guard, i, &rule)) continue;
        accuracy->output = rule.name;
        conclude(&tallies[i], accuracy);
    }
    if (!code && !accuracy->output)
        code = bench_fail(detail, UNSOUND, "no output of it can be held against labels that are numbers");
    free(tallies);
    erai_answer_close(answer);
    return code;
}
