/* Taking a model out of service, and back: stop BUNDLE. SPDX-License-Identifier: Apache-2.0
 *
 * Without a spool the stop is the file BUNDLE.stopped. */
#include <edge_rai.h>
#include <stdio.h>

/* What a session that is opened now says to one row. */
static erai_status try_row(const char *path, const char *when) {
    const float row[] = {1, 2, 3};
    const int64_t shape[] = {1, 3};
    const erai_tensor input = {.data = row, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    erai_answer *answer = NULL;

    erai_status status = erai_session_open(path, NULL, &session, detail); /* succeeds: somebody must resume it */
    if (!status) status = erai_answer_open(session, &answer);
    if (!status) status = erai_session_predict(session, &input, 1, answer);
    if (answer) snprintf(detail, sizeof detail, "%s", erai_answer_detail(answer));
    printf("%s: %s\n", when, status ? detail : "answered");
    erai_answer_close(answer);
    erai_session_close(session);
    return status == ERAI_E_STOPPED ? ERAI_OK : status;
}

int main(int argc, char **argv) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    const char *path = argc == 2 ? argv[1] : "";

    erai_status status = erai_session_open(path, NULL, &session, detail);
    if (!status) status = erai_session_stop(session, "recalled, bulletin 7", detail);
    if (!status) status = try_row(path, "a later session");
    if (!status) status = erai_session_resume(session, detail);
    if (!status) status = try_row(path, "one after that");
    if (status) fprintf(stderr, "%s: %s\n", erai_strerror(status), detail);
    erai_session_close(session);
    return status != ERAI_OK;
}
