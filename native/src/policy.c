/* Composing a policy and writing it as a guard program, docs/formats/guard.md. Rules are checked as they arrive, by the
 * same functions that check a program being read, and appended to the body at once; only counts are patched later. A
 * rule that is refused, or finds no memory, leaves the policy as it was. */
#include "bytes.h"
#include "crc32.h"
#include "guard.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

/* The parts of the body; features are with their inputs. */
enum { INPUTS, OUTPUTS, FALLBACKS, STATES, OBSERVATIONS, DECISION, DRIFT, EVENTS, PARTS };

struct erai_policy {
    er_writer parts[PARTS];
    er_input input;     /* added last; its name is in `input_name` */
    er_subject subject; /* feature or output added last, that checks are of; its name is in `subject_name` */
    char input_name[ER_MAX_NAME + 1];
    char subject_name[ER_MAX_NAME + 1];
    uint32_t checks;     /* of the subject */
    int awaits_checks;   /* the subject's list of checks has no end yet */
    int awaits_distance; /* the input added last has no distance yet, nor the word that it has none */
    uint8_t fallback_count;
    uint8_t state_count;
    int batched;
    uint16_t input_count;
    uint16_t output_count;
    uint16_t observation_count;
    uint32_t features;
    uint32_t features_due; /* that the last input still waits for */
};

erai_status erai_policy_open(int batched, erai_policy **policy) {
    if (!policy) return ERAI_E_ARGUMENT;
    *policy = calloc(1, sizeof **policy);
    if (!*policy) return ERAI_E_MEMORY;
    (*policy)->batched = batched != 0;
    return ERAI_OK;
}

void erai_policy_close(erai_policy *policy) {
    if (!policy) return;
    for (int i = 0; i < PARTS; i++) free(policy->parts[i].data);
    free(policy);
}

/* NULL is written as "". */
static void write_name(er_writer *writer, const char *name) {
    size_t length = name ? strlen(name) : 0;
    er_write_u16(writer, (uint16_t)length);
    er_write_bytes(writer, name, length);
}

/* Once a rule was written: where there was no memory for all of it, nothing of it stays but the memory it got. */
static erai_status settle(erai_policy *policy, const erai_policy *before, char *detail) {
    er_writer parts[PARTS];
    int failed = 0;
    for (int i = 0; i < PARTS; i++) {
        parts[i] = policy->parts[i];
        parts[i].size = before->parts[i].size;
        parts[i].failed = 0;
        failed |= policy->parts[i].failed;
    }
    if (!failed) return ERAI_OK;
    *policy = *before;
    memcpy(policy->parts, parts, sizeof parts);
    return er_fail(detail, ERAI_E_MEMORY, "out of memory");
}

/* Where the subject's checks are written. */
static er_writer *of_subject(erai_policy *policy) {
    return &policy->parts[policy->subject.is_output ? OUTPUTS : INPUTS];
}

/* Ends the list of checks of the feature or output before. */
static void end_checks(erai_policy *policy) {
    if (policy->awaits_checks) er_write_u16(of_subject(policy), 0);
    policy->awaits_checks = 0;
    policy->checks = 0;
}

/* Ends the record of the input before. */
static void end_input(erai_policy *policy) {
    end_checks(policy);
    if (policy->awaits_distance) er_write_u8(&policy->parts[INPUTS], 0);
    policy->awaits_distance = 0;
}

static void begin_checks(erai_policy *policy, er_subject subject) {
    memcpy(policy->subject_name, subject.name, strlen(subject.name) + 1);
    policy->subject = subject;
    policy->subject.name = policy->subject_name;
    policy->awaits_checks = 1;
}

erai_status erai_policy_add_input(erai_policy *policy, const erai_input_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_input_rule", detail);
    if (status) return status;
    if (er_check_name(rule->name, "input", detail)) return ERAI_E_POLICY;
    if (policy->features_due)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': the input before it lacks %u features", rule->name,
                       policy->features_due);
    if (policy->observation_count)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': observations come after all inputs", rule->name);
    if (policy->input_count == ER_MAX_INPUTS)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': at most %d inputs", rule->name, ER_MAX_INPUTS);
    if (rule->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': rank %u, at most %d", rule->name, rule->rank, ERAI_MAX_RANK);
    status = er_check_array(rule->shape, rule->rank, "shape", detail);
    for (uint32_t i = 0; !status && i < rule->rank; i++)
        if (rule->shape[i] < 0) status = er_check_array(rule->max_shape, 1, "max_shape", detail);
    if (status) return status;
    er_input input = {.name = rule->name,
                      .rank = rule->rank,
                      .dtype = rule->dtype,
                      .flags = rule->flags,
                      .feature_axis = rule->feature_axis,
                      .sketch_stride = rule->sketch_stride,
                      .feature_count = 1};
    for (uint32_t i = 0; i < rule->rank; i++) {
        input.shape[i] = rule->shape[i];
        input.max_shape[i] = rule->shape[i] < 0 ? rule->max_shape[i] : rule->shape[i];
    }
    status = er_check_input(&input, policy->batched, detail);
    if (status) return status;
    if (input.feature_axis >= 0) {
        int64_t extent = input.shape[input.feature_axis];
        if (extent > ER_MAX_FEATURES - (int64_t)policy->features)
            return er_fail(detail, ERAI_E_POLICY, "input '%s': more than %d features", rule->name, ER_MAX_FEATURES);
        input.feature_count = (uint32_t)extent;
    }
    const erai_policy before = *policy;
    end_input(policy);
    memcpy(policy->input_name, rule->name, strlen(rule->name) + 1);
    policy->input = input;
    policy->input.name = policy->input_name;
    er_writer *out = &policy->parts[INPUTS];
    write_name(out, input.name);
    er_write_u8(out, (uint8_t)input.dtype);
    er_write_u8(out, (uint8_t)input.rank);
    er_write_u32(out, input.flags);
    er_write_u32(out, (uint32_t)input.feature_axis);
    er_write_u32(out, input.sketch_stride);
    for (uint32_t i = 0; i < input.rank; i++) {
        er_write_u64(out, (uint64_t)input.shape[i]);
        er_write_u64(out, (uint64_t)input.max_shape[i]);
    }
    er_write_u32(out, input.feature_count);
    policy->input_count++;
    policy->features += input.feature_count;
    policy->features_due = input.feature_count;
    policy->awaits_distance = 1;
    return settle(policy, &before, detail);
}

static erai_status check_feature(const erai_feature_rule *rule, uint32_t dtype, er_feature *feature, char *detail) {
    if (er_check_name(rule->name, "feature", detail)) return ERAI_E_POLICY;
    const char *const texts[] = {rule->unit, rule->stand_in};
    for (int i = 0; i < 2; i++)
        if (texts[i] && strlen(texts[i]) > ER_MAX_NAME)
            return er_fail(detail, ERAI_E_POLICY, "feature '%s': its unit and stand_in have at most %d bytes",
                           rule->name, ER_MAX_NAME);
    erai_status status = er_check_array(rule->edges, rule->bins > 1, "edges", detail);
    if (!status) status = er_check_array(rule->counts, rule->bins, "counts", detail);
    if (status) return status;
    *feature = (er_feature){.name = rule->name,
                            .unit = rule->unit,
                            .stand_in = rule->stand_in,
                            .low = rule->low,
                            .high = rule->high,
                            .mean = rule->mean,
                            .stddev = rule->stddev,
                            .reference_rows = rule->reference_rows,
                            .edges = rule->edges,
                            .counts = rule->counts,
                            .bins = rule->bins};
    return er_check_feature(feature, dtype, detail);
}

/* Up to its checks. */
static void write_feature(er_writer *out, const er_feature *feature) {
    write_name(out, feature->name);
    write_name(out, feature->unit);
    write_name(out, feature->stand_in);
    er_write_f64(out, feature->low);
    er_write_f64(out, feature->high);
    er_write_f64(out, feature->mean);
    er_write_f64(out, feature->stddev);
    er_write_u64(out, feature->reference_rows);
    er_write_u8(out, (uint8_t)feature->bins);
    for (uint32_t i = 0; i + 1 < feature->bins; i++) er_write_f64(out, feature->edges[i]);
    for (uint32_t i = 0; i < feature->bins; i++) er_write_u64(out, feature->counts[i]);
}

erai_status erai_policy_add_feature(erai_policy *policy, const erai_feature_rule *rule, char *detail) {
    er_feature feature;
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_feature_rule", detail);
    if (!status) status = check_feature(rule, policy->input.dtype, &feature, detail);
    if (status) return status;
    if (!policy->features_due)
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': the input has all its features already", rule->name);
    const erai_policy before = *policy;
    end_checks(policy);
    write_feature(&policy->parts[INPUTS], &feature);
    policy->features_due--;
    begin_checks(policy, (er_subject){.name = rule->name, .dtype = policy->input.dtype});
    return settle(policy, &before, detail);
}

erai_status erai_policy_add_output(erai_policy *policy, const erai_output_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_output_rule", detail);
    if (status) return status;
    if (er_check_name(rule->name, "output", detail)) return ERAI_E_POLICY;
    if (policy->output_count == ER_MAX_OUTPUTS)
        return er_fail(detail, ERAI_E_POLICY, "output '%s': at most %d outputs", rule->name, ER_MAX_OUTPUTS);
    if (rule->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_POLICY, "output '%s': rank %u, at most %d", rule->name, rule->rank,
                       ERAI_MAX_RANK);
    status = er_check_array(rule->shape, rule->rank, "shape", detail);
    if (!status) status = er_check_array(rule->default_row, rule->default_size, "default_row", detail);
    if (status) return status;
    er_output output = {.name = rule->name,
                        .rank = rule->rank,
                        .dtype = rule->dtype,
                        .flags = rule->flags,
                        .default_size = rule->default_size,
                        .default_row = rule->default_row};
    for (uint32_t i = 0; i < rule->rank; i++) output.shape[i] = rule->shape[i];
    status = er_check_output(&output, policy->batched, detail);
    if (status) return status;
    const erai_policy before = *policy;
    end_input(policy);
    er_writer *out = &policy->parts[OUTPUTS];
    write_name(out, output.name);
    er_write_u8(out, (uint8_t)output.dtype);
    er_write_u8(out, (uint8_t)output.rank);
    er_write_u32(out, output.flags);
    for (uint32_t i = 0; i < output.rank; i++) er_write_u64(out, (uint64_t)output.shape[i]);
    er_write_u32(out, output.default_size);
    for (uint32_t i = 0; i < output.default_size; i++) er_write_f64(out, output.default_row[i]);
    policy->output_count++;
    begin_checks(policy,
                 (er_subject){.name = rule->name, .dtype = output.dtype, .flags = output.flags, .is_output = 1});
    return settle(policy, &before, detail);
}

erai_status erai_policy_add_check(erai_policy *policy, const erai_check_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_check_rule", detail);
    if (status) return status;
    if (!policy->awaits_checks)
        return er_fail(detail, ERAI_E_ARGUMENT, "a check comes right after the feature or output that it is of");
    if (policy->checks == ER_MAX_CHECKS)
        return er_fail(detail, ERAI_E_POLICY, "'%s': at most %d checks", policy->subject.name, ER_MAX_CHECKS);
    int is_text = policy->subject.dtype == ERAI_DTYPE_STRING && rule->kind == ERAI_CHECK_CATEGORIES;
    const void *const list = is_text ? (const void *)rule->texts : rule->values;
    status = er_check_array(list, rule->count, is_text ? "texts" : "values", detail);
    for (uint32_t i = 0; !status && is_text && i < rule->count; i++)
        status = er_check_array(rule->texts[i], 1, "a text", detail);
    if (!status) status = er_check_check(rule, &policy->subject, detail);
    if (status) return status;
    const erai_policy before = *policy;
    er_writer *out = of_subject(policy);
    er_write_u16(out, (uint16_t)rule->kind);
    er_write_u8(out, (uint8_t)rule->verdict);
    er_write_f64(out, rule->low);
    er_write_f64(out, rule->high);
    er_write_f64(out, rule->limit);
    er_write_u32(out, rule->window);
    er_write_u32(out, rule->count);
    er_write_u8(out, (uint8_t)is_text);
    for (uint32_t i = 0; i < rule->count; i++)
        if (is_text)
            write_name(out, rule->texts[i]);
        else
            er_write_f64(out, rule->values[i]);
    policy->checks++;
    return settle(policy, &before, detail);
}

erai_status erai_policy_set_distance(erai_policy *policy, const erai_distance_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_distance_rule", detail);
    if (status) return status;
    if (!policy->awaits_distance || policy->features_due)
        return er_fail(detail, ERAI_E_ARGUMENT, "a distance comes after all features of its input, and once");
    status = er_check_array(rule->scale ? rule->mean : NULL, 1, "mean or scale", detail);
    const float *const axes = rule->weights ? rule->projection : NULL;
    if (!status) status = er_check_array(axes, rule->directions, "projection or weights", detail);
    if (!status) status = er_check_distance(rule, &policy->input, policy->batched, detail);
    if (status) return status;
    const erai_policy before = *policy;
    end_checks(policy);
    er_writer *out = &policy->parts[INPUTS];
    size_t features = policy->input.feature_count;
    er_write_u8(out, 1);
    er_write_u8(out, (uint8_t)rule->verdict);
    er_write_u32(out, rule->directions);
    er_write_f64(out, rule->rest);
    er_write_f64(out, rule->threshold);
    er_write_f64(out, rule->false_rejection_rate);
    for (size_t i = 0; i < features; i++) er_write_f64(out, rule->mean[i]);
    for (size_t i = 0; i < features; i++) er_write_f64(out, rule->scale[i]);
    for (size_t i = 0; i < rule->directions; i++) er_write_f32(out, rule->weights[i]);
    for (size_t i = 0; i < rule->directions * features; i++) er_write_f32(out, rule->projection[i]);
    policy->awaits_distance = 0;
    return settle(policy, &before, detail);
}

erai_status erai_policy_add_fallback(erai_policy *policy, const erai_fallback_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_fallback_rule", detail);
    if (!status) status = er_check_array(rule->chain, rule->steps, "chain", detail);
    if (status) return status;
    if (policy->fallback_count == ER_MAX_FALLBACKS)
        return er_fail(detail, ERAI_E_POLICY, "at most %d fallback rules", ER_MAX_FALLBACKS);
    status = er_check_fallback(rule, detail);
    if (status) return status;
    const erai_policy before = *policy;
    er_writer *out = &policy->parts[FALLBACKS];
    er_write_u64(out, rule->reasons);
    er_write_u8(out, (uint8_t)rule->steps);
    for (uint32_t i = 0; i < rule->steps; i++) er_write_u8(out, (uint8_t)rule->chain[i]);
    policy->fallback_count++;
    return settle(policy, &before, detail);
}

/* A rule that is given once takes the place of one given before. Takes `out`. */
static erai_status put_part(erai_policy *policy, int part, er_writer *out, char *detail) {
    er_writer unused = out->failed ? *out : policy->parts[part];
    int failed = out->failed;
    if (!failed) policy->parts[part] = *out;
    free(unused.data);
    return failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : ERAI_OK;
}

erai_status erai_policy_set_decision(erai_policy *policy, const erai_decision_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_decision_rule", detail);
    if (status) return status;
    if (rule->provider && er_check_name(rule->provider, "decision.provider", detail)) return ERAI_E_POLICY;
    status = er_check_decision(rule, detail);
    if (status) return status;
    er_writer out = {0};
    er_write_u64(&out, rule->deadline_ns);
    er_write_u64(&out, rule->last_good_age_ns);
    er_write_u64(&out, rule->breaker_cooldown_ns);
    er_write_f64(&out, rule->rate_per_second);
    const uint32_t numbers[] = {rule->rate_burst,       rule->last_good_keys, rule->review_rows,
                                rule->hold_after,       rule->hold_until,     rule->breaker_window,
                                rule->breaker_failures, rule->breaker_probes, rule->flags};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) er_write_u32(&out, numbers[i]);
    write_name(&out, rule->provider);
    return put_part(policy, DECISION, &out, detail);
}

erai_status erai_policy_add_observation(erai_policy *policy, const erai_observation_rule *rule,
                                        const erai_feature_rule *feature_rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_observation_rule", detail);
    if (!status) status = er_check_given(policy, feature_rule, sizeof *feature_rule, "erai_feature_rule", detail);
    if (status) return status;
    er_feature feature;
    status = check_feature(feature_rule, ERAI_DTYPE_FLOAT64, &feature, detail);
    if (status) return status;
    if (policy->features_due || policy->observation_count == ER_MAX_OBSERVATIONS ||
        policy->features == ER_MAX_FEATURES || rule->index >= ER_MAX_OUTPUTS)
        return er_fail(detail, ERAI_E_POLICY,
                       "observation '%s': observations, at most %d, come after all inputs with their features",
                       feature.name, ER_MAX_OBSERVATIONS);
    const er_observation found = {rule->kind,  rule->index, rule->element,    rule->limit,
                                  rule->bound, rule->slots, rule->slot_means, rule->slot_scales};
    status = er_check_observation(&found, &feature, detail);
    if (status) return status;
    const erai_policy before = *policy;
    er_writer *out = &policy->parts[OBSERVATIONS];
    er_write_u8(out, (uint8_t)found.kind);
    er_write_u16(out, (uint16_t)found.index);
    er_write_u32(out, found.element);
    er_write_f64(out, found.limit);
    er_write_f64(out, found.bound);
    write_feature(out, &feature);
    er_write_u16(out, 0);
    if (found.slots) er_write_u16(out, (uint16_t)found.slots);
    for (uint32_t i = 0; i < found.slots; i++) {
        er_write_f64(out, found.slot_means[i]);
        er_write_f64(out, found.slot_scales[i]);
    }
    policy->observation_count++;
    policy->features++;
    return settle(policy, &before, detail);
}

erai_status erai_policy_set_drift(erai_policy *policy, const erai_drift_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_drift_rule", detail);
    if (!status) status = er_check_array(rule->strides, 1, "strides", detail);
    if (status) return status;
    if (policy->features_due || rule->features != policy->features)
        return er_fail(detail, ERAI_E_POLICY, "drift: strides of %u features; it comes after all %u with one each",
                       rule->features, policy->features);
    status = er_check_drift(rule, detail);
    if (status) return status;
    er_writer out = {0};
    er_write_f64(&out, rule->average_run_length);
    er_write_f64(&out, rule->effect);
    er_write_u8(&out, (uint8_t)rule->verdict);
    for (uint32_t f = 0; f < rule->features; f++) er_write_u32(&out, rule->strides[f]);
    for (uint32_t f = 0; f < rule->features; f++) er_write_u64(&out, rule->outside ? rule->outside[f] : 0);
    return put_part(policy, DRIFT, &out, detail);
}

erai_status erai_policy_set_events(erai_policy *policy, const erai_events_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_events_rule", detail);
    if (!status) status = er_check_array(rule->forms, 1, "forms", detail);
    if (status) return status;
    if (policy->features_due || rule->features != policy->features)
        return er_fail(detail, ERAI_E_POLICY, "events: forms of %u features; it comes after all %u with one each",
                       rule->features, policy->features);
    status = er_check_events(rule, detail);
    if (status) return status;
    er_writer out = {0};
    er_write_u32(&out, rule->keep);
    er_write_u32(&out, rule->sample_one_in);
    er_write_bytes(&out, rule->forms, rule->features);
    return put_part(policy, EVENTS, &out, detail);
}

erai_status erai_policy_add_state(erai_policy *policy, const erai_state_rule *rule, char *detail) {
    erai_status status = er_check_given(policy, rule, sizeof *rule, "erai_state_rule", detail);
    if (status) return status;
    if (er_check_name(rule->input, "state.input", detail) || er_check_name(rule->output, "state.output", detail))
        return ERAI_E_POLICY;
    if (policy->state_count == ER_MAX_STATES) return er_fail(detail, ERAI_E_POLICY, "at most %d states", ER_MAX_STATES);
    const erai_policy before = *policy;
    er_writer *out = &policy->parts[STATES];
    write_name(out, rule->input);
    write_name(out, rule->output);
    er_write_u32(out, (uint32_t)rule->row_axis);
    policy->state_count++;
    return settle(policy, &before, detail);
}

/* What no single rule shows, features of the same name, the reader finds. */
static erai_status check_readable(const er_writer *program, char *detail) {
    erai_guard *guard = NULL;
    erai_status status = erai_guard_open(program->data, program->size, &guard, detail);
    erai_guard_close(guard);
    return status == ERAI_E_GUARD_FORMAT ? ERAI_E_POLICY : status;
}

/* The records after the header; `policy` has been ended. */
static void write_body(er_writer *out, const erai_policy *policy) {
    er_write_u8(out, (uint8_t)policy->batched);
    er_write_u16(out, policy->input_count);
    er_write_u16(out, policy->output_count);
    er_write_bytes(out, policy->parts[INPUTS].data, policy->parts[INPUTS].size);
    er_write_bytes(out, policy->parts[OUTPUTS].data, policy->parts[OUTPUTS].size);
    er_write_u8(out, policy->parts[DECISION].size > 0);
    er_write_bytes(out, policy->parts[DECISION].data, policy->parts[DECISION].size);
    er_write_u8(out, policy->fallback_count);
    er_write_bytes(out, policy->parts[FALLBACKS].data, policy->parts[FALLBACKS].size);
    er_write_u8(out, policy->state_count);
    er_write_bytes(out, policy->parts[STATES].data, policy->parts[STATES].size);
    er_write_u16(out, policy->observation_count);
    er_write_bytes(out, policy->parts[OBSERVATIONS].data, policy->parts[OBSERVATIONS].size);
    er_write_u8(out, policy->parts[DRIFT].size > 0);
    er_write_bytes(out, policy->parts[DRIFT].data, policy->parts[DRIFT].size);
    er_write_u8(out, policy->parts[EVENTS].size > 0);
    er_write_bytes(out, policy->parts[EVENTS].data, policy->parts[EVENTS].size);
}

erai_status erai_policy_write(erai_policy *policy, uint8_t *buffer, size_t capacity, size_t *size, char *detail) {
    if (!policy || !size) return er_fail(detail, ERAI_E_ARGUMENT, "erai_policy_write: NULL");
    if (!policy->input_count || !policy->output_count || policy->features_due)
        return er_fail(detail, ERAI_E_POLICY,
                       "a policy needs at least one input with all its features and one output; the last input lacks "
                       "%u features",
                       policy->features_due);
    const erai_policy before = *policy;
    end_input(policy);
    erai_status status = settle(policy, &before, detail);
    if (status) return status;
    size_t body = 12;
    for (int i = 0; i < PARTS; i++) body += policy->parts[i].size;
    if (body > UINT32_MAX) return er_fail(detail, ERAI_E_SIZE, "the guard program exceeds 4 GiB");
    *size = ER_GUARD_HEADER + body;
    if (capacity < *size)
        return er_fail(detail, ERAI_E_SIZE, "the guard program has %zu bytes, the buffer room for %zu", *size,
                       capacity);
    er_writer out = {0};
    er_write_bytes(&out, ER_GUARD_MAGIC, 8);
    er_write_u32(&out, ER_GUARD_VERSION);
    er_write_u32(&out, 0);
    er_write_u32(&out, (uint32_t)body);
    er_write_u32(&out, 0);
    write_body(&out, policy);
    if (!out.failed) er_patch_u32(&out, 20, er_crc32(0, out.data + ER_GUARD_HEADER, body));
    status = out.failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : check_readable(&out, detail);
    if (!status) memcpy(buffer, out.data, out.size);
    free(out.data);
    return status;
}
