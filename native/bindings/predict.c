/* edge_rai._predict: the usual prediction in one crossing. SPDX-License-Identifier: Apache-2.0
 *
 * Through cffi a prediction of a small model spends as long in Python's own work (pinning the input, copying the
 * output, making the answer) as in the guard and half the model. Here the usual call does that work in C: one input of
 * float32, C order, aligned and of the shape of the call before; every row accepted; outputs where they were. Anything
 * else is answered by edge_rai/_native/session.py, which also teaches this module what is usual.
 *
 * Nothing is decided here: erai_session_predict is called through its address. The module is limited to the stable ABI
 * of Python 3.10. It reads the fields of an array directly, as every extension built with numpy's headers does, because
 * the buffer protocol costs as much as the guard; `prepare` first compares them with a known array, and where they are
 * not as expected no call is usual. */
#include "Python.h"

#include "edge_rai.h"

#define MOST_OUTPUTS 16

typedef erai_status (*predict_fn)(erai_session *, const erai_tensor *, size_t, erai_answer *);

/* The beginning of numpy's PyArrayObject_fields, on a CPython whose objects begin with a count and a type. */
typedef struct array_fields {
    Py_ssize_t references;
    PyObject *type;
    void *data;
    int rank;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    PyObject *base;
    PyObject *dtype;
    int flags;
} array_fields;

enum { ARRAY_C_CONTIGUOUS = 0x0001, ARRAY_ALIGNED = 0x0100, ARRAY_USUAL = ARRAY_C_CONTIGUOUS | ARRAY_ALIGNED };

/* numpy.ndarray and its float32, from `prepare`; kept for ever. NULL: the fields are not where they should be. */
static PyObject *array_type, *float32;

typedef struct usual {
    predict_fn predict;
    erai_session *session;
    erai_answer *answer;
    erai_tensor *input;
    const uint64_t *accepted;
    int taken;     /* by a prediction, or by whoever called take; changed with the interpreter's lock held */
    int wanted;    /* somebody called take in vain: what is running ends with an integer, for Python to see to it */
    uint64_t seen; /* what *accepted was when the following was learned; 0: nothing was */
    int rank;
    Py_ssize_t shape[ERAI_MAX_RANK];
    Py_ssize_t outputs;
    PyObject *names[MOST_OUTPUTS];
    PyObject *copies[MOST_OUTPUTS]; /* bound methods: each gives a copy of an output */
    PyObject *make_answer;
    PyObject *rows; /* NULL: as many as an answer has from its class */
    PyObject *name_of_rows, *name_of_outputs;
} usual;

static const char capsule_name[] = "edge_rai._predict";

static void forget(usual *state) {
    for (Py_ssize_t i = 0; i < state->outputs; i++) {
        Py_DecRef(state->names[i]);
        Py_DecRef(state->copies[i]);
    }
    Py_DecRef(state->make_answer);
    Py_DecRef(state->rows);
    state->make_answer = state->rows = NULL;
    state->outputs = 0;
    state->seen = 0;
}

/* Arrays themselves and no subclass: a subclass may mean something else by what it holds, as a masked array does. */
static int is_usual(const usual *state, const array_fields *array) {
    if (array->type != array_type || array->dtype != float32 || array->rank != state->rank) return 0;
    if ((array->flags & ARRAY_USUAL) != ARRAY_USUAL) return 0;
    for (int i = 0; i < state->rank; i++)
        if (array->shape[i] != state->shape[i]) return 0;
    return 1;
}

static PyObject *copy_outputs(const usual *state) {
    PyObject *outputs = PyDict_New();
    for (Py_ssize_t i = 0; outputs && i < state->outputs; i++) {
        PyObject *copy = PyObject_CallNoArgs(state->copies[i]);
        int failed = !copy || PyDict_SetItem(outputs, state->names[i], copy) != 0;
        Py_DecRef(copy);
        if (!failed) continue;
        Py_DecRef(outputs);
        outputs = NULL;
    }
    return outputs;
}

static PyObject *make_answer(const usual *state) {
    PyObject *outputs = copy_outputs(state);
    PyObject *answer = outputs ? PyObject_CallNoArgs(state->make_answer) : NULL;
    if (answer && (PyObject_SetAttr(answer, state->name_of_outputs, outputs) != 0 ||
                   (state->rows && PyObject_SetAttr(answer, state->name_of_rows, state->rows) != 0))) {
        Py_DecRef(answer);
        answer = NULL;
    }
    Py_DecRef(outputs);
    return answer;
}

static PyObject *none(void) {
    Py_IncRef(Py_None);
    return Py_None;
}

/* predict(array): the answer; or None when the array is not the usual one or the call is taken, and nothing was done;
 * or, when the prediction was made and is not the usual one, its status as an integer: then the call stays taken. */
static PyObject *predict(PyObject *self, PyObject *array) {
    usual *state = PyCapsule_GetPointer(self, capsule_name);
    if (!state) return NULL;
    const array_fields *fields = (const array_fields *)array;
    if (!state->seen || state->taken || !array_type || !is_usual(state, fields)) return none();
    state->taken = 1;
    state->input->data = fields->data;
    PyThreadState *thread = PyEval_SaveThread();
    erai_status status = state->predict(state->session, state->input, 1, state->answer);
    PyEval_RestoreThread(thread);
    if (status || state->wanted || *state->accepted != state->seen) return PyLong_FromLong(status);
    PyObject *answer = make_answer(state);
    if (state->wanted) { /* meanwhile: copying large outputs lets other threads run */
        Py_DecRef(answer);
        PyErr_Clear();
        return PyLong_FromLong(status);
    }
    state->taken = 0;
    return answer;
}

/* take(): whether the call was free; it is the caller's now. */
static PyObject *take(PyObject *self, PyObject *unused) {
    (void)unused;
    usual *state = PyCapsule_GetPointer(self, capsule_name);
    if (!state) return NULL;
    int was_free = !state->taken;
    state->wanted = state->taken;
    state->taken = 1;
    return PyBool_FromLong(was_free);
}

/* give(): the call is free. */
static PyObject *give(PyObject *self, PyObject *unused) {
    (void)unused;
    usual *state = PyCapsule_GetPointer(self, capsule_name);
    if (!state) return NULL;
    state->taken = state->wanted = 0;
    return none();
}

/* learn(shape, make_answer, rows, names, copies): what a usual call is from now on. learn(): nothing is. For whoever
 * took the call. */
static PyObject *learn(PyObject *self, PyObject *arguments) {
    usual *state = PyCapsule_GetPointer(self, capsule_name);
    if (!state) return NULL;
    PyObject *shape = NULL, *answer = NULL, *rows = NULL, *names = NULL, *copies = NULL;
    if (!PyArg_UnpackTuple(arguments, "learn", 0, 5, &shape, &answer, &rows, &names, &copies)) return NULL;
    forget(state);
    Py_ssize_t rank = shape ? PyTuple_Size(shape) : -1, outputs = copies ? PyTuple_Size(copies) : -1;
    Py_ssize_t named = names ? PyTuple_Size(names) : -1;
    if (PyErr_Occurred()) return NULL;
    if (rank >= 0 && rank <= ERAI_MAX_RANK && outputs > 0 && outputs <= MOST_OUTPUTS && named == outputs) {
        for (Py_ssize_t i = 0; i < rank; i++) state->shape[i] = PyLong_AsSsize_t(PyTuple_GetItem(shape, i));
        if (PyErr_Occurred()) return NULL;
        state->rank = (int)rank;
        for (; state->outputs < outputs; state->outputs++) {
            Py_IncRef(state->names[state->outputs] = PyTuple_GetItem(names, state->outputs));
            Py_IncRef(state->copies[state->outputs] = PyTuple_GetItem(copies, state->outputs));
        }
        Py_IncRef(state->make_answer = answer);
        if (rows != Py_None) Py_IncRef(state->rows = rows);
        state->seen = *state->accepted;
    }
    return none();
}

static void destroy(PyObject *capsule) {
    usual *state = PyCapsule_GetPointer(capsule, capsule_name);
    forget(state);
    Py_DecRef(state->name_of_rows);
    Py_DecRef(state->name_of_outputs);
    PyObject_Free(state);
}

/* bind(predict, session, answer, input, accepted), addresses all: (predict, learn, take, give), with the call taken. */
static PyObject *bind(PyObject *self, PyObject *arguments) {
    static PyMethodDef methods[4] = {{"predict", predict, METH_O, NULL},
                                     {"learn", learn, METH_VARARGS, NULL},
                                     {"take", take, METH_NOARGS, NULL},
                                     {"give", give, METH_NOARGS, NULL}};
    (void)self;
    PyObject *given[5], *functions[4] = {NULL};
    void *addresses[5];
    if (!PyArg_UnpackTuple(arguments, "bind", 5, 5, &given[0], &given[1], &given[2], &given[3], &given[4])) return NULL;
    for (int i = 0; i < 5; i++) addresses[i] = PyLong_AsVoidPtr(given[i]);
    if (PyErr_Occurred()) return NULL;
    usual *state = PyObject_Malloc(sizeof *state);
    if (!state) return PyErr_NoMemory();
    memset(state, 0, sizeof *state);
    memcpy(&state->predict, &addresses[0], sizeof addresses[0]);
    state->session = addresses[1];
    state->answer = addresses[2];
    state->input = addresses[3];
    state->accepted = addresses[4];
    state->taken = 1;
    state->name_of_rows = PyUnicode_InternFromString("rows");
    state->name_of_outputs = PyUnicode_InternFromString("outputs");
    PyObject *capsule = PyCapsule_New(state, capsule_name, destroy);
    if (!capsule) {
        PyObject_Free(state);
        return NULL;
    }
    int made = 1;
    for (int i = 0; i < 4; i++) made &= (functions[i] = PyCFunction_NewEx(&methods[i], capsule, NULL)) != NULL;
    PyObject *bound = made ? PyTuple_Pack(4, functions[0], functions[1], functions[2], functions[3]) : NULL;
    for (int i = 0; i < 4; i++) Py_DecRef(functions[i]);
    Py_DecRef(capsule);
    return bound;
}

/* prepare(array, type, dtype, address, rows, columns): what those fields of an array of float32 should be. Whether they
 * are, and calls may be usual. */
static PyObject *prepare(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *array, *type, *dtype, *address, *rows, *columns;
    if (!PyArg_UnpackTuple(arguments, "prepare", 6, 6, &array, &type, &dtype, &address, &rows, &columns)) return NULL;
    const array_fields *fields = (const array_fields *)array;
    void *data = PyLong_AsVoidPtr(address);
    Py_ssize_t shape[2] = {PyLong_AsSsize_t(rows), PyLong_AsSsize_t(columns)};
    if (PyErr_Occurred()) return NULL;
    int as_expected = fields->type == type && fields->data == data && fields->rank == 2 && fields->dtype == dtype &&
                      (fields->flags & ARRAY_USUAL) == ARRAY_USUAL && fields->shape[0] == shape[0] &&
                      fields->shape[1] == shape[1];
    if (as_expected && !array_type) {
        Py_IncRef(float32 = dtype);
        Py_IncRef(array_type = type);
    }
    return PyBool_FromLong(as_expected);
}

PyMODINIT_FUNC PyInit__predict(void) {
    static PyMethodDef methods[] = {
        {"prepare", prepare, METH_VARARGS, NULL}, {"bind", bind, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
    static PyModuleDef module = {.m_base = PyModuleDef_HEAD_INIT, .m_name = "edge_rai._predict", .m_methods = methods};
    return PyModule_Create2(&module, PYTHON_ABI_VERSION);
}
