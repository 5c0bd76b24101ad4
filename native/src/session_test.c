/* A session without a model: admit, the application's own model, judge. Models are in tests/unit/test_session.py.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "session.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "er_test.h"
#include "test_guard.h"

static const uint8_t model_digest[ERAI_DIGEST_SIZE] = {0xab};

static erai_session *open_session(const char *spool) {
    erai_guard *guard = test_guard_open();
    erai_session_config config = {.struct_size = sizeof config, .spool_path = spool};
    erai_session *session = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    ER_CHECK_INT(erai_session_open_guard(guard, model_digest, &config, &session, detail), ERAI_OK);
    ER_CHECK_STR(detail, "");
    erai_guard_close(guard); /* the session has a copy */
    if (session == NULL) abort();
    return session;
}

typedef struct call {
    int64_t shape[8];
    erai_tensor tensor;
} call;

static const erai_tensor *tensor(call *made, const void *data, uint32_t dtype, int64_t rows, int64_t columns) {
    made->shape[0] = rows;
    made->shape[1] = columns;
    made->tensor = (erai_tensor){.data = data, .shape = made->shape, .rank = 2, .dtype = dtype};
    return &made->tensor;
}

static const float clean[] = {1, 2, 3, -1, 0, 1}, bad[] = {1, 2, 3, NAN, 0, 11};
static const float outputs[] = {0.5f, 0.5f, 0.1f, 0.9f};

static void clean_rows_pass_and_outputs_are_copies(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = NULL;
    call made;
    size_t admitted = 99;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(admitted, 2);
    float given[4];
    memcpy(given, outputs, sizeof given);
    ER_CHECK_INT(erai_judge(session, tensor(&made, given, 1, 2, 2), 1, answer), ERAI_OK);
    memset(given, 0, sizeof given);
    erai_tensor output;
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(memcmp(output.data, outputs, sizeof outputs) == 0);
    ER_CHECK(output.rank == 2 && output.shape[0] == 2 && output.shape[1] == 2 && output.dtype == ERAI_DTYPE_FLOAT32);
    ER_CHECK_INT(erai_answer_output(answer, 1, &output), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
    ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_PRIMARY);
    ER_CHECK(*erai_answer_layout(answer) >= 2 && *erai_answer_layout(answer) % 2 == 0);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void a_bad_row_is_answered_by_the_default(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = NULL;
    call made;
    size_t admitted = 99;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    ER_CHECK_INT(erai_admit(session, tensor(&made, bad, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(admitted, 1);
    ER_CHECK_INT(erai_judge(session, tensor(&made, outputs, 1, 2, 2), 1, answer), ERAI_OK);
    const uint8_t *verdicts, *sources;
    ER_CHECK_INT(erai_answer_rows(answer, &verdicts, &sources), 2);
    ER_CHECK(verdicts[0] == ERAI_VERDICT_ACCEPT && verdicts[1] == ERAI_VERDICT_REJECT);
    ER_CHECK(sources[0] == ERAI_SOURCE_PRIMARY && sources[1] == ERAI_SOURCE_DEFAULT);
    ER_CHECK(*erai_answer_layout(answer) >= 3 && *erai_answer_layout(answer) % 2 == 1);
    erai_tensor output;
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    const float expected[] = {0.5f, 0.5f, 0.25f, 0.75f};
    ER_CHECK(memcmp(output.data, expected, sizeof expected) == 0);
    const erai_reason *reasons;
    ER_CHECK_INT(erai_answer_reasons(answer, &reasons), 2);
    ER_CHECK_STR(reasons[0].subject, "a");
    ER_CHECK(reasons[0].code == ERAI_REASON_NOT_FINITE && reasons[0].row == 1 && isnan(reasons[0].value));
    ER_CHECK_STR(reasons[1].subject, "c");
    ER_CHECK(reasons[1].code == ERAI_REASON_ABOVE_RANGE && reasons[1].limit == 10.0 && reasons[1].element == 2);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void nothing_admitted_means_no_model_and_an_answer_all_the_same(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = NULL;
    call made;
    size_t admitted = 99;
    erai_tensor output;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 4), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(admitted, 0);
    ER_CHECK_INT(erai_judge(session, NULL, 0, answer), ERAI_OK);
    ER_CHECK_INT(erai_answer_output(answer, 0, &output), ERAI_OK);
    ER_CHECK(output.shape[0] == 2 && output.shape[1] == 2);
    ER_CHECK(((const float *)output.data)[3] == 0.75f);
    /* An output that is not finite. */
    const float infinite[] = {1, 2, INFINITY, 3};
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, tensor(&made, infinite, 1, 2, 2), 1, answer), ERAI_OK);
    const erai_reason *reason;
    ER_CHECK_INT(erai_answer_reasons(answer, &reason), 1);
    ER_CHECK(reason->code == ERAI_REASON_OUTPUT_NOT_FINITE && reason->row == 1 && isinf(reason->value));
    /* An output of another shape than declared. */
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, tensor(&made, infinite, 1, 1, 2), 1, answer), ERAI_OK);
    ER_CHECK_INT(erai_answer_reasons(answer, &reason), 1);
    ER_CHECK(reason->code == ERAI_REASON_OUTPUT_SHAPE && reason->row == -1 && reason->limit == 2.0);
    ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_REJECT);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void calls_out_of_order_are_errors_and_counted_as_such(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = NULL;
    call made;
    size_t admitted;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, tensor(&made, outputs, 1, 2, 2), 1, answer), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "without an erai_admit");
    ER_CHECK_INT(erai_session_predict(session, tensor(&made, clean, 1, 2, 3), 1, answer), ERAI_E_NO_MODEL);
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 2, answer, &admitted), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, NULL, 0, answer), ERAI_E_ARGUMENT); /* rows were admitted */
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, tensor(&made, outputs, 7, 2, 2), 1, answer), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_admit(session, tensor(&made, clean, 1, 2, 3), 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, tensor(&made, outputs, 1, -2, -2), 1, answer), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_answer_rows(answer, NULL, NULL), 0);
    ER_CHECK_INT(erai_session_flush(session, NULL, detail), ERAI_E_ARGUMENT);
    erai_snapshot *snapshot = NULL;
    ER_CHECK_INT(erai_session_snapshot(session, &snapshot, detail), ERAI_OK);
    erai_snapshot_info info;
    erai_snapshot_read(snapshot, &info);
    ER_CHECK_INT(info.errors, 6);
    ER_CHECK_INT(info.calls, 0);
    ER_CHECK(info.model_digest[0] == 0xab && info.epoch == 0 && info.instance[0] == 0);
    erai_snapshot_close(snapshot);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void hostile_shapes_are_answers(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = NULL;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    static const int64_t extents[] = {INT64_MIN, -1, 0, 1, 4096, 4097, INT32_MAX, INT64_MAX};
    enum { COUNT = sizeof extents / sizeof *extents };
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++)
            for (uint32_t rank = 0; rank <= 8; rank++) {
                int64_t shape[8] = {extents[i], extents[j], 1, 1, 1, 1, 1, 1};
                erai_tensor given = {.data = clean, .shape = shape, .rank = rank, .dtype = ERAI_DTYPE_FLOAT32};
                size_t admitted = 1;
                ER_CHECK_INT(erai_admit(session, &given, 1, answer, &admitted), ERAI_OK);
                ER_CHECK_INT(admitted, 0);
                size_t rows = erai_answer_rows(answer, NULL, NULL);
                ER_CHECK(rows <= 4096 && (rows == 0) == (rank > 0 && extents[i] == 0));
                ER_CHECK_INT(erai_judge(session, NULL, 0, answer), ERAI_OK);
            }
    erai_answer_close(answer);
    erai_session_close(session);
}

enum { THREADS = 4, CALLS = 400 };

static void *admit_and_judge(void *context) {
    erai_session *session = context;
    erai_answer *answer = NULL;
    if (erai_answer_open(session, &answer) != ERAI_OK) return session;
    void *failed = NULL;
    for (int i = 0; i < CALLS; i++) {
        call made;
        size_t admitted = 0;
        if (erai_admit(session, tensor(&made, i % 4 ? clean : bad, 1, 2, 3), 1, answer, &admitted) != ERAI_OK ||
            admitted != (i % 4 ? 2 : 1) || erai_judge(session, tensor(&made, outputs, 1, 2, 2), 1, answer) != ERAI_OK)
            failed = session;
    }
    erai_answer_close(answer);
    return failed;
}

typedef struct totals {
    const char *path;
    uint64_t calls, rejected, values;
} totals;

static int add_batch(const char *name, void *context) {
    totals *sum = context;
    if (strstr(name, ".batch") == NULL) return 0;
    char *path = er_path_join(sum->path, name);
    uint8_t *bytes = NULL;
    size_t size;
    erai_snapshot *snapshot = NULL;
    ER_CHECK_INT(er_file_read(path, 1 << 20, &bytes, &size, NULL), ERAI_OK);
    ER_CHECK_INT(erai_snapshot_open(bytes, size, &snapshot, NULL), ERAI_OK);
    erai_snapshot_info info;
    erai_snapshot_read(snapshot, &info);
    sum->calls += info.calls;
    sum->rejected += info.rows_by_verdict[ERAI_VERDICT_REJECT];
    erai_feature_counts counts;
    ER_CHECK_INT(erai_snapshot_feature(snapshot, 0, &counts), ERAI_OK);
    for (uint32_t i = 0; i < counts.bins; i++) sum->values += counts.histogram[i];
    sum->values += counts.not_finite;
    erai_snapshot_close(snapshot);
    free(bytes);
    free(path);
    return 0;
}

static void counts_are_exact_while_others_flush(void) {
    char path[64], name[ERAI_DETAIL_SIZE], detail[ERAI_DETAIL_SIZE];
    test_directory_make(path);
    erai_session *session = open_session(path);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) ER_CHECK_INT(pthread_create(&threads[i], NULL, admit_and_judge, session), 0);
    for (int i = 0; i < 20; i++) {
        erai_snapshot *snapshot = NULL;
        ER_CHECK_INT(erai_session_flush(session, name, detail), ERAI_OK);
        ER_CHECK_INT(erai_session_snapshot(session, &snapshot, detail), ERAI_OK);
        erai_snapshot_close(snapshot);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        ER_CHECK(failed == NULL);
    }
    ER_CHECK_INT(erai_session_flush(session, name, detail), ERAI_OK);
    ER_CHECK_CONTAINS(name, "-0000000000000014.batch");
    totals sum = {.path = path};
    ER_CHECK_INT(er_directory_each(path, add_batch, &sum), 0);
    ER_CHECK_INT(sum.calls, THREADS * CALLS);
    ER_CHECK_INT(sum.rejected, THREADS * CALLS / 4);
    ER_CHECK_INT(sum.values, THREADS * CALLS * 2);
    erai_session_close(session);
    test_directory_remove(path);
}

static void a_config_of_another_size_is_refused(void) {
    erai_guard *guard = test_guard_open();
    erai_session_config config = {.struct_size = 8};
    erai_session *session = NULL;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(erai_session_open_guard(guard, model_digest, &config, &session, detail), ERAI_E_STRUCT);
    ER_CHECK_INT(erai_session_open("/nonexistent.erai", &config, &session, detail), ERAI_E_STRUCT);
    ER_CHECK_INT(erai_session_open("/nonexistent.erai", NULL, &session, detail), ERAI_E_BUNDLE_READ);
    ER_CHECK_INT(erai_session_open_guard(guard, NULL, NULL, &session, detail), ERAI_E_ARGUMENT);
    ER_CHECK(session == NULL);
    erai_session_close(NULL);
    erai_answer_close(NULL);
    erai_guard_close(guard);
}

static void a_tensor_without_data_or_shape_is_refused_by_name(void) {
    erai_session *session = open_session(NULL);
    erai_answer *answer = NULL;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    call made;
    size_t admitted = 0;
    const erai_tensor *input = tensor(&made, clean, ERAI_DTYPE_FLOAT32, 2, 3);
    erai_tensor without = *input;
    without.data = NULL;
    ER_CHECK_INT(erai_admit(session, &without, 1, answer, &admitted), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "its data is NULL");
    without = *input;
    without.shape = NULL;
    ER_CHECK_INT(erai_admit(session, &without, 1, answer, &admitted), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "its shape is NULL");
    ER_CHECK_INT(erai_admit(session, input, 1, answer, &admitted), ERAI_OK);
    ER_CHECK_INT(erai_judge(session, &without, 1, answer), ERAI_E_ARGUMENT);
    erai_answer_close(answer);
    erai_session_close(session);
}

int main(void) {
    ER_RUN(clean_rows_pass_and_outputs_are_copies);
    ER_RUN(a_bad_row_is_answered_by_the_default);
    ER_RUN(nothing_admitted_means_no_model_and_an_answer_all_the_same);
    ER_RUN(calls_out_of_order_are_errors_and_counted_as_such);
    ER_RUN(hostile_shapes_are_answers);
    ER_RUN(a_tensor_without_data_or_shape_is_refused_by_name);
    ER_RUN(counts_are_exact_while_others_flush);
    ER_RUN(a_config_of_another_size_is_refused);
    return er_test_result();
}
