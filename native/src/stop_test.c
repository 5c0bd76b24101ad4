/* A stop outlasts the session, until it is taken back. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "er_test.h"
#include "session.h"
#include "test_guard.h"

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000"

static erai_session *open_session(const char *spool, uint8_t model) {
    const uint8_t digest[ERAI_DIGEST_SIZE] = {model};
    static const erai_clock clock = {.unix_ns = 1500000000000000000};
    erai_session_config config = {.struct_size = sizeof config, .spool_path = spool, .clock = &clock};
    erai_guard *guard = test_guard_open();
    erai_session *session = NULL;
    ER_CHECK_INT(erai_session_open_guard(guard, digest, &config, &session, NULL), ERAI_OK);
    erai_guard_close(guard);
    return session;
}

static void close_session(erai_session *session) {
    free(session->stop_path);
    session->stop_path = NULL;
    erai_session_close(session);
}

static erai_status call(erai_session *session) {
    static const float values[TEST_FEATURES];
    static const int64_t shape[] = {1, TEST_FEATURES};
    const erai_tensor input = {.data = values, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_answer *answer = NULL;
    size_t admitted;
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    erai_status status = erai_admit(session, &input, 1, answer, &admitted);
    erai_answer_close(answer);
    return status;
}

static void check_file(const char *directory, const char *name, const char *content) {
    uint8_t *data = NULL;
    size_t size = 0;
    char *path = er_path_join(directory, name);
    ER_CHECK_INT(er_file_read(path, 1000, &data, &size, NULL), ERAI_OK);
    ER_CHECK(data && size == strlen(content) && memcmp(data, content, size) == 0);
    free(data);
    free(path);
}

static void a_stopped_session_answers_nothing_until_it_is_resumed(void) {
    char spool[64];
    test_directory_make(spool);
    erai_session *session = open_session(spool, 0x1f);
    ER_CHECK(!erai_session_stopped(session));
    ER_CHECK(!er_stop_found(session));
    ER_CHECK_INT(call(session), ERAI_OK);
    ER_CHECK_INT(erai_session_stop(session, "recalled: see bulletin 7", NULL), ERAI_OK);
    ER_CHECK(erai_session_stopped(session));
    ER_CHECK_INT(call(session), ERAI_E_STOPPED);
    check_file(spool, "stopped-1f" ZEROS, "2017-07-14T02:40:00Z\nrecalled: see bulletin 7\n");
    ER_CHECK_INT(erai_session_stop(session, "again", NULL), ERAI_OK);
    check_file(spool, "stopped-1f" ZEROS, "2017-07-14T02:40:00Z\nagain\n");
    ER_CHECK_INT(erai_session_resume(session, NULL), ERAI_OK);
    ER_CHECK(!erai_session_stopped(session));
    ER_CHECK(!er_stop_found(session));
    ER_CHECK_INT(call(session), ERAI_OK);
    ER_CHECK_INT(erai_session_resume(session, NULL), ERAI_OK); /* which was not stopped */
    close_session(session);
    test_directory_remove(spool);
}

static void a_stop_in_the_spool_holds_for_its_model_alone(void) {
    char spool[64];
    test_directory_make(spool);
    erai_session *session = open_session(spool, 1);
    ER_CHECK_INT(erai_session_stop(session, "", NULL), ERAI_OK);
    close_session(session);
    erai_session *same = open_session(spool, 1), *other = open_session(spool, 2);
    ER_CHECK(er_stop_found(same));
    ER_CHECK(!er_stop_found(other));
    close_session(same);
    close_session(other);
    test_directory_remove(spool);
}

static void an_open_session_goes_on_until_it_is_opened_again(void) {
    char spool[64];
    test_directory_make(spool);
    erai_session *first = open_session(spool, 1), *second = open_session(spool, 1);
    ER_CHECK_INT(erai_session_stop(first, "", NULL), ERAI_OK);
    ER_CHECK_INT(call(first), ERAI_E_STOPPED);
    ER_CHECK_INT(call(second), ERAI_OK);
    close_session(second);
    second = open_session(spool, 1);
    ER_CHECK_INT(call(second), ERAI_E_STOPPED);
    close_session(second);
    close_session(first);
    test_directory_remove(spool);
}

static void the_refusal_says_when_why_and_where(void) {
    char spool[64], detail[ERAI_DETAIL_SIZE], why[9000];
    test_directory_make(spool);
    erai_session *session = open_session(spool, 0x1f), *later;
    ER_CHECK_INT(erai_session_stop(session, "recalled: see bulletin 7", NULL), ERAI_OK);
    later = open_session(spool, 0x1f);
    ER_CHECK_INT(er_stop_fail(later, detail), ERAI_E_STOPPED);
    ER_CHECK_CONTAINS(detail, "answers again (2017-07-14T02:40:00Z recalled: see bulletin 7; in ");
    ER_CHECK_CONTAINS(detail, "/stopped-1f" ZEROS ")");
    memset(why, 'x', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    ER_CHECK_INT(erai_session_stop(session, why, NULL), ERAI_OK);
    ER_CHECK_INT(er_stop_fail(later, detail), ERAI_E_STOPPED);
    ER_CHECK_CONTAINS(detail, "xxx; in ");
    ER_CHECK_CONTAINS(detail, "/stopped-1f" ZEROS ")");
    later->stop_path = er_path_join(spool, "model.onnx.stopped");
    ER_CHECK_INT(er_file_create(later->stop_path, "", 0, NULL), 0);
    ER_CHECK_INT(er_stop_fail(later, detail), ERAI_E_STOPPED);
    ER_CHECK_CONTAINS(detail, "answers again (/");
    ER_CHECK_CONTAINS(detail, "/model.onnx.stopped)");
    ER_CHECK_INT(erai_session_resume(later, detail), ERAI_OK);
    ER_CHECK_CONTAINS(detail, "/model.onnx.stopped and /");
    ER_CHECK_CONTAINS(detail, "/stopped-1f" ZEROS);
    ER_CHECK_INT(er_stop_fail(later, detail), ERAI_E_STOPPED);
    ER_CHECK_STR(detail, "this session is stopped: resume it to have answers again (the file that says when and why "
                         "is gone, or was never written)");
    ER_CHECK_INT(erai_session_resume(later, detail), ERAI_OK);
    ER_CHECK_STR(detail, "");
    close_session(later);
    close_session(session);
    test_directory_remove(spool);
}

static void without_a_spool_the_stop_lies_beside_the_bundle(void) {
    char directory[64];
    test_directory_make(directory);
    erai_session *session = open_session(NULL, 1), *later = open_session(NULL, 1);
    char *leftover = er_path_join(directory, "tumour.erai.stopped.writing");
    ER_CHECK_INT(er_file_create(leftover, "half", 4, NULL), 0);
    session->stop_path = er_path_join(directory, "tumour.erai.stopped");
    later->stop_path = er_path_join(directory, "tumour.erai.stopped");
    ER_CHECK_INT(erai_session_stop(session, "recalled", NULL), ERAI_OK);
    check_file(directory, "tumour.erai.stopped", "2017-07-14T02:40:00Z\nrecalled\n");
    ER_CHECK(er_path_look(leftover) == ER_PATH_MISSING);
    ER_CHECK(er_stop_found(later));
    ER_CHECK_INT(erai_session_resume(later, NULL), ERAI_OK);
    ER_CHECK(!er_stop_found(session));
    close_session(session);
    close_session(later);
    free(leftover);
    test_directory_remove(directory);
}

static void with_a_spool_it_lies_beside_the_bundle_too_where_that_can_be(void) {
    char spool[64], directory[64];
    test_directory_make(spool);
    test_directory_make(directory);
    erai_session *session = open_session(spool, 1), *without = open_session(NULL, 1);
    session->stop_path = er_path_join(directory, "tumour.erai.stopped");
    without->stop_path = er_path_join(directory, "tumour.erai.stopped");
    ER_CHECK_INT(erai_session_stop(session, "recalled", NULL), ERAI_OK);
    check_file(directory, "tumour.erai.stopped", "2017-07-14T02:40:00Z\nrecalled\n");
    check_file(spool, "stopped-01" ZEROS, "2017-07-14T02:40:00Z\nrecalled\n");
    ER_CHECK(er_stop_found(without));
    ER_CHECK_INT(erai_session_resume(session, NULL), ERAI_OK);
    ER_CHECK(!er_stop_found(session) && !er_stop_found(without));
    free(session->stop_path);
    session->stop_path = er_path_join(directory, "gone/tumour.erai.stopped");
    ER_CHECK_INT(erai_session_stop(session, "recalled", NULL), ERAI_OK);
    ER_CHECK(er_stop_found(session));
    ER_CHECK_INT(erai_session_resume(session, NULL), ERAI_OK);
    ER_CHECK(!er_stop_found(session));
    close_session(session);
    close_session(without);
    test_directory_remove(spool);
    test_directory_remove(directory);
}

static void resuming_removes_both(void) {
    char spool[64];
    test_directory_make(spool);
    erai_session *session = open_session(spool, 1);
    session->stop_path = er_path_join(spool, "model.onnx.stopped");
    ER_CHECK_INT(er_file_create(session->stop_path, "", 0, NULL), 0);
    ER_CHECK(er_stop_found(session));
    ER_CHECK_INT(erai_session_stop(session, "", NULL), ERAI_OK);
    ER_CHECK_INT(erai_session_resume(session, NULL), ERAI_OK);
    ER_CHECK(!er_stop_found(session));
    close_session(session);
    test_directory_remove(spool);
}

static void a_stop_that_cannot_be_kept_holds_here_and_says_so(void) {
    char detail[ERAI_DETAIL_SIZE], directory[64];
    test_directory_make(directory);
    erai_session *session = open_session(NULL, 1);
    ER_CHECK_INT(erai_session_stop(session, "", detail), ERAI_E_SPOOL);
    ER_CHECK_CONTAINS(detail, "not beyond it");
    ER_CHECK_INT(call(session), ERAI_E_STOPPED);
    ER_CHECK_INT(erai_session_resume(session, NULL), ERAI_OK);
    ER_CHECK_INT(call(session), ERAI_OK);
    session->stop_path = er_path_join(directory, "gone/model.onnx.stopped");
    ER_CHECK_INT(erai_session_stop(session, "", detail), ERAI_E_SPOOL);
    ER_CHECK_CONTAINS(detail, "gone/model.onnx.stopped");
    ER_CHECK_INT(call(session), ERAI_E_STOPPED);
    ER_CHECK_INT(erai_session_stop(session, NULL, NULL), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_stop(NULL, "", NULL), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_session_resume(NULL, NULL), ERAI_E_ARGUMENT);
    close_session(session);
    test_directory_remove(directory);
}

static void what_cannot_be_removed_goes_on_stopping(void) {
    char detail[ERAI_DETAIL_SIZE], directory[64];
    test_directory_make(directory);
    erai_session *session = open_session(NULL, 1);
    ER_CHECK_INT(erai_session_stop(session, "", NULL), ERAI_E_SPOOL);
    session->stop_path = er_path_join(directory, "");
    ER_CHECK_INT(erai_session_resume(session, detail), ERAI_E_SPOOL);
    ER_CHECK_CONTAINS(detail, "still stopped");
    ER_CHECK(erai_session_stopped(session));
    close_session(session);
    test_directory_remove(directory);
}

int main(void) {
    ER_RUN(a_stopped_session_answers_nothing_until_it_is_resumed);
    ER_RUN(a_stop_in_the_spool_holds_for_its_model_alone);
    ER_RUN(an_open_session_goes_on_until_it_is_opened_again);
    ER_RUN(the_refusal_says_when_why_and_where);
    ER_RUN(without_a_spool_the_stop_lies_beside_the_bundle);
    ER_RUN(with_a_spool_it_lies_beside_the_bundle_too_where_that_can_be);
    ER_RUN(resuming_removes_both);
    ER_RUN(a_stop_that_cannot_be_kept_holds_here_and_says_so);
    ER_RUN(what_cannot_be_removed_goes_on_stopping);
    return er_test_result();
}
