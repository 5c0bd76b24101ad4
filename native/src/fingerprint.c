/* Fingerprints of rows: four lanes, each taking every fourth word of 64 bits by the round of XXH64 (Yann Collet,
 * xxhash.com), and the finalizer of MurmurHash3 over the four. Every step can be undone given the word, and gives
 * another lane for another word, so two sequences of blocks of the same sizes that differ in one word only never have
 * the same fingerprint; others do with a chance of about 2^-64. Fingerprints do not leave the process: they depend on
 * the order of bytes of the machine. */
#include "fingerprint.h"

#include <string.h>

#define LANES 4

static uint64_t absorb(uint64_t lane, uint64_t word) {
    lane += word * 0xC2B2AE3D27D4EB4Fu;
    return (lane << 31 | lane >> 33) * 0x9E3779B185EBCA87u;
}

/* fmix64 of MurmurHash3, a bijection. */
static uint64_t finish(uint64_t x) {
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

void er_fingerprint_begin(er_fingerprint *fingerprint) {
    for (uint64_t i = 0; i < LANES; i++) fingerprint->lanes[i] = finish(i + 1);
}

void er_fingerprint_add(er_fingerprint *fingerprint, const void *bytes, size_t size) {
    uint64_t words[LANES], a = fingerprint->lanes[0], b = fingerprint->lanes[1];
    uint64_t c = fingerprint->lanes[2], d = fingerprint->lanes[3];
    const unsigned char *from = bytes;
    size_t left = size;
    for (; left >= sizeof words; left -= sizeof words, from += sizeof words) {
        memcpy(words, from, sizeof words);
        a = absorb(a, words[0]);
        b = absorb(b, words[1]);
        c = absorb(c, words[2]);
        d = absorb(d, words[3]);
    }
    memset(words, 0, sizeof words);
    if (left) memcpy(words, from, left);
    fingerprint->lanes[0] = absorb(absorb(a, words[0]), size);
    fingerprint->lanes[1] = absorb(b, words[1]);
    fingerprint->lanes[2] = absorb(c, words[2]);
    fingerprint->lanes[3] = absorb(d, words[3]);
}

uint64_t er_fingerprint_end(const er_fingerprint *fingerprint) {
    uint64_t result = 0;
    for (int i = 0; i < LANES; i++) result = finish(result ^ fingerprint->lanes[i]);
    return result;
}
