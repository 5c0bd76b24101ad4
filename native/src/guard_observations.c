/* Reading what a session observes besides its inputs. To sketches and detectors its observations are an input after the
 * model's, of numbers and one value a feature and row, and its outcomes another. */
#include "guard.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

static int is_numbers(const er_output *output) {
    return !output->is_state && !(output->flags & ERAI_RULE_NO_TENSOR) && output->dtype != ERAI_DTYPE_STRING;
}

static int has_categories(const er_feature *feature) {
    for (uint32_t i = 0; i < feature->check_count; i++)
        if (feature->checks[i].rule.kind == ERAI_CHECK_CATEGORIES) return 1;
    return 0;
}

/* Whether an input has such a feature, or such an element. */
static int has_part(const erai_guard *guard, const er_observation *rule) {
    const er_input *input = &guard->inputs[rule->index];
    if (rule->index >= guard->input_count || input->is_state) return 0;
    if (rule->kind != ERAI_OBSERVE_ELEMENT && rule->element >= input->feature_count) return 0;
    if (rule->kind == ERAI_OBSERVE_SEASONAL && !er_has_one_value(input, guard->batched)) return 0;
    if (rule->kind != ERAI_OBSERVE_CATEGORY) return input->dtype != ERAI_DTYPE_STRING;
    return er_has_one_value(input, guard->batched) &&
           has_categories(&guard->features[input->first_feature + rule->element]);
}

/* Whether what the rule is about is there. */
static int has_subject(const erai_guard *guard, const er_observation *rule) {
    switch (rule->kind) {
    case ERAI_OBSERVE_CATEGORY:
    case ERAI_OBSERVE_MEAN:
    case ERAI_OBSERVE_STDDEV:
    case ERAI_OBSERVE_SEASONAL:
    case ERAI_OBSERVE_ELEMENT: return has_part(guard, rule);
    case ERAI_OBSERVE_VERDICT:
    case ERAI_OBSERVE_LATENCY: return rule->index == 0;
    case ERAI_OBSERVE_DISTANCE: return rule->index < guard->input_count && guard->inputs[rule->index].distance != NULL;
    case ERAI_OBSERVE_PROJECTION:
        return rule->index < guard->input_count && !guard->inputs[rule->index].is_state &&
               er_is_watchable(&guard->inputs[rule->index], 2, guard->batched);
    default: return rule->index < guard->output_count && is_numbers(&guard->outputs[rule->index]);
    }
}

/* Of kind SEASONAL. What says another number of slots has none, and is refused. */
static erai_status read_slots(erai_guard *guard, er_reader *in, er_observation *rule, char *detail) {
    rule->slots = er_read_u16(in);
    if (rule->slots != 24 && rule->slots != 168) return ERAI_OK;
    double *means = er_guard_keep(guard, rule->slots, sizeof *means);
    double *scales = er_guard_keep(guard, rule->slots, sizeof *scales);
    if (!means || !scales) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (uint32_t i = 0; i < rule->slots; i++) {
        means[i] = er_read_f64(in);
        scales[i] = er_read_f64(in);
    }
    rule->slot_means = means;
    rule->slot_scales = scales;
    guard->seasonal = 1;
    return ERAI_OK;
}

static erai_status read_one(erai_guard *guard, er_reader *in, uint32_t version, er_observation *rule, char *detail) {
    er_feature *feature = &guard->features[guard->feature_count];
    memset(feature, 0, sizeof *feature);
    rule->kind = er_read_u8(in);
    rule->index = er_read_u16(in);
    rule->element = er_read_u32(in);
    rule->limit = er_read_f64(in);
    rule->bound = er_read_f64(in);
    erai_status status = er_read_feature(guard, in, feature, ERAI_DTYPE_FLOAT64, version, detail);
    if (!status && rule->kind == ERAI_OBSERVE_SEASONAL) status = read_slots(guard, in, rule, detail);
    if (!status) status = er_check_observation(rule, feature, detail);
    if (status) return status;
    guard->feature_count++;
    if (has_subject(guard, rule)) return ERAI_OK;
    return er_fail(detail, ERAI_E_GUARD_FORMAT,
                   "observation '%s': there is no input or output %u that it could be of: a distance needs one of an "
                   "input, a projection a table of numbers, a category a feature that has some and one value a row, a "
                   "season a feature of numbers and one value a row, a mean or an element an input of numbers, and the "
                   "others an output of numbers",
                   feature->name, rule->index);
}

/* As an input of `count` features, the first of which is `first`. */
static er_input *add_input(erai_guard *guard, const char *name, size_t first, size_t count) {
    uint32_t axis = guard->batched ? 1 : 0;
    er_input *input = &guard->inputs[guard->watched_count++];
    *input = (er_input){.name = name,
                        .rank = axis + 1,
                        .dtype = ERAI_DTYPE_FLOAT64,
                        .feature_axis = (int32_t)axis,
                        .sketch_stride = 1,
                        .first_feature = (uint32_t)first,
                        .feature_count = (uint32_t)count};
    input->shape[0] = -1;
    input->shape[axis] = (int64_t)count;
    return input;
}

erai_status er_read_observations(erai_guard *guard, er_reader *in, uint32_t version, char *detail) {
    size_t count = version > 4 ? er_read_u16(in) : 0, first = guard->feature_count, outcomes = 0;
    if (in->failed || count > ER_MAX_OBSERVATIONS || guard->feature_count + count > ER_MAX_FEATURES)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: %zu observations, at most %d", count,
                       ER_MAX_OBSERVATIONS);
    if (!count) return ERAI_OK;
    er_feature *grown = realloc(guard->features, (first + count) * sizeof *grown);
    if (grown) guard->features = grown;
    guard->observations = er_guard_keep(guard, count, sizeof *guard->observations);
    if (!grown || !guard->observations) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        erai_status status = read_one(guard, in, version, &guard->observations[i], detail);
        if (status) return status;
        outcomes += er_is_outcome(guard->observations[i].kind) ? 1u : 0u;
    }
    if (outcomes > 1 || (outcomes && !er_is_outcome(guard->observations[count - 1].kind)))
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "observations: one of outcomes at most, and the last");
    guard->observation_count = count;
    if (count > outcomes) guard->observed = add_input(guard, "observations", first, count - outcomes);
    if (outcomes) guard->outcomes = add_input(guard, "outcomes", first + count - 1, 1);
    return ERAI_OK;
}
