/* What makes an answer more than a plain acceptance. SPDX-License-Identifier: Apache-2.0
 *
 * An answer that is late already, as one after a missed deadline, finds the processor's caches full of the model's
 * data: what it touches is what it costs. So what C says of the rows is copied as bytes, which the answer decodes when
 * somebody looks; only names are made at once, since the answer may outlive the session that they are of. */
#include "explain.h"

static struct {
    erai_verdict (*verdict)(const erai_answer *answer);
    erai_source (*source)(const erai_answer *answer);
    size_t (*rows)(const erai_answer *answer, const uint8_t **verdicts, const uint8_t **sources);
    size_t (*reasons)(const erai_answer *answer, const erai_reason **first);
    const uint64_t *(*review)(const erai_answer *answer);
} core;

enum { FUNCTIONS = sizeof core / sizeof(void *) };

/* Members of Verdict and of Source by their values, and the class of what was found; kept for ever. */
static PyObject *verdicts_of, *sources_of, *findings_class;

/* Attributes of Answer. */
static PyObject *rows_name, *verdict_name, *source_name, *verdicts_name, *sources_name, *review_name, *findings_name;

/* Takes `value`; NULL: it could not be made. */
static int set(PyObject *to, PyObject *name, PyObject *value) {
    int done = value && PyObject_SetAttr(to, name, value) == 0;
    Py_DecRef(value);
    return done;
}

static int set_bytes(PyObject *to, PyObject *name, const void *bytes, size_t size) {
    return set(to, name, PyBytes_FromStringAndSize(size ? bytes : NULL, (Py_ssize_t)size));
}

static int set_member(PyObject *to, PyObject *name, PyObject *members, int value) {
    PyObject *member = PyTuple_GetItem(members, value);
    return member && PyObject_SetAttr(to, name, member) == 0;
}

static int know(PyObject *subjects, const char *subject) {
    PyObject *address = PyLong_FromVoidPtr((void *)subject), *name = NULL; /* it is only a number there */
    int known = address ? PyDict_Contains(subjects, address) : -1;
    if (!known) {
        name = PyUnicode_DecodeUTF8(subject, (Py_ssize_t)strlen(subject), "replace");
        known = name && PyDict_SetItem(subjects, address, name) == 0 ? 1 : -1;
    }
    Py_DecRef(name);
    Py_DecRef(address);
    return known > 0;
}

static int set_findings(const erai_answer *answer, PyObject *subjects, PyObject *to) {
    const erai_reason *reasons;
    size_t count = core.reasons(answer, &reasons);
    for (size_t i = 0; i < count; i++)
        if ((!i || reasons[i].subject != reasons[i - 1].subject) && !know(subjects, reasons[i].subject)) return 0;
    PyObject *records =
        PyBytes_FromStringAndSize(count ? (const char *)reasons : NULL, (Py_ssize_t)(count * sizeof *reasons));
    int done = records && set(to, findings_name, PyObject_CallFunctionObjArgs(findings_class, records, subjects, NULL));
    Py_DecRef(records);
    return done;
}

int explain(const erai_answer *answer, PyObject *subjects, PyObject *to) {
    const uint8_t *verdicts, *sources;
    size_t rows = core.rows(answer, &verdicts, &sources);
    const uint64_t *review = core.review(answer);
    return set(to, rows_name, PyLong_FromLongLong((long long)rows)) &&
           set_member(to, verdict_name, verdicts_of, (int)core.verdict(answer)) &&
           set_member(to, source_name, sources_of, (int)core.source(answer)) &&
           set_bytes(to, verdicts_name, verdicts, rows) && set_bytes(to, sources_name, sources, rows) &&
           (!review || set_bytes(to, review_name, review, rows * sizeof *review)) && set_findings(answer, subjects, to);
}

/* explain_with(functions, verdicts, sources, findings): the addresses of C's functions as `core` has them, members by
 * their values, and a class that is made of the bytes of C's reasons and a dict of names by address. */
static PyObject *explain_with(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *functions, *verdicts, *sources, *findings;
    void *addresses[FUNCTIONS];
    if (!PyArg_UnpackTuple(arguments, "explain_with", 4, 4, &functions, &verdicts, &sources, &findings)) return NULL;
    for (Py_ssize_t i = 0; i < FUNCTIONS; i++) {
        PyObject *address = PyTuple_GetItem(functions, i);
        addresses[i] = address ? PyLong_AsVoidPtr(address) : NULL;
        if (PyErr_Occurred()) return NULL;
    }
    memcpy(&core, addresses, sizeof core);
    PyObject **kept[] = {&verdicts_of, &sources_of, &findings_class}, *given[] = {verdicts, sources, findings};
    for (int i = 0; i < 3; i++) {
        Py_DecRef(*kept[i]);
        Py_IncRef(given[i]);
        *kept[i] = given[i];
    }
    Py_IncRef(Py_None);
    return Py_None;
}

int add_explain(PyObject *module) {
    static PyMethodDef functions[] = {{"explain_with", explain_with, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
    static const struct {
        PyObject **name;
        const char *text;
    } names[] = {{&rows_name, "rows"},          {&verdict_name, "verdict"},  {&source_name, "source"},
                 {&verdicts_name, "_verdicts"}, {&sources_name, "_sources"}, {&review_name, "_review_ids"},
                 {&findings_name, "_findings"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].name = PyUnicode_InternFromString(names[i].text))) return -1;
    return PyModule_AddFunctions(module, functions);
}
