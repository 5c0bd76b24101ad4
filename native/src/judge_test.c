/* What is wrong with an output, and which rows it concerns. SPDX-License-Identifier: Apache-2.0 */
#include "er_test.h"
#include "session.h"
#include "test_session.h"
#include "values.h"

#include <math.h>
#include <stdlib.h>

static const float zeros[8];
static const int64_t three_wide[] = {-1, 3};

static erai_check_rule check(uint32_t kind, double low, double high) {
    return (erai_check_rule){.kind = kind, .verdict = ERAI_VERDICT_REJECT, .low = low, .high = high};
}

static erai_session *open_session(erai_output_rule output, const erai_check_rule *checks, size_t count) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y", output);
    for (size_t i = 0; i < count; i++) test_add_check(policy, checks[i]);
    return test_session(policy, NULL);
}

/* The only reason that an answer has, or one of code 99. */
static erai_reason only_reason(const erai_answer *answer) {
    const erai_reason *first;
    size_t count = erai_answer_reasons(answer, &first);
    ER_CHECK_INT(count, 1);
    return count == 1 ? *first : (erai_reason){.code = 99};
}

/* The reason that one row of three values gets from one check. */
static erai_reason judged(erai_check_rule rule, uint32_t flags, float a, float b, float c) {
    erai_session *session = open_session((erai_output_rule){.shape = three_wide, .rank = 2, .flags = flags}, &rule, 1);
    erai_answer *answer = test_answer(session);
    const float y[] = {a, b, c};
    test_call_floats(session, answer, zeros, 1, y, 3);
    const erai_reason *first;
    erai_reason reason = {.code = 99};
    if (erai_answer_reasons(answer, &first)) reason = first[erai_answer_reasons(answer, &first) - 1];
    erai_answer_close(answer);
    erai_session_close(session);
    return reason;
}

static int near(double value, double expected) {
    return fabs(value - expected) < 1e-6;
}

#define PASSES(...) ER_CHECK_INT(judged(__VA_ARGS__).code, 99)
#define FAILS(expected_code, expected_value, expected_limit, expected_element, ...)             \
    do {                                                                                        \
        erai_reason er_reason = judged(__VA_ARGS__);                                            \
        ER_CHECK_INT(er_reason.code, expected_code);                                            \
        ER_CHECK(near(er_reason.value, expected_value) && er_reason.limit == (expected_limit)); \
        ER_CHECK(er_reason.row == 0 && er_reason.element == (expected_element));                \
    } while (0)

static void each_value_is_held_to_its_range_bounds_included(void) {
    erai_check_rule range = check(ERAI_CHECK_RANGE, 0, 0.1);
    PASSES(range, 0, 0, 0.1f, 0.05f); /* held to in float32, where 0.1f is the limit */
    FAILS(ERAI_REASON_OUTPUT_RANGE, 0.2, 0.1, 1, range, 0, 0, 0.2f, 0.3f);
    FAILS(ERAI_REASON_OUTPUT_RANGE, -1, 0, 2, range, 0, 0, 0, -1);
    erai_check_rule least = check(ERAI_CHECK_RANGE, 5, INFINITY);
    FAILS(ERAI_REASON_OUTPUT_RANGE, 4, 5, 0, least, 0, 4, 5, 6);
}

/* Expected values by numpy: p = exp(x - 4) / exp(x - 4).sum(), -(p * log(p)).sum(), of x = 1, 2, 4. */
static void shares_are_judged_by_their_sum_confidence_margin_and_entropy(void) {
    FAILS(ERAI_REASON_OUTPUT_SUM, 0.9, 0.99, 0, check(ERAI_CHECK_SUM, 0.99, 1.01), 0, 0.2f, 0.3f, 0.4f);
    FAILS(ERAI_REASON_OUTPUT_SUM, 1.2, 1.01, 0, check(ERAI_CHECK_SUM, 0.99, 1.01), 0, 0.4f, 0.4f, 0.4f);
    PASSES(check(ERAI_CHECK_SUM, 0.99, 1.01), 0, 0.2f, 0.3f, 0.5f);
    FAILS(ERAI_REASON_CONFIDENCE, 0.5, 0.6, 0, check(ERAI_CHECK_CONFIDENCE, 0.6, INFINITY), 0, 0.2f, 0.3f, 0.5f);
    PASSES(check(ERAI_CHECK_CONFIDENCE, 0.5, INFINITY), 0, 0.2f, 0.3f, 0.5f);
    FAILS(ERAI_REASON_MARGIN, 0.2, 0.3, 0, check(ERAI_CHECK_MARGIN, 0.3, INFINITY), 0, 0.2f, 0.5f, 0.3f);
    FAILS(ERAI_REASON_MARGIN, 0, 0.3, 0, check(ERAI_CHECK_MARGIN, 0.3, INFINITY), 0, 0.5f, 0.5f, 0);
    FAILS(ERAI_REASON_ENTROPY, 1.0986123, 1, 0, check(ERAI_CHECK_ENTROPY, -INFINITY, 1), 0, 1 / 3.f, 1 / 3.f, 1 / 3.f);
    PASSES(check(ERAI_CHECK_ENTROPY, -INFINITY, 0), 0, 0, 1, 0);
    uint32_t logits = ERAI_RULE_LOGITS;
    FAILS(ERAI_REASON_CONFIDENCE, 0.8437947, 0.9, 0, check(ERAI_CHECK_CONFIDENCE, 0.9, INFINITY), logits, 1, 2, 4);
    FAILS(ERAI_REASON_MARGIN, 0.7295997, 0.9, 0, check(ERAI_CHECK_MARGIN, 0.9, INFINITY), logits, 2, 4, 1);
    FAILS(ERAI_REASON_ENTROPY, 0.5242666, 0.1, 0, check(ERAI_CHECK_ENTROPY, -INFINITY, 0.1), logits, 4, 1, 2);
    /* Great scores overflow nothing, and a class that is impossible has no part: it is not finite, and that is all. */
    ER_CHECK_INT(judged(check(ERAI_CHECK_ENTROPY, -INFINITY, 1), logits, 1, 1, -INFINITY).code,
                 ERAI_REASON_OUTPUT_NOT_FINITE);
    PASSES(check(ERAI_CHECK_CONFIDENCE, 0.999, INFINITY), logits, 3e38f, -3e38f, 0);
    FAILS(ERAI_REASON_ENTROPY, log(2), 0.1, 0, check(ERAI_CHECK_ENTROPY, -INFINITY, 0.1), logits, 3e38f, 3e38f, 0);
}

static void a_single_score_is_a_share_and_its_complement(void) {
    static const int64_t one_wide[] = {-1, 1}, flat[] = {-1};
    for (int is_flat = 0; is_flat < 2; is_flat++)
        for (int logits = 0; logits < 2; logits++) {
            const erai_check_rule checks[] = {
                check(ERAI_CHECK_CONFIDENCE, 0.9, INFINITY), check(ERAI_CHECK_MARGIN, 0.8, INFINITY),
                check(ERAI_CHECK_ENTROPY, -INFINITY, 0.4), check(ERAI_CHECK_SUM, -100, 100)};
            erai_session *session = open_session((erai_output_rule){.shape = is_flat ? flat : one_wide,
                                                                    .rank = is_flat ? 1 : 2,
                                                                    .flags = logits ? ERAI_RULE_LOGITS : 0},
                                                 checks, logits ? 3 : 4); /* scores have no sum */
            erai_answer *answer = test_answer(session);
            const float shares[] = {0.05f, 0.95f, 0.3f}, scores[] = {-2.9444390f, 2.9444390f, -0.8472979f};
            int64_t shape[] = {3, 1};
            erai_tensor output = {
                .data = logits ? scores : shares, .shape = shape, .rank = is_flat ? 1 : 2, .dtype = ERAI_DTYPE_FLOAT32};
            test_call(session, answer, zeros, 3, &output, 1);
            const erai_reason *reasons;
            ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 3);
            ER_CHECK(reasons[0].code == ERAI_REASON_CONFIDENCE && near(reasons[0].value, 0.7) && reasons[0].row == 2);
            ER_CHECK(reasons[1].code == ERAI_REASON_MARGIN && near(reasons[1].value, 0.4));
            ER_CHECK(reasons[2].code == ERAI_REASON_ENTROPY && near(reasons[2].value, 0.6108643));
            erai_answer_close(answer);
            erai_session_close(session);
        }
}

static void nan_passes_no_check(void) {
    static const uint32_t kinds[] = {ERAI_CHECK_RANGE, ERAI_CHECK_SUM, ERAI_CHECK_CONFIDENCE, ERAI_CHECK_MARGIN,
                                     ERAI_CHECK_ENTROPY};
    for (size_t i = 0; i < 5; i++)
        for (uint32_t flags = 0; flags <= (kinds[i] == ERAI_CHECK_SUM ? 0 : ERAI_RULE_LOGITS);
             flags += ERAI_RULE_LOGITS)
            for (int place = 0; place < 3; place++) {
                float y[] = {0.2f, 0.3f, 0.5f};
                y[place] = NAN;
                erai_reason reason = judged(check(kinds[i], -1e9, 1e9), flags, y[0], y[1], y[2]);
                ER_CHECK_INT(reason.code, ERAI_REASON_OUTPUT_RANGE + i);
                ER_CHECK(isnan(reason.value));
            }
}

static void every_position_is_judged_and_the_first_bad_one_named(void) {
    static const int64_t shape[] = {-1, 2, 2};
    erai_check_rule rules[] = {check(ERAI_CHECK_SUM, 0.99, 1.01), check(ERAI_CHECK_CONFIDENCE, 0.6, INFINITY)};
    rules[1].verdict = ERAI_VERDICT_FLAG;
    erai_session *session = open_session((erai_output_rule){.shape = shape, .rank = 3}, rules, 2);
    erai_answer *answer = test_answer(session);
    const float y[] = {0.9f, 0.1f, 0.7f, 0.3f, /* */ 0.5f, 0.5f, 0.5f, 0.5f, /* */ 0.5f, 0.5f, 0.9f, 0.4f};
    int64_t extents[] = {3, 2, 2};
    erai_tensor output = {.data = y, .shape = extents, .rank = 3, .dtype = ERAI_DTYPE_FLOAT32};
    test_call(session, answer, zeros, 3, &output, 1);
    const erai_reason *reasons;
    const uint8_t *verdicts;
    erai_answer_rows(answer, &verdicts, NULL);
    ER_CHECK(verdicts[0] == ERAI_VERDICT_ACCEPT && verdicts[1] == ERAI_VERDICT_FLAG &&
             verdicts[2] == ERAI_VERDICT_REJECT);
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 3);
    ER_CHECK(reasons[0].row == 1 && reasons[0].code == ERAI_REASON_CONFIDENCE && reasons[0].element == 0);
    ER_CHECK(reasons[1].row == 2 && reasons[1].code == ERAI_REASON_CONFIDENCE && reasons[1].element == 0);
    ER_CHECK(reasons[2].row == 2 && reasons[2].code == ERAI_REASON_OUTPUT_SUM && reasons[2].element == 2);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void rows_rejected_at_the_input_are_not_judged_and_all_outputs_of_the_others_are(void) {
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "p", (erai_output_rule){.shape = three_wide, .rank = 2});
    test_add_output(policy, "q", (erai_output_rule){.shape = three_wide, .rank = 2});
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float x[] = {NAN, 0}, y[] = {NAN, 0, 0, 0, 0, INFINITY};
    int64_t shape[] = {2, 3};
    erai_tensor output = {.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_tensor both[] = {output, output};
    test_call(session, answer, x, 2, both, 2);
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 3);
    ER_CHECK(reasons[0].code == ERAI_REASON_NOT_FINITE && reasons[0].row == 0);
    for (int i = 1; i < 3; i++) {
        ER_CHECK(reasons[i].code == ERAI_REASON_OUTPUT_NOT_FINITE && reasons[i].row == 1 && reasons[i].element == 2);
        ER_CHECK_STR(reasons[i].subject, i == 1 ? "p" : "q");
    }
    erai_answer_close(answer);
    erai_session_close(session);
}

/* Beside a rejected row every check is made, alone what is fine is seen at a glance. The rows of an output of one
 * column and of three, made of values at and around each limit, one check after another added. */
static void a_row_seen_at_a_glance_is_judged_like_one_looked_at_closely(void) {
    static const float values[] = {0,    0.1f, 0.3f,   0.33333334f, 0.4f,     0.5f, 0.6f,
                                   0.7f, 1,    -1e-9f, 1.0000001f,  INFINITY, NAN};
    enum { VALUES = sizeof values / sizeof *values };
    const erai_check_rule checks[] = {check(ERAI_CHECK_RANGE, 0.1, 0.7), check(ERAI_CHECK_SUM, 0.9, 1.1),
                                      check(ERAI_CHECK_CONFIDENCE, 0.5, INFINITY),
                                      check(ERAI_CHECK_MARGIN, 0.1, INFINITY), check(ERAI_CHECK_ENTROPY, -INFINITY, 1)};
    int passed = 0, failed = 0;
    for (size_t count = 0; count <= sizeof checks / sizeof *checks; count++)
        for (int64_t width = 1; width <= 3; width += 2) {
            const int64_t shape[] = {-1, width};
            erai_output_rule output = {.shape = shape, .rank = 2, .flags = ERAI_RULE_SHAPE};
            erai_session *session = open_session(output, checks, count);
            erai_answer *answer = test_answer(session);
            for (int i = 0; i < VALUES * VALUES * VALUES; i++) {
                const float three[] = {values[i % VALUES], values[i / VALUES % VALUES], values[i / VALUES / VALUES]};
                float y[6] = {0};
                memcpy(y, three, (size_t)width * sizeof *y);
                test_call_floats(session, answer, zeros, 1, y, (size_t)width);
                erai_verdict alone = erai_answer_verdict(answer);
                size_t reasons = erai_answer_reasons(answer, NULL);
                const uint8_t *verdicts;
                test_call_floats(session, answer, (const float[]){0, NAN}, 2, y, (size_t)width);
                erai_answer_rows(answer, &verdicts, NULL);
                ER_CHECK_INT(alone, verdicts[0]);
                ER_CHECK_INT(reasons + 1, erai_answer_reasons(answer, NULL));
                *(alone == ERAI_VERDICT_ACCEPT ? &passed : &failed) += 1;
            }
            erai_answer_close(answer);
            erai_session_close(session);
        }
    ER_CHECK(passed > 1000 && failed > 1000);
}

/* float16: 1, infinity, NaN, the greatest number; bfloat16 likewise. */
static void halves_are_read_as_the_numbers_they_are(void) {
    static const int64_t shape[] = {-1, 2};
    static const uint16_t halves[2][8] = {{0x3c00, 0x7bff, 0x7c00, 0, 0, 0x7e01, 0xfbff, 0},
                                          {0x3f80, 0x7f7f, 0x7f80, 0, 0, 0x7fc1, 0xff7f, 0}};
    for (int i = 0; i < 2; i++) {
        uint32_t dtype = i ? ERAI_DTYPE_BFLOAT16 : ERAI_DTYPE_FLOAT16;
        erai_check_rule range = check(ERAI_CHECK_RANGE, -1, INFINITY);
        erai_session *session = open_session((erai_output_rule){.shape = shape, .rank = 2, .dtype = dtype}, &range, 1);
        erai_answer *answer = test_answer(session);
        int64_t extents[] = {4, 2};
        erai_tensor output = {.data = halves[i], .shape = extents, .rank = 2, .dtype = dtype};
        test_call(session, answer, zeros, 4, &output, 1);
        const uint8_t *verdicts;
        erai_answer_rows(answer, &verdicts, NULL);
        ER_CHECK(memcmp(verdicts, (uint8_t[]){0, 2, 2, 2}, 4) == 0);
        const erai_reason *reasons;
        ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 4); /* NaN is out of any range too */
        ER_CHECK(reasons[0].code == ERAI_REASON_OUTPUT_NOT_FINITE && isinf(reasons[0].value) &&
                 reasons[0].element == 0);
        ER_CHECK(reasons[1].code == ERAI_REASON_OUTPUT_NOT_FINITE && isnan(reasons[1].value) &&
                 reasons[1].element == 1);
        ER_CHECK(reasons[3].code == ERAI_REASON_OUTPUT_RANGE && reasons[3].value < -65000 && reasons[3].row == 3);
        erai_tensor given;
        ER_CHECK_INT(erai_answer_output(answer, 0, &given), ERAI_OK);
        const uint16_t *bits = given.data; /* what nobody answered is NaN, unless it says by itself that it is none */
        ER_CHECK(bits[0] == halves[i][0] && bits[2] == halves[i][2] && bits[3] == halves[i][3]);
        ER_CHECK((bits[4] & 0x7fff) > halves[i][2] && (bits[7] & 0x7fff) > halves[i][2]);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void a_value_that_is_not_finite_is_found_wherever_it_stands(void) {
    enum { WIDTH = 37 };
    static const int64_t shape[] = {-1, WIDTH};
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64, ERAI_DTYPE_FLOAT16, ERAI_DTYPE_BFLOAT16};
    for (size_t i = 0; i < 4; i++) {
        erai_session *session =
            open_session((erai_output_rule){.shape = shape, .rank = 2, .dtype = dtypes[i]}, NULL, 0);
        erai_answer *answer = test_answer(session);
        for (size_t place = 0; place < 2 * WIDTH; place++) {
            double memory[2 * WIDTH] = {0}; /* room for each type */
            er_write(memory, dtypes[i], place, place % 2 ? (double)NAN : (double)-INFINITY);
            int64_t extents[] = {2, WIDTH};
            erai_tensor output = {.data = memory, .shape = extents, .rank = 2, .dtype = dtypes[i]};
            test_call(session, answer, zeros, 2, &output, 1);
            erai_reason reason = only_reason(answer);
            ER_CHECK(reason.code == ERAI_REASON_OUTPUT_NOT_FINITE && !isfinite(reason.value));
            ER_CHECK(reason.row == (int64_t)(place / WIDTH) && reason.element == place % WIDTH);
        }
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void integers_have_ranges_too(void) {
    static const int64_t shape[] = {-1};
    static const int64_t values[] = {0, 9, 10, -1, INT64_MAX};
    erai_check_rule range = check(ERAI_CHECK_RANGE, 0, 9);
    erai_session *session =
        open_session((erai_output_rule){.shape = shape, .rank = 1, .dtype = ERAI_DTYPE_INT64}, &range, 1);
    erai_answer *answer = test_answer(session);
    int64_t extents[] = {5};
    erai_tensor output = {.data = values, .shape = extents, .rank = 1, .dtype = ERAI_DTYPE_INT64}, given;
    test_call(session, answer, zeros, 5, &output, 1);
    const uint8_t *verdicts;
    erai_answer_rows(answer, &verdicts, NULL);
    ER_CHECK(memcmp(verdicts, (uint8_t[]){0, 0, 2, 2, 2}, 5) == 0);
    ER_CHECK_INT(erai_answer_output(answer, 0, &given), ERAI_OK);
    ER_CHECK(memcmp(given.data, (int64_t[]){0, 9, -1, -1, -1}, 40) == 0); /* no class */
    erai_answer_close(answer);
    erai_session_close(session);
}

static void in_a_policy_without_rows_a_finding_is_of_the_whole_call(void) {
    static const int64_t shape[] = {3};
    erai_policy *policy = test_policy(0);
    test_add_output(policy, "y", (erai_output_rule){.shape = shape, .rank = 1, .flags = ERAI_RULE_SHAPE});
    test_add_check(policy, check(ERAI_CHECK_CONFIDENCE, 0.6, INFINITY));
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = test_answer(session);
    const float y[] = {0.3f, 0.3f, 0.4f, 0};
    int64_t extents[] = {3};
    erai_tensor output = {.data = y, .shape = extents, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    test_call(session, answer, zeros, 1, &output, 1);
    erai_reason reason = only_reason(answer);
    ER_CHECK(reason.code == ERAI_REASON_CONFIDENCE && reason.row == -1 && near(reason.value, 0.4));
    extents[0] = 4;
    test_call(session, answer, zeros, 1, &output, 1);
    reason = only_reason(answer);
    ER_CHECK(reason.code == ERAI_REASON_OUTPUT_SHAPE && reason.row == -1 && reason.value == 4 && reason.limit == 3);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void an_output_without_rows_that_saw_a_bad_row_is_nobodys(void) {
    erai_session *session = open_session((erai_output_rule){.shape = three_wide, .rank = 2}, NULL, 0);
    erai_answer *answer = test_answer(session);
    const float x[] = {0, NAN}, y[] = {1, 1, 1};
    int64_t shape[] = {1, 3};
    erai_tensor output = {.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    test_call(session, answer, x, 2, &output, 1);
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 2);
    ER_CHECK(reasons[1].code == ERAI_REASON_ROWS_DEPEND && reasons[1].row == -1);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* ---- Outputs that are no tensors, made as ort.c makes them ---- */

/* A sequence of one map a row: of two labels to these values. */
static void nest_rows(er_buffer *buffer, const float *values, size_t rows) {
    static int64_t two = 2;
    static const int64_t labels[] = {7, 8};
    er_nest_clear(&buffer->nest);
    erai_value *items = er_nest_keep(&buffer->nest, rows, sizeof *items);
    for (size_t row = 0; row < rows; row++) {
        erai_value *parts = er_nest_keep(&buffer->nest, 2, sizeof *parts);
        void *keys = er_nest_keep(&buffer->nest, 2, sizeof *labels);
        void *shares = er_nest_keep(&buffer->nest, 2, sizeof *values);
        memcpy(keys, labels, sizeof labels);
        memcpy(shares, values + 2 * row, 2 * sizeof *values);
        parts[0] = (erai_value){.kind = ERAI_VALUE_TENSOR, .tensor = {keys, &two, 1, ERAI_DTYPE_INT64}};
        parts[1] = (erai_value){.kind = ERAI_VALUE_TENSOR, .tensor = {shares, &two, 1, ERAI_DTYPE_FLOAT32}};
        items[row] = (erai_value){.kind = ERAI_VALUE_MAP, .count = 2, .items = parts};
    }
    buffer->nest.root = (erai_value){.kind = ERAI_VALUE_SEQUENCE, .count = rows, .items = items};
}

static void a_sequence_of_one_item_a_row_is_judged_and_replaced_row_by_row(void) {
    erai_session *session = open_session((erai_output_rule){.flags = ERAI_RULE_NO_TENSOR}, NULL, 0);
    erai_answer *answer = test_answer(session);
    const float values[] = {0.1f, 0.9f, 0.5f, NAN, 0.8f, 0.2f};
    for (size_t rows = 3; rows >= 2; rows--) { /* with 2 rows the sequence is not one of rows */
        ER_CHECK_INT(er_answer_begin(answer, rows, ERAI_VERDICT_ACCEPT), ERAI_OK);
        nest_rows(&answer->outputs[0], values, 3);
        answer->ran = 1;
        ER_CHECK_INT(er_by_row(answer, &answer->outputs[0]), rows == 3);
        er_judge(answer);
        erai_reason reason = only_reason(answer);
        ER_CHECK_INT(reason.code, ERAI_REASON_OUTPUT_NOT_FINITE);
        ER_CHECK_INT(reason.row, rows == 3 ? 1 : -1);
        ER_CHECK_INT(reason.element, rows == 3 ? 1 : 3);
        ER_CHECK_INT(er_decide(answer, 0, 0), ERAI_OK);
        const erai_value *items = answer->outputs[0].nest.root.items;
        for (size_t row = 0; row < 3; row++) {
            const int64_t *keys = items[row].items[0].tensor.data;
            const float *shares = items[row].items[1].tensor.data;
            int replaced = row == 1 || rows == 2;
            ER_CHECK(keys[0] == 7 && keys[1] == 8);
            ER_CHECK(replaced ? isnan(shares[0]) && isnan(shares[1]) : shares[0] == values[2 * row]);
        }
    }
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_model_of_sequences_that_did_not_run_gives_an_empty_one(void) {
    erai_session *session = open_session((erai_output_rule){.flags = ERAI_RULE_NO_TENSOR}, NULL, 0);
    erai_answer *answer = test_answer(session);
    nest_rows(&answer->outputs[0], (float[]){1, 2}, 1);
    const float nan = NAN;
    ER_CHECK_INT(test_call(session, answer, &nan, 1, NULL, 0), 0);
    erai_value value;
    erai_tensor tensor;
    ER_CHECK_INT(erai_answer_value(answer, 0, &value), ERAI_OK);
    ER_CHECK(value.kind == ERAI_VALUE_SEQUENCE && value.count == 0);
    ER_CHECK_INT(erai_answer_output(answer, 0, &tensor), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_NONE);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void the_fallback_models_rows_pass_the_same_checks_without_reasons(void) {
    erai_check_rule rules[] = {check(ERAI_CHECK_SUM, 0.99, 1.01), check(ERAI_CHECK_CONFIDENCE, 0.6, INFINITY)};
    rules[1].verdict = ERAI_VERDICT_FLAG;
    erai_session *session =
        open_session((erai_output_rule){.shape = three_wide, .rank = 2, .flags = ERAI_RULE_SHAPE}, rules, 2);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(er_answer_begin(answer, 4, ERAI_VERDICT_REJECT), ERAI_OK);
    const float y[] = {1, 0, 0, /* */ 0.5f, 0, 0.5f, /* */ 1, 1, 0, /* */ 1, NAN, 0};
    int64_t shape[] = {4, 3};
    erai_tensor output = {.data = y, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    ER_CHECK(er_buffer_copy(&answer->fallback_outputs[0], &output));
    ER_CHECK(er_judge_fallback(answer, 0) && er_judge_fallback(answer, 1)); /* a flag is no rejection */
    ER_CHECK(!er_judge_fallback(answer, 2) && !er_judge_fallback(answer, 3));
    ER_CHECK_INT(erai_answer_reasons(answer, NULL), 0);
    shape[0] = 2;
    shape[1] = 6;
    ER_CHECK(er_buffer_copy(&answer->fallback_outputs[0], &output) && !er_judge_fallback(answer, 0));
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(each_value_is_held_to_its_range_bounds_included);
    ER_RUN(shares_are_judged_by_their_sum_confidence_margin_and_entropy);
    ER_RUN(a_single_score_is_a_share_and_its_complement);
    ER_RUN(nan_passes_no_check);
    ER_RUN(every_position_is_judged_and_the_first_bad_one_named);
    ER_RUN(rows_rejected_at_the_input_are_not_judged_and_all_outputs_of_the_others_are);
    ER_RUN(a_row_seen_at_a_glance_is_judged_like_one_looked_at_closely);
    ER_RUN(halves_are_read_as_the_numbers_they_are);
    ER_RUN(a_value_that_is_not_finite_is_found_wherever_it_stands);
    ER_RUN(integers_have_ranges_too);
    ER_RUN(in_a_policy_without_rows_a_finding_is_of_the_whole_call);
    ER_RUN(an_output_without_rows_that_saw_a_bad_row_is_nobodys);
    ER_RUN(a_sequence_of_one_item_a_row_is_judged_and_replaced_row_by_row);
    ER_RUN(a_model_of_sequences_that_did_not_run_gives_an_empty_one);
    ER_RUN(the_fallback_models_rows_pass_the_same_checks_without_reasons);
    return er_test_result();
}
