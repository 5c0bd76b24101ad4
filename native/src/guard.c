/* Reading a guard program, docs/formats/guard.md, from bytes that may come from anybody: header and CRC first, then
 * every field bounded before it is used, then the arrays that the hot path reads. */
#include "guard.h"

#include "bytes.h"
#include "crc32.h"
#include "status.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Extents stay below this so that products of two, and of one with an element size, fit into 64 bits. */
#define MAX_EXTENT INT32_MAX

erai_status er_check_input(const er_input *input, int batched, char *detail) {
    if (input->dtype != ERAI_DTYPE_FLOAT32)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': %s; this version takes float32 inputs", input->name,
                       er_dtype_name(input->dtype));
    if (input->flags & ~(ERAI_RULE_FINITE | ERAI_RULE_FLAG_RANGE))
        return er_fail(detail, ERAI_E_POLICY, "input '%s': unknown flags 0x%x", input->name, input->flags);
    if (input->sketch_stride == 0)
        return er_fail(detail, ERAI_E_POLICY, "input '%s': sketch_stride is 0, expected at least 1", input->name);
    for (uint32_t i = 0; i < input->rank; i++) {
        int64_t extent = input->shape[i], most = input->max_shape[i];
        if (extent < -1 || extent == 0 || most < 1 || most > MAX_EXTENT || (extent > 0 && extent != most))
            return er_fail(detail, ERAI_E_POLICY,
                           "input '%s': axis %u is %lld with at most %lld; expected a size from 1 to %d, or -1 with a "
                           "greatest size",
                           input->name, i, (long long)extent, (long long)most, MAX_EXTENT);
    }
    if (batched && (input->rank == 0 || input->shape[0] != -1))
        return er_fail(detail, ERAI_E_POLICY, "input '%s': a batched policy needs a free axis 0", input->name);
    int32_t axis = input->feature_axis;
    if (axis < -1 || axis >= (int32_t)input->rank || (axis >= 0 && input->shape[axis] < 0) || (axis == 0 && batched))
        return er_fail(detail, ERAI_E_POLICY,
                       "input '%s': feature_axis %d; expected -1 or an axis of fixed extent that does not count rows",
                       input->name, axis);
    return ERAI_OK;
}

erai_status er_check_feature(const er_feature *feature, char *detail) {
    if (!(feature->low <= feature->high))
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': low %g is not at most high %g", feature->name,
                       (double)feature->low, (double)feature->high);
    if (!isfinite(feature->mean) || !isfinite(feature->stddev) || feature->stddev < 0)
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': mean %g, standard deviation %g; expected finite numbers",
                       feature->name, feature->mean, feature->stddev);
    if (feature->bins > ERAI_MAX_BINS)
        return er_fail(detail, ERAI_E_POLICY, "feature '%s': %u bins, at most %d", feature->name, feature->bins,
                       ERAI_MAX_BINS);
    for (uint32_t i = 0; i + 1 < feature->bins; i++)
        if (!isfinite(feature->edges[i]) || (i && !(feature->edges[i] > feature->edges[i - 1])))
            return er_fail(detail, ERAI_E_POLICY, "feature '%s': edge %u is %g; edges are finite and increase",
                           feature->name, i, (double)feature->edges[i]);
    return ERAI_OK;
}

/* Whether a default can be stored in an output of this type, and is then still what was written. */
static int storable(uint32_t dtype, double value) {
    if (dtype == ERAI_DTYPE_FLOAT64) return 1;
    if (dtype == ERAI_DTYPE_FLOAT32) return !isfinite(value) || fabs(value) <= (double)FLT_MAX;
    if (value != trunc(value)) return 0;
    switch (dtype) {
    case ERAI_DTYPE_INT8: return value >= INT8_MIN && value <= INT8_MAX;
    case ERAI_DTYPE_INT16: return value >= INT16_MIN && value <= INT16_MAX;
    case ERAI_DTYPE_INT32: return value >= INT32_MIN && value <= INT32_MAX;
    case ERAI_DTYPE_INT64: return value >= -0x1p63 && value < 0x1p63;
    case ERAI_DTYPE_UINT8: return value >= 0 && value <= UINT8_MAX;
    case ERAI_DTYPE_UINT16: return value >= 0 && value <= UINT16_MAX;
    case ERAI_DTYPE_UINT32: return value >= 0 && value <= UINT32_MAX;
    case ERAI_DTYPE_UINT64: return value >= 0 && value < 0x1p64;
    case ERAI_DTYPE_BOOL: return value == 0 || value == 1;
    default: return 0;
    }
}

erai_status er_check_output(const er_output *output, int batched, char *detail) {
    if (!erai_dtype_size(output->dtype))
        return er_fail(detail, ERAI_E_POLICY, "output '%s': %s is not supported", output->name,
                       er_dtype_name(output->dtype));
    if (output->flags & ~(ERAI_RULE_FINITE | ERAI_RULE_HAS_DEFAULT | ERAI_RULE_SHAPE))
        return er_fail(detail, ERAI_E_POLICY, "output '%s': unknown flags 0x%x", output->name, output->flags);
    int64_t elements = 1;
    for (uint32_t i = 0; i < output->rank; i++) {
        int64_t extent = output->shape[i];
        if (extent < -1 || extent == 0 || extent > MAX_EXTENT)
            return er_fail(detail, ERAI_E_POLICY, "output '%s': axis %u is %lld; expected -1 or 1 to %d", output->name,
                           i, (long long)extent, MAX_EXTENT);
        if (batched && i == 0) continue;
        elements = extent < 0 || elements < 0 || elements > ER_MAX_DEFAULT ? -1 : elements * extent;
    }
    if (batched && (output->rank == 0 || output->shape[0] != -1))
        return er_fail(detail, ERAI_E_POLICY, "output '%s': a batched policy needs a free axis 0", output->name);
    for (uint32_t i = 0; i < output->default_size && i < ER_MAX_DEFAULT; i++)
        if (!storable(output->dtype, output->default_row[i]))
            return er_fail(detail, ERAI_E_POLICY, "output '%s': default %g does not fit its data type", output->name,
                           output->default_row[i]);
    int has_default = (output->flags & ERAI_RULE_HAS_DEFAULT) != 0;
    if (has_default != (output->default_size > 0) || output->default_size > ER_MAX_DEFAULT ||
        (output->default_size > 1 && elements != (int64_t)output->default_size))
        return er_fail(detail, ERAI_E_POLICY,
                       "output '%s': a default of %u values; expected 1 or one for each element "
                       "of a row",
                       output->name, output->default_size);
    return ERAI_OK;
}

/* Memory that lives as long as the guard. */
static void *keep(erai_guard *guard, size_t count, size_t size) {
    if ((guard->block_count & (guard->block_count - 1)) == 0) { /* at each power of two, room for the next */
        void **blocks = realloc(guard->blocks, (2 * guard->block_count + 1) * sizeof *blocks);
        if (!blocks) return NULL;
        guard->blocks = blocks;
    }
    void *block = calloc(count ? count : 1, size);
    if (block) guard->blocks[guard->block_count++] = block;
    return block;
}

static const char *read_name(erai_guard *guard, er_reader *in) {
    uint16_t length = er_read_u16(in);
    if (length > ER_MAX_NAME || length == 0) in->failed = 1;
    const uint8_t *bytes = er_read_bytes(in, length);
    if (!bytes || memchr(bytes, 0, length)) {
        in->failed = 1;
        return "";
    }
    char *name = keep(guard, (size_t)length + 1, 1);
    if (!name) {
        in->failed = 1;
        return "";
    }
    memcpy(name, bytes, length);
    return name;
}

static erai_status read_feature(erai_guard *guard, er_reader *in, er_feature *feature, char *detail) {
    feature->name = read_name(guard, in);
    feature->low = er_read_f32(in);
    feature->high = er_read_f32(in);
    feature->mean = er_read_f64(in);
    feature->stddev = er_read_f64(in);
    feature->reference_rows = er_read_u64(in);
    feature->bins = er_read_u8(in);
    if (in->failed || feature->bins > ERAI_MAX_BINS)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: a feature's record is cut short or too large");
    if (feature->bins) {
        float *edges = keep(guard, ERAI_MAX_BINS, sizeof *edges);
        uint64_t *counts = keep(guard, ERAI_MAX_BINS, sizeof *counts);
        if (!edges || !counts) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
        for (uint32_t i = 0; i + 1 < feature->bins; i++) edges[i] = er_read_f32(in);
        for (uint32_t i = 0; i < feature->bins; i++) counts[i] = er_read_u64(in);
        feature->edges = edges;
        feature->counts = counts;
    }
    if (in->failed) return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: a feature's record is cut short");
    return er_check_feature(feature, detail);
}

static erai_status read_input(erai_guard *guard, er_reader *in, er_input *input, char *detail) {
    input->name = read_name(guard, in);
    input->dtype = er_read_u8(in);
    input->rank = er_read_u8(in);
    input->flags = er_read_u32(in);
    input->feature_axis = (int32_t)er_read_u32(in);
    input->sketch_stride = er_read_u32(in);
    if (in->failed || input->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an input's record is cut short or too large");
    for (uint32_t i = 0; i < input->rank; i++) {
        input->shape[i] = (int64_t)er_read_u64(in);
        input->max_shape[i] = (int64_t)er_read_u64(in);
    }
    input->feature_count = er_read_u32(in);
    if (in->failed) return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an input's record is cut short");
    erai_status status = er_check_input(input, guard->batched, detail);
    if (status) return status;
    int64_t expected = input->feature_axis < 0 ? 1 : input->shape[input->feature_axis];
    if (expected != (int64_t)input->feature_count || input->feature_count > ER_MAX_FEATURES - guard->feature_count)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: input '%s' has %u features, expected %lld",
                       input->name, input->feature_count, (long long)expected);
    er_feature *grown = realloc(guard->features, (guard->feature_count + input->feature_count) * sizeof *grown);
    if (!grown) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    guard->features = grown;
    input->first_feature = (uint32_t)guard->feature_count;
    for (uint32_t i = 0; i < input->feature_count; i++) {
        er_feature *feature = &guard->features[guard->feature_count];
        memset(feature, 0, sizeof *feature);
        status = read_feature(guard, in, feature, detail);
        if (status) return status;
        guard->feature_count++;
    }
    return ERAI_OK;
}

static erai_status read_output(erai_guard *guard, er_reader *in, er_output *output, char *detail) {
    output->name = read_name(guard, in);
    output->dtype = er_read_u8(in);
    output->rank = er_read_u8(in);
    output->flags = er_read_u32(in);
    if (in->failed || output->rank > ERAI_MAX_RANK)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an output's record is cut short or too large");
    for (uint32_t i = 0; i < output->rank; i++) output->shape[i] = (int64_t)er_read_u64(in);
    output->default_size = er_read_u32(in);
    if (in->failed || output->default_size > ER_MAX_DEFAULT)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an output's record is cut short or too large");
    double *row = keep(guard, output->default_size, sizeof *row);
    if (!row) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (uint32_t i = 0; i < output->default_size; i++) row[i] = er_read_f64(in);
    output->default_row = row;
    if (in->failed) return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: an output's record is cut short");
    return er_check_output(output, guard->batched, detail);
}

static void fill_limits(er_input *input, const er_feature *feature, const er_limits *limits, size_t at) {
    limits->low[at] = feature->low < -FLT_MAX ? -FLT_MAX : feature->low;
    limits->high[at] = feature->high > FLT_MAX ? FLT_MAX : feature->high;
    float mean = (float)feature->mean, z_scale = feature->stddev > 0 ? (float)(256.0 / feature->stddev) : 0.0f;
    int usable = feature->bins && isfinite(mean) && isfinite(z_scale) && z_scale > 0.0f;
    /* Both or neither: (value - mean) may be infinite, and infinity times zero is no number. */
    limits->mean[at] = usable ? mean : 0.0f;
    limits->z_scale[at] = usable ? z_scale : 0.0f;
    for (uint32_t i = 0; i < ERAI_MAX_BINS; i++)
        limits->edges[at][i] = i + 1 < feature->bins ? feature->edges[i] : INFINITY;
    input->sketched |= feature->bins > 0;
}

static int make_limits(erai_guard *guard) {
    er_limits *limits = &guard->limits;
    limits->low = keep(guard, guard->feature_count, sizeof(float));
    limits->high = keep(guard, guard->feature_count, sizeof(float));
    limits->mean = keep(guard, guard->feature_count, sizeof(float));
    limits->z_scale = keep(guard, guard->feature_count, sizeof(float));
    limits->edges = keep(guard, guard->feature_count, sizeof *limits->edges);
    return limits->low && limits->high && limits->mean && limits->z_scale && limits->edges;
}

static int compare_names(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Telemetry tells features apart by name alone, so a name belongs to one of them, whatever the input. */
static erai_status check_names_differ(const erai_guard *guard, char *detail) {
    const char **names = malloc(guard->feature_count * sizeof *names);
    if (!names) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < guard->feature_count; i++) names[i] = guard->features[i].name;
    qsort(names, guard->feature_count, sizeof *names, compare_names);
    erai_status status = ERAI_OK;
    for (size_t i = 1; !status && i < guard->feature_count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status =
                er_fail(detail, ERAI_E_GUARD_FORMAT,
                        "feature '%s': more than one feature has this name; names differ over all inputs", names[i]);
    free(names);
    return status;
}

static erai_status read_body(erai_guard *guard, er_reader *in, char *detail) {
    uint8_t batched = er_read_u8(in);
    guard->input_count = er_read_u16(in);
    guard->output_count = er_read_u16(in);
    if (in->failed || batched > 1 || guard->input_count < 1 || guard->input_count > ER_MAX_INPUTS ||
        guard->output_count < 1 || guard->output_count > ER_MAX_OUTPUTS)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: %zu inputs and %zu outputs; expected 1 to %d",
                       guard->input_count, guard->output_count, ER_MAX_INPUTS);
    guard->batched = batched;
    guard->inputs = keep(guard, guard->input_count, sizeof *guard->inputs);
    guard->outputs = keep(guard, guard->output_count, sizeof *guard->outputs);
    if (!guard->inputs || !guard->outputs) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < guard->input_count; i++) {
        erai_status status = read_input(guard, in, &guard->inputs[i], detail);
        if (status) return status;
    }
    for (size_t i = 0; i < guard->output_count; i++) {
        erai_status status = read_output(guard, in, &guard->outputs[i], detail);
        if (status) return status;
    }
    if (in->at != in->size) return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: bytes after its last output");
    erai_status status = check_names_differ(guard, detail);
    if (status) return status;
    if (!make_limits(guard)) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    for (size_t i = 0; i < guard->input_count; i++)
        for (size_t f = 0; f < guard->inputs[i].feature_count; f++) {
            size_t at = guard->inputs[i].first_feature + f;
            fill_limits(&guard->inputs[i], &guard->features[at], &guard->limits, at);
        }
    return ERAI_OK;
}

static erai_status read_program(erai_guard *guard, const uint8_t *bytes, size_t size, char *detail) {
    er_reader in = {.data = bytes, .size = size};
    const uint8_t *magic = er_read_bytes(&in, 8);
    uint32_t version = er_read_u32(&in);
    uint32_t zero = er_read_u32(&in);
    uint32_t body = er_read_u32(&in);
    uint32_t crc = er_read_u32(&in);
    if (in.failed || memcmp(magic, ER_GUARD_MAGIC, 8) != 0)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "not a guard program");
    if (version > ER_GUARD_VERSION)
        return er_fail(detail, ERAI_E_GUARD_NEWER,
                       "guard program of format version %u; this build understands up to %u: update edge_rai", version,
                       ER_GUARD_VERSION);
    if (version == 0 || zero != 0 || body != size - ER_GUARD_HEADER)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program of %zu bytes: its header says %zu", size,
                       (size_t)body + ER_GUARD_HEADER);
    if (er_crc32(0, bytes + ER_GUARD_HEADER, body) != crc)
        return er_fail(detail, ERAI_E_GUARD_FORMAT, "guard program: its checksum does not match its contents");
    erai_status status = read_body(guard, &in, detail);
    /* A rule that erai_policy_* would refuse is, in a file, a malformed file. */
    return status == ERAI_E_POLICY ? ERAI_E_GUARD_FORMAT : status;
}

erai_status erai_guard_open(const uint8_t *bytes, size_t size, erai_guard **out, char *detail) {
    if (!bytes || !out) return er_fail(detail, ERAI_E_ARGUMENT, "erai_guard_open: NULL");
    erai_guard *guard = calloc(1, sizeof *guard);
    if (!guard) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_status status = read_program(guard, bytes, size, detail);
    if (!status) {
        guard->bytes = keep(guard, size, 1);
        if (!guard->bytes) status = er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    if (status) {
        erai_guard_close(guard);
        return status;
    }
    memcpy(guard->bytes, bytes, size);
    guard->size = size;
    erai_sha256(bytes, size, guard->digest);
    *out = guard;
    return ERAI_OK;
}

void erai_guard_close(erai_guard *guard) {
    if (!guard) return;
    for (size_t i = 0; i < guard->block_count; i++) free(guard->blocks[i]);
    free(guard->blocks);
    free(guard->features);
    free(guard);
}

int erai_guard_batched(const erai_guard *guard) {
    return guard->batched;
}
size_t erai_guard_inputs(const erai_guard *guard) {
    return guard->input_count;
}
size_t erai_guard_features(const erai_guard *guard) {
    return guard->feature_count;
}
size_t erai_guard_outputs(const erai_guard *guard) {
    return guard->output_count;
}

erai_status erai_guard_input(const erai_guard *guard, size_t index, erai_input_rule *rule) {
    if (index >= guard->input_count) return ERAI_E_ARGUMENT;
    const er_input *input = &guard->inputs[index];
    *rule = (erai_input_rule){.struct_size = sizeof *rule,
                              .name = input->name,
                              .shape = input->shape,
                              .max_shape = input->max_shape,
                              .rank = input->rank,
                              .dtype = input->dtype,
                              .flags = input->flags,
                              .feature_axis = input->feature_axis,
                              .sketch_stride = input->sketch_stride,
                              .feature_count = input->feature_count};
    return ERAI_OK;
}

erai_status erai_guard_feature(const erai_guard *guard, size_t index, erai_feature_rule *rule) {
    if (index >= guard->feature_count) return ERAI_E_ARGUMENT;
    const er_feature *feature = &guard->features[index];
    *rule = (erai_feature_rule){.struct_size = sizeof *rule,
                                .name = feature->name,
                                .low = feature->low,
                                .high = feature->high,
                                .mean = feature->mean,
                                .stddev = feature->stddev,
                                .reference_rows = feature->reference_rows,
                                .edges = feature->edges,
                                .counts = feature->counts,
                                .bins = feature->bins};
    return ERAI_OK;
}

erai_status erai_guard_output(const erai_guard *guard, size_t index, erai_output_rule *rule) {
    if (index >= guard->output_count) return ERAI_E_ARGUMENT;
    const er_output *output = &guard->outputs[index];
    *rule = (erai_output_rule){.struct_size = sizeof *rule,
                               .name = output->name,
                               .shape = output->shape,
                               .default_row = output->default_row,
                               .rank = output->rank,
                               .dtype = output->dtype,
                               .flags = output->flags,
                               .default_size = output->default_size};
    return ERAI_OK;
}
