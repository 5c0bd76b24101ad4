/* SipHash with one round a word and three at the end. */
#include "siphash.h"

#include <string.h>

static uint64_t rotate(uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

static inline void mix(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

er_siphash er_siphash_begin(const uint64_t key[2]) {
    return (er_siphash){.v = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                              key[1] ^ 0x7465646279746573u}};
}

void er_siphash_word(er_siphash *hash, uint64_t word) {
    hash->v[3] ^= word;
    mix(hash->v);
    hash->v[0] ^= word;
    hash->size += sizeof word;
}

void er_siphash_bytes(er_siphash *hash, const void *bytes, size_t size) {
    const char *at = bytes;
    uint64_t word = 0;
    for (; size >= sizeof word; at += sizeof word, size -= sizeof word) {
        memcpy(&word, at, sizeof word);
        er_siphash_word(hash, word);
    }
    if (!size) return;
    word = 0;
    memcpy(&word, at, size);
    er_siphash_word(hash, word);
}

uint64_t er_siphash_end(er_siphash *hash) {
    er_siphash_word(hash, hash->size << 56); /* of whole words nothing else is left */
    hash->v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) mix(hash->v);
    return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}
