/* Whether guard and models belong together: inputs and outputs of the same names, types and extents. */
#include "guard.h"
#include "session.h"
#include "status.h"

#include <string.h>

static const char *type_name(uint32_t dtype) {
    return dtype ? er_dtype_name(dtype) : "a sequence, map or optional";
}

/* Holds a model's input or output against the rule with its name. */
static erai_status match(const char *side, const char *name, uint32_t dtype, uint32_t rank, const int64_t *shape,
                         const er_tensor_spec *spec, char *detail) {
    if (dtype != spec->dtype)
        return er_fail(detail, ERAI_E_GUARD_MISMATCH, "%s '%s': the guard program says %s, the model %s", side, name,
                       type_name(dtype), type_name(spec->dtype));
    for (uint32_t i = 0; i < rank && i < spec->rank; i++)
        if (shape[i] > 0 && spec->shape[i] > 0 && shape[i] != spec->shape[i])
            return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                           "%s '%s': the guard program says %lld on axis %u, the model %lld", side, name,
                           (long long)shape[i], i, (long long)spec->shape[i]);
    return ERAI_OK;
}

static erai_status match_input(const er_input *input, const er_tensor_spec *spec, char *detail) {
    erai_status status = match("input", input->name, input->dtype, input->rank, input->shape, spec, detail);
    if (!status && input->rank != spec->rank && !spec->any_rank)
        return er_fail(detail, ERAI_E_GUARD_MISMATCH, "input '%s': the guard program says rank %u, the model %u",
                       input->name, input->rank, spec->rank);
    return status;
}

/* An output's declared rank may lie, the model's own and so the policy's. */
static erai_status match_output(const er_output *output, const er_tensor_spec *spec, char *detail) {
    return match("output", output->name, output->dtype, output->rank, output->shape, spec, detail);
}

static const er_tensor_spec *find_spec(const er_tensor_spec *specs, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(specs[i].name, name) == 0) return &specs[i];
    return NULL;
}

/* Which model is meant, and whom it is held against. */
typedef struct party {
    const char *model, *against;
} party;

static erai_status lacks(party who, const char *side, const char *name, char *detail) {
    return er_fail(detail, ERAI_E_GUARD_MISMATCH, "%s has no %s '%s', which %s has", who.model, side, name,
                   who.against);
}

/* In any order. With `states`, a model may be without states. */
static erai_status match_names(const erai_guard *guard, er_model *model, party who, int states, char *detail) {
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        if (!(states && input->is_state) && !find_spec(model->inputs, model->input_count, input->name))
            return lacks(who, "input", input->name, detail);
    }
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        if (!(states && output->is_state) && !find_spec(model->outputs, model->output_count, output->name))
            return lacks(who, "output", output->name, detail);
    }
    return er_model_align(model, guard)
               ? ERAI_OK
               : er_fail(detail, ERAI_E_GUARD_MISMATCH, "%s has an input or output that %s does not have", who.model,
                         who.against);
}

static erai_status match_specs(const erai_guard *guard, const er_model *model, char *detail) {
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && i < model->input_count; i++)
        status = match_input(&guard->inputs[model->input_places[i]], &model->inputs[i], detail);
    for (size_t i = 0; !status && i < model->output_count; i++)
        status = match_output(&guard->outputs[model->output_places[i]], &model->outputs[i], detail);
    return status;
}

/* Rows of one call have no order, so a model that remembers the last row takes one a call; what no call could be
 * answered for is better said before the first. */
static erai_status match_rows(const erai_guard *guard, const er_model *model, const char *who, char *detail) {
    for (size_t i = 0; guard->batched && model->keeps_state && i < model->input_count; i++) {
        const er_input *input = &guard->inputs[model->input_places[i]];
        if (model->inputs[i].shape[0] == 1 && model->inputs[i].rank && !input->is_state && input->max_shape[0] > 1)
            return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                           "%s keeps state from call to call and takes one row, and the policy allows %lld: write "
                           "batched = false and a fixed 1 there, or 1 as the first of input '%s''s max_shape",
                           who, (long long)input->max_shape[0], input->name);
    }
    return ERAI_OK;
}

erai_status er_match_model(const erai_guard *guard, er_model *model, char *detail) {
    if (guard->input_count != er_model_inputs(model) || guard->output_count != er_model_outputs(model))
        return er_fail(detail, ERAI_E_GUARD_MISMATCH,
                       "the guard program has %zu inputs and %zu outputs, the model %zu and %zu", guard->input_count,
                       guard->output_count, er_model_inputs(model), er_model_outputs(model));
    erai_status status = match_names(guard, model, (party){"the model", "the guard program"}, 0, detail);
    if (!status) status = match_specs(guard, model, detail);
    return status ? status : match_rows(guard, model, "the model", detail);
}

erai_status er_match_fallback(const erai_guard *guard, const er_model *primary, er_model *fallback, char *detail) {
    erai_status status = match_names(guard, fallback, (party){"the fallback model", "the primary"}, 1, detail);
    if (!status) status = match_specs(guard, fallback, detail);
    if (!status) status = match_rows(guard, fallback, "the fallback model", detail);
    for (size_t i = 0; !status && i < fallback->output_count; i++) {
        const er_tensor_spec *spec = &fallback->outputs[i];
        const er_tensor_spec *same = find_spec(primary->outputs, primary->output_count, spec->name);
        if (spec->rank != same->rank)
            status =
                er_fail(detail, ERAI_E_GUARD_MISMATCH, "output '%s': the fallback model says rank %u, the primary %u",
                        spec->name, spec->rank, same->rank);
    }
    return status;
}
