/* SHA-256 as text, and HMAC-SHA-256; erai_sha256 is in the public header. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_SHA256_H
#define ER_SHA256_H

#include "edge_rai.h"

#define ER_DIGEST_HEX_SIZE (2 * ERAI_DIGEST_SIZE)

/* Writes 64 lower-case hexadecimal digits, without a terminating zero. */
void er_digest_hex(const uint8_t digest[ERAI_DIGEST_SIZE], char hex[ER_DIGEST_HEX_SIZE]);

#define ER_SHA256_BLOCK 64

typedef struct er_hmac {
    uint32_t state[8];
    uint8_t key[ERAI_DIGEST_SIZE], block[ER_SHA256_BLOCK];
    uint64_t size;
} er_hmac;

/* Of a message that comes in parts. */
void er_hmac_begin(er_hmac *hmac, const uint8_t key[ERAI_DIGEST_SIZE]);
void er_hmac_add(er_hmac *hmac, const void *data, size_t size);
void er_hmac_end(er_hmac *hmac, uint8_t digest[ERAI_DIGEST_SIZE]);

#endif
