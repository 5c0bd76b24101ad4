/* edge_rai: guarded inference for edge devices. SPDX-License-Identifier: Apache-2.0
 *
 * One call per inference: admit (validate the input and add it to the drift sketches), infer (ONNX Runtime), judge
 * (check the output), decide (answer rejected rows from the fallback chain), record (counters and latency).
 *
 *     erai_session *session;
 *     erai_answer *answer;
 *     char detail[ERAI_DETAIL_SIZE];
 *     if (erai_session_open("tumour.erai", NULL, &session, detail)) { puts(detail); return 1; }
 *     erai_answer_open(session, &answer);
 *     erai_session_predict(session, &input, 1, answer);
 *     if (erai_answer_verdict(answer) == ERAI_VERDICT_REJECT) ...
 *
 * Who is trusted. Pointers, sizes and strings passed by the caller are trusted: a wrong one is undefined behaviour.
 * Tensor shapes and values, bundle files, guard programs and batch files are hostile: every length, offset and count
 * read from them is bounded before use, and a bad one is a status or a reason, never a crash.
 *
 * A verdict is not an error. A rejected input is a successful call whose answer says "reject" and why. A status other
 * than ERAI_OK means that the library could not do its job; a prediction that fails is counted as an error, and what
 * it had admitted stays in the sketches.
 *
 * Memory. Handles are opaque; what `_open` made, `_close` frees (NULL is allowed). A pointer obtained from a handle
 * lives as long as the handle, or shorter where its function says so. A steady predict allocates nothing of its own:
 * an answer's buffers grow to the largest batch seen and stay.
 *
 * Threads are stated at each type. The library never prints, exits, aborts or installs a signal handler.
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

/* ---- Status ------------------------------------------------------------------------------------------------------
 * Numbers are pinned for ever, in tens by subject. */

typedef enum erai_status {
    ERAI_OK = 0,

    ERAI_E_ARGUMENT = 1, /* a NULL, a count or an order of calls that the function does not allow */
    ERAI_E_STRUCT = 2,   /* struct_size names a struct this build does not know */
    ERAI_E_NO_MODEL = 3, /* predict on a session opened from a guard program alone */

    ERAI_E_MEMORY = 10, /* out of memory */
    ERAI_E_SIZE = 11,   /* the caller's buffer is too small, or a file exceeds the format's limits */

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
    ERAI_E_BATCH_FORMAT = 41, /* a batch file is malformed or corrupt */
    ERAI_E_BATCH_NEWER = 42,  /* a batch file is newer than this build understands */

    ERAI_E_RUNTIME_MISSING = 50, /* no ONNX Runtime library was found */
    ERAI_E_RUNTIME_OLD = 51,     /* the ONNX Runtime library found is too old */
    ERAI_E_INFERENCE = 52,       /* ONNX Runtime failed during a run */

    ERAI_E_INTERNAL = 90 /* a fault of this library; please report it */
} erai_status;

/* A constant sentence for any value, known or not. Any thread. */
ERAI_API const char *erai_strerror(erai_status status);

/* "MAJOR.MINOR.PATCH" of this build. Any thread. */
ERAI_API const char *erai_version(void);

/* ---- What an answer says -----------------------------------------------------------------------------------------
 * Ordered by severity: the worst over the rows is the greatest. */

typedef enum erai_verdict { ERAI_VERDICT_ACCEPT = 0, ERAI_VERDICT_FLAG = 1, ERAI_VERDICT_REJECT = 2 } erai_verdict;

/* Who answered a row. NONE: no rule had an answer; floats are NaN, signed integers -1, unsigned ones and booleans 0. */
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
    ERAI_REASON_ROWS = 3,        /* inputs disagree on the number of rows; value, limit: this one, the first one */
    ERAI_REASON_NOT_FINITE = 4,  /* value: the NaN or infinity */
    ERAI_REASON_BELOW_RANGE = 5, /* value < limit */
    ERAI_REASON_ABOVE_RANGE = 6, /* value > limit */
    ERAI_REASON_OUTPUT_NOT_FINITE = 7, /* value: the NaN or infinity in the model's output */
    ERAI_REASON_OUTPUT_SHAPE = 8,      /* value, limit: the extent that the model returned and the one declared */
    ERAI_REASON_ROWS_DEPEND = 9        /* a row was rejected and this output shows that others depend on it */
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
    ERAI_DTYPE_BOOL = 9,
    ERAI_DTYPE_FLOAT64 = 11,
    ERAI_DTYPE_UINT32 = 12,
    ERAI_DTYPE_UINT64 = 13
} erai_dtype;

/* Bytes of one element, 0 for a type this build does not know. Any thread. */
ERAI_API size_t erai_dtype_size(uint32_t dtype);

/* A dense, C-contiguous tensor in memory that the caller owns, aligned to its element size. */
typedef struct erai_tensor {
    const void *data;
    const int64_t *shape; /* rank extents */
    uint32_t rank;
    uint32_t dtype; /* erai_dtype */
} erai_tensor;

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
    float low; /* inclusive; -INFINITY: no lower limit */
    float high;
    double mean;   /* of the reference; replaces the values of a rejected row while its batch runs */
    double stddev; /* of the reference; 0 when it is constant */
    uint64_t reference_rows;
    const float *edges;     /* bins - 1 strictly increasing finite values */
    const uint64_t *counts; /* bins reference counts */
    uint32_t bins;          /* 0: no reference; else 1 to ERAI_MAX_BINS */
    uint32_t reserved;
} erai_feature_rule;

typedef struct erai_output_rule {
    size_t struct_size;
    const char *name;
    const int64_t *shape;      /* rank extents; -1: free */
    const double *default_row; /* default_size values: one row's answer, or one value for every element */
    uint32_t rank;
    uint32_t dtype;
    uint32_t flags;
    uint32_t default_size;
} erai_output_rule;

/* `batched`: axis 0 of every input and output counts rows that are judged one by one; otherwise a call is one row. */
ERAI_API erai_status erai_policy_open(int batched, erai_policy **policy);
ERAI_API void erai_policy_close(erai_policy *policy);
ERAI_API erai_status erai_policy_add_input(erai_policy *policy, const erai_input_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_feature(erai_policy *policy, const erai_feature_rule *rule, char *detail);
ERAI_API erai_status erai_policy_add_output(erai_policy *policy, const erai_output_rule *rule, char *detail);

/* Writes the guard program. *size receives the bytes needed; ERAI_E_SIZE when capacity is less. buffer may be NULL
 * when capacity is 0. The same rules give the same bytes. */
ERAI_API erai_status erai_policy_write(const erai_policy *policy, uint8_t *buffer, size_t capacity, size_t *size,
                                       char *detail);

/* Reads a guard program, which may come from anybody. The bytes are copied. */
ERAI_API erai_status erai_guard_open(const uint8_t *bytes, size_t size, erai_guard **guard, char *detail);
ERAI_API void erai_guard_close(erai_guard *guard);
ERAI_API int erai_guard_batched(const erai_guard *guard);
ERAI_API size_t erai_guard_inputs(const erai_guard *guard);
ERAI_API size_t erai_guard_features(const erai_guard *guard); /* over all inputs */
ERAI_API size_t erai_guard_outputs(const erai_guard *guard);
/* Pointers in the rule live as long as the guard. ERAI_E_ARGUMENT when index is out of range. */
ERAI_API erai_status erai_guard_input(const erai_guard *guard, size_t index, erai_input_rule *rule);
ERAI_API erai_status erai_guard_feature(const erai_guard *guard, size_t index, erai_feature_rule *rule);
ERAI_API erai_status erai_guard_output(const erai_guard *guard, size_t index, erai_output_rule *rule);

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

/* ---- Session -----------------------------------------------------------------------------------------------------
 * A model with its guard, its statistics and, when asked for, its spool. */

typedef struct erai_session erai_session; /* any thread; open and close: one thread */
typedef struct erai_answer erai_answer;   /* one thread at a time */

typedef struct erai_session_config {
    size_t struct_size;
    const char *runtime_path; /* the ONNX Runtime library; NULL: $ERAI_ONNXRUNTIME, then the loader's own search */
    const char *spool_path;   /* directory for batch files, made when missing; NULL: no spool, flush is an error */
    uint32_t threads;         /* within an operator; 0: ONNX Runtime's choice */
    uint32_t reserved;
} erai_session_config;

/* Opens a bundle, or a bare .onnx model with the default policy: data type, shape, finite. A bundle's golden vectors
 * are replayed. config may be NULL. */
ERAI_API erai_status erai_session_open(const char *path, const erai_session_config *config, erai_session **session,
                                       char *detail);
/* The same from a bundle that is open already; `bundle` may be closed afterwards. */
ERAI_API erai_status erai_session_open_bundle(const erai_bundle *bundle, const erai_session_config *config,
                                              erai_session **session, char *detail);
/* A session without a model, for an application that runs the model itself between erai_admit and erai_judge.
 * `model_digest` names that model in snapshots. The guard is copied. */
ERAI_API erai_status erai_session_open_guard(const erai_guard *guard, const uint8_t model_digest[ERAI_DIGEST_SIZE],
                                             const erai_session_config *config, erai_session **session, char *detail);
/* Close every answer first. What was counted and not flushed is gone. */
ERAI_API void erai_session_close(erai_session *session);
ERAI_API const erai_guard *erai_session_guard(const erai_session *session);

/* An answer is the result memory and the statistics of one thread of calls; open one a thread and use it again. */
ERAI_API erai_status erai_answer_open(erai_session *session, erai_answer **answer);
/* Its statistics pass to the session. */
ERAI_API void erai_answer_close(erai_answer *answer);

/* Admit, infer, judge, decide, record. `inputs` stand in the guard's order. After a status other than ERAI_OK the
 * answer holds no rows; erai_answer_detail says why. */
ERAI_API erai_status erai_session_predict(erai_session *session, const erai_tensor *inputs, size_t count,
                                          erai_answer *answer);

/* The two halves for an application that runs the model itself. After admit, `*admitted` is the number of rows worth
 * running; with 0, skip the model and pass count 0 to judge. Rows rejected by admit must be left out or replaced by
 * the caller; outputs passed to judge cover all rows. The answer's outputs are copies. */
ERAI_API erai_status erai_admit(erai_session *session, const erai_tensor *inputs, size_t count, erai_answer *answer,
                                size_t *admitted);
ERAI_API erai_status erai_judge(erai_session *session, const erai_tensor *outputs, size_t count, erai_answer *answer);

/* What the last call said. Pointers live until the next call with this answer. */
ERAI_API erai_verdict erai_answer_verdict(const erai_answer *answer); /* worst over the rows */
ERAI_API erai_source erai_answer_source(const erai_answer *answer);   /* greatest over the rows */
ERAI_API size_t erai_answer_rows(const erai_answer *answer, const uint8_t **verdicts, const uint8_t **sources);
/* One reason a row, feature and kind, and at most ERAI_MOST_REASONS of them; the verdicts and the snapshot's counts are
 * complete in any case. */
ERAI_API size_t erai_answer_reasons(const erai_answer *answer, const erai_reason **first);
ERAI_API erai_status erai_answer_output(const erai_answer *answer, size_t index, erai_tensor *output);
ERAI_API const char *erai_answer_detail(const erai_answer *answer);
/* Points to a number that every call writes, in memory that lives as long as the answer: 0 when a row was flagged or
 * rejected, otherwise a number, at least 1, that changes whenever an output's address, shape or type does. A reader may
 * keep views of the outputs as long as it stays. */
ERAI_API const uint64_t *erai_answer_accepted(const erai_answer *answer);

/* ---- Snapshot and spool ------------------------------------------------------------------------------------------
 * A snapshot is everything counted since the last flush: integers only, so that merging is addition
 * (docs/formats/batch.md). */

typedef struct erai_snapshot erai_snapshot; /* immutable; any thread */
typedef struct erai_spool erai_spool;       /* any thread */

typedef struct erai_snapshot_info {
    uint8_t instance[16];                   /* random, made once a spool; zero without a spool */
    uint8_t model_digest[ERAI_DIGEST_SIZE]; /* SHA-256 of the model file */
    uint8_t guard_digest[ERAI_DIGEST_SIZE]; /* SHA-256 of the guard program */
    uint64_t epoch;                         /* one a session, increasing within a spool; 0 without a spool */
    uint64_t sequence;                      /* from 0 within an epoch */
    int64_t start_unix_ns;                  /* wall clock, for people: order is by epoch and sequence */
    int64_t end_unix_ns;
    uint64_t duration_ns; /* monotonic */
    uint64_t calls;
    uint64_t errors; /* calls that ended in a status other than ERAI_OK */
    uint64_t latency_sum_ns;
    const uint64_t *rows_by_verdict; /* verdicts counts, indexed by erai_verdict */
    const uint64_t *rows_by_source;
    const uint64_t *reasons; /* one a reason given, indexed by erai_reason_code */
    const uint64_t *latency; /* slot 0: at most 1 ns; slot i: 2^((i-1)/8) < ns <= 2^(i/8) */
    uint32_t verdicts;
    uint32_t sources;
    uint32_t reason_codes;
    uint32_t latency_slots;
    uint32_t features;
    uint32_t reserved;
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
} erai_feature_counts;

/* What has been counted since the last flush, which goes on being counted. */
ERAI_API erai_status erai_session_snapshot(erai_session *session, erai_snapshot **snapshot, char *detail);
/* Writes a snapshot as one batch file into the session's spool and starts the next. Durable when it returns ERAI_OK.
 * On failure nothing is lost: either the counts go into the next snapshot, or, when the detail says so, the file is
 * written and only its directory could not be synced: it may not outlast a power cut. `name` is NULL or receives the
 * file's name in at most ERAI_DETAIL_SIZE bytes. */
ERAI_API erai_status erai_session_flush(erai_session *session, char *name, char *detail);

/* Reads a batch file, which may come from anybody. The bytes are copied. */
ERAI_API erai_status erai_snapshot_open(const uint8_t *bytes, size_t size, erai_snapshot **snapshot, char *detail);
ERAI_API void erai_snapshot_close(erai_snapshot *snapshot);
/* Pointers live as long as the snapshot. */
ERAI_API void erai_snapshot_read(const erai_snapshot *snapshot, erai_snapshot_info *info);
ERAI_API erai_status erai_snapshot_feature(const erai_snapshot *snapshot, size_t index, erai_feature_counts *counts);

/* Opens the spool at `path`, making the directory when it is missing, and begins a new epoch. */
ERAI_API erai_status erai_spool_open(const char *path, erai_spool **spool, char *detail);
ERAI_API void erai_spool_close(erai_spool *spool);
/* Stores `bytes` under `name` (letters, digits, '-', '_' and '.'; not beginning with '.'): temporary file, fsync,
 * rename, fsync of the directory. Durable when it returns ERAI_OK. */
ERAI_API erai_status erai_spool_put(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size,
                                    char *detail);

/* Population stability index of `window` against `reference`: sum over bins of (p - q) ln(p / q), each share taken
 * as (count + 1/2) / (total + bins / 2) so that an empty bin is finite. 0 when either is empty. Any thread.
 * Without any change its expectation is about (bins - 1) (1 / window total + 1 / reference total). */
ERAI_API double erai_psi(const uint64_t *reference, const uint64_t *window, size_t bins);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_RAI_H */
