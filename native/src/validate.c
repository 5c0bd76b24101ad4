/* Admitting an input, whose type and shape call_shape.c has found in order: every value against its feature's limits,
 * and into its feature's sketch, in one pass (pass.h). A value is inside its limits exactly when `low <= value && value
 * <= high`, which is false for NaN, and the limits of the fast path are at most +-FLT_MAX or +-DBL_MAX, so the usual
 * value costs two comparisons and everything else, infinities included, leaves that path. Where rows come one by one or
 * a few at a time, those whose values all stay in it are put by, and sketched several together. */
#include "dispatch.h"
#include "row_quantiles.h"
#include "session.h"
#include "sketch.h"
#include "status.h"
#include "values.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Values, one by one ---- */

/* The pass over one input's rows. */
struct er_pass {
    erai_answer *answer;
    const er_input *input;
    const er_feature *features; /* of this input, as `into` is */
    er_tally into;
    size_t row_bytes, chunk;
    size_t width;                /* numbers of a row that waits */
    int rounds;                  /* of a type whose greatest integers float64 rounds */
    int checks;                  /* er_check_row has something to look at */
    er_waiting *waiting;         /* receives rows in order; NULL: they are sketched at once */
    uint8_t *cells;              /* of watched features, rows of `width`; NULL: none is */
    er_row_quantiles *quantiles; /* NULL: none of its features has any */
};

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
#define ER_PLACES 64u  /* whose places in the sketches are found before any is counted */
#define MOST_WAITING_BYTES 32768u
#define ER_LANES (ER_VECTOR / sizeof(ER_NUMBER))

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
    er_place place = er_place_of(pass->input, f, value);
    er_tally_count(&pass->into, f, place);
    if (pass->cells) pass->cells[f] = (uint8_t)place.bin;
}

static void find_outside(const er_pass *pass, const er_row *row, size_t f, size_t element, int kind) {
    const er_feature *feature = &pass->features[f];
    if (pass->cells && !feature->outside) pass->cells[f] = ER_CELL_OUTSIDE;
    find(pass, row, f, element, kind, kind == BELOW ? feature->low : feature->high);
}

/* Whether the value is in order: finite and within its range, or missing where that does not reject the row. */
static int settle_value(const er_pass *pass, const er_row *row, size_t f, size_t element, size_t position) {
    const er_feature *feature = &pass->features[f];
    uint32_t dtype = pass->input->dtype, flags = pass->input->flags;
    if (pass->cells) pass->cells[f] = ER_CELL_MISSING;
    if (feature->missing && er_is_missing(feature->missing, row->values, dtype, element)) {
        pass->into.not_finite[f]++;
        if (feature->missing->verdict != ERAI_VERDICT_ACCEPT)
            find(pass, row, f, element, MISSING, feature->missing->limit);
        return feature->missing->verdict != ERAI_VERDICT_REJECT;
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
        find_outside(pass, row, f, element, BELOW);
    else if (er_is_above(row->values, dtype, element, feature->high))
        find_outside(pass, row, f, element, ABOVE);
    else
        return finite;
    return 0;
}

static void keep_waiting(er_waiting *waiting) {
    waiting->to += waiting->fresh;
    waiting->room -= waiting->fresh;
    waiting->fresh = 0;
}

static void sketch_waiting(erai_answer *answer, size_t index);

/* Those of the present call too. Under the answer's lock. */
static ER_APART void sketch_all_waiting(const er_pass *pass) {
    keep_waiting(pass->waiting);
    sketch_waiting(pass->answer, (size_t)(pass->waiting - pass->answer->waiting));
    pass->waiting->room = pass->waiting->most;
}

static size_t input_index(const er_pass *pass) {
    return (size_t)(pass->input - pass->answer->guard->inputs);
}

/* Rows whose cells are known. */
static void watch_rows(const er_pass *pass, size_t rows) {
    er_watch_rows(pass->answer->session->watch, input_index(pass), pass->cells, pass->width, rows);
}

/* A piece in which some value is not inside its limits, or may be missing. */
static ER_APART int settle_piece(const er_pass *pass, const er_piece *piece) {
    int in_order = 1;
    if (pass->waiting) er_mutex_lock(&pass->answer->lock);
    if (pass->waiting && (pass->cells || pass->quantiles)) sketch_all_waiting(pass); /* to keep rows in their order */
    for (size_t i = 0; i < piece->count; i++) {
        size_t f = piece->feature + (piece->columns ? i : 0), position = piece->position + (piece->columns ? 0 : i);
        in_order &= settle_value(pass, piece->row, f, piece->element + i, position);
    }
    if (pass->waiting && pass->cells) watch_rows(pass, 1);
    if (pass->waiting && pass->quantiles) er_row_quantiles_row(pass->quantiles, input_index(pass), piece->row);
    if (pass->waiting) er_mutex_unlock(&pass->answer->lock);
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

/* Of the numbers that the values of an input are read as. */
static inline size_t number_size(const er_input *input) {
    return input->width == ER_NARROW ? sizeof(float) : sizeof(double);
}

/* Numbers from one row that waits to the next: whole vectors. */
static size_t waiting_width(const er_input *input) {
    return (input->feature_count + ER_FLOATS - 1) / ER_FLOATS * ER_FLOATS;
}

static inline void let_wait(const er_pass *pass, const void *values, size_t bytes) {
    er_waiting *waiting = pass->waiting;
    if (ER_UNLIKELY(waiting->fresh == waiting->room)) {
        er_mutex_lock(&pass->answer->lock);
        sketch_all_waiting(pass);
        er_mutex_unlock(&pass->answer->lock);
    }
    uint32_t place = (waiting->to + waiting->fresh++) % ER_WAITING;
    memcpy(waiting->rows + place * pass->width * number_size(pass->input), values, bytes);
}

static void next_tag(erai_answer *answer) {
    if (ER_LIKELY(++answer->tag)) return;
    memset(answer->seen, 0, answer->guard->feature_count * ER_KINDS * sizeof *answer->seen);
    answer->tag = 1;
}

static inline void finish_row(const er_pass *pass, er_row *row) {
    if (ER_UNLIKELY(pass->cells && !pass->waiting)) watch_rows(pass, 1);
    if (ER_UNLIKELY(pass->quantiles && !pass->waiting)) er_row_quantiles_row(pass->quantiles, input_index(pass), row);
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
#define ER_BIN uint32_t
#define ER_OF(name) narrow_##name
#define ER_READ read_narrow
#define ER_LIMITS pass->input->limits
#define ER_NUMBERS er_floats
#define ER_BINS er_narrow_bins
#define ER_PLACE er_place_narrow
#define ER_STANDARDIZE er_standardize
#include "pass.h"
ER_TWICE(narrow_admit_rows, (const er_pass *pass, er_row *row, size_t rows), (pass, row, rows))
ER_TWICE(narrow_sketch_waiting, (const er_pass *pass, const void *rows, size_t count), (pass, rows, count))
#undef ER_NUMBER
#undef ER_BIN
#undef ER_OF
#undef ER_READ
#undef ER_LIMITS
#undef ER_NUMBERS
#undef ER_BINS
#undef ER_PLACE
#undef ER_STANDARDIZE

#define ER_NUMBER double
#define ER_BIN uint64_t
#define ER_OF(name) wide_##name
#define ER_READ read_wide
#define ER_LIMITS pass->input->wide
#define ER_NUMBERS er_doubles
#define ER_BINS er_wide_bins
#define ER_PLACE er_place_wide
#define ER_STANDARDIZE er_wide_standardize
#include "pass.h"
ER_TWICE(wide_admit_rows, (const er_pass *pass, er_row *row, size_t rows), (pass, row, rows))
ER_TWICE(wide_sketch_waiting, (const er_pass *pass, const void *rows, size_t count), (pass, rows, count))

/* NULL, of a tensor without values, is not counted on from. */
static const void *values_of(const erai_tensor *tensor) {
    return tensor->data ? tensor->data : "";
}

er_row er_row_shape(const er_input *input, const erai_tensor *tensor, int batched) {
    er_row row = {.input = input, .values = values_of(tensor), .outer = 1, .features = 1, .inner = 1};
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

static er_pass pass_of(erai_answer *answer, size_t index, const er_row *row) {
    const erai_guard *guard = answer->guard;
    const er_input *input = &guard->inputs[index];
    er_waiting *waiting = &answer->waiting[index];
    const er_tally *all = answer->tally;
    size_t first = input->first_feature;
    return (er_pass){.answer = answer,
                     .input = input,
                     .features = guard->features + first,
                     .into = {.histogram = all->histogram + first,
                              .not_finite = all->not_finite + first,
                              .sum = all->sum + first,
                              .sum_squares = all->sum_squares + first},
                     .row_bytes = row->outer * row->features * row->inner * erai_dtype_size(input->dtype),
                     .chunk =
                         input->dtype == ERAI_DTYPE_FLOAT32 || input->dtype == ERAI_DTYPE_FLOAT64 ? ER_PIECE : ER_CHUNK,
                     .width = waiting_width(input),
                     .rounds = input->dtype == ERAI_DTYPE_INT64 || input->dtype == ERAI_DTYPE_UINT64,
                     .checks = input->checked > 0 || input->distance != NULL,
                     .waiting = waiting->rows ? waiting : NULL,
                     .cells = waiting->cells,
                     .quantiles = er_row_quantiles_of(answer->session->quantiles, index)};
}

/* ---- Rows that wait ---- */

/* Rows of one value a feature, in one piece, and few enough to stay in a near cache. */
static int may_wait(const erai_answer *answer, size_t index) {
    const erai_guard *guard = answer->guard;
    const er_input *input = &guard->inputs[index];
    uint32_t axis = guard->batched ? 1 : 0;
    return (input->sketched || er_row_quantiles_of(answer->session->quantiles, index)) && !input->is_state &&
           input->rank == axis + 1 && input->feature_axis == (int32_t)axis && input->feature_count <= ER_CHUNK &&
           waiting_width(input) * number_size(input) <= MOST_WAITING_BYTES / ER_WAITING;
}

int er_waiting_open(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    answer->waiting = calloc(guard->input_count, sizeof *answer->waiting);
    answer->passes = calloc(guard->input_count, sizeof *answer->passes);
    if (!answer->waiting || !answer->passes) return 0;
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        er_waiting *waiting = &answer->waiting[i];
        if (input->watched && !(waiting->cells = calloc(ER_WATCHED_ROWS, waiting_width(input)))) return 0;
        if (!may_wait(answer, i)) continue;
        size_t bytes = ER_WAITING * waiting_width(input) * number_size(input);
        waiting->rows = aligned_alloc(64, bytes);
        /* Every so many rows of all threads' are looked at: then each is given over at once. */
        waiting->most = input->strided ? 1 : input->watched ? ER_WATCHED_ROWS : ER_WAITING;
        waiting->room = waiting->most;
        if (!waiting->rows) return 0;
        memset(waiting->rows, 0, bytes);
    }
    return 1;
}

void er_waiting_close(erai_answer *answer) {
    for (size_t i = 0; answer->waiting && i < answer->guard->input_count; i++) {
        free(answer->waiting[i].rows);
        free(answer->waiting[i].cells);
    }
    free(answer->waiting);
    free(answer->passes);
}

void er_waiting_keep(erai_answer *answer) {
    for (size_t i = 0; i < answer->guard->input_count; i++) keep_waiting(&answer->waiting[i]);
}

static void sketch_waiting(erai_answer *answer, size_t index) {
    const er_input *input = &answer->guard->inputs[index];
    er_waiting *waiting = &answer->waiting[index];
    const er_row row = {.input = input, .outer = 1, .features = input->feature_count, .inner = 1};
    er_pass pass = pass_of(answer, index, &row);
    uint8_t *cells = pass.cells;
    uint32_t waited = waiting->to - waiting->from;
    while (waiting->from != waiting->to) {
        uint32_t place = waiting->from % ER_WAITING, count = waiting->to - waiting->from;
        if (count > ER_WAITING - place) count = ER_WAITING - place;
        const char *rows = waiting->rows + place * pass.width * number_size(input);
        if (input->sketched && input->width == ER_NARROW)
            narrow_sketch_waiting(&pass, rows, count);
        else if (input->sketched)
            wide_sketch_waiting(&pass, rows, count);
        if (pass.quantiles) er_row_quantiles_waited(pass.quantiles, index, rows, pass.width, count);
        if (cells) pass.cells += count * pass.width;
        waiting->from += count;
    }
    pass.cells = cells;
    if (cells) watch_rows(&pass, waited); /* together, wherever the ring ends */
}

void er_waiting_sketch(erai_answer *answer) {
    for (size_t i = 0; i < answer->guard->input_count; i++)
        if (answer->waiting[i].from != answer->waiting[i].to) sketch_waiting(answer, i);
}

/* ---- Inputs ---- */

static void admit_input(erai_answer *answer, size_t index, int64_t unix_ns) {
    const er_pass *pass = &answer->passes[index];
    er_row row = answer->known[index].row;
    row.values = values_of(&answer->inputs[index]);
    row.unix_ns = unix_ns;
    next_tag(answer);
    if (ER_UNLIKELY(!pass->waiting)) er_mutex_lock(&answer->lock);
    if (ER_LIKELY(pass->input->width == ER_NARROW))
        narrow_admit_rows(pass, &row, answer->rows);
    else if (pass->input->width == ER_WIDE)
        wide_admit_rows(pass, &row, answer->rows);
    else
        for (row.in_order = 1; row.row < answer->rows; row.row++) finish_row(pass, &row);
    if (ER_UNLIKELY(!pass->waiting)) er_mutex_unlock(&answer->lock);
}

/* Whether all tensors have the type and shape that they had in the last call that was in order. */
static int as_before(const erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    if (ER_UNLIKELY(!answer->known_rows)) return 0;
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        const erai_tensor *tensor = &answer->inputs[i];
        if (ER_UNLIKELY(input->is_state)) continue;
        if (tensor->dtype != input->dtype || tensor->rank != answer->known[i].rank) return 0;
        for (uint32_t axis = 0; axis < tensor->rank; axis++)
            if (tensor->shape[axis] != answer->known[i].shape[axis]) return 0;
    }
    return 1;
}

/* Whether all tensors are in order; then their forms are kept. */
static ER_APART int check_tensors(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    answer->known_rows = 0;
    answer->known_most = answer->rows; /* of what is observed */
    for (size_t i = 0; i < guard->input_count; i++) {
        const erai_tensor *tensor = &answer->inputs[i];
        er_known *found = &answer->known[i];
        if (guard->inputs[i].is_state) continue;
        if (!er_check_tensor(answer, &guard->inputs[i], tensor, answer->rows, &found->bytes)) return 0;
        found->row = er_row_shape(&guard->inputs[i], tensor, guard->batched);
        answer->passes[i] = pass_of(answer, i, &found->row);
        uint64_t values = (uint64_t)answer->rows * found->row.outer * found->row.inner;
        if (values > answer->known_most) answer->known_most = values;
        found->rank = tensor->rank;
        if (tensor->rank) memcpy(found->shape, tensor->shape, tensor->rank * sizeof *tensor->shape);
    }
    answer->known_rows = answer->rows;
    return 1;
}

static erai_status check_data(erai_answer *answer) {
    const er_input *inputs = answer->guard->inputs;
    for (size_t i = 0; i < answer->guard->input_count; i++)
        if (!inputs[i].is_state && !answer->inputs[i].data && answer->known[i].bytes)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "input '%s': its data is NULL", inputs[i].name);
    return ERAI_OK;
}

/* Counts of 32 bits must not overflow: before they might, they are added to those of 64. */
static erai_status make_room(erai_answer *answer) {
    if (answer->known_most > UINT32_MAX)
        return er_fail(answer->detail, ERAI_E_ARGUMENT,
                       "a call of %" PRIu64 " values of a feature; expected at most %" PRIu32, answer->known_most,
                       UINT32_MAX);
    if (ER_UNLIKELY(answer->room < answer->known_most)) {
        if (!er_answer_carry(answer)) return er_fail(answer->detail, ERAI_E_MEMORY, "out of memory");
        answer->room = UINT32_MAX;
    }
    answer->room -= answer->known_most;
    return ERAI_OK;
}

erai_status er_validate(erai_answer *answer, int64_t unix_ns) {
    const erai_guard *guard = answer->guard;
    int same = as_before(answer);
    erai_status status =
        er_answer_begin(answer, ER_LIKELY(same) ? answer->known_rows : er_believed_rows(answer), ERAI_VERDICT_ACCEPT);
    if (!status && ER_UNLIKELY(guard->observed) && !er_observe_begin(answer)) status = ERAI_E_MEMORY;
    if (status) return status;
    int in_order = ER_LIKELY(same) || check_tensors(answer);
    if (in_order) status = check_data(answer);
    if (!status) status = make_room(answer); /* what is observed is counted of any call */
    if (!in_order) return status;
    if (ER_UNLIKELY(guard->memories)) er_mutex_lock(&answer->session->memory.lock);
    for (size_t i = 0; !status && i < guard->input_count; i++)
        if (!guard->inputs[i].is_state) admit_input(answer, i, unix_ns);
    if (ER_UNLIKELY(guard->memories)) er_mutex_unlock(&answer->session->memory.lock);
    return status;
}
