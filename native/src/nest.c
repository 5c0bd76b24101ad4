/* Memory of outputs that are no tensors. */
#include "nest.h"

#include <stdlib.h>
#include <string.h>

void *er_nest_keep(er_nest *nest, size_t count, size_t size) {
    void **blocks = realloc(nest->blocks, (nest->block_count + 1) * sizeof *blocks);
    if (!blocks) return NULL;
    nest->blocks = blocks;
    void *block = calloc(count ? count : 1, size);
    if (block) nest->blocks[nest->block_count++] = block;
    return block;
}

void er_nest_clear(er_nest *nest) {
    for (size_t i = 0; i < nest->block_count; i++) free(nest->blocks[i]);
    free(nest->blocks);
    memset(nest, 0, sizeof *nest);
}
