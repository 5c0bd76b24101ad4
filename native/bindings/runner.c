/* Models that Python objects run: `run` of an erai_runtime (edge_rai.h) for an object that knows where its model reads
 * and writes. SPDX-License-Identifier: Apache-2.0
 *
 * A stream of runs is a Python object whose class derives from Stream. It says once where inputs are to be put, what to
 * call, and where outputs then are; a run copies the inputs there, calls, and hands the outputs' places on. Python
 * itself is asked again only when inputs come in other shapes, and after each run of a model that may move its outputs.
 *
 * The interpreter's lock is held for that call alone, which gives it back while the model computes. A run may come on a
 * thread that Python has never seen, from a session with a deadline. */
#include "runner.h"

#include "edge_rai.h"

#include <stdint.h>
#include <time.h>

#define MOST_PLACES 256

typedef struct place {
    void *data;
    size_t bytes;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank, dtype;
} place;

typedef struct side {
    place *places;
    size_t count;
} side;

typedef struct stream {
    Py_ssize_t references; /* what every object begins with, */
    PyObject *type;        /* on a CPython whose objects begin with a count and a type */
    PyObject *call;        /* NULL: bind was not called, or unbind was */
    PyObject *said;        /* how the last failure read as a whole; NULL: there was none */
    int moves;             /* `look` is called after each run */
    side inputs, outputs;
} stream;

/* Runs under way, those that a session has left at their deadline among them. */
static size_t running;

/* What Python raised in a run or an opening and is no Exception, such as the KeyboardInterrupt of a signal that came
 * meanwhile: no failure of the model, but the caller's to get. */
static struct {
    PyObject *raised; /* NULL: nothing */
    unsigned long thread;
} interruption;

static void forget(stream *self) {
    Py_DecRef(self->call);
    self->call = NULL;
}

/* ---- A run ---- */

static int fits(const stream *self, const erai_tensor *inputs) {
    if (!self->call) return 0;
    for (size_t i = 0; i < self->inputs.count; i++) {
        const place *to = &self->inputs.places[i];
        if (to->rank != inputs[i].rank || to->dtype != inputs[i].dtype ||
            (to->rank && memcmp(to->shape, inputs[i].shape, to->rank * sizeof *to->shape) != 0))
            return 0;
    }
    return 1;
}

static void copy_inputs(const stream *self, const erai_tensor *inputs) {
    for (size_t i = 0; i < self->inputs.count; i++)
        if (self->inputs.places[i].bytes)
            memcpy(self->inputs.places[i].data, inputs[i].data, self->inputs.places[i].bytes);
}

static void show_outputs(const stream *self, erai_tensor *outputs) {
    for (size_t i = 0; i < self->outputs.count; i++) {
        const place *from = &self->outputs.places[i];
        outputs[i] = (erai_tensor){.data = from->data, .shape = from->shape, .rank = from->rank, .dtype = from->dtype};
    }
}

static void keep_interruption(PyObject *raised) {
    Py_DecRef(interruption.raised);
    Py_IncRef(raised);
    interruption.raised = raised;
    interruption.thread = PyThread_get_thread_ident();
}

/* The part of what is said now that was not said last time: LiteRT's failures come with all those before them. */
static const char *unsaid(const stream *self, const char *text, size_t size) {
    Py_ssize_t before = 0;
    const char *last = self->said ? PyUnicode_AsUTF8AndSize(self->said, &before) : NULL;
    return last && (size_t)before < size && memcmp(text, last, (size_t)before) == 0 ? text + before : text;
}

/* What Python has raised, in one line, as the detail. */
static erai_status say(stream *self, char *detail) {
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value && !PyErr_GivenExceptionMatches(value, PyExc_Exception)) keep_interruption(value);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    Py_ssize_t size = 0;
    const char *bytes = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    PyErr_Clear();
    int silent = !bytes || !size;
    snprintf(detail, ERAI_DETAIL_SIZE, "%s",
             silent ? "the interpreter failed and did not say how" : unsaid(self, bytes, (size_t)size));
    for (char *at = detail; *at; at++)
        if (*at == '\n') *at = ' ';
    Py_DecRef(self->said);
    self->said = silent ? NULL : text;
    if (silent) Py_DecRef(text);
    Py_DecRef(type);
    Py_DecRef(value);
    Py_DecRef(trace);
    return ERAI_E_INFERENCE;
}

static PyObject *shape_of(const erai_tensor *tensor) {
    PyObject *shape = PyTuple_New((Py_ssize_t)tensor->rank);
    for (uint32_t axis = 0; shape && axis < tensor->rank; axis++)
        PyTuple_SetItem(shape, (Py_ssize_t)axis, PyLong_FromLongLong(tensor->shape[axis]));
    return shape;
}

/* Asks the object to make itself ready for inputs of these shapes. Whether it is. */
static int prepare(stream *self, const erai_tensor *inputs) {
    PyObject *shapes = PyTuple_New((Py_ssize_t)self->inputs.count);
    for (size_t i = 0; shapes && i < self->inputs.count; i++)
        PyTuple_SetItem(shapes, (Py_ssize_t)i, shape_of(&inputs[i]));
    PyObject *done = shapes ? PyObject_CallMethod((PyObject *)self, "prepare", "(O)", shapes) : NULL;
    Py_DecRef(shapes);
    Py_DecRef(done);
    return done != NULL;
}

/* Whether the call, and what is asked after it, went well. */
static int invoke(stream *self) {
    PyObject *done = PyObject_CallNoArgs(self->call);
    Py_DecRef(done);
    if (done && self->moves) {
        done = PyObject_CallMethod((PyObject *)self, "look", "");
        Py_DecRef(done);
    }
    return done != NULL;
}

/* Where everything is after a run that failed, nobody knows. */
static erai_status call(stream *self, const erai_tensor *inputs, int ready, char *detail) {
    if (!ready) {
        if (!prepare(self, inputs)) return say(self, detail);
        if (!fits(self, inputs)) {
            snprintf(detail, ERAI_DETAIL_SIZE, "the interpreter has other inputs than its model says");
            return ERAI_E_INFERENCE;
        }
        copy_inputs(self, inputs);
    }
    if (invoke(self)) return ERAI_OK;
    erai_status status = say(self, detail);
    forget(self);
    return status;
}

static erai_status run(void *given, const erai_tensor *inputs, erai_tensor *outputs, char *detail) {
    stream *self = given;
    int ready = fits(self, inputs);
    if (ready) copy_inputs(self, inputs);
    __atomic_add_fetch(&running, 1, __ATOMIC_ACQ_REL);
    int lock = PyGILState_Ensure();
    erai_status status = call(self, inputs, ready, detail);
    PyGILState_Release(lock);
    __atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL);
    if (!status) show_outputs(self, outputs);
    return status;
}

/* ---- What a stream is told ---- */

static PyObject *none(void) {
    Py_IncRef(Py_None);
    return Py_None;
}

/* One of a tuple of (address, bytes, dtype, shape). */
static int read_place(PyObject *given, place *to) {
    PyObject *field[4];
    if (!PyArg_UnpackTuple(given, "place", 4, 4, &field[0], &field[1], &field[2], &field[3])) return 0;
    Py_ssize_t rank = PyTuple_Size(field[3]);
    if (rank < 0 || rank > ERAI_MAX_RANK) return 0;
    to->data = PyLong_AsVoidPtr(field[0]);
    to->bytes = (size_t)PyLong_AsSsize_t(field[1]);
    to->dtype = (uint32_t)PyLong_AsSsize_t(field[2]);
    to->rank = (uint32_t)rank;
    for (Py_ssize_t axis = 0; axis < rank; axis++) to->shape[axis] = PyLong_AsSsize_t(PyTuple_GetItem(field[3], axis));
    return !PyErr_Occurred();
}

static int read_side(PyObject *given, side *to) {
    Py_ssize_t count = PyTuple_Size(given);
    if (count != (Py_ssize_t)to->count) return PyErr_BadArgument();
    for (Py_ssize_t i = 0; i < count; i++)
        if (!read_place(PyTuple_GetItem(given, i), &to->places[i])) return PyErr_Occurred() ? 0 : PyErr_BadArgument();
    return 1;
}

/* size(inputs, outputs): how many there are, before anything else. */
static PyObject *size_stream(PyObject *object, PyObject *arguments) {
    stream *self = (stream *)object;
    PyObject *given[2];
    if (!PyArg_UnpackTuple(arguments, "size", 2, 2, &given[0], &given[1])) return NULL;
    for (int i = 0; i < 2; i++) {
        side *to = i ? &self->outputs : &self->inputs;
        Py_ssize_t count = PyLong_AsSsize_t(given[i]);
        if (count < 1 || count > MOST_PLACES || to->places) {
            PyErr_BadArgument();
            return NULL;
        }
        to->places = calloc((size_t)count, sizeof *to->places);
        if (!to->places) return PyErr_NoMemory();
        to->count = (size_t)count;
    }
    return none();
}

/* unbind(): the places are no more; the next run calls prepare(shapes). */
static PyObject *unbind(PyObject *object, PyObject *unused) {
    (void)unused;
    forget((stream *)object);
    return none();
}

/* said(): bytes of how the last failure read as a whole. */
static PyObject *bytes_said(PyObject *object, PyObject *unused) {
    (void)unused;
    Py_ssize_t size = 0;
    const stream *self = (const stream *)object;
    if (self->said && !PyUnicode_AsUTF8AndSize(self->said, &size)) return NULL;
    return PyLong_FromLongLong(size);
}

/* bind(call, inputs, outputs, moves): what a run calls, and the places, each (address, bytes, dtype, shape). */
static PyObject *bind(PyObject *object, PyObject *arguments) {
    stream *self = (stream *)object;
    PyObject *callable, *inputs, *outputs, *moves;
    if (!PyArg_UnpackTuple(arguments, "bind", 4, 4, &callable, &inputs, &outputs, &moves)) return NULL;
    forget(self);
    if (!read_side(inputs, &self->inputs) || !read_side(outputs, &self->outputs)) return NULL;
    self->moves = PyObject_IsTrue(moves);
    Py_IncRef(callable);
    self->call = callable;
    return none();
}

static void destroy(PyObject *object) {
    stream *self = (stream *)object;
    PyObject *type = self->type;
    Py_DecRef(self->call);
    Py_DecRef(self->said);
    free(self->inputs.places);
    free(self->outputs.places);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DecRef(type);
}

/* run_address(): of `run`, for an erai_runtime. */
static PyObject *run_address(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    erai_status (*function)(void *, const erai_tensor *, erai_tensor *, char *) = run;
    void *address;
    memcpy(&address, &function, sizeof address);
    return PyLong_FromVoidPtr(address);
}

/* wait_for_runs(): returns when none is under way. A thread in one would be ended in the middle of the runtime's code
 * when Python itself ends. */
static PyObject *wait_for_runs(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    const struct timespec moment = {.tv_nsec = 1000000};
    PyThreadState *thread = PyEval_SaveThread();
    while (__atomic_load_n(&running, __ATOMIC_ACQUIRE)) nanosleep(&moment, NULL);
    PyEval_RestoreThread(thread);
    return none();
}

/* forget_runs(): for a forked child, which has none of its parent's. */
static PyObject *forget_runs(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    __atomic_store_n(&running, 0, __ATOMIC_RELEASE);
    return none();
}

/* interrupt(raised): for whoever calls interruption() in this thread. */
static PyObject *interrupt(PyObject *self, PyObject *raised) {
    (void)self;
    keep_interruption(raised);
    return none();
}

int interrupted(void) {
    return interruption.raised && interruption.thread == PyThread_get_thread_ident();
}

/* interruption(): what was raised in this thread's runs and is no Exception, once; or None. */
static PyObject *take_interruption(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    if (!interrupted()) return none();
    PyObject *raised = interruption.raised;
    interruption.raised = NULL;
    return raised;
}

int add_runner(PyObject *module) {
    static PyMethodDef functions[] = {
        {"run_address", run_address, METH_NOARGS, NULL},        {"wait_for_runs", wait_for_runs, METH_NOARGS, NULL},
        {"forget_runs", forget_runs, METH_NOARGS, NULL},        {"interrupt", interrupt, METH_O, NULL},
        {"interruption", take_interruption, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
    static PyMethodDef of_stream[] = {{"size", size_stream, METH_VARARGS, NULL},
                                      {"bind", bind, METH_VARARGS, NULL},
                                      {"unbind", unbind, METH_NOARGS, NULL},
                                      {"said", bytes_said, METH_NOARGS, NULL},
                                      {NULL, NULL, 0, NULL}};
    PyObject *type = make_type("edge_rai._predict.Stream", sizeof(stream), destroy, of_stream);
    int failed = !type || PyModule_AddObjectRef(module, "Stream", type) || PyModule_AddFunctions(module, functions);
    Py_DecRef(type);
    return failed ? -1 : 0;
}
