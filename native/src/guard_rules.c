/* What a rule may say: the one place that decides, for rules that are composed and rules that are read. */
#include "guard.h"
#include "status.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Extents stay below this so that products of two, and of one with an element size, fit into 64 bits. */
#define MAX_EXTENT INT32_MAX

erai_status er_check_given(const void *policy, const void *rule, size_t size, const char *name, char *detail) {
    if (!policy || !rule) return er_fail(detail, ERAI_E_ARGUMENT, "%s: the policy or the rule is NULL", name);
    size_t struct_size;
    memcpy(&struct_size, rule, sizeof struct_size);
    if (struct_size != size) return er_fail(detail, ERAI_E_STRUCT, "%s: unknown struct_size", name);
    return ERAI_OK;
}

erai_status er_check_array(const void *values, uint32_t count, const char *name, char *detail) {
    return values || !count ? ERAI_OK : er_fail(detail, ERAI_E_ARGUMENT, "%s of the rule is NULL", name);
}

erai_status er_check_name(const char *name, const char *what, char *detail) {
    if (!name || !name[0] || strlen(name) > ER_MAX_NAME)
        return er_fail(detail, ERAI_E_POLICY, "%s: expected a name of 1 to %d bytes", what, ER_MAX_NAME);
    return ERAI_OK;
}

erai_status er_check_input(const er_input *input, int batched, char *detail) {
    if (!erai_dtype_size(input->dtype))
        return er_fail(detail, ERAI_E_POLICY, "input '%s': %s is not supported", input->name,
                       er_dtype_name(input->dtype));
    if (input->flags & ~(ERAI_RULE_FINITE | ERAI_RULE_FLAG_RANGE | ERAI_RULE_EMPTY | ERAI_RULE_ANY_RANK))
        return er_fail(detail, ERAI_E_POLICY, "input '%s': unknown flags 0x%x", input->name, input->flags);
    if (input->flags & ERAI_RULE_ANY_RANK && (input->rank || batched))
        return er_fail(detail, ERAI_E_POLICY, "input '%s': of any rank, it has no shape, and no axis that counts rows",
                       input->name);
    if (input->sketch_stride == 0)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': sketch_stride is 0, expected at least 1", input->name);
    for (uint32_t i = 0; i < input->rank; i++) {
        int64_t extent = input->shape[i], most = input->max_shape[i];
        int64_t least = input->flags & ERAI_RULE_EMPTY ? 0 : 1;
        if ((extent != -1 && extent < least) || most < least || most > MAX_EXTENT || (extent >= 0 && extent != most))
            return er_fail(detail, ERAI_E_POLICY,
                           "input '%s': axis %u is %lld with at most %lld; expected a size from 1 to %d, or -1 with a "
                           "greatest size",
                           input->name, i, (long long)extent, (long long)most, MAX_EXTENT);
    }
    int32_t axis = input->feature_axis;
    if (axis < -1 || axis >= (int32_t)input->rank || (axis >= 0 && input->shape[axis] < 1) || (axis == 0 && batched))
        return er_fail(detail, ERAI_E_POLICY,
                       "input '%s': feature_axis %d; expected -1 or an axis of fixed extent that does not count rows",
                       input->name, axis);
    return ERAI_OK;
}

erai_status er_check_feature(const er_feature *feature, uint32_t dtype, char *detail) {
    if (!(feature->low <= feature->high))
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': low %g is not at most high %g", feature->name,
                       feature->low, feature->high);
    if (dtype == ERAI_DTYPE_STRING && (!isinf(feature->low) || !isinf(feature->high) || feature->bins))
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': strings have neither limits nor bins", feature->name);
    if (!isfinite(feature->mean) || !isfinite(feature->stddev) || feature->stddev < 0)
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': mean %g, standard deviation %g; expected finite numbers",
                       feature->name, feature->mean, feature->stddev);
    if (feature->bins > ERAI_MAX_BINS)
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': %u bins, at most %d", feature->name, feature->bins,
                       ERAI_MAX_BINS);
    for (uint32_t i = 0; i + 1 < feature->bins; i++)
        if (!isfinite(feature->edges[i]) || (i && !(feature->edges[i] > feature->edges[i - 1])))
            return er_fail(detail, ERAI_E_POLICY, "feature '%s': edge %u is %g; edges are finite and increase",
                           feature->name, i, (double)feature->edges[i]);
    return ERAI_OK;
}

double er_greatest(uint32_t dtype) {
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: return (double)FLT_MAX;
    case ERAI_DTYPE_FLOAT16: return 65504.0;
    case ERAI_DTYPE_BFLOAT16: return 0x1.fep127;
    default: return DBL_MAX;
    }
}

/* Whether a value of this type can be this number, but for a float's rounding. */
static int storable(uint32_t dtype, double value) {
    if (er_is_float(dtype)) return !isfinite(value) || fabs(value) <= er_greatest(dtype);
    if (value != trunc(value)) return 0;
    switch (dtype) {
    case ERAI_DTYPE_INT8: return value >= INT8_MIN && value <= INT8_MAX;
    case ERAI_DTYPE_INT16: return value >= INT16_MIN && value <= INT16_MAX;
    case ERAI_DTYPE_INT32: return value >= INT32_MIN && value <= INT32_MAX;
    case ERAI_DTYPE_INT64: return value >= -0x1p63 && value < 0x1p63;
    case ERAI_DTYPE_UINT8: return value >= 0 && value <= UINT8_MAX;
    case ERAI_DTYPE_UINT16: return value >= 0 && value <= UINT16_MAX;
    case ERAI_DTYPE_UINT32: return value >= 0 && value <= UINT32_MAX;
    case ERAI_DTYPE_UINT64: return value >= 0 && value < 0x1p64;
    case ERAI_DTYPE_BOOL: return value == 0 || value == 1;
    default: return 0;
    }
}

/* A session makes room for a row, of free axes for one, before any model has shown that it gives so much. */
erai_status er_check_row_size(const char *what, const char *name, const int64_t *shape, uint32_t rank, char *detail) {
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] > 0) elements *= shape[i];
        if (elements > ER_MAX_ROW)
            return er_fail(detail, ERAI_E_POLICY, "%s '%s': its fixed extents make more than %d elements", what, name,
                           ER_MAX_ROW);
    }
    return ERAI_OK;
}

erai_status er_check_output(const er_output *output, int batched, char *detail) {
    int tensor = !(output->flags & ERAI_RULE_NO_TENSOR);
    if (tensor ? !erai_dtype_size(output->dtype) : output->dtype || output->rank || output->default_size)
        return er_fail(detail, ERAI_E_POLICY, "output '%s': %s of rank %u is not supported", output->name,
                       er_dtype_name(output->dtype), output->rank);
    if (output->flags &
        ~(ERAI_RULE_FINITE | ERAI_RULE_HAS_DEFAULT | ERAI_RULE_SHAPE | ERAI_RULE_LOGITS | ERAI_RULE_NO_TENSOR))
        return er_fail(detail, ERAI_E_POLICY, "output '%s': unknown flags 0x%x", output->name, output->flags);
    int64_t elements = 1;
    for (uint32_t i = 0; i < output->rank; i++) {
        int64_t extent = output->shape[i];
        if (extent < -1 || extent > MAX_EXTENT)
            return er_fail(detail, ERAI_E_POLICY, "output '%s': axis %u is %lld; expected -1 or 0 to %d", output->name,
                           i, (long long)extent, MAX_EXTENT);
        if (batched && i == 0) continue;
        elements = extent < 0 || elements < 0 || elements > ER_MAX_DEFAULT ? -1 : elements * extent;
    }
    if (er_check_row_size("output", output->name, output->shape, output->rank, detail)) return ERAI_E_POLICY;
    for (uint32_t i = 0; i < output->default_size && i < ER_MAX_DEFAULT; i++)
        if (!storable(output->dtype, output->default_row[i]))
            return er_fail(detail, ERAI_E_POLICY, "output '%s': default %g does not fit its data type", output->name,
                           output->default_row[i]);
    int has_default = (output->flags & ERAI_RULE_HAS_DEFAULT) != 0;
    if (has_default != (output->default_size > 0) || output->default_size > ER_MAX_DEFAULT ||
        (output->default_size > 1 && elements != (int64_t)output->default_size))
        return er_fail(detail, ERAI_E_POLICY,
                       "output '%s': a default of %u values; expected 1 or one for each element "
                       "of a row",
                       output->name, output->default_size);
    return ERAI_OK;
}

/* ---- Checks ---- */

/* Increasing lists are found in by bisection, and two lists of the same things are the same bytes. */
static erai_status check_list(const erai_check_rule *rule, const er_subject *subject, char *detail) {
    int is_text = subject->dtype == ERAI_DTYPE_STRING;
    if (rule->count < 1 || rule->count > ER_MAX_LIST || (is_text ? !rule->texts : !rule->values))
        return er_fail(detail, ERAI_E_POLICY, "'%s': %u categories, expected 1 to %d %s", subject->name, rule->count,
                       ER_MAX_LIST, is_text ? "texts" : "numbers");
    for (uint32_t i = 0; i < rule->count; i++) {
        int fine = is_text ? i == 0 || strcmp(rule->texts[i - 1], rule->texts[i]) < 0
                           : isfinite(rule->values[i]) && (i == 0 || rule->values[i - 1] < rule->values[i]);
        if (!fine)
            return er_fail(detail, ERAI_E_POLICY, "'%s': category %u; categories are finite and increase",
                           subject->name, i);
        if (is_text && strlen(rule->texts[i]) > UINT16_MAX)
            return er_fail(detail, ERAI_E_POLICY, "'%s': category %u has more than %d bytes", subject->name, i,
                           UINT16_MAX);
        if (!is_text && !storable(subject->dtype, rule->values[i]))
            return er_fail(detail, ERAI_E_POLICY, "'%s': category %u is %g, which no %s is", subject->name, i,
                           rule->values[i], er_dtype_name(subject->dtype));
    }
    return ERAI_OK;
}

/* A number that the type does not have would never be found missing, or turn into another one or infinity. */
static erai_status check_missing(const erai_check_rule *rule, const er_subject *subject, char *detail) {
    const double *value = rule->values;
    int fine =
        rule->count == 0 || (rule->count == 1 && value && isfinite(value[0]) && storable(subject->dtype, value[0]));
    int becomes = isnan(rule->limit) || (isfinite(rule->limit) && storable(subject->dtype, rule->limit));
    if (fine && becomes) return ERAI_OK;
    return er_fail(detail, ERAI_E_POLICY,
                   "'%s': missing is NaN or one finite value of its type, %s, and becomes one or stays", subject->name,
                   er_dtype_name(subject->dtype));
}

static erai_status check_ranges(const erai_check_rule *rule, const er_subject *subject, char *detail) {
    if (rule->count < 2 || rule->count % 2 || rule->count > ER_MAX_LIST || !rule->values)
        return er_fail(detail, ERAI_E_POLICY, "'%s': %u ends of ranges of characters, expected an even number from 2",
                       subject->name, rule->count);
    for (uint32_t i = 0; i < rule->count; i++) {
        double point = rule->values[i];
        if (point != trunc(point) || point < 0 || point > 0x10FFFF || (i % 2 && point < rule->values[i - 1]))
            return er_fail(detail, ERAI_E_POLICY, "'%s': range end %u is %g; expected code points from low to high",
                           subject->name, i, point);
    }
    return ERAI_OK;
}

/* The bounds that a kind has: at least one of them a limit, and in order. */
static erai_status check_bounds(const erai_check_rule *rule, const er_subject *subject, char *detail) {
    if (rule->low <= rule->high && (isfinite(rule->low) || isfinite(rule->high))) return ERAI_OK;
    return er_fail(detail, ERAI_E_POLICY, "'%s': check %u from %g to %g; expected low <= high, one of them finite",
                   subject->name, rule->kind, rule->low, rule->high);
}

static erai_status check_kind(const erai_check_rule *rule, const er_subject *subject, char *detail) {
    switch (rule->kind) {
    case ERAI_CHECK_CATEGORIES: return check_list(rule, subject, detail);
    case ERAI_CHECK_CHARACTERS: return check_ranges(rule, subject, detail);
    case ERAI_CHECK_MISSING: return check_missing(rule, subject, detail);
    case ERAI_CHECK_STUCK:
        if (rule->window < 2)
            return er_fail(detail, ERAI_E_POLICY, "'%s': a stuck window is at least 2", subject->name);
        return ERAI_OK;
    case ERAI_CHECK_STEP:
    case ERAI_CHECK_CLIPPED:
        if (!(rule->limit >= 0) || isinf(rule->limit))
            return er_fail(detail, ERAI_E_POLICY, "'%s': limit %g of check %u; expected a number from 0", subject->name,
                           rule->limit, rule->kind);
        return rule->kind == ERAI_CHECK_CLIPPED ? check_bounds(rule, subject, detail) : ERAI_OK;
    case ERAI_CHECK_AGE:
        if (!(rule->limit > 0) || isinf(rule->limit))
            return er_fail(detail, ERAI_E_POLICY, "'%s': %g seconds a unit; expected more than 0", subject->name,
                           rule->limit);
        return check_bounds(rule, subject, detail);
    case ERAI_CHECK_INTEGRAL:
    case ERAI_CHECK_MONOTONIC: return ERAI_OK;
    default: return check_bounds(rule, subject, detail);
    }
}

erai_status er_check_check(const erai_check_rule *rule, const er_subject *subject, char *detail) {
    uint32_t kind = rule->kind, dtype = subject->dtype;
    int of_output = subject->is_output;
    int known = of_output ? kind >= ERAI_CHECK_RANGE && kind <= ERAI_CHECK_ENTROPY
                          : kind >= ERAI_CHECK_CATEGORIES && kind <= ERAI_CHECK_AGE;
    int is_text = dtype == ERAI_DTYPE_STRING;
    int of_text = kind == ERAI_CHECK_LENGTH || kind == ERAI_CHECK_CHARACTERS;
    int of_either = kind == ERAI_CHECK_CATEGORIES || kind == ERAI_CHECK_STUCK;
    if (!known || dtype == 0 || (!of_either && is_text != of_text) || (of_output && is_text))
        return er_fail(detail, ERAI_E_POLICY, "'%s': there is no check %u of %s %s", subject->name, kind,
                       of_output ? "outputs of" : "features of", dtype ? er_dtype_name(dtype) : "no tensor");
    if (kind == ERAI_CHECK_SUM && subject->flags & ERAI_RULE_LOGITS)
        return er_fail(detail, ERAI_E_POLICY, "'%s': the sum of scores says nothing, and that of their shares is 1",
                       subject->name);
    uint32_t least = kind == ERAI_CHECK_MISSING ? ERAI_VERDICT_ACCEPT : ERAI_VERDICT_FLAG;
    if (rule->verdict < least || rule->verdict > ERAI_VERDICT_REJECT || isnan(rule->low) || isnan(rule->high))
        return er_fail(detail, ERAI_E_POLICY, "'%s': check %u with verdict %u from %g to %g", subject->name, kind,
                       rule->verdict, rule->low, rule->high);
    return check_kind(rule, subject, detail);
}

/* ---- Distance ---- */

static int all_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return 0;
    return 1;
}

int er_has_one_value(const er_input *input, int batched) {
    for (uint32_t i = batched ? 1 : 0; i < input->rank; i++)
        if ((int32_t)i != input->feature_axis && input->shape[i] != 1) return 0;
    return !(input->flags & ERAI_RULE_ANY_RANK);
}

static int is_table(const er_input *input, int batched) {
    return er_has_one_value(input, batched) && input->feature_axis >= 0 && input->dtype != ERAI_DTYPE_STRING;
}

erai_status er_check_distance(const erai_distance_rule *rule, const er_input *input, int batched, char *detail) {
    if (!is_table(input, batched))
        return er_fail(detail, ERAI_E_POLICY,
                       "input '%s': a distance needs numbers, a feature axis, and one value a feature and row",
                       input->name);
    if (rule->verdict < ERAI_VERDICT_FLAG || rule->verdict > ERAI_VERDICT_REJECT ||
        rule->directions > ER_MAX_DIRECTIONS || !(rule->threshold > 0) || !isfinite(rule->rest) ||
        !(rule->false_rejection_rate >= 0 && rule->false_rejection_rate <= 1))
        return er_fail(detail, ERAI_E_POLICY,
                       "input '%s': a distance with %u directions (at most %d), rest %g, threshold %g, rate %g",
                       input->name, rule->directions, ER_MAX_DIRECTIONS, rule->rest, rule->threshold,
                       rule->false_rejection_rate);
    int finite = all_finite(rule->weights, rule->directions) &&
                 all_finite(rule->projection, (size_t)rule->directions * input->feature_count);
    for (uint32_t i = 0; i < input->feature_count; i++) finite &= isfinite(rule->mean[i]) && isfinite(rule->scale[i]);
    return finite ? ERAI_OK
                  : er_fail(detail, ERAI_E_POLICY, "input '%s': the distance holds a number that is not finite",
                            input->name);
}

/* ---- Drift ---- */

int er_is_watchable(const er_input *input, uint32_t bins, int batched) {
    return bins > 1 && is_table(input, batched);
}

erai_status er_check_drift(const erai_drift_rule *rule, char *detail) {
    if (!(rule->average_run_length >= 100 && rule->average_run_length <= 1e15) ||
        !(rule->effect > 0 && rule->effect <= 1) || rule->verdict > ERAI_VERDICT_REJECT)
        return er_fail(
            detail, ERAI_E_POLICY,
            "drift: an average run length of %g rows (100 to 1e15), an effect of %g (above 0, at most 1) and "
            "verdict %u",
            rule->average_run_length, rule->effect, rule->verdict);
    return ERAI_OK;
}

/* ---- Observations ---- */

static int has_slots(const er_observation *rule) {
    if (rule->kind != ERAI_OBSERVE_SEASONAL) return rule->slots == 0;
    if ((rule->slots != 24 && rule->slots != 168) || !rule->slot_means || !rule->slot_scales) return 0;
    for (uint32_t i = 0; i < rule->slots; i++)
        if (!isfinite(rule->slot_means[i]) || !isfinite(rule->slot_scales[i]) || rule->slot_scales[i] < 0) return 0;
    return 1;
}

erai_status er_check_observation(const er_observation *rule, const er_feature *feature, char *detail) {
    int known = rule->kind >= ERAI_OBSERVE_VERDICT && rule->kind <= ERAI_OBSERVE_SEASONAL;
    if (!known || (rule->kind == ERAI_OBSERVE_PROJECTION && rule->element > 63) || !isfinite(rule->limit) ||
        (rule->kind == ERAI_OBSERVE_ERROR && !(rule->limit > 0)) || !(rule->bound >= 0 && rule->bound < 1) ||
        (rule->bound > 0 && feature->bins < 2))
        return er_fail(
            detail, ERAI_E_POLICY,
            "observation '%s': kind %u of element %u, limit %g, bound %g, %u bins: a kind is 1 to 14, a bound "
            "below 1 and with bins, an error has a limit above 0",
            feature->name, rule->kind, rule->element, rule->limit, rule->bound, feature->bins);
    if (!has_slots(rule))
        return er_fail(
            detail, ERAI_E_POLICY,
            "observation '%s': %u slots: seasonal has 24 or 168, each with a finite mean and a scale of 0 or "
            "above, and the other kinds have none",
            feature->name, rule->slots);
    if (!isinf(feature->low) || !isinf(feature->high) || feature->check_count ||
        (feature->stand_in && feature->stand_in[0]))
        return er_fail(detail, ERAI_E_POLICY, "observation '%s' has limits or checks: it is only counted and watched",
                       feature->name);
    return ERAI_OK;
}

/* ---- Events ---- */

int er_may_leave(const er_input *input, uint32_t bins, uint32_t form, int batched) {
    if (form == ERAI_FIELD_DROP) return 1;
    if (!er_has_one_value(input, batched) || input->is_state) return 0;
    if (form == ERAI_FIELD_KEYED_HASH) return 1;
    return input->dtype != ERAI_DTYPE_STRING && (form != ERAI_FIELD_BUCKET || bins > 0);
}

erai_status er_check_events(const erai_events_rule *rule, char *detail) {
    if (rule->keep < 1 || rule->keep > ER_MAX_EVENTS)
        return er_fail(detail, ERAI_E_POLICY, "events: room for %u, expected 1 to %d", rule->keep, ER_MAX_EVENTS);
    uint32_t fields = 0;
    for (uint32_t f = 0; f < rule->features; f++) {
        if (rule->forms[f] > ERAI_FIELD_PLAIN)
            return er_fail(detail, ERAI_E_POLICY, "events: feature %u leaves in form %u, expected 0 to %d", f,
                           rule->forms[f], ERAI_FIELD_PLAIN);
        fields += rule->forms[f] != ERAI_FIELD_DROP;
    }
    if (fields > ER_MAX_FIELDS)
        return er_fail(detail, ERAI_E_POLICY, "events: %u features leave the device with each, at most %d may", fields,
                       ER_MAX_FIELDS);
    return ERAI_OK;
}

/* ---- Decisions ---- */

erai_status er_check_fallback(const erai_fallback_rule *rule, char *detail) {
    if (!rule->reasons || rule->steps < 1 || rule->steps > ER_MAX_STEPS)
        return er_fail(detail, ERAI_E_POLICY, "fallback: %u steps, expected 1 to %d, and at least one reason",
                       rule->steps, ER_MAX_STEPS);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < rule->steps; i++) {
        uint32_t source = rule->chain[i];
        if (source <= ERAI_SOURCE_PRIMARY || source > ERAI_SOURCE_NONE || (seen >> source & 1))
            return er_fail(detail, ERAI_E_POLICY, "fallback: step %u is source %u; each but PRIMARY once", i, source);
        seen |= 1u << source;
    }
    return ERAI_OK;
}

erai_status er_check_decision(const erai_decision_rule *rule, char *detail) {
    const uint32_t known = ERAI_DECISION_SHARED | ERAI_DECISION_BREAK_ON_ERROR | ERAI_DECISION_BREAK_ON_DEADLINE |
                           ERAI_DECISION_BREAK_ON_REJECT | ERAI_DECISION_BREAK_ON_DRIFT;
    if (rule->flags & ~known) return er_fail(detail, ERAI_E_POLICY, "decision: unknown flags 0x%x", rule->flags);
    if (!(rule->rate_per_second >= 0) || isinf(rule->rate_per_second) ||
        (rule->rate_per_second > 0) != (rule->rate_burst > 0))
        return er_fail(detail, ERAI_E_POLICY, "rate limit: %g rows a second and a burst of %u; both or neither",
                       rule->rate_per_second, rule->rate_burst);
    if ((rule->last_good_age_ns > 0) != (rule->last_good_keys > 0) || rule->last_good_keys > ER_MAX_KEYS ||
        rule->review_rows > ER_MAX_KEYS)
        return er_fail(detail, ERAI_E_POLICY,
                       "last_good: %u keys; review: %u rows; at most %d each, and last_good needs an age and keys",
                       rule->last_good_keys, rule->review_rows, ER_MAX_KEYS);
    if ((rule->hold_after > 0) != (rule->hold_until > 0))
        return er_fail(detail, ERAI_E_POLICY, "hysteresis: after %u until %u; both or neither", rule->hold_after,
                       rule->hold_until);
    int breaks = (rule->flags & ~ERAI_DECISION_SHARED) != 0;
    if (breaks ? rule->breaker_window < 1 || rule->breaker_window > 64 || rule->breaker_failures < 1 ||
                     rule->breaker_failures > rule->breaker_window || rule->breaker_probes < 1 ||
                     !rule->breaker_cooldown_ns
               : rule->breaker_window || rule->breaker_failures || rule->breaker_probes || rule->breaker_cooldown_ns)
        return er_fail(detail, ERAI_E_POLICY,
                       "circuit breaker: %u failures of %u calls, %u probes; expected 1 to 64 calls, 1 to that many "
                       "failures, at least 1 probe, a cooldown, and something that breaks it",
                       rule->breaker_failures, rule->breaker_window, rule->breaker_probes);
    return ERAI_OK;
}
