/* Fuzzes the guard program: the bytes as they are, and sealed with a length and CRC that fit. What opens is put to use:
 * a session admits an input of the stated shape and judges. Build with -fsanitize=fuzzer, or with replay.c to run a
 * corpus. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "edge_rai.h"
#include "test_guard.h"

#define MOST_VALUES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* MOST_VALUES elements of any type; as float32 they go from -1e38 to infinity. */
static const void *values_of(uint32_t dtype) {
    static _Alignas(8) float numbers[2 * MOST_VALUES]; /* of eight bytes each, as many as asked for */
    static erai_string strings[MOST_VALUES];
    if (!strings[0].size) {
        for (size_t i = 0; i < 2 * MOST_VALUES; i++) numbers[i] = (float)i * 1e34f - 1e38f;
        for (size_t i = 0; i < MOST_VALUES; i++) strings[i] = (erai_string){.bytes = "text", .size = 4};
    }
    return dtype == ERAI_DTYPE_STRING ? (const void *)strings : (const void *)numbers;
}

/* An input of the least extents that the rule allows; 0 when that is too much for a fuzzer's patience. */
static int make_input(const erai_input_rule *rule, int64_t shape[ERAI_MAX_RANK], erai_tensor *tensor) {
    size_t elements = 1;
    for (uint32_t i = 0; i < rule->rank; i++) {
        shape[i] = rule->shape[i] < 0 ? 1 : rule->shape[i];
        if ((size_t)shape[i] > MOST_VALUES / elements) return 0;
        elements *= (size_t)shape[i];
    }
    *tensor = (erai_tensor){.data = values_of(rule->dtype), .shape = shape, .rank = rule->rank, .dtype = rule->dtype};
    return 1;
}

static void use(const erai_guard *guard) {
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    size_t count = erai_guard_inputs(guard), admitted;
    int64_t (*shapes)[ERAI_MAX_RANK] = calloc(count, sizeof *shapes);
    erai_tensor *tensors = calloc(count, sizeof *tensors);
    if (!shapes || !tensors) abort();
    int fits = 1;
    for (size_t i = 0; i < count; i++) {
        erai_input_rule rule;
        if (erai_guard_input(guard, i, &rule) != ERAI_OK) abort();
        fits &= make_input(&rule, shapes[i], &tensors[i]);
    }
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    if (erai_session_open_guard(guard, digest, NULL, &session, NULL) != ERAI_OK) abort();
    if (erai_answer_open(session, &answer) != ERAI_OK) abort();
    if (fits && erai_admit(session, tensors, count, answer, &admitted) != ERAI_OK) abort();
    /* A call that is refused as a whole is answered in the outputs' stated shape, where that can be had. */
    for (size_t i = 0; i < count; i++) tensors[i].dtype = 0;
    if (erai_admit(session, tensors, count, answer, &admitted) != ERAI_OK || admitted != 0) abort();
    size_t most = 1;
    for (size_t i = 0; i < erai_guard_outputs(guard); i++) {
        erai_output_rule rule;
        if (erai_guard_output(guard, i, &rule) != ERAI_OK) abort();
        for (uint32_t axis = 0; axis < rule.rank && most <= MOST_VALUES; axis++)
            most *= rule.shape[axis] < 1 ? 1 : (size_t)rule.shape[axis];
    }
    if (most <= MOST_VALUES && erai_judge(session, NULL, 0, answer) != ERAI_OK) abort();
    erai_answer_close(answer);
    erai_session_close(session);
    free(shapes);
    free(tensors);
}

static void open_guard(const uint8_t *bytes, size_t size) {
    erai_guard *guard = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_status status = erai_guard_open(bytes, size, &guard, detail);
    /* A failure without a sentence, or a success with one, is a fault as well. */
    if ((status == ERAI_OK) != (guard != NULL) || (status == ERAI_OK) != (detail[0] == '\0')) abort();
    if (guard) use(guard);
    erai_guard_close(guard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = calloc(size ? size : 1, 1); /* ends where the input ends */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    open_guard(copy, size);
    if (size >= 24) {
        test_reseal(copy, size);
        open_guard(copy, size);
    }
    free(copy);
    return 0;
}
