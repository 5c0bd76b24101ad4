/* edge_rai._predict: the usual prediction in one crossing. SPDX-License-Identifier: Apache-2.0
 *
 * Through cffi a prediction of a small model spends as long in Python's own work (pinning the input, copying the
 * output, making the answer) as in the guard and half the model. Here the usual call does that work in C: one input, C
 * order, aligned, of the type and shape of the call before; outputs where they were, or such as no array shows
 * (objects.c). Where rows were flagged or rejected explain.c says so. Anything else is for edge_rai/_native/session.py,
 * which also teaches this module what is usual.
 *
 * Nothing is decided here: erai_session_predict is called through its address. The module is limited to the stable ABI
 * of Python 3.10. It reads the fields of an array directly and makes arrays through numpy's table of functions, as
 * every extension built with numpy's headers does, because the buffer protocol and a method's call cost as much as the
 * guard. `prepare` first compares both with what a known array is, and where they are not as expected no call is usual.
 *
 * Everything here runs with the interpreter's lock held, but for the prediction itself and the copying of its outputs.
 * runner.c, in the same module, is the way back, for models that Python objects run.
 */
#include "edge_rai.h"
#include "explain.h"
#include "objects.h"
#include "runner.h"

#define MOST_OUTPUTS 16

typedef erai_status (*predict_fn)(erai_session *, const erai_tensor *, size_t, erai_answer *);
typedef erai_status (*value_fn)(const erai_answer *, size_t, erai_value *);
typedef unsigned (*abi_version_fn)(void);

/* What every object begins with, on a CPython whose objects begin with a count and a type. */
typedef struct object_fields {
    Py_ssize_t references;
    PyObject *type;
} object_fields;

/* The beginning of numpy's PyArrayObject_fields. */
typedef struct array_fields {
    object_fields object;
    void *data;
    int rank;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    PyObject *base;
    PyObject *dtype;
    int flags;
} array_fields;

enum {
    ARRAY_C_CONTIGUOUS = 0x0001,
    ARRAY_OWNS_DATA = 0x0004,
    ARRAY_ALIGNED = 0x0100,
    ARRAY_WRITEABLE = 0x0400,
    ARRAY_USUAL = ARRAY_C_CONTIGUOUS | ARRAY_ALIGNED,
    ARRAY_NEW = ARRAY_USUAL | ARRAY_OWNS_DATA | ARRAY_WRITEABLE
};

/* Slots of numpy's table, the same in every version of its ABI. */
enum { TABLE_ABI_VERSION = 0, TABLE_ARRAY_TYPE = 2, TABLE_NEW_FROM_DESCRIPTION = 94 };

/* numpy.ndarray and what makes one, from `prepare`; kept for ever. Without a type: they are not as they should be. */
static array_maker arrays;

static PyObject *call_type, *predictor_type, *no_arguments, *name_of_rows, *name_of_outputs;

typedef struct output {
    PyObject *name;
    PyObject *view; /* an array over the output where C leaves it; NULL: there is none */
    void *copy;     /* during a call: where the answer's own array has its data */
    size_t bytes;
} output;

/* One thread of calls, as a Python object: the base of edge_rai._native.session.Call. */
typedef struct usual {
    object_fields object;
    predict_fn predict;
    value_fn value;
    erai_session *session;
    erai_answer *answer;
    erai_tensor *input;
    const uint64_t *layout; /* see erai_answer_layout */
    PyObject *subjects;     /* names that reasons point to, by address */
    struct usual *next;     /* of the same session */
    int taken;              /* by a prediction, or for good by retire */
    int wanted;             /* somebody called retire in vain */
    uint64_t seen;          /* *layout of a plain answer when the following was learned; 0: nothing was */
    int rank;
    Py_ssize_t shape[ERAI_MAX_RANK];
    PyObject *dtype;
    PyObject *answer_type;
    newfunc new_answer;
    PyObject *rows;          /* NULL: as many as an answer has from its class */
    size_t outputs, objects; /* of which so many have no view */
    output output[MOST_OUTPUTS];
} usual;

/* What predicts through such calls, as a Python object: the base of edge_rai.session.Session. */
typedef struct predictor {
    object_fields object;
    usual *first; /* NULL: none yet */
} predictor;

static PyObject *none(void) {
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *bad_argument(void) {
    PyErr_BadArgument();
    return NULL;
}

static PyObject *kept(PyObject *object) {
    Py_IncRef(object);
    return object;
}

/* ---- Outputs that no array shows ---- */

static void *data_of(PyObject *array) {
    return ((array_fields *)array)->data;
}

/* NULL without an exception: it is for Python to read. */
static PyObject *object_at(const usual *call, size_t at) {
    erai_value value;
    return arrays.type && !call->value(call->answer, at, &value) ? object_of(&arrays, &value) : NULL;
}

/* UsualCall.object(index): an output as a Python object, or NotImplemented. */
static PyObject *object(PyObject *self, PyObject *index) {
    Py_ssize_t at = PyLong_AsSsize_t(index);
    if (at < 0) return PyErr_Occurred() ? NULL : bad_argument();
    PyObject *found = object_at((const usual *)self, (size_t)at);
    return found || PyErr_Occurred() ? found : kept(Py_NotImplemented);
}

/* Puts them into a usual answer, where None keeps their places. */
static int add_objects(usual *call, PyObject *answer) {
    PyObject *outputs = PyObject_GetAttr(answer, name_of_outputs);
    int failed = !outputs;
    for (size_t i = 0; !failed && i < call->outputs; i++) {
        if (call->output[i].view) continue;
        PyObject *found = object_at(call, i);
        if (!found && !PyErr_Occurred()) found = PyObject_CallMethod((PyObject *)call, "read", "n", (Py_ssize_t)i);
        failed = !found || PyDict_SetItem(outputs, call->output[i].name, found) != 0;
        Py_DecRef(found);
    }
    Py_DecRef(outputs);
    return !failed;
}

/* UsualCall.explain(answer): sets what makes an answer more than a plain acceptance. */
static PyObject *explain_call(PyObject *self, PyObject *answer) {
    const usual *call = (const usual *)self;
    return explain(call->answer, call->subjects, answer) ? none() : NULL;
}

/* ---- The usual call ---- */

/* Arrays themselves and no subclass: a subclass may mean something else by what it holds, as a masked array does. */
static int is_usual(const usual *call, const array_fields *array) {
    if (call->taken || !call->seen) return 0;
    if (array->object.type != arrays.type || array->dtype != call->dtype || array->rank != call->rank) return 0;
    if ((array->flags & ARRAY_USUAL) != ARRAY_USUAL) return 0;
    for (int i = 0; i < call->rank; i++)
        if (array->shape[i] != call->shape[i]) return 0;
    return 1;
}

/* An answer whose arrays wait for the outputs. */
static PyObject *make_answer(usual *call) {
    PyObject *outputs = PyDict_New();
    int failed = !outputs;
    for (size_t i = 0; !failed && i < call->outputs; i++) {
        output *to = &call->output[i];
        const array_fields *view = (const array_fields *)to->view;
        PyObject *copy =
            view ? arrays.make(arrays.type, kept(view->dtype), view->rank, view->shape, NULL, NULL, 0, NULL) : none();
        failed = !copy || PyDict_SetItem(outputs, to->name, copy) != 0;
        if (copy && view) to->copy = data_of(copy);
        Py_DecRef(copy);
    }
    PyObject *answer = failed ? NULL : call->new_answer(call->answer_type, no_arguments, NULL);
    if (answer && (PyObject_SetAttr(answer, name_of_outputs, outputs) != 0 ||
                   (call->rows && PyObject_SetAttr(answer, name_of_rows, call->rows) != 0))) {
        Py_DecRef(answer);
        answer = NULL;
    }
    Py_DecRef(outputs);
    return answer;
}

/* The call is free again, whatever came of it. That is done here, where no signal's exception can come between the end
 * of Python's part and this. A session that was closed meanwhile is told, for whom the call is then left. */
static PyObject *give_back(PyObject *session, usual *call, PyObject *answer) {
    int wanted = call->wanted;
    call->taken = call->wanted = 0;
    if (!wanted) return answer;
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *told = PyObject_CallMethod(session, "_leave", "");
    Py_DecRef(told);
    if (type) {
        PyErr_Restore(type, value, trace);
    } else if (!told) {
        Py_DecRef(answer);
        return NULL;
    }
    return answer;
}

/* The answer; or what the session's _finish makes of the call. The answer is made beforehand, so that its outputs can
 * be copied, however large, while other threads run. */
static PyObject *run(PyObject *session, usual *call, const array_fields *array) {
    call->taken = 1;
    PyObject *answer = make_answer(call);
    if (!answer) PyErr_Clear(); /* Python will do without it, or fail again */
    call->input->data = array->data;
    PyThreadState *thread = PyEval_SaveThread();
    erai_status status = call->predict(call->session, call->input, 1, call->answer);
    uint64_t layout = *call->layout;
    int explained = (layout & 1) != 0, as_ever = answer && !status && (layout & ~(uint64_t)1) == call->seen;
    for (size_t i = 0; as_ever && i < call->outputs; i++)
        if (call->output[i].view) memcpy(call->output[i].copy, data_of(call->output[i].view), call->output[i].bytes);
    PyEval_RestoreThread(thread);
    if (!as_ever || (explained && interrupted())) {
        Py_DecRef(answer);
        answer = PyObject_CallMethod(session, "_finish", "Oi", (PyObject *)call, (int)status);
    } else if ((explained && !explain(call->answer, call->subjects, answer)) ||
               (call->objects && !add_objects(call, answer))) {
        Py_DecRef(answer);
        answer = NULL;
    }
    return give_back(session, call, answer);
}

/* The method as it is written in Python. */
static PyObject *predict_as_written(PyObject *session, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    PyObject *method = PyObject_GetAttrString(session, "_predict_as_written");
    PyObject *arguments = PyTuple_New(count), *keywords = named ? PyDict_New() : NULL, *answer = NULL;
    int failed = !method || !arguments || (named && !keywords);
    for (Py_ssize_t i = 0; !failed && i < count; i++) failed = PyTuple_SetItem(arguments, i, kept(given[i])) != 0;
    for (Py_ssize_t i = 0; !failed && i < named; i++)
        failed = PyDict_SetItem(keywords, PyTuple_GetItem(names, i), given[count + i]) != 0;
    if (!failed) answer = PyObject_Call(method, arguments, keywords);
    Py_DecRef(method);
    Py_DecRef(arguments);
    Py_DecRef(keywords);
    return answer;
}

/* A free call for which the object is the usual array; or NULL. */
static usual *find(PyObject *self, PyObject *object) {
    usual *call = arrays.type ? ((predictor *)self)->first : NULL;
    while (call && !is_usual(call, (const array_fields *)object)) call = call->next;
    return call;
}

/* Predictor._usual(array): the answer; None when it is no usual call and nothing was done. */
static PyObject *predict_if_usual(PyObject *self, PyObject *array) {
    usual *call = find(self, array);
    return call ? run(self, call, (const array_fields *)array) : none();
}

/* Session.predict */
static PyObject *predict(PyObject *self, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    usual *call = count == 1 && !names ? find(self, given[0]) : NULL;
    return call ? run(self, call, (const array_fields *)given[0]) : predict_as_written(self, given, count, names);
}

/* method(type, doc): `predict` as a method of the type. */
static PyObject *method(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *type, *doc;
    if (!PyArg_UnpackTuple(arguments, "method", 2, 2, &type, &doc)) return NULL;
    if (!PyType_IsSubtype(type, predictor_type)) return bad_argument();
    const char *text = PyUnicode_AsUTF8AndSize(doc, NULL);
    PyMethodDef *definition = text ? PyObject_Malloc(sizeof *definition) : NULL; /* kept for ever, as the doc is */
    if (!definition) return text ? PyErr_NoMemory() : NULL;
    Py_IncRef(doc);
    *definition = (PyMethodDef){"predict", (PyCFunction)(void (*)(void))predict, METH_FASTCALL | METH_KEYWORDS, text};
    return PyDescr_NewMethod(type, definition);
}

/* ---- What is usual ---- */

static void forget(usual *call) {
    for (size_t i = 0; i < call->outputs; i++) {
        Py_DecRef(call->output[i].name);
        Py_DecRef(call->output[i].view);
    }
    Py_DecRef(call->dtype);
    Py_DecRef(call->answer_type);
    Py_DecRef(call->rows);
    call->dtype = call->answer_type = call->rows = NULL;
    call->outputs = call->objects = 0;
    call->seen = 0;
}

static int learn_output(usual *call, PyObject *name, PyObject *view) {
    if (view == Py_None) {
        call->output[call->outputs++] = (output){.name = kept(name)};
        call->objects++;
        return 1;
    }
    PyObject *bytes = PyObject_GetAttrString(view, "nbytes");
    Py_ssize_t size = bytes ? PyLong_AsSsize_t(bytes) : -1;
    Py_DecRef(bytes);
    if (size < 0) return 0;
    call->output[call->outputs++] = (output){.name = kept(name), .view = kept(view), .bytes = (size_t)size};
    return 1;
}

/* learn(shape, dtype, answer_type, rows, names, views): what a usual call is from now on; a view is None of what no
 * array shows; an answer is made by __new__ alone, so its class needs no __init__. learn(): no call is. */
static PyObject *learn(PyObject *self, PyObject *arguments) {
    usual *call = (usual *)self;
    PyObject *shape = NULL, *dtype = NULL, *answer = NULL, *rows = NULL, *names = NULL, *views = NULL;
    if (!PyArg_UnpackTuple(arguments, "learn", 0, 6, &shape, &dtype, &answer, &rows, &names, &views)) return NULL;
    forget(call);
    if (!views) return none();
    Py_ssize_t rank = PyTuple_Size(shape), outputs = PyTuple_Size(views), named = PyTuple_Size(names);
    if (PyErr_Occurred()) return NULL;
    if (rank > ERAI_MAX_RANK || outputs < 1 || outputs > MOST_OUTPUTS || named != outputs) return none();
    for (Py_ssize_t i = 0; i < rank; i++) call->shape[i] = PyLong_AsSsize_t(PyTuple_GetItem(shape, i));
    for (Py_ssize_t i = 0; i < outputs; i++)
        if (!learn_output(call, PyTuple_GetItem(names, i), PyTuple_GetItem(views, i))) return NULL;
    if (PyErr_Occurred()) return NULL;
    call->rank = (int)rank;
    call->dtype = kept(dtype);
    call->answer_type = kept(answer);
    call->new_answer = (newfunc)PyType_GetSlot(answer, Py_tp_new);
    if (rows != Py_None) call->rows = kept(rows);
    call->seen = *call->layout & ~(uint64_t)1;
    return none();
}

/* bind(predict, value, session, answer, input, layout, subjects): addresses, and a dict. */
static PyObject *bind(PyObject *self, PyObject *arguments) {
    usual *call = (usual *)self;
    PyObject *given[6], *subjects;
    void *addresses[6];
    if (!PyArg_UnpackTuple(arguments, "bind", 7, 7, &given[0], &given[1], &given[2], &given[3], &given[4], &given[5],
                           &subjects))
        return NULL;
    for (int i = 0; i < 6; i++) addresses[i] = PyLong_AsVoidPtr(given[i]);
    if (PyErr_Occurred()) return NULL;
    call->subjects = kept(subjects);
    memcpy(&call->predict, &addresses[0], sizeof addresses[0]);
    memcpy(&call->value, &addresses[1], sizeof addresses[1]);
    call->session = addresses[2];
    call->answer = addresses[3];
    call->input = addresses[4];
    call->layout = addresses[5];
    return none();
}

/* Ends a chain of calls with another. */
static PyObject *append(usual **end, PyObject *call) {
    if (!PyType_IsSubtype(((object_fields *)call)->type, call_type)) return bad_argument();
    while (*end) end = &(*end)->next;
    *end = (usual *)kept(call);
    return none();
}

/* Predictor._add(call): what to predict through. */
static PyObject *add_first(PyObject *self, PyObject *call) {
    return append(&((predictor *)self)->first, call);
}

/* UsualCall.add(call): what to predict through when this call and those added before are taken. */
static PyObject *add_next(PyObject *self, PyObject *call) {
    return append(&((usual *)self)->next, call);
}

/* lend(arrays, keys): what `run` of the call, as it is written in Python, makes of them, while nobody else has the
 * call; None when somebody has it. */
static PyObject *lend(PyObject *self, PyObject *arguments) {
    usual *call = (usual *)self;
    if (call->taken) return none();
    call->taken = 1;
    PyObject *run = PyObject_GetAttrString(self, "run");
    PyObject *answer = run ? PyObject_Call(run, arguments, NULL) : NULL;
    Py_DecRef(run);
    call->taken = call->wanted = 0;
    return answer;
}

/* retire(): whether the call was free, and nobody gets it any more. What is running ends in Python, which sees to it.
 */
static PyObject *retire(PyObject *self, PyObject *unused) {
    (void)unused;
    usual *call = (usual *)self;
    call->wanted = call->taken;
    call->taken = 1;
    return PyBool_FromLong(!call->wanted);
}

static void release(PyObject *self) {
    PyObject *type = ((object_fields *)self)->type;
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DecRef(type);
}

static void destroy_call(PyObject *self) {
    usual *call = (usual *)self;
    forget(call);
    Py_DecRef(call->subjects);
    Py_DecRef((PyObject *)call->next);
    release(self);
}

static void destroy_predictor(PyObject *self) {
    Py_DecRef((PyObject *)((predictor *)self)->first);
    release(self);
}

/* ---- The module ---- */

/* Whether numpy's table makes an array of (rows, columns) as this file believes. */
static int makes_arrays(PyObject *type, PyObject *dtype, const Py_ssize_t *shape, make_array_fn make) {
    PyObject *array = make(type, kept(dtype), 2, shape, NULL, NULL, 0, NULL);
    if (!array) {
        PyErr_Clear();
        return 0;
    }
    const array_fields *made = (const array_fields *)array;
    int as_expected = made->object.type == type && made->dtype == dtype && made->rank == 2 && made->data &&
                      made->shape[0] == shape[0] && made->shape[1] == shape[1] &&
                      (made->flags & ARRAY_NEW) == ARRAY_NEW;
    Py_DecRef(array);
    return as_expected;
}

/* prepare(array, type, dtype, address, rows, columns, table, objects): what those fields of an array should be, numpy's
 * table of functions, and the type of an array of objects. Whether they are, and calls may be usual. */
static PyObject *prepare(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *array, *type, *dtype, *address, *rows, *columns, *table, *objects;
    if (!PyArg_UnpackTuple(arguments, "prepare", 8, 8, &array, &type, &dtype, &address, &rows, &columns, &table,
                           &objects))
        return NULL;
    const array_fields *fields = (const array_fields *)array;
    if (!PyCapsule_IsValid(table, NULL)) return PyBool_FromLong(0);
    void *data = PyLong_AsVoidPtr(address), **functions = PyCapsule_GetPointer(table, NULL);
    Py_ssize_t shape[2] = {PyLong_AsSsize_t(rows), PyLong_AsSsize_t(columns)};
    if (PyErr_Occurred()) return NULL;
    abi_version_fn abi_version;
    make_array_fn make;
    memcpy(&abi_version, &functions[TABLE_ABI_VERSION], sizeof abi_version);
    memcpy(&make, &functions[TABLE_NEW_FROM_DESCRIPTION], sizeof make);
    int as_expected = fields->object.type == type && fields->data == data && fields->rank == 2 &&
                      fields->dtype == dtype && (fields->flags & ARRAY_USUAL) == ARRAY_USUAL &&
                      fields->shape[0] == shape[0] && fields->shape[1] == shape[1];
    unsigned version = as_expected ? abi_version() >> 24 : 0;
    as_expected =
        (version == 1 || version == 2) && functions[TABLE_ARRAY_TYPE] == type && makes_arrays(type, dtype, shape, make);
    if (as_expected && !arrays.type)
        arrays = (array_maker){.type = kept(type), .of_objects = kept(objects), .make = make, .data = data_of};
    return PyBool_FromLong(as_expected);
}

PyObject *make_type(const char *name, size_t size, destructor destroy, PyMethodDef *methods) {
    PyType_Slot slots[] = {{Py_tp_dealloc, (void *)destroy}, {Py_tp_methods, methods}, {0, NULL}};
    PyType_Spec spec = {.name = name, .basicsize = (int)size, .flags = Py_TPFLAGS_BASETYPE, .slots = slots};
    return PyType_FromSpec(&spec);
}

PyMODINIT_FUNC PyInit__predict(void) {
    static PyMethodDef functions[] = {
        {"prepare", prepare, METH_VARARGS, NULL}, {"method", method, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
    static PyMethodDef of_predictor[] = {
        {"_add", add_first, METH_O, NULL}, {"_usual", predict_if_usual, METH_O, NULL}, {NULL, NULL, 0, NULL}};
    static PyMethodDef of_call[] = {{"bind", bind, METH_VARARGS, NULL},      {"add", add_next, METH_O, NULL},
                                    {"learn", learn, METH_VARARGS, NULL},    {"lend", lend, METH_VARARGS, NULL},
                                    {"retire", retire, METH_NOARGS, NULL},   {"object", object, METH_O, NULL},
                                    {"explain", explain_call, METH_O, NULL}, {NULL, NULL, 0, NULL}};
    static PyModuleDef definition = {
        .m_base = PyModuleDef_HEAD_INIT, .m_name = "edge_rai._predict", .m_methods = functions};
    PyObject *module = PyModule_Create2(&definition, PYTHON_ABI_VERSION);
    call_type = make_type("edge_rai._predict.UsualCall", sizeof(usual), destroy_call, of_call);
    predictor_type = make_type("edge_rai._predict.Predictor", sizeof(predictor), destroy_predictor, of_predictor);
    no_arguments = PyTuple_New(0);
    name_of_rows = PyUnicode_InternFromString("rows");
    name_of_outputs = PyUnicode_InternFromString("outputs");
    if (module && call_type && predictor_type && no_arguments && name_of_rows && name_of_outputs &&
        PyModule_AddObjectRef(module, "UsualCall", call_type) == 0 &&
        PyModule_AddObjectRef(module, "Predictor", predictor_type) == 0 && add_explain(module) == 0 &&
        add_runner(module) == 0)
        return module;
    Py_DecRef(module);
    return NULL;
}
