/* The policy of a bare model: data type, declared shape, finite. */
#include "session.h"
#include "status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int has_free_rows(const er_tensor_spec *spec) {
    return spec->rank > 0 && spec->shape[0] < 0;
}

/* Whether axis 0 of everything is free, of the inputs under one name, and so, it is assumed, counts rows. A sequence of
 * maps has no axis, and one map a row (ZipMap). Rows that are run one by one count as such in any case. */
static int looks_batched(const er_model *model) {
    if (model->one_row) return 1;
    int batched = !model->keeps_state;
    uint32_t symbol = 0;
    for (size_t i = 0; i < er_model_inputs(model); i++) {
        const er_tensor_spec *spec = er_model_input(model, i);
        batched &= has_free_rows(spec) && (!symbol || !spec->rows_symbol || symbol == spec->rows_symbol);
        if (spec->rows_symbol) symbol = spec->rows_symbol;
    }
    for (size_t i = 0; i < er_model_outputs(model); i++) {
        const er_tensor_spec *spec = er_model_output(model, i);
        int maps = spec->kind == ERAI_VALUE_SEQUENCE && spec->item_kind == ERAI_VALUE_MAP;
        batched &= maps || (spec->kind == ERAI_VALUE_TENSOR && has_free_rows(spec));
    }
    return batched;
}

/* The extents that callers see. */
static void open_rows(const er_tensor_spec *spec, int one_row, int64_t shape[ERAI_MAX_RANK]) {
    memcpy(shape, spec->shape, sizeof spec->shape);
    if (one_row) shape[0] = -1;
}

static erai_status add_input(erai_policy *policy, const er_tensor_spec *spec, int one_row, int empty, char *detail) {
    int64_t shape[ERAI_MAX_RANK], most[ERAI_MAX_RANK];
    open_rows(spec, one_row, shape);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = spec->name,
                             .shape = shape,
                             .max_shape = most,
                             .rank = spec->rank,
                             .dtype = spec->dtype,
                             .flags = ERAI_RULE_FINITE | (empty ? ERAI_RULE_EMPTY : 0),
                             .feature_axis = -1,
                             .sketch_stride = 1};
    erai_feature_rule feature = {.struct_size = sizeof feature, .name = spec->name, .low = -INFINITY, .high = INFINITY};
    if (spec->any_rank) input.flags |= ERAI_RULE_ANY_RANK;
    for (uint32_t i = 0; i < spec->rank; i++) {
        most[i] = shape[i] < 0 ? INT32_MAX : shape[i];
        if (shape[i] == 0) input.flags |= ERAI_RULE_EMPTY; /* the model itself says so */
    }
    erai_status status = erai_policy_add_input(policy, &input, detail);
    return status ? status : erai_policy_add_feature(policy, &feature, detail);
}

static erai_status add_output(erai_policy *policy, const er_tensor_spec *spec, int one_row, char *detail) {
    int64_t shape[ERAI_MAX_RANK];
    open_rows(spec, one_row, shape);
    erai_output_rule output = {.struct_size = sizeof output,
                               .name = spec->name,
                               .shape = shape,
                               .rank = spec->rank,
                               .dtype = spec->dtype,
                               .flags = ERAI_RULE_FINITE};
    if (spec->kind != ERAI_VALUE_TENSOR) output.flags |= ERAI_RULE_NO_TENSOR;
    return erai_policy_add_output(policy, &output, detail);
}

static erai_status write_guard(erai_policy *policy, erai_guard **guard, char *detail) {
    size_t size = 0;
    uint8_t *bytes = NULL;
    erai_status status = erai_policy_write(policy, NULL, 0, &size, detail);
    if (status == ERAI_E_SIZE) {
        bytes = malloc(size);
        status = bytes ? erai_policy_write(policy, bytes, size, &size, detail)
                       : er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    if (!status) status = erai_guard_open(bytes, size, guard, detail);
    if (!status && detail) detail[0] = '\0'; /* asking for the size is refused with a sentence */
    free(bytes);
    return status;
}

erai_status er_refuse_without_values(const er_model *model, char *detail) {
    for (size_t i = 0; i < er_model_inputs(model); i++) {
        const er_tensor_spec *spec = er_model_input(model, i);
        for (uint32_t axis = 0; axis < spec->rank; axis++)
            if (spec->shape[axis] == 0)
                return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED,
                               "input '%s' of a recurrent model holds no value: its axis %u is 0 long", spec->name,
                               axis);
    }
    return ERAI_OK;
}

erai_status er_default_guard(const er_model *model, int recurrent, erai_guard **guard, char *detail) {
    erai_policy *policy = NULL;
    int batched = looks_batched(model);
    erai_status status = erai_policy_open(batched, &policy);
    for (size_t i = 0; !status && i < er_model_inputs(model); i++)
        status = add_input(policy, er_model_input(model, i), model->one_row, !batched && !recurrent, detail);
    for (size_t i = 0; !status && i < er_model_outputs(model); i++)
        status = add_output(policy, er_model_output(model, i), model->one_row, detail);
    if (!status) status = write_guard(policy, guard, detail);
    erai_policy_close(policy);
    /* A signature that no rule can describe is a model this version does not take. */
    return status == ERAI_E_POLICY ? ERAI_E_MODEL_UNSUPPORTED : status;
}
