/* What is the same of every model, whatever runs it: also that one which takes a single row is asked row by row. */
#include "model.h"

#include "answer.h"
#include "guard.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

int er_model_make_side(er_model *model, int output, size_t count) {
    er_tensor_spec *specs = calloc(count, sizeof *specs);
    uint32_t *places = calloc(count, sizeof *places);
    *(output ? &model->outputs : &model->inputs) = specs;
    *(output ? &model->output_places : &model->input_places) = places;
    if (!specs || !places) return 0;
    for (size_t i = 0; i < count; i++) places[i] = (uint32_t)i;
    *(output ? &model->output_count : &model->input_count) = count;
    *(output ? &model->output_place_count : &model->input_place_count) = count;
    return 1;
}

void er_model_clear(er_model *model) {
    free(model->inputs);
    free(model->outputs);
    free(model->input_places);
    free(model->output_places);
}

void er_model_close(er_model *model) {
    if (model) model->engine->close(model);
}

size_t er_model_inputs(const er_model *model) {
    return model->input_place_count;
}

size_t er_model_outputs(const er_model *model) {
    return model->output_place_count;
}

const er_tensor_spec *er_model_input(const er_model *model, size_t index) {
    return &model->inputs[index];
}

const er_tensor_spec *er_model_output(const er_model *model, size_t index) {
    return &model->outputs[index];
}

static int align_inputs(er_model *model, const erai_guard *guard) {
    for (size_t i = 0; i < model->input_count; i++) {
        size_t at = 0;
        while (at < guard->input_count && strcmp(model->inputs[i].name, guard->inputs[at].name) != 0) at++;
        if (at == guard->input_count) return 0;
        model->input_places[i] = (uint32_t)at;
    }
    model->input_place_count = guard->input_count;
    return 1;
}

static int align_outputs(er_model *model, const erai_guard *guard) {
    for (size_t i = 0; i < model->output_count; i++) {
        size_t at = 0;
        while (at < guard->output_count && strcmp(model->outputs[i].name, guard->outputs[at].name) != 0) at++;
        if (at == guard->output_count) return 0;
        model->output_places[i] = (uint32_t)at;
    }
    model->output_place_count = guard->output_count;
    return 1;
}

int er_model_align(er_model *model, const erai_guard *guard) {
    if (!align_inputs(model, guard) || !align_outputs(model, guard)) return 0;
    model->by_row = guard->batched && model->one_row;
    if (model->engine->settle) model->engine->settle(model, guard);
    return 1;
}

void er_model_reset(er_model *model) {
    if (model && model->engine->reset) model->engine->reset(model);
}

/* ---- Bindings ---- */

erai_status er_binding_open(er_model *model, er_binding **binding) {
    erai_status status = model->engine->bind(model, binding);
    if (status || !model->by_row) return status;
    (*binding)->row = calloc(er_model_outputs(model), sizeof *(*binding)->row);
    if ((*binding)->row) return ERAI_OK;
    er_binding_close(*binding);
    *binding = NULL;
    return ERAI_E_MEMORY;
}

void er_binding_close(er_binding *binding) {
    if (!binding) return;
    if (binding->row) er_buffers_free(binding->row, er_model_outputs(binding->model));
    binding->model->engine->unbind(binding);
}

void er_binding_terminate(er_binding *binding, int terminate) {
    __atomic_store_n(&binding->ended, terminate, __ATOMIC_RELEASE);
    if (binding->model->engine->terminate) binding->model->engine->terminate(binding, terminate);
}

/* ---- Rows one by one ---- */

void er_model_find_rows(er_model *model) {
    int one = !model->keeps_state;
    for (size_t i = 0; i < model->input_count; i++) one &= model->inputs[i].rank > 0 && model->inputs[i].shape[0] == 1;
    for (size_t i = 0; i < model->output_count; i++) {
        const er_tensor_spec *spec = &model->outputs[i];
        one &= spec->kind == ERAI_VALUE_TENSOR && spec->dtype != ERAI_DTYPE_STRING && spec->rank > 0 &&
               spec->shape[0] == 1;
    }
    model->one_row = one;
}

/* How many rows the inputs have; 1 unless all of them have as many. */
static size_t count_rows(const er_model *model, const erai_tensor *inputs) {
    const erai_tensor *first = &inputs[model->input_places[0]];
    for (size_t i = 0; i < model->input_count; i++) {
        const erai_tensor *input = &inputs[model->input_places[i]];
        if (!input->rank || input->shape[0] != first->shape[0]) return 1;
    }
    return (size_t)first->shape[0];
}

/* What there is of no rows: no run, and outputs of no rows, whose free extents nobody knows. */
static erai_status run_no_rows(const er_model *model, er_buffer *outputs, char *detail) {
    for (size_t i = 0; i < model->output_count; i++) {
        const er_tensor_spec *spec = &model->outputs[i];
        er_buffer *to = &outputs[model->output_places[i]];
        if (!er_buffer_reserve(to, 0)) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
        to->rank = spec->rank;
        to->dtype = spec->dtype;
        to->shape[0] = 0;
        for (uint32_t axis = 1; axis < spec->rank; axis++)
            to->shape[axis] = spec->shape[axis] < 0 ? 0 : spec->shape[axis];
    }
    return ERAI_OK;
}

/* An output of the given row, behind those of the rows before it. */
static erai_status append_row(const er_model *model, size_t index, const er_buffer *from, er_buffer *to, size_t row,
                              size_t rows, char *detail) {
    const char *name = model->outputs[index].name;
    size_t bytes = 0, all;
    if (!from->rank || from->shape[0] != 1 || !er_tensor_bytes(from->shape, from->rank, from->dtype, &bytes))
        return er_fail(detail, ERAI_E_INFERENCE, "%s gave output '%s' with another shape than it said", model->runtime,
                       name);
    if (row == 0) {
        if (__builtin_mul_overflow(bytes, rows, &all) || !er_buffer_reserve(to, all))
            return er_fail(detail, ERAI_E_MEMORY, "out of memory");
        to->rank = from->rank;
        to->dtype = from->dtype;
        memcpy(to->shape, from->shape, from->rank * sizeof *to->shape);
        to->shape[0] = (int64_t)rows;
    } else if (to->rank != from->rank ||
               memcmp(to->shape + 1, from->shape + 1, (from->rank - 1) * sizeof *to->shape) != 0) {
        return er_fail(detail, ERAI_E_INFERENCE, "%s gave output '%s' one shape for a row and another for the next",
                       model->runtime, name);
    }
    if (bytes) memcpy((char *)to->data + row * bytes, from->data, bytes);
    return ERAI_OK;
}

static erai_status run_row(er_binding *binding, const erai_tensor *inputs, er_buffer *outputs, size_t row, size_t rows,
                           char *detail) {
    const er_model *model = binding->model;
    if (__atomic_load_n(&binding->ended, __ATOMIC_ACQUIRE))
        return er_fail(detail, ERAI_E_INFERENCE, "the run was told to end after %zu of %zu rows", row, rows);
    erai_status status = model->engine->run(binding, inputs, binding->row, detail);
    for (size_t i = 0; !status && i < model->output_count; i++) {
        uint32_t at = model->output_places[i];
        status = append_row(model, i, &binding->row[at], &outputs[at], row, rows, detail);
    }
    return status;
}

erai_status er_binding_run_rows(er_binding *binding, const erai_tensor *inputs, er_buffer *outputs, char *detail) {
    const er_model *model = binding->model;
    erai_tensor one[ER_MAX_INPUTS];
    int64_t shapes[ER_MAX_INPUTS][ERAI_MAX_RANK];
    size_t strides[ER_MAX_INPUTS], rows = count_rows(model, inputs);
    if (rows == 1) return model->engine->run(binding, inputs, outputs, detail);
    if (rows == 0) return run_no_rows(model, outputs, detail);
    for (size_t i = 0; i < model->input_count; i++) {
        erai_tensor *input = &one[model->input_places[i]];
        *input = inputs[model->input_places[i]];
        memcpy(shapes[i], input->shape, input->rank * sizeof *input->shape);
        shapes[i][0] = 1;
        input->shape = shapes[i];
        strides[i] = er_elements(input->shape, input->rank) * erai_dtype_size(input->dtype);
    }
    erai_status status = ERAI_OK;
    for (size_t row = 0; !status && row < rows; row++) {
        status = run_row(binding, one, outputs, row, rows, detail);
        for (size_t i = 0; i < model->input_count; i++) {
            erai_tensor *input = &one[model->input_places[i]];
            input->data = (const char *)input->data + strides[i];
        }
    }
    return status;
}
