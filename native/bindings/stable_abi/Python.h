/* The part of CPython's stable ABI that cffi's generated code uses. SPDX-License-Identifier: Apache-2.0
 *
 * The stable ABI (PEP 384, PEP 652; docs.python.org/3/c-api/stable.html) is frozen, so its functions may be declared
 * here as well as in an interpreter's own headers. Declaring them here lets the extension be built where python3-dev is
 * not installed, and makes every build on every machine the same one. References are counted through functions only
 * and no object is looked into, so nothing depends on an interpreter's layout. A symbol that cffi should come to need
 * and that is not here stops the compiler. */
#ifndef ERAI_STABLE_ABI_PYTHON_H
#define ERAI_STABLE_ABI_PYTHON_H

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef ssize_t Py_ssize_t;
typedef struct _object PyObject;
typedef struct _ts PyThreadState;

extern PyObject _Py_NoneStruct;
#define Py_None (&_Py_NoneStruct)

void Py_IncRef(PyObject *object);
void Py_DecRef(PyObject *object);
#define Py_INCREF(object) Py_IncRef(object)
#define Py_DECREF(object) Py_DecRef(object)
#define Py_XDECREF(object) Py_DecRef(object) /* the function allows NULL */

PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *state);
#define Py_BEGIN_ALLOW_THREADS \
    {                          \
        PyThreadState *erai_saved_thread = PyEval_SaveThread();
#define Py_END_ALLOW_THREADS                 \
    PyEval_RestoreThread(erai_saved_thread); \
    }

int PyArg_UnpackTuple(PyObject *arguments, const char *name, Py_ssize_t least, Py_ssize_t most, ...);
PyObject *PyErr_Occurred(void);
void Py_FatalError(const char *message) __attribute__((noreturn));
PyObject *PyImport_ImportModule(const char *name);
PyObject *PyObject_CallMethod(PyObject *object, const char *name, const char *format, ...);
void *PyObject_Malloc(size_t size);
void PyObject_Free(void *memory);

PyObject *PyBool_FromLong(long value);
PyObject *PyLong_FromLong(long value);
PyObject *PyLong_FromUnsignedLong(unsigned long value);
PyObject *PyLong_FromLongLong(long long value);
PyObject *PyLong_FromUnsignedLongLong(unsigned long long value);
PyObject *PyLong_FromVoidPtr(void *pointer);
PyObject *PyFloat_FromDouble(double value);
double PyFloat_AsDouble(PyObject *object);

#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *

#endif /* ERAI_STABLE_ABI_PYTHON_H */
