/* What a guard program says, read back rule by rule. */
#include "guard.h"

int erai_guard_batched(const erai_guard *guard) {
    return guard->batched;
}
size_t erai_guard_inputs(const erai_guard *guard) {
    return guard->input_count;
}
size_t erai_guard_features(const erai_guard *guard) {
    return guard->feature_count;
}
size_t erai_guard_outputs(const erai_guard *guard) {
    return guard->output_count;
}

erai_status erai_guard_input(const erai_guard *guard, size_t index, erai_input_rule *rule) {
    if (index >= guard->input_count) return ERAI_E_ARGUMENT;
    const er_input *input = &guard->inputs[index];
    *rule = (erai_input_rule){.struct_size = sizeof *rule,
                              .name = input->name,
                              .shape = input->shape,
                              .max_shape = input->max_shape,
                              .rank = input->rank,
                              .dtype = input->dtype,
                              .flags = input->flags,
                              .feature_axis = input->feature_axis,
                              .sketch_stride = input->sketch_stride,
                              .feature_count = input->feature_count};
    return ERAI_OK;
}

erai_status erai_guard_feature(const erai_guard *guard, size_t index, erai_feature_rule *rule) {
    if (index >= guard->feature_count) return ERAI_E_ARGUMENT;
    const er_feature *feature = &guard->features[index];
    *rule = (erai_feature_rule){.struct_size = sizeof *rule,
                                .name = feature->name,
                                .unit = feature->unit,
                                .stand_in = feature->stand_in,
                                .low = feature->low,
                                .high = feature->high,
                                .mean = feature->mean,
                                .stddev = feature->stddev,
                                .reference_rows = feature->reference_rows,
                                .edges = feature->edges,
                                .counts = feature->counts,
                                .bins = feature->bins,
                                .checks = feature->check_count};
    return ERAI_OK;
}

size_t erai_guard_observations(const erai_guard *guard) {
    return guard->observation_count;
}

erai_status erai_guard_observation(const erai_guard *guard, size_t index, erai_observation_rule *rule) {
    if (index >= guard->observation_count) return ERAI_E_ARGUMENT;
    const er_observation *found = &guard->observations[index];
    *rule = (erai_observation_rule){.struct_size = sizeof *rule,
                                    .limit = found->limit,
                                    .bound = found->bound,
                                    .kind = found->kind,
                                    .index = found->index,
                                    .element = found->element,
                                    .slots = found->slots,
                                    .slot_means = found->slot_means,
                                    .slot_scales = found->slot_scales};
    return ERAI_OK;
}

erai_status erai_guard_output(const erai_guard *guard, size_t index, erai_output_rule *rule) {
    if (index >= guard->output_count) return ERAI_E_ARGUMENT;
    const er_output *output = &guard->outputs[index];
    *rule = (erai_output_rule){.struct_size = sizeof *rule,
                               .name = output->name,
                               .shape = output->shape,
                               .default_row = output->default_row,
                               .rank = output->rank,
                               .dtype = output->dtype,
                               .flags = output->flags,
                               .default_size = output->default_size,
                               .checks = output->check_count};
    return ERAI_OK;
}

erai_status erai_guard_check(const erai_guard *guard, int of_output, size_t index, size_t check,
                             erai_check_rule *rule) {
    if (index >= (of_output ? guard->output_count : guard->feature_count)) return ERAI_E_ARGUMENT;
    uint32_t count = of_output ? guard->outputs[index].check_count : guard->features[index].check_count;
    if (check >= count) return ERAI_E_ARGUMENT;
    *rule = (of_output ? guard->outputs[index].checks : guard->features[index].checks)[check].rule;
    return ERAI_OK;
}

erai_status erai_guard_distance(const erai_guard *guard, size_t input, erai_distance_rule *rule) {
    if (input >= guard->input_count || !guard->inputs[input].distance) return ERAI_E_ARGUMENT;
    const er_distance *distance = guard->inputs[input].distance;
    *rule = (erai_distance_rule){.struct_size = sizeof *rule,
                                 .mean = distance->mean,
                                 .scale = distance->scale,
                                 .weights = distance->weights,
                                 .directions = distance->directions,
                                 .verdict = distance->verdict,
                                 .rest = (double)distance->rest,
                                 .threshold = distance->threshold,
                                 .false_rejection_rate = distance->false_rejection_rate};
    return ERAI_OK;
}

erai_status erai_guard_projection(const erai_guard *guard, size_t input, float *projection) {
    if (input >= guard->input_count || !guard->inputs[input].distance) return ERAI_E_ARGUMENT;
    const er_distance *distance = guard->inputs[input].distance;
    for (size_t k = 0; k < distance->directions; k++)
        for (size_t f = 0; f < distance->features; f++)
            projection[k * distance->features + f] =
                f < distance->extents[k / 8] ? distance->factors[k / 8][8 * f + k % 8] : 0.0f;
    return ERAI_OK;
}

erai_status erai_guard_drift(const erai_guard *guard, erai_drift_rule *rule) {
    if (!guard->drift.struct_size) return ERAI_E_ARGUMENT;
    *rule = guard->drift;
    return ERAI_OK;
}

erai_status erai_guard_events(const erai_guard *guard, erai_events_rule *rule) {
    if (!guard->events.struct_size) return ERAI_E_ARGUMENT;
    *rule = guard->events;
    return ERAI_OK;
}

void erai_guard_decision(const erai_guard *guard, erai_decision_rule *rule) {
    *rule = guard->decision;
    rule->struct_size = sizeof *rule;
}

erai_status erai_guard_state(const erai_guard *guard, size_t index, erai_state_rule *rule) {
    if (index >= guard->state_count) return ERAI_E_ARGUMENT;
    const er_state *state = &guard->states[index];
    *rule = (erai_state_rule){.struct_size = sizeof *rule,
                              .input = guard->inputs[state->input].name,
                              .output = guard->outputs[state->output].name,
                              .row_axis = state->row_axis};
    return ERAI_OK;
}

erai_status erai_guard_fallback(const erai_guard *guard, size_t index, erai_fallback_rule *rule) {
    if (index >= guard->fallback_count) return ERAI_E_ARGUMENT;
    const er_fallback *fallback = &guard->fallbacks[index];
    *rule = (erai_fallback_rule){
        .struct_size = sizeof *rule, .reasons = fallback->reasons, .chain = fallback->chain, .steps = fallback->steps};
    return ERAI_OK;
}
