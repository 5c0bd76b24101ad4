/* How much memory a tensor takes, by a shape that may come from anybody; which tensors are the same; what a call leaves
 * behind. SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <math.h>
#include <stdlib.h>

#include "er_test.h"

static size_t bytes_of(const int64_t *shape, uint32_t rank) {
    size_t bytes = SIZE_MAX;
    return er_tensor_bytes(shape, rank, ERAI_DTYPE_FLOAT32, &bytes) ? bytes : SIZE_MAX;
}

static void a_shape_takes_the_product_of_its_extents(void) {
    ER_CHECK(bytes_of(NULL, 0) == 4);
    ER_CHECK(bytes_of((int64_t[]){2, 3, 5}, 3) == 120);
    ER_CHECK(bytes_of((int64_t[]){7, 0}, 2) == 0);
}

/* On a 32-bit machine 2^32 + 1 must not be taken for 1. */
static void a_shape_larger_than_any_memory_is_that_of_no_tensor(void) {
    ER_CHECK(bytes_of((int64_t[]){-1}, 1) == SIZE_MAX);
    ER_CHECK(bytes_of((int64_t[]){INT64_MAX}, 1) == SIZE_MAX);
    ER_CHECK(bytes_of((int64_t[]){((int64_t)1 << 32) + 1, ((int64_t)1 << 32) + 1}, 2) == SIZE_MAX);
    ER_CHECK(bytes_of((int64_t[]){PTRDIFF_MAX / 4 + (int64_t)1}, 1) == SIZE_MAX);
    ER_CHECK(bytes_of((int64_t[]){PTRDIFF_MAX / 4}, 1) == (size_t)PTRDIFF_MAX / 4 * 4);
    if (SIZE_MAX == UINT32_MAX) ER_CHECK(bytes_of((int64_t[]){((int64_t)1 << 32) + 1}, 1) == SIZE_MAX);
}

static void a_new_call_clears_the_rows_of_the_last_one_and_no_others(void) {
    static erai_answer answer;
    ER_CHECK_INT(er_answer_begin(&answer, 4096, ERAI_VERDICT_ACCEPT), ERAI_OK);
    ER_CHECK_INT(er_answer_begin(&answer, 3, ERAI_VERDICT_ACCEPT), ERAI_OK);
    er_answer_find(&answer, ERAI_VERDICT_REJECT, (erai_reason){.row = -1, .code = ERAI_REASON_SHAPE});
    answer.review_ids[2] = 7;
    answer.reviewed = 1;
    answer.row_reasons[3000] = answer.review_ids[3000] = 1; /* nobody's: it costs as much as it has rows */
    ER_CHECK_INT(er_answer_begin(&answer, 1, ERAI_VERDICT_ACCEPT), ERAI_OK);
    ER_CHECK(answer.row_reasons[3000] == 1 && answer.review_ids[3000] == 1);
    for (int i = 0; i < 3; i++) ER_CHECK(answer.row_reasons[i] == 0 && answer.review_ids[i] == 0);
    ER_CHECK_INT(answer.reasons_by_code[ERAI_REASON_SHAPE], 0);
    free(answer.verdicts);
    free(answer.sources);
    free(answer.row_reasons);
    free(answer.review_ids);
    free(answer.reasons);
}

static void tensors_are_compared_to_the_bit_and_strings_to_the_byte(void) {
    static const float zero[] = {0, 0}, other[] = {0, -0.0f}, nan[] = {NAN, 1}, same_nan[] = {NAN, 1};
    static const erai_string one[] = {{"ab", 2}, {NULL, 0}}, two[] = {{"abc", 2}, {"x", 0}},
                             three[] = {{"ab", 1}, {"b", 1}};
    static const int64_t two_values[] = {2}, column[] = {2, 1}, none[] = {0};
    ER_CHECK(er_same_values(zero, zero, ERAI_DTYPE_FLOAT32, 2) && !er_same_values(zero, other, ERAI_DTYPE_FLOAT32, 2));
    ER_CHECK(er_same_values(zero, other, ERAI_DTYPE_FLOAT32, 1) &&
             er_same_values(nan, same_nan, ERAI_DTYPE_FLOAT32, 2));
    ER_CHECK(er_same_values(one, two, ERAI_DTYPE_STRING, 2) && !er_same_values(one, three, ERAI_DTYPE_STRING, 2));
    const erai_tensor given = {zero, two_values, 1, ERAI_DTYPE_FLOAT32}, copy = given;
    ER_CHECK(er_same_tensor(&given, &copy));
    ER_CHECK(!er_same_tensor(&given, &(erai_tensor){zero, column, 2, ERAI_DTYPE_FLOAT32}));
    ER_CHECK(!er_same_tensor(&given, &(erai_tensor){zero, two_values, 1, ERAI_DTYPE_INT32}));
    ER_CHECK(!er_same_tensor(&given, &(erai_tensor){zero, none, 1, ERAI_DTYPE_FLOAT32}));
    const erai_tensor empty = {NULL, none, 1, ERAI_DTYPE_FLOAT32};
    ER_CHECK(er_same_tensor(&empty, &empty));
}

int main(void) {
    ER_RUN(a_shape_takes_the_product_of_its_extents);
    ER_RUN(a_shape_larger_than_any_memory_is_that_of_no_tensor);
    ER_RUN(a_new_call_clears_the_rows_of_the_last_one_and_no_others);
    ER_RUN(tensors_are_compared_to_the_bit_and_strings_to_the_byte);
    return er_test_result();
}
