/* A session whose guard has checks, for tests of one row at a time. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_CHECKS_H
#define ER_TEST_CHECKS_H

#include "session.h"

#define TEST_CHECKED_FEATURES 3

/* An unbatched input "x" of (outer, 3, inner); without limits, and with this distance, or NULL. */
typedef struct test_layout {
    uint32_t dtype, flags;
    size_t outer, inner;
    const erai_distance_rule *distance;
} test_layout;

typedef struct test_checks {
    erai_session *session;
    erai_answer *answer;
    er_row row; /* of this layout, in order */
} test_checks;

/* The second feature, "f1", has the checks; a verdict and a struct_size of 0 stand for REJECT and the right one. */
test_checks test_checks_open(test_layout layout, const erai_check_rule *checks, size_t count);
void test_checks_close(test_checks *rig);

/* What er_check_row finds in a row: how many reasons. */
size_t test_check(test_checks *rig, const void *values);

#endif
