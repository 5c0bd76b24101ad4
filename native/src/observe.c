/* What a session observes of each row besides its input: how far it was from the reference, what the model made of it,
 * how it was judged, how long that took; and of rows whose truth comes later, whether the answer was right. */
#include "feature_row.h"
#include "recording.h"
#include "session.h"
#include "sketch.h"
#include "status.h"
#include "values.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- One value ---- */

static size_t columns(const erai_answer *answer) {
    return answer->guard->observed->feature_count;
}

static double *row_of(const erai_answer *answer, size_t row) {
    return (double *)answer->observed.data + row * columns(answer);
}

int er_observe_begin(erai_answer *answer) {
    size_t count, bytes;
    if (__builtin_mul_overflow(answer->rows, columns(answer), &count) ||
        __builtin_mul_overflow(count, sizeof(double) + 1, &bytes) || !er_buffer_reserve(&answer->observed, bytes))
        return 0;
    for (size_t i = 0; i < count; i++) ((double *)answer->observed.data)[i] = (double)NAN;
    return 1;
}

void er_observe_distance(erai_answer *answer, const er_row *row, double squared) {
    const er_observation *rules = answer->guard->observations;
    for (size_t k = 0; k < columns(answer); k++)
        if (rules[k].kind == ERAI_OBSERVE_DISTANCE && &answer->guard->inputs[rules[k].index] == row->input)
            row_of(answer, row->row)[k] = squared;
}

/* Any bit of it decides about a sign: splitmix64's mixing of (element, feature). */
static int sign_of(uint32_t element, uint32_t feature) {
    uint64_t x = ((uint64_t)element << 32 | feature) + 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (int)((x ^ x >> 31) >> 63);
}

/* What is missing, and what has no reference, adds nothing. */
static double project(const erai_guard *guard, const er_observation *rule, const void *values) {
    const er_input *input = &guard->inputs[rule->index];
    const er_feature *features = guard->features + input->first_feature;
    double sum = 0;
    uint32_t count = input->feature_count, used = 0;
    for (uint32_t f = 0; f < count; f++) {
        if (!(features[f].stddev > 0)) continue;
        used++;
        double z = (er_value(values, input->dtype, f) - features[f].mean) / features[f].stddev;
        if (isnan(z)) continue;
        z = fmin(fmax(z, -8), 8);
        sum += sign_of(rule->element, f) ? z : -z;
    }
    return used ? sum / sqrt(used) : 0;
}

/* Where a row of an input lies. */
static const char *row_at(const erai_answer *answer, size_t index, size_t row, er_row *shape) {
    const erai_tensor *tensor = &answer->inputs[index];
    *shape = er_row_shape(&answer->guard->inputs[index], tensor, answer->guard->batched);
    size_t bytes = shape->outer * shape->features * shape->inner * erai_dtype_size(tensor->dtype);
    return (const char *)shape->values + row * bytes;
}

static int compare_text(const char *known, const erai_string *text) {
    size_t size = strlen(known), least = size < text->size ? size : text->size;
    int order = least ? memcmp(known, text->bytes, least) : 0;
    return order ? order : (size > text->size) - (size < text->size);
}

/* Of a feature that has some. */
static const erai_check_rule *categories_of(const er_feature *feature) {
    const er_check *check = feature->checks;
    while (check->rule.kind != ERAI_CHECK_CATEGORIES) check++;
    return &check->rule;
}

/* The place of a value among its feature's categories, which rise; their number where it is none of them. */
static double category(const er_feature *feature, const void *values, uint32_t dtype, size_t place) {
    const erai_check_rule *rule = categories_of(feature);
    double value = dtype == ERAI_DTYPE_STRING ? 0 : er_value(values, dtype, place);
    if (!isfinite(value)) return value;
    for (uint32_t low = 0, high = rule->count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        double known = rule->texts ? 0 : er_as_held(dtype, rule->values[middle]);
        int order = rule->texts ? compare_text(rule->texts[middle], (const erai_string *)values + place)
                                : (known > value) - (known < value);
        if (!order) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return rule->count;
}

enum { SAMPLE = 256 };

/* Of at most so many of a feature's values in a row, as far apart as that asks for. */
static double moment(const er_observation *rule, const er_row *row, const void *values, uint32_t dtype) {
    size_t count = row->outer * row->inner, step = (count + SAMPLE - 1) / SAMPLE, used = 0;
    double sum = 0, squares = 0, shift = 0;
    for (size_t k = 0; k < count; k += step, used++) {
        size_t at = (k / row->inner * row->features + rule->element) * row->inner + k % row->inner;
        double value = er_value(values, dtype, at);
        if (!used) shift = value; /* so that what is far from zero and varies little keeps its digits */
        sum += value - shift;
        squares += (value - shift) * (value - shift);
    }
    double mean = sum / (double)used;
    if (rule->kind == ERAI_OBSERVE_MEAN) return shift + mean;
    double variance = squares / (double)used - mean * mean;
    return isnan(variance) ? variance : sqrt(fmax(variance, 0));
}

#define HOUR_NS ((int64_t)3600 * 1000000000)

/* As far as the value is from what is usual at this time of the day or week. */
static double seasonal(const erai_guard *guard, const er_observation *rule, const void *values, int64_t unix_ns) {
    const er_input *input = &guard->inputs[rule->index];
    const er_feature *feature = &guard->features[input->first_feature + rule->element];
    if (feature->missing && er_is_missing(feature->missing, values, input->dtype, rule->element)) return (double)NAN;
    int64_t slots = (int64_t)rule->slots, from = unix_ns - HOUR_NS / 2, hours = from / HOUR_NS;
    if (from % HOUR_NS < 0) hours--; /* before 1970 */
    double share = (double)(from - hours * HOUR_NS) / (double)HOUR_NS;
    int64_t one = (hours % slots + slots) % slots, other = (one + 1) % slots, own = share < 0.5 ? one : other;
    if (!(rule->slot_scales[own] > 0)) return (double)NAN;
    if (!(rule->slot_scales[one] > 0)) one = own;
    if (!(rule->slot_scales[other] > 0)) other = own;
    double mean = (1 - share) * rule->slot_means[one] + share * rule->slot_means[other];
    double scale = (1 - share) * rule->slot_scales[one] + share * rule->slot_scales[other];
    return (er_value(values, input->dtype, rule->element) - mean) * scale;
}

/* Of a row's input, whose shape is in order; NaN where it has no such value. */
static double input_value(const erai_answer *answer, const er_observation *rule, size_t row, int64_t unix_ns) {
    const er_input *input = &answer->guard->inputs[rule->index];
    er_row shape;
    const char *values = row_at(answer, rule->index, row, &shape);
    size_t count = shape.outer * shape.features * shape.inner;
    if (rule->kind == ERAI_OBSERVE_PROJECTION) return project(answer->guard, rule, values);
    if (rule->kind == ERAI_OBSERVE_ELEMENT)
        return rule->element < count ? er_value(values, input->dtype, rule->element) : (double)NAN;
    if (!count) return (double)NAN;
    if (rule->kind == ERAI_OBSERVE_SEASONAL) return seasonal(answer->guard, rule, values, unix_ns);
    if (rule->kind != ERAI_OBSERVE_CATEGORY) return moment(rule, &shape, values, input->dtype);
    return category(&answer->guard->features[input->first_feature + rule->element], values, input->dtype,
                    rule->element);
}

/* Of one number alone, or of as many shares as the row has numbers. */
static double class_of(const er_buffer *buffer, size_t first, size_t count, double limit) {
    double most = er_value(buffer->data, buffer->dtype, first);
    if (count == 1) return isnan(most) ? most : er_is_float(buffer->dtype) ? (double)(most > limit) : most;
    size_t at = 0;
    for (size_t i = 1; i < count && !isnan(most); i++) {
        double value = er_value(buffer->data, buffer->dtype, first + i);
        if (value <= most) continue;
        most = value; /* NaN too */
        at = i;
    }
    return isnan(most) ? most : (double)at;
}

/* Of a row's part of an output; NaN where it has no such value. */
static double output_value(const erai_answer *answer, const er_observation *rule, size_t row) {
    const er_buffer *buffer = &answer->outputs[rule->index];
    const er_output *output = &answer->guard->outputs[rule->index];
    if (!buffer->dtype || buffer->dtype != output->dtype) return (double)NAN;
    int by_row = er_by_row(answer, buffer);
    size_t elements = er_elements(buffer->shape, buffer->rank), count = by_row ? elements / answer->rows : elements;
    size_t first = by_row ? row * count : 0;
    int of_value = rule->kind == ERAI_OBSERVE_VALUE || rule->kind == ERAI_OBSERVE_ERROR;
    if (of_value)
        return rule->element < count ? er_value(buffer->data, buffer->dtype, first + rule->element) : (double)NAN;
    size_t shares = buffer->rank ? (size_t)buffer->shape[buffer->rank - 1] : 1;
    if (!count || (count > 1 && shares != count))
        return (double)NAN; /* of more than one distribution, none is the row's */
    if (rule->kind != ERAI_OBSERVE_CONFIDENCE) return class_of(buffer, first, count, rule->limit);
    return er_confidence(buffer, first, count, (output->flags & ERAI_RULE_LOGITS) != 0);
}

/* ---- The rows of a call ---- */

void er_observe_outputs(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    for (size_t k = 0; k < columns(answer); k++) {
        const er_observation *rule = &guard->observations[k];
        if (rule->kind < ERAI_OBSERVE_CLASS || rule->kind > ERAI_OBSERVE_VALUE) continue;
        for (size_t row = 0; row < answer->rows; row++)
            if (answer->verdicts[row] != ERAI_VERDICT_REJECT) row_of(answer, row)[k] = output_value(answer, rule, row);
    }
}

static void observe_rest(erai_answer *answer, uint64_t latency_ns) {
    const erai_guard *guard = answer->guard;
    int has_shape = er_has_shape(answer);
    int64_t unix_ns = guard->seasonal ? er_session_unix_ns(answer->session) : 0;
    for (size_t k = 0; k < columns(answer); k++) {
        const er_observation *rule = &guard->observations[k];
        for (size_t row = 0; row < answer->rows; row++) {
            double *value = &row_of(answer, row)[k];
            if (rule->kind == ERAI_OBSERVE_VERDICT)
                *value = answer->verdicts[row];
            else if (rule->kind == ERAI_OBSERVE_LATENCY)
                *value = (double)latency_ns;
            else if (has_shape && (rule->kind == ERAI_OBSERVE_PROJECTION || rule->kind >= ERAI_OBSERVE_CATEGORY))
                *value = input_value(answer, rule, row, unix_ns);
        }
    }
}

static int is_unseen(const erai_guard *guard, const er_observation *rule, double place) {
    return place >=
           (double)categories_of(&guard->features[guard->inputs[rule->index].first_feature + rule->element])->count;
}

/* Counts what observation k is of a row; its cell. */
static uint8_t count_value(const erai_answer *answer, size_t k, double value) {
    const erai_guard *guard = answer->guard;
    size_t at = guard->observed->first_feature + k;
    const er_observation *rule = &guard->observations[k];
    if (!isfinite(value)) {
        answer->tally->not_finite[at]++;
        return ER_CELL_MISSING;
    }
    if (!guard->features[at].bins) return 0;
    er_place place = er_place_of(guard->observed, k, value);
    er_tally_count(answer->tally, at, place);
    return rule->kind == ERAI_OBSERVE_CATEGORY && is_unseen(guard, rule, value) ? ER_CELL_OUTSIDE : (uint8_t)place.bin;
}

void er_observe_rows(erai_answer *answer, uint64_t latency_ns) {
    const erai_guard *guard = answer->guard;
    const er_input *observed = guard->observed;
    size_t width = columns(answer);
    uint8_t *cells = (uint8_t *)(row_of(answer, answer->rows));
    observe_rest(answer, latency_ns);
    for (size_t row = 0; row < answer->rows; row++)
        for (size_t k = 0; k < width; k++) cells[row * width + k] = count_value(answer, k, row_of(answer, row)[k]);
    if (observed->watched && answer->rows)
        er_watch_rows(answer->session->watch, (size_t)(observed - guard->inputs), cells, width, answer->rows);
}

size_t erai_answer_observed(const erai_answer *answer, const double **values) {
    if (!answer || !values || !answer->guard->observed || !answer->answered) return 0;
    *values = answer->observed.data;
    return columns(answer);
}

/* ---- Outcomes ---- */

/* A receipt: what was answered as float32 in its low half, then 16 bits of the guard's digest, and a mark, so that none
 * is 0. */
#define MARK ((uint64_t)0x4552 << 48)

static uint64_t policy_bits(const erai_guard *guard) {
    return ((uint64_t)guard->digest[0] << 8 | guard->digest[1]) << 32;
}

static const er_observation *outcome_rule(const erai_guard *guard) {
    return guard->outcomes ? &guard->observations[guard->observation_count - 1] : NULL;
}

uint64_t erai_answer_receipt(const erai_answer *answer, size_t row) {
    const er_observation *rule = answer ? outcome_rule(answer->guard) : NULL;
    if (!rule || !answer->answered || row >= answer->rows || answer->verdicts[row] == ERAI_VERDICT_REJECT ||
        answer->sources[row] != ERAI_SOURCE_PRIMARY)
        return 0;
    float value = (float)output_value(answer, rule, row);
    uint32_t bits;
    if (!isfinite(value)) return 0;
    memcpy(&bits, &value, sizeof bits);
    return MARK | policy_bits(answer->guard) | bits;
}

erai_status erai_session_outcome(erai_session *session, uint64_t receipt, double label, char *detail) {
    if (!session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_outcome: NULL");
    const erai_guard *guard = session->guard;
    const er_observation *rule = outcome_rule(guard);
    if (!rule) return er_fail(detail, ERAI_E_ARGUMENT, "the policy observes no outcomes");
    uint32_t bits = (uint32_t)receipt;
    float answered;
    memcpy(&answered, &bits, sizeof answered);
    if (receipt >> 32 != (MARK | policy_bits(guard)) >> 32 || !isfinite(answered))
        return er_fail(detail, ERAI_E_ARGUMENT, "receipt %" PRIu64 " is none of an answer by this policy", receipt);
    if (!isfinite(label)) return er_fail(detail, ERAI_E_ARGUMENT, "a label of %g; expected a number", label);
    double off = fabs((double)answered - label);
    double loss = rule->kind == ERAI_OBSERVE_WRONG ? (double)(off > 0) : fmin(off / rule->limit, 1);
    er_place place = er_place_of(guard->outcomes, 0, loss);
    uint8_t cell = (uint8_t)place.bin;
    er_session_own(session);
    er_mutex_lock(&session->lock);
    er_feature_total *totals = er_session_totals(session);
    if (!totals) {
        er_mutex_unlock(&session->lock);
        return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    er_feature_total_count(&totals[guard->outcomes->first_feature], place);
    if (guard->outcomes->watched) er_watch_rows(session->watch, (size_t)(guard->outcomes - guard->inputs), &cell, 1, 1);
    if (session->watch && er_recording_hear_alarm(session))
        session->carried[ER_COUNT_DECISIONS + ERAI_COUNT_DRIFT_ALARMS]++;
    er_mutex_unlock(&session->lock);
    return ERAI_OK;
}
