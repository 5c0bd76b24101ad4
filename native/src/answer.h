/* An answer: the result memory, the statistics and the runtime's bindings of one thread of calls. */
#ifndef ER_ANSWER_H
#define ER_ANSWER_H

#include "guard.h"
#include "likely.h"
#include "model.h"
#include "nest.h"
#include "platform/platform.h"
#include "statistics.h"

/* A tensor in memory of its own, which grows and stays. Strings point into `text`. */
typedef struct er_buffer {
    void *data;
    size_t capacity;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    uint32_t dtype; /* 0: never filled, or no tensor: then `nest` holds it */
    char *text;
    size_t text_capacity;
    er_nest nest;
} er_buffer;

typedef struct er_key {
    uint8_t size; /* 0: none */
    char bytes[ERAI_KEY_SIZE];
} er_key;

/* A row of an input. */
typedef struct er_row {
    const er_input *input;
    const void *values; /* the row's first element, of the input's type */
    size_t row;
    size_t outer, features, inner; /* element (o, f, i) is at (o * features + f) * inner + i */
    int64_t unix_ns;
    int in_order; /* the row is finite, within its ranges and not rejected for what it lacks: it may be remembered */
} er_row;

/* The shape in which an input came last: its next tensor of that shape needs no second look. */
typedef struct er_known {
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    size_t bytes;
    er_row row; /* the first; without its values */
} er_known;

typedef struct er_pass er_pass; /* validate.c */

/* Rows of an input, all of them in order, that wait to be sketched together: what a sketch reads and writes is in no
 * near cache when a call comes, and is there for the next row. Rows from `from` up to `to` wait, modulo ER_WAITING. */
#define ER_WAITING 32u
typedef struct er_waiting {
    char *rows;        /* NULL: this input's are sketched at once */
    uint8_t *cells;    /* of rows that are sketched together, for the watch; NULL: it is not watched */
    uint32_t from, to; /* under the answer's lock */
    uint32_t fresh;    /* rows of the present call, after `to` */
    uint32_t room;     /* at least as many more fit */
    uint32_t most;     /* that wait */
} er_waiting;

typedef struct er_runner er_runner; /* deadline.h */

struct erai_answer {
    erai_session *session;
    const erai_guard *guard;
    erai_answer *next;   /* in the session's list */
    er_mutex lock;       /* taken for moments by this answer's thread, and by a snapshot */
    uint64_t *counts;    /* under `lock`; likewise: */
    er_tally *tally;     /* of the features */
    er_waiting *waiting; /* one an input: what is not in the tally yet */
    uint64_t room;       /* values of a feature that the tally holds for sure */

    /* One a row: */
    uint8_t *verdicts, *sources;
    uint64_t *row_reasons; /* bit i: rejected for erai_reason_code i */
    uint64_t *review_ids;  /* 0: not in the review queue */
    size_t rows, row_capacity, rejected;
    int reviewed; /* any review id is not 0 */
    er_key *keys; /* of the call: key_count is 0, 1 (of all rows) or rows */
    size_t key_count, key_capacity;
    erai_reason *reasons;
    size_t reason_count, reason_capacity;
    uint64_t reasons_found;               /* of this call, kept or not */
    uint64_t reasons_by_code[ER_REASONS]; /* likewise; not cleared while there are none */
    uint32_t *seen; /* for each feature and kind of finding, the tag of the last row that has it: one reason a row */
    uint32_t tag;

    erai_tensor *inputs; /* one an input of the guard, states among them: those of this call */
    er_known *known;     /* one an input: of the last call whose tensors were all in order, */
    size_t known_rows;   /* which had so many rows; 0: none was */
    uint64_t known_most; /* and of no feature more values than this */
    er_pass *passes;     /* likewise: what is done with the rows of such a tensor */
    er_buffer *outputs;  /* one an output of the guard */
    er_buffer *shown;    /* outputs as last presented, to notice a change of layout */
    er_buffer *staging;  /* one an input: rows with the rejected ones replaced */
    er_buffer observed;  /* observations row by row, then as many cells */
    er_buffer *trial;    /* one an output: what it was with other replacements */
    uint64_t input_hash; /* of the inputs, as the cache has them */
    er_binding *binding;
    er_binding *fallback; /* of the fallback model; opened when it is first asked */
    er_buffer *fallback_outputs;
    er_runner *runner, *fallback_runner; /* of runs with a deadline */

    erai_verdict verdict;
    erai_source source;
    uint64_t layout;    /* twice the changes of `shown` */
    int answered;       /* the call came to an answer */
    uint64_t presented; /* layout, and 1 when a row was not accepted; 0: there is no answer */
    uint64_t start_ns;  /* of the call, by the session's clock, where somebody asks for it */
    er_stopwatch call;  /* where the session has no clock of its own */
    int admitted;       /* from erai_admit to the end of erai_judge: the models are the application's own */
    int ran;            /* the outputs are the model's, of this call */
    int cached;         /* of one before with the same inputs: the model was not asked */
    int failed, missed; /* the runtime failed; the deadline was missed */
    int breaker_opened; /* in this call */
    uint64_t begun_ns;  /* of the call, by the system's monotonic clock, where there is a deadline */
    uint64_t sample_in; /* rows until the next accepted one that becomes an event */
    char detail[ERAI_DETAIL_SIZE];
};

/* One reason a row, feature and kind of finding: not finite, below, above, missing. */
#define ER_KINDS 4u

/* Bytes of a tensor of this shape; 0 when an extent is negative or the product is more than any memory. */
int er_tensor_bytes(const int64_t *shape, uint32_t rank, uint32_t dtype, size_t *bytes);

/* Elements of a tensor whose shape was checked. */
static inline size_t er_elements(const int64_t *shape, uint32_t rank) {
    size_t count = 1;
    for (uint32_t i = 0; i < rank; i++) count *= (size_t)shape[i];
    return count;
}

/* Room for `bytes`, aligned to 64, contents not kept; 0 when out of memory. */
int er_buffer_reserve(er_buffer *buffer, size_t bytes);

/* Copies a tensor, the bytes of its strings too; 0 when out of memory. */
int er_buffer_copy(er_buffer *buffer, const erai_tensor *tensor);

/* The tensor that a buffer holds. */
erai_tensor er_buffer_tensor(const er_buffer *buffer);

/* Whether `count` elements of two tensors are the same to the bit; of strings, to the byte. */
int er_same_values(const void *one, const void *other, uint32_t dtype, size_t count);

/* The same of tensors, with their types and shapes. */
int er_same_tensor(const erai_tensor *one, const erai_tensor *other);

/* Frees what buffers hold, and the array. NULL is allowed. */
void er_buffers_free(er_buffer *buffers, size_t count);

/* Leaves nothing of the call before: no rows, and nobody who answered. */
void er_answer_forget(erai_answer *answer);

/* Sizes the rows and gives all of them `verdict`, PRIMARY and no reasons. */
erai_status er_answer_begin(erai_answer *answer, size_t rows, erai_verdict verdict);

/* A finding of a row (-1: of the call): lowers the verdict and keeps the reason. Without memory for the reason the
 * verdict still stands. */
void er_answer_find(erai_answer *answer, erai_verdict verdict, erai_reason reason);

/* The key of a row; NULL: it has none. */
const er_key *er_answer_key(const erai_answer *answer, size_t row);

/* Adds to a count of the snapshot; takes the answer's lock. */
void er_answer_count(erai_answer *answer, erai_decision_count which, uint64_t by);

/* ---- The stages, in their order ---- */

/* call_shape.c: the first thing wrong with a whole tensor is found of the answer, and 0 returned; or 1, with its bytes.
 * And the rows of a call, also of one whose shape is refused. */
int er_check_tensor(erai_answer *answer, const er_input *input, const erai_tensor *tensor, size_t rows, size_t *bytes);
size_t er_believed_rows(const erai_answer *answer);

/* windows.c: adds the tally to the session's totals, and clears it; takes both locks. 0 when out of memory. */
int er_answer_carry(erai_answer *answer);

/* validate.c: judges every row of answer->inputs, states left out, and adds their values to the sketches, or to what
 * waits for that. Takes the lock. `unix_ns`: the wall clock. */
erai_status er_validate(erai_answer *answer, int64_t unix_ns);

/* validate.c: memory for rows that wait, of the inputs it is worth it for; 0 when out of memory. What waited in a call
 * comes to wait for good when the call is counted; and all that waits, into the statistics. The latter two under the
 * lock. */
int er_waiting_open(erai_answer *answer);
void er_waiting_close(erai_answer *answer);
void er_waiting_keep(erai_answer *answer);
void er_waiting_sketch(erai_answer *answer);

/* checks.c: the checks of an input's features, and its distance, for one row that validate.c has read already. */
void er_check_row(erai_answer *answer, const er_row *row);

/* validate.c: how the elements of a tensor lie that has the shape of the input; its first row. */
er_row er_row_shape(const er_input *input, const erai_tensor *tensor, int batched);

/* distance.c: the squared distance of one row, which has one value a feature; `features` are those of the input. */
double er_distance_squared(const er_input *input, const er_feature *features, const void *values);

/* Reasons for which a rejected row's values are shown to no model, the fallback model included: they are none that a
 * model of these inputs takes. A stand-in runs in its place, whose answer is nobody's. */
#define ER_WITHHELD                                                                   \
    ((uint64_t)1 << ERAI_REASON_NOT_FINITE | (uint64_t)1 << ERAI_REASON_BELOW_RANGE | \
     (uint64_t)1 << ERAI_REASON_ABOVE_RANGE | (uint64_t)1 << ERAI_REASON_CATEGORY |   \
     (uint64_t)1 << ERAI_REASON_NOT_INTEGRAL | (uint64_t)1 << ERAI_REASON_MISSING |   \
     (uint64_t)1 << ERAI_REASON_LENGTH | (uint64_t)1 << ERAI_REASON_CHARACTER)

/* stage.c: copies an input into its staging buffer, missing values replaced by what they become, and rows that were
 * rejected for one of `reasons` (bit i: erai_reason_code i) by the reference's means plus `shift`. The model is given
 * stand-ins for whatever was rejected (UINT64_MAX), the fallback model only for what is withheld (ER_WITHHELD). */
erai_status er_stage(erai_answer *answer, size_t index, uint64_t reasons, int shift, erai_tensor *staged);

/* infer.c: whether the cache knows the answer to these inputs, none of which was rejected: then it is in
 * answer->outputs. */
int er_infer_known(erai_answer *answer);

/* infer.c: runs the model on the rows that were admitted, and fills answer->outputs, `ran`, `failed` and `missed`. A
 * failure of the runtime is a status where the policy has no fallback rules, otherwise a reason. */
erai_status er_infer(erai_answer *answer);

/* infer.c: runs the bundle's fallback model on the same inputs, rows that are withheld replaced by stand-ins, into
 * answer->fallback_outputs. Where the policy has a deadline, this run has as long again. 0: it cannot. */
int er_infer_fallback(erai_answer *answer);

/* infer.c: whether every input has the policy's type and shape, so that a model can be given it. */
int er_has_shape(const erai_answer *answer);

/* judge.c: whether axis 0 of an output counts the call's rows. */
int er_by_row(const erai_answer *answer, const er_buffer *buffer);

/* judge.c: whether a tensor has the rank and the extents that the rules state, if they do. */
int er_fits_shape(const er_output *output, const er_buffer *buffer, int64_t rows, int batched);

/* observe.c: what there is none of yet is missing; 0 when out of memory. Of a row: the squared distance of an input. Of
 * all rows that were admitted: what the model's outputs say, before anything takes their place. And when the answer is
 * there, the rest, sketched and watched, under the answer's lock. */
int er_observe_begin(erai_answer *answer) ER_APART;
void er_observe_distance(erai_answer *answer, const er_row *row, double squared) ER_APART;
void er_observe_outputs(erai_answer *answer) ER_APART;
void er_observe_rows(erai_answer *answer, uint64_t latency_ns) ER_APART;

/* judge.c: the confidence of the shares that begin at `first`. */
double er_confidence(const er_buffer *buffer, size_t first, size_t count, int logits);

/* judge.c: checks the model's outputs, which stand in answer->outputs. */
void er_judge(erai_answer *answer);

/* judge.c: whether a row of the fallback model's outputs passes the same checks. */
int er_judge_fallback(const erai_answer *answer, size_t row);

/* gate.c: before the model is asked: rate limit, circuit breaker. After er_judge: what came of it, and hysteresis. Of
 * a call that failed otherwise, nothing came: it is left. */
void er_gate_before(erai_answer *answer, uint64_t now_ns);
void er_gate_after(erai_answer *answer, uint64_t now_ns);
void er_gate_leave(const erai_answer *answer);

/* decide.c: answers every rejected row from the fallback chain, and remembers the good ones. */
erai_status er_decide(erai_answer *answer, uint64_t now_ns, int64_t unix_ns);

#endif
