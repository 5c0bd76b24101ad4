/* An output that is no tensor: a sequence, a map, an optional. One allocation a part, as the runtime makes them too. */
#ifndef ER_NEST_H
#define ER_NEST_H

#include "edge_rai.h"

typedef struct er_nest {
    erai_value root;
    void **blocks; /* everything that root points to */
    size_t block_count;
} er_nest;

/* Zeroed memory that lives until er_nest_clear; NULL when there is none. */
void *er_nest_keep(er_nest *nest, size_t count, size_t size);

/* Frees it all; the root is NONE again. */
void er_nest_clear(er_nest *nest);

#endif
