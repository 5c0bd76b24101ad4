/* SHA-256 as text; erai_sha256 is in the public header. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_SHA256_H
#define ER_SHA256_H

#include "edge_rai.h"

#define ER_DIGEST_HEX_SIZE (2 * ERAI_DIGEST_SIZE)

/* Writes 64 lower-case hexadecimal digits, without a terminating zero. */
void er_digest_hex(const uint8_t digest[ERAI_DIGEST_SIZE], char hex[ER_DIGEST_HEX_SIZE]);

#endif
