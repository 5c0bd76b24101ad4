/* What answers have counted adds up: past 32 bits, of answers that are closed, and where memory is out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "test_allocations.h"

#include <string.h>

#include "er_test.h"
#include "session.h"
#include "test_guard.h"
#include "test_session.h"

static erai_session *open_session(const char *spool) {
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    const erai_session_config config = {.struct_size = sizeof config, .spool_path = spool};
    erai_guard *guard = test_guard_open();
    erai_session *session = NULL;
    if (erai_session_open_guard(guard, digest, &config, &session, NULL)) abort();
    erai_guard_close(guard);
    return session;
}

static erai_answer *open_answer(erai_session *session) {
    erai_answer *answer = NULL;
    if (erai_answer_open(session, &answer)) abort();
    return answer;
}

/* So many rows that all lie in the second bin of their features. */
static erai_status call(erai_session *session, erai_answer *answer, int64_t rows) {
    static const float values[8 * TEST_FEATURES], outputs[8 * 2];
    const int64_t shape[] = {rows, TEST_FEATURES}, output_shape[] = {rows, 2};
    const erai_tensor input = {.data = values, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_tensor output = {.data = outputs, .shape = output_shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted = 0;
    erai_status status = erai_admit(session, &input, 1, answer, &admitted);
    return status ? status : erai_judge(session, &output, 1, answer);
}

/* Of the first feature. */
static uint64_t counted(erai_session *session) {
    erai_snapshot *snapshot = NULL;
    erai_feature_counts counts;
    if (erai_session_snapshot(session, &snapshot, NULL) || erai_snapshot_feature(snapshot, 0, &counts)) abort();
    uint64_t count = counts.histogram[1];
    ER_CHECK_INT(counts.histogram[0] + counts.histogram[2] + counts.histogram[3] + counts.not_finite, 0);
    erai_snapshot_close(snapshot);
    return count;
}

static void counts_do_not_end_at_32_bits(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = open_answer(session);
    const uint64_t before = UINT32_MAX - 5;
    answer->tally->histogram[0][1] = (uint32_t)before;
    answer->room = 5;
    for (uint64_t rows = 4; rows <= 20; rows += 4) {
        ER_CHECK_INT(call(session, answer, 4), ERAI_OK);
        ER_CHECK(counted(session) == before + rows);
    }
    ER_CHECK(session->totals != NULL);
    erai_answer_close(answer);
    ER_CHECK(counted(session) == before + 20);
    erai_session_close(session);
}

static void a_call_whose_counts_would_not_fit_is_refused(void) {
    const int64_t shape[] = {-1, 1, -1}, most[] = {1 << 20, 1, 1 << 20}, came[] = {1 << 17, 1, 1 << 16};
    const uint8_t value = 0;
    const erai_input_rule rule = {.struct_size = sizeof rule,
                                  .name = "x",
                                  .shape = shape,
                                  .max_shape = most,
                                  .rank = 3,
                                  .dtype = ERAI_DTYPE_UINT8,
                                  .feature_axis = 1,
                                  .sketch_stride = 1};
    const erai_feature_rule feature = {.struct_size = sizeof feature, .name = "c", .low = 0, .high = 255};
    const erai_tensor input = {.data = &value, .shape = came, .rank = 3, .dtype = ERAI_DTYPE_UINT8};
    erai_policy *policy = NULL;
    size_t admitted = 0;
    if (SIZE_MAX == UINT32_MAX) return; /* where no tensor is so large */
    ER_CHECK_INT(erai_policy_open(1, &policy), ERAI_OK);
    ER_CHECK_INT(erai_policy_add_input(policy, &rule, NULL), ERAI_OK);
    ER_CHECK_INT(erai_policy_add_feature(policy, &feature, NULL), ERAI_OK);
    test_add_output(policy, "y", (erai_output_rule){.shape = shape, .rank = 2});
    erai_session *session = test_session(policy, NULL);
    erai_answer *answer = open_answer(session);
    ER_CHECK_INT(erai_admit(session, &input, 1, answer, &admitted), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "8589934592 values of a feature");
    erai_answer_close(answer);
    erai_session_close(session);
}

static void closed_answers_leave_their_counts_with_and_without_memory(void) {
    erai_session *session = open_session(NULL);
    for (uint64_t i = 0; i < 4; i++) {
        erai_answer *answer = open_answer(session);
        ER_CHECK_INT(call(session, answer, 3), ERAI_OK);
        no_memory = i != 2;
        erai_answer_close(answer);
        no_memory = 0;
        ER_CHECK(!ALLOCATIONS_COUNTED || (session->totals != NULL) == (i >= 2));
        ER_CHECK(!ALLOCATIONS_COUNTED || (session->left != NULL));
        ER_CHECK_INT(counted(session), 3 * (i + 1));
    }
    erai_session_close(session);
}

static void a_flush_without_memory_fails_and_loses_nothing(void) {
    char path[64], detail[ERAI_DETAIL_SIZE] = "";
    test_directory_make(path);
    erai_session *session = open_session(path);
    erai_answer *closed = open_answer(session), *answer = open_answer(session);
    ER_CHECK_INT(call(session, closed, 2), ERAI_OK);
    ER_CHECK_INT(call(session, answer, 3), ERAI_OK);
    no_memory = 1;
    erai_answer_close(closed);
    erai_status status = erai_session_flush(session, NULL, detail);
    no_memory = 0;
    if (ALLOCATIONS_COUNTED) {
        ER_CHECK_INT(status, ERAI_E_MEMORY);
        ER_CHECK_STR(detail, "out of memory");
        ER_CHECK_INT(counted(session), 5);
        ER_CHECK_INT(erai_session_flush(session, NULL, detail), ERAI_OK);
    }
    ER_CHECK(session->left == NULL && session->totals == NULL);
    ER_CHECK_INT(counted(session), 0);
    erai_answer_close(answer);
    erai_session_close(session);
    test_directory_remove(path);
}

static void the_state_of_a_watched_feature_is_at_most_320_bytes(void) {
    enum { FEATURES = 100 };
    er_tally *tally = er_tally_open(FEATURES);
    if (!tally) abort();
    const char *begin = (const char *)tally->histogram, *end = (const char *)(tally->not_finite + FEATURES);
    ER_CHECK_INT((size_t)(end - begin) / FEATURES, 148);
    ER_CHECK_INT((size_t)(end - begin) / FEATURES + sizeof(er_detector), 284);
    free(tally);
}

int main(void) {
    ER_RUN(the_state_of_a_watched_feature_is_at_most_320_bytes);
    ER_RUN(counts_do_not_end_at_32_bits);
    ER_RUN(a_call_whose_counts_would_not_fit_is_refused);
    ER_RUN(closed_answers_leave_their_counts_with_and_without_memory);
    ER_RUN(a_flush_without_memory_fails_and_loses_nothing);
    return er_test_result();
}
