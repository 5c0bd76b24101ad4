/* A steady call allocates nothing of ours. SPDX-License-Identifier: Apache-2.0 */
#include "test_allocations.h"

#include <math.h>

#include "edge_rai.h"
#include "er_test.h"
#include "test_guard.h"

enum { ROWS = 64, CALLS = 1000 };

static void steady_calls_allocate_nothing(void) {
    static float values[ROWS * TEST_FEATURES], outputs[ROWS * 2];
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    erai_guard *guard = test_guard_open();
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    const erai_session_config config = {.struct_size = sizeof config, .quantiles_k = 200};
    ER_CHECK_INT(erai_session_open_guard(guard, digest, &config, &session, NULL), ERAI_OK);
    ER_CHECK_INT(erai_answer_open(session, &answer), ERAI_OK);
    if (answer == NULL) return;
    ER_CHECK(!ALLOCATIONS_COUNTED || allocations > 10);
    for (int i = 0; i < ROWS; i++) values[3 * i] = i % 2 ? NAN : 20.0f; /* the most reasons that will come */
    for (int i = 0; i < CALLS + 1; i++) {
        if (i == 1) allocations = 0;
        int64_t rows = i == 0 ? ROWS : 1 + i % ROWS;
        int64_t shape[] = {rows, TEST_FEATURES}, output_shape[] = {rows, 2};
        erai_tensor input = {.data = values, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
        erai_tensor output = {.data = outputs, .shape = output_shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
        if (i) values[0] = i % 3 ? 1.0f : 20.0f;
        size_t admitted = 0;
        ER_CHECK_INT(erai_admit(session, &input, 1, answer, &admitted), ERAI_OK);
        ER_CHECK_INT(erai_judge(session, &output, admitted ? 1 : 0, answer), ERAI_OK);
    }
    ER_CHECK_INT(allocations, 0);
    erai_answer_close(answer);
    erai_session_close(session);
    erai_guard_close(guard);
}

int main(void) {
    ER_RUN(steady_calls_allocate_nothing);
    return er_test_result();
}
