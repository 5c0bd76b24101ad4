/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) of 64-bit words under a random key: who
 * does not know the key cannot make inputs that meet in one chain of a hash table. */
#ifndef ER_SIPHASH_H
#define ER_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct er_siphash {
    uint64_t v[4];
    uint64_t size; /* bytes so far */
} er_siphash;

er_siphash er_siphash_begin(const uint64_t key[2]);
void er_siphash_word(er_siphash *hash, uint64_t word);
/* Words in the machine's order, the last filled up with zeros: whoever may confuse sizes adds them before. */
void er_siphash_bytes(er_siphash *hash, const void *bytes, size_t size);
uint64_t er_siphash_end(er_siphash *hash);

#endif
