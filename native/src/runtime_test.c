/* A runtime of the application's own, whose models are a number that inputs are multiplied by: what a session asks of
 * it, and what it is held to. SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* mkstemps */
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deadline.h"
#include "er_test.h"
#include "session.h"
#include "test_session.h"

/* One input "x" and one output "y" of the same type; what a run answers is `factor` times its input, in integers with
 * the output's own zero point, and, of a model that keeps state, also what it has answered so far. */
typedef struct toy {
    erai_edge input, output;
    erai_model_info info;
    int fails;           /* a run does */
    uint32_t gives;      /* the type that a run's output has; 0: as said */
    int64_t gives_shape; /* its extent on axis 0; 0: the input's */
    unsigned sleep_ms;
    int open_models, open_streams, runs, most_rows; /* counted */
} toy;

typedef struct toy_stream {
    toy *of;
    float sum;
    float values[64];
    int8_t integers[64];
    int64_t shape[2];
} toy_stream;

static erai_status toy_open(void *user, const erai_model_source *source, erai_model_info *info, char *detail) {
    toy *at = user;
    (void)source;
    if (at->fails == 2) {
        snprintf(detail, ERAI_DETAIL_SIZE, "there is no toy");
        return ERAI_E_RUNTIME_MISSING;
    }
    at->open_models++;
    *info = at->info;
    info->model = at;
    return ERAI_OK;
}

static void toy_close(void *user, void *model) {
    (void)model;
    ((toy *)user)->open_models--;
}

static erai_status toy_start(void *user, void *model, void **stream, char *detail) {
    (void)detail;
    toy_stream *made = calloc(1, sizeof *made);
    if (!made) return ERAI_E_MEMORY;
    made->of = model;
    ((toy *)user)->open_streams++;
    *stream = made;
    return ERAI_OK;
}

static void toy_end(void *user, void *stream) {
    ((toy *)user)->open_streams--;
    free(stream);
}

static erai_status toy_run(void *stream, const erai_tensor *inputs, erai_tensor *outputs, char *detail) {
    toy_stream *at = stream;
    toy *of = at->of;
    of->runs++;
    if (of->fails) {
        snprintf(detail, ERAI_DETAIL_SIZE, "the toy is broken");
        return ERAI_E_INFERENCE;
    }
    nanosleep(&(struct timespec){.tv_nsec = (long)of->sleep_ms * 1000000}, NULL);
    int64_t rows = inputs[0].rank ? inputs[0].shape[0] : 1;
    if (rows > of->most_rows) of->most_rows = (int)rows;
    int integers = inputs[0].dtype == ERAI_DTYPE_INT8;
    for (int64_t i = 0; i < rows && i < 64; i++) {
        if (integers)
            at->integers[i] = ((const int8_t *)inputs[0].data)[i];
        else
            at->values[i] = at->sum = 2 * ((const float *)inputs[0].data)[i] + (of->info.keeps_state ? at->sum : 0);
    }
    at->shape[0] = of->gives_shape ? of->gives_shape : rows;
    at->shape[1] = 1;
    outputs[0] = (erai_tensor){.data = integers ? (const void *)at->integers : at->values,
                               .shape = at->shape,
                               .rank = 2,
                               .dtype = of->gives ? of->gives : inputs[0].dtype};
    return ERAI_OK;
}

static toy make_toy(int64_t rows) {
    toy made = {.input = {.name = "x", .shape = {rows, 1}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                .output = {.name = "y", .shape = {rows, 1}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32},
                .info = {.input_count = 1, .output_count = 1, .version = "1.2"}};
    return made;
}

static erai_runtime runtime_of(toy *user) {
    user->info.inputs = &user->input;
    user->info.outputs = &user->output;
    return (erai_runtime){.struct_size = sizeof(erai_runtime),
                          .format = "toy",
                          .name = "Toy",
                          .user = user,
                          .open = toy_open,
                          .close = toy_close,
                          .start = toy_start,
                          .end = toy_end,
                          .run = toy_run};
}

static const erai_model_source source = {.name = "m.toy"};

/* A session of batched float32 "x" and "y"; without a runtime, without a model. */
static erai_session *open_session(const erai_runtime *runtime, uint64_t deadline_ns) {
    static const int64_t shape[] = {-1, 1};
    static const double none = -1;
    static const uint32_t chain[] = {ERAI_SOURCE_DEFAULT};
    erai_policy *policy = test_policy(1);
    test_add_output(policy, "y",
                    (erai_output_rule){.shape = shape, .rank = 2, .default_row = &none, .default_size = 1});
    if (deadline_ns) {
        test_set_decision(policy, (erai_decision_rule){.deadline_ns = deadline_ns});
        test_add_fallback(policy, UINT64_MAX, chain, 1);
    }
    erai_session *session = test_session(policy, NULL);
    char detail[ERAI_DETAIL_SIZE] = "";
    if (!runtime) return session;
    if (er_runtime_open(runtime, &source, &session->model, detail)) ER_FAILED("%s", detail);
    if (er_match_model(session->guard, session->model, detail)) ER_FAILED("%s", detail);
    return session;
}

static erai_status predict(erai_session *session, erai_answer *answer, const float *x, size_t rows) {
    int64_t shape[] = {(int64_t)rows, 1};
    const erai_tensor input = {.data = x, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    return erai_session_predict(session, &input, 1, answer);
}

static void close_session(erai_session *session, erai_answer *answer) {
    erai_answer_close(answer);
    erai_session_close(session);
}

static void rows_go_together_where_the_model_takes_them_and_one_by_one_where_not(void) {
    static const float x[] = {1, NAN, 3};
    for (int free = 0; free < 2; free++) {
        toy user = make_toy(free ? -1 : 1);
        const erai_runtime runtime = runtime_of(&user);
        erai_session *session = open_session(&runtime, 0);
        erai_answer *answer = test_answer(session);
        ER_CHECK_INT(predict(session, answer, x, 3), ERAI_OK);
        const float *y = answer->outputs[0].data;
        ER_CHECK(y[0] == 2 && y[1] == -1 && y[2] == 6);
        ER_CHECK_INT(answer->verdicts[1], ERAI_VERDICT_REJECT);
        ER_CHECK_INT(user.runs, free ? 1 : 3);
        ER_CHECK_INT(user.most_rows, free ? 3 : 1);
        close_session(session, answer);
        ER_CHECK(user.open_models == 0 && user.open_streams == 0);
    }
}

static void floats_of_the_policy_are_integers_of_the_model(void) {
    static const float x[] = {1.5f, -3, 10};
    toy user = make_toy(-1);
    user.input.dtype = user.output.dtype = ERAI_DTYPE_INT8;
    user.input.scale = 0.5;
    user.input.zero_point = 10;
    user.output.scale = 0.25;
    user.output.zero_point = -4;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 0);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(predict(session, answer, x, 3), ERAI_OK);
    const float *y = answer->outputs[0].data;
    for (size_t i = 0; i < 3; i++) ER_CHECK(y[i] == 0.25f * ((x[i] / 0.5f + 10) + 4));
    ER_CHECK_INT(answer->outputs[0].dtype, ERAI_DTYPE_FLOAT32);
    close_session(session, answer);
}

static void state_is_one_stream_s_and_ends_with_a_reset(void) {
    static const float x[] = {1};
    toy user = make_toy(-1);
    user.info.keeps_state = 1;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 0);
    erai_answer *one = test_answer(session), *other = test_answer(session);
    for (int i = 0; i < 4; i++) {
        erai_answer *answer = i % 2 ? one : other;
        ER_CHECK_INT(predict(session, answer, x, 1), ERAI_OK);
        ER_CHECK(*(const float *)answer->outputs[0].data == (float)(2 * i + 2));
    }
    ER_CHECK_INT(user.open_streams, 1);
    erai_session_reset(session);
    ER_CHECK_INT(user.open_streams, 0);
    ER_CHECK_INT(predict(session, one, x, 1), ERAI_OK);
    ER_CHECK(*(const float *)one->outputs[0].data == 2);
    erai_answer_close(other);
    close_session(session, one);
}

static void rows_are_not_for_a_model_that_takes_one_and_remembers_it(void) {
    char detail[ERAI_DETAIL_SIZE] = "";
    toy user = make_toy(1);
    user.info.keeps_state = 1;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(NULL, 0);
    ER_CHECK_INT(er_runtime_open(&runtime, &source, &session->model, detail), ERAI_OK);
    ER_CHECK_INT(er_match_model(session->guard, session->model, detail), ERAI_E_GUARD_MISMATCH);
    ER_CHECK_CONTAINS(detail, "the model keeps state from call to call and takes one row, and the policy allows 4096");
    close_session(session, NULL);
}

static void a_run_that_fails_says_so_in_its_own_words(void) {
    static const float x[] = {1};
    toy user = make_toy(1);
    user.fails = 1;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 0);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(predict(session, answer, x, 1), ERAI_E_INFERENCE);
    ER_CHECK_STR(erai_answer_detail(answer), "the toy is broken");
    user.fails = 0;
    ER_CHECK_INT(predict(session, answer, x, 1), ERAI_OK);
    close_session(session, answer);
}

static void an_output_that_is_not_as_said_fails_the_run(void) {
    static const float x[] = {1, 2};
    toy user = make_toy(1);
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 0);
    erai_answer *answer = test_answer(session);
    user.gives = ERAI_DTYPE_FLOAT64;
    ER_CHECK_INT(predict(session, answer, x, 1), ERAI_E_INFERENCE);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "Toy gave output 'y' with another type than it said");
    user.gives = 0;
    user.gives_shape = 2;
    ER_CHECK_INT(predict(session, answer, x, 2), ERAI_E_INFERENCE);
    user.gives_shape = -1;
    ER_CHECK_INT(predict(session, answer, x, 1), ERAI_E_INFERENCE);
    ER_CHECK_CONTAINS(erai_answer_detail(answer), "Toy gave output 'y' with another shape than it said");
    close_session(session, answer);
}

static void a_late_run_is_left_and_never_runs_twice_at_once(void) {
    static const float x[] = {1};
    toy user = make_toy(1);
    user.sleep_ms = 300;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 5000000);
    erai_answer *answer = test_answer(session);
    for (int i = 0; i < 3; i++) {
        ER_CHECK_INT(predict(session, answer, x, 1), ERAI_OK);
        ER_CHECK(answer->missed);
        ER_CHECK(*(const float *)answer->outputs[0].data == -1);
    }
    close_session(session, answer); /* waits */
    ER_CHECK_INT(user.runs, 1);
    ER_CHECK_INT(user.open_streams, 0);
}

static void a_call_without_time_left_asks_no_model(void) {
    static const float x[] = {1};
    toy user = make_toy(1);
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 1);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(predict(session, answer, x, 1), ERAI_OK);
    ER_CHECK(answer->missed);
    ER_CHECK(*(const float *)answer->outputs[0].data == -1);
    close_session(session, answer); /* waits for a run, if there was one */
    ER_CHECK_INT(user.runs, 0);
}

static void a_late_run_of_rows_ends_between_two_of_them(void) {
    static const float x[64] = {1};
    toy user = make_toy(1);
    user.sleep_ms = 50;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 5000000);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(predict(session, answer, x, 64), ERAI_OK);
    ER_CHECK(answer->missed);
    close_session(session, answer); /* waits for a row, not for what is left of 3 seconds */
    ER_CHECK(user.runs < 64);       /* none, where the machine was so busy that the first was late already */
}

#ifndef __SANITIZE_THREAD__ /* which does not bear threads after a fork */
static void a_child_forked_in_the_middle_of_a_run_begins_anew_with_a_reset(void) {
    static const float x[] = {1};
    toy user = make_toy(-1);
    user.info.keeps_state = 1;
    user.sleep_ms = 800;
    const erai_runtime runtime = runtime_of(&user);
    erai_session *session = open_session(&runtime, 200000000);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(predict(session, answer, x, 1), ERAI_OK);
    ER_CHECK(answer->missed);
    pid_t child = fork();
    if (child == 0) {
        user.sleep_ms = 0;
        int lost = !predict(session, answer, x, 1) && answer->failed && !answer->missed;
        erai_session_reset(session);
        int anew = !predict(session, answer, x, 1) && *(const float *)answer->outputs[0].data == 2;
        erai_answer_close(answer);
        _exit(!(lost && anew));
    }
    int status = 1;
    ER_CHECK(waitpid(child, &status, 0) == child);
    ER_CHECK_INT(status, 0);
    close_session(session, answer);
}
#endif

static void no_two_inputs_share_a_name(void) {
    toy user = make_toy(1);
    const erai_runtime runtime = runtime_of(&user);
    const erai_edge inputs[] = {user.input, user.input};
    user.info.inputs = inputs;
    user.info.input_count = 2;
    er_model *model = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    ER_CHECK_INT(er_runtime_open(&runtime, &source, &model, detail), ERAI_E_MODEL_UNSUPPORTED);
    ER_CHECK_STR(detail, "Toy: 'x' is the name of two inputs");
    ER_CHECK_INT(user.open_models, 0);
}

static void what_it_says_of_a_model_is_held_to_what_a_model_is(void) {
    struct {
        int which;
        const char *detail;
    } cases[] = {{0, "no name"}, {1, "8 axes"},   {2, "no type of numbers"}, {3, "scale"},
                 {4, "extent"},  {5, "0 inputs"}, {6, "there is no toy"},    {7, "zero point"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        toy user = make_toy(1);
        switch (cases[i].which) {
        case 0: user.output.name = NULL; break;
        case 1: user.input.rank = 9; break;
        case 2: user.input.dtype = ERAI_DTYPE_STRING; break;
        case 3:
            user.output.dtype = ERAI_DTYPE_INT8;
            user.output.scale = -1;
            break;
        case 4: user.input.shape[1] = -2; break;
        case 5: user.info.input_count = 0; break;
        case 6: user.fails = 2; break;
        default:
            user.input.dtype = ERAI_DTYPE_UINT8;
            user.input.scale = 1;
            user.input.zero_point = 256;
        }
        const erai_runtime runtime = runtime_of(&user);
        er_model *model = NULL;
        char detail[ERAI_DETAIL_SIZE] = "";
        erai_status status = er_runtime_open(&runtime, &source, &model, detail);
        ER_CHECK_INT(status, cases[i].which == 6 ? ERAI_E_RUNTIME_MISSING : ERAI_E_MODEL_UNSUPPORTED);
        ER_CHECK_CONTAINS(detail, cases[i].detail);
        ER_CHECK(model == NULL && user.open_models == 0);
    }
}

static void a_runtime_without_its_functions_is_none(void) {
    toy user = make_toy(1);
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_runtime runtime = runtime_of(&user);
    runtime.run = NULL;
    ER_CHECK_INT(er_runtime_check(&runtime, detail), ERAI_E_ARGUMENT);
    runtime = runtime_of(&user);
    runtime.format = "onnx";
    ER_CHECK_INT(er_runtime_check(&runtime, detail), ERAI_E_ARGUMENT);
    runtime.struct_size--;
    ER_CHECK_INT(er_runtime_check(&runtime, detail), ERAI_E_STRUCT);
    ER_CHECK_INT(er_runtime_check(NULL, detail), ERAI_OK);
}

static void a_bare_model_opens_by_its_format(void) {
    static const float x[] = {1, 2};
    char path[] = "/tmp/runtime_test_XXXXXX.toy", detail[ERAI_DETAIL_SIZE] = "";
    toy user = make_toy(1);
    const erai_runtime runtime = runtime_of(&user);
    erai_session_config config = {.struct_size = sizeof config, .runtime = &runtime};
    erai_session *session = NULL;
    int file = mkstemps(path, 4);
    ER_CHECK(file >= 0 && write(file, "2", 1) == 1 && close(file) == 0);
    ER_CHECK_INT(erai_session_open(path, &config, &session, detail), ERAI_OK);
    ER_CHECK_STR(erai_session_format(session), "toy");
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(predict(session, answer, x, 2), ERAI_OK);
    ER_CHECK(((const float *)answer->outputs[0].data)[1] == 4);
    close_session(session, answer);
    config.format = "onnx";
    ER_CHECK_INT(erai_session_open(path, &config, &session, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "is a model of format toy, not onnx");
    unlink(path);
}

int main(void) {
    ER_RUN(rows_go_together_where_the_model_takes_them_and_one_by_one_where_not);
    ER_RUN(floats_of_the_policy_are_integers_of_the_model);
    ER_RUN(state_is_one_stream_s_and_ends_with_a_reset);
    ER_RUN(rows_are_not_for_a_model_that_takes_one_and_remembers_it);
    ER_RUN(a_run_that_fails_says_so_in_its_own_words);
    ER_RUN(an_output_that_is_not_as_said_fails_the_run);
    ER_RUN(a_late_run_is_left_and_never_runs_twice_at_once);
    ER_RUN(a_call_without_time_left_asks_no_model);
    ER_RUN(a_late_run_of_rows_ends_between_two_of_them);
#ifndef __SANITIZE_THREAD__
    ER_RUN(a_child_forked_in_the_middle_of_a_run_begins_anew_with_a_reset);
#endif
    ER_RUN(no_two_inputs_share_a_name);
    ER_RUN(what_it_says_of_a_model_is_held_to_what_a_model_is);
    ER_RUN(a_runtime_without_its_functions_is_none);
    ER_RUN(a_bare_model_opens_by_its_format);
    return er_test_result();
}
