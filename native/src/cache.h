/* Answers to inputs seen before, to the bit: bounded, the one used longest ago leaves first. Inputs are kept and
 * compared whole; a hash only finds them. One cache belongs to one session, and so to one model and one policy. */
#ifndef ER_CACHE_H
#define ER_CACHE_H

#include "answer.h"

typedef struct er_cache er_cache; /* any thread */

/* It never holds more than `bytes`, all of it counted. NULL when out of memory. */
er_cache *er_cache_open(size_t bytes);
void er_cache_close(er_cache *cache);

/* Fills answer->outputs with what the model gave for these inputs; 0 when it is not known. In any case *hash is theirs,
 * for er_cache_put. */
int er_cache_get(er_cache *cache, erai_answer *answer, uint64_t *hash);

/* Remembers answer->outputs, all rows of which the model answered, for answer->inputs. An output that is no tensor
 * cannot be remembered, nor can what alone is more than the cache may hold: then nothing is. */
void er_cache_put(er_cache *cache, const erai_answer *answer, uint64_t hash);

#endif
