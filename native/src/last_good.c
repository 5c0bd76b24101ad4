/* The last good answer of each key, in as many slots as the policy has keys. A slot is found through a table of chains
 * and kept in the order of use. Keys come from outside, so the table's hash has a random secret: nobody can choose keys
 * that meet in one chain. Slots and their buffers are used again; once every key has been seen nothing is allocated. */
#include "last_good.h"

#include "siphash.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX /* no slot */

typedef struct slot {
    er_key key;
    uint32_t chain;        /* the next slot of the same bucket */
    uint32_t older, newer; /* by use */
    uint64_t at_ns;
    int complete;       /* 0: memory ran out while it was copied */
    er_buffer *outputs; /* one row each; NULL until the slot is first used */
} slot;

struct er_last_good {
    er_mutex lock;
    uint64_t secret[2];
    const er_output *outputs;
    size_t output_count;
    uint32_t slot_count, used;
    uint32_t oldest, newest;
    uint32_t mask; /* buckets - 1 */
    uint32_t *buckets;
    slot *slots;
};

static uint64_t hash_of(const uint64_t secret[2], const er_key *key) {
    er_siphash hash = er_siphash_begin(secret);
    er_siphash_word(&hash, key->size);
    er_siphash_bytes(&hash, key->bytes, key->size);
    return er_siphash_end(&hash);
}

er_last_good *er_last_good_open(size_t keys, const er_output *outputs, size_t output_count) {
    er_last_good *store = calloc(1, sizeof *store);
    if (!store) return NULL;
    uint32_t buckets = 1;
    while (buckets < keys) buckets *= 2;
    store->outputs = outputs;
    store->output_count = output_count;
    store->slot_count = (uint32_t)keys;
    store->oldest = store->newest = NONE;
    store->mask = buckets - 1;
    store->buckets = malloc(buckets * sizeof *store->buckets);
    store->slots = calloc(keys, sizeof *store->slots);
    if (!store->buckets || !store->slots || er_random(store->secret, sizeof store->secret) ||
        er_mutex_init(&store->lock)) {
        free(store->buckets);
        free(store->slots);
        free(store);
        return NULL;
    }
    memset(store->buckets, 0xff, buckets * sizeof *store->buckets);
    return store;
}

void er_last_good_close(er_last_good *store) {
    if (!store) return;
    for (uint32_t i = 0; i < store->used; i++) er_buffers_free(store->slots[i].outputs, store->output_count);
    er_mutex_destroy(&store->lock);
    free(store->buckets);
    free(store->slots);
    free(store);
}

/* ---- Slots; under the lock ---- */

static uint32_t *bucket_of(er_last_good *store, const er_key *key) {
    return &store->buckets[hash_of(store->secret, key) & store->mask];
}

static void unlink_use(er_last_good *store, uint32_t at) {
    slot *it = &store->slots[at];
    *(it->older == NONE ? &store->oldest : &store->slots[it->older].newer) = it->newer;
    *(it->newer == NONE ? &store->newest : &store->slots[it->newer].older) = it->older;
}

static void link_newest(er_last_good *store, uint32_t at) {
    store->slots[at].older = store->newest;
    store->slots[at].newer = NONE;
    *(store->newest == NONE ? &store->oldest : &store->slots[store->newest].newer) = at;
    store->newest = at;
}

static slot *find(er_last_good *store, const er_key *key) {
    for (uint32_t at = *bucket_of(store, key); at != NONE; at = store->slots[at].chain) {
        const er_key *other = &store->slots[at].key;
        if (other->size != key->size || memcmp(other->bytes, key->bytes, key->size) != 0) continue;
        if (at != store->newest) {
            unlink_use(store, at);
            link_newest(store, at);
        }
        return &store->slots[at];
    }
    return NULL;
}

/* Gives a key that has no slot a new one, or the one used longest ago; NULL when out of memory. */
static slot *take(er_last_good *store, const er_key *key) {
    uint32_t at = store->used < store->slot_count ? store->used : store->oldest;
    slot *it = &store->slots[at];
    if (at == store->used) {
        it->outputs = calloc(store->output_count, sizeof *it->outputs);
        if (!it->outputs) return NULL;
        store->used++;
    } else {
        uint32_t *link = bucket_of(store, &it->key);
        while (*link != at) link = &store->slots[*link].chain;
        *link = it->chain;
        unlink_use(store, at);
    }
    it->key = *key;
    uint32_t *bucket = bucket_of(store, key);
    it->chain = *bucket;
    *bucket = at;
    link_newest(store, at);
    return it;
}

/* ---- Rows ---- */

static const er_key shared_key; /* of size 0 */

/* One row of a tensor of `rows` rows. The shape it points to is the one given. */
static erai_tensor row_of(const erai_tensor *tensor, int batched, size_t row, size_t rows,
                          int64_t shape[ERAI_MAX_RANK]) {
    size_t bytes = 0;
    er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, &bytes); /* it is in memory: it fits */
    if (tensor->rank) memcpy(shape, tensor->shape, tensor->rank * sizeof *shape);
    if (batched) shape[0] = 1;
    return (erai_tensor){.data = bytes ? (const char *)tensor->data + row * (bytes / rows) : NULL,
                         .shape = shape,
                         .rank = tensor->rank,
                         .dtype = tensor->dtype};
}

void er_last_good_put(er_last_good *store, const er_key *key, const erai_tensor *outputs, int batched, size_t row,
                      size_t rows, uint64_t now_ns) {
    for (size_t i = 0; i < store->output_count; i++) {
        const erai_tensor *output = &outputs[i];
        if (store->outputs[i].is_state) continue;
        if (!output->dtype || (batched && (!output->rank || (size_t)output->shape[0] != rows))) return;
    }
    if (!key) key = &shared_key;
    er_mutex_lock(&store->lock);
    slot *it = find(store, key);
    int newer = it && it->complete && it->at_ns > now_ns; /* of a call that began later and ended before this one */
    if (!it) it = take(store, key);
    if (it && !newer) {
        it->complete = 1;
        for (size_t i = 0; i < store->output_count; i++) {
            if (store->outputs[i].is_state) continue;
            int64_t shape[ERAI_MAX_RANK];
            erai_tensor part = row_of(&outputs[i], batched, row, rows, shape);
            it->complete &= er_buffer_copy(&it->outputs[i], &part);
        }
        it->at_ns = now_ns;
    }
    er_mutex_unlock(&store->lock);
}

/* Whether a remembered row fits among the rows of an output. */
static int fits(const er_buffer *kept, const er_buffer *output, size_t rows) {
    if (kept->dtype != output->dtype) return 0;
    if (rows == 1) return 1;
    return kept->rank == output->rank && (size_t)output->shape[0] == rows &&
           memcmp(kept->shape + 1, output->shape + 1, (kept->rank - 1) * sizeof *kept->shape) == 0;
}

/* How much of a buffer's text its elements point to. Some point elsewhere, to text that lives as long. */
static size_t text_used(const er_buffer *buffer, size_t elements) {
    const erai_string *strings = buffer->data;
    size_t used = 0;
    for (size_t i = 0; i < elements; i++) {
        uintptr_t at = (uintptr_t)strings[i].bytes - (uintptr_t)buffer->text;
        if (at < buffer->text_capacity && at + strings[i].size > used) used = at + strings[i].size;
    }
    return used;
}

/* Makes room for more text behind what is used, and keeps the elements pointing to theirs; 0 when out of memory. */
static int grow_text(er_buffer *buffer, size_t elements, size_t used, size_t more) {
    if (more <= buffer->text_capacity - used) return 1;
    char *text = malloc(used + more);
    if (!text) return 0;
    erai_string *strings = buffer->data;
    for (size_t i = 0; i < elements; i++) {
        uintptr_t at = (uintptr_t)strings[i].bytes - (uintptr_t)buffer->text;
        if (at < buffer->text_capacity) strings[i].bytes = text + at;
    }
    if (used) memcpy(text, buffer->text, used);
    free(buffer->text);
    buffer->text = text;
    buffer->text_capacity = used + more;
    return 1;
}

/* Strings of the store's are another thread's in a moment: their bytes are copied too. */
static int place_strings(const er_buffer *kept, er_buffer *output, size_t row, size_t rows) {
    size_t count = er_elements(kept->shape, kept->rank), more = 0;
    const erai_string *from = kept->data;
    for (size_t i = 0; i < count; i++) more += from[i].size;
    size_t used = text_used(output, count * rows);
    if (!grow_text(output, count * rows, used, more)) return 0;
    erai_string *to = (erai_string *)output->data + row * count;
    for (size_t i = 0; i < count; used += from[i++].size) {
        to[i] = (erai_string){.bytes = from[i].size ? output->text + used : "", .size = from[i].size};
        if (from[i].size) memcpy(output->text + used, from[i].bytes, from[i].size);
    }
    return 1;
}

/* Writes a remembered row among the others; 0 when out of memory. */
static int place(const er_buffer *kept, er_buffer *output, size_t row, size_t rows) {
    if (rows == 1) {
        erai_tensor whole = er_buffer_tensor(kept);
        return er_buffer_copy(output, &whole);
    }
    if (kept->dtype == ERAI_DTYPE_STRING) return place_strings(kept, output, row, rows);
    size_t bytes = 0;
    er_tensor_bytes(kept->shape, kept->rank, kept->dtype, &bytes);
    if (bytes) memcpy((char *)output->data + row * bytes, kept->data, bytes);
    return 1;
}

int er_last_good_get(er_last_good *store, const er_key *key, er_buffer *outputs, size_t row, size_t rows,
                     uint64_t now_ns, uint64_t age_ns) {
    er_mutex_lock(&store->lock);
    const slot *it = find(store, key ? key : &shared_key);
    int found = it && it->complete && (now_ns <= it->at_ns || now_ns - it->at_ns <= age_ns);
    for (size_t i = 0; found && i < store->output_count; i++)
        found = store->outputs[i].is_state || fits(&it->outputs[i], &outputs[i], rows);
    for (size_t i = 0; found && i < store->output_count; i++)
        found = store->outputs[i].is_state || place(&it->outputs[i], &outputs[i], row, rows);
    er_mutex_unlock(&store->lock);
    return found;
}
