/* The last good answer of each patient, and of no other: keys BUNDLE. SPDX-License-Identifier: Apache-2.0
 *
 * The bundle's policy has `last_good` in [decision] and in the fallback chain of missing values. */
#include <edge_rai.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 3 };

/* Predicts one row of one patient. */
static erai_status predict(erai_session *session, erai_answer *answer, const char *patient, const float *row) {
    static const char *const sources[] = {"primary", "fallback_model", "last_good", "default", "abstain", "none"};
    const int64_t shape[] = {1, WIDTH};
    const erai_tensor input = {.data = row, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_string key = {.bytes = patient, .size = strlen(patient)};
    erai_tensor output;

    erai_status status = erai_answer_set_keys(answer, &key, 1); /* of the next call */
    if (!status) status = erai_session_predict(session, &input, 1, answer);
    if (!status) status = erai_answer_output(answer, 0, &output);
    if (!status)
        printf("%s: %s %g\n", patient, sources[erai_answer_source(answer)], (double)((const float *)output.data)[0]);
    return status;
}

int main(int argc, char **argv) {
    const float good[WIDTH] = {1, 2, 3}, other[WIDTH] = {-1, 0, 1}, missing[WIDTH] = {1, NAN, 3};
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    erai_answer *answer = NULL;

    erai_status status = argc == 2 ? erai_session_open(argv[1], NULL, &session, detail) : ERAI_E_ARGUMENT;
    if (!status) status = erai_answer_open(session, &answer);
    if (!status) status = predict(session, answer, "patient 7", good);
    if (!status) status = predict(session, answer, "patient 8", other);
    if (!status) status = predict(session, answer, "patient 7", missing);
    if (!status) status = predict(session, answer, "patient 8", missing);
    if (!status) status = predict(session, answer, "patient 9", missing); /* has none yet: the next step answers */
    if (status) fprintf(stderr, "%s: %s\n", erai_strerror(status), answer ? erai_answer_detail(answer) : detail);
    erai_answer_close(answer);
    erai_session_close(session);
    return status != ERAI_OK;
}
