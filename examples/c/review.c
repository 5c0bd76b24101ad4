/* A row that somebody decides: review BUNDLE. SPDX-License-Identifier: Apache-2.0
 *
 * The bundle's policy has `review_rows` in [decision], and "abstain" in the fallback chain of values out of range. */
#include <edge_rai.h>
#include <inttypes.h>
#include <stdio.h>

enum { WIDTH = 3, SHARES = 2 };

/* Any thread, any time later: takes the rows that wait, the oldest first, and answers each. */
static erai_status decide_waiting(erai_session *session, char *detail) {
    const float decided[SHARES] = {0.9f, 0.1f};
    const int64_t shape[] = {1, SHARES};
    const erai_tensor output = {.data = decided, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_review review;
    erai_status status;

    while (!(status = erai_session_review(session, &review)) && review.id) {
        const float *row = review.inputs[0].data;
        printf("waits: %g %g %g, because of", (double)row[0], (double)row[1], (double)row[2]);
        for (uint32_t code = 0; code < 64; code++)
            if (review.reasons >> code & 1) printf(" %s", erai_reason_name(code));
        putchar('\n');
        /* With count 0 the row would leave the queue without an answer. */
        status = erai_session_override(session, review.id, &output, 1, detail);
        if (status) break;
        puts("decided");
    }
    return status;
}

int main(int argc, char **argv) {
    const float row[WIDTH] = {1, 2, 99};
    const int64_t shape[] = {1, WIDTH};
    const erai_tensor input = {.data = row, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    const uint64_t *ids;

    erai_status status = argc == 2 ? erai_session_open(argv[1], NULL, &session, detail) : ERAI_E_ARGUMENT;
    if (!status) status = erai_answer_open(session, &answer);
    if (!status && (status = erai_session_predict(session, &input, 1, answer)))
        snprintf(detail, sizeof detail, "%s", erai_answer_detail(answer));
    if (!status && erai_answer_source(answer) == ERAI_SOURCE_ABSTAIN && (ids = erai_answer_review(answer)))
        printf("nobody answered; %s in the review queue\n", ids[0] ? "the row is" : "no row is");
    if (!status) status = decide_waiting(session, detail);
    if (status) fprintf(stderr, "%s: %s\n", erai_strerror(status), detail);
    erai_answer_close(answer);
    erai_session_close(session);
    return status != ERAI_OK;
}
