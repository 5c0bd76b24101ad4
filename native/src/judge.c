/* Judging the model's outputs: rank and fixed extents where the policy states them, that every value is finite, and the
 * checks of the policy. An output has rows when the policy is batched and its axis 0, or its sequence, has one entry a
 * row; a finding in any other output concerns every row of the call. Rows that were rejected before are not judged:
 * what stands in their place is the answer to a stand-in.
 *
 * Shares are along the last axis: of scores x, with ERAI_RULE_LOGITS, the softmax p_i = e^(x_i - m) / Z with m the
 * greatest score and Z the sum of e^(x_i - m), so that the entropy is ln Z - sum of p_i (x_i - m); of a single score
 * the sigmoid p and 1 - p. NaN passes no check. */
#include "answer.h"
#include "values.h"

#include <math.h>

int er_by_row(const erai_answer *answer, const er_buffer *buffer) {
    if (!answer->guard->batched) return 0;
    if (!buffer->dtype) return buffer->nest.root.kind == ERAI_VALUE_SEQUENCE && buffer->nest.root.count == answer->rows;
    return buffer->rank > 0 && (size_t)buffer->shape[0] == answer->rows;
}

/* A row of an output, or all of an output without rows. */
typedef struct part {
    const er_output *output;
    const er_buffer *buffer;
    size_t first, count;         /* of a tensor: its elements */
    size_t shares;               /* how many there are along the last axis */
    const struct summary *whole; /* of its only shares, if there are checks; NULL: there are more, or none */
    erai_answer *answer;         /* receives the reasons; NULL: nobody wants them */
    int64_t row;
    int passed;
} part;

static void find(part *it, erai_verdict verdict, erai_reason reason) {
    reason.subject = it->output->name;
    reason.row = it->row;
    if (verdict == ERAI_VERDICT_REJECT) it->passed = 0;
    if (it->answer) er_answer_find(it->answer, verdict, reason);
}

/* ---- Shape ---- */

static void check_shape(part *it, int batched, size_t rows) {
    const er_output *output = it->output;
    const er_buffer *buffer = it->buffer;
    if (!(output->flags & ERAI_RULE_SHAPE) || !buffer->dtype) return;
    if (buffer->rank != output->rank) {
        find(it, ERAI_VERDICT_REJECT,
             (erai_reason){.value = buffer->rank, .limit = output->rank, .code = ERAI_REASON_RANK});
        return;
    }
    for (uint32_t i = 0; i < buffer->rank; i++) {
        int64_t expected = batched && i == 0 ? (int64_t)rows : output->shape[i];
        if (expected < 0 || buffer->shape[i] == expected) continue;
        find(it, ERAI_VERDICT_REJECT,
             (erai_reason){.value = (double)buffer->shape[i],
                           .limit = (double)expected,
                           .code = ERAI_REASON_OUTPUT_SHAPE,
                           .element = i});
        return;
    }
}

/* ---- Finite ---- */

/* Index of the first value that is not finite, or count. Bits and not arithmetic, so that runs of values take one
 * instruction several at a time: an exponent of all ones is NaN or infinite. */
#define FIRST_NOT_FINITE(type, exponent)                                                        \
    do {                                                                                        \
        const type *bits = (const type *)data + first;                                          \
        size_t at = 0;                                                                          \
        for (; at + 16 <= count; at += 16) {                                                    \
            int found = 0;                                                                      \
            for (size_t i = 0; i < 16; i++) found |= (bits[at + i] & (exponent)) == (exponent); \
            if (found) break;                                                                   \
        }                                                                                       \
        while (at < count && (bits[at] & (exponent)) != (exponent)) at++;                       \
        return at;                                                                              \
    } while (0)

static size_t first_not_finite(const void *data, uint32_t dtype, size_t first, size_t count) {
    switch (dtype) {
    case ERAI_DTYPE_FLOAT32: FIRST_NOT_FINITE(uint32_t, 0x7f800000u);
    case ERAI_DTYPE_FLOAT64: FIRST_NOT_FINITE(uint64_t, 0x7ff0000000000000u);
    case ERAI_DTYPE_FLOAT16: FIRST_NOT_FINITE(uint16_t, 0x7c00u);
    case ERAI_DTYPE_BFLOAT16: FIRST_NOT_FINITE(uint16_t, 0x7f80u);
    default: return count;
    }
}

static int find_not_finite(part *it, const void *data, uint32_t dtype, size_t first, size_t count, size_t before) {
    size_t at = first_not_finite(data, dtype, first, count);
    if (at == count) return 0;
    find(it, ERAI_VERDICT_REJECT,
         (erai_reason){.value = er_value(data, dtype, first + at),
                       .limit = (double)NAN,
                       .code = ERAI_REASON_OUTPUT_NOT_FINITE,
                       .element = (uint32_t)(before + at)});
    return 1;
}

/* The keys of a map are no values; `before` counts the values, in their order. */
static int find_nested(part *it, const erai_value *value, size_t *before) {
    if (value->kind == ERAI_VALUE_TENSOR) {
        const erai_tensor *tensor = &value->tensor;
        size_t count = er_elements(tensor->shape, tensor->rank);
        int found = find_not_finite(it, tensor->data, tensor->dtype, 0, count, *before);
        *before += count;
        return found;
    }
    for (size_t i = value->kind == ERAI_VALUE_MAP; i < value->count; i++)
        if (find_nested(it, &value->items[i], before)) return 1;
    return 0;
}

static void check_finite(part *it) {
    size_t before = 0;
    if (it->buffer->dtype)
        find_not_finite(it, it->buffer->data, it->buffer->dtype, it->first, it->count, 0);
    else if (it->row >= 0)
        find_nested(it, &it->buffer->nest.root.items[it->first], &before);
    else
        find_nested(it, &it->buffer->nest.root, &before);
}

/* ---- Checks ---- */

typedef struct summary {
    double least, most, sum, confidence, margin, entropy;
} summary;

static double times_log(double p) {
    return p == 0 ? 0 : p * log(p);
}

static summary summary_of_one(double x, int logits) {
    double p = logits ? 1 / (1 + exp(-x)) : x, q = logits ? 1 / (1 + exp(x)) : 1 - x;
    return (summary){.least = x,
                     .most = x,
                     .sum = x,
                     .confidence = p > q ? p : q,
                     .margin = fabs(p - q),
                     .entropy = -times_log(p) - times_log(q)};
}

enum { BLOCK = 64 };

/* Reads at most BLOCK of `count` values; how many they are. */
static inline size_t read_block(const er_buffer *buffer, size_t first, size_t count, double values[BLOCK]) {
    if (count > BLOCK) count = BLOCK;
    if (buffer->dtype == ERAI_DTYPE_FLOAT32) { /* nearly always */
        const float *data = (const float *)buffer->data + first;
        for (size_t i = 0; i < count; i++) values[i] = (double)data[i];
        return count;
    }
    const char *data = (const char *)buffer->data + first * erai_dtype_size(buffer->dtype);
    if (er_width_of(buffer->dtype) == ER_WIDE) {
        er_read_wide(data, buffer->dtype, count, values);
        return count;
    }
    float narrow[BLOCK];
    er_read_narrow(data, buffer->dtype, count, narrow);
    for (size_t i = 0; i < count; i++) values[i] = (double)narrow[i];
    return count;
}

/* Of scores that are not NaN, the greatest of which is known: the softmax's. */
static void summarize_scores(const er_buffer *buffer, size_t first, size_t count, double second, summary *shares) {
    double z = 0, weighted = 0, values[BLOCK], most = shares->confidence;
    for (size_t done = 0, some; done < count; done += some) {
        some = read_block(buffer, first + done, count - done, values);
        for (size_t i = 0; i < some; i++) {
            double x = values[i] - most, e = exp(x);
            z += e;
            if (e > 0) weighted += e * x;
        }
    }
    shares->confidence = 1 / z;
    shares->margin = (1 - exp(second - most)) / z;
    shares->entropy = log(z) - weighted / z;
}

/* Of the shares that begin at `first`: NaN in all of them when one is NaN. */
static summary summarize(const er_buffer *buffer, size_t first, size_t count, int logits, int with_entropy) {
    if (count == 1) return summary_of_one(er_value(buffer->data, buffer->dtype, first), logits);
    double least = (double)INFINITY, most = -least, second = most, sum = 0, entropy = 0, values[BLOCK];
    for (size_t done = 0, some; done < count; done += some) {
        some = read_block(buffer, first + done, count - done, values);
        for (size_t i = 0; i < some; i++) {
            double x = values[i];
            sum += x;
            if (with_entropy && !logits) entropy -= times_log(x);
            second = x > most ? most : x > second ? x : second;
            most = x > most ? x : most;
            least = x < least ? x : least;
        }
    }
    if (isnan(sum)) return (summary){sum, sum, sum, sum, sum, sum};
    summary shares = {least, most, sum, most, most - second, entropy};
    if (logits) summarize_scores(buffer, first, count, second, &shares);
    return shares;
}

double er_confidence(const er_buffer *buffer, size_t first, size_t count, int logits) {
    return summarize(buffer, first, count, logits, 0).confidence;
}

/* The number that a check is about, and whether it fails; `limit`: which of its limits it breaks. */
static double number_of(const erai_check_rule *rule, const summary *shares) {
    switch (rule->kind) {
    case ERAI_CHECK_SUM: return shares->sum;
    case ERAI_CHECK_CONFIDENCE: return shares->confidence;
    case ERAI_CHECK_MARGIN: return shares->margin;
    default: return shares->entropy;
    }
}

static int fails(const erai_check_rule *rule, double number, double *limit) {
    int has_low = rule->kind != ERAI_CHECK_ENTROPY, has_high = rule->kind == ERAI_CHECK_SUM || !has_low;
    int low = has_low && !(number >= rule->low);
    *limit = low ? rule->low : rule->high;
    return low || (has_high && !(number <= rule->high));
}

/* How many values at the beginning are within a range, or a few less; for types that float32 holds. */
static size_t skip_within(const part *it, const erai_check_rule *rule) {
    double low = (double)(float)rule->low, high = (double)(float)rule->high, values[BLOCK];
    size_t done = 0;
    if (it->whole && it->whole->least >= low && it->whole->most <= high) return it->count;
    while (done < it->count) {
        size_t some = read_block(it->buffer, it->first + done, it->count - done, values);
        int outside = 0;
        for (size_t i = 0; i < some; i++) outside |= !(values[i] >= low && values[i] <= high);
        if (outside) break;
        done += some;
    }
    return done;
}

static void check_range(part *it, const erai_check_rule *rule) {
    const void *data = it->buffer->data;
    uint32_t dtype = it->buffer->dtype;
    for (size_t i = er_width_of(dtype) == ER_NARROW ? skip_within(it, rule) : 0; i < it->count; i++) {
        size_t at = it->first + i;
        double value = er_value(data, dtype, at);
        int low = er_is_below(data, dtype, at, rule->low);
        if (!low && !isnan(value) && !er_is_above(data, dtype, at, rule->high)) continue;
        double limit = low || !isfinite(rule->high) ? rule->low : rule->high;
        find(it, (erai_verdict)rule->verdict,
             (erai_reason){.value = value, .limit = limit, .code = ERAI_REASON_OUTPUT_RANGE, .element = (uint32_t)i});
        return;
    }
}

/* The codes of these reasons follow each other as the kinds of these checks do. */
static uint32_t code_of(const erai_check_rule *rule) {
    return ERAI_REASON_OUTPUT_RANGE + (rule->kind - ERAI_CHECK_RANGE);
}

static summary summarize_shares(const part *it, size_t at) {
    int with_entropy = 0, logits = (it->output->flags & ERAI_RULE_LOGITS) != 0;
    for (uint32_t i = 0; i < it->output->check_count; i++)
        with_entropy |= it->output->checks[i].rule.kind == ERAI_CHECK_ENTROPY;
    return summarize(it->buffer, it->first + at, it->shares, logits, with_entropy);
}

static void run_checks(part *it) {
    uint32_t waiting = 0; /* bit i: check i is of shares and has found nothing yet */
    for (uint32_t i = 0; i < it->output->check_count; i++) {
        const erai_check_rule *rule = &it->output->checks[i].rule;
        if (rule->kind == ERAI_CHECK_RANGE)
            check_range(it, rule);
        else
            waiting |= 1u << i;
    }
    for (size_t at = 0; waiting && at < it->count; at += it->shares) {
        summary shares = it->whole ? *it->whole : summarize_shares(it, at);
        for (uint32_t i = 0; i < it->output->check_count; i++) {
            if (!(waiting >> i & 1)) continue;
            const erai_check_rule *rule = &it->output->checks[i].rule;
            double limit, number = number_of(rule, &shares);
            if (!fails(rule, number, &limit)) continue;
            waiting &= ~(1u << i);
            find(it, (erai_verdict)rule->verdict,
                 (erai_reason){.value = number, .limit = limit, .code = code_of(rule), .element = (uint32_t)at});
        }
    }
}

/* ---- Rows ---- */

/* How an output's values lie, looked at once a call. */
typedef struct layout {
    size_t elements, shares; /* of a tensor */
    int by_row;
    int fits; /* it has the declared shape */
} layout;

/* The part of an output that is a row's, or the whole of one without rows. */
static part part_of(const erai_answer *answer, size_t index, const er_buffer *buffer, const layout *of, int by_row,
                    size_t row) {
    part it = {
        .output = &answer->guard->outputs[index], .buffer = buffer, .row = by_row ? (int64_t)row : -1, .passed = 1};
    if (!buffer->dtype) {
        it.first = row;
        return it;
    }
    it.count = by_row && answer->rows > 1 ? of->elements / answer->rows : of->elements;
    it.first = by_row ? row * it.count : 0;
    it.shares = of->shares;
    return it;
}

static layout lay_out(const erai_answer *answer, size_t index, const er_buffer *buffer) {
    int batched = answer->guard->batched;
    layout of = {.by_row = er_by_row(answer, buffer)};
    if (buffer->dtype) {
        int single = buffer->rank == 0 || (batched && buffer->rank == 1);
        of.elements = er_elements(buffer->shape, buffer->rank);
        of.shares = single ? 1 : (size_t)buffer->shape[buffer->rank - 1];
    }
    part all = {.output = &answer->guard->outputs[index], .buffer = buffer, .passed = 1};
    check_shape(&all, batched, answer->rows);
    of.fits = all.passed;
    return of;
}

/* Usually there are as many values as shares, and one look at them says nearly all; a sum is finite only of values that
 * are. */
static void judge_part(part *it) {
    int checked = it->output->check_count && it->buffer->dtype;
    summary whole;
    if (checked && it->shares == it->count && it->count) {
        whole = summarize_shares(it, 0);
        it->whole = &whole;
    }
    if (it->output->flags & ERAI_RULE_FINITE && !(it->whole && isfinite(it->whole->sum))) check_finite(it);
    if (checked) run_checks(it);
    it->whole = NULL;
}

/* Whether an output has rows, of its declared shape, that must be looked at one by one. */
static int has_suspects(const erai_answer *answer, size_t index, const layout *of) {
    const er_output *output = &answer->guard->outputs[index];
    const er_buffer *buffer = &answer->outputs[index];
    if (!of->by_row || !of->fits || output->check_count) return of->by_row && of->fits;
    if (!(output->flags & ERAI_RULE_FINITE)) return 0;
    return !buffer->dtype || first_not_finite(buffer->data, buffer->dtype, 0, of->elements) < of->elements;
}

/* Its shape, and where it has no rows, its values. */
static void judge_whole(erai_answer *answer, size_t index, const layout *of, int mixed) {
    if (of->by_row && of->fits) return;
    part it = part_of(answer, index, &answer->outputs[index], of, 0, 0);
    it.answer = answer;
    /* Computed from the stand-ins too: nobody's answer. */
    if (mixed && !of->by_row) find(&it, ERAI_VERDICT_REJECT, (erai_reason){.code = ERAI_REASON_ROWS_DEPEND});
    if (!of->fits)
        check_shape(&it, answer->guard->batched, answer->rows);
    else
        judge_part(&it);
}

/* ---- At a glance ---- */

int er_fits_shape(const er_output *output, const er_buffer *buffer, int64_t rows, int batched) {
    if (!(output->flags & ERAI_RULE_SHAPE)) return 1;
    if (buffer->rank != output->rank) return 0;
    for (uint32_t i = 0; i < buffer->rank; i++) {
        int64_t expected = batched && i == 0 ? rows : output->shape[i];
        if (expected >= 0 && buffer->shape[i] != expected) return 0;
    }
    return 1;
}

/* Whether `count` values, which are shares if the checks are of any, pass all checks. A sum is finite only of values
 * that are, and NaN is within no limit. */
static int pass_at_a_glance(const er_glance *glance, const float *values, size_t count) {
    double least = (double)INFINITY, most = -least, second = most, sum = 0;
    for (size_t i = 0; i < count; i++) {
        double x = (double)values[i];
        sum += x;
        second = x > most ? most : x > second ? x : second;
        most = x > most ? x : most;
        least = x < least ? x : least;
    }
    return isfinite(sum) && least >= glance->low && most <= glance->high && sum >= glance->sum_low &&
           sum <= glance->sum_high && most >= glance->least_confidence && most - second >= glance->least_margin;
}

/* Whether an output is what nearly every output is: in order, all of it, and nothing to be found. If not, that is no
 * finding yet. */
static int is_fine(const erai_answer *answer, size_t index) {
    const er_output *output = &answer->guard->outputs[index];
    const er_buffer *buffer = &answer->outputs[index];
    const er_glance *glance = &output->glance;
    int batched = answer->guard->batched;
    if (ER_UNLIKELY(!buffer->dtype || !er_fits_shape(output, buffer, (int64_t)answer->rows, batched))) return 0;
    size_t elements = er_elements(buffer->shape, buffer->rank), count = elements;
    if (ER_UNLIKELY(!output->check_count))
        return !(output->flags & ERAI_RULE_FINITE) || first_not_finite(buffer->data, buffer->dtype, 0, count) == count;
    if (ER_UNLIKELY(!glance->usable || buffer->dtype != ERAI_DTYPE_FLOAT32)) return 0;
    if (glance->of_shares) {
        if (ER_UNLIKELY(buffer->rank < 1u + (uint32_t)batched))
            return 0; /* a single share: the sigmoid's, and its complement */
        count = (size_t)buffer->shape[buffer->rank - 1];
        if (ER_UNLIKELY(count < 2)) return 0;
    }
    const float *values = buffer->data;
    for (size_t at = 0; at < elements; at += count)
        if (ER_UNLIKELY(!pass_at_a_glance(glance, values + at, count))) return 0;
    return 1;
}

/* Row by row first, and all outputs of a row before the next: what rejects every row would hide which rows were
 * rejected before, and one output what is wrong with another. */
static ER_APART void judge_closely(erai_answer *answer, int mixed) {
    const erai_guard *guard = answer->guard;
    layout layouts[ER_MAX_OUTPUTS];
    uint8_t suspects[ER_MAX_OUTPUTS];
    int any = 0;
    for (size_t i = 0; i < guard->output_count; i++) {
        suspects[i] = 0;
        if (guard->outputs[i].is_state) continue;
        layouts[i] = lay_out(answer, i, &answer->outputs[i]);
        any |= suspects[i] = (uint8_t)has_suspects(answer, i, &layouts[i]);
    }
    for (size_t row = 0; any && row < answer->rows; row++) {
        if (answer->verdicts[row] == ERAI_VERDICT_REJECT) continue;
        for (size_t i = 0; i < guard->output_count; i++) {
            if (!suspects[i]) continue;
            part it = part_of(answer, i, &answer->outputs[i], &layouts[i], 1, row);
            it.answer = answer;
            judge_part(&it);
        }
    }
    for (size_t i = 0; i < guard->output_count; i++)
        if (!guard->outputs[i].is_state) judge_whole(answer, i, &layouts[i], mixed);
}

void er_judge(erai_answer *answer) {
    const erai_guard *guard = answer->guard;
    if (ER_UNLIKELY(answer->rejected == answer->rows)) return;
    int mixed = answer->rejected > 0;
    size_t fine = 0;
    while (!mixed && fine < guard->output_count &&
           (ER_UNLIKELY(guard->outputs[fine].is_state) || is_fine(answer, fine)))
        fine++;
    if (ER_UNLIKELY(fine < guard->output_count)) judge_closely(answer, mixed);
}

int er_judge_fallback(const erai_answer *answer, size_t row) {
    for (size_t i = 0; i < answer->guard->output_count; i++) {
        if (answer->guard->outputs[i].is_state) continue;
        const er_buffer *buffer = &answer->fallback_outputs[i];
        layout of = lay_out(answer, i, buffer);
        if (buffer->dtype != answer->guard->outputs[i].dtype || (!of.by_row && answer->rows > 1) || !of.fits) return 0;
        part it = part_of(answer, i, buffer, &of, of.by_row, row);
        judge_part(&it);
        if (!it.passed) return 0;
    }
    return 1;
}
