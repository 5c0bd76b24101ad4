/* See calls.h. SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "session.h"
#include "values.h"

#define MOST_CALLS 8
#define MOST_EVENTS 4 /* before a half of a call */
#define MOST_KEYS 8

/* A session, and what it must have counted. */
typedef struct run {
    erai_session *session;
    const erai_guard *guard;
    erai_clock clock;
    erai_answer *answer; /* of the call at hand */
    size_t keys;         /* it was given */
    uint64_t rows, errors, overrides;
} run;

static void must(int holds) {
    if (!holds) abort();
}

/* ---- What the header promises of an answer ---- */

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
    must(judged - rejected == admitted);
    must(all_fit ? judged == rows : admitted == 0);
    check_reasons(answer, judged);
}

static void read_value(const erai_value *value) {
    if (value->kind == ERAI_VALUE_TENSOR) tensor_read(&value->tensor);
    for (size_t i = 0; value->kind >= ERAI_VALUE_SEQUENCE && i < value->count; i++) read_value(&value->items[i]);
}

static void read_outputs(const run *it) {
    erai_output_rule rule;
    erai_tensor tensor;
    erai_value value;
    size_t count = erai_guard_outputs(it->guard);
    for (size_t i = 0; i < count; i++) {
        must(erai_guard_output(it->guard, i, &rule) == ERAI_OK);
        must(erai_answer_value(it->answer, i, &value) == ERAI_OK);
        must((erai_answer_output(it->answer, i, &tensor) == ERAI_OK) == (rule.dtype != 0));
        read_value(&value);
        if (!rule.dtype) continue;
        must(value.kind == ERAI_VALUE_TENSOR && value.tensor.data == tensor.data);
        must(tensor.dtype == rule.dtype && tensor.rank <= ERAI_MAX_RANK);
    }
    must(erai_answer_output(it->answer, count, &tensor) == ERAI_E_ARGUMENT);
    must(erai_answer_value(it->answer, count, &value) == ERAI_E_ARGUMENT);
}

/* Returns the number of rows. */
static size_t check_judged(const run *it) {
    const erai_answer *answer = it->answer;
    const uint8_t *verdicts, *sources;
    const uint64_t *ids = erai_answer_review(answer);
    size_t rows = erai_answer_rows(answer, &verdicts, &sources);
    int refused = !rows && erai_answer_verdict(answer) == ERAI_VERDICT_REJECT;
    uint8_t worst = 0, greatest = refused ? ERAI_SOURCE_NONE : 0;
    for (size_t row = 0; row < rows; row++) {
        must((verdicts[row] == ERAI_VERDICT_REJECT) == (sources[row] != ERAI_SOURCE_PRIMARY));
        must((sources[row] == ERAI_SOURCE_ABSTAIN) == (ids && ids[row]));
        must(sources[row] != ERAI_SOURCE_FALLBACK_MODEL);
        if (verdicts[row] > worst) worst = verdicts[row];
        if (sources[row] > greatest) greatest = sources[row];
    }
    must(worst <= ERAI_VERDICT_REJECT && greatest <= ERAI_SOURCE_NONE);
    must((worst == erai_answer_verdict(answer) || !rows) && greatest == erai_answer_source(answer));
    uint64_t layout = *erai_answer_layout(answer);
    must(layout >= 2 && layout % 2 == (erai_answer_verdict(answer) != ERAI_VERDICT_ACCEPT));
    check_reasons(answer, rows);
    read_outputs(it);
    return rows;
}

static void check_counted(const run *it) {
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    must(erai_session_snapshot(it->session, &snapshot, NULL) == ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    uint64_t rows = it->rows, sources = it->rows;
    for (uint32_t i = 0; i < info.verdicts; i++) rows -= info.rows_by_verdict[i];
    for (uint32_t i = 0; i < info.sources; i++) sources -= info.rows_by_source[i];
    must(rows == 0 && sources == 0 && info.errors == it->errors);
    must(info.decisions[ERAI_COUNT_OVERRIDES] == it->overrides);
    erai_snapshot_close(snapshot);
}

/* ---- What a model would be given, and leave behind ---- */

/* Every byte is there, and rows that were not rejected are the caller's where nothing was missing. */
static void check_staged(const run *it, size_t index) {
    erai_answer *answer = it->answer;
    const er_input *input = &it->guard->inputs[index];
    const erai_tensor *tensor = &answer->inputs[index];
    size_t bytes = 0;
    for (int shift = 0; shift < 2; shift++) {
        erai_tensor staged;
        must(er_stage(answer, index, shift ? ER_WITHHELD : UINT64_MAX, shift, &staged) == ERAI_OK);
        tensor_read(&staged);
        must(er_tensor_bytes(tensor->shape, tensor->rank, tensor->dtype, &bytes));
        bytes /= answer->rows ? answer->rows : 1;
        for (size_t row = 0; bytes && !input->replaced && row < answer->rows; row++) {
            const char *was = (const char *)tensor->data + row * bytes, *is = (const char *)staged.data + row * bytes;
            must(answer->verdicts[row] == ERAI_VERDICT_REJECT || memcmp(was, is, bytes) == 0);
        }
    }
}

/* The states of a session that runs a model itself. Afterwards the answer may have reasons that nobody counted. */
static void carry_states(const run *it) {
    er_recurrent *states = it->session->recurrent;
    if (!states) return;
    must(er_recurrent_give(states, it->answer) == ERAI_OK);
    er_recurrent_take(states, it->answer);
    must(er_recurrent_give(states, it->answer) == ERAI_OK);
    if (!er_has_shape(it->answer)) return;
    for (size_t i = 0; i < it->guard->input_count; i++)
        if (it->guard->inputs[i].is_state) tensor_read(&it->answer->inputs[i]);
}

/* A tensor of one axis in the nest's memory. */
static erai_value make_items(er_nest *nest, fuzz_bytes *bytes, uint32_t dtype, uint32_t count) {
    int64_t *shape = er_nest_keep(nest, 1, sizeof *shape);
    void *data = er_nest_keep(nest, count, erai_dtype_size(dtype));
    must(shape && data);
    *shape = count;
    for (uint32_t i = 0; i < count; i++)
        if (dtype == ERAI_DTYPE_STRING)
            ((erai_string *)data)[i] = (erai_string){.bytes = "key", .size = fuzz_take(bytes, 4)};
        else
            er_write(data, dtype, i, fuzz_take(bytes, 8) ? (double)i : (double)NAN);
    return (erai_value){.kind = ERAI_VALUE_TENSOR, .tensor = {.data = data, .shape = shape, .rank = 1, .dtype = dtype}};
}

/* What a runtime may give: nothing, a tensor, a sequence, a map. */
static erai_value make_value(er_nest *nest, fuzz_bytes *bytes, uint32_t depth) {
    static const uint32_t dtypes[] = {ERAI_DTYPE_FLOAT32, ERAI_DTYPE_FLOAT64, ERAI_DTYPE_FLOAT16, ERAI_DTYPE_INT64,
                                      ERAI_DTYPE_STRING};
    uint32_t kind = fuzz_take(bytes, depth ? 4 : 2), count = fuzz_take(bytes, 5);
    if (kind == ERAI_VALUE_TENSOR) return make_items(nest, bytes, dtypes[fuzz_take(bytes, 5)], count);
    if (kind == ERAI_VALUE_NONE) return (erai_value){.kind = ERAI_VALUE_NONE};
    if (kind == ERAI_VALUE_MAP) count = 2;
    erai_value *items = er_nest_keep(nest, count, sizeof *items);
    must(items != NULL);
    for (uint32_t i = 0; i < count; i++)
        items[i] = kind == ERAI_VALUE_MAP ? make_items(nest, bytes, dtypes[3 - 2 * i + fuzz_take(bytes, 2)], 2)
                                          : make_value(nest, bytes, depth - 1);
    return (erai_value){.kind = kind, .count = count, .items = items};
}

/* Outputs that an application cannot give, as a model would have left them. */
static void make_nests(const run *it, fuzz_bytes *bytes) {
    for (size_t i = 0; i < it->guard->output_count; i++) {
        er_nest *nest = &it->answer->outputs[i].nest;
        if (it->guard->outputs[i].dtype) continue;
        er_nest_clear(nest);
        nest->root = make_value(nest, bytes, 3);
    }
}

/* ---- What happens around calls ---- */

static void move_clock(run *it, fuzz_bytes *bytes, int back) {
    uint64_t by = fuzz_take(bytes, 256);
    for (uint32_t i = fuzz_take(bytes, 14); i > 0; i--) by *= 10;
    it->clock.monotonic_ns = back ? it->clock.monotonic_ns - by : it->clock.monotonic_ns + by;
    it->clock.unix_ns = (int64_t)it->clock.monotonic_ns;
}

static void give_keys(run *it, fuzz_bytes *bytes) {
    erai_string keys[MOST_KEYS];
    size_t count = fuzz_take(bytes, MOST_KEYS + 1);
    int fit = 1;
    for (size_t i = 0; i < count; i++) {
        keys[i] = fuzz_take_string(bytes, i ? 3 : ERAI_KEY_SIZE + 1);
        fit = fit && keys[i].size <= ERAI_KEY_SIZE;
    }
    must(erai_answer_set_keys(it->answer, keys, count) == (fit ? ERAI_OK : ERAI_E_ARGUMENT));
    it->keys = fit ? count : 0;
    for (size_t i = 0; i < count; i++) free((void *)(uintptr_t)keys[i].bytes);
}

static void decide(run *it, fuzz_bytes *bytes, uint64_t id) {
    tensor_set outputs = {.count = 0};
    if (fuzz_take(bytes, 2)) tensor_set_outputs(it->guard, bytes, erai_guard_batched(it->guard) ? 1 : -1, &outputs);
    erai_status status = erai_session_override(it->session, id, outputs.tensors, outputs.count, NULL);
    if (status)
        must(status == ERAI_E_ARGUMENT && erai_session_override(it->session, id, NULL, 0, NULL) == ERAI_OK);
    else
        it->overrides += outputs.count > 0;
    must(erai_session_override(it->session, id, NULL, 0, NULL) == ERAI_E_ARGUMENT);
    tensor_set_free(&outputs);
}

static void drain_reviews(run *it, fuzz_bytes *bytes) {
    for (uint32_t i = fuzz_take(bytes, 8); i > 0; i--) {
        erai_review review;
        must(erai_session_review(it->session, &review) == ERAI_OK);
        if (!review.id) return;
        must(review.reasons != 0 && review.input_count > 0);
        for (size_t k = 0; k < review.input_count; k++) {
            must(!erai_guard_batched(it->guard) || review.inputs[k].shape[0] == 1);
            tensor_read(&review.inputs[k]);
        }
        if (fuzz_take(bytes, 4) < 3) decide(it, bytes, review.id); /* or it waits for ever */
    }
}

static void events_happen(run *it, fuzz_bytes *bytes) {
    uint32_t event = 1;
    for (int i = 0; event && i < MOST_EVENTS; i++) {
        event = fuzz_take(bytes, 8);
        switch (event) {
        case 1:
        case 2: move_clock(it, bytes, event == 2); break;
        case 3: erai_session_reset(it->session); break;
        case 4: give_keys(it, bytes); break;
        case 5: drain_reviews(it, bytes); break;
        case 6: check_counted(it); break;
        case 7: must(erai_session_breaker(it->session) <= ERAI_BREAKER_OPEN); break;
        default: break;
        }
    }
}

/* ---- Calls ---- */

/* Of a batched program, as many as its first input allows; otherwise -1. */
static int64_t take_rows(const erai_guard *guard, fuzz_bytes *bytes) {
    erai_input_rule first;
    size_t index = 0;
    while (fuzz_is_state(guard, index)) index++;
    must(erai_guard_input(guard, index, &first) == ERAI_OK);
    if (!erai_guard_batched(guard)) return -1;
    int64_t least = first.flags & ERAI_RULE_EMPTY ? 0 : 1;
    return least + (int64_t)fuzz_take(bytes, (uint32_t)(first.max_shape[0] + 1 - least));
}

/* A call that is refused says why, and has no rows. */
static void check_refused(run *it, erai_status status) {
    must(status == ERAI_E_ARGUMENT && !erai_answer_rows(it->answer, NULL, NULL) && erai_answer_detail(it->answer)[0]);
    it->errors++;
    it->keys = 0;
}

/* Of inputs that do not fit nobody knows the rows. */
static int keys_fit(const run *it, int all_fit, size_t rows) {
    return it->keys <= 1 || it->keys == rows || !all_fit;
}

static void judge(run *it, fuzz_bytes *bytes, int64_t rows, size_t admitted, int all_fit) {
    tensor_set outputs = {.count = 0};
    if (admitted || fuzz_take(bytes, 4) == 3) tensor_set_outputs(it->guard, bytes, rows, &outputs);
    if (outputs.count) make_nests(it, bytes);
    int fit = keys_fit(it, all_fit, erai_answer_rows(it->answer, NULL, NULL));
    erai_status status = erai_judge(it->session, outputs.count ? outputs.tensors : NULL, outputs.count, it->answer);
    if (status) {
        check_refused(it, status);
    } else {
        must(fit);
        it->rows += check_judged(it);
        it->keys = 0;
        carry_states(it);
    }
    tensor_set_free(&outputs);
}

static void call(run *it, int events, fuzz_bytes *bytes) {
    tensor_set inputs = {.count = 0};
    size_t admitted = 0;
    if (events) events_happen(it, bytes);
    int64_t rows = take_rows(it->guard, bytes);
    int all_fit = tensor_set_inputs(it->guard, bytes, rows, &inputs);
    size_t expected = rows >= 0 ? (size_t)inputs.tensors[0].shape[0] : 1;
    erai_status status = erai_admit(it->session, inputs.tensors, inputs.count, it->answer, &admitted);
    if (status) {
        must(!keys_fit(it, all_fit, expected));
        check_refused(it, status);
    } else {
        check_admitted(it->answer, admitted, all_fit, expected);
        if (!keys_fit(it, 1, erai_answer_rows(it->answer, NULL, NULL))) it->keys = 0; /* of rows that nobody knows */
        for (size_t i = 0; all_fit && i < it->guard->input_count; i++)
            if (!it->guard->inputs[i].is_state) check_staged(it, i);
        if (events) events_happen(it, bytes);
        /* Now and then an application thinks better of it. */
        if (fuzz_take(bytes, 8) != 7) judge(it, bytes, rows, admitted, all_fit);
    }
    tensor_set_free(&inputs);
}

void fuzz_calls(const erai_guard *guard, int events, fuzz_bytes *bytes) {
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    run it = {.guard = guard, .clock = {.monotonic_ns = 1000000000, .unix_ns = 1000000000}};
    const erai_session_config config = {.struct_size = sizeof config, .clock = &it.clock};
    erai_answer *answers[2];
    size_t keys[2] = {0};
    must(erai_session_open_guard(guard, digest, &config, &it.session, NULL) == ERAI_OK);
    for (int i = 0; i < 2; i++) must(erai_answer_open(it.session, &answers[i]) == ERAI_OK);
    for (int i = 0; i < MOST_CALLS && bytes->left; i++) {
        uint32_t which = events ? fuzz_take(bytes, 2) : 0;
        it.answer = answers[which];
        it.keys = keys[which];
        call(&it, events, bytes);
        keys[which] = it.keys;
    }
    check_counted(&it);
    for (int i = 0; i < 2; i++) erai_answer_close(answers[i]);
    erai_session_close(it.session);
}
