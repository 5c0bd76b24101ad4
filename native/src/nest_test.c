/* Memory of outputs that are no tensors. */
#include "nest.h"

#include <stdint.h>
#include <string.h>

#include "er_test.h"

static void what_is_kept_is_zeroed_and_stays_while_more_is_kept(void) {
    er_nest nest = {0};
    uint8_t *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = er_nest_keep(&nest, i, 3);
        for (size_t at = 0; at < 3 * i; at++) ER_CHECK_INT(blocks[i][at], 0);
        memset(blocks[i], (int)i, 3 * i);
    }
    for (size_t i = 0; i < 100; i++)
        for (size_t at = 0; at < 3 * i; at++) ER_CHECK_INT(blocks[i][at], (int)i);
    er_nest_clear(&nest);
}

static void nothing_can_be_kept_too(void) {
    er_nest nest = {0};
    ER_CHECK(er_nest_keep(&nest, 0, sizeof(erai_value)) != NULL);
    ER_CHECK_INT(nest.block_count, 1);
    er_nest_clear(&nest);
}

static void a_cleared_nest_holds_nothing_and_can_be_filled_again(void) {
    er_nest nest = {.root = {.kind = ERAI_VALUE_SEQUENCE, .count = 1}};
    nest.root.items = er_nest_keep(&nest, 1, sizeof *nest.root.items);
    er_nest_clear(&nest);
    ER_CHECK_INT(nest.root.kind, ERAI_VALUE_NONE);
    ER_CHECK(nest.root.items == NULL && nest.blocks == NULL && nest.block_count == 0);
    er_nest_clear(&nest);
    ER_CHECK(er_nest_keep(&nest, 4, 8) != NULL);
    er_nest_clear(&nest);
}

int main(void) {
    ER_RUN(what_is_kept_is_zeroed_and_stays_while_more_is_kept);
    ER_RUN(nothing_can_be_kept_too);
    ER_RUN(a_cleared_nest_holds_nothing_and_can_be_filled_again);
    return er_test_result();
}
