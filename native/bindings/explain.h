/* What makes an answer more than a plain acceptance, as Python objects. SPDX-License-Identifier: Apache-2.0 */
#ifndef ERAI_EXPLAIN_H
#define ERAI_EXPLAIN_H

#include "Python.h"
#include "edge_rai.h"

/* Adds explain_with to the module; 0, or -1 with an exception. */
int add_explain(PyObject *module);

/* Sets it in an edge_rai.types.Answer. `subjects`: a dict of names by address, which learns those that it has not. 0
 * with an exception. */
int explain(const erai_answer *answer, PyObject *subjects, PyObject *to);

#endif
