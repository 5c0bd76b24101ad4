/* Fuzzes the guard program: the bytes as they are, and sealed with a length and CRC that fit. What opens is read to its
 * last rule and put to use: a session admits inputs of the stated shapes, judges outputs of theirs, and is asked for
 * everything else. Build with -fsanitize=fuzzer, or with replay.c to run a corpus. SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "edge_rai.h"
#include "program.h"
#include "tensor_set.h"
#include "test_guard.h"

#define MOST_VALUES 65536u
#define ROWS 3
#define CALLS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds) {
    if (!holds) abort();
}

/* ---- Reading ---- */

static volatile double sink; /* what is read must not be left out */

static void read_text(const char *text) {
    must(!text || strlen(text) <= UINT16_MAX);
}

static void read_checks(const erai_guard *guard, int of_output, size_t index, size_t count) {
    erai_check_rule rule;
    for (size_t i = 0; i < count; i++) {
        must(erai_guard_check(guard, of_output, index, i, &rule) == ERAI_OK && rule.kind != 0);
        for (uint32_t k = 0; rule.values && k < rule.count; k++) sink = rule.values[k];
        for (uint32_t k = 0; rule.texts && k < rule.count; k++) read_text(rule.texts[k]);
    }
    must(erai_guard_check(guard, of_output, index, count, &rule) == ERAI_E_ARGUMENT);
}

static void read_features(const erai_guard *guard) {
    erai_feature_rule rule;
    size_t count = erai_guard_features(guard);
    for (size_t i = 0; i < count; i++) {
        must(erai_guard_feature(guard, i, &rule) == ERAI_OK && rule.name[0] && rule.low <= rule.high);
        for (uint32_t k = 0; k + 1 < rule.bins; k++) sink = rule.edges[k];
        for (uint32_t k = 0; k < rule.bins; k++) sink = (double)rule.counts[k];
        read_text(rule.unit);
        read_text(rule.stand_in);
        read_checks(guard, 0, i, rule.checks);
    }
    must(erai_guard_feature(guard, count, &rule) == ERAI_E_ARGUMENT);
    must(erai_guard_check(guard, 0, count, 0, &(erai_check_rule){0}) == ERAI_E_ARGUMENT);
}

static void read_outputs(const erai_guard *guard) {
    erai_output_rule rule;
    size_t count = erai_guard_outputs(guard);
    for (size_t i = 0; i < count; i++) {
        must(erai_guard_output(guard, i, &rule) == ERAI_OK && rule.name[0]);
        for (uint32_t k = 0; k < rule.default_size; k++) sink = rule.default_row[k];
        read_checks(guard, 1, i, rule.checks);
    }
    must(erai_guard_output(guard, count, &rule) == ERAI_E_ARGUMENT);
    must(erai_guard_check(guard, 1, count, 0, &(erai_check_rule){0}) == ERAI_E_ARGUMENT);
}

static void read_projection(const erai_guard *guard, size_t input, size_t directions) {
    erai_input_rule rule;
    must(erai_guard_input(guard, input, &rule) == ERAI_OK);
    size_t count = directions * rule.feature_count;
    float *projection = calloc(count + 1, sizeof *projection);
    if (!projection) return;
    must(erai_guard_projection(guard, input, projection) == ERAI_OK);
    for (size_t k = 0; k < count; k++) sink = (double)projection[k];
    free(projection);
}

static void read_events(const erai_guard *guard) {
    erai_events_rule rule;
    if (erai_guard_events(guard, &rule) != ERAI_OK) return;
    must(rule.keep > 0 && rule.features == erai_guard_features(guard));
    for (uint32_t f = 0; f < rule.features; f++) must(rule.forms[f] <= ERAI_FIELD_PLAIN);
}

static void read_rules(const erai_guard *guard) {
    erai_input_rule input;
    erai_distance_rule distance;
    erai_decision_rule decision;
    erai_state_rule state;
    size_t count = erai_guard_inputs(guard), states = 0;
    for (size_t i = 0; i < count; i++)
        if (erai_guard_distance(guard, i, &distance) == ERAI_OK) {
            must(distance.threshold > 0 && distance.mean && !distance.projection);
            read_projection(guard, i, distance.directions);
        }
    must(erai_guard_input(guard, count, &input) == ERAI_E_ARGUMENT);
    must(erai_guard_distance(guard, count, &distance) == ERAI_E_ARGUMENT);
    read_features(guard);
    read_outputs(guard);
    read_events(guard);
    erai_guard_decision(guard, &decision);
    read_text(decision.provider);
    must(decision.struct_size == sizeof decision);
    while (erai_guard_state(guard, states, &state) == ERAI_OK) states++;
    for (size_t i = 0; i < count; i++) states -= (size_t)fuzz_is_state(guard, i);
    must(states == 0);
}

/* ---- Using ---- */

/* MOST_VALUES elements of any type; as float32 they go from -1e38 to infinity. */
static const void *values_of(uint32_t dtype) {
    static _Alignas(8) float numbers[2 * MOST_VALUES]; /* of eight bytes each, as many as asked for */
    static erai_string strings[MOST_VALUES];
    if (!strings[0].size) {
        for (size_t i = 0; i < 2 * MOST_VALUES; i++) numbers[i] = (float)i * 1e34f - 1e38f;
        for (size_t i = 0; i < MOST_VALUES; i++) strings[i] = (erai_string){.bytes = "text", .size = 4};
    }
    return dtype == ERAI_DTYPE_STRING ? (const void *)strings : (const void *)numbers;
}

/* Some of the tensors of a call; `fits`: none has more elements than a fuzzer has patience for. */
typedef struct tensor_list {
    erai_tensor *tensors;
    int64_t (*shapes)[ERAI_MAX_RANK];
    size_t count;
    int fits;
} tensor_list;

static tensor_list list_of(size_t most) {
    tensor_list list = {calloc(most, sizeof *list.tensors), calloc(most, sizeof *list.shapes), 0, 1};
    must(list.tensors && list.shapes);
    return list;
}

static void list_free(tensor_list *list) {
    free(list->tensors);
    free(list->shapes);
}

/* Of the fixed extents; free ones are 1, or in axis 0 at most `rows`. */
static void add_tensor(tensor_list *list, const int64_t *extents, uint32_t rank, uint32_t dtype, int64_t rows) {
    int64_t *shape = list->shapes[list->count];
    size_t elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        shape[i] = extents[i] >= 0 ? extents[i] : i == 0 ? rows : 1;
        if (shape[i] && (size_t)shape[i] > MOST_VALUES / (elements ? elements : 1)) list->fits = 0;
        if (list->fits) elements *= (size_t)shape[i];
    }
    list->tensors[list->count++] = (erai_tensor){values_of(dtype), shape, rank, dtype};
}

static tensor_list inputs_of(const erai_guard *guard) {
    tensor_list list = list_of(erai_guard_inputs(guard));
    for (size_t i = 0; i < erai_guard_inputs(guard); i++) {
        erai_input_rule rule;
        must(erai_guard_input(guard, i, &rule) == ERAI_OK);
        int64_t most = rule.rank ? rule.max_shape[0] : 1;
        if (!fuzz_is_state(guard, i)) add_tensor(&list, rule.shape, rule.rank, rule.dtype, most < ROWS ? most : ROWS);
    }
    return list;
}

static tensor_list outputs_of(const erai_guard *guard, size_t rows) {
    tensor_list list = list_of(erai_guard_outputs(guard));
    for (size_t i = 0; i < erai_guard_outputs(guard); i++) {
        erai_output_rule rule;
        must(erai_guard_output(guard, i, &rule) == ERAI_OK);
        add_tensor(&list, rule.shape, rule.rank, rule.dtype, (int64_t)rows);
    }
    return list;
}

/* What waits for review is answered with the outputs' first row, or, where that is none, without. */
static void drain_reviews(erai_session *session, const tensor_list *outputs) {
    for (;;) {
        erai_review review;
        must(erai_session_review(session, &review) == ERAI_OK);
        if (!review.id) return;
        for (size_t i = 0; i < review.input_count; i++) tensor_read(&review.inputs[i]);
        if (erai_session_override(session, review.id, outputs->tensors, outputs->count, NULL) != ERAI_OK)
            must(erai_session_override(session, review.id, NULL, 0, NULL) == ERAI_OK);
    }
}

static void call(erai_session *session, erai_answer *answer, const tensor_list *inputs, int with_outputs) {
    size_t admitted;
    must(erai_answer_set_keys(answer, &(erai_string){.bytes = "key", .size = 3}, 1) == ERAI_OK);
    must(erai_admit(session, inputs->tensors, inputs->count, answer, &admitted) == ERAI_OK);
    size_t rows = erai_answer_rows(answer, NULL, NULL);
    tensor_list outputs = outputs_of(erai_session_guard(session), rows);
    if (outputs.fits && (with_outputs || admitted)) {
        must(erai_judge(session, outputs.tensors, outputs.count, answer) == ERAI_OK);
    } else if (outputs.fits && !admitted) {
        must(erai_judge(session, NULL, 0, answer) == ERAI_OK);
    }
    list_free(&outputs);
    tensor_list row = outputs_of(erai_session_guard(session), 1);
    if (row.fits) drain_reviews(session, &row);
    list_free(&row);
}

static void use(const erai_guard *guard) {
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    erai_snapshot *snapshot = NULL;
    erai_clock clock = {.monotonic_ns = 1, .unix_ns = 1};
    const erai_session_config config = {.struct_size = sizeof config, .clock = &clock};
    must(erai_session_open_guard(guard, digest, &config, &session, NULL) == ERAI_OK);
    must(erai_answer_open(session, &answer) == ERAI_OK);
    tensor_list inputs = inputs_of(guard);
    for (int i = 0; inputs.fits && i < CALLS; i++, clock.monotonic_ns *= 1000) call(session, answer, &inputs, i == 1);
    erai_session_reset(session);
    must(erai_session_breaker(session) <= ERAI_BREAKER_OPEN);
    /* A call that is refused as a whole is answered in the outputs' stated shape, where that can be had. */
    for (size_t i = 0; i < inputs.count; i++) inputs.tensors[i].dtype = 0;
    call(session, answer, &inputs, 0);
    must(erai_session_snapshot(session, &snapshot, NULL) == ERAI_OK);
    erai_snapshot_close(snapshot);
    list_free(&inputs);
    erai_answer_close(answer);
    erai_session_close(session);
}

static void open_guard(const uint8_t *bytes, size_t size) {
    erai_guard *guard = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_status status = erai_guard_open(bytes, size, &guard, detail);
    /* A failure without a sentence, or a success with one, is a fault as well. */
    must((status == ERAI_OK) == (guard != NULL) && (status == ERAI_OK) == (detail[0] == '\0'));
    if (guard) {
        read_rules(guard);
        use(guard);
    }
    erai_guard_close(guard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = calloc(size ? size : 1, 1); /* ends where the input ends */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    open_guard(copy, size);
    if (size >= 24) {
        test_reseal(copy, size);
        open_guard(copy, size);
    }
    free(copy);
    return 0;
}
