/* A rule that is refused, or for which there is no memory, leaves the policy as it was: it writes the same program as
 * one that never saw the rule, and takes the rules that may come next. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edge_rai.h"
#include "er_test.h"

static int short_of_memory;
static size_t blocks_left;

/* Where a sanitizer has its own allocator memory does not run out, and these tests say less. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MEMORY_RUNS_OUT 1
void *__libc_realloc(void *block, size_t size);

void *realloc(void *block, size_t size) {
    if (short_of_memory && blocks_left == 0) return NULL;
    if (short_of_memory) blocks_left--;
    return __libc_realloc(block, size);
}
#else
#define MEMORY_RUNS_OUT 0
#endif

enum { LONG_TEXT = 65535, TEXTS = 4 };

/* The steps of a policy, in an order in which each is taken once. */
typedef enum step {
    ADD_INPUT,
    ADD_FEATURE,
    ADD_CHECK,
    ADD_TABLE,
    ADD_COLUMN,
    SET_DISTANCE,
    ADD_OUTPUT,
    ADD_SHARES_CHECK,
    SET_DECISION,
    ADD_FALLBACK,
    ADD_STATE_INPUT,
    ADD_STATE_FEATURE,
    ADD_STATE_OUTPUT,
    ADD_STATE,
    STEPS
} step;

static char long_text[LONG_TEXT + 2];

static erai_status add_input(erai_policy *policy, const char *name, uint32_t dtype, char *detail) {
    const int64_t shape[] = {-1, 1}, most[] = {8, 1};
    erai_input_rule rule = {.struct_size = sizeof rule,
                            .name = name,
                            .shape = shape,
                            .max_shape = most,
                            .rank = 2,
                            .dtype = dtype,
                            .feature_axis = 1,
                            .sketch_stride = 1};
    return erai_policy_add_input(policy, &rule, detail);
}

static erai_status add_feature(erai_policy *policy, const char *name, char *detail) {
    erai_feature_rule rule = {.struct_size = sizeof rule, .name = name, .low = -INFINITY, .high = INFINITY};
    return erai_policy_add_feature(policy, &rule, detail);
}

static erai_status add_output(erai_policy *policy, const char *name, int64_t extent, char *detail) {
    const int64_t shape[] = {-1, extent};
    erai_output_rule rule = {
        .struct_size = sizeof rule, .name = name, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    return erai_policy_add_output(policy, &rule, detail);
}

static erai_status add_texts(erai_policy *policy, char *detail) {
    const char *const texts[TEXTS] = {"a", "b", "c", long_text};
    erai_check_rule rule = {.struct_size = sizeof rule,
                            .kind = ERAI_CHECK_CATEGORIES,
                            .verdict = ERAI_VERDICT_REJECT,
                            .texts = texts,
                            .count = TEXTS};
    return erai_policy_add_check(policy, &rule, detail);
}

static erai_status set_distance(erai_policy *policy, char *detail) {
    static const double mean[] = {0}, scale[] = {1};
    static const float projection[64], weights[64];
    erai_distance_rule rule = {.struct_size = sizeof rule,
                               .mean = mean,
                               .scale = scale,
                               .projection = projection,
                               .weights = weights,
                               .directions = 64,
                               .verdict = ERAI_VERDICT_FLAG,
                               .threshold = 1};
    return erai_policy_set_distance(policy, &rule, detail);
}

static erai_status take(erai_policy *policy, step at, char *detail) {
    static const uint32_t chain[] = {ERAI_SOURCE_NONE};
    erai_check_rule shares = {.struct_size = sizeof shares,
                              .kind = ERAI_CHECK_CONFIDENCE,
                              .verdict = ERAI_VERDICT_FLAG,
                              .low = 0.5,
                              .high = INFINITY};
    erai_decision_rule decision = {.struct_size = sizeof decision, .deadline_ns = 7, .provider = "somebody's"};
    erai_fallback_rule fallback = {.struct_size = sizeof fallback, .reasons = 1, .chain = chain, .steps = 1};
    erai_state_rule state = {.struct_size = sizeof state, .input = "h", .output = "next h", .row_axis = 0};
    switch (at) {
    case ADD_INPUT: return add_input(policy, "words", ERAI_DTYPE_STRING, detail);
    case ADD_FEATURE: return add_feature(policy, "word", detail);
    case ADD_CHECK: return add_texts(policy, detail);
    case ADD_TABLE: return add_input(policy, "x", ERAI_DTYPE_FLOAT32, detail);
    case ADD_COLUMN: return add_feature(policy, "column", detail);
    case SET_DISTANCE: return set_distance(policy, detail);
    case ADD_OUTPUT: return add_output(policy, "y", 2, detail);
    case ADD_SHARES_CHECK: return erai_policy_add_check(policy, &shares, detail);
    case SET_DECISION: return erai_policy_set_decision(policy, &decision, detail);
    case ADD_FALLBACK: return erai_policy_add_fallback(policy, &fallback, detail);
    case ADD_STATE_INPUT: return add_input(policy, "h", ERAI_DTYPE_FLOAT32, detail);
    case ADD_STATE_FEATURE: return add_feature(policy, "h", detail);
    case ADD_STATE_OUTPUT: return add_output(policy, "next h", 1, detail);
    default: return erai_policy_add_state(policy, &state, detail);
    }
}

static uint8_t *write_program(erai_policy *policy, size_t *size) {
    char detail[ERAI_DETAIL_SIZE] = "";
    if (erai_policy_write(policy, NULL, 0, size, detail) != ERAI_E_SIZE) {
        ER_CHECK_STR(detail, "");
        return NULL;
    }
    uint8_t *bytes = malloc(*size);
    if (!bytes) abort();
    ER_CHECK_INT(erai_policy_write(policy, bytes, *size, size, detail), ERAI_OK);
    return bytes;
}

static erai_policy *open_policy(void) {
    erai_policy *policy = NULL;
    ER_CHECK_INT(erai_policy_open(1, &policy), ERAI_OK);
    return policy;
}

static void check_same_program(erai_policy *policy) {
    erai_policy *plain = open_policy();
    for (step at = 0; at < STEPS; at++) ER_CHECK_INT(take(plain, at, NULL), ERAI_OK);
    size_t size = 0, expected_size = 0;
    uint8_t *bytes = write_program(policy, &size), *expected = write_program(plain, &expected_size);
    ER_CHECK(bytes && expected && size == expected_size && memcmp(bytes, expected, size) == 0);
    free(bytes);
    free(expected);
    erai_policy_close(plain);
}

/* Takes a step without a block, then with one, and so on until it is taken: how often it was not. */
static int take_in_want(erai_policy *policy, step at) {
    char detail[ERAI_DETAIL_SIZE];
    for (size_t blocks = 0; blocks < 8; blocks++) {
        short_of_memory = 1;
        blocks_left = blocks;
        erai_status status = take(policy, at, detail);
        short_of_memory = 0;
        if (!status) return (int)blocks;
        ER_CHECK_INT(status, ERAI_E_MEMORY);
        ER_CHECK_STR(detail, "out of memory");
    }
    ER_FAILED("step %d is never taken", (int)at);
    return 0;
}

static void a_rule_without_memory_leaves_the_policy_as_it_was(void) {
    erai_policy *policy = open_policy();
    int refused = 0;
    for (step at = 0; at < STEPS; at++) refused += take_in_want(policy, at);
    ER_CHECK(refused >= 6 || !MEMORY_RUNS_OUT); /* the first block of each part, and the long text's */
    check_same_program(policy);
    erai_policy_close(policy);
}

static void a_decision_without_memory_leaves_the_one_before(void) {
    erai_policy *policy = open_policy();
    char *provider = long_text + LONG_TEXT - 1000;
    erai_decision_rule rule = {.struct_size = sizeof rule, .deadline_ns = 9, .provider = provider};
    for (step at = 0; at < STEPS; at++) ER_CHECK_INT(take(policy, at, NULL), ERAI_OK);
    short_of_memory = MEMORY_RUNS_OUT;
    for (size_t blocks = 0; MEMORY_RUNS_OUT && blocks < 2; blocks++) { /* the provider's name needs a second one */
        blocks_left = blocks;
        ER_CHECK_INT(erai_policy_set_decision(policy, &rule, NULL), ERAI_E_MEMORY);
    }
    short_of_memory = 0;
    check_same_program(policy);
    ER_CHECK_INT(erai_policy_set_decision(policy, &rule, NULL), ERAI_OK);
    size_t size = 0;
    uint8_t *bytes = write_program(policy, &size);
    erai_guard *guard = NULL;
    erai_decision_rule read = {0};
    ER_CHECK_INT(erai_guard_open(bytes, size, &guard, NULL), ERAI_OK);
    if (guard) {
        erai_guard_decision(guard, &read);
        ER_CHECK(read.deadline_ns == 9 && strcmp(read.provider, provider) == 0);
    }
    erai_guard_close(guard);
    free(bytes);
    erai_policy_close(policy);
}

static void a_text_that_is_too_long_leaves_no_half_of_its_check(void) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_policy *policy = open_policy();
    ER_CHECK_INT(take(policy, ADD_INPUT, NULL), ERAI_OK);
    ER_CHECK_INT(take(policy, ADD_FEATURE, NULL), ERAI_OK);
    long_text[LONG_TEXT] = 'x';
    ER_CHECK_INT(take(policy, ADD_CHECK, detail), ERAI_E_POLICY);
    long_text[LONG_TEXT] = '\0';
    ER_CHECK_STR(detail, "'word': category 3 has more than 65535 bytes");
    for (step at = ADD_CHECK; at < STEPS; at++) ER_CHECK_INT(take(policy, at, NULL), ERAI_OK);
    check_same_program(policy);
    erai_policy_close(policy);
}

static void a_buffer_that_is_too_small_is_told_both_sizes(void) {
    char detail[ERAI_DETAIL_SIZE] = "";
    uint8_t buffer[16];
    size_t size = 0;
    erai_policy *policy = open_policy();
    for (step at = 0; at < STEPS; at++) ER_CHECK_INT(take(policy, at, NULL), ERAI_OK);
    ER_CHECK_INT(erai_policy_write(policy, buffer, sizeof buffer, &size, detail), ERAI_E_SIZE);
    ER_CHECK(size > LONG_TEXT);
    ER_CHECK_CONTAINS(detail, "the buffer room for 16");
    erai_policy_close(policy);
}

int main(void) {
    memset(long_text, 'x', LONG_TEXT);
    ER_RUN(a_rule_without_memory_leaves_the_policy_as_it_was);
    ER_RUN(a_decision_without_memory_leaves_the_one_before);
    ER_RUN(a_text_that_is_too_long_leaves_no_half_of_its_check);
    ER_RUN(a_buffer_that_is_too_small_is_told_both_sizes);
    return er_test_result();
}
