/* Runs a bundle from C: edge_rai_example BUNDLE ROWS WIDTH. SPDX-License-Identifier: Apache-2.0
 *
 * ROWS is a file of float32 values in the machine's byte order, WIDTH of them a row. All rows are predicted as one
 * batch. One line a row says verdict, source and every output value, as hexadecimal floats, which are exact:
 *
 *     row 0 accept primary 0x1.fffb4p-1 0x1.3p-16
 *
 * followed by one line a reason. Exit status: 0 when every row was answered, whatever the verdicts. */
#include <edge_rai.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdicts[] = {"accept", "flag", "reject"};
static const char *const sources[] = {"primary", "fallback_model", "last_good", "default", "abstain", "none"};

/* Whole rows of `width` values, which the caller frees; NULL: what is wrong with the file was said. */
static float *read_rows(const char *path, size_t width, size_t *rows) {
    FILE *file = fopen(path, "rb");
    float *values = NULL;
    long size = -1;

    if (file && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    } else if (size == 0 || width > SIZE_MAX / sizeof *values || (size_t)size % (width * sizeof *values)) {
        fprintf(stderr, "%s: %ld bytes are not rows of %zu float32 values\n", path, size, width);
    } else {
        values = malloc((size_t)size);
        rewind(file);
        if (!values || fread(values, 1, (size_t)size, file) != (size_t)size) {
            fprintf(stderr, "%s: cannot be read\n", path);
            free(values);
            values = NULL;
        } else {
            *rows = (size_t)size / (width * sizeof *values);
        }
    }
    if (file) fclose(file);
    return values;
}

static double value_of(const erai_tensor *tensor, size_t index) {
    switch (tensor->dtype) {
    case ERAI_DTYPE_FLOAT32: return (double)((const float *)tensor->data)[index];
    case ERAI_DTYPE_FLOAT64: return ((const double *)tensor->data)[index];
    case ERAI_DTYPE_INT64: return (double)((const int64_t *)tensor->data)[index];
    default: return NAN;
    }
}

static void print_answer(const erai_answer *answer) {
    const uint8_t *row_verdicts, *row_sources;
    size_t rows = erai_answer_rows(answer, &row_verdicts, &row_sources);
    erai_tensor output;

    for (size_t row = 0; row < rows; row++) {
        printf("row %zu %s %s", row, verdicts[row_verdicts[row]], sources[row_sources[row]]);
        for (size_t index = 0; erai_answer_output(answer, index, &output) == ERAI_OK; index++) {
            size_t width = 1;

            for (uint32_t axis = 1; axis < output.rank; axis++) width *= (size_t)output.shape[axis];
            for (size_t i = 0; i < width; i++) printf(" %a", value_of(&output, row * width + i));
        }
        putchar('\n');
    }

    const erai_reason *reason;
    size_t reasons = erai_answer_reasons(answer, &reason);

    for (size_t i = 0; i < reasons; i++, reason++) {
        printf("reason row %" PRId64 " %s %s value %a limit %a\n", reason->row, reason->subject,
               erai_reason_name(reason->code), reason->value, reason->limit);
    }
}

int main(int argc, char **argv) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    size_t rows = 0;
    long long width = argc == 4 ? atoll(argv[3]) : 0;
    int failed = 1;

    if (width <= 0) {
        fprintf(stderr, "usage: edge_rai_example BUNDLE ROWS WIDTH\n");
        return 2;
    }
    float *values = read_rows(argv[2], (size_t)width, &rows);
    if (!values) return 2;
    int64_t shape[] = {(int64_t)rows, width};
    erai_tensor input = {.data = values, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};

    if (erai_session_open(argv[1], NULL, &session, detail) || erai_answer_open(session, &answer)) {
        fprintf(stderr, "%s\n", detail);
    } else if (erai_session_predict(session, &input, 1, answer)) {
        fprintf(stderr, "%s\n", erai_answer_detail(answer));
    } else {
        print_answer(answer);
        failed = 0;
    }
    erai_answer_close(answer);
    erai_session_close(session);
    free(values);
    return failed;
}
