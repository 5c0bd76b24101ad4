/* How much memory a tensor takes, by a shape that may come from anybody. SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

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

int main(void) {
    ER_RUN(a_shape_takes_the_product_of_its_extents);
    ER_RUN(a_shape_larger_than_any_memory_is_that_of_no_tensor);
    return er_test_result();
}
