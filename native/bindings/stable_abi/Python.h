/* The part of CPython's stable ABI that cffi's generated code, predict.c, objects.c, explain.c and runner.c use.
 * SPDX-License-Identifier: Apache-2.0
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
extern PyObject _Py_NotImplementedStruct;
#define Py_NotImplemented (&_Py_NotImplementedStruct)

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

/* ---- Of predict.c ---- */

void *PyLong_AsVoidPtr(PyObject *object);
Py_ssize_t PyLong_AsSsize_t(PyObject *object);
PyObject *PyUnicode_InternFromString(const char *text);
const char *PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size);
PyObject *PyTuple_New(Py_ssize_t size);
Py_ssize_t PyTuple_Size(PyObject *tuple);
PyObject *PyTuple_GetItem(PyObject *tuple, Py_ssize_t index);
int PyTuple_SetItem(PyObject *tuple, Py_ssize_t index, PyObject *value); /* keeps `value` without counting it */
PyObject *PyDict_New(void);
int PyDict_SetItem(PyObject *dictionary, PyObject *key, PyObject *value);
PyObject *PyObject_Call(PyObject *callable, PyObject *arguments, PyObject *keywords);
PyObject *PyObject_GetAttr(PyObject *object, PyObject *name);
PyObject *PyObject_GetAttrString(PyObject *object, const char *name);
int PyObject_SetAttr(PyObject *object, PyObject *name, PyObject *value);
void PyErr_Clear(void);
int PyErr_BadArgument(void);
PyObject *PyErr_NoMemory(void);
int PyCapsule_IsValid(PyObject *capsule, const char *name);
void *PyCapsule_GetPointer(PyObject *capsule, const char *name);

/* ---- Of objects.c ---- */

PyObject *PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors);
PyObject *PyList_New(Py_ssize_t size);
int PyList_SetItem(PyObject *list, Py_ssize_t index, PyObject *value); /* keeps `value` without counting it */

/* ---- Of explain.c ---- */

PyObject *PyBytes_FromStringAndSize(const char *bytes, Py_ssize_t size);
int PyDict_Contains(PyObject *dictionary, PyObject *key);
PyObject *PyObject_CallFunctionObjArgs(PyObject *callable, ...); /* up to a NULL */

/* ---- Of runner.c ---- */

int PyGILState_Ensure(void); /* an enumeration of two */
void PyGILState_Release(int state);
PyObject *PyObject_CallNoArgs(PyObject *callable);
PyObject *PyObject_Str(PyObject *object);
int PyObject_IsTrue(PyObject *object);
void PyErr_Fetch(PyObject **type, PyObject **value, PyObject **trace);
void PyErr_Restore(PyObject *type, PyObject *value, PyObject *trace); /* takes all three */
void PyErr_NormalizeException(PyObject **type, PyObject **value, PyObject **trace);
int PyErr_GivenExceptionMatches(PyObject *raised, PyObject *type);
unsigned long PyThread_get_thread_ident(void);
extern PyObject *PyExc_Exception;

/* Structures whose layout is part of the stable ABI. */
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef struct PyMethodDef {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;
#define METH_VARARGS 0x0001
#define METH_NOARGS 0x0004
#define METH_O 0x0008
#define METH_KEYWORDS 0x0002
#define METH_FASTCALL 0x0080
PyObject *PyDescr_NewMethod(PyObject *type, PyMethodDef *method);

typedef PyObject *(*newfunc)(PyObject *type, PyObject *arguments, PyObject *keywords);
typedef void (*destructor)(PyObject *object);
typedef void (*freefunc)(void *object);
typedef struct PyType_Slot {
    int slot;
    void *pfunc;
} PyType_Slot;
typedef struct PyType_Spec {
    const char *name;
    int basicsize;
    int itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;
#define Py_tp_dealloc 52
#define Py_tp_methods 64
#define Py_tp_new 65
#define Py_tp_free 74
#define Py_TPFLAGS_BASETYPE (1u << 10)
PyObject *PyType_FromSpec(PyType_Spec *spec);
void *PyType_GetSlot(PyObject *type, int slot);
int PyType_IsSubtype(PyObject *type, PyObject *base);

typedef struct PyModuleDef_Base {
    Py_ssize_t ob_refcnt;
    void *ob_type;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
} PyModuleDef_Base;
typedef struct PyModuleDef {
    PyModuleDef_Base m_base;
    const char *m_name;
    const char *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    void *m_slots;
    void *m_traverse;
    void *m_clear;
    void *m_free;
} PyModuleDef;
#define PyModuleDef_HEAD_INIT {.ob_refcnt = 1}
#define PYTHON_ABI_VERSION 3
PyObject *PyModule_Create2(PyModuleDef *definition, int abi_version);
int PyModule_AddObjectRef(PyObject *module, const char *name, PyObject *value);
int PyModule_AddFunctions(PyObject *module, PyMethodDef *functions);

#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *

#endif /* ERAI_STABLE_ABI_PYTHON_H */
