/* A model that a session runs, whatever runs it: ONNX Runtime (ort.h) or a runtime of the application's own
 * (runtime.h). Each of them is an engine: a table of functions behind the ones here. */
#ifndef ER_MODEL_H
#define ER_MODEL_H

#include "edge_rai.h"

typedef struct er_model er_model;     /* immutable; any thread */
typedef struct er_binding er_binding; /* one thread at a time */
struct er_buffer;

typedef struct er_tensor_spec {
    const char *name;   /* lives as long as the model */
    uint32_t kind;      /* erai_value_kind: of inputs always TENSOR, of an optional NONE */
    uint32_t item_kind; /* of a sequence: that of its elements */
    int64_t shape[ERAI_MAX_RANK];
    uint32_t rank;
    int any_rank;   /* no shape is declared, not even that of a scalar; rank is 0 */
    uint32_t dtype; /* 0 where it is no tensor */
    double scale;   /* of integers that stand for scale * (integer - zero_point); 0: for themselves */
    int32_t zero_point;
    uint32_t rows_symbol; /* checksum of the name of a free axis 0; 0 where it has none that somebody gave */
} er_tensor_spec;

typedef struct er_engine {
    const char *requirement; /* its name in a bundle's requirements */
    const char *update;      /* what to update where it is too old */
    void (*close)(er_model *model);
    erai_status (*bind)(er_model *model, er_binding **binding);
    void (*unbind)(er_binding *binding);
    erai_status (*run)(er_binding *binding, const erai_tensor *inputs, struct er_buffer *outputs, char *detail);
    void (*terminate)(er_binding *binding, int terminate);    /* NULL: what runs cannot be ended */
    void (*reset)(er_model *model);                           /* NULL: nothing is kept from run to run */
    void (*settle)(er_model *model, const erai_guard *guard); /* NULL: a run is the same whatever the policy says */
} er_engine;

/* What every engine's model begins with. */
struct er_model {
    const er_engine *engine;
    const char *format;  /* "onnx" */
    const char *runtime; /* for people: "ONNX Runtime" */
    const char *version; /* of it, as it says itself: "1.17.1"; NULL: it does not say */
    er_tensor_spec *inputs, *outputs;
    uint32_t *input_places, *output_places; /* of each, among what a binding is given: see er_model_align */
    size_t input_count, output_count;
    size_t input_place_count, output_place_count;
    int keeps_state; /* in memory of its own, from run to run */
    int one_row;     /* axis 0 of every input and output is 1, and more rows are so many runs: see er_model_find_rows */
    int by_row;      /* and the guard counts rows there */
};

/* And every engine's binding. */
struct er_binding {
    er_model *model;
    struct er_buffer *row; /* outputs of one row, where rows are run one by one */
    int ended;             /* atomic: told to end, between two rows */
};

/* Room for as many inputs or outputs, each in its own place; 0 when out of memory. They are er_model_clear's to free,
 * but for their names. */
int er_model_make_side(er_model *model, int output, size_t count);
void er_model_clear(er_model *model);

/* Whether its rows are to be run one by one; an engine says it once it has read the model's inputs and outputs. */
void er_model_find_rows(er_model *model);

void er_model_close(er_model *model);
size_t er_model_inputs(const er_model *model);
size_t er_model_outputs(const er_model *model);
const er_tensor_spec *er_model_input(const er_model *model, size_t index);
const er_tensor_spec *er_model_output(const er_model *model, size_t index);

/* From now on the model takes its inputs from the places, and puts its outputs into the places, that the guard has for
 * those names; what else the guard has is passed over. er_model_inputs and er_model_outputs then count places, while
 * the specs are still the model's own, but for the types that values are converted from and to. 0 when the guard lacks
 * one of the names. */
int er_model_align(er_model *model, const erai_guard *guard);

/* Forgets what a model that keeps state has kept. Any thread; waits for a run. */
void er_model_reset(er_model *model);

/* A binding keeps the runtime's views of one thread's inputs and outputs from call to call. */
erai_status er_binding_open(er_model *model, er_binding **binding);
void er_binding_close(er_binding *binding);

/* As er_binding_run, for a model whose rows are run one by one. */
erai_status er_binding_run_rows(er_binding *binding, const erai_tensor *inputs, struct er_buffer *outputs,
                                char *detail);

/* Runs the model. The inputs' memory must live through the call; `outputs` (one an output) receive shape and values and
 * grow as needed; an output that is no tensor has dtype 0 and is in its nest. */
static inline erai_status er_binding_run(er_binding *binding, const erai_tensor *inputs, struct er_buffer *outputs,
                                         char *detail) {
    return binding->model->by_row ? er_binding_run_rows(binding, inputs, outputs, detail)
                                  : binding->model->engine->run(binding, inputs, outputs, detail);
}

/* Makes a run of this binding, in another thread, end with a failure as soon as its runtime can; or, with 0, lets later
 * runs be. Any thread. */
void er_binding_terminate(er_binding *binding, int terminate);

#endif
