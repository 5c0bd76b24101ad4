/* Rows that wait for somebody's decision, in as many slots as the policy says. A slot is free, waiting (in a list, the
 * oldest first), or handed out; its id is a number that grows with every row, and its place among the slots in the last
 * 16 bits, so that an id that does not wait is known by looking at one slot. Slots keep their buffers: once all have
 * been used nothing is allocated. */
#include "review.h"

#include "session.h"
#include "status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX /* no slot */
#define SLOT_BITS 16

_Static_assert(ER_MAX_KEYS <= 1 << SLOT_BITS, "a slot's place fits into an id");

typedef struct slot {
    uint64_t id; /* 0: free */
    int64_t unix_ns;
    uint64_t reasons;
    er_key key;             /* of size 0: none */
    int handed_out;         /* not in the list any more */
    uint32_t before, after; /* waiting: in the list; free: `after` is the next free one */
    er_buffer *inputs;      /* one row each; NULL until the slot is first used */
    erai_tensor *tensors;   /* what `inputs` hold */
} slot;

struct er_review_queue {
    er_mutex lock;
    uint64_t sequence; /* of the last id */
    size_t input_count;
    uint32_t slot_count;
    uint32_t used; /* slots from here on were never used */
    uint32_t free;
    uint32_t first, last; /* of the list */
    slot *slots;
};

er_review_queue *er_review_open(size_t rows, size_t inputs) {
    er_review_queue *queue = calloc(1, sizeof *queue);
    if (!queue) return NULL;
    queue->slots = calloc(rows, sizeof *queue->slots);
    if (!queue->slots || er_mutex_init(&queue->lock)) {
        free(queue->slots);
        free(queue);
        return NULL;
    }
    queue->input_count = inputs;
    queue->slot_count = (uint32_t)rows;
    queue->free = queue->first = queue->last = NONE;
    return queue;
}

void er_review_close(er_review_queue *queue) {
    if (!queue) return;
    for (uint32_t i = 0; i < queue->used; i++) {
        er_buffers_free(queue->slots[i].inputs, queue->input_count);
        free(queue->slots[i].tensors);
    }
    er_mutex_destroy(&queue->lock);
    free(queue->slots);
    free(queue);
}

/* ---- Slots; under the lock ---- */

/* A slot that is free; NONE when there is none, or no memory. It stays free until it is taken off. */
static uint32_t find_free(er_review_queue *queue) {
    if (queue->free != NONE || queue->used == queue->slot_count) return queue->free;
    slot *it = &queue->slots[queue->used];
    it->inputs = calloc(queue->input_count, sizeof *it->inputs);
    it->tensors = calloc(queue->input_count, sizeof *it->tensors);
    if (!it->inputs || !it->tensors) {
        free(it->inputs);
        free(it->tensors);
        return NONE;
    }
    it->after = NONE;
    queue->free = queue->used++;
    return queue->free;
}

static void append(er_review_queue *queue, uint32_t at) {
    queue->slots[at].before = queue->last;
    queue->slots[at].after = NONE;
    *(queue->last == NONE ? &queue->first : &queue->slots[queue->last].after) = at;
    queue->last = at;
}

static void take_out(er_review_queue *queue, uint32_t at) {
    const slot *it = &queue->slots[at];
    *(it->before == NONE ? &queue->first : &queue->slots[it->before].after) = it->after;
    *(it->after == NONE ? &queue->last : &queue->slots[it->after].before) = it->before;
}

static int copy_row(const erai_tensor *tensor, int batched, size_t row, size_t rows, er_buffer *into) {
    size_t bytes = 0;
    int64_t shape[ERAI_MAX_RANK];
    er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, &bytes); /* it is in memory: it fits */
    if (tensor->rank) memcpy(shape, tensor->shape, tensor->rank * sizeof *shape);
    if (batched) shape[0] = 1;
    erai_tensor part = {.data = bytes && batched ? (const char *)tensor->data + row * (bytes / rows) : tensor->data,
                        .shape = shape,
                        .rank = tensor->rank,
                        .dtype = tensor->dtype};
    return er_buffer_copy(into, &part);
}

static int fill(slot *it, const erai_answer *answer, size_t row) {
    const erai_guard *guard = answer->guard;
    size_t given = 0;
    for (size_t i = 0; i < guard->input_count; i++) {
        if (guard->inputs[i].is_state) continue;
        if (!copy_row(&answer->inputs[i], guard->batched, row, answer->rows, &it->inputs[given])) return 0;
        it->tensors[given] = er_buffer_tensor(&it->inputs[given]);
        given++;
    }
    return 1;
}

uint64_t er_review_put(er_review_queue *queue, const erai_answer *answer, size_t row, int64_t unix_ns) {
    const er_key *key = er_answer_key(answer, row);
    uint64_t id = 0;
    er_mutex_lock(&queue->lock);
    uint32_t at = find_free(queue);
    if (at != NONE && fill(&queue->slots[at], answer, row)) {
        slot *it = &queue->slots[at];
        queue->free = it->after;
        append(queue, at);
        id = ++queue->sequence << SLOT_BITS | at;
        it->id = id;
        it->unix_ns = unix_ns;
        it->reasons = answer->row_reasons[row];
        it->key.size = 0;
        if (key) it->key = *key;
        it->handed_out = 0;
    }
    er_mutex_unlock(&queue->lock);
    return id;
}

/* Frees the slot of an id and gives its key; 0 when the id does not wait. */
static int settle(er_review_queue *queue, uint64_t id, er_key *key) {
    uint32_t at = (uint32_t)id & ((1u << SLOT_BITS) - 1);
    er_mutex_lock(&queue->lock);
    int waits = id && at < queue->slot_count && queue->slots[at].id == id;
    if (waits) {
        slot *it = &queue->slots[at];
        if (!it->handed_out) take_out(queue, at);
        *key = it->key;
        it->id = 0;
        it->after = queue->free;
        queue->free = at;
    }
    er_mutex_unlock(&queue->lock);
    return waits;
}

/* ---- The application's side ---- */

erai_status erai_session_review(erai_session *session, erai_review *review) {
    if (!session || !review) return ERAI_E_ARGUMENT;
    er_review_queue *queue = session->review;
    *review = (erai_review){0};
    if (!queue) return ERAI_OK;
    er_mutex_lock(&queue->lock);
    if (queue->first != NONE) {
        slot *it = &queue->slots[queue->first];
        take_out(queue, queue->first);
        it->handed_out = 1;
        *review = (erai_review){.id = it->id,
                                .unix_ns = it->unix_ns,
                                .reasons = it->reasons,
                                .inputs = it->tensors,
                                .input_count = queue->input_count};
    }
    er_mutex_unlock(&queue->lock);
    return ERAI_OK;
}

/* States are the session's own, and what is no tensor cannot be given. */
static int is_given(const er_output *output) {
    return output->dtype && !output->is_state;
}

/* Whether a tensor can be one row of an output. */
static int is_row_of(const er_output *output, int batched, const erai_tensor *tensor) {
    size_t bytes;
    if (tensor->dtype != output->dtype || tensor->rank > ERAI_MAX_RANK) return 0;
    if (!er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, &bytes)) return 0;
    if (batched && (!tensor->rank || tensor->shape[0] != 1)) return 0;
    if (!(output->flags & ERAI_RULE_SHAPE)) return 1;
    if (tensor->rank != output->rank) return 0;
    for (uint32_t i = batched ? 1 : 0; i < tensor->rank; i++)
        if (output->shape[i] >= 0 && tensor->shape[i] != output->shape[i]) return 0;
    return 1;
}

/* The given outputs in their places among the guard's; the others hold nothing. */
static erai_status place_outputs(const erai_guard *guard, const erai_tensor *given, size_t count,
                                 erai_tensor outputs[ER_MAX_OUTPUTS], char *detail) {
    size_t expected = 0, next = 0;
    for (size_t i = 0; i < guard->output_count; i++) expected += (size_t)is_given(&guard->outputs[i]);
    if (count != expected)
        return er_fail(detail, ERAI_E_ARGUMENT, "%zu outputs given, the guard program has %zu that can be", count,
                       expected);
    for (size_t i = 0; i < guard->output_count; i++) {
        const er_output *output = &guard->outputs[i];
        outputs[i] = is_given(output) ? given[next++] : (erai_tensor){0};
        if (is_given(output) && !is_row_of(output, guard->batched, &outputs[i]))
            return er_fail(detail, ERAI_E_ARGUMENT, "output '%s': %s of rank %u is not one row of it", output->name,
                           er_dtype_name(outputs[i].dtype), outputs[i].rank);
    }
    return ERAI_OK;
}

erai_status erai_session_override(erai_session *session, uint64_t id, const erai_tensor *outputs, size_t count,
                                  char *detail) {
    if (!session || (count && !outputs)) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_override: NULL");
    const erai_guard *guard = session->guard;
    erai_tensor placed[ER_MAX_OUTPUTS];
    erai_status status = count ? place_outputs(guard, outputs, count, placed, detail) : ERAI_OK;
    if (status) return status;
    er_key key;
    if (!session->review || !settle(session->review, id, &key))
        return er_fail(detail, ERAI_E_ARGUMENT, "no row with the id %" PRIu64 " waits for review", id);
    if (!count) return ERAI_OK;
    int remembered = session->last_good && (key.size || (guard->decision.flags & ERAI_DECISION_SHARED));
    if (remembered)
        er_last_good_put(session->last_good, key.size ? &key : NULL, placed, guard->batched, 0, 1,
                         er_session_ns(session));
    er_session_own(session);
    er_mutex_lock(&session->lock);
    session->carried[ER_COUNT_DECISIONS + ERAI_COUNT_OVERRIDES]++;
    er_mutex_unlock(&session->lock);
    return ERAI_OK;
}
