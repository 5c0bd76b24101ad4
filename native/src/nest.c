/* Memory of outputs that are no tensors. */
#include "nest.h"

#include <stdlib.h>
#include <string.h>

/* The list of blocks doubles: it is full whenever the number of blocks is a power of two. */
static int make_room(er_nest *nest) {
    size_t count = nest->block_count;
    if (count & (count - 1)) return 1;
    void **blocks = realloc(nest->blocks, (count ? 2 * count : 1) * sizeof *blocks);
    if (blocks) nest->blocks = blocks;
    return blocks != NULL;
}

void *er_nest_keep(er_nest *nest, size_t count, size_t size) {
    if (!make_room(nest)) return NULL;
    void *block = calloc(count ? count : 1, size);
    if (block) nest->blocks[nest->block_count++] = block;
    return block;
}

void er_nest_clear(er_nest *nest) {
    for (size_t i = 0; i < nest->block_count; i++) free(nest->blocks[i]);
    free(nest->blocks);
    memset(nest, 0, sizeof *nest);
}
