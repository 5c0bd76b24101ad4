/* Admitting an input: data type, rank and shape of the call, then every value against its feature's limits, and into
 * its feature's sketch, in one pass (pass.h). A value is inside its limits exactly when `low <= value && value <=
 * high`, which is false for NaN, and the limits of the fast path are at most +-FLT_MAX or +-DBL_MAX, so the usual value
 * costs two comparisons and everything else, infinities included, leaves that path. */
#include "dispatch.h"
#include "session.h"
#include "sketch.h"
#include "values.h"

#include <math.h>
#include <string.h>

/* ---- The shape of a call ---- */

static int extent_allowed(const er_input *input, uint32_t axis, int64_t extent) {
    int64_t least = input->flags & ERAI_RULE_EMPTY ? 0 : 1;
    return input->shape[axis] < 0 ? extent >= least && extent <= input->max_shape[axis] : extent == input->shape[axis];
}

static erai_reason shape_reason(const er_input *input, const erai_tensor *tensor, uint32_t axis) {
    return (erai_reason){.subject = input->name,
                         .row = -1,
                         .code = ERAI_REASON_SHAPE,
                         .value = (double)tensor->shape[axis],
                         .limit = (double)input->max_shape[axis],
                         .element = axis};
}

/* The first thing wrong with a whole tensor, or nothing. Where the rules do not allow axes of no extent they are
 * refused: ONNX Runtime 1.31 ends the process when an LSTM or GRU gets one. */
static int check_tensor(erai_answer *answer, const er_input *input, const erai_tensor *tensor, size_t rows) {
    erai_reason reason = {.subject = input->name, .row = -1};
    size_t bytes;
    if (tensor->dtype != input->dtype) {
        reason.code = ERAI_REASON_DTYPE;
        reason.value = tensor->dtype;
        reason.limit = input->dtype;
    } else if (tensor->rank != input->rank) {
        reason.code = ERAI_REASON_RANK;
        reason.value = tensor->rank;
        reason.limit = input->rank;
    } else {
        uint32_t axis = 0;
        while (axis < input->rank && extent_allowed(input, axis, tensor->shape[axis])) axis++;
        if (axis < input->rank) {
            reason = shape_reason(input, tensor, axis);
        } else if (!er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, &bytes)) {
            reason = shape_reason(input, tensor, input->rank - 1); /* the last axis is one too many */
        } else {
            if (!answer->guard->batched || (size_t)tensor->shape[0] == rows) return 1;
            reason.code = ERAI_REASON_ROWS;
            reason.value = (double)tensor->shape[0];
            reason.limit = (double)rows;
        }
    }
    er_answer_find(answer, ERAI_VERDICT_REJECT, reason);
    return 0;
}

/* The rows of a call, also of one whose shape is refused: as many as the caller meant, where that can be believed. A
 * tensor without a value costs its caller nothing, and may claim any number of rows unless the rules allow it. */
static size_t believed_rows(const erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    size_t first = 0, elements;
    while (first < guard->input_count && guard->inputs[first].is_state) first++;
    if (!guard->batched || first == guard->input_count) return 1;
    const er_input *input = &guard->inputs[first];
    const erai_tensor *tensor = &answer->inputs[first];
    if (tensor->rank == 0 || tensor->rank > ERAI_MAX_RANK || !extent_allowed(input, 0, tensor->shape[0])) return 1;
    if (!er_tensor_bytes(tensor->shape, tensor->rank, ERAI_DTYPE_UINT8, &elements)) return 1;
    return elements || input->flags & ERAI_RULE_EMPTY ? (size_t)tensor->shape[0] : 1;
}

/* ---- Values, one by one ---- */

/* The pass over one input's rows. */
typedef struct er_pass {
    erai_answer *answer;
    const er_input *input;
    const er_feature *features; /* of this input, as `into` is */
    er_feature_statistics into;
    size_t row_bytes, chunk;
    int rounds; /* of a type whose greatest integers float64 rounds */
    int checks; /* er_check_row has something to look at */
} er_pass;

/* Elements that follow each other: a value each of features from `feature` on (columns), or a run of one feature's. */
typedef struct er_piece {
    const er_row *row;
    size_t element, count;
    size_t feature;  /* its place within the input */
    size_t position; /* of the first among the feature's values in the row */
    int columns;
} er_piece;

/* Values that are looked at together. */
#define ER_PIECE 4096u /* read where they are */
#define ER_CHUNK 256u  /* of other types, read into float32 or float64 */
#define ER_BINS_AT_A_TIME 64u

enum { NOT_FINITE, BELOW, ABOVE, MISSING }; /* of ER_KINDS */

static void find(const er_pass *pass, const er_row *row, size_t f, size_t element, int kind, double limit) {
    static const uint32_t codes[ER_KINDS] = {ERAI_REASON_NOT_FINITE, ERAI_REASON_BELOW_RANGE, ERAI_REASON_ABOVE_RANGE,
                                             ERAI_REASON_MISSING};
    const er_feature *feature = &pass->features[f];
    uint32_t *seen = &pass->answer->seen[(pass->input->first_feature + f) * ER_KINDS + (size_t)kind];
    if (*seen == pass->answer->tag) return;
    *seen = pass->answer->tag;
    erai_verdict verdict = ERAI_VERDICT_REJECT;
    if (kind == MISSING)
        verdict = (erai_verdict)feature->missing->verdict;
    else if (kind != NOT_FINITE && pass->input->flags & ERAI_RULE_FLAG_RANGE)
        verdict = ERAI_VERDICT_FLAG;
    if (kind != MISSING && pass->input->width == ER_NARROW) limit = (double)(float)limit;
    er_answer_find(pass->answer, verdict,
                   (erai_reason){.subject = feature->name,
                                 .row = (int64_t)row->row,
                                 .value = er_value(row->values, pass->input->dtype, element),
                                 .limit = limit,
                                 .code = codes[kind],
                                 .element = (uint32_t)element});
}

static void sketch_value(const er_pass *pass, size_t f, double value, size_t position) {
    if (!pass->features[f].bins || position % pass->input->sketch_stride) return;
    const er_limits *narrow = &pass->input->limits;
    const er_wide_limits *wide = &pass->input->wide;
    int is_narrow = pass->input->width == ER_NARROW;
    int32_t z = is_narrow ? er_standardize((float)value, narrow->mean[f], narrow->z_scale[f])
                          : er_wide_standardize(value, wide->mean[f], wide->z_scale[f]);
    unsigned bin = is_narrow ? er_bin(narrow->edges[f], (float)value) : er_wide_bin(wide->edges[f], value);
    pass->into.histogram[f][bin]++;
    pass->into.sum[f] += (uint64_t)(int64_t)z;
    pass->into.sum_squares[f] += (uint64_t)(uint32_t)(z * z);
}

/* Whether the value is in order: finite and within its range, or missing where that is allowed. */
static int settle_value(const er_pass *pass, const er_row *row, size_t f, size_t element, size_t position) {
    const er_feature *feature = &pass->features[f];
    uint32_t dtype = pass->input->dtype, flags = pass->input->flags;
    if (feature->missing && er_is_missing(feature->missing, row->values, dtype, element)) {
        pass->into.not_finite[f]++;
        if (feature->missing->verdict != ERAI_VERDICT_ACCEPT)
            find(pass, row, f, element, MISSING, feature->missing->limit);
        return 1;
    }
    double value = er_value(row->values, dtype, element);
    int finite = isfinite(value);
    if (finite)
        sketch_value(pass, f, value, position);
    else
        pass->into.not_finite[f]++;
    if (!finite && flags & ERAI_RULE_FINITE)
        find(pass, row, f, element, NOT_FINITE, (double)NAN);
    else if (er_is_below(row->values, dtype, element, feature->low))
        find(pass, row, f, element, BELOW, feature->low);
    else if (er_is_above(row->values, dtype, element, feature->high))
        find(pass, row, f, element, ABOVE, feature->high);
    else
        return finite;
    return 0;
}

/* A piece in which some value is not inside its limits, or may be missing. */
static int settle_piece(const er_pass *pass, const er_piece *piece) {
    int in_order = 1;
    for (size_t i = 0; i < piece->count; i++) {
        size_t f = piece->feature + (piece->columns ? i : 0), position = piece->position + (piece->columns ? 0 : i);
        in_order &= settle_value(pass, piece->row, f, piece->element + i, position);
    }
    return in_order;
}

static int holds_sentinel(const er_pass *pass, const er_piece *piece) {
    const er_feature *feature = &pass->features[piece->feature];
    for (size_t i = 0; i < piece->count; i++, feature += piece->columns)
        if (feature->missing && feature->missing->count &&
            er_is_missing(feature->missing, piece->row->values, pass->input->dtype, piece->element + i))
            return 1;
    return 0;
}

/* ---- Rows ---- */

static void next_tag(erai_answer *answer) {
    if (++answer->tag) return;
    memset(answer->seen, 0, answer->guard->feature_count * ER_KINDS * sizeof *answer->seen);
    answer->tag = 1;
}

static inline void finish_row(const er_pass *pass, er_row *row) {
    if (pass->checks) er_check_row(pass->answer, row);
    row->values = (const char *)row->values + pass->row_bytes;
    next_tag(pass->answer);
}

ER_INLINE const float *read_narrow(const er_pass *pass, const er_piece *piece, float *chunk) {
    const char *from = piece->row->values;
    uint32_t dtype = pass->input->dtype;
    if (dtype == ERAI_DTYPE_FLOAT32) return (const float *)(const void *)from + piece->element;
    er_read_narrow(from + piece->element * erai_dtype_size(dtype), dtype, piece->count, chunk);
    return chunk;
}

ER_INLINE const double *read_wide(const er_pass *pass, const er_piece *piece, double *chunk) {
    const char *from = piece->row->values;
    uint32_t dtype = pass->input->dtype;
    if (dtype == ERAI_DTYPE_FLOAT64) return (const double *)(const void *)from + piece->element;
    er_read_wide(from + piece->element * erai_dtype_size(dtype), dtype, piece->count, chunk);
    return chunk;
}

#define ER_NUMBER float
#define ER_OF(name) narrow_##name
#define ER_READ read_narrow
#define ER_LIMITS pass->input->limits
#define ER_BIN er_bin
#define ER_STANDARDIZE er_standardize
#include "pass.h"
ER_TWICE(narrow_admit_rows, (const er_pass *pass, er_row *row, size_t rows), (pass, row, rows))
#undef ER_NUMBER
#undef ER_OF
#undef ER_READ
#undef ER_LIMITS
#undef ER_BIN
#undef ER_STANDARDIZE

#define ER_NUMBER double
#define ER_OF(name) wide_##name
#define ER_READ read_wide
#define ER_LIMITS pass->input->wide
#define ER_BIN er_wide_bin
#define ER_STANDARDIZE er_wide_standardize
#include "pass.h"
ER_TWICE(wide_admit_rows, (const er_pass *pass, er_row *row, size_t rows), (pass, row, rows))

er_row er_row_shape(const er_input *input, const erai_tensor *tensor, int batched) {
    /* NULL, of a tensor without values, is not counted on from. */
    const void *values = tensor->data ? tensor->data : "";
    er_row row = {.input = input, .values = values, .outer = 1, .features = 1, .inner = 1};
    for (uint32_t i = batched ? 1 : 0; i < tensor->rank; i++) {
        size_t extent = (size_t)tensor->shape[i];
        if ((int32_t)i < input->feature_axis)
            row.outer *= extent;
        else if ((int32_t)i == input->feature_axis)
            row.features = extent;
        else
            row.inner *= extent;
    }
    return row;
}

static void admit_input(erai_answer *answer, const er_input *input, const erai_tensor *tensor, int64_t unix_ns) {
    const erai_guard *guard = answer->guard;
    er_feature_statistics all = er_of_features(answer->statistics, guard->feature_count);
    size_t first = input->first_feature;
    er_row row = er_row_shape(input, tensor, guard->batched);
    row.unix_ns = unix_ns;
    er_pass pass = {.answer = answer,
                    .input = input,
                    .features = guard->features + first,
                    .into = {all.histogram + first, all.not_finite + first, all.sum + first, all.sum_squares + first},
                    .row_bytes = row.outer * row.features * row.inner * erai_dtype_size(input->dtype),
                    .chunk =
                        input->dtype == ERAI_DTYPE_FLOAT32 || input->dtype == ERAI_DTYPE_FLOAT64 ? ER_PIECE : ER_CHUNK,
                    .rounds = input->dtype == ERAI_DTYPE_INT64 || input->dtype == ERAI_DTYPE_UINT64,
                    .checks = input->checked > 0 || input->distance != NULL};
    next_tag(answer);
    if (input->width == ER_NARROW)
        narrow_admit_rows(&pass, &row, answer->rows);
    else if (input->width == ER_WIDE)
        wide_admit_rows(&pass, &row, answer->rows);
    else
        for (row.in_order = 1; row.row < answer->rows; row.row++) finish_row(&pass, &row);
}

erai_status er_validate(erai_answer *answer, int64_t unix_ns) {
    const erai_guard *guard = answer->guard;
    size_t rows = believed_rows(answer);
    erai_status status = er_answer_begin(answer, rows, ERAI_VERDICT_ACCEPT);
    if (status) return status;
    for (size_t i = 0; i < guard->input_count; i++)
        if (!guard->inputs[i].is_state && !check_tensor(answer, &guard->inputs[i], &answer->inputs[i], rows))
            return ERAI_OK;
    if (guard->memories) er_mutex_lock(&answer->session->memory.lock);
    er_mutex_lock(&answer->lock);
    for (size_t i = 0; i < guard->input_count; i++)
        if (!guard->inputs[i].is_state) admit_input(answer, &guard->inputs[i], &answer->inputs[i], unix_ns);
    er_mutex_unlock(&answer->lock);
    if (guard->memories) er_mutex_unlock(&answer->session->memory.lock);
    return ERAI_OK;
}
