/* The memory of checks: as many slots as a guard has use for, forgotten together, and the rows that get into them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include "er_test.h"
#include "test_checks.h"

static void slots_begin_unknown_and_are_forgotten_together(void) {
    const erai_guard guard = {.memories = 3};
    er_memory memory = {0};
    ER_CHECK(er_memory_open(&memory, &guard));
    for (uint32_t i = 0; i < guard.memories; i++) {
        ER_CHECK(!memory.slots[i].known && memory.slots[i].same == 0);
        memory.slots[i] = (er_memory_slot){.hash = 7, .same = 8, .last = 9.0, .known = 1};
    }
    er_memory_reset(&memory, &guard);
    for (uint32_t i = 0; i < guard.memories; i++)
        ER_CHECK(!memory.slots[i].known && memory.slots[i].hash == 0 && memory.slots[i].same == 0);
    er_mutex_lock(&memory.lock); /* the reset has let go of it */
    er_mutex_unlock(&memory.lock);
    er_memory_close(&memory);
    er_memory_close(&memory);
}

static void a_guard_that_remembers_nothing_has_a_memory_too(void) {
    const erai_guard guard = {.memories = 0};
    er_memory memory = {0};
    er_memory_close(&memory); /* never opened */
    ER_CHECK(er_memory_open(&memory, &guard));
    er_memory_reset(&memory, &guard);
    er_memory_close(&memory);
}

/* ---- Which rows get into it ---- */

static size_t check_int64(test_checks *rig, int64_t value) {
    const int64_t values[] = {0, value, 0};
    return test_check(rig, values);
}

static size_t check_float(test_checks *rig, float value) {
    const float values[] = {0, value, 0};
    return test_check(rig, values);
}

/* Of the only reason of the last row. */
static int found(const test_checks *rig, erai_reason_code code, double value) {
    const erai_reason *reason = rig->answer->reasons;
    return rig->answer->reason_count == 1 && reason->code == code && reason->value == value;
}

static void a_value_that_is_refused_is_not_the_value_before(void) {
    erai_check_rule rules[] = {{.kind = ERAI_CHECK_MONOTONIC},
                               {.kind = ERAI_CHECK_AGE, .low = -1, .high = 1000, .limit = 1},
                               {.kind = ERAI_CHECK_STEP, .limit = 100}};
    for (uint32_t verdict = ERAI_VERDICT_FLAG; verdict <= ERAI_VERDICT_REJECT; verdict++) {
        rules[1].verdict = verdict;
        test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_INT64, .outer = 1, .inner = 1}, rules, 2);
        rig.row.unix_ns = 1000000000000;
        ER_CHECK_INT(check_int64(&rig, 900), 0);
        ER_CHECK_INT(check_int64(&rig, 1000000), 1);
        ER_CHECK_INT(rig.answer->reasons[0].code, ERAI_REASON_AGE);
        ER_CHECK_INT(check_int64(&rig, 901), 0);
        test_checks_close(&rig);
    }
    rules[1] = rules[2];
    test_checks rig = test_checks_open((test_layout){.dtype = ERAI_DTYPE_INT64, .outer = 1, .inner = 1}, rules, 2);
    ER_CHECK_INT(check_int64(&rig, 900) + check_int64(&rig, 5000), 1);
    ER_CHECK(found(&rig, ERAI_REASON_STEP, 4100));
    ER_CHECK_INT(check_int64(&rig, 901), 1); /* the step back, and nothing else */
    ER_CHECK(found(&rig, ERAI_REASON_STEP, 4099));
    ER_CHECK_INT(check_int64(&rig, 902), 0);
    test_checks_close(&rig);
}

static void a_row_that_anything_else_rejects_is_not_the_row_before(void) {
    erai_check_rule rules[] = {
        {.kind = ERAI_CHECK_STUCK, .window = 3}, {.kind = ERAI_CHECK_STEP, .limit = 1}, {.kind = ERAI_CHECK_INTEGRAL}};
    for (uint32_t verdict = ERAI_VERDICT_FLAG; verdict <= ERAI_VERDICT_REJECT; verdict++) {
        rules[2].verdict = verdict;
        test_checks rig =
            test_checks_open((test_layout){.dtype = ERAI_DTYPE_FLOAT32, .outer = 1, .inner = 1}, rules, 3);
        ER_CHECK_INT(check_float(&rig, 4) + check_float(&rig, 4), 0);
        ER_CHECK_INT(check_float(&rig, 50.5f), 2);
        ER_CHECK_INT(check_float(&rig, 4), 1);
        if (verdict == ERAI_VERDICT_REJECT)
            ER_CHECK(found(&rig, ERAI_REASON_STUCK, 3));
        else
            ER_CHECK(found(&rig, ERAI_REASON_STEP, 46.5));
        test_checks_close(&rig);
    }
    static const double mean[] = {0, 0, 0}, scale[] = {1, 1, 1};
    erai_distance_rule distance = {
        .struct_size = sizeof distance, .mean = mean, .scale = scale, .rest = 1, .threshold = 5};
    const test_layout layout = {
        .dtype = ERAI_DTYPE_FLOAT32, .flags = ERAI_RULE_FINITE, .outer = 1, .inner = 1, .distance = &distance};
    for (distance.verdict = ERAI_VERDICT_FLAG; distance.verdict <= ERAI_VERDICT_REJECT; distance.verdict++) {
        test_checks rig = test_checks_open(layout, rules + 1, 1);
        const float near[] = {0, 0, 0}, far[] = {0, 9, 0};
        ER_CHECK_INT(test_check(&rig, near), 0);
        ER_CHECK_INT(test_check(&rig, far), 2);
        ER_CHECK_INT(test_check(&rig, near), distance.verdict == ERAI_VERDICT_FLAG);
        test_checks_close(&rig);
    }
}

int main(void) {
    ER_RUN(slots_begin_unknown_and_are_forgotten_together);
    ER_RUN(a_guard_that_remembers_nothing_has_a_memory_too);
    ER_RUN(a_value_that_is_refused_is_not_the_value_before);
    ER_RUN(a_row_that_anything_else_rejects_is_not_the_row_before);
    return er_test_result();
}
