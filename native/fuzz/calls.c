/* See calls.h. SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CALLS 8
#define MOST_TENSORS 4
#define MOST_AXES (ERAI_MAX_RANK + 4) /* more than a tensor may have */

static void must(int holds) {
    if (!holds) abort();
}

uint32_t fuzz_take(fuzz_bytes *bytes, uint32_t below) {
    uint32_t value = 0;
    for (uint32_t most = 1; most < below && bytes->left > 0; most *= 256, bytes->left--)
        value = value << 8 | *bytes->at++;
    return value % below;
}

/* ---- Programs ---- */

static void add_features(erai_policy *policy, const erai_input_rule *input) {
    static const uint32_t bins[] = {ERAI_MAX_BINS, 5, 2, 1, 0};
    double edges[ERAI_MAX_BINS - 1];
    uint64_t counts[ERAI_MAX_BINS];
    for (int i = 0; i < ERAI_MAX_BINS - 1; i++) edges[i] = (i - 15) / 4.0;
    for (int i = 0; i < ERAI_MAX_BINS; i++) counts[i] = (uint64_t)i;
    int64_t count = input->feature_axis < 0 ? 1 : input->shape[input->feature_axis];
    for (int64_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%d", input->name, (int)i);
        erai_feature_rule feature = {.struct_size = sizeof feature,
                                     .name = name,
                                     .low = i % 3 == 2 ? -INFINITY : -10.0,
                                     .high = i % 3 == 1 ? INFINITY : 10.0,
                                     .mean = 0.5,
                                     .stddev = i % 4 == 3 ? 0.0 : 2.0,
                                     .reference_rows = 496,
                                     .edges = edges,
                                     .counts = counts,
                                     .bins = bins[i % 5]};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    }
}

erai_guard *fuzz_guard(const fuzz_program *program) {
    erai_policy *policy = NULL;
    erai_guard *guard = NULL;
    size_t size;
    must(erai_policy_open(program->batched, &policy) == ERAI_OK);
    for (const erai_input_rule *rule = program->inputs; rule->name; rule++) {
        erai_input_rule input = *rule;
        input.struct_size = sizeof input;
        must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
        add_features(policy, rule);
    }
    for (const erai_output_rule *rule = program->outputs; rule->name; rule++) {
        erai_output_rule output = *rule;
        output.struct_size = sizeof output;
        must(erai_policy_add_output(policy, &output, NULL) == ERAI_OK);
    }
    must(erai_policy_write(policy, NULL, 0, &size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(size);
    must(bytes && erai_policy_write(policy, bytes, size, &size, NULL) == ERAI_OK);
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    free(bytes);
    erai_policy_close(policy);
    return guard;
}

/* ---- Tensors ---- */

/* The tensors of one half of a call, with the memory they point to. */
typedef struct tensor_set {
    erai_tensor tensors[MOST_TENSORS];
    int64_t shapes[MOST_TENSORS][MOST_AXES];
    void *data[MOST_TENSORS];
    size_t count;
} tensor_set;

static void tensor_set_free(tensor_set *set) {
    for (size_t i = 0; i < set->count; i++) free(set->data[i]);
}

/* Gives a shape or type that the rule does not have, or, rarely, has. */
static void distort(fuzz_bytes *bytes, int64_t *shape, erai_tensor *tensor) {
    static const int64_t extents[] = {0,
                                      -1,
                                      INT64_MIN,
                                      INT64_MAX,
                                      1,
                                      2,
                                      UINT16_MAX,
                                      INT32_MAX,
                                      (int64_t)1 << 32,
                                      ((int64_t)1 << 32) + 1,
                                      INT64_MAX / 4};
    uint32_t what = fuzz_take(bytes, 8);
    if (what & 1) shape[fuzz_take(bytes, MOST_AXES)] = extents[fuzz_take(bytes, sizeof extents / sizeof *extents)];
    if (what & 2) tensor->dtype = fuzz_take(bytes, 32);
    if (what & 4) tensor->rank = fuzz_take(bytes, MOST_AXES + 1);
}

/* Bytes that the shape claims; 0 when they are more than FUZZ_MOST_BYTES. */
static int claimed(const erai_tensor *tensor, size_t *size) {
    *size = erai_dtype_size(tensor->dtype);
    int fits = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 1) {
            *size = 0; /* no value, whatever the other extents */
            return 1;
        }
        fits = fits && (uint64_t)tensor->shape[i] <= FUZZ_MOST_BYTES / (*size ? *size : 1);
        *size *= fits ? (size_t)tensor->shape[i] : 1;
    }
    return fits;
}

/* Memory as large as the shape says, holding some of the bytes over and over. */
static void *fill(fuzz_bytes *bytes, size_t size) {
    uint8_t *data = calloc(size ? size : 1, 1);
    must(data != NULL);
    size_t period = fuzz_take(bytes, 256);
    if (period > bytes->left) period = bytes->left;
    for (size_t i = 0; period && i < size; i++) data[i] = bytes->at[i % period];
    bytes->at += period;
    bytes->left -= period;
    return data;
}

/* Whether the rule's type, rank and extents are those of the tensor, so that its values may be read. */
static int fits_rule(const erai_input_rule *rule, const erai_tensor *tensor) {
    if (tensor->dtype != rule->dtype || tensor->rank != rule->rank) return 0;
    for (uint32_t i = 0; i < rule->rank; i++) {
        int64_t extent = tensor->shape[i];
        if (rule->shape[i] < 0 ? extent < 1 || extent > rule->max_shape[i] : extent != rule->shape[i]) return 0;
    }
    return 1;
}

/* A tensor of the rule's type and rank; its free extents are `rows`, in axis 0 of a batched program, or small. */
static void shape_tensor(fuzz_bytes *bytes, tensor_set *set, const int64_t *shape, uint32_t rank, uint32_t dtype,
                         int64_t rows) {
    int64_t *mine = set->shapes[set->count];
    erai_tensor *tensor = &set->tensors[set->count];
    *tensor = (erai_tensor){.shape = mine, .rank = rank, .dtype = dtype};
    for (uint32_t i = 0; i < MOST_AXES; i++) mine[i] = 1;
    for (uint32_t i = 0; i < rank; i++) {
        int counts_rows = rows && i == 0;
        mine[i] = counts_rows ? rows : shape[i] >= 0 ? shape[i] : 1 + (int64_t)fuzz_take(bytes, 5);
    }
    if (fuzz_take(bytes, 8) == 7) distort(bytes, mine, tensor);
}

static void give_values(fuzz_bytes *bytes, tensor_set *set, size_t size) {
    set->data[set->count] = fill(bytes, size);
    set->tensors[set->count].data = set->data[set->count];
    set->count++;
}

/* Returns whether every tensor fits its rule and all have the same rows: only then are values judged. */
static int make_inputs(const erai_guard *guard, fuzz_bytes *bytes, int64_t rows, tensor_set *set) {
    int all_fit = 1;
    for (size_t i = 0; i < erai_guard_inputs(guard); i++) {
        erai_input_rule rule;
        size_t size;
        must(erai_guard_input(guard, i, &rule) == ERAI_OK);
        shape_tensor(bytes, set, rule.shape, rule.rank, rule.dtype, rows);
        const erai_tensor *tensor = &set->tensors[i];
        int fits = fits_rule(&rule, tensor), held = claimed(tensor, &size);
        must(held || !fits); /* else the program allows more than FUZZ_MOST_BYTES */
        give_values(bytes, set, held ? size : 0);
        all_fit = all_fit && fits && (!rows || tensor->shape[0] == set->tensors[0].shape[0]);
    }
    return all_fit;
}

static void make_outputs(const erai_guard *guard, fuzz_bytes *bytes, int64_t rows, tensor_set *set) {
    for (size_t i = 0; i < erai_guard_outputs(guard); i++) {
        erai_output_rule rule;
        size_t size;
        must(erai_guard_output(guard, i, &rule) == ERAI_OK);
        shape_tensor(bytes, set, rule.shape, rule.rank, rule.dtype, rows);
        int held = claimed(&set->tensors[i], &size);
        if (!held && set->tensors[i].dtype == rule.dtype) set->tensors[i].dtype = 0;
        give_values(bytes, set, held ? size : 0);
    }
}

/* ---- What the header promises ---- */

static void check_reasons(const erai_answer *answer, size_t rows) {
    const erai_reason *reasons;
    size_t count = erai_answer_reasons(answer, &reasons);
    must(count <= ERAI_MOST_REASONS);
    for (size_t i = 0; i < count; i++) {
        must(reasons[i].row >= -1 && reasons[i].row < (int64_t)rows && reasons[i].subject[0] != '\0');
        must(strcmp(erai_reason_name(reasons[i].code), "unknown") != 0);
    }
    must((count == 0) == (erai_answer_verdict(answer) == ERAI_VERDICT_ACCEPT));
}

static void check_admitted(const erai_answer *answer, size_t admitted, int all_fit, size_t rows) {
    const uint8_t *verdicts;
    size_t judged = erai_answer_rows(answer, &verdicts, NULL), rejected = 0;
    for (size_t row = 0; row < judged; row++) rejected += verdicts[row] == ERAI_VERDICT_REJECT;
    must(judged >= 1 && judged - rejected == admitted);
    must(all_fit ? judged == rows : admitted == 0);
    check_reasons(answer, judged);
}

/* Reads every byte of every output: the sanitizer sees one that is not there. */
static void read_outputs(const erai_answer *answer, const erai_guard *guard) {
    volatile uint8_t sum = 0;
    erai_tensor tensor;
    for (size_t i = 0; i < erai_guard_outputs(guard); i++) {
        must(erai_answer_output(answer, i, &tensor) == ERAI_OK && tensor.rank <= ERAI_MAX_RANK);
        size_t size = erai_dtype_size(tensor.dtype);
        must(size > 0);
        for (uint32_t axis = 0; axis < tensor.rank; axis++) size *= (size_t)tensor.shape[axis];
        for (size_t at = 0; at < size; at++) sum = (uint8_t)(sum + ((const uint8_t *)tensor.data)[at]);
    }
    must(erai_answer_output(answer, erai_guard_outputs(guard), &tensor) == ERAI_E_ARGUMENT);
}

static size_t check_judged(const erai_answer *answer, const erai_guard *guard) {
    const uint8_t *verdicts, *sources;
    size_t rows = erai_answer_rows(answer, &verdicts, &sources);
    uint8_t worst = 0, greatest = 0;
    for (size_t row = 0; row < rows; row++) {
        must(verdicts[row] != ERAI_VERDICT_REJECT || sources[row] != ERAI_SOURCE_PRIMARY);
        if (verdicts[row] > worst) worst = verdicts[row];
        if (sources[row] > greatest) greatest = sources[row];
    }
    must(rows >= 1 && worst <= ERAI_VERDICT_REJECT && greatest <= ERAI_SOURCE_NONE);
    must(worst == erai_answer_verdict(answer) && greatest == erai_answer_source(answer));
    must((*erai_answer_accepted(answer) != 0) == (worst == ERAI_VERDICT_ACCEPT));
    check_reasons(answer, rows);
    read_outputs(answer, guard);
    return rows;
}

static void check_counted(erai_session *session, uint64_t rows) {
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    must(erai_session_snapshot(session, &snapshot, NULL) == ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    for (uint32_t i = 0; i < info.verdicts; i++) rows -= info.rows_by_verdict[i];
    must(rows == 0);
    erai_snapshot_close(snapshot);
}

/* ---- Calls ---- */

/* Returns the number of rows answered. */
static size_t call(erai_session *session, erai_answer *answer, fuzz_bytes *bytes) {
    const erai_guard *guard = erai_session_guard(session);
    erai_input_rule first;
    must(erai_guard_input(guard, 0, &first) == ERAI_OK);
    int64_t rows = erai_guard_batched(guard) ? 1 + (int64_t)fuzz_take(bytes, (uint32_t)first.max_shape[0]) : 0;
    tensor_set inputs = {.count = 0}, outputs = {.count = 0};
    size_t admitted = 0, answered = 0;
    int all_fit = make_inputs(guard, bytes, rows, &inputs);
    must(erai_admit(session, inputs.tensors, inputs.count, answer, &admitted) == ERAI_OK);
    size_t expected = rows ? (size_t)inputs.tensors[0].shape[0] : 1;
    check_admitted(answer, admitted, all_fit, expected);
    if (fuzz_take(bytes, 8) == 7) { /* an application that thinks better of it */
        tensor_set_free(&inputs);
        return 0;
    }
    if (admitted || fuzz_take(bytes, 4) == 3) make_outputs(guard, bytes, rows, &outputs);
    erai_status status = erai_judge(session, outputs.count ? outputs.tensors : NULL, outputs.count, answer);
    if (status)
        must(status == ERAI_E_ARGUMENT && !erai_answer_rows(answer, NULL, NULL) && erai_answer_detail(answer)[0]);
    else
        answered = check_judged(answer, guard);
    tensor_set_free(&inputs);
    tensor_set_free(&outputs);
    return answered;
}

void fuzz_calls(const erai_guard *guard, fuzz_bytes *bytes) {
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    uint64_t rows = 0;
    must(erai_session_open_guard(guard, digest, NULL, &session, NULL) == ERAI_OK);
    must(erai_answer_open(session, &answer) == ERAI_OK);
    for (int i = 0; i < MOST_CALLS && bytes->left; i++) rows += call(session, answer, bytes);
    check_counted(session, rows);
    erai_answer_close(answer);
    erai_session_close(session);
}
