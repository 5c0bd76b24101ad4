/* Admitting an input: data type, rank and shape of the call, then every value against its feature's limits, and into
 * its feature's sketch, in one pass. A value is inside its limits exactly when `low <= value && value <= high`, which
 * is false for NaN, and the limits of the fast path are at most +-FLT_MAX, so the usual value costs two comparisons and
 * everything else, infinities included, leaves that path. */
#include "answer.h"
#include "sketch.h"
#include "status.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int extent_allowed(const er_input *input, uint32_t axis, int64_t extent) {
    return input->shape[axis] < 0 ? extent >= 1 && extent <= input->max_shape[axis] : extent == input->shape[axis];
}

/* The most elements of a tensor: sizes in bytes, of eight at the most, still fit. */
#define MOST_ELEMENTS ((uint64_t)(SIZE_MAX / 16))

/* Axes are positive; 0: some is not, or the product is more than any memory. */
static uint64_t element_count(const erai_tensor *tensor) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank && i < ERAI_MAX_RANK; i++) {
        if (tensor->shape[i] < 1 || (uint64_t)tensor->shape[i] > MOST_ELEMENTS / count) return 0;
        count *= (uint64_t)tensor->shape[i];
    }
    return count;
}

/* The first thing wrong with a whole tensor, or nothing. Zero-size axes are refused: ONNX Runtime 1.31 ends the process
 * when an LSTM or GRU gets one. */
static int check_tensor(erai_answer *answer, const er_input *input, const erai_tensor *tensor, size_t rows) {
    erai_reason reason = {.subject = input->name, .row = -1};
    if (tensor->dtype != input->dtype) {
        reason.code = ERAI_REASON_DTYPE;
        reason.value = tensor->dtype;
        reason.limit = input->dtype;
    } else if (tensor->rank != input->rank) {
        reason.code = ERAI_REASON_RANK;
        reason.value = tensor->rank;
        reason.limit = input->rank;
    } else {
        int countable = element_count(tensor) > 0; /* else the last axis is one too many */
        for (uint32_t i = 0; i < input->rank; i++) {
            if (extent_allowed(input, i, tensor->shape[i]) && (countable || i + 1 < input->rank)) continue;
            reason.code = ERAI_REASON_SHAPE;
            reason.value = (double)tensor->shape[i];
            reason.limit = (double)input->max_shape[i];
            reason.element = i;
            er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
            return 0;
        }
        if (!answer->guard->batched || (size_t)tensor->shape[0] == rows) return 1;
        reason.code = ERAI_REASON_ROWS;
        reason.value = (double)tensor->shape[0];
        reason.limit = (double)rows;
    }
    er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
    return 0;
}

/* A value outside its limits. */
static void find_value(erai_answer *answer, const er_input *input, size_t feature, float value, size_t row,
                       size_t element) {
    const er_feature *limits = &answer->guard->features[feature];
    int finite_rule = (input->flags & ERAI_RULE_FINITE) != 0;
    int kind;
    if (!isfinite(value) && finite_rule)
        kind = 0;
    else if (value < limits->low)
        kind = 1;
    else if (value > limits->high)
        kind = 2;
    else
        return; /* NaN or an infinity where it is allowed */
    uint32_t *seen = &answer->seen[feature * ER_KINDS + (size_t)kind];
    if (*seen == answer->tag) return;
    *seen = answer->tag;
    erai_reason reason = {.subject = limits->name,
                          .row = (int64_t)row,
                          .value = (double)value,
                          .limit = kind == 0 ? (double)NAN : (double)(kind == 1 ? limits->low : limits->high),
                          .code = (uint32_t)(ERAI_REASON_NOT_FINITE + kind),
                          .element = (uint32_t)element};
    int flag_only = kind != 0 && (input->flags & ERAI_RULE_FLAG_RANGE);
    er_answer_find(answer, flag_only ? ERAI_VERDICT_FLAG : ERAI_VERDICT_REJECT, reason);
}

/* & and not &&: without a branch, so that runs vectorize. */
static inline int inside(float low, float high, float value) {
    return (value >= low) & (value <= high);
}

/* One row of named columns: each value is a feature. Three loops, each of which the compiler can take several columns
 * at a time, over what stays in the first cache; the value that is not finite, and was sketched with the others, is
 * taken back. */
static void admit_columns(erai_answer *answer, const er_input *input, const float *values, size_t row) {
    size_t first = input->first_feature, count = input->feature_count;
    const er_limits *limits = &answer->guard->limits;
    const float *low = limits->low + first, *high = limits->high + first;
    const float *mean = limits->mean + first, *z_scale = limits->z_scale + first;
    er_feature_statistics statistics = er_of_features(answer->statistics, answer->guard->feature_count);
    uint64_t *sum = statistics.sum + first, *sum_squares = statistics.sum_squares + first;
    int outside = 0;
    for (size_t f = 0; f < count; f++) outside |= !inside(low[f], high[f], values[f]);
    for (size_t f = 0; f < count; f++) {
        int32_t z = er_standardize(values[f], mean[f], z_scale[f]);
        sum[f] += (uint64_t)(int64_t)z;
        sum_squares[f] += (uint64_t)(uint32_t)(z * z);
    }
    if (input->sketched)
        for (size_t f = 0; f < count; f++)
            statistics.histogram[first + f][er_bin(limits->edges[first + f], values[f])]++;
    if (!outside) return;
    for (size_t f = 0; f < count; f++) {
        if (inside(low[f], high[f], values[f])) continue;
        if (!isfinite(values[f])) {
            int32_t z = er_standardize(values[f], mean[f], z_scale[f]);
            sum[f] -= (uint64_t)(int64_t)z;
            sum_squares[f] -= (uint64_t)(uint32_t)(z * z);
            if (input->sketched) statistics.histogram[first + f][er_bin(limits->edges[first + f], values[f])]--;
            statistics.not_finite[first + f]++;
        }
        find_value(answer, input, first + f, values[f], row, f);
    }
}

/* A run of values of one feature, of which every stride-th within the row enters the sketch. `first` is the index of
 * the run's first value among the feature's values in this row, `element` its index in the row. */
static void admit_run(erai_answer *answer, const er_input *input, size_t feature, const float *values, size_t count,
                      size_t row, size_t first, size_t element) {
    const er_limits *limits = &answer->guard->limits;
    float low = limits->low[feature], high = limits->high[feature];
    er_feature_statistics statistics = er_of_features(answer->statistics, answer->guard->feature_count);
    int outside = 0;
    for (size_t i = 0; i < count; i++) outside |= !inside(low, high, values[i]);
    if (outside)
        for (size_t i = 0; i < count; i++) {
            if (inside(low, high, values[i])) continue;
            if (!isfinite(values[i])) statistics.not_finite[feature]++;
            find_value(answer, input, feature, values[i], row, element + i);
        }
    if (!answer->guard->features[feature].bins) return;
    size_t stride = input->sketch_stride, skip = first % stride;
    for (size_t i = skip ? stride - skip : 0; i < count; i += stride) {
        if (!isfinite(values[i])) continue;
        int32_t z = er_standardize(values[i], limits->mean[feature], limits->z_scale[feature]);
        statistics.histogram[feature][er_bin(limits->edges[feature], values[i])]++;
        statistics.sum[feature] += (uint64_t)(int64_t)z;
        statistics.sum_squares[feature] += (uint64_t)(uint32_t)(z * z);
    }
}

static void next_tag(erai_answer *answer) {
    if (++answer->tag) return;
    memset(answer->seen, 0, answer->guard->feature_count * ER_KINDS * sizeof *answer->seen);
    answer->tag = 1;
}

static void admit_input(erai_answer *answer, const er_input *input, const erai_tensor *tensor) {
    size_t outer = 1, features = 1, inner = 1;
    for (uint32_t i = answer->guard->batched ? 1 : 0; i < tensor->rank; i++) {
        size_t extent = (size_t)tensor->shape[i];
        if ((int32_t)i < input->feature_axis)
            outer *= extent;
        else if ((int32_t)i == input->feature_axis)
            features = extent;
        else
            inner *= extent;
    }
    const float *values = tensor->data;
    size_t row_size = outer * features * inner;
    for (size_t row = 0; row < answer->rows; row++, values += row_size) {
        next_tag(answer);
        if (outer == 1 && inner == 1 && features > 1) {
            admit_columns(answer, input, values, row);
            continue;
        }
        for (size_t o = 0; o < outer; o++)
            for (size_t f = 0; f < features; f++) {
                size_t element = (o * features + f) * inner;
                admit_run(answer, input, input->first_feature + f, values + element, inner, row, o * inner, element);
            }
    }
}

/* The rows of a call, also of one whose shape is refused: as many as the caller meant, where that can be believed. A
 * tensor without a value costs its caller nothing, and may claim any number of rows. */
static size_t believed_rows(const erai_guard *guard, const erai_tensor *tensor) {
    if (!guard->batched || tensor->rank == 0 || !extent_allowed(&guard->inputs[0], 0, tensor->shape[0])) return 1;
    return element_count(tensor) ? (size_t)tensor->shape[0] : 1;
}

erai_status er_validate(erai_answer *answer, const erai_tensor *inputs) {
    const erai_guard *guard = answer->guard;
    size_t rows = believed_rows(guard, &inputs[0]);
    erai_status status = er_answer_begin(answer, rows, ERAI_VERDICT_ACCEPT);
    if (status) return status;
    for (size_t i = 0; i < guard->input_count; i++)
        if (!check_tensor(answer, &guard->inputs[i], &inputs[i], rows)) return ERAI_OK;
    er_mutex_lock(&answer->lock);
    for (size_t i = 0; i < guard->input_count; i++) admit_input(answer, &guard->inputs[i], &inputs[i]);
    er_mutex_unlock(&answer->lock);
    return ERAI_OK;
}

/* What a rejected row's value is replaced by: the reference's mean, as near as float32 comes to it. */
static float stand_in(const er_feature *feature) {
    double mean = feature->mean;
    return mean > (double)FLT_MAX ? FLT_MAX : mean < -(double)FLT_MAX ? -FLT_MAX : (float)mean;
}

erai_status er_stage(erai_answer *answer, const erai_tensor *tensor, size_t index, float shift, erai_tensor *staged) {
    const er_input *input = &answer->guard->inputs[index];
    size_t elements = 1, inner = 1, features = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        elements *= (size_t)tensor->shape[i];
        if ((int32_t)i > input->feature_axis && (i > 0 || !answer->guard->batched)) inner *= (size_t)tensor->shape[i];
        if ((int32_t)i == input->feature_axis) features = (size_t)tensor->shape[i];
    }
    er_buffer *buffer = &answer->staging[index];
    if (!er_buffer_reserve(buffer, elements * sizeof(float))) return ERAI_E_MEMORY;
    float *values = buffer->data;
    memcpy(values, tensor->data, elements * sizeof(float));
    size_t row_size = elements / answer->rows;
    for (size_t row = 0; answer->rejected && row < answer->rows; row++) {
        if (answer->verdicts[row] != ERAI_VERDICT_REJECT) continue;
        for (size_t i = 0; i < row_size; i++) {
            const er_feature *feature = &answer->guard->features[input->first_feature + i / inner % features];
            values[row * row_size + i] = stand_in(feature) + shift;
        }
    }
    *staged = *tensor;
    staged->data = values;
    return ERAI_OK;
}
