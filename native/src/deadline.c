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
typedef struct er_job {
    er_binding *binding;
    size_t input_count, output_count;
    er_buffer *inputs;
    erai_tensor *tensors; /* of `inputs` */
    er_buffer *outputs;
    erai_status status;
    char detail[ERAI_DETAIL_SIZE];
} er_job;

struct er_runner {
    er_model *model;
    er_worker *worker; /* NULL: not started */
    er_job *job;
    uint64_t process; /* in which the worker was started */
    int left;         /* the last run was left, and told to end */
};

static void do_run(void *context) {
    er_job *at = context;
    at->status = er_binding_run(at->binding, at->tensors, at->outputs, at->detail);
}

static void free_job(er_job *job) {
    if (!job) return;
    er_binding_close(job->binding);
    er_buffers_free(job->inputs, job->input_count);
    er_buffers_free(job->outputs, job->output_count);
    free(job->tensors);
    free(job);
}

static er_job *make_job(er_model *model) {
    er_job *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->input_count = er_model_inputs(model);
    made->output_count = er_model_outputs(model);
    made->inputs = calloc(made->input_count, sizeof *made->inputs);
    made->tensors = calloc(made->input_count, sizeof *made->tensors);
    made->outputs = calloc(made->output_count, sizeof *made->outputs);
    if (made->inputs && made->tensors && made->outputs && !er_binding_open(model, &made->binding)) return made;
    free_job(made);
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
        er_binding_terminate(runner->job->binding, 1);
        er_worker_close(runner->worker);
        free_job(runner->job);
    }
    free(runner);
}

/* What a forked child inherits of a worker is no thread, and memory that may be half changed: it is left as it is. */
static int ensure_worker(er_runner *runner) {
    if (runner->worker && runner->process == er_process()) return 1;
    runner->left = 0;
    runner->process = er_process();
    runner->job = make_job(runner->model);
    runner->worker = runner->job ? er_worker_open(do_run, runner->job) : NULL;
    if (runner->worker) return 1;
    free_job(runner->job);
    runner->job = NULL;
    return 0;
}

static int copy_inputs(er_job *job, const erai_tensor *inputs) {
    for (size_t i = 0; i < job->input_count; i++) {
        if (!er_buffer_copy(&job->inputs[i], &inputs[i])) return 0;
        job->tensors[i] = er_buffer_tensor(&job->inputs[i]);
    }
    return 1;
}

/* Tensors are copied, so that both sides' stay where the binding, and the answer's readers, know them to be. */
static int take_outputs(er_job *job, er_buffer *outputs) {
    for (size_t i = 0; i < job->output_count; i++) {
        er_buffer *from = &job->outputs[i], *to = &outputs[i];
        er_nest nest = to->nest;
        to->nest = from->nest;
        from->nest = nest;
        erai_tensor tensor = er_buffer_tensor(from);
        if (!er_buffer_copy(to, &tensor)) return 0;
    }
    return 1;
}

erai_status er_runner_run(er_runner *runner, const erai_tensor *inputs, er_buffer *outputs, uint64_t until_ns,
                          int *missed, char *detail) {
    *missed = 0;
    if (!ensure_worker(runner)) return er_fail(detail, ERAI_E_MEMORY, "no memory or thread for a run with a deadline");
    er_job *job = runner->job;
    *missed = !er_worker_wait(runner->worker, until_ns);
    *missed |= er_monotonic_ns() >= until_ns; /* what went before the run took all of it */
    if (*missed) return ERAI_OK;
    if (runner->left) er_binding_terminate(job->binding, 0);
    runner->left = 0;
    if (!copy_inputs(job, inputs)) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    er_worker_ask(runner->worker);
    *missed = !er_worker_wait(runner->worker, until_ns);
    if (*missed) {
        er_binding_terminate(job->binding, 1);
        runner->left = 1;
        return ERAI_OK;
    }
    if (job->status) return er_fail(detail, job->status, "%s", job->detail);
    return take_outputs(job, outputs) ? ERAI_OK : er_fail(detail, ERAI_E_MEMORY, "out of memory");
}
