/* An answer's memory and what can be read from it. */
#include "answer.h"

#include "status.h"

#include <stdlib.h>
#include <string.h>

int er_buffer_reserve(er_buffer *buffer, size_t bytes) {
    if (bytes <= buffer->capacity && buffer->data) return 1;
    size_t capacity = (bytes + 63) & ~(size_t)63;
    if (capacity < bytes) return 0;
    if (capacity == 0) capacity = 64;
    void *data = aligned_alloc(64, capacity);
    if (!data) return 0;
    free(buffer->data);
    buffer->data = data;
    buffer->capacity = capacity;
    return 1;
}

int er_tensor_bytes(const int64_t *shape, uint32_t rank, uint32_t dtype, size_t *bytes) {
    size_t size = erai_dtype_size(dtype);
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(size, (uint64_t)shape[i], &size)) return 0;
    *bytes = size;
    return size <= PTRDIFF_MAX;
}

/* Copies the bytes of strings behind each other, and points the buffer's elements at them. */
static int copy_strings(er_buffer *buffer, const erai_string *strings, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, strings[i].size, &total)) return 0;
    if (total > buffer->text_capacity) {
        char *text = malloc(total);
        if (!text) return 0;
        free(buffer->text);
        buffer->text = text;
        buffer->text_capacity = total;
    }
    erai_string *elements = buffer->data;
    for (size_t i = 0, at = 0; i < count; at += strings[i++].size) {
        elements[i] = (erai_string){.bytes = strings[i].size ? buffer->text + at : "", .size = strings[i].size};
        if (strings[i].size) memcpy(buffer->text + at, strings[i].bytes, strings[i].size);
    }
    return 1;
}

int er_buffer_copy(er_buffer *buffer, const erai_tensor *tensor) {
    size_t bytes = 0;
    if (!er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, &bytes) || !er_buffer_reserve(buffer, bytes))
        return 0;
    buffer->rank = tensor->rank;
    buffer->dtype = tensor->dtype;
    if (tensor->rank) memcpy(buffer->shape, tensor->shape, tensor->rank * sizeof *tensor->shape);
    if (tensor->dtype == ERAI_DTYPE_STRING) return copy_strings(buffer, tensor->data, bytes / sizeof(erai_string));
    if (bytes) memcpy(buffer->data, tensor->data, bytes);
    return 1;
}

erai_tensor er_buffer_tensor(const er_buffer *buffer) {
    return (erai_tensor){.data = buffer->data, .shape = buffer->shape, .rank = buffer->rank, .dtype = buffer->dtype};
}

int er_same_values(const void *one, const void *other, uint32_t dtype, size_t count) {
    size_t bytes = count * erai_dtype_size(dtype);
    if (dtype != ERAI_DTYPE_STRING) return !bytes || memcmp(one, other, bytes) == 0;
    const erai_string *left = one, *right = other;
    for (size_t i = 0; i < count; i++)
        if (left[i].size != right[i].size || (left[i].size && memcmp(left[i].bytes, right[i].bytes, left[i].size) != 0))
            return 0;
    return 1;
}

int er_same_tensor(const erai_tensor *one, const erai_tensor *other) {
    return one->dtype == other->dtype && one->rank == other->rank &&
           (!one->rank || memcmp(one->shape, other->shape, one->rank * sizeof *one->shape) == 0) &&
           er_same_values(one->data, other->data, one->dtype, er_elements(one->shape, one->rank));
}

void er_buffers_free(er_buffer *buffers, size_t count) {
    for (size_t i = 0; buffers && i < count; i++) {
        free(buffers[i].data);
        free(buffers[i].text);
        er_nest_clear(&buffers[i].nest);
    }
    free(buffers);
}

static int make_rows(erai_answer *answer, size_t rows) {
    uint8_t *verdicts = malloc(rows), *sources = malloc(rows);
    uint64_t *row_reasons = calloc(rows, sizeof *row_reasons), *review_ids = calloc(rows, sizeof *review_ids);
    if (!verdicts || !sources || !row_reasons || !review_ids) {
        free(verdicts);
        free(sources);
        free(row_reasons);
        free(review_ids);
        return 0;
    }
    free(answer->verdicts);
    free(answer->sources);
    free(answer->row_reasons);
    free(answer->review_ids);
    answer->verdicts = verdicts;
    answer->sources = sources;
    answer->row_reasons = row_reasons;
    answer->review_ids = review_ids;
    answer->row_capacity = rows;
    return 1;
}

void er_answer_forget(erai_answer *answer) {
    if (ER_UNLIKELY(answer->reasons_found)) {
        memset(answer->row_reasons, 0, answer->rows * sizeof *answer->row_reasons);
        memset(answer->reasons_by_code, 0, sizeof answer->reasons_by_code);
    }
    if (ER_UNLIKELY(answer->reviewed)) memset(answer->review_ids, 0, answer->rows * sizeof *answer->review_ids);
    answer->rows = answer->rejected = 0;
    answer->reason_count = 0;
    answer->reasons_found = 0;
    answer->reviewed = 0;
    answer->verdict = ERAI_VERDICT_REJECT;
    answer->source = ERAI_SOURCE_NONE;
    answer->ran = answer->cached = answer->failed = answer->missed = answer->answered = 0;
    answer->breaker_opened = 0;
    answer->presented = 0;
}

erai_status er_answer_begin(erai_answer *answer, size_t rows, erai_verdict verdict) {
    size_t room = rows ? rows : 1; /* so that a batch without a row is no case of its own */
    er_answer_forget(answer);
    if (ER_UNLIKELY(room > answer->row_capacity) && !make_rows(answer, room)) return ERAI_E_MEMORY;
    answer->verdicts[0] = (uint8_t)verdict;
    answer->sources[0] = ERAI_SOURCE_PRIMARY;
    if (ER_UNLIKELY(rows > 1)) {
        memset(answer->verdicts, (int)verdict, rows);
        memset(answer->sources, ERAI_SOURCE_PRIMARY, rows);
    }
    answer->rows = rows;
    answer->rejected = verdict == ERAI_VERDICT_REJECT ? rows : 0;
    answer->verdict = verdict;
    answer->source = ERAI_SOURCE_PRIMARY;
    answer->detail[0] = '\0';
    return ERAI_OK;
}

static void lower(erai_answer *answer, size_t row, erai_verdict verdict, uint32_t code) {
    if (verdict == ERAI_VERDICT_REJECT) answer->row_reasons[row] |= (uint64_t)1 << code;
    if (answer->verdicts[row] >= verdict) return;
    answer->rejected += verdict == ERAI_VERDICT_REJECT;
    answer->verdicts[row] = (uint8_t)verdict;
}

void er_answer_find(erai_answer *answer, erai_verdict verdict, erai_reason reason) {
    if (reason.row >= 0)
        lower(answer, (size_t)reason.row, verdict, reason.code);
    else
        for (size_t row = 0; row < answer->rows; row++) lower(answer, row, verdict, reason.code);
    if (answer->verdict < verdict) answer->verdict = verdict;
    answer->reasons_found++;
    answer->reasons_by_code[reason.code]++;
    if (answer->reason_count == ERAI_MOST_REASONS) return;
    if (answer->reason_count == answer->reason_capacity) {
        size_t capacity = answer->reason_capacity ? 2 * answer->reason_capacity : 64;
        erai_reason *grown = realloc(answer->reasons, capacity * sizeof *grown);
        if (!grown) return;
        answer->reasons = grown;
        answer->reason_capacity = capacity;
    }
    answer->reasons[answer->reason_count++] = reason;
}

const er_key *er_answer_key(const erai_answer *answer, size_t row) {
    if (!answer->key_count) return NULL;
    const er_key *key = &answer->keys[answer->key_count == 1 ? 0 : row];
    return key->size ? key : NULL;
}

void er_answer_count(erai_answer *answer, erai_decision_count which, uint64_t by) {
    er_mutex_lock(&answer->lock);
    answer->counts[ER_COUNT_DECISIONS + which] += by;
    er_mutex_unlock(&answer->lock);
}

erai_status erai_answer_set_keys(erai_answer *answer, const erai_string *keys, size_t count) {
    if (!answer) return ERAI_E_ARGUMENT;
    answer->key_count = 0;
    if (count && !keys) return er_fail(answer->detail, ERAI_E_ARGUMENT, "erai_answer_set_keys: NULL");
    if (count > answer->key_capacity) {
        er_key *grown = realloc(answer->keys, count * sizeof *grown);
        if (!grown) return ERAI_E_MEMORY;
        answer->keys = grown;
        answer->key_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].size > ERAI_KEY_SIZE)
            return er_fail(answer->detail, ERAI_E_ARGUMENT, "key %zu has %zu bytes, at most %d are allowed", i,
                           keys[i].size, ERAI_KEY_SIZE);
        answer->keys[i].size = (uint8_t)keys[i].size;
        if (keys[i].size) memcpy(answer->keys[i].bytes, keys[i].bytes, keys[i].size);
    }
    answer->key_count = count;
    return ERAI_OK;
}

erai_verdict erai_answer_verdict(const erai_answer *answer) {
    return answer->verdict;
}

erai_source erai_answer_source(const erai_answer *answer) {
    return answer->source;
}

size_t erai_answer_rows(const erai_answer *answer, const uint8_t **verdicts, const uint8_t **sources) {
    if (verdicts) *verdicts = answer->verdicts;
    if (sources) *sources = answer->sources;
    return answer->rows;
}

size_t erai_answer_reasons(const erai_answer *answer, const erai_reason **first) {
    if (first) *first = answer->reasons;
    return answer->reason_count;
}

erai_status erai_answer_output(const erai_answer *answer, size_t index, erai_tensor *output) {
    if (index >= answer->guard->output_count || !answer->answered || !answer->outputs[index].dtype)
        return ERAI_E_ARGUMENT;
    *output = er_buffer_tensor(&answer->outputs[index]);
    return ERAI_OK;
}

erai_status erai_answer_value(const erai_answer *answer, size_t index, erai_value *value) {
    if (index >= answer->guard->output_count || !answer->answered) return ERAI_E_ARGUMENT;
    const er_buffer *buffer = &answer->outputs[index];
    *value =
        buffer->dtype ? (erai_value){.kind = ERAI_VALUE_TENSOR, .tensor = er_buffer_tensor(buffer)} : buffer->nest.root;
    return ERAI_OK;
}

const uint64_t *erai_answer_review(const erai_answer *answer) {
    return answer->reviewed ? answer->review_ids : NULL;
}

const char *erai_answer_detail(const erai_answer *answer) {
    return answer->detail;
}

const uint64_t *erai_answer_layout(const erai_answer *answer) {
    return &answer->presented;
}
