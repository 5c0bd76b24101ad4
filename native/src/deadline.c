/* Runs with a deadline: a worker runs the model over copies, so that at the deadline the caller goes its way and the
 * worker finishes or gives up on its own. Copies also mean that the worker's binding sees the same addresses in every
 * run, wherever the caller's are. */
#include "deadline.h"

#include "answer.h"
#include "status.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

/* What the worker works on. */
typedef struct er_bench {
    er_binding *binding;
    size_t input_count, output_count;
    er_buffer *inputs;
    erai_tensor *tensors; /* of `inputs` */
    er_buffer *outputs;
    erai_status status;
    char detail[ERAI_DETAIL_SIZE];
} er_bench;

struct er_runner {
    er_model *model;
    er_worker *worker; /* NULL: not started */
    er_bench *bench;
    int64_t process; /* in which the worker was started */
    int left;        /* the last run was left, and told to end */
};

static void do_run(void *context) {
    er_bench *at = context;
    at->status = er_binding_run(at->binding, at->tensors, at->outputs, at->detail);
}

static void free_bench(er_bench *bench) {
    if (!bench) return;
    er_binding_close(bench->binding);
    er_buffers_free(bench->inputs, bench->input_count);
    er_buffers_free(bench->outputs, bench->output_count);
    free(bench->tensors);
    free(bench);
}

static er_bench *make_bench(er_model *model) {
    er_bench *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->input_count = er_model_inputs(model);
    made->output_count = er_model_outputs(model);
    made->inputs = calloc(made->input_count, sizeof *made->inputs);
    made->tensors = calloc(made->input_count, sizeof *made->tensors);
    made->outputs = calloc(made->output_count, sizeof *made->outputs);
    if (made->inputs && made->tensors && made->outputs && !er_binding_open(model, &made->binding)) return made;
    free_bench(made);
    return NULL;
}

er_runner *er_runner_open(er_model *model) {
    er_runner *runner = calloc(1, sizeof *runner);
    if (runner) runner->model = model;
    return runner;
}

void er_runner_close(er_runner *runner) {
    if (!runner) return;
    if (runner->worker && runner->process == er_process()) {
        er_binding_terminate(runner->bench->binding, 1);
        er_worker_close(runner->worker);
        free_bench(runner->bench);
    }
    free(runner);
}

/* What a forked child inherits of a worker is no thread, and memory that may be half changed: it is left as it is. */
static int ensure_worker(er_runner *runner) {
    if (runner->worker && runner->process == er_process()) return 1;
    runner->left = 0;
    runner->process = er_process();
    runner->bench = make_bench(runner->model);
    runner->worker = runner->bench ? er_worker_open(do_run, runner->bench) : NULL;
    if (runner->worker) return 1;
    free_bench(runner->bench);
    return 0;
}

static int copy_inputs(er_bench *bench, const erai_tensor *inputs) {
    for (size_t i = 0; i < bench->input_count; i++) {
        if (!er_buffer_copy(&bench->inputs[i], &inputs[i])) return 0;
        bench->tensors[i] = er_buffer_tensor(&bench->inputs[i]);
    }
    return 1;
}

/* Tensors are copied, so that both sides' stay where the binding, and the answer's readers, know them to be. */
static int take_outputs(er_bench *bench, er_buffer *outputs) {
    for (size_t i = 0; i < bench->output_count; i++) {
        er_buffer *from = &bench->outputs[i], *to = &outputs[i];
        er_nest nest = to->nest;
        to->nest = from->nest;
        from->nest = nest;
        erai_tensor tensor = er_buffer_tensor(from);
        if (!er_buffer_copy(to, &tensor)) return 0;
    }
    return 1;
}

erai_status er_runner_run(er_runner *runner, const erai_tensor *inputs, er_buffer *outputs, uint64_t deadline_ns,
                          int *missed, char *detail) {
    uint64_t now = er_monotonic_ns(), until = now + deadline_ns < now ? UINT64_MAX : now + deadline_ns;
    *missed = 0;
    if (!ensure_worker(runner)) return er_fail(detail, ERAI_E_MEMORY, "no memory or thread for a run with a deadline");
    er_bench *bench = runner->bench;
    *missed = !er_worker_wait(runner->worker, until);
    if (*missed) return ERAI_OK;
    if (runner->left) er_binding_terminate(bench->binding, 0);
    runner->left = 0;
    if (!copy_inputs(bench, inputs)) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    er_worker_ask(runner->worker);
    *missed = !er_worker_wait(runner->worker, until);
    if (*missed) {
        er_binding_terminate(bench->binding, 1);
        runner->left = 1;
        return ERAI_OK;
    }
    if (bench->status) return er_fail(detail, bench->status, "%s", bench->detail);
    return take_outputs(bench, outputs) ? ERAI_OK : er_fail(detail, ERAI_E_MEMORY, "out of memory");
}
