/* An answer: the result memory, the statistics and the runtime's bindings of one thread of calls. */
#ifndef ER_ANSWER_H
#define ER_ANSWER_H

#include "guard.h"
#include "ort.h"
#include "platform/platform.h"
#include "statistics.h"

typedef struct er_buffer {
    void *data;
    size_t capacity;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    uint32_t dtype;
} er_buffer;

struct erai_answer {
    erai_session *session;
    const erai_guard *guard;
    erai_answer *next;    /* in the session's list */
    er_mutex lock;        /* taken for moments by this answer's thread, and by a snapshot */
    uint64_t *statistics; /* under `lock` */

    uint8_t *verdicts, *sources;
    size_t rows, row_capacity, rejected;
    erai_reason *reasons;
    size_t reason_count, reason_capacity;
    uint64_t reasons_by_code[ER_REASONS]; /* of this call, kept or not */
    uint32_t *seen; /* for each feature and kind of finding, the tag of the last row that has it: one reason a row */
    uint32_t tag;

    er_buffer *outputs; /* one an output of the guard */
    er_buffer *shown;   /* outputs as last presented, to notice a change of layout */
    er_buffer *staging; /* one an input: rows with the rejected ones replaced */
    er_buffer *trial;   /* one an output: what it was with other replacements */
    er_binding *binding;

    erai_verdict verdict;
    erai_source source;
    uint64_t layout;   /* counts changes of `shown` */
    uint64_t accepted; /* layout, or 0 when a row was not accepted */
    uint64_t start_ns;
    int admitted; /* between erai_admit and erai_judge */
    int ran;      /* the outputs are the model's, of this call */
    char detail[ERAI_DETAIL_SIZE];
};

/* One reason a row, feature and kind of finding: not finite, below, above. */
#define ER_KINDS 3u

/* Bytes of a tensor of this shape; 0 when an extent is negative or the product is more than any memory. */
int er_tensor_bytes(const int64_t *shape, uint32_t rank, uint32_t dtype, size_t *bytes);

/* Room for `bytes`, aligned to 64, contents not kept; 0 when out of memory. */
int er_buffer_reserve(er_buffer *buffer, size_t bytes);

/* Sizes the rows and gives all of them `verdict`, PRIMARY and no reasons. */
erai_status er_answer_begin(erai_answer *answer, size_t rows, erai_verdict verdict);

/* A finding of a row (-1: of the call): lowers the verdict and keeps the reason. Without memory for the reason the
 * verdict still stands. */
void er_answer_find(erai_answer *answer, erai_verdict verdict, erai_reason reason);

/* ---- The stages, in their order ---- */

/* validate.c: judges every row of the inputs and adds their values to the sketches, in one pass. Takes the lock. */
erai_status er_validate(erai_answer *answer, const erai_tensor *inputs);

/* validate.c: copies an input into its staging buffer, rejected rows replaced by the reference's means plus `shift`. */
erai_status er_stage(erai_answer *answer, const erai_tensor *input, size_t index, float shift, erai_tensor *staged);

/* judge.c: whether axis 0 of an output counts the call's rows. */
int er_by_row(const erai_answer *answer, const er_buffer *buffer);

/* judge.c: checks the model's outputs, which stand in answer->outputs. */
void er_judge(erai_answer *answer);

/* decide.c: answers every rejected row from the fallback chain. */
erai_status er_decide(erai_answer *answer);

#endif
