/* Reading a guard program, docs/formats/guard.md, from bytes that may come from anybody: header and CRC first, then
 * every field bounded before it is used. */
#include "guard.h"
#include "bytes.h"
#include "crc32.h"
#include "status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A text of any length that the file has; `longest` bytes at most. "" after a failure. */
static const char *read_text(erai_guard *guard, er_reader *in, size_t longest) {
    uint16_t length = er_read_u16(in);
    if (length > longest) in->failed = 1;
    const uint8_t *bytes = er_read_bytes(in, length);
    if (!bytes || memchr(bytes, 0, length)) {
        in->failed = 1;
        return "";
    }
    char *name = er_guard_keep(guard, (size_t)length + 1, 1);
    if (!name) {
        in->failed = 1;
        return "";
    }
    memcpy(name, bytes, length);
    return name;
}

static const char *read_name(erai_guard *guard, er_reader *in) {
    const char *name = read_text(guard, in, ER_MAX_NAME);
    if (!name[0]) in->failed = 1;
    return name;
}

static const char *read_optional(erai_guard *guard, er_reader *in) {
    const char *text = read_text(guard, in, ER_MAX_NAME);
    return text[0] ? text : NULL;
}

static erai_status cut_short(const char *what, char *detail) {
    return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: %s is cut short or too large", what);
}

/* A list of numbers or texts. Each takes at least `least` bytes of the file, so that memory is bounded by its size. */
static erai_status read_list(erai_guard *guard, er_reader *in, erai_check_rule *rule, char *detail) {
    uint8_t is_text = er_read_u8(in);
    size_t least = is_text ? 2 : 8;
    if (in->failed || is_text > 1 || rule->count > ER_MAX_LIST || rule->count > (in->size - in->at) / least)
        return cut_short("a check's list", detail);
    if (is_text) {
        const char **texts = er_guard_keep(guard, rule->count, sizeof *texts);
        if (!texts) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
        for (uint32_t i = 0; i < rule->count; i++) texts[i] = read_text(guard, in, UINT16_MAX);
        rule->texts = texts;
    } else {
        double *values = er_guard_keep(guard, rule->count, sizeof *values);
        if (!values) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
        for (uint32_t i = 0; i < rule->count; i++) values[i] = er_read_f64(in);
        rule->values = values;
    }
    return in->failed ? cut_short("a check's list", detail) : ERAI_OK;
}

/* Checks, each after its kind, until kind 0. */
static erai_status read_checks(erai_guard *guard, er_reader *in, const er_subject *subject, er_check **checks,
                               uint32_t *count, char *detail) {
    er_check found[ER_MAX_CHECKS];
    uint32_t seen = 0;
    for (uint32_t kind = er_read_u16(in); kind && !in->failed; kind = er_read_u16(in)) {
        if (*count == ER_MAX_CHECKS || (kind < 32 && (seen >> kind & 1)))
            return er_fail(detail, ERAI_E_GUARD_FORMAT, "'%s': more than %d checks, or check %u twice", subject->name,
                           ER_MAX_CHECKS, kind);
        seen |= kind < 32 ? 1u << kind : 0;
        erai_check_rule rule = {.struct_size = sizeof rule, .kind = kind, .verdict = er_read_u8(in)};
        rule.low = er_read_f64(in);
        rule.high = er_read_f64(in);
        rule.limit = er_read_f64(in);
        rule.window = er_read_u32(in);
        rule.count = er_read_u32(in);
        erai_status status = read_list(guard, in, &rule, detail);
        if (!status) status = er_check_check(&rule, subject, detail);
        if (status) return status;
        found[(*count)++] = (er_check){.rule = rule};
    }
    if (in->failed) return cut_short("a check", detail);
    if (!*count) return ERAI_OK;
    *checks = er_guard_keep(guard, *count, sizeof **checks);
    if (!*checks) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    memcpy(*checks, found, *count * sizeof **checks);
    return ERAI_OK;
}

static erai_status read_bins(erai_guard *guard, er_reader *in, er_feature *feature, uint32_t version, char *detail) {
    double *edges = er_guard_keep(guard, ERAI_MAX_BINS, sizeof *edges);
    uint64_t *counts = er_guard_keep(guard, ERAI_MAX_BINS, sizeof *counts);
    if (!edges || !counts) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (uint32_t i = 0; i + 1 < feature->bins; i++)
        edges[i] = version == 1 ? (double)er_read_f32(in) : er_read_f64(in);
    for (uint32_t i = 0; i < feature->bins; i++) counts[i] = er_read_u64(in);
    feature->edges = edges;
    feature->counts = counts;
    return ERAI_OK;
}

erai_status er_read_feature(erai_guard *guard, er_reader *in, er_feature *feature, uint32_t dtype, uint32_t version,
                            char *detail) {
    feature->name = read_name(guard, in);
    if (version > 1) {
        feature->unit = read_optional(guard, in);
        feature->stand_in = read_optional(guard, in);
    }
    feature->low = version == 1 ? (double)er_read_f32(in) : er_read_f64(in);
    feature->high = version == 1 ? (double)er_read_f32(in) : er_read_f64(in);
    feature->mean = er_read_f64(in);
    feature->stddev = er_read_f64(in);
    feature->reference_rows = er_read_u64(in);
    feature->bins = er_read_u8(in);
    if (in->failed || feature->bins > ERAI_MAX_BINS) return cut_short("a feature's record", detail);
    erai_status status = feature->bins ? read_bins(guard, in, feature, version, detail) : ERAI_OK;
    if (status) return status;
    if (in->failed) return cut_short("a feature's record", detail);
    status = er_check_feature(feature, dtype, detail);
    if (status || version == 1) return status;
    er_subject subject = {.name = feature->name, .dtype = dtype};
    return read_checks(guard, in, &subject, &feature->checks, &feature->check_count, detail);
}

static float *read_floats(erai_guard *guard, er_reader *in, size_t count) {
    float *values = count <= (in->size - in->at) / 4 ? er_guard_keep(guard, count, sizeof *values) : NULL;
    for (size_t i = 0; values && i < count; i++) values[i] = er_read_f32(in);
    return values;
}

static double *read_doubles(erai_guard *guard, er_reader *in, size_t count) {
    double *values = count <= (in->size - in->at) / 8 ? er_guard_keep(guard, count, sizeof *values) : NULL;
    for (size_t i = 0; values && i < count; i++) values[i] = er_read_f64(in);
    return values;
}

static erai_status read_distance(erai_guard *guard, er_reader *in, er_input *input, char *detail) {
    uint8_t present = er_read_u8(in);
    if (in->failed || present > 1) return cut_short("an input's record", detail);
    if (!present) return ERAI_OK;
    erai_distance_rule rule = {.struct_size = sizeof rule};
    rule.verdict = er_read_u8(in);
    rule.directions = er_read_u32(in);
    rule.rest = er_read_f64(in);
    rule.threshold = er_read_f64(in);
    rule.false_rejection_rate = er_read_f64(in);
    if (in->failed || rule.directions > ER_MAX_DIRECTIONS) return cut_short("a distance", detail);
    rule.mean = read_doubles(guard, in, input->feature_count);
    rule.scale = read_doubles(guard, in, input->feature_count);
    rule.weights = read_floats(guard, in, rule.directions);
    rule.projection = read_floats(guard, in, (size_t)rule.directions * input->feature_count);
    if (in->failed || !rule.mean || !rule.scale || !rule.weights || !rule.projection)
        return cut_short("a distance", detail);
    erai_status status = er_check_distance(&rule, input, guard->batched, detail);
    if (status) return status;
    return er_lay_out_distance(guard, input, &rule) ? ERAI_OK : er_fail(detail, ERAI_E_MEMORY, "out of memory");
}

static erai_status read_input(erai_guard *guard, er_reader *in, er_input *input, uint32_t version, char *detail) {
    input->name = read_name(guard, in);
    input->dtype = er_read_u8(in);
    input->rank = er_read_u8(in);
    input->flags = er_read_u32(in);
    input->feature_axis = (int32_t)er_read_u32(in);
    input->sketch_stride = er_read_u32(in);
    if (in->failed || input->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an input's record is cut short or too large");
    for (uint32_t i = 0; i < input->rank; i++) {
        input->shape[i] = (int64_t)er_read_u64(in);
        input->max_shape[i] = (int64_t)er_read_u64(in);
    }
    for (uint32_t i = input->rank; i < ERAI_MAX_RANK; i++) { /* of an input of any rank */
        input->shape[i] = -1;
        input->max_shape[i] = INT32_MAX;
    }
    input->feature_count = er_read_u32(in);
    if (in->failed) return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an input's record is cut short");
    erai_status status = er_check_input(input, guard->batched, detail);
    if (status) return status;
    int64_t expected = input->feature_axis < 0 ? 1 : input->shape[input->feature_axis];
    if (expected != (int64_t)input->feature_count || input->feature_count > ER_MAX_FEATURES - guard->feature_count)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: input '%s' has %u features, expected %lld",
                       input->name, input->feature_count, (long long)expected);
    er_feature *grown = realloc(guard->features, (guard->feature_count + input->feature_count) * sizeof *grown);
    if (!grown) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    guard->features = grown;
    input->first_feature = (uint32_t)guard->feature_count;
    for (uint32_t i = 0; i < input->feature_count; i++) {
        er_feature *feature = &guard->features[guard->feature_count];
        memset(feature, 0, sizeof *feature);
        status = er_read_feature(guard, in, feature, input->dtype, version, detail);
        if (status) return status;
        guard->feature_count++;
    }
    return version == 1 ? ERAI_OK : read_distance(guard, in, input, detail);
}

static erai_status read_output(erai_guard *guard, er_reader *in, er_output *output, uint32_t version, char *detail) {
    output->name = read_name(guard, in);
    output->dtype = er_read_u8(in);
    output->rank = er_read_u8(in);
    output->flags = er_read_u32(in);
    if (in->failed || output->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an output's record is cut short or too large");
    for (uint32_t i = 0; i < output->rank; i++) output->shape[i] = (int64_t)er_read_u64(in);
    output->default_size = er_read_u32(in);
    if (in->failed || output->default_size > ER_MAX_DEFAULT)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an output's record is cut short or too large");
    double *row = er_guard_keep(guard, output->default_size, sizeof *row);
    if (!row) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (uint32_t i = 0; i < output->default_size; i++) row[i] = er_read_f64(in);
    output->default_row = row;
    if (in->failed) return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an output's record is cut short");
    erai_status status = er_check_output(output, guard->batched, detail);
    if (status || version == 1) return status;
    er_subject subject = {.name = output->name, .dtype = output->dtype, .flags = output->flags, .is_output = 1};
    return read_checks(guard, in, &subject, &output->checks, &output->check_count, detail);
}

static erai_status read_decision(erai_guard *guard, er_reader *in, char *detail) {
    uint8_t present = er_read_u8(in);
    if (in->failed || present > 1) return cut_short("the decision", detail);
    if (!present) return ERAI_OK;
    erai_decision_rule *rule = &guard->decision;
    rule->struct_size = sizeof *rule;
    rule->deadline_ns = er_read_u64(in);
    rule->last_good_age_ns = er_read_u64(in);
    rule->breaker_cooldown_ns = er_read_u64(in);
    rule->rate_per_second = er_read_f64(in);
    rule->rate_burst = er_read_u32(in);
    rule->last_good_keys = er_read_u32(in);
    rule->review_rows = er_read_u32(in);
    rule->hold_after = er_read_u32(in);
    rule->hold_until = er_read_u32(in);
    rule->breaker_window = er_read_u32(in);
    rule->breaker_failures = er_read_u32(in);
    rule->breaker_probes = er_read_u32(in);
    rule->flags = er_read_u32(in);
    rule->provider = read_optional(guard, in);
    return in->failed ? cut_short("the decision", detail) : er_check_decision(rule, detail);
}

static erai_status read_fallbacks(erai_guard *guard, er_reader *in, char *detail) {
    guard->fallback_count = er_read_u8(in);
    if (in->failed || guard->fallback_count > ER_MAX_FALLBACKS) return cut_short("the fallback rules", detail);
    for (uint32_t i = 0; i < guard->fallback_count; i++) {
        er_fallback *fallback = &guard->fallbacks[i];
        fallback->reasons = er_read_u64(in);
        fallback->steps = er_read_u8(in);
        if (fallback->steps > ER_MAX_STEPS) in->failed = 1;
        for (uint32_t k = 0; !in->failed && k < fallback->steps; k++) fallback->chain[k] = er_read_u8(in);
        if (in->failed) return cut_short("a fallback rule", detail);
        erai_fallback_rule rule = {.reasons = fallback->reasons, .chain = fallback->chain, .steps = fallback->steps};
        erai_status status = er_check_fallback(&rule, detail);
        if (status) return status;
    }
    return ERAI_OK;
}

/* After the states, so that what is no input of the caller's is known. */
static erai_status read_drift(erai_guard *guard, er_reader *in, char *detail) {
    uint8_t present = er_read_u8(in);
    if (in->failed || present > 1) return cut_short("the drift rule", detail);
    if (!present) return ERAI_OK;
    erai_drift_rule rule = {.struct_size = sizeof rule, .features = (uint32_t)guard->feature_count};
    rule.average_run_length = er_read_f64(in);
    rule.effect = er_read_f64(in);
    rule.verdict = er_read_u8(in);
    if (in->failed || guard->feature_count > (in->size - in->at) / 12) return cut_short("the drift rule", detail);
    uint32_t *strides = er_guard_keep(guard, guard->feature_count, sizeof *strides);
    uint64_t *outside = er_guard_keep(guard, guard->feature_count, sizeof *outside);
    if (!strides || !outside) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    size_t watched = 0;
    for (size_t i = 0; i < guard->watched_count; i++) {
        er_input *input = &guard->inputs[i];
        for (size_t f = input->first_feature; f < input->first_feature + input->feature_count; f++) {
            strides[f] = er_read_u32(in);
            if (!strides[f]) continue;
            if (input->is_state || !er_is_watchable(input, guard->features[f].bins, guard->batched))
                return er_fail(
                    detail, ERAI_E_GUARD_FORMAT,
                    "drift: feature '%s' cannot be watched: that needs a reference of two bins or more, and an "
                    "input of numbers with one value a feature and row that is no state",
                    guard->features[f].name);
            input->watched = 1;
            input->strided |= strides[f] > 1;
            watched++;
        }
    }
    if (!watched) return er_fail(detail, ERAI_E_GUARD_FORMAT, "drift: no feature is watched");
    for (size_t f = 0; f < guard->feature_count; f++) guard->features[f].outside = outside[f] = er_read_u64(in);
    rule.strides = strides;
    rule.outside = outside;
    guard->drift = rule;
    return er_check_drift(&rule, detail);
}

/* Likewise after the states. */
static erai_status read_events(erai_guard *guard, er_reader *in, char *detail) {
    uint8_t present = er_read_u8(in);
    if (in->failed || present > 1) return cut_short("the rule of events", detail);
    if (!present) return ERAI_OK;
    erai_events_rule rule = {.struct_size = sizeof rule, .features = (uint32_t)guard->feature_count};
    rule.keep = er_read_u32(in);
    rule.sample_one_in = er_read_u32(in);
    const uint8_t *forms = er_read_bytes(in, guard->feature_count);
    uint8_t *kept = forms ? er_guard_keep(guard, guard->feature_count, 1) : NULL;
    if (!forms) return cut_short("the rule of events", detail);
    if (!kept) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    memcpy(kept, forms, guard->feature_count);
    rule.forms = kept;
    guard->events = rule;
    for (size_t i = 0; i < guard->watched_count; i++) {
        const er_input *input = &guard->inputs[i];
        for (size_t f = input->first_feature; f < input->first_feature + input->feature_count; f++)
            if ((forms[f] && i >= guard->input_count) ||
                !er_may_leave(input, guard->features[f].bins, forms[f], guard->batched))
                return er_fail(
                    detail, ERAI_E_GUARD_FORMAT,
                    "events: feature '%s' cannot leave in form %u: that needs one value a feature and row of "
                    "an input that is no state; a bucket needs a reference, a bucket or plain numbers",
                    guard->features[f].name, forms[f]);
    }
    return er_check_events(&rule, detail);
}

/* An output that can be the next call's input: same type, and extents that may be the same. */
static int state_fits(const er_input *input, const er_output *output, int32_t row_axis) {
    if (input->dtype != output->dtype || input->rank != output->rank || input->dtype == ERAI_DTYPE_STRING) return 0;
    for (uint32_t i = 0; i < input->rank; i++) {
        if (input->shape[i] >= 0 && output->shape[i] >= 0 && input->shape[i] != output->shape[i]) return 0;
        if (input->shape[i] < 0 && (int32_t)i != row_axis) return 0; /* of what size would it begin? */
    }
    return row_axis >= -1 && row_axis < (int32_t)input->rank;
}

static erai_status read_states(erai_guard *guard, er_reader *in, char *detail) {
    guard->state_count = er_read_u8(in);
    if (in->failed || guard->state_count > ER_MAX_STATES) return cut_short("the states", detail);
    for (uint32_t i = 0; i < guard->state_count; i++) {
        er_state *state = &guard->states[i];
        const char *input_name = read_name(guard, in), *output_name = read_name(guard, in);
        state->row_axis = (int32_t)er_read_u32(in);
        if (in->failed) return cut_short("a state", detail);
        while (state->input < guard->input_count && strcmp(guard->inputs[state->input].name, input_name))
            state->input++;
        while (state->output < guard->output_count && strcmp(guard->outputs[state->output].name, output_name))
            state->output++;
        if (state->input == guard->input_count || state->output == guard->output_count)
            return er_fail(detail, ERAI_E_GUARD_FORMAT, "state from output '%s' to input '%s': there is no such pair",
                           output_name, input_name);
        er_input *input = &guard->inputs[state->input];
        if (input->is_state || !state_fits(input, &guard->outputs[state->output], state->row_axis))
            return er_fail(detail, ERAI_E_GUARD_FORMAT,
                           "state '%s': output '%s' is no next value of it (another type or shape, an axis of unknown "
                           "extent that does not count rows, or it has one already)",
                           input->name, guard->outputs[state->output].name);
        if (er_check_row_size("state", input->name, input->shape, input->rank, detail)) return ERAI_E_POLICY;
        input->is_state = 1;
        guard->outputs[state->output].is_state = 1;
        guard->outputs[state->output].row_axis = guard->batched ? state->row_axis : -1;
        guard->given_count--;
    }
    if (guard->given_count == 0) return er_fail(detail, ERAI_E_GUARD_FORMAT, "every input is a state");
    return ERAI_OK;
}

/* Where rows are judged one by one, axis 0 counts them in every tensor but states, which say which of theirs does. */
static erai_status check_row_axes(const erai_guard *guard, char *detail) {
    for (size_t i = 0; guard->batched && i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        if (!input->is_state && (input->rank == 0 || input->shape[0] != -1))
            return er_fail(detail, ERAI_E_GUARD_FORMAT, "input '%s': a batched policy needs a free axis 0",
                           input->name);
    }
    for (size_t i = 0; guard->batched && i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        int counted = output->is_state || (output->flags & ERAI_RULE_NO_TENSOR);
        if (!counted && (output->rank == 0 || output->shape[0] != -1))
            return er_fail(detail, ERAI_E_GUARD_FORMAT, "output '%s': a batched policy needs a free axis 0",
                           output->name);
    }
    return ERAI_OK;
}

static int compare_names(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Telemetry tells features apart by name alone, so a name belongs to one of them, whatever the input. */
static erai_status check_names_differ(const erai_guard *guard, char *detail) {
    const char **names = malloc(guard->feature_count * sizeof *names);
    if (!names) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < guard->feature_count; i++) names[i] = guard->features[i].name;
    qsort(names, guard->feature_count, sizeof *names, compare_names);
    erai_status status = ERAI_OK;
    for (size_t i = 1; !status && i < guard->feature_count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status =
                er_fail(detail, ERAI_E_GUARD_FORMAT,
                        "feature '%s': more than one feature has this name; names differ over all inputs", names[i]);
    free(names);
    return status;
}

static erai_status read_body(erai_guard *guard, er_reader *in, uint32_t version, char *detail) {
    uint8_t batched = er_read_u8(in);
    guard->input_count = er_read_u16(in);
    guard->output_count = er_read_u16(in);
    if (in->failed || batched > 1 || guard->input_count < 1 || guard->input_count > ER_MAX_INPUTS ||
        guard->output_count < 1 || guard->output_count > ER_MAX_OUTPUTS)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: %zu inputs and %zu outputs; expected 1 to %d",
                       guard->input_count, guard->output_count, ER_MAX_INPUTS);
    guard->batched = batched;
    guard->inputs = er_guard_keep(guard, guard->input_count + 2, sizeof *guard->inputs); /* 2: of observations */
    guard->outputs = er_guard_keep(guard, guard->output_count, sizeof *guard->outputs);
    if (!guard->inputs || !guard->outputs) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < guard->input_count; i++) {
        erai_status status = read_input(guard, in, &guard->inputs[i], version, detail);
        if (status) return status;
    }
    for (size_t i = 0; i < guard->output_count; i++) {
        erai_status status = read_output(guard, in, &guard->outputs[i], version, detail);
        if (status) return status;
    }
    guard->given_count = guard->watched_count = guard->input_count;
    for (size_t i = 0; i < guard->output_count; i++) guard->outputs[i].row_axis = guard->batched ? 0 : -1;
    erai_status status = ERAI_OK;
    if (version > 1) {
        status = read_decision(guard, in, detail);
        if (!status) status = read_fallbacks(guard, in, detail);
        if (!status) status = read_states(guard, in, detail);
        if (!status) status = er_read_observations(guard, in, version, detail);
        if (!status && version > 2) status = read_drift(guard, in, detail);
        if (!status && version > 3) status = read_events(guard, in, detail);
    }
    if (!status && in->at != in->size)
        status = er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: bytes after its last record");
    if (!status) status = check_row_axes(guard, detail);
    if (!status) status = check_names_differ(guard, detail);
    for (size_t i = 0; !status && i < guard->watched_count; i++)
        if (!er_lay_out_input(guard, &guard->inputs[i])) status = er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; !status && i < guard->output_count; i++) er_lay_out_output(&guard->outputs[i]);
    return status;
}

static erai_status read_program(erai_guard *guard, const uint8_t *bytes, size_t size, char *detail) {
    er_reader in = {.data = bytes, .size = size};
    const uint8_t *magic = er_read_bytes(&in, 8);
    uint32_t version = er_read_u32(&in);
    uint32_t zero = er_read_u32(&in);
    uint32_t body = er_read_u32(&in);
    uint32_t crc = er_read_u32(&in);
    if (in.failed || memcmp(magic, ER_GUARD_MAGIC, 8) != 0)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "not a guard program");
    if (version > ER_GUARD_VERSION)
        return er_fail(detail, ERAI_E_GUARD_NEWER,
                       "guard program of format version %u; this build understands up to %u: update edge_rai", version,
                       ER_GUARD_VERSION);
    if (version == 0 || zero != 0 || body != size - ER_GUARD_HEADER)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program of %zu bytes: its header says %zu", size,
                       (size_t)body + ER_GUARD_HEADER);
    if (er_crc32(0, bytes + ER_GUARD_HEADER, body) != crc)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: its checksum does not match its contents");
    erai_status status = read_body(guard, &in, version, detail);
    /* A rule that erai_policy_* would refuse is, in a file, a malformed file. */
    return status == ERAI_E_POLICY ? ERAI_E_GUARD_FORMAT : status;
}

erai_status erai_guard_open(const uint8_t *bytes, size_t size, erai_guard **out, char *detail) {
    if (!bytes || !out) return er_fail(detail, ERAI_E_ARGUMENT, "erai_guard_open: NULL");
    erai_guard *guard = calloc(1, sizeof *guard);
    if (!guard) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_status status = read_program(guard, bytes, size, detail);
    if (!status) {
        guard->bytes = er_guard_keep(guard, size, 1);
        if (!guard->bytes) status = er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    if (status) {
        erai_guard_close(guard);
        return status;
    }
    memcpy(guard->bytes, bytes, size);
    guard->size = size;
    erai_sha256(bytes, size, guard->digest);
    *out = guard;
    return ERAI_OK;
}

void erai_guard_close(erai_guard *guard) {
    if (!guard) return;
    for (size_t i = 0; i < guard->block_count; i++) free(guard->blocks[i]);
    free(guard->blocks);
    free(guard->features);
    free(guard);
}
