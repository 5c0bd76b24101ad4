/* A bundle's guard with one safeguard switched off, each in turn, for what that one costs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SAFEGUARDS_H
#define BENCH_SAFEGUARDS_H

#include "edge_rai.h"

/* The safeguards in the order in which a call meets them, and in the end all of them together: the names that
 * `edge-rai bench` has for them, too. */
enum { BENCH_SAFEGUARDS = 23 };
extern const char *const bench_safeguards[BENCH_SAFEGUARDS];

/* Writes the guard program without a safeguard into memory that the caller frees: NULL where the guard has none of that
 * kind. What a policy needs to be one stays: names, types and shapes. So do pardons such as for missing values: without
 * them rows would be rejected, and the model not asked. Returns UNSOUND with a sentence. */
int bench_guard_without(const erai_guard *guard, size_t safeguard, uint8_t **program, size_t *size, char *detail);

/* Opens a session of the bundle with another guard program. `config` as for erai_session_open. */
int bench_session_with(const erai_bundle *bundle, const uint8_t *program, size_t size,
                       const erai_session_config *config, erai_session **session, char *detail);

#endif
