/* Models that Python objects run. SPDX-License-Identifier: Apache-2.0 */
#ifndef ERAI_RUNNER_H
#define ERAI_RUNNER_H

#include "Python.h"

/* Adds Stream and wait_for_runs to the module; 0, or -1 with an exception. */
int add_runner(PyObject *module);

/* Whether interruption(), called in this thread, has something to give. */
int interrupted(void);

/* A method of a type, `size` the bytes of its objects. */
PyObject *make_type(const char *name, size_t size, destructor destroy, PyMethodDef *methods);

#endif
