/* What is the same of every model, whatever runs it. */
#include "model.h"

#include "guard.h"

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
    if (model->engine->settle) model->engine->settle(model, guard);
    return 1;
}

void er_model_reset(er_model *model) {
    if (model && model->engine->reset) model->engine->reset(model);
}

erai_status er_binding_open(er_model *model, er_binding **binding) {
    return model->engine->bind(model, binding);
}

void er_binding_close(er_binding *binding) {
    if (binding) binding->model->engine->unbind(binding);
}

void er_binding_terminate(er_binding *binding, int terminate) {
    if (binding->model->engine->terminate) binding->model->engine->terminate(binding, terminate);
}
