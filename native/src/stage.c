/* What a model is given in place of the caller's values: missing ones become what their rule says, and a rejected row
 * becomes a stand-in, a row as the reference has them, so that its batch mates run as ever. A stand-in is made of the
 * reference's means, kept to what its type, its limits and its categories allow, since a model may end a process on an
 * index that it does not know. */
#include "answer.h"
#include "values.h"

#include <math.h>
#include <string.h>

static const erai_check_rule *check_of(const er_feature *feature, uint32_t kind) {
    for (uint32_t i = 0; i < feature->check_count; i++)
        if (feature->checks[i].rule.kind == kind) return &feature->checks[i].rule;
    return NULL;
}

/* The category nearest to a number. */
static double nearest_category(const erai_check_rule *categories, double value) {
    double nearest = categories->values[0];
    for (uint32_t i = 1; i < categories->count; i++)
        if (fabs(categories->values[i] - value) < fabs(nearest - value)) nearest = categories->values[i];
    return nearest;
}

/* The number nearest to `value` that the feature allows. */
static double allowed(const er_feature *feature, uint32_t dtype, double value) {
    const erai_check_rule *categories = check_of(feature, ERAI_CHECK_CATEGORIES);
    if (categories) return nearest_category(categories, value);
    int integral = !er_is_float(dtype) || check_of(feature, ERAI_CHECK_INTEGRAL);
    double low = fmax(integral ? ceil(feature->low) : feature->low, -er_greatest(dtype));
    double high = fmin(integral ? floor(feature->high) : feature->high, er_greatest(dtype));
    return fmax(fmin(integral ? rint(value) : value, high), low);
}

/* The stand-in for the feature's values; with `shift` another one, where the feature allows another. */
static double stand_in(const er_feature *feature, uint32_t dtype, int shift) {
    double value = allowed(feature, dtype, feature->mean);
    if (!shift) return value;
    const erai_check_rule *categories = check_of(feature, ERAI_CHECK_CATEGORIES);
    if (categories) return categories->values[categories->values[0] == value ? categories->count - 1 : 0];
    double above = allowed(feature, dtype, value + shift);
    return above > value ? above : allowed(feature, dtype, value - shift);
}

static erai_string stand_in_text(const er_feature *feature, int shift) {
    const erai_check_rule *categories = check_of(feature, ERAI_CHECK_CATEGORIES);
    const char *text = feature->stand_in ? feature->stand_in : categories ? categories->texts[0] : "";
    if (shift && categories)
        text = categories->texts[strcmp(categories->texts[0], text) == 0 ? categories->count - 1 : 0];
    return (erai_string){.bytes = text, .size = strlen(text)};
}

/* Puts an element of `size` bytes into each of a feature's places in a row. */
static void fill_feature(const er_row *shape, char *row, size_t f, const void *element, size_t size) {
    for (size_t o = 0; o < shape->outer; o++)
        for (size_t i = 0; i < shape->inner; i++)
            memcpy(row + ((o * shape->features + f) * shape->inner + i) * size, element, size);
}

static void replace_row(const er_row *shape, const er_feature *features, char *row, int shift) {
    uint32_t dtype = shape->input->dtype;
    size_t size = erai_dtype_size(dtype);
    for (size_t f = 0; f < shape->features; f++) {
        if (dtype == ERAI_DTYPE_STRING) {
            erai_string text = stand_in_text(&features[f], shift);
            fill_feature(shape, row, f, &text, size);
        } else {
            uint64_t element = 0; /* of any type */
            er_write(&element, dtype, 0, stand_in(&features[f], dtype, shift));
            fill_feature(shape, row, f, &element, size);
        }
    }
}

static void replace_missing(const er_row *shape, const er_feature *features, char *row) {
    uint32_t dtype = shape->input->dtype;
    for (size_t f = 0; f < shape->features; f++) {
        const erai_check_rule *missing = features[f].missing;
        if (!missing || isnan(missing->limit)) continue;
        for (size_t o = 0; o < shape->outer; o++)
            for (size_t i = 0; i < shape->inner; i++) {
                size_t element = (o * shape->features + f) * shape->inner + i;
                if (er_is_missing(missing, row, dtype, element)) er_write(row, dtype, element, missing->limit);
            }
    }
}

erai_status er_stage(erai_answer *answer, size_t index, uint64_t reasons, int shift, erai_tensor *staged) {
    const erai_guard *guard = answer->guard;
    const er_input *input = &guard->inputs[index];
    const erai_tensor *tensor = &answer->inputs[index];
    er_buffer *buffer = &answer->staging[index];
    size_t bytes = answer->known[index].bytes;
    if (!er_buffer_reserve(buffer, bytes)) return ERAI_E_MEMORY;
    if (bytes) memcpy(buffer->data, tensor->data, bytes);
    *staged = *tensor;
    staged->data = buffer->data;
    if (ER_LIKELY(input->is_state || !bytes || (!answer->rejected && !input->replaced))) return ERAI_OK;
    const er_row shape = er_row_shape(input, tensor, guard->batched);
    const er_feature *features = guard->features + input->first_feature;
    for (size_t row = 0; row < answer->rows; row++) {
        char *at = (char *)buffer->data + row * (bytes / answer->rows);
        if (answer->verdicts[row] == ERAI_VERDICT_REJECT && answer->row_reasons[row] & reasons)
            replace_row(&shape, features, at, shift);
        else if (input->replaced)
            replace_missing(&shape, features, at);
    }
    return ERAI_OK;
}
