/* Outputs that no array shows, as Python objects. SPDX-License-Identifier: Apache-2.0 */
#ifndef ERAI_OBJECTS_H
#define ERAI_OBJECTS_H

#include "Python.h"
#include "edge_rai.h"

/* numpy's PyArray_NewFromDescr, and one object more that it ignores. */
typedef PyObject *(*make_array_fn)(PyObject *type, PyObject *dtype, int rank, const Py_ssize_t *shape,
                                   const Py_ssize_t *strides, void *data, int flags, PyObject *like);

typedef struct array_maker {
    PyObject *type;       /* numpy.ndarray */
    PyObject *of_objects; /* numpy.dtype(object) */
    make_array_fn make;
    void *(*data)(PyObject *array); /* where its elements are */
} array_maker;

/* Strings as an array of str, a sequence as a list, a map as a dict, nothing as None. NULL without an exception: of
 * something else, which is for Python to read. */
PyObject *object_of(const array_maker *arrays, const erai_value *value);

#endif
