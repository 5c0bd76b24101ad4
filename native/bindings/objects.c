/* Strings, sequences and maps as Python objects, as edge_rai/_native/tensors.py makes them, and many times faster.
 * SPDX-License-Identifier: Apache-2.0 */
#include "objects.h"

static PyObject *text_of(const erai_string *string) {
    return PyUnicode_DecodeUTF8(string->bytes, (Py_ssize_t)string->size, "replace");
}

static size_t elements_of(const erai_tensor *tensor) {
    size_t count = 1;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) count *= (size_t)tensor->shape[axis];
    return count;
}

/* An element of what maps have: numbers of four types, and strings. */
static PyObject *element_of(const erai_tensor *tensor, size_t at) {
    switch (tensor->dtype) {
    case ERAI_DTYPE_STRING: return text_of((const erai_string *)tensor->data + at);
    case ERAI_DTYPE_FLOAT32: return PyFloat_FromDouble((double)((const float *)tensor->data)[at]);
    case ERAI_DTYPE_FLOAT64: return PyFloat_FromDouble(((const double *)tensor->data)[at]);
    case ERAI_DTYPE_INT32: return PyLong_FromLongLong(((const int32_t *)tensor->data)[at]);
    case ERAI_DTYPE_INT64: return PyLong_FromLongLong(((const int64_t *)tensor->data)[at]);
    default: return NULL;
    }
}

/* numpy fills an array of objects with nothing, or with None. */
static PyObject *texts_of(const array_maker *arrays, const erai_tensor *tensor) {
    Py_ssize_t shape[ERAI_MAX_RANK];
    for (uint32_t axis = 0; axis < tensor->rank; axis++) shape[axis] = (Py_ssize_t)tensor->shape[axis];
    Py_IncRef(arrays->of_objects);
    PyObject *array = arrays->make(arrays->type, arrays->of_objects, (int)tensor->rank, shape, NULL, NULL, 0, NULL);
    PyObject **to = array ? arrays->data(array) : NULL;
    size_t count = array ? elements_of(tensor) : 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *text = text_of((const erai_string *)tensor->data + i), *before = to[i];
        if (!text) {
            Py_DecRef(array);
            return NULL;
        }
        to[i] = text;
        Py_DecRef(before);
    }
    return array;
}

static PyObject *list_of(const array_maker *arrays, const erai_value *value) {
    PyObject *list = PyList_New((Py_ssize_t)value->count);
    for (size_t i = 0; list && i < value->count; i++) {
        PyObject *item = object_of(arrays, &value->items[i]);
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) != 0) {
            Py_DecRef(list);
            return NULL;
        }
    }
    return list;
}

/* Keys and values are tensors of one axis. */
static PyObject *dict_of(const erai_value *value) {
    const erai_value *keys = value->items, *values = value->items + 1;
    if (value->count != 2 || keys->kind != ERAI_VALUE_TENSOR || values->kind != ERAI_VALUE_TENSOR) return NULL;
    size_t count = elements_of(&keys->tensor);
    if (elements_of(&values->tensor) != count) return NULL;
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < count; i++) {
        PyObject *key = element_of(&keys->tensor, i), *item = key ? element_of(&values->tensor, i) : NULL;
        int failed = !item || PyDict_SetItem(dict, key, item) != 0;
        Py_DecRef(key);
        Py_DecRef(item);
        if (failed) {
            Py_DecRef(dict);
            return NULL;
        }
    }
    return dict;
}

PyObject *object_of(const array_maker *arrays, const erai_value *value) {
    switch (value->kind) {
    case ERAI_VALUE_TENSOR: return value->tensor.dtype == ERAI_DTYPE_STRING ? texts_of(arrays, &value->tensor) : NULL;
    case ERAI_VALUE_SEQUENCE: return list_of(arrays, value);
    case ERAI_VALUE_MAP: return dict_of(value);
    default: Py_IncRef(Py_None); return Py_None;
    }
}
