/* The answer cache: a hash table of copied calls, in the order of their last use. An entry is one block of memory that
 * holds deep copies of a call's inputs and outputs; the block of one that leaves serves the next of its size, so that a
 * full cache of calls of one shape allocates nothing. The hash has a random key, so that nobody can make inputs that
 * share a chain. */
#include "cache.h"

#include "siphash.h"

#include <stdlib.h>
#include <string.h>

/* An entry is hardly smaller than this; the table has a chain for each that the bound has room for. */
#define ENTRY_BYTES 512u
#define MOST_CHAINS ((size_t)1 << 20)
/* What malloc adds to a block. */
#define BLOCK_BYTES 16u

typedef struct entry {
    struct entry *next; /* in its chain */
    struct entry *newer, *older;
    uint64_t hash;
    size_t size;           /* of the block, malloc's part included */
    erai_tensor tensors[]; /* inputs, then outputs; what they point to follows */
} entry;

struct er_cache {
    uint64_t key[2];
    size_t chain_count; /* a power of two */
    size_t most;        /* bytes of entries */
    er_mutex lock;      /* what follows */
    entry **chains;
    entry *newest, *oldest;
    size_t used; /* with those just being written */
};

er_cache *er_cache_open(size_t bytes) {
    er_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->chain_count = 1;
    while (cache->chain_count < MOST_CHAINS && cache->chain_count < bytes / ENTRY_BYTES) cache->chain_count *= 2;
    cache->chains = calloc(cache->chain_count, sizeof *cache->chains);
    size_t own = sizeof *cache + cache->chain_count * sizeof *cache->chains + 2 * (size_t)BLOCK_BYTES;
    cache->most = bytes > own ? bytes - own : 0;
    if (cache->chains && !er_random(cache->key, sizeof cache->key) && !er_mutex_init(&cache->lock)) return cache;
    free(cache->chains);
    free(cache);
    return NULL;
}

void er_cache_close(er_cache *cache) {
    if (!cache) return;
    for (entry *at = cache->newest, *older; at; at = older) {
        older = at->older;
        free(at);
    }
    er_mutex_destroy(&cache->lock);
    free(cache->chains);
    free(cache);
}

/* ---- Hash ---- */

static size_t data_bytes(const erai_tensor *tensor) {
    return er_elements(tensor->shape, tensor->rank) * erai_dtype_size(tensor->dtype);
}

static uint64_t hash_inputs(const er_cache *cache, const erai_answer *answer) {
    er_siphash hash = er_siphash_begin(cache->key);
    for (size_t i = 0; i < answer->guard->input_count; i++) {
        const erai_tensor *input = &answer->inputs[i];
        er_siphash_word(&hash, (uint64_t)input->dtype << 32 | input->rank);
        er_siphash_bytes(&hash, input->shape, input->rank * sizeof *input->shape);
        const erai_string *strings = input->data;
        if (input->dtype != ERAI_DTYPE_STRING) er_siphash_bytes(&hash, input->data, data_bytes(input));
        for (size_t k = 0; input->dtype == ERAI_DTYPE_STRING && k < er_elements(input->shape, input->rank); k++) {
            er_siphash_word(&hash, strings[k].size);
            er_siphash_bytes(&hash, strings[k].bytes, strings[k].size);
        }
    }
    return er_siphash_end(&hash);
}

/* ---- Tensors of an entry ---- */

static size_t padded(size_t size) {
    return (size + 7) & ~(size_t)7;
}

/* The bytes that keeping a tensor takes, all of which are in memory already, so that their sum is no overflow. */
static size_t kept_bytes(const erai_tensor *tensor) {
    size_t bytes = data_bytes(tensor), text = 0;
    const erai_string *strings = tensor->data;
    if (tensor->dtype == ERAI_DTYPE_STRING)
        for (size_t i = 0; i < bytes / sizeof *strings; i++) text += strings[i].size;
    return sizeof *tensor + tensor->rank * sizeof *tensor->shape + padded(bytes) + padded(text);
}

/* Copies what a tensor points to; the place after it. */
static char *keep(erai_tensor *kept, const erai_tensor *tensor, char *at) {
    *kept = *tensor;
    kept->shape = (const int64_t *)(const void *)at;
    if (tensor->rank) memcpy(at, tensor->shape, tensor->rank * sizeof *tensor->shape);
    at += tensor->rank * sizeof *tensor->shape;
    kept->data = at;
    size_t bytes = data_bytes(tensor);
    if (bytes) memcpy(at, tensor->data, bytes);
    erai_string *strings = (erai_string *)(void *)at;
    at += padded(bytes);
    if (tensor->dtype != ERAI_DTYPE_STRING) return at;
    char *text = at;
    for (size_t i = 0; i < bytes / sizeof *strings; text += strings[i++].size) {
        if (strings[i].size) memcpy(text, strings[i].bytes, strings[i].size);
        strings[i].bytes = text;
    }
    return at + padded((size_t)(text - at));
}

/* ---- Chains and order, under the lock ---- */

static entry **chain_of(er_cache *cache, uint64_t hash) {
    return &cache->chains[hash & (cache->chain_count - 1)];
}

static void leave_order(er_cache *cache, entry *at) {
    *(at->newer ? &at->newer->older : &cache->newest) = at->older;
    *(at->older ? &at->older->newer : &cache->oldest) = at->newer;
}

static void enter_order(er_cache *cache, entry *at) {
    at->newer = NULL;
    at->older = cache->newest;
    *(at->older ? &at->older->newer : &cache->oldest) = at;
    cache->newest = at;
}

static entry *find(er_cache *cache, const erai_answer *answer, uint64_t hash) {
    for (entry *at = *chain_of(cache, hash); at; at = at->next) {
        size_t same = 0, count = answer->guard->input_count;
        while (at->hash == hash && same < count && er_same_tensor(&at->tensors[same], &answer->inputs[same])) same++;
        if (same == count) return at;
    }
    return NULL;
}

/* A block of this size that is in no chain, the oldest entries having made room for it; NULL when there is none. */
static entry *make_room(er_cache *cache, size_t size) {
    while (cache->used + size > cache->most && cache->oldest) {
        entry *oldest = cache->oldest, **link = chain_of(cache, oldest->hash);
        leave_order(cache, oldest);
        while (*link != oldest) link = &(*link)->next;
        *link = oldest->next;
        if (oldest->size == size) return oldest;
        cache->used -= oldest->size;
        free(oldest);
    }
    entry *made = cache->used + size <= cache->most ? malloc(size - BLOCK_BYTES) : NULL;
    if (!made) return NULL;
    cache->used += size;
    made->size = size;
    return made;
}

/* ---- Getting and putting ---- */

int er_cache_get(er_cache *cache, erai_answer *answer, uint64_t *hash) {
    *hash = hash_inputs(cache, answer);
    er_mutex_lock(&cache->lock);
    entry *found = find(cache, answer, *hash);
    int filled = found != NULL;
    for (size_t i = 0; filled && i < answer->guard->output_count; i++)
        filled = er_buffer_copy(&answer->outputs[i], &found->tensors[answer->guard->input_count + i]);
    if (found && found != cache->newest) {
        leave_order(cache, found);
        enter_order(cache, found);
    }
    er_mutex_unlock(&cache->lock);
    return filled;
}

void er_cache_put(er_cache *cache, const erai_answer *answer, uint64_t hash) {
    size_t inputs = answer->guard->input_count, outputs = answer->guard->output_count;
    size_t size = BLOCK_BYTES + sizeof(entry);
    for (size_t i = 0; i < inputs; i++) size += kept_bytes(&answer->inputs[i]);
    for (size_t i = 0; i < outputs; i++) {
        if (!answer->outputs[i].dtype) return;
        erai_tensor output = er_buffer_tensor(&answer->outputs[i]);
        size += kept_bytes(&output);
    }
    if (size > cache->most) return;
    er_mutex_lock(&cache->lock);
    entry *made = make_room(cache, size);
    er_mutex_unlock(&cache->lock);
    if (!made) return;
    made->hash = hash;
    char *at = (char *)&made->tensors[inputs + outputs];
    for (size_t i = 0; i < inputs; i++) at = keep(&made->tensors[i], &answer->inputs[i], at);
    for (size_t i = 0; i < outputs; i++) {
        erai_tensor output = er_buffer_tensor(&answer->outputs[i]);
        at = keep(&made->tensors[inputs + i], &output, at);
    }
    er_mutex_lock(&cache->lock);
    entry **chain = chain_of(cache, hash);
    made->next = *chain;
    *chain = made;
    enter_order(cache, made);
    er_mutex_unlock(&cache->lock);
}
