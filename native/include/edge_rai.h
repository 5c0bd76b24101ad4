/* edge_rai: guarded inference for edge devices. SPDX-License-Identifier: Apache-2.0
 *
 * One call per inference: admit (validate the input and add it to the drift sketches), infer (ask the model), judge
 * (check the output), decide (answer rejected rows from the fallback chain), record (counters and latency).
 *
 *     #include <edge_rai.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         char detail[ERAI_DETAIL_SIZE] = "";
 *         erai_session *session = NULL;
 *         erai_answer *answer = NULL;
 *         const float row[] = {0.5f, 1.0f, -2.0f};
 *         const int64_t shape[] = {1, 3};
 *         const erai_tensor input = {.data = row, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
 *         erai_tensor output;
 *
 *         erai_status status = erai_session_open("model.erai", NULL, &session, detail);
 *         if (!status) status = erai_answer_open(session, &answer);
 *         if (!status) status = erai_session_predict(session, &input, 1, answer);
 *         if (!status) status = erai_answer_output(answer, 0, &output);
 *         if (status)
 *             fprintf(stderr, "%s: %s\n", erai_strerror(status), answer ? erai_answer_detail(answer) : detail);
 *         else if (erai_answer_verdict(answer) == ERAI_VERDICT_REJECT)
 *             puts("rejected: what the output holds is the fallback chain's");
 *         else if (output.dtype == ERAI_DTYPE_FLOAT32)
 *             printf("%g\n", (double)((const float *)output.data)[0]);
 *         erai_answer_close(answer);
 *         erai_session_close(session);
 *         return status != ERAI_OK;
 *     }
 *
 * docs/how-to/use-from-c.md has more of these, and how to build them.
 *
 * Who is trusted.
 *
 *     what                                          trusted   what a bad one gives
 *     pointers, sizes, C strings of the caller      yes       undefined behaviour
 *     rules given to erai_policy_*                  no        ERAI_E_POLICY and a detail
 *     shapes, values and strings of input tensors   no        a reason; the row is answered by the fallback chain
 *     outputs of the model, also its failures       no        a reason, or ERAI_E_INFERENCE without fallback rules
 *     bundles, models, guard programs, batch files  no        a status and a detail; digests find damage, not malice
 *     the spool's directory and its files           no        a status; what was counted is kept
 *     the clock of the machine                      no        order is by epoch and sequence, never by wall clock
 *     ONNX Runtime, providers, an erai_runtime      yes       they run in this process
 *
 * Every length, offset and count from a side that is not trusted is bounded before it is used.
 *
 * A verdict is not an error. A rejected input is a successful call whose answer says "reject" and why. A status other
 * than ERAI_OK means that the library could not do its job; a prediction that fails is counted as an error, and what
 * it had admitted stays in the sketches. Its answer is empty: no rows, reasons or outputs, verdict REJECT, source NONE,
 * accepted 0; erai_answer_detail says why.
 *
 * Who owns what. Handles are opaque; what `_open` made, `_close` frees (NULL is allowed). A pointer obtained from a
 * handle lives as long as the handle, or shorter where its function says so. A steady predict allocates nothing of its
 * own: an answer's buffers grow to the largest batch seen and stay.
 *
 * Threads. Each type says one of: immutable, any thread; any thread (it locks by itself, for moments); one thread at a
 * time. A session serves any number of threads, each with an answer of its own; calls of a session with recurrent
 * states wait for each other. Flushing, stopping and resuming hold the session's lock while they write to the disk:
 * whoever opens or closes an answer, overrides or takes a snapshot meanwhile waits; predictions do not.
 *
 * Processes. A forked child may go on with a session that its parent opened, if no other thread was in a call of it at
 * that moment. It counts from nothing, and its spool's files are of an epoch of its own; its parent's counts are its
 * parent's to deliver. What checks remember, states, last good answers and the review queue are copies.
 *
 * Deadlines. Where the policy has one, the model runs on a thread of its answer's own, which starts with the first run;
 * the fallback model, once it is asked, on another. A run that misses its deadline is told to end and left to itself,
 * and what it gives is dropped; the answer's next call waits for it, within its own deadline, and erai_answer_close.
 * A deadline counts from the start of the call; the fallback model has as long again: a call that asks it may take two.
 *
 * The library never prints, exits, aborts or installs a signal handler.
 *
 * Detail. A `detail` argument is NULL or points to ERAI_DETAIL_SIZE bytes; on failure it receives one sentence saying
 * what was expected, what came, where, and what to do. On success it is not touched.
 */
#ifndef EDGE_RAI_H
#define EDGE_RAI_H

#include <stddef.h>
#include <stdint.h>

#if defined(ERAI_BUILDING) && defined(__GNUC__)
#define ERAI_API __attribute__((visibility("default")))
#else
#define ERAI_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ERAI_DETAIL_SIZE 512
#define ERAI_MAX_RANK 8
#define ERAI_MAX_BINS 32
#define ERAI_DIGEST_SIZE 32
#define ERAI_MOST_REASONS 65536
#define ERAI_KEY_SIZE 64

/* ---- Status ------------------------------------------------------------------------------------------------------
 * Numbers are pinned for ever, in tens by subject. */

typedef enum erai_status {
    ERAI_OK = 0,

    ERAI_E_ARGUMENT = 1, /* a NULL, a count or an order of calls that the function does not allow */
    ERAI_E_STRUCT = 2,   /* struct_size names a struct this build does not know */
    ERAI_E_NO_MODEL = 3, /* predict on a session opened from a guard program alone */
    ERAI_E_STOPPED = 4,  /* the session is stopped until somebody resumes it */

    ERAI_E_MEMORY = 10, /* out of memory */
    ERAI_E_SIZE = 11,   /* the caller's buffer is too small, or a file or a count exceeds the format's limits */

    ERAI_E_BUNDLE_READ = 20,       /* the file or directory cannot be read */
    ERAI_E_BUNDLE_FORMAT = 21,     /* not a bundle, or its container or manifest is malformed */
    ERAI_E_BUNDLE_INTEGRITY = 22,  /* a file is missing, extra, or differs from its digest */
    ERAI_E_BUNDLE_NEWER = 23,      /* written by a newer format than this build understands */
    ERAI_E_MODEL_UNSUPPORTED = 24, /* the model uses something this build cannot run */
    ERAI_E_GOLDEN = 25,            /* the golden vectors replayed at load gave another answer */

    ERAI_E_POLICY = 30,         /* a rule given to erai_policy_* is not valid */
    ERAI_E_GUARD_FORMAT = 31,   /* a guard program is malformed or corrupt */
    ERAI_E_GUARD_NEWER = 32,    /* a guard program is newer than this build understands */
    ERAI_E_GUARD_MISMATCH = 33, /* a guard program does not describe this model */

    ERAI_E_SPOOL = 40,        /* the spool directory cannot be read or written */
    ERAI_E_BATCH_FORMAT = 41, /* a batch file, a state or a sketch is malformed or corrupt */
    ERAI_E_BATCH_NEWER = 42,  /* one is newer than this build understands */

    ERAI_E_RUNTIME_MISSING = 50, /* no ONNX Runtime library was found, or no runtime for the model's format */
    ERAI_E_RUNTIME_OLD = 51,     /* the ONNX Runtime library found is too old */
    ERAI_E_INFERENCE = 52,       /* the inference runtime failed during a run */
    ERAI_E_PROVIDER = 53,        /* a required execution provider is absent, or part of the model falls back from it */

    ERAI_E_INTERNAL = 90 /* a fault of this library; please report it */
} erai_status;

/* A constant sentence for any value, known or not. Any thread. */
ERAI_API const char *erai_strerror(erai_status status);

/* "MAJOR.MINOR.PATCH" of this build. Any thread. */
ERAI_API const char *erai_version(void);

/* The compiler of this build and the flags that it was given: "GNU 12.2.0 -O2 -ffp-contract=off". Any thread. */
ERAI_API const char *erai_build(void);

/* ---- What an answer says -----------------------------------------------------------------------------------------
 * Ordered by severity: the worst over the rows is the greatest. */

typedef enum erai_verdict { ERAI_VERDICT_ACCEPT = 0, ERAI_VERDICT_FLAG = 1, ERAI_VERDICT_REJECT = 2 } erai_verdict;

/* Who answered a row. NONE: no rule had an answer; floats are NaN, signed integers -1, unsigned ones and booleans 0,
 * strings empty. (Of a policy with neither defaults nor fallback rules, such as that of a bare model, a row whose only
 * fault is a NaN or infinity in an output keeps the tensors that the model gave: they say so by themselves.) */
typedef enum erai_source {
    ERAI_SOURCE_PRIMARY = 0,
    ERAI_SOURCE_FALLBACK_MODEL = 1,
    ERAI_SOURCE_LAST_GOOD = 2,
    ERAI_SOURCE_DEFAULT = 3,
    ERAI_SOURCE_ABSTAIN = 4,
    ERAI_SOURCE_NONE = 5
} erai_source;

/* Why a row, or (row -1) a whole call, was flagged or rejected. `value` is what came, `limit` what it was held to. */
typedef enum erai_reason_code {
    ERAI_REASON_DTYPE = 0,       /* value, limit: the erai_dtype that came and the one declared */
    ERAI_REASON_RANK = 1,        /* value, limit: the rank that came and the one declared */
    ERAI_REASON_SHAPE = 2,       /* value, limit: the extent that came and the one declared or the greatest allowed */
    ERAI_REASON_ROWS = 3,        /* inputs disagree on the number of rows; value, limit: this one's and the first one's.
                                  * Or there is no row where the rules do not allow that: 0 and 1 */
    ERAI_REASON_NOT_FINITE = 4,  /* value: the NaN or infinity */
    ERAI_REASON_BELOW_RANGE = 5, /* value < limit */
    ERAI_REASON_ABOVE_RANGE = 6, /* value > limit */
    ERAI_REASON_OUTPUT_NOT_FINITE = 7, /* value: the NaN or infinity in the model's output */
    ERAI_REASON_OUTPUT_SHAPE = 8,      /* value, limit: the extent that the model returned and the one declared */
    ERAI_REASON_ROWS_DEPEND = 9,       /* a row was rejected and others depend on it: this output shows it, or, of
                                        * "model", that is known of it, and nothing ran */

    /* Columns and channels of an input; see erai_check_kind. */
    ERAI_REASON_CATEGORY = 10,      /* value: the number that is in no category; of a string NaN */
    ERAI_REASON_NOT_INTEGRAL = 11,  /* value: the number with a fraction */
    ERAI_REASON_MISSING = 12,       /* limit: what the missing value becomes */
    ERAI_REASON_STUCK = 13,         /* value: rows in a row with the same contents; limit: the window */
    ERAI_REASON_STEP = 14,          /* value: the step since the last row; limit: the greatest one allowed */
    ERAI_REASON_MEAN = 15,          /* value: the mean of the row's values; limit: the bound it is beyond */
    ERAI_REASON_STDDEV = 16,        /* value: their standard deviation; limit: the bound it is beyond */
    ERAI_REASON_CLIPPED = 17,       /* value, limit: the share of clipped values that came and that is allowed */
    ERAI_REASON_LENGTH = 18,        /* value: code points of a string; limit: the bound it is beyond */
    ERAI_REASON_CHARACTER = 19,     /* value: the code point that is not allowed, -1 where it is not UTF-8 */
    ERAI_REASON_NOT_MONOTONIC = 20, /* value < limit, the value before */
    ERAI_REASON_AGE = 21,           /* value: age in seconds, negative in the future; limit: the bound it is beyond */
    ERAI_REASON_OUT_OF_DISTRIBUTION = 22, /* value, limit: the squared distance that came and the threshold */

    /* Outputs; see erai_check_kind. */
    ERAI_REASON_STATE_NOT_FINITE = 23, /* value: the NaN or infinity in a recurrent state, which begins anew */
    ERAI_REASON_OUTPUT_RANGE = 24,     /* value: the value; limit: the bound it is beyond */
    ERAI_REASON_OUTPUT_SUM = 25,       /* value: the sum along the last axis; limit: the bound it is beyond */
    ERAI_REASON_CONFIDENCE = 26,       /* value, limit: the greatest share that came and the least allowed */
    ERAI_REASON_MARGIN = 27,           /* value, limit: the greatest share less the second, and the least allowed */
    ERAI_REASON_ENTROPY = 28,          /* value, limit: in nats, and the greatest allowed */

    /* The call. */
    ERAI_REASON_DEADLINE = 29,     /* value, limit: nanoseconds that passed, and the deadline */
    ERAI_REASON_BREAKER_OPEN = 30, /* the circuit breaker did not let the model be asked */
    ERAI_REASON_RATE_LIMITED = 31, /* value, limit: rows asked for, and those the rate limit had left */
    ERAI_REASON_HELD = 32,         /* value, limit: good rows in a row since the fallback took over, and those needed */
    ERAI_REASON_INFERENCE = 33,    /* the inference runtime failed; erai_answer_detail says how */
    ERAI_REASON_DRIFT = 34         /* an alarm stands; value, limit: its evidence, and the average run length */
} erai_reason_code;

/* A short lower-case name ("below_range"), "unknown" for a code this build does not have. Any thread. */
ERAI_API const char *erai_reason_name(uint32_t code);

typedef struct erai_reason {
    const char *subject; /* name of the feature, input or output; lives as long as the session */
    int64_t row;         /* -1: the whole call */
    double value;
    double limit;
    uint32_t code;    /* erai_reason_code */
    uint32_t element; /* index of the first offending value within the row, in C order */
} erai_reason;

/* ---- Tensors -----------------------------------------------------------------------------------------------------
 * The numbers are those of ONNX TensorProto.DataType. */

typedef enum erai_dtype {
    ERAI_DTYPE_FLOAT32 = 1,
    ERAI_DTYPE_UINT8 = 2,
    ERAI_DTYPE_INT8 = 3,
    ERAI_DTYPE_UINT16 = 4,
    ERAI_DTYPE_INT16 = 5,
    ERAI_DTYPE_INT32 = 6,
    ERAI_DTYPE_INT64 = 7,
    ERAI_DTYPE_STRING = 8, /* elements are erai_string */
    ERAI_DTYPE_BOOL = 9,
    ERAI_DTYPE_FLOAT16 = 10,
    ERAI_DTYPE_FLOAT64 = 11,
    ERAI_DTYPE_UINT32 = 12,
    ERAI_DTYPE_UINT64 = 13,
    ERAI_DTYPE_BFLOAT16 = 16
} erai_dtype;

/* One element of a string tensor: UTF-8, not terminated. */
typedef struct erai_string {
    const char *bytes; /* NULL only when size is 0 */
    size_t size;
} erai_string;

/* Bytes of one element, 0 for a type this build does not know. Any thread. */
ERAI_API size_t erai_dtype_size(uint32_t dtype);

/* A dense, C-contiguous tensor in memory that the caller owns, aligned to its element size. */
typedef struct erai_tensor {
    const void *data;
    const int64_t *shape; /* rank extents */
    uint32_t rank;
    uint32_t dtype; /* erai_dtype */
} erai_tensor;

/* What an output holds. A map has two items: its keys and its values, both tensors of one axis, or, where the values
 * are no scalars, a tensor of keys and a sequence. An optional that holds nothing is NONE. */
typedef enum erai_value_kind {
    ERAI_VALUE_NONE = 0,
    ERAI_VALUE_TENSOR = 1,
    ERAI_VALUE_SEQUENCE = 2,
    ERAI_VALUE_MAP = 3
} erai_value_kind;

typedef struct erai_value erai_value;
struct erai_value {
    uint32_t kind; /* erai_value_kind */
    uint32_t reserved;
    size_t count;            /* of items */
    const erai_value *items; /* of a sequence or map */
    erai_tensor tensor;      /* of a tensor */
};

/* ---- Policy and guard program ------------------------------------------------------------------------------------
 * A policy is composed rule by rule and written as a guard program, the compiled form that sessions load. Only this
 * library writes and reads guard programs (docs/formats/guard.md). */

typedef struct erai_policy erai_policy; /* one thread at a time */
typedef struct erai_guard erai_guard;   /* immutable; any thread */

/* Flags of erai_input_rule and erai_output_rule. */
#define ERAI_RULE_FINITE 1u      /* NaN and infinities are not allowed */
#define ERAI_RULE_FLAG_RANGE 2u  /* input: a value out of its range flags the row instead of rejecting it */
#define ERAI_RULE_HAS_DEFAULT 4u /* output: `default_row` answers rejected rows */
#define ERAI_RULE_SHAPE 8u       /* output: another rank or extent than stated rejects; declared shapes often lie */
#define ERAI_RULE_EMPTY 16u      /* input: a free axis may be 0; ONNX Runtime 1.31 ends the process on some of those */
#define ERAI_RULE_LOGITS 32u     /* output: scores that a softmax (of one score: a sigmoid) makes into shares; no SUM */
#define ERAI_RULE_NO_TENSOR 64u  /* output: a sequence, map or optional; it has no shape, and dtype 0 */
#define ERAI_RULE_ANY_RANK 128u  /* input: any shape will do; `rank` is 0. Not of a batched policy */

/* One model input. Features divide its elements along `feature_axis`: element (i, j, k) of a (rows, C, W) input with
 * feature_axis 1 belongs to feature j. With feature_axis -1 the whole input is one feature. */
typedef struct erai_input_rule {
    size_t struct_size;
    const char *name;
    const int64_t *shape; /* rank extents; -1: free, from 1 to the same place in max_shape */
    const int64_t *max_shape;
    uint32_t rank; /* 0 to ERAI_MAX_RANK */
    uint32_t dtype;
    uint32_t flags;
    int32_t feature_axis;
    uint32_t sketch_stride; /* every n-th value of a feature within a row enters its sketch; at least 1 */
    uint32_t feature_count; /* filled on reading; ignored on writing */
} erai_input_rule;

/* One feature of the input added last. Bin i of the reference holds edges[i-1] < value <= edges[i]. */
typedef struct erai_feature_rule {
    size_t struct_size;
    const char *name;
    const char *unit;     /* for people; NULL: none */
    const char *stand_in; /* strings: replaces those of a rejected row while its batch runs; NULL: "" */
    double low;           /* inclusive; -INFINITY: no lower limit; held to in float32 by types that float32 can hold */
    double high;
    double mean;   /* of the reference; replaces the values of a rejected row while its batch runs */
    double stddev; /* of the reference; 0 when it is constant */
    uint64_t reference_rows;
    const double *edges;    /* bins - 1 strictly increasing finite values */
    const uint64_t *counts; /* bins reference counts */
    uint32_t bins;          /* 0: no reference; else 1 to ERAI_MAX_BINS; strings have none */
    uint32_t checks;        /* filled on reading; ignored on writing */
} erai_feature_rule;

/* One more check of the feature or output added last. Bounds are inclusive; an infinite one is none. Those that compare
 * with rows before (STUCK, STEP, MONOTONIC) take the rows of a session in the order in which they come, over all its
 * threads. A row of an input is not the row before when a value of it was not finite or out of range, or when a check,
 * the distance or what is missing rejected it, unless STUCK or STEP alone did, and these two ask; nor is it for
 * MONOTONIC when the feature's value was flagged. CATEGORIES, MISSING and CLIPPED compare with their numbers as the
 * input's type holds them: 0.1 is, of a float32, the float32 nearest to it. A category, what is missing and what it
 * becomes are numbers that the type has. */
typedef enum erai_check_kind {
    /* Of a feature. */
    ERAI_CHECK_CATEGORIES = 1,  /* one of `values`; of strings: of `texts` */
    ERAI_CHECK_INTEGRAL = 2,    /* no fraction */
    ERAI_CHECK_MISSING = 3,     /* NaN, or values[0] where count is 1, is allowed, and becomes `limit` before
                                 * erai_session_predict shows it to a model (NaN: stays); after erai_admit that is the
                                 * application's to do. `verdict` may be ACCEPT */
    ERAI_CHECK_STUCK = 4,       /* fewer than `window` (at least 2) rows in a row with the same values, to the bit */
    ERAI_CHECK_STEP = 5,        /* |value - the value before| <= limit, over the values of a row and from row to row */
    ERAI_CHECK_MEAN = 6,        /* low <= mean of the row's values <= high */
    ERAI_CHECK_STDDEV = 7,      /* low <= their standard deviation <= high: a blank channel has next to none */
    ERAI_CHECK_CLIPPED = 8,     /* at most the share `limit` of them is <= low or >= high */
    ERAI_CHECK_LENGTH = 9,      /* strings: low <= code points <= high */
    ERAI_CHECK_CHARACTERS = 10, /* strings: valid UTF-8, each code point in one of the ranges values[0] to values[1],
                                 * values[2] to values[3], ... */
    ERAI_CHECK_MONOTONIC = 11,  /* value >= the value before, likewise */
    ERAI_CHECK_AGE = 12,        /* low <= wall clock - value * limit <= high, in seconds; limit: seconds a unit, since
                                 * 1970; of the row's last value */
    /* Of an output. SUM is of the values along its last axis, a single one alone; refused of scores. The checks after
     * it are of the shares along that axis; of a single one p they are p and 1 - p. */
    ERAI_CHECK_RANGE = 20,      /* low <= each value <= high */
    ERAI_CHECK_SUM = 21,        /* low <= sum <= high */
    ERAI_CHECK_CONFIDENCE = 22, /* the greatest share >= low */
    ERAI_CHECK_MARGIN = 23,     /* the greatest share less the second >= low */
    ERAI_CHECK_ENTROPY = 24     /* -sum(p ln p) <= high */
} erai_check_kind;

typedef struct erai_check_rule {
    size_t struct_size;
    uint32_t kind;    /* erai_check_kind */
    uint32_t verdict; /* what a row that fails gets: ERAI_VERDICT_FLAG or ERAI_VERDICT_REJECT */
    double low, high, limit;
    const double *values;
    const char *const *texts;
    uint32_t count; /* of values or texts, at most 65536 */
    uint32_t window;
} erai_check_rule;

/* How far a row is from the reference, over all features of the input added last: with z = (x - mean) * scale,
 *     d2 = rest * sum(z^2) + sum over k of weights[k] * (projection[k] . z)^2.
 * The full Mahalanobis distance has a triangular factor of the inverse covariance as its projection, weights 1 and
 * rest 0; the diagonal one no directions and rest 1; low rank the leading directions, and their complement in `rest`.
 * The input has one value a feature and row. A missing value counts as the mean. */
typedef struct erai_distance_rule {
    size_t struct_size;
    const double *mean, *scale; /* one a feature */
    const float *projection;    /* directions x features, row by row */
    const float *weights;       /* one a direction */
    uint32_t directions;        /* at most 64 */
    uint32_t verdict;           /* when d2 > threshold */
    double rest;
    double threshold;
    double false_rejection_rate; /* of rows like the reference, as measured; for people */
} erai_distance_rule;

typedef struct erai_output_rule {
    size_t struct_size;
    const char *name;
    const int64_t *shape;      /* rank extents; -1: free; the others make at most 2^26 elements, also of a state */
    const double *default_row; /* default_size values: one row's answer, or one value for every element;
                                * numbers that the data type has */
    uint32_t rank;
    uint32_t dtype;
    uint32_t flags;
    uint32_t default_size;
    uint32_t checks; /* filled on reading; ignored on writing */
    uint32_t reserved;
} erai_output_rule;

/* Who answers rejected rows: the first rule one of whose reasons a row has. Where none has, DEFAULT.
 *
 * FALLBACK_MODEL is the bundle's second model. A row reaches it when all its reasons are of outputs,
 * OUT_OF_DISTRIBUTION, DEADLINE, BREAKER_OPEN, RATE_LIMITED, HELD, INFERENCE or DRIFT. One that was rejected for its
 * values, type or shape never does: it goes on to the next step, as a row whose answer from that model fails the
 * outputs' checks does too. erai_judge never asks it.
 *
 * An output without rows stays as the model gave it as long as one row is the model's. One that came in another shape
 * than the policy states is nobody's answer: what the chain answers has the stated shape, free axes 1 long. */
typedef struct erai_fallback_rule {
    size_t struct_size;
    uint64_t reasons;      /* bit i: erai_reason_code i; UINT64_MAX: any */
    const uint32_t *chain; /* of erai_source, tried in this order; PRIMARY is none of them; NONE always answers */
    uint32_t steps;        /* 1 to 5 */
    uint32_t reserved;
} erai_fallback_rule;

/* Flags of erai_decision_rule. */
#define ERAI_DECISION_SHARED 1u            /* LAST_GOOD: calls without a key share one last answer */
#define ERAI_DECISION_BREAK_ON_ERROR 2u    /* the inference runtime failed */
#define ERAI_DECISION_BREAK_ON_DEADLINE 4u /* it missed the deadline */
#define ERAI_DECISION_BREAK_ON_REJECT 8u   /* every row of the call was rejected, one by the judge */
#define ERAI_DECISION_BREAK_ON_DRIFT 16u   /* an alarm of drift: at once, as long as it stands, then the cooldown */

/* When the model is asked, and for how long. Zero switches each of them off. */
typedef struct erai_decision_rule {
    size_t struct_size;
    uint64_t deadline_ns;         /* of a prediction, from its start; past it the fallback chain answers */
    uint64_t last_good_age_ns;    /* the oldest answer that LAST_GOOD may give */
    uint64_t breaker_cooldown_ns; /* open until this has passed, then half open */
    double rate_per_second;       /* rows; the bucket holds rate_burst */
    uint32_t rate_burst;
    uint32_t last_good_keys;   /* how many keys have their last answer remembered, at most 65536 */
    uint32_t review_rows;      /* how many rows ABSTAIN may have waiting, at most 65536 */
    uint32_t hold_after;       /* after so many rows in a row that the judge rejected, the fallback chain answers */
    uint32_t hold_until;       /* until so many rows in a row were good */
    uint32_t breaker_window;   /* the last calls it looks at, at most 64 */
    uint32_t breaker_failures; /* so many failures among them open it */
    uint32_t breaker_probes;   /* so many good calls in a row close it when half open */
    uint32_t flags;
    uint32_t reserved;
    const char *provider; /* the execution provider that must run all of the model; NULL: any */
} erai_decision_rule;

/* A recurrent state: what the output gave in one call is the input of the next. The session keeps it, zeros at first,
 * and begins anew with zeros when a call of another number of rows was answered; callers leave this input out. Calls of
 * a session with states wait for each other. The answer shows the output as the model gave it, also of rejected rows,
 * whose state stays as it was unless they are only HELD; of a model that did not run it is what a row of source NONE
 * has. It is held to being finite and of the state's shape (it begins anew otherwise), and not to the output's checks;
 * a default of it answers nothing. */
typedef struct erai_state_rule {
    size_t struct_size;
    const char *input, *output;
    int32_t row_axis; /* the axis that counts rows; a rejected row keeps its state. -1: none, as a whole */
    uint32_t reserved;
} erai_state_rule;

/* Watching for drift: every feature with a stride is bet to have left its reference, and what the bets have won is the
 * evidence (docs/adr/0014-drift.md). As long as rows are independent and like the reference, give or take `effect`, an
 * alarm comes once in `average_run_length` rows of the session at most, on average and whatever the features have to do
 * with each other. A stride above 1 is for rows that depend on those before them: every n-th is looked at.
 *
 * Only inputs of one value a feature and row can be watched, and features that have a reference. Of numbers that are
 * categories by a check, the shares of the bins are watched; of others the quantiles, that is mean and spread. Missing
 * values are told apart, and so are values out of range where the reference has none. */
typedef struct erai_drift_rule {
    size_t struct_size;
    double average_run_length; /* rows; at least 100 */
    double effect; /* what is no drift: a distance of sqrt(sum over bins of (p - q)^2 / q); of a small change of the
                    * mean, about its size in standard deviations. More than 0, at most 1 */
    const uint32_t
        *strides; /* one a feature, in order; 0: not watched. On reading these arrays live as long as the guard */
    const uint64_t *outside; /* likewise: values of the reference that are out of range; NULL: none */
    uint32_t features;
    uint32_t verdict; /* of every call from an alarm on, with ERAI_REASON_DRIFT; ACCEPT: an alarm changes no answer */
} erai_drift_rule;

/* How a feature's value may leave the device, in an event. */
typedef enum erai_field_form {
    ERAI_FIELD_DROP = 0,       /* it does not; of every feature that nobody has said anything of */
    ERAI_FIELD_BUCKET = 1,     /* its bin of the reference, which it needs; of numbers */
    ERAI_FIELD_KEYED_HASH = 2, /* the first 8 bytes of an HMAC-SHA-256 of the feature's name and the value, by a key of
                                * the device that is another every day (docs/formats/spool.md) */
    ERAI_FIELD_PLAIN = 3,      /* the number as it is */
    /* Of the event of a drift alarm, about one feature; not for rules: */
    ERAI_FIELD_EVIDENCE = 4,  /* `value`: the device's evidence */
    ERAI_FIELD_DIRECTION = 5, /* `number`: erai_direction */
    ERAI_FIELD_CHANGED = 6    /* `number`: rows since the change, as estimated */
} erai_field_form;

/* Which decisions are kept one by one, and what of their inputs goes with them. Without this rule a session keeps those
 * that its configuration asks for, and nothing of their inputs. */
typedef struct erai_events_rule {
    size_t struct_size;
    const uint8_t *forms; /* one a feature, in order: DROP to PLAIN, at most 64 of them not DROP. Others are for inputs
                           * of one value a feature and row that are no states. On reading it lives as long as the
                           * guard */
    uint32_t features;    /* how many forms */
    uint32_t keep;        /* room until the next flush, 1 to 2^20 */
    uint32_t sample_one_in; /* so many accepted rows, one is drawn; 0: none */
    uint32_t reserved;
} erai_events_rule;

/* What a session makes of each row besides its input, sketched and watched as features are. What there is none of, such
 * as the confidence of a row that the model was not asked about, is missing. */
typedef enum erai_observation_kind {
    ERAI_OBSERVE_VERDICT = 1,    /* erai_verdict */
    ERAI_OBSERVE_DISTANCE = 2,   /* the squared distance of input `index`, which has one */
    ERAI_OBSERVE_PROJECTION = 3, /* of input `index`: sum over its features of +-(x - mean) / stddev of the reference,
                                  * over the square root of their number; `element` says which signs, 0 to 63 */
    ERAI_OBSERVE_CLASS = 4,      /* of output `index`: where its greatest share is; of one number alone, whether that is
                                  * above `limit`; of one integer alone, that */
    ERAI_OBSERVE_CONFIDENCE = 5, /* of output `index`: as ERAI_CHECK_CONFIDENCE */
    ERAI_OBSERVE_VALUE = 6,      /* of output `index`: number `element` of the row's */
    ERAI_OBSERVE_LATENCY = 7,    /* ns of the call; of all of its rows */
    /* Of rows whose truth comes later, by erai_session_outcome; one of the two, and last: */
    ERAI_OBSERVE_WRONG = 8, /* 1 where CLASS is not the label, else 0 */
    ERAI_OBSERVE_ERROR = 9, /* what VALUE is off the label, over `limit`, at most 1 */
    /* Of feature `element` of input `index`: */
    ERAI_OBSERVE_CATEGORY = 10, /* which of its categories by ERAI_CHECK_CATEGORIES, in their order, from 0; as many as
                                 * there are: none of them, which is watched apart. One value a row */
    ERAI_OBSERVE_MEAN = 11,     /* of its values in the row, of at most 256 that lie evenly among them */
    ERAI_OBSERVE_STDDEV = 12,   /* of the same */
    ERAI_OBSERVE_ELEMENT = 13,  /* number `element` of the row of input `index`, such as a pixel */
    ERAI_OBSERVE_SEASONAL = 14  /* of feature `element` of input `index`, of numbers and one value a row:
                                 * (value - mean) * scale, both on a line between slot_means and slot_scales of the two
                                 * hours in whose middles, or between them, the wall clock is at the end of the call,
                                 * which all of its rows share */
} erai_observation_kind;

/* With a bound, what is watched is not whether the reference holds still, but whether a mean stays within `bound`: of
 * 0 for a value in the first of its bins, 1 in the last, and evenly between them. */
typedef struct erai_observation_rule {
    size_t struct_size;
    double limit; /* CLASS, WRONG: above which one number alone means class 1; ERROR: the unit of the error */
    double bound; /* above 0 and below 1; 0: the reference is */
    uint32_t kind, index, element;
    uint32_t slots;            /* SEASONAL: 24, the hours of the day in UTC, or 168, those of the week from Thursday on,
                                * as 1970 began; else 0 */
    const double *slot_means;  /* one a slot */
    const double *slot_scales; /* likewise, one over the standard deviation; 0: nothing is known of the slot, and what
                                * falls into it is missing */
} erai_observation_rule;

/* Inputs come each with its features, their checks, and the input's distance; outputs each with its checks; the rest in
 * any order, but observations come after all inputs, and drift and events after all features and observations. A rule
 * that is refused, or finds no memory, leaves the policy as it was.
 *
 * `batched`: axis 0 counts rows, which are judged one by one, in every input and output but states, which have a
 * `row_axis`, and outputs that are no tensors: a sequence may have an item a row. Otherwise a call is one row. */
ERAI_API erai_status erai_policy_open(int batched, erai_policy **policy);
ERAI_API void erai_policy_close(erai_policy *policy);
ERAI_API erai_status erai_policy_add_input(erai_policy *policy, const erai_input_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_feature(erai_policy *policy, const erai_feature_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_output(erai_policy *policy, const erai_output_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_check(erai_policy *policy, const erai_check_rule *rule, char *detail);
ERAI_API erai_status erai_policy_set_distance(erai_policy *policy, const erai_distance_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_fallback(erai_policy *policy, const erai_fallback_rule *rule, char *detail);
ERAI_API erai_status erai_policy_set_decision(erai_policy *policy, const erai_decision_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_state(erai_policy *policy, const erai_state_rule *rule, char *detail);
/* `feature`: its name, reference and unit; without limits and checks. Observations are features after those of inputs.
 */
ERAI_API erai_status erai_policy_add_observation(erai_policy *policy, const erai_observation_rule *rule,
                                                 const erai_feature_rule *feature, char *detail);
ERAI_API erai_status erai_policy_set_drift(erai_policy *policy, const erai_drift_rule *rule, char *detail);
ERAI_API erai_status erai_policy_set_events(erai_policy *policy, const erai_events_rule *rule, char *detail);

/* Writes the guard program. *size receives the bytes needed; ERAI_E_SIZE when capacity is less. buffer may be NULL
 * when capacity is 0. The same rules give the same bytes. */
ERAI_API erai_status erai_policy_write(erai_policy *policy, uint8_t *buffer, size_t capacity, size_t *size,
                                       char *detail);

/* Reads a guard program, which may come from anybody. The bytes are copied. */
ERAI_API erai_status erai_guard_open(const uint8_t *bytes, size_t size, erai_guard **guard, char *detail);
ERAI_API void erai_guard_close(erai_guard *guard);
ERAI_API int erai_guard_batched(const erai_guard *guard);
ERAI_API size_t erai_guard_inputs(const erai_guard *guard);
ERAI_API size_t erai_guard_features(const erai_guard *guard);     /* over all inputs, then the observations */
ERAI_API size_t erai_guard_observations(const erai_guard *guard); /* how many: the last of the features */
ERAI_API size_t erai_guard_outputs(const erai_guard *guard);
/* Pointers in the rule live as long as the guard. ERAI_E_ARGUMENT when index is out of range. */
ERAI_API erai_status erai_guard_input(const erai_guard *guard, size_t index, erai_input_rule *rule);
ERAI_API erai_status erai_guard_feature(const erai_guard *guard, size_t index, erai_feature_rule *rule);
ERAI_API erai_status erai_guard_observation(const erai_guard *guard, size_t index, erai_observation_rule *rule);
ERAI_API erai_status erai_guard_output(const erai_guard *guard, size_t index, erai_output_rule *rule);
/* Check `check` of feature `index`, or, with `of_output`, of output `index`. */
ERAI_API erai_status erai_guard_check(const erai_guard *guard, int of_output, size_t index, size_t check,
                                      erai_check_rule *rule);
/* ERAI_E_ARGUMENT also when the input has no distance rule. Its projection is left NULL: the guard keeps it in another
 * order, in which erai_guard_projection finds the directions x features numbers and writes them row by row. */
ERAI_API erai_status erai_guard_distance(const erai_guard *guard, size_t input, erai_distance_rule *rule);
ERAI_API erai_status erai_guard_projection(const erai_guard *guard, size_t input, float *projection);
/* ERAI_E_ARGUMENT when the guard has no such rule. */
ERAI_API erai_status erai_guard_events(const erai_guard *guard, erai_events_rule *rule);
ERAI_API void erai_guard_decision(const erai_guard *guard, erai_decision_rule *rule);
ERAI_API erai_status erai_guard_fallback(const erai_guard *guard, size_t index, erai_fallback_rule *rule);
ERAI_API erai_status erai_guard_state(const erai_guard *guard, size_t index, erai_state_rule *rule);
/* ERAI_E_ARGUMENT when nothing is watched for drift. */
ERAI_API erai_status erai_guard_drift(const erai_guard *guard, erai_drift_rule *rule);

/* ---- Bundle ------------------------------------------------------------------------------------------------------
 * A directory or the same tree in one stored zip (docs/formats/bundle.md). Opening reads every file into memory and
 * verifies it against the manifest, and the manifest against manifest.sha256. */

typedef struct erai_bundle erai_bundle; /* immutable; any thread */

ERAI_API erai_status erai_bundle_open(const char *path, erai_bundle **bundle, char *detail);
ERAI_API void erai_bundle_close(erai_bundle *bundle);
ERAI_API size_t erai_bundle_files(const erai_bundle *bundle);
/* Files are sorted by name. Pointers live as long as the bundle. ERAI_E_ARGUMENT when index is out of range. */
ERAI_API erai_status erai_bundle_file(const erai_bundle *bundle, size_t index, const char **name, const uint8_t **data,
                                      size_t *size);

/* SHA-256 (FIPS 180-4) of size bytes. Any thread. */
ERAI_API void erai_sha256(const void *data, size_t size, uint8_t digest[ERAI_DIGEST_SIZE]);

/* ---- A runtime of the application's own ---------------------------------------------------------------------------
 * What runs models of a format that this library does not run itself: TFLite, through TensorFlow Lite for C, its Micro
 * form or LiteRT. A session that is opened with one asks it where it would have asked ONNX Runtime; all the rest of a
 * call is as ever, stand-ins, cache, deadline, fallback chain and golden vectors among it. */

/* One input or output of a model, as the model has it. */
typedef struct erai_edge {
    const char *name;             /* the policy knows it by that; no two inputs, and no two outputs, share one */
    int64_t shape[ERAI_MAX_RANK]; /* -1: free */
    uint32_t rank;
    uint32_t dtype; /* no strings */
    double scale;   /* of int8, uint8 and int16: what is stored is value / scale + zero_point, to the nearest. Where */
    int32_t zero_point; /* the policy says float32 this library converts. 0: stored as it is */
    uint32_t reserved;
} erai_edge;

typedef struct erai_model_source {
    const char *name;    /* the file's, for details */
    const uint8_t *data; /* until `open` returns */
    size_t size;
    const char *provider;      /* that must run the whole model, as policy or configuration say; NULL: none */
    const char *provider_path; /* library that brings it; NULL: none */
    uint32_t threads;          /* 0: the runtime's choice */
    uint32_t reserved;
} erai_model_source;

/* What `open` says of a model; it lives until `close`. Of a .tflite file inputs and outputs may be left out: they are
 * then read from the file, in its order, with the names of its first signature or, where it has none, of its tensors.
 */
typedef struct erai_model_info {
    void *model; /* for `start` and `close` */
    const erai_edge *inputs, *outputs;
    size_t input_count, output_count;
    const char *version;  /* of the runtime, "2.3.0"; NULL: a bundle's requirements are not asked about it */
    uint32_t keeps_state; /* not 0: an answer depends on the calls before; of a .tflite file it is set beforehand. Then
                           * every call of a session goes through one stream, one at a time, and erai_session_reset
                           * begins another */
    uint32_t free_ones;   /* not 0: an extent of 1 that is read from the file is no declaration and may be any */
} erai_model_info;

/* Where axis 0 of every input and output is 1, and a call comes with more rows, `run` is asked row by row. A model that
 * keeps state is not: rows of a call are in no order. With axis 0 fixed at 1 it needs a policy that allows no more than
 * one row (ERAI_E_GUARD_MISMATCH).
 *
 * A run that misses its deadline is not undone. What it changed of a kept state stays changed, though its answer is
 * dropped: an application for which that is wrong resets the session.
 *
 * `detail` has ERAI_DETAIL_SIZE bytes for what a failure is to say; it is never NULL. The functions must not call back
 * into the session. */
typedef struct erai_runtime {
    size_t struct_size;
    const char *format;        /* of the models: "tflite", whose files erai_tflite_check sees first */
    const char *name;          /* for details: "LiteRT" */
    const char *const *custom; /* names of the custom operators that it has */
    size_t custom_count;
    void *user;
    /* ERAI_E_RUNTIME_MISSING, _MODEL_UNSUPPORTED and _PROVIDER are what it may have to say. */
    erai_status (*open)(void *user, const erai_model_source *source, erai_model_info *info, char *detail);
    void (*close)(void *user, void *model);
    /* A stream of runs, one after the other, each perhaps on another thread: begun with the first of them. One for an
     * answer, one more for its runs with a deadline. */
    erai_status (*start)(void *user, void *model, void **stream, char *detail);
    void (*end)(void *user, void *stream);
    /* Inputs stand in the model's order, of the model's types. `outputs` receives where each output is, its shape and
     * its type, until this stream's next run. */
    erai_status (*run)(void *stream, const erai_tensor *inputs, erai_tensor *outputs, char *detail);
} erai_runtime;

/* ---- TFLite models -----------------------------------------------------------------------------------------------
 * LiteRT follows the references of a .tflite file without looking where they lead, and a damaged one ends the process.
 */

/* Whether a .tflite file may be given to LiteRT: every reference leads into it, and operators, tensors, buffers,
 * subgraphs and signatures are what they say of each other. ERAI_E_MODEL_UNSUPPORTED when not; the detail names the
 * part, its index and the value, and not the file. `custom` holds the names of the custom operators that the runtime
 * has beside LiteRT's own; others are refused. The bytes may have any alignment and are not kept. Any thread. */
ERAI_API erai_status erai_tflite_check(const void *bytes, size_t size, const char *const *custom, size_t custom_count,
                                       char *detail);

/* ---- Session -----------------------------------------------------------------------------------------------------
 * A model with its guard, its statistics and, when asked for, its spool. */

typedef struct erai_session erai_session; /* any thread; open and close: one thread */
typedef struct erai_answer erai_answer;   /* one thread at a time */

/* Clocks that stand where the application puts them, for tests, simulations and replays. May be changed at any time. */
typedef struct erai_clock {
    uint64_t monotonic_ns;
    int64_t unix_ns;
} erai_clock;

typedef struct erai_session_config {
    size_t struct_size;
    const char *runtime_path;  /* the ONNX Runtime library; NULL: $ERAI_ONNXRUNTIME, then the loader's own search */
    const char *spool_path;    /* directory for batch files, made when missing; NULL: no spool, flush is an error */
    const erai_clock *clock;   /* read by every rule and count that knows time, while the session is open; NULL: the
                                * system's clocks. A deadline is always the system's. */
    const char *provider;      /* execution provider to ask for ("CUDAExecutionProvider"); NULL: the policy's, or CPU */
    const char *provider_path; /* library that brings it, a plug-in; NULL: the ONNX Runtime library has it */
    size_t cache_bytes;        /* for answers to inputs seen before, to the bit; 0: none. Neither rate limit nor
                                * breaker is asked about them. Refused where rows depend on their batch mates and where
                                * the model has states */
    uint32_t threads;          /* within an operator; 0: the runtime's choice */
    uint32_t reserved;
    const erai_runtime *runtime; /* of the application's own, while the session is open; NULL: none */
    const char *format;         /* of a model that the bundle has in two: "onnx" or the runtime's; NULL: the first, ONNX
                                 * before the other, whose runtime is there and has the provider */
    uint64_t spool_quota_bytes; /* that the spool may take, its guard programs and reserve included; at least 64 KiB; 0:
                                 * 64 MiB. A full spool merges the windows of batches that were never offered to a
                                 * receiver; then events expire, the cheapest first, then the oldest batches, each
                                 * counted in a later one */
    uint32_t events;            /* decisions that are kept one by one until the next flush, at most 2^20; 0: as the
                                 * policy says; ERAI_NO_EVENTS: none. Of those that are more than there is room for,
                                 * what is rejected displaces nothing that is flagged, and so on: each class has its own
                                 * room. Without a spool there are none */
    uint32_t sample_one_in;     /* so many accepted rows, one is drawn; 0: as the policy says */
    uint64_t spool_age_ns;      /* batches that were never offered to a receiver expire, counted in a later one, when
                                 * sessions of the spool have been open for so long since; 0: no such limit. Time in
                                 * which none is open does not count: no clock of a device tells it for certain */
    uint32_t quantiles_k;     /* of sketches of each feature's quantiles, see erai_session_quantiles; 0: there are none.
                               * Memory, 6 KB a feature with 200, is taken when the session is opened */
    uint32_t quantiles_every; /* of one row in so many, the first of a window and on; 0 and 1: of all */
    const char *const *quantiles_features; /* that have one, by name; NULL: all that can */
    size_t quantiles_feature_count;
} erai_session_config;

#define ERAI_NO_EVENTS 4294967295u

/* Opens a bundle, or a bare model, .onnx or of the format of the configuration's runtime (in letters of either case),
 * with the default policy: data type, shape, finite. A bundle's golden vectors are replayed. config may be NULL.
 *
 * A provider is one runtime's: it is required of the model that answers, and of the fallback model where that is of the
 * same format. A fallback model of another format runs on its own runtime's CPU.
 *
 * Where axis 0 of every input and output of a model is 1 and the policy counts rows there, as the default policy then
 * does, more rows are run one by one.
 *
 * Official builds of ONNX Runtime from 1.29 on report use to their maker. Unless ORT_DISABLE_TELEMETRY is set when a
 * session is opened, it is set to 1, which keeps them from it; with 0, they do as they are built. An application whose
 * other threads may be reading the environment then sets the variable itself, before it starts them. */
ERAI_API erai_status erai_session_open(const char *path, const erai_session_config *config, erai_session **session,
                                       char *detail);
/* The same from a bundle that is open already; `bundle` may be closed afterwards. */
ERAI_API erai_status erai_session_open_bundle(const erai_bundle *bundle, const erai_session_config *config,
                                              erai_session **session, char *detail);
/* A session without a model, for an application that runs the model itself between erai_admit and erai_judge.
 * `model_digest` names that model in snapshots. The guard is copied. */
ERAI_API erai_status erai_session_open_guard(const erai_guard *guard, const uint8_t model_digest[ERAI_DIGEST_SIZE],
                                             const erai_session_config *config, erai_session **session, char *detail);
/* Close every answer first. This does not flush, with a spool neither: what was counted since the last
 * erai_session_flush is gone, so flush before. (A session of the Python package does so when it is closed.) */
ERAI_API void erai_session_close(erai_session *session);
ERAI_API const erai_guard *erai_session_guard(const erai_session *session);
/* 0 where a row's answer depends on its batch mates: the bundle's manifest says so, or a bare model has operators that
 * quantize dynamically. Of other bare models it is assumed that it does not. */
ERAI_API int erai_session_rows_independent(const erai_session *session);

/* Whether an input, or with `of_output` an output, of the guard is of integers that stand for numbers, as in a bare
 * model that was quantized: number = scale * (integer - zero_point). Where the policy says float32 this library
 * converts and it is not. */
ERAI_API int erai_session_scale(const erai_session *session, int of_output, size_t index, double *scale,
                                int32_t *zero_point);

/* Of the model that answers: "onnx", or that of the application's runtime; NULL without a model. */
ERAI_API const char *erai_session_format(const erai_session *session);

/* An answer is the result memory and the statistics of one thread of calls; open one a thread and use it again. */
ERAI_API erai_status erai_answer_open(erai_session *session, erai_answer **answer);
/* Its statistics pass to the session. Waits for a run that was left at its deadline. */
ERAI_API void erai_answer_close(erai_answer *answer);

/* Admit, infer, judge, decide, record. `inputs` stand in the guard's order, states left out. Of a batched policy a call
 * without a row is for the model to answer where ERAI_RULE_EMPTY allows it. Elsewhere it is rejected as a call, whoever
 * runs the model: verdict REJECT, source NONE, one reason, no rows, outputs of no rows; it is counted as a call and not
 * as a row. */
ERAI_API erai_status erai_session_predict(erai_session *session, const erai_tensor *inputs, size_t count,
                                          erai_answer *answer);

/* Keys for the rows of the next call with this answer: LAST_GOOD gives a row the last good answer of its own key and of
 * no other. 1 key (of all rows) or one a row; each of at most ERAI_KEY_SIZE bytes, compared whole; size 0: no key.
 * The keys are copied. */
ERAI_API erai_status erai_answer_set_keys(erai_answer *answer, const erai_string *keys, size_t count);

/* Forgets the recurrent states, those that a model keeps itself, and what STUCK, STEP and MONOTONIC remember. */
ERAI_API void erai_session_reset(erai_session *session);

/* Stops the session: every call ends in ERAI_E_STOPPED. This outlasts the process: a file "stopped-DIGEST" (of the
 * model) in the spool, and another, "PATH.stopped", beside the bundle, hold `why`; a session opened while either is
 * there is stopped from the beginning. PATH is where the bundle was when it was opened, links followed. Where there is
 * a spool and the bundle's directory cannot be written, the file in the spool is all, and stops sessions with this
 * spool alone. Others of this model that are open already, here or in another process, go on until they are opened
 * again. A refused call's detail says when it was stopped, why and in which file. ERAI_E_SPOOL: this session is
 * stopped, but the file that would stop later ones could not be written. Resuming removes both files; `detail`
 * receives, on success too, the paths of those that were there. ERAI_E_SPOOL: it could not, and the session is still
 * stopped. */
ERAI_API erai_status erai_session_stop(erai_session *session, const char *why, char *detail);
ERAI_API erai_status erai_session_resume(erai_session *session, char *detail);
ERAI_API int erai_session_stopped(const erai_session *session);

typedef enum erai_breaker { ERAI_BREAKER_CLOSED = 0, ERAI_BREAKER_HALF_OPEN = 1, ERAI_BREAKER_OPEN = 2 } erai_breaker;
ERAI_API erai_breaker erai_session_breaker(erai_session *session);

/* ---- Review ------------------------------------------------------------------------------------------------------
 * Rows that nobody answered: the fallback chain came to ABSTAIN and put them into a queue, which the application drains
 * and, when somebody has decided, answers. A full queue takes no more: the chain goes on to its next step. */

typedef struct erai_review {
    uint64_t id;               /* of this row, the same as in erai_answer_review; never 0 */
    int64_t unix_ns;           /* when it was asked */
    uint64_t reasons;          /* bit i: it was rejected for erai_reason_code i */
    const erai_tensor *inputs; /* of this row alone, as they came: axis 0 is 1 when the policy is batched */
    size_t input_count;
} erai_review;

/* The oldest row that waits and was not handed out yet; `*review` has id 0 when there is none. The row stays in the
 * queue until it is overridden. Pointers live until then. */
ERAI_API erai_status erai_session_review(erai_session *session, erai_review *review);
/* What somebody decided: this row's outputs that are tensors and no states, in the guard's order. They become the last
 * good answer of the row's key (where an output is no tensor they do not), are counted as an override, and the row
 * leaves the queue. count 0: it leaves without an answer. ERAI_E_ARGUMENT for an id that does not wait, or outputs of
 * other types than the policy's. */
ERAI_API erai_status erai_session_override(erai_session *session, uint64_t id, const erai_tensor *outputs, size_t count,
                                           char *detail);

/* The two halves for an application that runs the model itself. After admit, `*admitted` is the number of rows worth
 * running, and erai_answer_rows says which; with 0, skip the model and pass count 0 to judge. The application replaces
 * what is missing by what it becomes, and leaves out or replaces the rows that admit rejected; outputs passed to judge
 * cover all rows. The inputs must live until judge, which may keep a row for review; the outputs, which the answer
 * copies, until it returns. Recurrent states, deadlines and the second model are the application's own: judge answers
 * from every other step of the fallback chain. */
ERAI_API erai_status erai_admit(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer,
                                size_t *admitted);
ERAI_API erai_status erai_judge(erai_session *session, const erai_tensor *outputs, size_t count, erai_answer *answer);

/* What the last call said; after one that failed, nothing, as the top of this file says. Pointers live until the next
 * call with this answer. */
ERAI_API erai_verdict erai_answer_verdict(const erai_answer *answer); /* worst over the rows */
ERAI_API erai_source erai_answer_source(const erai_answer *answer);   /* greatest over the rows */
ERAI_API size_t erai_answer_rows(const erai_answer *answer, const uint8_t **verdicts, const uint8_t **sources);
/* One reason a row, feature and kind, and at most ERAI_MOST_REASONS of them; the verdicts and the snapshot's counts are
 * complete in any case. */
ERAI_API size_t erai_answer_reasons(const erai_answer *answer, const erai_reason **first);
/* ERAI_E_ARGUMENT too for an output that is no tensor: see erai_answer_value. */
ERAI_API erai_status erai_answer_output(const erai_answer *answer, size_t index, erai_tensor *output);
ERAI_API erai_status erai_answer_value(const erai_answer *answer, size_t index, erai_value *value);
/* One id a row, 0 where the row is not in the review queue; NULL when no row is. */
ERAI_API const uint64_t *erai_answer_review(const erai_answer *answer);
ERAI_API const char *erai_answer_detail(const erai_answer *answer);
/* Points to a number that every call writes, in memory that lives as long as the answer: 0 without an answer; odd when
 * a row was flagged or rejected; and the number without that lowest bit, at least 2, changes whenever an output's
 * address, shape or type does. A reader may keep views of the outputs as long as it stays, but for those that are no
 * tensors, of which it says nothing. */
ERAI_API const uint64_t *erai_answer_layout(const erai_answer *answer);

/* What was observed of the rows, erai_observation_rule by rule but for those of outcomes, row by row; NaN: missing. The
 * number of columns; 0 where the policy observes nothing, and after a call that failed. */
ERAI_API size_t erai_answer_observed(const erai_answer *answer, const double **values);
/* What erai_session_outcome is told of a row when its truth is known: the class or value that was answered, and by
 * which policy. It holds all that is needed, so that it may be kept for any time and come back to any session of the
 * policy. 0: the model did not answer this row, the answer was rejected, or the policy observes no outcomes. */
ERAI_API uint64_t erai_answer_receipt(const erai_answer *answer, size_t row);
/* The truth of a row: its class, or its value. Counted each time that it is told. ERAI_E_ARGUMENT for a receipt of
 * another policy, or none, and a label that is not finite. */
ERAI_API erai_status erai_session_outcome(erai_session *session, uint64_t receipt, double label, char *detail);

/* ---- Snapshot and spool ------------------------------------------------------------------------------------------
 * A snapshot is everything counted since the last flush: integers only, so that merging is addition
 * (docs/formats/snapshot.md). */

/* What was decided, beside verdicts, sources and reasons. */
typedef enum erai_decision_count {
    ERAI_COUNT_BREAKER_OPENED = 0,
    ERAI_COUNT_BREAKER_CLOSED = 1,
    ERAI_COUNT_HELD = 2,        /* times the fallback chain took over */
    ERAI_COUNT_RELEASED = 3,    /* times it gave back */
    ERAI_COUNT_REVIEW_FULL = 4, /* rows that found no place in the review queue */
    ERAI_COUNT_OVERRIDES = 5,
    ERAI_COUNT_CACHE_HITS = 6, /* calls that the cache answered */
    ERAI_COUNT_STATE_RESETS = 7,
    ERAI_COUNT_DRIFT_ALARMS = 8
} erai_decision_count;

typedef struct erai_snapshot erai_snapshot; /* immutable; any thread */
typedef struct erai_spool erai_spool;       /* any thread */

/* Windows of one epoch, one after the other, that a batch file accounts for. */
typedef struct erai_windows {
    uint64_t epoch;
    uint64_t first; /* sequence */
    uint64_t count; /* at least 1 */
} erai_windows;

/* Why something that was counted or kept is no longer in any batch file. Each batch file accounts for its windows:
 * what was created in them is what it holds and what it says to have expired. */
typedef enum erai_expiry {
    ERAI_EXPIRED_QUOTA = 0,   /* there was no room in the spool, even after merging */
    ERAI_EXPIRED_CORRUPT = 1, /* the batch file's bytes were bad */
    ERAI_EXPIRED_REFUSED = 2, /* a receiver will never take it */
    ERAI_EXPIRED_MEMORY = 3,  /* events only: displaced by others before they were written */
    ERAI_EXPIRED_AGE = 4      /* older than the session's configuration allows */
} erai_expiry;

typedef struct erai_expired {
    uint64_t windows; /* whole ones */
    uint64_t unknown; /* of these, windows of which nobody knows what they held: then the next three lack it */
    uint64_t calls;   /* errors among them */
    uint64_t rows;
    uint64_t events;
} erai_expired;

/* What an event is kept for, the dearest last. */
typedef enum erai_event_class {
    ERAI_EVENT_SAMPLE = 0, /* an accepted row, drawn at random */
    ERAI_EVENT_FLAG = 1,
    ERAI_EVENT_REJECT = 2,
    ERAI_EVENT_URGENT = 3 /* the circuit breaker opened, or a drift alarm came: worth a flush at once */
} erai_event_class;

typedef struct erai_event_field {
    uint32_t feature; /* in the guard program's order */
    uint32_t form;    /* erai_field_form, never DROP */
    uint64_t number;  /* the bin, of what is not finite or missing the number of bins; the hash; 0 */
    double value;     /* PLAIN, EVIDENCE */
} erai_event_field;

/* One decision, or, with fields of EVIDENCE, DIRECTION and CHANGED, an alarm of drift. (epoch, number) names it for
 * ever; numbers without an event are those of events that have expired. */
typedef struct erai_event {
    uint64_t epoch;
    uint64_t number;     /* from 0 within the epoch */
    int64_t unix_ns;     /* wall clock, for people; of whole milliseconds */
    uint64_t reasons;    /* bit i: erai_reason_code i */
    uint64_t latency_ns; /* of whole microseconds */
    uint32_t row;        /* within its call */
    uint8_t event_class;
    uint8_t verdict;
    uint8_t source;
    uint8_t reserved;
    uint32_t field_count;
    uint32_t reserved_too;
    const erai_event_field *fields;
} erai_event;

/* What has come of watching for drift. */
typedef enum erai_watch_state {
    ERAI_WATCH_NONE = 0, /* nothing is watched */
    ERAI_WATCH_CALM = 1,
    ERAI_WATCH_ALARM = 2 /* one stands: rows and evidence are as they were when it came */
} erai_watch_state;

typedef struct erai_snapshot_info {
    uint8_t instance[16];                   /* random, made once a spool; zero without a spool */
    uint8_t model_digest[ERAI_DIGEST_SIZE]; /* SHA-256 of the model file */
    uint8_t guard_digest[ERAI_DIGEST_SIZE]; /* SHA-256 of the guard program */
    uint64_t epoch;                         /* one a session and process, increasing within a spool; 0 without one */
    uint64_t sequence;                      /* from 0 within an epoch */
    int64_t start_unix_ns;                  /* wall clock, for people: order is by epoch and sequence */
    int64_t end_unix_ns;
    uint64_t duration_ns; /* monotonic */
    uint64_t calls;       /* that came to an answer */
    uint64_t errors;      /* that ended in a status other than ERAI_OK; `calls` does not count them */
    uint64_t latency_sum_ns;
    const uint64_t *rows_by_verdict; /* verdicts counts, indexed by erai_verdict */
    const uint64_t *rows_by_source;
    const uint64_t *reasons;         /* one a reason given, indexed by erai_reason_code */
    const uint64_t *decisions;       /* indexed by erai_decision_count */
    const uint64_t *latency;         /* slot 0: at most 1 ns; slot i: 2^((i-1)/8) < ns <= 2^(i/8) */
    const uint64_t *events_by_class; /* that there were, indexed by erai_event_class: those kept, and those expired */
    const erai_expired *expired;     /* indexed by erai_expiry */
    const erai_windows *windows;     /* that this accounts for, by epoch and sequence; before a merge its own */
    size_t window_ranges;
    size_t events; /* kept */
    uint32_t verdicts;
    uint32_t sources;
    uint32_t reason_codes;
    uint32_t latency_slots;
    uint32_t features;
    uint32_t decision_counts;
    uint32_t event_classes;
    uint32_t expiries;
    uint32_t watch; /* erai_watch_state, with the rest of the watch as it was at the end of this window: */
    uint32_t reserved;
    uint64_t watch_epoch;
    uint64_t watch_sequence;
    uint64_t watch_rows;
    double watch_evidence; /* mean over the features */
} erai_snapshot_info;

/* Moments are of the standardized value z = (value - mean) / stddev of the reference, clipped to +-8 and rounded to
 * 1/256, as integers: their merge is exact. Divide `sum` by 256 and `sum_squares` by 65536. */
typedef struct erai_feature_counts {
    const uint64_t *histogram; /* bins counts of finite values, of accepted and rejected rows alike */
    uint64_t not_finite;
    uint64_t sum_squares;
    int64_t sum;
    uint32_t bins;
    uint32_t reserved;
    double watch_evidence; /* of a feature that a standing alarm names; else 0 */
} erai_feature_counts;

/* What the evidence says has happened to a feature. */
typedef enum erai_direction {
    ERAI_DRIFT_MEAN_UP = 0,
    ERAI_DRIFT_MEAN_DOWN = 1,
    ERAI_DRIFT_WIDER = 2,
    ERAI_DRIFT_NARROWER = 3,
    ERAI_DRIFT_SHARES = 4,  /* of categories */
    ERAI_DRIFT_MISSING = 5, /* more values are missing or not finite */
    ERAI_DRIFT_OUTSIDE = 6, /* more are out of their range */
    ERAI_DRIFT_ABOVE = 7    /* the mean is above the bound that is watched */
} erai_direction;

/* How much speaks for drift. An alarm comes when `evidence` reaches the policy's average_run_length. It stands until it
 * is taken back, and until then nothing is watched: all of this is as it was at the alarm. */
typedef struct erai_drift {
    size_t struct_size;
    uint64_t rows;         /* that were watched */
    double evidence;       /* mean over the features */
    int64_t alarm_unix_ns; /* wall clock of the alarm */
    uint64_t alarm_row;    /* rows watched when it came; 0: no alarm */
    double alarm_evidence;
    uint32_t alarm_feature; /* the one with the most evidence then */
    uint32_t watched;       /* features */
    uint32_t continued;     /* 1: another session's watch goes on here */
    uint32_t reserved;
} erai_drift;

typedef struct erai_feature_drift {
    size_t struct_size;
    double evidence;    /* now; without drift its mean is at most `rows`, that of the device's at most `rows` too */
    uint64_t changed;   /* rows ago, as estimated; 0: nothing points to a change */
    uint32_t direction; /* erai_direction: what most of the evidence is for; of values that went all to one side,
                         * which a bet on a wider spread gains from too, the side */
    uint32_t stride;    /* 0: not watched */
    uint32_t named;     /* by the alarm: those that e-BH would name at its level, and the one with the most evidence */
    uint32_t reserved;
    /* How large the change is, of the values since the evidence was 256 rows' worth, and a 95 % interval as if these
     * were chosen beforehand. Of a mean: how far it moved, in standard deviations of the reference, or, where a bound
     * is watched, the mean itself. Of a spread: how many times as wide. Of MISSING and OUTSIDE: the share of such
     * values. NaN: of SHARES, or there are no values. Beyond the outermost of the reference's bins nothing is told
     * apart: with 32 of them a mean moves by 2.2 at most, and a spread is at most about twice as wide. */
    double effect, effect_low, effect_high;
} erai_feature_drift;

/* Reports are of rows up to some that wait to be looked at together, at most four a thread; any thread.
 * ERAI_E_ARGUMENT where nothing is watched, or index is no feature's. */
ERAI_API erai_status erai_session_drift(erai_session *session, erai_drift *drift);
ERAI_API erai_status erai_session_feature_drift(erai_session *session, size_t index, erai_feature_drift *drift);
/* Takes an alarm back, and begins anew from the reference alone. */
ERAI_API erai_status erai_session_drift_reset(erai_session *session);

/* Calls `alarm` once an alarm, from the thread whose call or flush noticed it, which waits for it and may hold the
 * session's locks: it wakes somebody up and asks the session nothing. NULL: nobody any more. When this returns, the one
 * before is called no more. ERAI_E_ARGUMENT where nothing is watched. */
ERAI_API erai_status erai_session_on_alarm(erai_session *session, void (*alarm)(void *context), void *context);

/* What a watch has seen, learned and raised, as bytes (docs/formats/watch.md), and a watch that goes on from there, to
 * the bit. A session with a spool does both by itself: each flush stores them where the disk has room, and the next
 * session of the same guard program takes them up; bytes that are damaged are passed over, and that watch begins anew.
 * *size receives the bytes needed; ERAI_E_SIZE when capacity is less. buffer may be NULL with capacity 0. Bytes of
 * another guard program: ERAI_E_ARGUMENT. */
ERAI_API erai_status erai_session_drift_state(erai_session *session, uint8_t *buffer, size_t capacity, size_t *size);
ERAI_API erai_status erai_session_drift_continue(erai_session *session, const uint8_t *bytes, size_t size,
                                                 char *detail);

/* What has been counted since the last flush, which goes on being counted. */
ERAI_API erai_status erai_session_snapshot(erai_session *session, erai_snapshot **snapshot, char *detail);
/* Writes a snapshot as one batch file into the session's spool and starts the next. Durable when it returns ERAI_OK;
 * call it from a thread that may wait for the disk. On failure nothing is lost: either the counts go into the next
 * snapshot, or, when the detail says so, the file is written and only its directory could not be synced: it may not
 * outlast a power cut. `name` is NULL or receives the file's name in at most ERAI_DETAIL_SIZE bytes. */
ERAI_API erai_status erai_session_flush(erai_session *session, char *name, char *detail);

/* For who calls erai_session_flush: waits at most so long for a reason to do it before its time, which is an urgent
 * event, or half the room for events taken. 0: there is none. Not while the session is closed. */
ERAI_API int erai_session_flush_due(erai_session *session, uint64_t timeout_ns);

/* Reads a batch file, which may come from anybody. The bytes are copied. */
ERAI_API erai_status erai_snapshot_open(const uint8_t *bytes, size_t size, erai_snapshot **snapshot, char *detail);
ERAI_API void erai_snapshot_close(erai_snapshot *snapshot);
/* Pointers live as long as the snapshot. */
ERAI_API void erai_snapshot_read(const erai_snapshot *snapshot, erai_snapshot_info *info);
ERAI_API erai_status erai_snapshot_feature(const erai_snapshot *snapshot, size_t index, erai_feature_counts *counts);
ERAI_API erai_status erai_snapshot_event(const erai_snapshot *snapshot, size_t index, erai_event *event);

/* Two snapshots of one spool, model and guard program as one: counts are added modulo 2^64, windows and events united,
 * and its epoch and sequence are the later of both. Exact, in any order. A snapshot that counts nothing, of digests of
 * zeros, goes with any model. ERAI_E_ARGUMENT when they do not belong together, or share a window. */
ERAI_API erai_status erai_snapshot_merge(const erai_snapshot *one, const erai_snapshot *other, erai_snapshot **merged,
                                         char *detail);
/* The batch file's bytes. *size receives how many are needed; ERAI_E_SIZE when capacity is less. buffer may be NULL
 * when capacity is 0. */
ERAI_API erai_status erai_snapshot_write(const erai_snapshot *snapshot, uint8_t *buffer, size_t capacity, size_t *size,
                                         char *detail);

/* Opens the spool at `path`, making the directory when it is missing, and begins a new epoch. */
ERAI_API erai_status erai_spool_open(const char *path, erai_spool **spool, char *detail);
/* The same for who uploads it: begins no epoch until it puts a file. Both end what a power cut or a killed process left
 * half done. */
ERAI_API erai_status erai_spool_attach(const char *path, erai_spool **spool, char *detail);
ERAI_API void erai_spool_close(erai_spool *spool);

/* Uploading. `name` is that of a batch file of the spool. It is offered before it is read and sent: from then on it
 * stays as it is, neither merged nor expired, until there is a receipt, which removes it, or until it is set aside as
 * corrupt or refused, which has the session's next flush count it as expired. Offering again costs nothing. *there: 0
 * when there is no such batch, because it was merged into another one, say. All of them are durable on ERAI_OK. */
ERAI_API erai_status erai_spool_offer(erai_spool *spool, const char *name, int *there, char *detail);
ERAI_API erai_status erai_spool_receipt(erai_spool *spool, const char *name, char *detail);
ERAI_API erai_status erai_spool_set_aside(erai_spool *spool, const char *name, erai_expiry why, char *detail);
/* Stores `bytes` under `name` (letters, digits, '-', '_' and '.'; not beginning with '.'): temporary file, fsync,
 * rename, fsync of the directory. Durable when it returns ERAI_OK. */
ERAI_API erai_status erai_spool_put(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size,
                                    char *detail);

/* ---- Quantiles ---------------------------------------------------------------------------------------------------
 * A stream's quantiles in a few kilobytes, as KLL sketches of Apache DataSketches (kll_floats_sketch), whose readers in
 * Java, C++, Python, Spark or Druid take these bytes and give theirs (docs/formats/quantiles.md). Two of them are
 * merged without the values. Memory is taken when one is opened, for as many values as may come, and when it is asked,
 * merged or written. The same values in the same order with the same seed give the same bytes. */

typedef struct erai_quantiles erai_quantiles; /* one thread at a time */

#define ERAI_QUANTILES_LEAST_K 8u
#define ERAI_QUANTILES_MOST_K 65535u
#define ERAI_QUANTILES_MOST 1125899906842623u /* values */

typedef struct erai_quantiles_info {
    size_t struct_size;
    uint64_t n;        /* values, merged ones too; NaN is none */
    uint64_t nan;      /* how many of these came: counted here, and not in the bytes */
    double rank_error; /* that a rank is off by at most in 99 of 100 cases, as the DataSketches project measured it */
    float least;       /* exact; of no values NaN */
    float greatest;
    uint32_t k;
    uint32_t min_k; /* the least one of those merged, which is what the error is of */
    uint32_t kept;  /* values that it holds */
    uint32_t reserved;
} erai_quantiles_info;

/* k is the accuracy: of 200, ranks err by 0.013 and the bytes are about 2,500 of a million values. Sketches that are to
 * be merged have seeds of their own, as erai_quantiles_seed gives: errors of one seed do not even out. */
ERAI_API erai_status erai_quantiles_open(uint32_t k, uint64_t seed, erai_quantiles **sketch, char *detail);
/* From bytes, which may come from anybody and are not kept. ERAI_E_BATCH_FORMAT: they are no such sketch; the detail
 * names what is wrong, and what it is. */
ERAI_API erai_status erai_quantiles_open_bytes(const uint8_t *bytes, size_t size, uint64_t seed,
                                               erai_quantiles **sketch, char *detail);
ERAI_API void erai_quantiles_close(erai_quantiles *sketch);
/* A seed for what a feature of a device was in a window: the same for the same three everywhere. */
ERAI_API uint64_t erai_quantiles_seed(const char *device, const char *feature, uint64_t window);

/* Values that are `stride` floats apart: 1, or the width of rows of which they are a column. Several at a time cost
 * less each. ERAI_E_SIZE, and nothing added: more values together than ERAI_QUANTILES_MOST. */
ERAI_API erai_status erai_quantiles_add(erai_quantiles *sketch, const float *values, size_t count, size_t stride,
                                        char *detail);
/* Adds what `other`, not the same, has seen; of whatever k. ERAI_E_SIZE as above. */
ERAI_API erai_status erai_quantiles_merge(erai_quantiles *sketch, const erai_quantiles *other, char *detail);
/* The bytes, as for erai_snapshot_write. What is written down may hold fewer values than the sketch, which stays as it
 * is. */
ERAI_API erai_status erai_quantiles_write(const erai_quantiles *sketch, uint8_t *buffer, size_t capacity, size_t *size,
                                          char *detail);

ERAI_API void erai_quantiles_read(const erai_quantiles *sketch, erai_quantiles_info *info);
/* The least value of so many ranks, each 0 to 1, that has at least this share of all values at or below it; the least
 * of all of 0, and the greatest of 1. ERAI_E_ARGUMENT without values. */
ERAI_API erai_status erai_quantiles_at(const erai_quantiles *sketch, const double *ranks, size_t count, float *values,
                                       char *detail);
/* The share of all values that are at or below each of these: of ascending ones, the cumulative distribution.
 * ERAI_E_ARGUMENT without values, and of NaN. */
ERAI_API erai_status erai_quantiles_rank(const erai_quantiles *sketch, const float *values, size_t count, double *ranks,
                                         char *detail);

/* What a session that was opened with quantiles_k has sketched of its inputs since then, or since this was last called
 * with `begin`: its window, which is not a snapshot's. `sketches` receives as many as the guard has features, copies
 * for the caller to close; NULL where a feature has none. A value is in its sketch exactly when it is counted in its
 * histogram or would be, had its feature one; whatever is missing or not finite is in `nan`. As float32: a number
 * beyond that is infinite. Features of strings, states, observations and several values a row have none.
 *
 * With `begin` all begin anew in the same moment, so that no row is in two windows or in none. A flush leaves them as
 * they are and stores nothing of them.
 *
 * *window, unless NULL, is when it began, in Unix nanoseconds. A feature's seed is erai_quantiles_seed(instance, its
 * name, *window), where the instance is the spool's, as 32 hexadecimal digits; zeros without a spool. ERAI_E_ARGUMENT:
 * the session has no sketches. Any thread. */
ERAI_API erai_status erai_session_quantiles(erai_session *session, int begin, erai_quantiles **sketches,
                                            uint64_t *window, char *detail);

/* Population stability index of `window` against `reference`: sum over bins of (p - q) ln(p / q), each share taken
 * as (count + 1/2) / (total + bins / 2) so that an empty bin is finite. 0 when either is empty. Any thread.
 * Without any change its expectation is about (bins - 1) (1 / window total + 1 / reference total). */
ERAI_API double erai_psi(const uint64_t *reference, const uint64_t *window, size_t bins);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_RAI_H */
