/* What a session observes of a value beside what is usual at the time: slots of the day and of the week, what is
 * missing, and what is refused. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "er_test.h"
#include "test_session.h"

#define HALF (HOUR_NS / 2)
#define HOUR_NS ((int64_t)3600 * 1000000000)

enum { DAY = 24, WEEK = 168 };

static void must(int holds) {
    if (!holds) abort();
}

/* Slot h has mean h and standard deviation 2, but for slot 5, which nothing is known of. */
static double means[WEEK], scales[WEEK];

static void fill(void) {
    for (int h = 0; h < WEEK; h++) {
        means[h] = h;
        scales[h] = h == 5 ? 0 : 0.5;
    }
}

static erai_observation_rule seasons(uint32_t slots) {
    return (erai_observation_rule){.struct_size = sizeof(erai_observation_rule),
                                   .kind = ERAI_OBSERVE_SEASONAL,
                                   .slots = slots,
                                   .slot_means = means,
                                   .slot_scales = scales};
}

static erai_status observe(erai_policy *policy, const erai_observation_rule *rule, const char *name, char *detail) {
    const double edge = 0;
    const uint64_t counts[2] = {500, 500};
    const erai_feature_rule feature = {.struct_size = sizeof feature,
                                       .name = name,
                                       .low = (double)-INFINITY,
                                       .high = (double)INFINITY,
                                       .stddev = 1,
                                       .reference_rows = 1000,
                                       .edges = &edge,
                                       .counts = counts,
                                       .bins = 2};
    return erai_policy_add_observation(policy, rule, &feature, detail);
}

static void add_input(erai_policy *policy, const char *name, uint32_t dtype, uint32_t features) {
    const int64_t shape[] = {-1, features}, most[] = {16, features};
    const erai_input_rule input = {.struct_size = sizeof input,
                                   .name = name,
                                   .shape = shape,
                                   .max_shape = most,
                                   .rank = 2,
                                   .dtype = dtype,
                                   .feature_axis = 1,
                                   .sketch_stride = 1};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    for (uint32_t f = 0; f < features; f++) {
        char label[32];
        snprintf(label, sizeof label, "%s%u", name, f);
        const erai_feature_rule feature = {
            .struct_size = sizeof feature, .name = label, .low = (double)-INFINITY, .high = (double)INFINITY};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    }
}

/* Two features, of which -1 is no value of the second; and an input of text. */
static erai_policy *base_policy(void) {
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy) == ERAI_OK);
    add_input(policy, "x", ERAI_DTYPE_FLOAT32, 2);
    const double absent = -1;
    test_add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_MISSING,
                                             .low = (double)-INFINITY,
                                             .high = (double)INFINITY,
                                             .limit = (double)NAN,
                                             .values = &absent,
                                             .count = 1});
    add_input(policy, "text", ERAI_DTYPE_STRING, 1);
    test_add_output(policy, "y", (erai_output_rule){.rank = 2, .shape = (int64_t[]){-1, 1}});
    return policy;
}

/* What is observed of each of three rows at a time. */
static const double *seen_at(erai_session *session, erai_answer *answer, const float *x) {
    const int64_t shape[] = {3, 2}, one[] = {3, 1};
    const float y[] = {0, 0, 0};
    const erai_string text[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    const erai_tensor inputs[] = {{.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                                  {.data = text, .shape = one, .rank = 2, .dtype = ERAI_DTYPE_STRING}};
    const erai_tensor output = {.data = y, .shape = one, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted = 0;
    const double *values = NULL;
    must(erai_admit(session, inputs, 2, answer, &admitted) == ERAI_OK && admitted == 3);
    must(erai_judge(session, &output, 1, answer) == ERAI_OK);
    must(erai_answer_observed(answer, &values) == 2);
    return values;
}

static void a_value_is_held_against_the_slot_that_the_clock_is_in(void) {
    erai_clock clock = {0};
    erai_policy *policy = base_policy();
    erai_observation_rule day = seasons(DAY), week = seasons(WEEK);
    week.element = 1;
    must(!observe(policy, &day, "of the day", NULL) && !observe(policy, &week, "of the week", NULL));
    erai_session *session = test_session(policy, &clock);
    erai_answer *answer = test_answer(session);
    const float x[] = {10, 10, NAN, 7, 7, -1};
    static const struct {
        int64_t unix_ns;
        int day, week;
    } times[] = {{HALF, 0, 0},
                 {HOUR_NS + HALF, 1, 1},
                 {100 * HOUR_NS + HALF, 4, 100},
                 {1000000 * HOUR_NS + HALF, 1000000 % DAY, 1000000 % WEEK},
                 {-HALF, 23, 167},
                 {-HOUR_NS - HALF, 22, 166}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        clock.unix_ns = times[i].unix_ns;
        const double *values = seen_at(session, answer, x), d = times[i].day, w = times[i].week;
        const double expected[] = {(10 - d) / 2, (10 - w) / 2, (double)NAN, (7 - w) / 2, (7 - d) / 2, (double)NAN};
        for (size_t k = 0; k < 6; k++)
            if (isnan(expected[k]) ? !isnan(values[k]) : values[k] != expected[k])
                ER_FAILED("time %zu: value %zu is %g, expected %g", i, k, values[k], expected[k]);
    }
    clock.unix_ns = 5 * HOUR_NS + HALF; /* of which nothing is known */
    const double *values = seen_at(session, answer, x);
    for (size_t k = 0; k < 6; k++) ER_CHECK(isnan(values[k]));
    clock.unix_ns = (24 + 5) * HOUR_NS + HALF; /* of an hour of the day, and not of the week */
    values = seen_at(session, answer, x);
    ER_CHECK(isnan(values[0]) && values[1] == (10 - 29) / 2.0);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void what_is_usual_runs_on_a_line_from_the_middle_of_an_hour_to_the_next(void) {
    erai_clock clock = {0};
    erai_policy *policy = base_policy();
    erai_observation_rule day = seasons(DAY), other = seasons(DAY);
    other.element = 1;
    must(!observe(policy, &day, "of the day", NULL) && !observe(policy, &other, "of the other", NULL));
    erai_session *session = test_session(policy, &clock);
    erai_answer *answer = test_answer(session);
    const float x[] = {10, 10, 10, 10, 10, 10};
    static const struct {
        int64_t unix_ns;
        double usual;
    } times[] = {{2 * HOUR_NS, 1.5},
                 {2 * HOUR_NS + HOUR_NS / 4, 1.75},
                 {2 * HOUR_NS + 3 * HOUR_NS / 4, 2.25},
                 {0, 11.5}, /* from 23 to 0 */
                 {-HOUR_NS / 4, 17.25},
                 {5 * HOUR_NS - 1, 4}, /* nothing is known of the next */
                 {6 * HOUR_NS, 6}};    /* of the one before */
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        clock.unix_ns = times[i].unix_ns;
        ER_CHECK(fabs(seen_at(session, answer, x)[0] - (10 - times[i].usual) / 2) < 1e-9);
    }
    erai_answer_close(answer);
    erai_session_close(session);
}

static void slots_are_read_back_as_they_were_written(void) {
    erai_policy *policy = base_policy();
    const erai_observation_rule week = seasons(WEEK);
    static uint8_t bytes[16384];
    size_t size = 0;
    must(!observe(policy, &week, "of the week", NULL) && !erai_policy_write(policy, bytes, sizeof bytes, &size, NULL));
    erai_policy_close(policy);
    erai_guard *guard = NULL;
    erai_observation_rule found = {.struct_size = sizeof found};
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    must(erai_guard_observation(guard, 0, &found) == ERAI_OK);
    ER_CHECK_INT(found.slots, WEEK);
    ER_CHECK(memcmp(found.slot_means, means, sizeof means) == 0 &&
             memcmp(found.slot_scales, scales, sizeof scales) == 0);
    erai_guard_close(guard);
}

static void slots_that_cannot_be_are_refused(void) {
    static double spoiled[2][WEEK];
    spoiled[0][3] = (double)NAN;
    spoiled[1][3] = -1;
    erai_observation_rule cases[8];
    static const char *const says[8] = {"12 slots", "0 slots",  "finite mean", "scale of 0",
                                        "24 slots", "24 slots", "a season a",  "a season a"};
    for (size_t i = 0; i < 8; i++) cases[i] = seasons(DAY);
    cases[0].slots = 12;
    cases[1].slots = 0;
    cases[2].slot_means = spoiled[0];
    cases[3].slot_scales = spoiled[1];
    cases[4].slot_scales = NULL;
    cases[5].kind = ERAI_OBSERVE_MEAN;
    cases[6].index = 1;   /* of text */
    cases[7].element = 2; /* there are two */
    for (size_t i = 0; i < 8; i++) {
        char detail[ERAI_DETAIL_SIZE] = "";
        static uint8_t bytes[16384];
        size_t size = 0;
        erai_policy *policy = base_policy();
        erai_status status = observe(policy, &cases[i], "seasonal", detail);
        if (!status) status = erai_policy_write(policy, bytes, sizeof bytes, &size, detail);
        ER_CHECK_INT(status, ERAI_E_POLICY);
        ER_CHECK_CONTAINS(detail, says[i]);
        erai_policy_close(policy);
    }
}

int main(void) {
    fill();
    ER_RUN(a_value_is_held_against_the_slot_that_the_clock_is_in);
    ER_RUN(what_is_usual_runs_on_a_line_from_the_middle_of_an_hour_to_the_next);
    ER_RUN(slots_are_read_back_as_they_were_written);
    ER_RUN(slots_that_cannot_be_are_refused);
    return er_test_result();
}
