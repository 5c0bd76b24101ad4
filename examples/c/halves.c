/* Guards a model that the application runs itself: halves BUNDLE. SPDX-License-Identifier: Apache-2.0
 *
 * Of the bundle only its guard program is used; no ONNX Runtime is loaded. Three rows of three values are admitted, the
 * application's own model answers those that are worth it, and the guard judges what it gave. */
#include <edge_rai.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 3, WIDTH = 3, SHARES = 2 };

/* The application's own runtime: any library, accelerator or microcontroller. */
static const char my_model[] = "0.1 for every value";
static void run_my_model(const float *row, float *shares) {
    shares[0] = 0.5f;
    for (int i = 0; i < WIDTH; i++) shares[0] += 0.1f * row[i];
    shares[1] = 1 - shares[0];
}

/* A session around the guard program of a bundle, by the name of the application's model. */
static erai_status open_guarded(const char *path, erai_session **session, char *detail) {
    erai_bundle *bundle = NULL;
    erai_guard *guard = NULL;
    const char *name = "";
    const uint8_t *bytes = NULL;
    size_t size = 0;
    uint8_t digest[ERAI_DIGEST_SIZE];

    erai_status status = erai_bundle_open(path, &bundle, detail);
    for (size_t i = 0; !status && strcmp(name, "guard.bin") != 0; i++)
        status = erai_bundle_file(bundle, i, &name, &bytes, &size);
    if (!status) status = erai_guard_open(bytes, size, &guard, detail);
    erai_sha256(my_model, sizeof my_model, digest);
    if (!status) status = erai_session_open_guard(guard, digest, NULL, session, detail);
    erai_guard_close(guard);
    erai_bundle_close(bundle);
    return status;
}

static erai_status answer_rows(erai_session *session, erai_answer *answer) {
    const float rows[ROWS][WIDTH] = {{1, 2, 1}, {1, NAN, 1}, {-3, 1, 1}};
    float shares[ROWS][SHARES] = {{0}}; /* all rows, those that were rejected too */
    const int64_t shape[] = {ROWS, WIDTH}, output_shape[] = {ROWS, SHARES};
    const erai_tensor input = {.data = rows, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_tensor output = {.data = shares, .shape = output_shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const uint8_t *verdicts;
    size_t admitted;

    erai_status status = erai_admit(session, &input, 1, answer, &admitted);
    if (status) return status;
    erai_answer_rows(answer, &verdicts, NULL);
    for (size_t row = 0; row < ROWS; row++)
        if (verdicts[row] != ERAI_VERDICT_REJECT) run_my_model(rows[row], shares[row]);
    return erai_judge(session, &output, admitted ? 1 : 0, answer);
}

int main(int argc, char **argv) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    erai_tensor output;
    const uint8_t *verdicts;

    erai_status status = argc == 2 ? open_guarded(argv[1], &session, detail) : ERAI_E_ARGUMENT;
    if (!status) status = erai_answer_open(session, &answer);
    if (!status) status = answer_rows(session, answer);
    if (!status) status = erai_answer_output(answer, 0, &output);
    if (status) fprintf(stderr, "%s: %s\n", erai_strerror(status), answer ? erai_answer_detail(answer) : detail);
    for (size_t row = 0; !status && row < erai_answer_rows(answer, &verdicts, NULL); row++) {
        const float *shares = (const float *)output.data + row * SHARES;
        printf("row %zu %s: %.2f %.2f\n", row, verdicts[row] == ERAI_VERDICT_REJECT ? "rejected" : "accepted",
               (double)shares[0], (double)shares[1]);
    }
    erai_answer_close(answer);
    erai_session_close(session);
    return status != ERAI_OK;
}
