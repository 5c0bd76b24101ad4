/* The checks of features (erai_check_kind), one row at a time. The values of a feature are read in blocks, and every
 * check looks at a block before the next is read. Means and standard deviations are taken
 * of each block, in two passes over it, and merged by the formula of Chan, Golub and LeVeque (Updating formulae and a
 * pairwise algorithm for computing sample variances, 1979): nothing cancels, and a constant channel has exactly 0. */
#include "session.h"

#include "feature_row.h"
#include "text.h"

#include <math.h>

/* What the values of one feature in one row have come to so far. */
typedef struct feature_pass {
    er_feature_row of;
    erai_answer *answer;
    uint64_t kinds;    /* bit i: the feature has a check of kind i */
    uint64_t found;    /* bit i: that check has its reason */
    uint64_t rejected; /* bit i: and rejects the row */
    size_t present;    /* values looked at */
    size_t clipped;    /* of these */
    double shift;      /* the first of these, from which the mean is counted: it has its digits for what varies */
    double mean;       /* of these */
    double squares;    /* the sum of their squared deviations from it */
    er_memory_slot step, top; /* of STEP and MONOTONIC, as of the value before */
} feature_pass;

#define KIND(kind) ((uint64_t)1 << (kind))
#define OF_MOMENTS (KIND(ERAI_CHECK_MEAN) | KIND(ERAI_CHECK_STDDEV))
#define OF_EACH_VALUE                                                                               \
    (OF_MOMENTS | KIND(ERAI_CHECK_CATEGORIES) | KIND(ERAI_CHECK_INTEGRAL) | KIND(ERAI_CHECK_STEP) | \
     KIND(ERAI_CHECK_CLIPPED) | KIND(ERAI_CHECK_MONOTONIC))

/* A finding of a check, at the feature's k-th value; the first of the row counts. */
static void find(feature_pass *pass, const er_check *check, erai_reason_code code, size_t k, double value,
                 double limit) {
    if (pass->found & KIND(check->rule.kind)) return;
    pass->found |= KIND(check->rule.kind);
    if (check->rule.verdict == ERAI_VERDICT_REJECT) pass->rejected |= KIND(check->rule.kind);
    er_answer_find(pass->answer, (erai_verdict)check->rule.verdict,
                   (erai_reason){.subject = pass->of.feature->name,
                                 .row = (int64_t)pass->of.row->row,
                                 .value = value,
                                 .limit = limit,
                                 .code = code,
                                 .element = (uint32_t)er_element_of(&pass->of, k)});
}

/* Finds what is not within the check's bounds, NaN among it. */
static void hold_within(feature_pass *pass, const er_check *check, erai_reason_code code, size_t k, double value) {
    double low = check->rule.low, high = check->rule.high;
    if (value >= low && value <= high) return;
    find(pass, check, code, k, value, value > high || isinf(low) ? high : low);
}

/* ---- Each value ---- */

static int in_categories(const feature_pass *pass, const erai_check_rule *rule, double value, size_t k) {
    uint32_t dtype = pass->of.row->input->dtype;
    size_t low = 0, high = rule->count;
    while (low < high) { /* the first category that is not below the value */
        size_t middle = low + (high - low) / 2;
        if (er_as_held(dtype, rule->values[middle]) < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rule->count && isfinite(value) && er_as_held(dtype, rule->values[low]) == value &&
           er_is_exactly(&pass->of, k, rule->values[low]);
}

static void look_for_categories(feature_pass *pass, const er_check *check, const er_block *block) {
    for (size_t i = 0; i < block->count; i++) {
        size_t k = er_number_of(block, i);
        if (in_categories(pass, &check->rule, block->values[i], k)) continue;
        find(pass, check, ERAI_REASON_CATEGORY, k, block->values[i], (double)NAN);
        return;
    }
}

static void look_for_fractions(feature_pass *pass, const er_check *check, const er_block *block) {
    for (size_t i = 0; i < block->count; i++) {
        if (block->values[i] == trunc(block->values[i])) continue;
        find(pass, check, ERAI_REASON_NOT_INTEGRAL, er_number_of(block, i), block->values[i], (double)NAN);
        return;
    }
}

static void look_for_steps(feature_pass *pass, const er_check *check, const er_block *block) {
    for (size_t i = 0; i < block->count; i++) {
        double step = fabs(block->values[i] - pass->step.last);
        if (pass->step.known && !(step <= check->rule.limit))
            find(pass, check, ERAI_REASON_STEP, er_number_of(block, i), step, check->rule.limit);
        pass->step.last = block->values[i];
        pass->step.known = 1;
    }
}

static void look_for_descents(feature_pass *pass, const er_check *check, const er_block *block) {
    for (size_t i = 0; i < block->count; i++) {
        double value = block->values[i];
        if (pass->top.known && !(value >= pass->top.last)) {
            find(pass, check, ERAI_REASON_NOT_MONOTONIC, er_number_of(block, i), value, pass->top.last);
            return;
        }
        pass->top.last = value;
        pass->top.known = 1;
    }
}

static void count_clipped(feature_pass *pass, const er_check *check, const er_block *block) {
    uint32_t dtype = pass->of.row->input->dtype;
    double low = er_as_held(dtype, check->rule.low), high = er_as_held(dtype, check->rule.high);
    size_t clipped = 0;
    for (size_t i = 0; i < block->count; i++) clipped += (block->values[i] <= low) | (block->values[i] >= high);
    pass->clipped += clipped;
}

/* Sums in four lanes, which the processor adds at the same time. */
static double sum_of_differences(const double *values, size_t count, double shift) {
    double lanes[4] = {0}, rest = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t k = 0; k < 4; k++) lanes[k] += values[i + k] - shift;
    for (; i < count; i++) rest += values[i] - shift;
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest;
}

static double sum_of_squares(const double *values, size_t count, double shift, double mean) {
    double lanes[4] = {0}, rest = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t k = 0; k < 4; k++) {
            double deviation = values[i + k] - shift - mean;
            lanes[k] += deviation * deviation;
        }
    for (; i < count; i++) rest += (values[i] - shift - mean) * (values[i] - shift - mean);
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest;
}

static void add_moments(feature_pass *pass, const er_block *block) {
    double count = (double)block->count, before = (double)pass->present;
    if (before == 0) pass->shift = block->values[0];
    double mean = sum_of_differences(block->values, block->count, pass->shift) / count;
    double squares = sum_of_squares(block->values, block->count, pass->shift, mean);
    double delta = mean - pass->mean, share = count / (before + count);
    pass->mean += delta * share;
    pass->squares += before == 0 ? squares : squares + delta * delta * before * share;
}

static void look_at_block(feature_pass *pass, const er_block *block) {
    if (block->count == 0) return;
    for (uint32_t i = 0; i < pass->of.feature->check_count; i++) {
        const er_check *check = &pass->of.feature->checks[i];
        switch (check->rule.kind) {
        case ERAI_CHECK_CATEGORIES: look_for_categories(pass, check, block); break;
        case ERAI_CHECK_INTEGRAL: look_for_fractions(pass, check, block); break;
        case ERAI_CHECK_STEP: look_for_steps(pass, check, block); break;
        case ERAI_CHECK_MONOTONIC: look_for_descents(pass, check, block); break;
        case ERAI_CHECK_CLIPPED: count_clipped(pass, check, block); break;
        default: break;
        }
    }
    if (pass->kinds & OF_MOMENTS) add_moments(pass, block);
    pass->present += block->count;
}

/* ---- The row as a whole ---- */

static const er_memory_slot *slot_of(const feature_pass *pass, const er_check *check) {
    return &pass->answer->session->memory.slots[check->memory];
}

/* What the check is to remember of this row, once nothing has rejected it. */
static void leave(const feature_pass *pass, const er_check *check, er_memory_slot slot) {
    pass->answer->session->memory.next[check->memory] = slot;
}

static void check_stuck(feature_pass *pass, const er_check *check) {
    const er_memory_slot *slot = slot_of(pass, check);
    uint64_t hash = er_fingerprint_of(&pass->of);
    uint64_t same = slot->known && slot->hash == hash ? slot->same + 1 : 1;
    if (same >= check->rule.window) find(pass, check, ERAI_REASON_STUCK, 0, (double)same, (double)check->rule.window);
    leave(pass, check, (er_memory_slot){.hash = hash, .same = same, .known = 1});
}

/* Seconds since 1970 have about 31 bits before the point, and what float64 has left is no more than 0.2 us: so the
 * value, the product and the clock are each taken in two parts, and the great parts subtracted first. */
static double age_of(const feature_pass *pass, size_t element, double value, double unit) {
    const void *values = pass->of.row->values;
    double great = value, small = 0;
    if (pass->of.row->input->dtype == ERAI_DTYPE_INT64) {
        int64_t exact = ((const int64_t *)values)[element];
        great = (double)(exact >> 32) * 0x1p32;
        small = (double)(exact & UINT32_MAX);
    } else if (pass->of.row->input->dtype == ERAI_DTYPE_UINT64) {
        uint64_t exact = ((const uint64_t *)values)[element];
        great = (double)(exact >> 32) * 0x1p32;
        small = (double)(exact & UINT32_MAX);
    }
    double seconds = great * unit, rest = fma(great, unit, -seconds) + small * unit;
    int64_t whole = pass->of.row->unix_ns / 1000000000, nanoseconds = pass->of.row->unix_ns % 1000000000;
    return ((double)whole - seconds) + ((double)nanoseconds / 1e9 - rest);
}

static void check_age(feature_pass *pass, const er_check *check) {
    size_t last = pass->of.size - 1;
    er_block block;
    er_read_block(&pass->of, last, &block);
    if (block.count == 0) return;
    double age = age_of(pass, er_element_of(&pass->of, last), block.values[0], check->rule.limit);
    hold_within(pass, check, ERAI_REASON_AGE, last, age);
}

static void finish(feature_pass *pass, const er_check *check) {
    double share = (double)pass->clipped / (double)pass->present;
    switch (check->rule.kind) {
    case ERAI_CHECK_MEAN: hold_within(pass, check, ERAI_REASON_MEAN, 0, pass->shift + pass->mean); break;
    case ERAI_CHECK_STDDEV:
        hold_within(pass, check, ERAI_REASON_STDDEV, 0, sqrt(pass->squares / (double)pass->present));
        break;
    case ERAI_CHECK_CLIPPED:
        if (share > check->rule.limit) find(pass, check, ERAI_REASON_CLIPPED, 0, share, check->rule.limit);
        break;
    case ERAI_CHECK_STEP:
        if (isfinite(pass->step.last)) leave(pass, check, pass->step);
        break;
    case ERAI_CHECK_MONOTONIC:
        if (isfinite(pass->top.last)) leave(pass, check, pass->top);
        break;
    case ERAI_CHECK_STUCK: check_stuck(pass, check); break;
    case ERAI_CHECK_AGE: check_age(pass, check); break;
    default: break;
    }
}

static void check_numbers(feature_pass *pass) {
    const er_feature *feature = pass->of.feature;
    for (uint32_t i = 0; i < feature->check_count; i++) {
        const er_check *check = &feature->checks[i];
        pass->kinds |= KIND(check->rule.kind);
        if (er_remembers(check->rule.kind)) leave(pass, check, (er_memory_slot){0});
        if (check->rule.kind == ERAI_CHECK_STEP) pass->step = *slot_of(pass, check);
        if (check->rule.kind == ERAI_CHECK_MONOTONIC) pass->top = *slot_of(pass, check);
    }
    er_block block;
    for (size_t next = 0; next < pass->of.size && !(pass->present && !(pass->kinds & OF_EACH_VALUE));) {
        next = er_read_block(&pass->of, next, &block);
        look_at_block(pass, &block);
    }
    for (uint32_t i = 0; pass->present && i < feature->check_count; i++) finish(pass, &feature->checks[i]);
    /* A value with which anything is wrong may be too great, and have all that come after it found. */
    for (uint32_t i = 0; pass->found && i < feature->check_count; i++)
        if (feature->checks[i].rule.kind == ERAI_CHECK_MONOTONIC) leave(pass, &feature->checks[i], (er_memory_slot){0});
}

/* ---- Strings ---- */

static int in_texts(const erai_check_rule *rule, erai_string text) {
    size_t low = 0, high = rule->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = er_compare_text(text, rule->texts[middle]);
        if (order == 0) return 1;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* The number of a range that holds the point, from 0; the one that held the point before is tried first, because
 * neighbours in a text mostly share one. rule->count / 2: none does. */
static uint32_t range_of(const erai_check_rule *rule, int32_t point, uint32_t before) {
    uint32_t ranges = rule->count / 2;
    for (uint32_t i = 0; i <= ranges; i++) {
        uint32_t range = i == 0 ? before : i - 1;
        if (point >= rule->values[2 * range] && point <= rule->values[2 * range + 1]) return range;
    }
    return ranges;
}

static void check_characters(feature_pass *pass, const er_check *check, erai_string text, size_t k) {
    uint32_t range = 0;
    for (size_t at = 0; at < text.size;) {
        int32_t point = er_next_point(text, &at);
        range = range_of(&check->rule, point, range);
        if (range < check->rule.count / 2) continue;
        find(pass, check, ERAI_REASON_CHARACTER, k, point, (double)NAN);
        return;
    }
}

static void check_strings(feature_pass *pass) {
    const er_feature *feature = pass->of.feature;
    for (size_t k = 0; k < pass->of.size; k++) {
        erai_string text = *er_string_of(&pass->of, k);
        for (uint32_t i = 0; i < feature->check_count; i++) {
            const er_check *check = &feature->checks[i];
            if (check->rule.kind == ERAI_CHECK_CATEGORIES && !in_texts(&check->rule, text))
                find(pass, check, ERAI_REASON_CATEGORY, k, (double)NAN, (double)NAN);
            if (check->rule.kind == ERAI_CHECK_LENGTH)
                hold_within(pass, check, ERAI_REASON_LENGTH, k, (double)er_count_points(text));
            if (check->rule.kind == ERAI_CHECK_CHARACTERS) check_characters(pass, check, text, k);
        }
    }
    for (uint32_t i = 0; i < feature->check_count; i++)
        if (feature->checks[i].rule.kind == ERAI_CHECK_STUCK) check_stuck(pass, &feature->checks[i]);
}

/* ---- Rows ---- */

/* As feature_pass.rejected; 0 is no kind of a feature's. */
static uint64_t check_distance(erai_answer *answer, const er_row *row) {
    const er_input *input = row->input;
    if (ER_UNLIKELY(answer->row_reasons[row->row] >> ERAI_REASON_NOT_FINITE & 1)) return 0;
    double squared = er_distance_squared(input, answer->guard->features + input->first_feature, row->values);
    if (ER_UNLIKELY(answer->guard->observed)) er_observe_distance(answer, row, squared);
    if (ER_LIKELY(squared <= input->distance->threshold)) return 0;
    er_answer_find(answer, (erai_verdict)input->distance->verdict,
                   (erai_reason){.subject = input->name,
                                 .row = (int64_t)row->row,
                                 .value = squared,
                                 .limit = input->distance->threshold,
                                 .code = ERAI_REASON_OUT_OF_DISTRIBUTION});
    return input->distance->verdict == ERAI_VERDICT_REJECT ? KIND(0) : 0;
}

/* What the checks remember of a row that was not rejected. One that STUCK or STEP alone rejected is the row before for
 * these two all the same, so that rows go on being counted, and a level that really changed is found once. */
static void remember(er_memory *memory, const er_feature *feature, uint64_t rejected) {
    if (rejected & ~(KIND(ERAI_CHECK_STUCK) | KIND(ERAI_CHECK_STEP))) return;
    for (uint32_t i = 0; i < feature->check_count; i++) {
        const er_check *check = &feature->checks[i];
        if (!er_remembers(check->rule.kind) || (rejected && check->rule.kind == ERAI_CHECK_MONOTONIC)) continue;
        if (memory->next[check->memory].known) memory->slots[check->memory] = memory->next[check->memory];
    }
}

void er_check_row(erai_answer *answer, const er_row *row) {
    const er_input *input = row->input;
    const er_feature *features = answer->guard->features + input->first_feature;
    size_t size = row->outer * row->inner;
    uint64_t rejected = 0;
    if (size == 0) return;
    for (uint32_t i = 0; i < input->checked; i++) {
        uint32_t place = input->checked_features[i];
        feature_pass pass = {.of = {.row = row, .feature = &features[place], .place = place, .size = size},
                             .answer = answer};
        if (input->width == ER_TEXT)
            check_strings(&pass);
        else
            check_numbers(&pass);
        rejected |= pass.rejected;
    }
    if (input->distance && size == 1) rejected |= check_distance(answer, row);
    if (ER_LIKELY(!answer->guard->memories || !row->in_order)) return;
    for (uint32_t i = 0; i < input->checked; i++)
        remember(&answer->session->memory, &features[input->checked_features[i]], rejected);
}
