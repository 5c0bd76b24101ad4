/* States pass from call to call, row by row. SPDX-License-Identifier: Apache-2.0 */
#include "recurrent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "er_test.h"

enum { LAYERS = 2, ROWS = 3, WIDTH = 2, ELEMENTS = LAYERS * ROWS * WIDTH };

/* A guard with an input "x" and a state: output "next" (index 1) becomes input "state" (index 1). */
typedef struct fixture {
    er_input inputs[2];
    er_output outputs[2];
    erai_guard guard;
    erai_tensor given[2];
    er_buffer results[2];
    uint64_t counts[ER_COUNTS];
    erai_answer answer;
    er_recurrent *states;
    float next[ELEMENTS];
} fixture;

static void fixture_open(fixture *at, uint32_t dtype, int32_t row_axis, const int64_t *shape) {
    memset(at, 0, sizeof *at);
    at->inputs[1] = (er_input){.name = "state", .rank = 3, .dtype = dtype, .is_state = 1};
    memcpy(at->inputs[1].shape, shape, 3 * sizeof *shape);
    at->outputs[1].name = "next";
    at->guard = (erai_guard){.batched = 1,
                             .inputs = at->inputs,
                             .outputs = at->outputs,
                             .input_count = 2,
                             .output_count = 2,
                             .given_count = 1,
                             .state_count = 1};
    at->guard.states[0] = (er_state){.input = 1, .output = 1, .row_axis = row_axis};
    at->answer.guard = &at->guard;
    at->answer.inputs = at->given;
    at->answer.outputs = at->results;
    at->answer.counts = at->counts;
    ER_CHECK_INT(er_mutex_init(&at->answer.lock), 0);
    at->states = er_recurrent_open(&at->guard);
    for (int i = 0; i < ELEMENTS; i++) at->next[i] = (float)(i + 1);
}

static void fixture_close(fixture *at) {
    er_recurrent_close(at->states);
    free(at->results[1].data);
    free(at->answer.verdicts);
    free(at->answer.sources);
    free(at->answer.row_reasons);
    free(at->answer.review_ids);
    free(at->answer.reasons);
    er_mutex_destroy(&at->answer.lock);
}

/* Begins a call; its state. */
static const float *give(fixture *at, size_t rows) {
    ER_CHECK_INT(er_answer_begin(&at->answer, rows, ERAI_VERDICT_ACCEPT), ERAI_OK);
    ER_CHECK_INT(er_recurrent_give(at->states, &at->answer), ERAI_OK);
    return at->given[1].data;
}

static void reject(fixture *at, int64_t row) {
    er_answer_find(&at->answer, ERAI_VERDICT_REJECT, (erai_reason){.row = row, .code = ERAI_REASON_ABOVE_RANGE});
}

/* Ends it: what the model gave. */
static void take(fixture *at, const void *next, uint32_t dtype, const int64_t *shape) {
    ER_CHECK(er_buffer_copy(&at->results[1], &(erai_tensor){next, shape, 3, dtype}));
    at->answer.ran = 1;
    er_recurrent_take(at->states, &at->answer);
}

static const int64_t inner_rows[] = {LAYERS, -1, WIDTH}, outer_rows[] = {-1, LAYERS, WIDTH};
static const int64_t inner_shape[] = {LAYERS, ROWS, WIDTH}, outer_shape[] = {ROWS, LAYERS, WIDTH};

static void a_state_begins_with_zeros_of_the_declared_shape(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 1, inner_rows);
    const float *state = give(&at, ROWS);
    ER_CHECK_INT(at.given[1].dtype, ERAI_DTYPE_FLOAT32);
    ER_CHECK_INT(at.given[1].rank, 3);
    ER_CHECK(memcmp(at.given[1].shape, inner_shape, sizeof inner_shape) == 0);
    for (int i = 0; i < ELEMENTS; i++) ER_CHECK(state[i] == 0);
    fixture_close(&at);
}

static void what_an_output_gave_is_the_next_input_at_the_same_place(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    const float *first = give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    ER_CHECK_INT(at.answer.verdict, ERAI_VERDICT_ACCEPT);
    const float *second = give(&at, ROWS);
    ER_CHECK(first == second);
    ER_CHECK(memcmp(second, at.next, sizeof at.next) == 0);
    fixture_close(&at);
}

/* Element (layer, row, i) is at index (layer * ROWS + row) * WIDTH + i. */
static void a_rejected_row_keeps_its_state_wherever_rows_are_counted(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 1, inner_rows);
    give(&at, ROWS);
    reject(&at, 1);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, inner_shape);
    static const float expected[ELEMENTS] = {1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12};
    ER_CHECK(memcmp(give(&at, ROWS), expected, sizeof expected) == 0);
    fixture_close(&at);
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    reject(&at, 2);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    static const float outer[ELEMENTS] = {1, 2, 3, 4, 5, 6, 7, 8};
    ER_CHECK(memcmp(give(&at, ROWS), outer, sizeof outer) == 0);
    fixture_close(&at);
}

static void a_state_that_is_not_finite_begins_anew_and_flags_its_row(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 1, inner_rows);
    give(&at, ROWS);
    at.next[10] = -INFINITY; /* layer 1, row 2 */
    take(&at, at.next, ERAI_DTYPE_FLOAT32, inner_shape);
    ER_CHECK_INT(at.answer.reason_count, 1);
    const erai_reason *reason = at.answer.reasons;
    ER_CHECK_INT(reason->code, ERAI_REASON_STATE_NOT_FINITE);
    ER_CHECK_STR(reason->subject, "next");
    ER_CHECK_INT(reason->row, 2);
    ER_CHECK_INT(reason->element, 2);
    ER_CHECK(reason->value == -INFINITY);
    ER_CHECK_INT(at.answer.verdicts[1], ERAI_VERDICT_ACCEPT);
    ER_CHECK_INT(at.answer.verdicts[2], ERAI_VERDICT_FLAG);
    ER_CHECK_INT(at.counts[ER_COUNT_DECISIONS + ERAI_COUNT_STATE_RESETS], 1);
    static const float expected[ELEMENTS] = {1, 2, 3, 4, 0, 0, 7, 8, 9, 10, 0, 0};
    ER_CHECK(memcmp(give(&at, ROWS), expected, sizeof expected) == 0);
    fixture_close(&at);
}

static void half_precision_is_looked_at_too(void) {
    static const struct {
        uint32_t dtype;
        uint16_t bits;
        int bad;
    } cases[] = {{ERAI_DTYPE_FLOAT16, 0x7c00, 1},  {ERAI_DTYPE_FLOAT16, 0xfe01, 1},  {ERAI_DTYPE_FLOAT16, 0x7bff, 0},
                 {ERAI_DTYPE_BFLOAT16, 0xff80, 1}, {ERAI_DTYPE_BFLOAT16, 0x7f81, 1}, {ERAI_DTYPE_BFLOAT16, 0x7f7f, 0},
                 {ERAI_DTYPE_BFLOAT16, 0x7c00, 0}, {ERAI_DTYPE_UINT16, 0x7c00, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture at;
        uint16_t next[ELEMENTS] = {0};
        next[0] = cases[i].bits;
        fixture_open(&at, cases[i].dtype, 1, inner_rows);
        give(&at, ROWS);
        take(&at, next, cases[i].dtype, inner_shape);
        ER_CHECK_INT(at.answer.reason_count, cases[i].bad);
        ER_CHECK_INT(*(const uint16_t *)(const void *)give(&at, ROWS), cases[i].bad ? 0 : cases[i].bits);
        fixture_close(&at);
    }
}

static void states_of_another_number_of_rows_begin_anew(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    const float *state = give(&at, 2);
    ER_CHECK_INT(at.given[1].shape[0], 2);
    for (int i = 0; i < 2 * LAYERS * WIDTH; i++) ER_CHECK(state[i] == 0);
    fixture_close(&at);
}

static void a_state_without_rows_is_taken_only_when_no_row_was_rejected(void) {
    static const int64_t shape[] = {1, 2, 2};
    static const float one[] = {1, 2, 3, 4}, two[] = {5, 6, 7, 8};
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, -1, shape);
    give(&at, ROWS);
    take(&at, one, ERAI_DTYPE_FLOAT32, shape);
    ER_CHECK(memcmp(give(&at, ROWS), one, sizeof one) == 0);
    reject(&at, 0);
    take(&at, two, ERAI_DTYPE_FLOAT32, shape);
    ER_CHECK(memcmp(give(&at, ROWS), one, sizeof one) == 0);
    fixture_close(&at);
}

static void a_next_state_of_another_shape_begins_anew_and_flags_the_call(void) {
    static const int64_t longer[] = {LAYERS, ROWS, WIDTH + 1};
    static const float next[ELEMENTS + LAYERS * ROWS] = {1};
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 1, inner_rows);
    give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, inner_shape);
    give(&at, ROWS);
    take(&at, next, ERAI_DTYPE_FLOAT32, longer);
    ER_CHECK_INT(at.answer.reason_count, 1);
    ER_CHECK_INT(at.answer.reasons[0].code, ERAI_REASON_OUTPUT_SHAPE);
    ER_CHECK_INT(at.answer.reasons[0].value, WIDTH + 1);
    ER_CHECK_INT(at.answer.reasons[0].limit, WIDTH);
    ER_CHECK_INT(at.answer.verdict, ERAI_VERDICT_FLAG);
    const float *state = give(&at, ROWS);
    for (int i = 0; i < ELEMENTS; i++) ER_CHECK(state[i] == 0);
    fixture_close(&at);
}

static void a_call_that_did_not_run_changes_nothing(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    give(&at, ROWS);
    er_recurrent_take(at.states, &at.answer); /* `ran` is not set */
    /* A call of another shape, and so perhaps of another number of rows. */
    ER_CHECK_INT(er_answer_begin(&at.answer, 1, ERAI_VERDICT_REJECT), ERAI_OK);
    er_answer_find(&at.answer, ERAI_VERDICT_REJECT, (erai_reason){.row = -1, .code = ERAI_REASON_SHAPE});
    ER_CHECK_INT(er_recurrent_give(at.states, &at.answer), ERAI_OK);
    ER_CHECK(memcmp(give(&at, ROWS), at.next, sizeof at.next) == 0);
    fixture_close(&at);
}

static void a_reset_begins_anew(void) {
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    er_recurrent_reset(at.states);
    const float *state = give(&at, ROWS);
    for (int i = 0; i < ELEMENTS; i++) ER_CHECK(state[i] == 0);
    fixture_close(&at);
}

static void another_number_of_rows_costs_the_states_only_when_it_ran(void) {
    static const float first[2 * LAYERS * WIDTH] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const int64_t two_rows[] = {2, LAYERS, WIDTH};
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    ER_CHECK_INT(at.counts[ER_COUNT_DECISIONS + ERAI_COUNT_STATE_RESETS], 0); /* there was nothing to forget */
    for (int i = 0; i < 3; i++) {
        static const float zeros[2 * LAYERS * WIDTH];
        ER_CHECK(memcmp(give(&at, 2), zeros, sizeof zeros) == 0);
        if (i == 0) er_recurrent_take(at.states, &at.answer); /* nothing ran */
        if (i == 1) {                                         /* nothing good came of it */
            reject(&at, -1);
            take(&at, first, ERAI_DTYPE_FLOAT32, two_rows);
        }
        if (i == 2) {
            reject(&at, 1);
            take(&at, first, ERAI_DTYPE_FLOAT32, two_rows);
        }
        ER_CHECK_INT(at.counts[ER_COUNT_DECISIONS + ERAI_COUNT_STATE_RESETS], i == 2);
        if (i < 2) ER_CHECK(memcmp(give(&at, ROWS), at.next, sizeof at.next) == 0);
    }
    static const float expected[2 * LAYERS * WIDTH] = {1, 2, 3, 4};
    ER_CHECK(memcmp(give(&at, 2), expected, sizeof expected) == 0);
    const float *state = give(&at, ROWS);
    for (int i = 0; i < ELEMENTS; i++) ER_CHECK(state[i] == 0);
    fixture_close(&at);
}

static void a_batch_without_a_row_has_states_without_a_row_and_changes_none(void) {
    static const int64_t no_rows[] = {0, LAYERS, WIDTH};
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    ER_CHECK(give(&at, 0) != NULL);
    ER_CHECK(at.given[1].rank == 3 && at.given[1].shape[0] == 0);
    take(&at, at.next, ERAI_DTYPE_FLOAT32, no_rows);
    ER_CHECK(memcmp(give(&at, ROWS), at.next, sizeof at.next) == 0);
    ER_CHECK_INT(at.counts[ER_COUNT_DECISIONS + ERAI_COUNT_STATE_RESETS], 0);
    fixture_close(&at);
}

static void a_row_that_is_only_held_was_good_and_advances(void) {
    const erai_reason held = {.row = -1, .code = ERAI_REASON_HELD};
    fixture at;
    fixture_open(&at, ERAI_DTYPE_FLOAT32, 0, outer_rows);
    give(&at, ROWS);
    reject(&at, 0);
    er_answer_find(&at.answer, ERAI_VERDICT_REJECT, held); /* the first one is held for its fault too */
    take(&at, at.next, ERAI_DTYPE_FLOAT32, outer_shape);
    static const float expected[ELEMENTS] = {0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12};
    ER_CHECK(memcmp(give(&at, ROWS), expected, sizeof expected) == 0);
    fixture_close(&at);
    static const int64_t whole[] = {1, 2, 2};
    static const float one[] = {1, 2, 3, 4};
    fixture_open(&at, ERAI_DTYPE_FLOAT32, -1, whole);
    give(&at, ROWS);
    er_answer_find(&at.answer, ERAI_VERDICT_REJECT, held);
    take(&at, one, ERAI_DTYPE_FLOAT32, whole);
    ER_CHECK(memcmp(give(&at, ROWS), one, sizeof one) == 0);
    fixture_close(&at);
}

int main(void) {
    ER_RUN(a_state_begins_with_zeros_of_the_declared_shape);
    ER_RUN(what_an_output_gave_is_the_next_input_at_the_same_place);
    ER_RUN(a_rejected_row_keeps_its_state_wherever_rows_are_counted);
    ER_RUN(a_state_that_is_not_finite_begins_anew_and_flags_its_row);
    ER_RUN(half_precision_is_looked_at_too);
    ER_RUN(states_of_another_number_of_rows_begin_anew);
    ER_RUN(a_state_without_rows_is_taken_only_when_no_row_was_rejected);
    ER_RUN(a_next_state_of_another_shape_begins_anew_and_flags_the_call);
    ER_RUN(a_call_that_did_not_run_changes_nothing);
    ER_RUN(a_reset_begins_anew);
    ER_RUN(another_number_of_rows_costs_the_states_only_when_it_ran);
    ER_RUN(a_batch_without_a_row_has_states_without_a_row_and_changes_none);
    ER_RUN(a_row_that_is_only_held_was_good_and_advances);
    return er_test_result();
}
