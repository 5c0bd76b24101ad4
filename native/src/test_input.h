/* A session that guards one input, for tests. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_INPUT_H
#define ER_TEST_INPUT_H

#include "edge_rai.h"

typedef struct test_input {
    int batched;
    erai_input_rule rule;               /* struct_size and name are filled in */
    const erai_feature_rule *features;  /* one a feature; struct_size and name are filled in: "f0", "f1", ... */
    const erai_check_rule *checks;      /* NULL, or one a feature; kind 0: none */
    const erai_distance_rule *distance; /* NULL: none */
    int has_state; /* before it, an input "s" that output "t" is the next value of: one float32 a row */
} test_input;

/* Ends the test program when a rule is refused. The output is "y", of one float32 a row. */
erai_session *test_input_open(const test_input *input);

/* Marsaglia's xorshift64: the same numbers everywhere. */
uint64_t test_random(void);

#endif
