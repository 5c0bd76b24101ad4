/* Rows of few values, which are looked at many together: a bad one is found where it is, and nowhere else.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "er_test.h"
#include "session.h"
#include "test_session.h"
#include "values.h"

#define MOST_ROWS 1100
#define WIDTH 3

typedef struct form {
    uint32_t dtype, rank; /* 1: rows of one value; 2: of WIDTH */
    int32_t feature_axis;
} form;

/* Limits of feature f: -1 - f to 1 + f. */
static erai_session *open_session(const form *of) {
    const int64_t shape[] = {-1, WIDTH}, most[] = {4096, WIDTH}, output_shape[] = {-1};
    erai_policy *policy = NULL;
    ER_CHECK_INT(erai_policy_open(1, &policy), ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = shape,
                             .max_shape = most,
                             .rank = of->rank,
                             .dtype = of->dtype,
                             .flags = ERAI_RULE_FINITE,
                             .feature_axis = of->feature_axis,
                             .sketch_stride = 1};
    ER_CHECK_INT(erai_policy_add_input(policy, &input, NULL), ERAI_OK);
    static const char *const names[WIDTH] = {"f0", "f1", "f2"};
    for (int f = 0; f < (of->feature_axis < 0 ? 1 : WIDTH); f++) {
        erai_feature_rule feature = {.struct_size = sizeof feature, .name = names[f], .low = -1 - f, .high = 1 + f};
        ER_CHECK_INT(erai_policy_add_feature(policy, &feature, NULL), ERAI_OK);
    }
    test_add_output(policy, "y", (erai_output_rule){.shape = output_shape, .rank = 1});
    return test_session(policy, NULL);
}

static size_t admit(erai_session *session, erai_answer *answer, const form *of, const void *values, size_t rows) {
    const int64_t shape[] = {(int64_t)rows, WIDTH};
    const erai_tensor input = {.data = values, .shape = shape, .rank = of->rank, .dtype = of->dtype};
    size_t admitted = 0;
    ER_CHECK_INT(erai_admit(session, &input, 1, answer, &admitted), ERAI_OK);
    return admitted;
}

/* One value is above its limit, at every place in turn. */
static void look_at_every_place(const form *of, size_t rows, size_t stride) {
    size_t width = of->rank == 1 ? 1 : WIDTH, size = erai_dtype_size(of->dtype);
    char *values = calloc(rows * width, size);
    erai_session *session = open_session(of);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(admit(session, answer, of, values, rows), rows);
    for (size_t at = 0; at < rows * width; at += stride) {
        size_t row = at / width, element = at % width, feature = of->feature_axis < 0 ? 0 : element;
        er_write(values + at * size, of->dtype, 0, 2 + (double)feature);
        ER_CHECK_INT(admit(session, answer, of, values, rows), rows - 1);
        const erai_reason *reason;
        ER_CHECK_INT(erai_answer_reasons(answer, &reason), 1);
        ER_CHECK(reason->code == ERAI_REASON_ABOVE_RANGE && reason->row == (int64_t)row && reason->element == element &&
                 reason->value == 2 + (double)feature && reason->limit == 1 + (double)feature);
        const uint8_t *verdicts;
        ER_CHECK_INT(erai_answer_rows(answer, &verdicts, NULL), rows);
        ER_CHECK_INT(verdicts[row], ERAI_VERDICT_REJECT);
        er_write(values + at * size, of->dtype, 0, 0);
    }
    for (size_t at = 0; at < rows * width; at++) er_write(values + at * size, of->dtype, 0, 3 + (double)WIDTH);
    ER_CHECK_INT(admit(session, answer, of, values, rows), 0);
    ER_CHECK_INT(erai_answer_reasons(answer, NULL), rows * (of->feature_axis < 0 ? 1 : width));
    erai_answer_close(answer);
    erai_session_close(session);
    free(values);
}

static void a_bad_value_is_found_at_every_place(void) {
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64, ERAI_DTYPE_INT64, ERAI_DTYPE_UINT8};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        const form forms[] = {{dtypes[i], 1, -1}, {dtypes[i], 2, -1}, {dtypes[i], 2, 1}};
        for (size_t k = 0; k < 3; k++) {
            look_at_every_place(&forms[k], 259, 1);
            look_at_every_place(&forms[k], MOST_ROWS, 17);
        }
    }
}

static void numbers_that_float64_rounds_are_told_apart_in_any_company(void) {
    const form of = {ERAI_DTYPE_INT64, 1, -1};
    erai_session *session = open_session(&of);
    static int64_t values[MOST_ROWS];
    erai_answer *answer = test_answer(session);
    values[700] = INT64_MAX;
    ER_CHECK_INT(admit(session, answer, &of, values, MOST_ROWS), MOST_ROWS - 1);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void what_is_no_number_is_found_and_counted(void) {
    const form of = {ERAI_DTYPE_FLOAT32, 2, 1};
    static float values[MOST_ROWS * WIDTH];
    erai_session *session = open_session(&of);
    erai_answer *answer = test_answer(session);
    values[2000] = NAN;
    values[2002] = INFINITY;
    ER_CHECK_INT(admit(session, answer, &of, values, MOST_ROWS), MOST_ROWS - 2);
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 2);
    ER_CHECK(reasons[0].row == 666 && reasons[0].element == 2 && reasons[1].row == 667 && reasons[1].element == 1);
    erai_snapshot *snapshot = NULL;
    erai_feature_counts feature;
    ER_CHECK_INT(erai_session_snapshot(session, &snapshot, NULL), ERAI_OK);
    ER_CHECK_INT(erai_snapshot_feature(snapshot, 2, &feature), ERAI_OK);
    ER_CHECK_INT(feature.not_finite, 1);
    erai_snapshot_close(snapshot);
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(a_bad_value_is_found_at_every_place);
    ER_RUN(numbers_that_float64_rounds_are_told_apart_in_any_company);
    ER_RUN(what_is_no_number_is_found_and_counted);
    return er_test_result();
}
