/* The guard program in memory, laid out for one pass over the input. */
#ifndef ER_GUARD_H
#define ER_GUARD_H

#include "bytes.h"
#include "edge_rai.h"

#define ER_MAX_INPUTS 256
#define ER_MAX_OUTPUTS 256
#define ER_MAX_FEATURES 65536
#define ER_MAX_NAME 1024
#define ER_MAX_DEFAULT 65536
#define ER_MAX_CHECKS 32 /* of one feature or output */
#define ER_MAX_LIST 65536
#define ER_MAX_DIRECTIONS 64
#define ER_MAX_KEYS 65536
#define ER_MAX_FALLBACKS 16
#define ER_MAX_STEPS 5
#define ER_MAX_STATES 64
#define ER_MAX_FIELDS 64 /* of an event */
#define ER_MAX_OBSERVATIONS 256
#define ER_MAX_EVENTS (1 << 20) /* kept until the next flush */
#define ER_MAX_ROW (1 << 26)    /* elements that the fixed extents of an output or state make */

/* How the values of an input are compared and sketched: in float32 those that it can hold, in float64 the others. The
 * integers of 64 bits that float64 rounds are compared exactly where it matters (validate.c). */
typedef enum er_width { ER_NARROW, ER_WIDE, ER_TEXT } er_width;

/* What admitting a row reads, and nothing else, by feature and apart, so that a row of columns is checked and sketched
 * several values at a time. An input has one of the two, indexed by the feature's place within the input. Edges of as
 * many features as a vector has lanes stand together: the i-th edge of feature f is edges[f / LANES][i][f % LANES]. */
#define ER_VECTOR 32 /* bytes */
#define ER_FLOATS (ER_VECTOR / sizeof(float))
#define ER_DOUBLES (ER_VECTOR / sizeof(double))

typedef struct er_limits {
    float *low; /* at least -FLT_MAX, whatever the rule: one comparison finds NaN and infinities too */
    float *high;
    float *mean;                              /* 0 where z_scale is */
    float *z_scale;                           /* 256 / stddev; 0 when constant or without reference */
    float (*edges)[ERAI_MAX_BINS][ER_FLOATS]; /* the last is padding; unused ones are +inf */
} er_limits;

typedef struct er_wide_limits {
    double *low, *high, *mean, *z_scale;
    double (*edges)[ERAI_MAX_BINS][ER_DOUBLES];
} er_wide_limits;

typedef struct er_check {
    erai_check_rule rule;
    uint32_t memory; /* of a kind that remembers rows: its place in the session's memory; see erai_guard.memories */
} er_check;

static inline int er_remembers(uint32_t kind) {
    return kind == ERAI_CHECK_STUCK || kind == ERAI_CHECK_STEP || kind == ERAI_CHECK_MONOTONIC;
}

typedef struct er_feature {
    const char *name, *unit, *stand_in; /* the latter two NULL where there is none */
    double low, high;
    double mean, stddev;
    uint64_t reference_rows;
    uint64_t outside; /* values of the reference that are out of range */
    const double *edges;
    const uint64_t *counts;
    uint32_t bins;
    uint32_t check_count;
    er_check *checks;
    const erai_check_rule *missing; /* the one of kind MISSING; NULL: none */
} er_feature;

/* Directions in blocks of 8. Block b reads the first extents[b] features: those after them have no part in any of its
 * directions, as in a triangular factor. factors[b] holds 8 factors, one a direction, for each of those features.
 * Extents are rounded up to multiples of 4, with factors of zero. */
typedef struct er_distance {
    uint32_t verdict;
    uint32_t features, directions, blocks;
    double *mean, *scale; /* one a feature */
    float *weights;       /* padded with zeros to 8 times blocks */
    float **factors;      /* one a block, aligned to 32 bytes */
    uint32_t *extents;
    float rest;
    double threshold, false_rejection_rate;
} er_distance;

typedef struct er_input {
    const char *name;
    int64_t shape[ERAI_MAX_RANK];
    int64_t max_shape[ERAI_MAX_RANK];
    uint32_t rank, dtype, flags;
    int32_t feature_axis;
    uint32_t sketch_stride;
    er_width width;
    int sketched;               /* any of its features has a reference */
    uint32_t checked;           /* features with a check that er_check_row makes: any but MISSING */
    uint32_t *checked_features; /* their places within the input */
    int replaced;               /* any of its features has a check of kind MISSING that changes values */
    int sentinels;              /* any of its features has one that has a number for what is missing */
    int is_state;               /* the session gives it */
    int watched;                /* any of its features is watched for drift, */
    int strided;                /* and some once in several rows */
    uint32_t first_feature, feature_count;
    er_limits limits;      /* ER_NARROW */
    er_wide_limits wide;   /* ER_WIDE */
    er_distance *distance; /* NULL: none */
} er_input;

static inline int er_rank_fits(const er_input *input, uint32_t rank) {
    return input->flags & ERAI_RULE_ANY_RANK ? rank <= ERAI_MAX_RANK : rank == input->rank;
}

/* What is certainly in order of a float32 output, whatever its checks are: what judge.c asks first. */
typedef struct er_glance {
    int usable;                            /* the checks can be summed up like this */
    int of_shares;                         /* some are of the values along the last axis, and not of one value alone */
    double low, high;                      /* of each value */
    double sum_low, sum_high;              /* of shares */
    double least_confidence, least_margin; /* of two shares or more */
} er_glance;

typedef struct er_output {
    const char *name;
    int is_state;     /* the next value of one: judged as a state, and nobody's answer */
    int32_t row_axis; /* -1: none counts rows */
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank, dtype, flags;
    uint32_t default_size;
    const double *default_row;
    uint32_t check_count;
    er_check *checks;
    er_glance glance;
} er_output;

/* A feature that the session makes: see erai_observation_rule. */
typedef struct er_observation {
    uint32_t kind, index, element;
    double limit, bound;
    uint32_t slots;
    const double *slot_means, *slot_scales;
} er_observation;

static inline int er_is_outcome(uint32_t kind) {
    return kind == ERAI_OBSERVE_WRONG || kind == ERAI_OBSERVE_ERROR;
}

static inline int er_is_of_classes(uint32_t kind) {
    return kind == ERAI_OBSERVE_VERDICT || kind == ERAI_OBSERVE_CLASS || kind == ERAI_OBSERVE_CATEGORY;
}

typedef struct er_fallback {
    uint64_t reasons;
    uint32_t steps;
    uint32_t chain[ER_MAX_STEPS];
} er_fallback;

typedef struct er_state {
    uint32_t input, output; /* indices */
    int32_t row_axis;
} er_state;

struct erai_guard {
    uint8_t digest[ERAI_DIGEST_SIZE];
    uint8_t *bytes; /* the program itself, kept to be copied into a spool */
    size_t size;
    int batched;
    er_input *inputs; /* and after these, where there are observations, what is as an input of them */
    er_output *outputs;
    er_feature *features;
    size_t input_count, output_count, feature_count;
    er_observation *observations;
    size_t observation_count;
    er_input *observed,
        *outcomes;        /* of rows of calls, and of rows whose truth has come; NULL: there are none of these */
    size_t watched_count; /* inputs, and these */
    size_t given_count;   /* inputs that are no states, in the order of `inputs`: what callers give */
    er_fallback fallbacks[ER_MAX_FALLBACKS];
    uint32_t fallback_count;
    er_state states[ER_MAX_STATES];
    uint32_t state_count;
    erai_decision_rule decision; /* struct_size 0: no such rule, and all of it off */
    erai_drift_rule drift;       /* struct_size 0: nothing is watched */
    erai_events_rule events;     /* struct_size 0: no such rule */
    int timed;                   /* any check asks for the wall clock */
    int seasonal;                /* and any observation does */
    uint32_t memories;           /* checks that remember rows, over all features */
    void **blocks;               /* everything above that was allocated */
    size_t block_count;
};

static inline er_width er_width_of(uint32_t dtype) {
    switch (dtype) {
    case ERAI_DTYPE_STRING: return ER_TEXT;
    case ERAI_DTYPE_FLOAT64:
    case ERAI_DTYPE_INT32:
    case ERAI_DTYPE_UINT32:
    case ERAI_DTYPE_INT64:
    case ERAI_DTYPE_UINT64: return ER_WIDE;
    default: return ER_NARROW;
    }
}

static inline int er_is_float(uint32_t dtype) {
    return dtype == ERAI_DTYPE_FLOAT32 || dtype == ERAI_DTYPE_FLOAT64 || dtype == ERAI_DTYPE_FLOAT16 ||
           dtype == ERAI_DTYPE_BFLOAT16;
}

/* What a check is of: a feature, with the type of its input, or an output. */
typedef struct er_subject {
    const char *name;
    uint32_t dtype;
    uint32_t flags; /* of an output */
    int is_output;
} er_subject;

/* guard_rules.c: the greatest finite number of a float type; of other types any number has its place below it. */
double er_greatest(uint32_t dtype);

/* guard_rules.c: what is held of a rule before its fields are read: that it is there and of this size, that an array of
 * so many is there, that a name is one. */
erai_status er_check_given(const void *policy, const void *rule, size_t size, const char *name, char *detail);
erai_status er_check_array(const void *values, uint32_t count, const char *name, char *detail);
erai_status er_check_name(const char *name, const char *what, char *detail);

/* guard_rules.c: checks a rule of either direction; shared by the composer and the reader so that both refuse the same
 * things. */
erai_status er_check_input(const er_input *input, int batched, char *detail);
erai_status er_check_feature(const er_feature *feature, uint32_t dtype, char *detail);
erai_status er_check_output(const er_output *output, int batched, char *detail);
/* Of an output or a state: `what` says which. */
erai_status er_check_row_size(const char *what, const char *name, const int64_t *shape, uint32_t rank, char *detail);
erai_status er_check_check(const erai_check_rule *rule, const er_subject *subject, char *detail);
erai_status er_check_distance(const erai_distance_rule *rule, const er_input *input, int batched, char *detail);
erai_status er_check_fallback(const erai_fallback_rule *rule, char *detail);
erai_status er_check_decision(const erai_decision_rule *rule, char *detail);
erai_status er_check_drift(const erai_drift_rule *rule, char *detail);
erai_status er_check_events(const erai_events_rule *rule, char *detail);
erai_status er_check_observation(const er_observation *rule, const er_feature *feature, char *detail);
/* Whether a feature of the input may leave the device in this form, by what its input is and its reference. */
int er_may_leave(const er_input *input, uint32_t bins, uint32_t form, int batched);
/* Whether a row of the input has one value of each feature. */
int er_has_one_value(const er_input *input, int batched);
/* Whether a feature of the input can be watched, by what its input is and whether it has a reference. */
int er_is_watchable(const er_input *input, uint32_t bins, int batched);

/* guard.c: a feature's record, its checks among it. */
erai_status er_read_feature(erai_guard *guard, er_reader *in, er_feature *feature, uint32_t dtype, uint32_t version,
                            char *detail);

/* guard_observations.c: after the inputs, the outputs and the states. */
erai_status er_read_observations(erai_guard *guard, er_reader *in, uint32_t version, char *detail);

/* guard_layout.c: what the hot path reads, made from what was read. 0 when out of memory. */
int er_lay_out_input(erai_guard *guard, er_input *input);
void er_lay_out_output(er_output *output);
int er_lay_out_distance(erai_guard *guard, er_input *input, const erai_distance_rule *rule);
/* Zeroed memory that lives as long as the guard; NULL when there is none. */
void *er_guard_keep(erai_guard *guard, size_t count, size_t size);

/* Format version 5 of docs/formats/guard.md; those before are read too. */
#define ER_GUARD_MAGIC "ERAIGRD\n"
#define ER_GUARD_VERSION 5u
#define ER_GUARD_HEADER 24u

#endif
