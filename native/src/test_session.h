/* A session without a model, of a policy that a test composes, and its calls. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_SESSION_H
#define ER_TEST_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

/* A policy with the float32 input "x", one value a row (at most 4096 rows) or, not batched, one value: finite, from -10
 * to 10. Whatever fails here ends the test. */
erai_policy *test_policy(int batched);

/* Adds a float32 output that has to be finite; beside that, what `rule` says: its shape, flags and default. */
void test_add_output(erai_policy *policy, const char *name, erai_output_rule rule);
void test_add_check(erai_policy *policy, erai_check_rule rule);
void test_set_decision(erai_policy *policy, erai_decision_rule rule);
void test_add_fallback(erai_policy *policy, uint64_t reasons, const uint32_t *chain, uint32_t steps);

/* Ends the policy. */
erai_session *test_session(erai_policy *policy, const erai_clock *clock);
erai_answer *test_answer(erai_session *session);

/* Admits the rows of `x` and judges the outputs: all of them, or none when no row was admitted. The rows admitted. */
size_t test_call(erai_session *session, erai_answer *answer, const float *x, size_t rows, const erai_tensor *outputs,
                 size_t count);

/* The same with one float32 output of `columns` a row. */
size_t test_call_floats(erai_session *session, erai_answer *answer, const float *x, size_t rows, const float *y,
                        size_t columns);

/* What the session counted of a decision, of a reason. */
uint64_t test_decisions(erai_session *session, erai_decision_count which);
uint64_t test_reasons(erai_session *session, erai_reason_code code);

#endif
