/* What of a row's input may leave the device. Nothing does that the policy's rule of events does not name; hashes are
 * HMAC-SHA-256 of the feature's name, a zero, and the value's bytes, so that equal values of two features do not look
 * alike. */
#include "fields.h"

#include "sha256.h"
#include "values.h"

#include <math.h>
#include <string.h>

enum { ALARM_FIELDS = 3 };

size_t er_fields_most(const erai_guard *guard) {
    size_t most = 0;
    for (size_t f = 0; f < guard->events.features; f++) most += guard->events.forms[f] != ERAI_FIELD_DROP;
    return guard->drift.struct_size && most < ALARM_FIELDS ? ALARM_FIELDS : most;
}

/* The bin that holds edges[i-1] < value <= edges[i]. */
static uint64_t bucket_of(const er_feature *feature, const void *data, uint32_t dtype, size_t at) {
    if (!isfinite(er_value(data, dtype, at))) return feature->bins;
    if (feature->missing && er_is_missing(feature->missing, data, dtype, at)) return feature->bins;
    uint64_t bin = 0;
    while (bin + 1 < feature->bins && er_is_above(data, dtype, at, feature->edges[bin])) bin++;
    return bin;
}

static uint64_t hash_of(const er_feature *feature, const void *bytes, size_t size, const uint8_t *key) {
    er_hmac hmac;
    uint8_t digest[ERAI_DIGEST_SIZE];
    uint64_t hash = 0;
    er_hmac_begin(&hmac, key);
    er_hmac_add(&hmac, feature->name, strlen(feature->name) + 1);
    if (size) er_hmac_add(&hmac, bytes, size);
    er_hmac_end(&hmac, digest);
    for (size_t i = 0; i < sizeof hash; i++) hash = hash << 8 | digest[i];
    return hash;
}

static erai_event_field field_of(const er_feature *feature, uint32_t form, const erai_tensor *tensor, size_t at,
                                 const uint8_t *key) {
    erai_event_field field = {.form = form};
    if (form == ERAI_FIELD_BUCKET) field.number = bucket_of(feature, tensor->data, tensor->dtype, at);
    if (form == ERAI_FIELD_PLAIN) field.value = er_value(tensor->data, tensor->dtype, at);
    if (form != ERAI_FIELD_KEYED_HASH) return field;
    if (tensor->dtype == ERAI_DTYPE_STRING) {
        const erai_string *text = (const erai_string *)tensor->data + at;
        field.number = hash_of(feature, text->bytes, text->size, key);
    } else {
        size_t size = erai_dtype_size(tensor->dtype);
        field.number = hash_of(feature, (const uint8_t *)tensor->data + at * size, size, key);
    }
    return field;
}

uint32_t er_fields_take(const erai_answer *answer, size_t row, const uint8_t key[ERAI_DIGEST_SIZE],
                        erai_event_field *into) {
    const erai_guard *guard = answer->guard;
    const uint8_t *forms = guard->events.forms;
    uint32_t count = 0;
    if (!forms || row >= answer->rows || !er_has_shape(answer)) return 0;
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        for (uint32_t f = 0; f < input->feature_count; f++) {
            uint32_t index = input->first_feature + f;
            if (forms[index] == ERAI_FIELD_DROP) continue;
            /* One value a feature and row: that is what er_may_leave is about. */
            into[count] = field_of(&guard->features[index], forms[index], &answer->inputs[i],
                                   row * input->feature_count + f, key);
            into[count++].feature = index;
        }
    }
    return count;
}
