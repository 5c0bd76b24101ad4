/* The guard program in memory, laid out for one pass over the input. */
#ifndef ER_GUARD_H
#define ER_GUARD_H

#include "edge_rai.h"

#define ER_MAX_INPUTS 256
#define ER_MAX_OUTPUTS 256
#define ER_MAX_FEATURES 65536
#define ER_MAX_NAME 1024
#define ER_MAX_DEFAULT 65536

/* What admitting a row reads, and nothing else, by feature and apart, so that a row of columns is checked and summed
 * several values at a time. */
typedef struct er_limits {
    float *low; /* at least -FLT_MAX, whatever the rule: one comparison finds NaN and infinities too */
    float *high;
    float *mean;                   /* 0 where z_scale is */
    float *z_scale;                /* 256 / stddev; 0 when constant or without reference */
    float (*edges)[ERAI_MAX_BINS]; /* the last is padding; unused ones are +inf */
} er_limits;

typedef struct er_feature {
    const char *name;
    float low, high;
    double mean, stddev;
    uint64_t reference_rows;
    const float *edges;
    const uint64_t *counts;
    uint32_t bins;
} er_feature;

typedef struct er_input {
    const char *name;
    int64_t shape[ERAI_MAX_RANK];
    int64_t max_shape[ERAI_MAX_RANK];
    uint32_t rank, dtype, flags;
    int32_t feature_axis;
    uint32_t sketch_stride;
    int sketched; /* any of its features has a reference */
    uint32_t first_feature, feature_count;
} er_input;

typedef struct er_output {
    const char *name;
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank, dtype, flags;
    uint32_t default_size;
    const double *default_row;
} er_output;

struct erai_guard {
    uint8_t digest[ERAI_DIGEST_SIZE];
    uint8_t *bytes; /* the program itself, kept to be copied into a spool */
    size_t size;
    int batched;
    er_input *inputs;
    er_output *outputs;
    er_feature *features;
    er_limits limits;
    size_t input_count, output_count, feature_count;
    void **blocks; /* everything above that was allocated */
    size_t block_count;
};

/* Checks a rule of either direction; shared by the composer and the reader so that both refuse the same things. */
erai_status er_check_input(const er_input *input, int batched, char *detail);
erai_status er_check_feature(const er_feature *feature, char *detail);
erai_status er_check_output(const er_output *output, int batched, char *detail);

/* Format version 1 of docs/formats/guard.md. */
#define ER_GUARD_MAGIC "ERAIGRD\n"
#define ER_GUARD_VERSION 1u
#define ER_GUARD_HEADER 24u

#endif
