/* SHA-256 (FIPS 180-4) in portable C, and HMAC (RFC 2104) with it. The message schedule is kept as a ring of sixteen
 * words.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

#include <string.h>

#define BLOCK_SIZE ER_SHA256_BLOCK

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned count) {
    return x >> count | x << (32 - count);
}

static void compress(uint32_t state[8], const uint8_t block[BLOCK_SIZE]) {
    uint32_t w[16];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned i = 0; i < 64; i++) {
        if (i < 16) {
            const uint8_t *p = block + (size_t)4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        } else {
            uint32_t early = w[(i + 1) % 16], late = w[(i + 14) % 16];
            w[i % 16] += (rotate(early, 7) ^ rotate(early, 18) ^ early >> 3) + w[(i + 9) % 16] +
                         (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
        }
        uint32_t first =
            h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + round_constants[i] + w[i % 16];
        uint32_t second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first;
        d = c, c = b, b = a, a = first + second;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static const uint32_t beginning[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* The last bytes, fewer than a block, of a message of `size`. */
static void finish(uint32_t state[8], const uint8_t *rest, uint64_t size, uint8_t digest[ERAI_DIGEST_SIZE]) {
    size_t left = size % BLOCK_SIZE;
    uint8_t tail[2 * BLOCK_SIZE] = {0};
    if (left > 0) memcpy(tail, rest, left);
    tail[left] = 0x80;
    size_t tail_size = left < BLOCK_SIZE - 8 ? BLOCK_SIZE : 2 * BLOCK_SIZE;
    uint64_t bits = size * 8;
    for (unsigned i = 0; i < 8; i++) tail[tail_size - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (size_t i = 0; i < tail_size; i += BLOCK_SIZE) compress(state, tail + i);
    for (unsigned i = 0; i < ERAI_DIGEST_SIZE; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void erai_sha256(const void *data, size_t size, uint8_t digest[ERAI_DIGEST_SIZE]) {
    uint32_t state[8];
    memcpy(state, beginning, sizeof state);
    const uint8_t *bytes = data;
    size_t left = size;
    for (; left >= BLOCK_SIZE; left -= BLOCK_SIZE, bytes += BLOCK_SIZE) compress(state, bytes);
    finish(state, bytes, size, digest);
}

/* ---- HMAC ---- */

static void begin_keyed(er_hmac *hmac, uint8_t pad) {
    memcpy(hmac->state, beginning, sizeof hmac->state);
    for (size_t i = 0; i < BLOCK_SIZE; i++) hmac->block[i] = pad;
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) hmac->block[i] ^= hmac->key[i];
    compress(hmac->state, hmac->block);
    hmac->size = BLOCK_SIZE;
}

void er_hmac_begin(er_hmac *hmac, const uint8_t key[ERAI_DIGEST_SIZE]) {
    memcpy(hmac->key, key, ERAI_DIGEST_SIZE);
    begin_keyed(hmac, 0x36);
}

void er_hmac_add(er_hmac *hmac, const void *data, size_t size) {
    const uint8_t *bytes = data;
    while (size) {
        size_t at = hmac->size % BLOCK_SIZE, room = BLOCK_SIZE - at, taken = size < room ? size : room;
        memcpy(hmac->block + at, bytes, taken);
        hmac->size += taken;
        bytes += taken;
        size -= taken;
        if (taken == room) compress(hmac->state, hmac->block);
    }
}

void er_hmac_end(er_hmac *hmac, uint8_t digest[ERAI_DIGEST_SIZE]) {
    uint8_t inner[ERAI_DIGEST_SIZE];
    finish(hmac->state, hmac->block, hmac->size, inner);
    begin_keyed(hmac, 0x5c);
    er_hmac_add(hmac, inner, sizeof inner);
    finish(hmac->state, hmac->block, hmac->size, digest);
}

void er_digest_hex(const uint8_t digest[ERAI_DIGEST_SIZE], char hex[ER_DIGEST_HEX_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
}
