/* Golden vectors: inputs with the outputs that the converter saw. A device whose runtime answers something else is not
 * the device that the bundle was tried for. Outputs that are no tensors have no golden vectors, and strings may. */
#include "session.h"
#include "status.h"
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static erai_status compare_strings(const er_model *model, const er_golden *golden, const er_buffer *got, size_t count,
                                   char *detail) {
    const erai_string *expected = golden->data, *strings = got->data;
    for (size_t i = 0; i < count; i++)
        if (!er_same_values(&expected[i], &strings[i], ERAI_DTYPE_STRING, 1))
            return er_fail(
                detail, ERAI_E_GOLDEN,
                "golden output '%s', element %zu: this device's %s answers \"%.*s\" where \"%.*s\" was recorded",
                golden->name, i, model->runtime, (int)(strings[i].size < 64 ? strings[i].size : 64), strings[i].bytes,
                (int)(expected[i].size < 64 ? expected[i].size : 64), expected[i].bytes);
    return ERAI_OK;
}

static erai_status compare_golden(const er_model *model, const er_golden *golden, const er_buffer *got, double atol,
                                  char *detail) {
    int same_form = golden->dtype == got->dtype && golden->rank == got->rank &&
                    memcmp(golden->shape, got->shape, got->rank * sizeof *got->shape) == 0;
    if (!same_form)
        return er_fail(detail, ERAI_E_GOLDEN, "golden output '%s' came back with another type or shape", golden->name);
    size_t count = golden->size / erai_dtype_size(golden->dtype);
    if (golden->dtype == ERAI_DTYPE_STRING) return compare_strings(model, golden, got, count, detail);
    for (size_t i = 0; i < count; i++) {
        double expected = er_value(golden->data, golden->dtype, i);
        double value = er_value(got->data, got->dtype, i);
        if (fabs(expected - value) <= atol || (isnan(expected) && isnan(value)) || expected == value) continue;
        return er_fail(detail, ERAI_E_GOLDEN,
                       "golden output '%s', element %zu: this device's %s answers %.9g where %.9g was recorded "
                       "(tolerance %g)",
                       golden->name, i, model->runtime, value, expected, atol);
    }
    return ERAI_OK;
}

static const er_golden *find_golden(const er_golden *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

static erai_status collect_golden(const er_model *model, const er_golden_set *set, erai_tensor *inputs, char *detail) {
    for (size_t i = 0; i < model->input_count; i++) {
        const er_tensor_spec *spec = er_model_input(model, i);
        const er_golden *golden = find_golden(set->inputs, set->input_count, spec->name);
        if (!golden || golden->dtype != spec->dtype || (golden->rank != spec->rank && !spec->any_rank))
            return er_fail(detail, ERAI_E_GOLDEN, "manifest.json: no golden vector fits input '%s'", spec->name);
        for (uint32_t axis = 0; axis < golden->rank; axis++)
            if (golden->shape[axis] < 1)
                return er_fail(detail, ERAI_E_GOLDEN, "manifest.json: golden input '%s' has a zero-size axis",
                               spec->name);
        inputs[model->input_places[i]] =
            (erai_tensor){.data = golden->data, .shape = golden->shape, .rank = golden->rank, .dtype = golden->dtype};
    }
    return ERAI_OK;
}

static erai_status compare_outputs(const er_model *model, const er_golden_set *set, const er_buffer *outputs,
                                   char *detail) {
    erai_status status = ERAI_OK;
    for (size_t i = 0; !status && i < model->output_count; i++) {
        const er_tensor_spec *spec = er_model_output(model, i);
        const er_golden *golden = find_golden(set->outputs, set->output_count, spec->name);
        if (golden)
            status = compare_golden(model, golden, &outputs[model->output_places[i]], set->atol, detail);
        else if (spec->kind == ERAI_VALUE_TENSOR && spec->dtype != ERAI_DTYPE_STRING)
            status = er_fail(detail, ERAI_E_GOLDEN, "manifest.json: no golden vector for output '%s'", spec->name);
    }
    return status;
}

erai_status er_replay_golden(er_model *model, const er_golden_set *set, char *detail) {
    size_t input_count = er_model_inputs(model), output_count = er_model_outputs(model);
    erai_tensor *inputs = calloc(input_count, sizeof *inputs);
    er_buffer *outputs = calloc(output_count, sizeof *outputs);
    er_binding *binding = NULL;
    erai_status status =
        inputs && outputs ? er_binding_open(model, &binding) : er_fail(detail, ERAI_E_MEMORY, "out of memory");
    if (!status) status = collect_golden(model, set, inputs, detail);
    if (!status) status = er_binding_run(binding, inputs, outputs, detail);
    if (status == ERAI_E_INFERENCE) status = ERAI_E_GOLDEN;
    if (!status) status = compare_outputs(model, set, outputs, detail);
    er_binding_close(binding);
    er_model_reset(model);
    er_buffers_free(outputs, output_count);
    free(inputs);
    return status;
}
