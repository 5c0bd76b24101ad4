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
        if (shape[i] < 0 || __builtin_mul_overflow(size, (size_t)shape[i], &size)) return 0;
    *bytes = size;
    return size <= PTRDIFF_MAX;
}

erai_status er_answer_begin(erai_answer *answer, size_t rows, erai_verdict verdict) {
    if (rows > answer->row_capacity) {
        uint8_t *verdicts = malloc(rows), *sources = malloc(rows);
        if (!verdicts || !sources) {
            free(verdicts);
            free(sources);
            return ERAI_E_MEMORY;
        }
        free(answer->verdicts);
        free(answer->sources);
        answer->verdicts = verdicts;
        answer->sources = sources;
        answer->row_capacity = rows;
    }
    memset(answer->verdicts, (int)verdict, rows);
    memset(answer->sources, ERAI_SOURCE_PRIMARY, rows);
    answer->rows = rows;
    answer->rejected = verdict == ERAI_VERDICT_REJECT ? rows : 0;
    answer->reason_count = 0;
    memset(answer->reasons_by_code, 0, sizeof answer->reasons_by_code);
    answer->verdict = verdict;
    answer->source = ERAI_SOURCE_PRIMARY;
    answer->ran = 0;
    answer->accepted = 0;
    return ERAI_OK;
}

static void lower(erai_answer *answer, size_t row, erai_verdict verdict) {
    if (answer->verdicts[row] >= verdict) return;
    answer->rejected += verdict == ERAI_VERDICT_REJECT;
    answer->verdicts[row] = (uint8_t)verdict;
}

void er_answer_find(erai_answer *answer, erai_verdict verdict, erai_reason reason) {
    if (reason.row >= 0)
        lower(answer, (size_t)reason.row, verdict);
    else
        for (size_t row = 0; row < answer->rows; row++) lower(answer, row, verdict);
    if (answer->verdict < verdict) answer->verdict = verdict;
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
    if (index >= answer->guard->output_count || !answer->rows) return ERAI_E_ARGUMENT;
    const er_buffer *buffer = &answer->outputs[index];
    *output = (erai_tensor){.data = buffer->data, .shape = buffer->shape, .rank = buffer->rank, .dtype = buffer->dtype};
    return ERAI_OK;
}

const char *erai_answer_detail(const erai_answer *answer) {
    return answer->detail;
}

const uint64_t *erai_answer_accepted(const erai_answer *answer) {
    return &answer->accepted;
}
