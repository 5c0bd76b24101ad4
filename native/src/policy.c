/* Composing a policy and writing it as a guard program, docs/formats/guard.md. Rules are checked as they arrive, by the
 * same functions that check a program being read, and appended to the body at once; only counts are patched later. */
#include "bytes.h"
#include "crc32.h"
#include "guard.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

struct erai_policy {
    er_writer inputs; /* with their features */
    er_writer outputs;
    int batched;
    uint16_t input_count;
    uint16_t output_count;
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
    free(policy->inputs.data);
    free(policy->outputs.data);
    free(policy);
}

static void write_name(er_writer *writer, const char *name) {
    size_t length = strlen(name);
    er_write_u16(writer, (uint16_t)length);
    er_write_bytes(writer, name, length);
}

static erai_status check_name(const char *name, const char *what, char *detail) {
    if (!name || !name[0] || strlen(name) > ER_MAX_NAME)
        return er_fail(detail, ERAI_E_POLICY, "%s: expected a name of 1 to %d bytes", what, ER_MAX_NAME);
    return ERAI_OK;
}

erai_status erai_policy_add_input(erai_policy *policy, const erai_input_rule *rule, char *detail) {
    if (!policy || !rule) return er_fail(detail, ERAI_E_ARGUMENT, "erai_policy_add_input: NULL");
    if (rule->struct_size != sizeof *rule)
        return er_fail(detail, ERAI_E_STRUCT, "erai_input_rule: unknown struct_size");
    if (check_name(rule->name, "input", detail)) return ERAI_E_POLICY;
    if (policy->features_due)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': the input before it lacks %u features", rule->name,
                       policy->features_due);
    if (policy->input_count == ER_MAX_INPUTS)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': at most %d inputs", rule->name, ER_MAX_INPUTS);
    if (rule->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': rank %u, at most %d", rule->name, rule->rank, ERAI_MAX_RANK);
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
    erai_status status = er_check_input(&input, policy->batched, detail);
    if (status) return status;
    if (input.feature_axis >= 0) {
        int64_t extent = input.shape[input.feature_axis];
        if (extent > ER_MAX_FEATURES - (int64_t)policy->features)
            return er_fail(detail, ERAI_E_POLICY, "input '%s': more than %d features", rule->name, ER_MAX_FEATURES);
        input.feature_count = (uint32_t)extent;
    }
    er_writer *out = &policy->inputs;
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
    return out->failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : ERAI_OK;
}

erai_status erai_policy_add_feature(erai_policy *policy, const erai_feature_rule *rule, char *detail) {
    if (!policy || !rule) return er_fail(detail, ERAI_E_ARGUMENT, "erai_policy_add_feature: NULL");
    if (rule->struct_size != sizeof *rule)
        return er_fail(detail, ERAI_E_STRUCT, "erai_feature_rule: unknown struct_size");
    if (check_name(rule->name, "feature", detail)) return ERAI_E_POLICY;
    if (!policy->features_due)
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': the input has all its features already", rule->name);
    er_feature feature = {.name = rule->name,
                          .low = rule->low,
                          .high = rule->high,
                          .mean = rule->mean,
                          .stddev = rule->stddev,
                          .reference_rows = rule->reference_rows,
                          .edges = rule->edges,
                          .counts = rule->counts,
                          .bins = rule->bins};
    erai_status status = er_check_feature(&feature, detail);
    if (status) return status;
    er_writer *out = &policy->inputs;
    write_name(out, feature.name);
    er_write_f32(out, feature.low);
    er_write_f32(out, feature.high);
    er_write_f64(out, feature.mean);
    er_write_f64(out, feature.stddev);
    er_write_u64(out, feature.reference_rows);
    er_write_u8(out, (uint8_t)feature.bins);
    for (uint32_t i = 0; i + 1 < feature.bins; i++) er_write_f32(out, feature.edges[i]);
    for (uint32_t i = 0; i < feature.bins; i++) er_write_u64(out, feature.counts[i]);
    policy->features_due--;
    return out->failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : ERAI_OK;
}

erai_status erai_policy_add_output(erai_policy *policy, const erai_output_rule *rule, char *detail) {
    if (!policy || !rule) return er_fail(detail, ERAI_E_ARGUMENT, "erai_policy_add_output: NULL");
    if (rule->struct_size != sizeof *rule)
        return er_fail(detail, ERAI_E_STRUCT, "erai_output_rule: unknown struct_size");
    if (check_name(rule->name, "output", detail)) return ERAI_E_POLICY;
    if (policy->output_count == ER_MAX_OUTPUTS)
        return er_fail(detail, ERAI_E_POLICY, "output '%s': at most %d outputs", rule->name, ER_MAX_OUTPUTS);
    if (rule->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_POLICY, "output '%s': rank %u, at most %d", rule->name, rule->rank,
                       ERAI_MAX_RANK);
    er_output output = {.name = rule->name,
                        .rank = rule->rank,
                        .dtype = rule->dtype,
                        .flags = rule->flags,
                        .default_size = rule->default_size,
                        .default_row = rule->default_row};
    for (uint32_t i = 0; i < rule->rank; i++) output.shape[i] = rule->shape[i];
    erai_status status = er_check_output(&output, policy->batched, detail);
    if (status) return status;
    er_writer *out = &policy->outputs;
    write_name(out, output.name);
    er_write_u8(out, (uint8_t)output.dtype);
    er_write_u8(out, (uint8_t)output.rank);
    er_write_u32(out, output.flags);
    for (uint32_t i = 0; i < output.rank; i++) er_write_u64(out, (uint64_t)output.shape[i]);
    er_write_u32(out, output.default_size);
    for (uint32_t i = 0; i < output.default_size; i++) er_write_f64(out, output.default_row[i]);
    policy->output_count++;
    return out->failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : ERAI_OK;
}

/* What no single rule shows, features of the same name, the reader finds. */
static erai_status check_readable(const er_writer *program, char *detail) {
    erai_guard *guard = NULL;
    erai_status status = erai_guard_open(program->data, program->size, &guard, detail);
    erai_guard_close(guard);
    return status == ERAI_E_GUARD_FORMAT ? ERAI_E_POLICY : status;
}

erai_status erai_policy_write(const erai_policy *policy, uint8_t *buffer, size_t capacity, size_t *size, char *detail) {
    if (!policy || !size) return er_fail(detail, ERAI_E_ARGUMENT, "erai_policy_write: NULL");
    if (!policy->input_count || !policy->output_count || policy->features_due)
        return er_fail(detail, ERAI_E_POLICY,
                       "a policy needs at least one input with all its features and one output; the last input lacks "
                       "%u features",
                       policy->features_due);
    size_t body = 5 + policy->inputs.size + policy->outputs.size;
    if (body > UINT32_MAX) return er_fail(detail, ERAI_E_SIZE, "the guard program exceeds 4 GiB");
    *size = ER_GUARD_HEADER + body;
    if (capacity < *size) return ERAI_E_SIZE;
    er_writer out = {0};
    er_write_bytes(&out, ER_GUARD_MAGIC, 8);
    er_write_u32(&out, ER_GUARD_VERSION);
    er_write_u32(&out, 0);
    er_write_u32(&out, (uint32_t)body);
    er_write_u32(&out, 0);
    er_write_u8(&out, (uint8_t)policy->batched);
    er_write_u16(&out, policy->input_count);
    er_write_u16(&out, policy->output_count);
    er_write_bytes(&out, policy->inputs.data, policy->inputs.size);
    er_write_bytes(&out, policy->outputs.data, policy->outputs.size);
    if (!out.failed) er_patch_u32(&out, 20, er_crc32(0, out.data + ER_GUARD_HEADER, body));
    erai_status status = out.failed ? er_fail(detail, ERAI_E_MEMORY, "out of memory") : check_readable(&out, detail);
    if (!status) memcpy(buffer, out.data, out.size);
    free(out.data);
    return status;
}
