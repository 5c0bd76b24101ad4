/* A runtime of the application's own behind the whole guard: runtime MODEL.dense. Its models are files of float32
 * weights, (2, 3); that of TensorFlow Lite for C has the same five functions around TfLiteInterpreter. */
#include <edge_rai.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 3, OUTPUTS = 2 };

typedef struct dense {
    float weights[OUTPUTS][INPUTS];
} dense;

/* What one thread of runs needs: where its last outputs are. */
typedef struct stream {
    const dense *model;
    float values[OUTPUTS];
} stream;

static const erai_edge x = {.name = "x", .shape = {1, INPUTS}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
static const erai_edge y = {.name = "y", .shape = {1, OUTPUTS}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};

static erai_status open_model(void *user, const erai_model_source *source, erai_model_info *info, char *detail) {
    (void)user;
    dense *model = calloc(1, sizeof *model);
    if (!model) return ERAI_E_MEMORY;
    if (source->size != sizeof model->weights) {
        snprintf(detail, ERAI_DETAIL_SIZE, "%s: %zu bytes are no weights", source->name, source->size);
        free(model);
        return ERAI_E_MODEL_UNSUPPORTED;
    }
    memcpy(model->weights, source->data, source->size);
    *info = (erai_model_info){.model = model, .inputs = &x, .outputs = &y, .input_count = 1, .output_count = 1};
    return ERAI_OK;
}

static void close_model(void *user, void *model) {
    (void)user;
    free(model);
}

static erai_status start(void *user, void *model, void **begun, char *detail) {
    (void)user, (void)detail;
    stream *made = *begun = calloc(1, sizeof *made);
    if (made) made->model = model;
    return made ? ERAI_OK : ERAI_E_MEMORY;
}

static void end(void *user, void *begun) {
    (void)user;
    free(begun);
}

/* A call's rows come one by one, because the model is of one. */
static erai_status run(void *begun, const erai_tensor *inputs, erai_tensor *outputs, char *detail) {
    (void)detail;
    stream *at = begun;
    for (size_t i = 0; i < OUTPUTS; i++) {
        at->values[i] = 0;
        for (size_t k = 0; k < INPUTS; k++)
            at->values[i] += at->model->weights[i][k] * ((const float *)inputs[0].data)[k];
    }
    outputs[0] = (erai_tensor){.data = at->values, .shape = y.shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    return ERAI_OK;
}

int main(int argc, char **argv) {
    static const float rows[][INPUTS] = {{1, 2, 3}, {1, NAN, 3}, {0, 0, 1}};
    static const int64_t shape[] = {3, INPUTS};
    const erai_tensor input = {.data = rows, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_runtime own = {.struct_size = sizeof own,
                              .format = "dense",
                              .name = "dense",
                              .open = open_model,
                              .close = close_model,
                              .start = start,
                              .end = end,
                              .run = run};
    const erai_session_config config = {.struct_size = sizeof config, .runtime = &own};
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_session *session = NULL;
    erai_answer *answer = NULL;
    erai_tensor output;
    const uint8_t *verdicts;
    erai_status status = argc == 2 ? erai_session_open(argv[1], &config, &session, detail) : ERAI_E_ARGUMENT;
    if (!status) status = erai_answer_open(session, &answer);
    if (!status) status = erai_session_predict(session, &input, 1, answer);
    if (!status) status = erai_answer_output(answer, 0, &output);
    if (status) fprintf(stderr, "%s: %s\n", erai_strerror(status), answer ? erai_answer_detail(answer) : detail);
    for (size_t i = 0; !status && i < erai_answer_rows(answer, &verdicts, NULL); i++) {
        const float *at = (const float *)output.data + i * OUTPUTS;
        printf("row %zu %s: %g %g\n", i, verdicts[i] ? "rejected" : "accepted", (double)at[0], (double)at[1]);
    }
    erai_answer_close(answer);
    erai_session_close(session);
    return status != ERAI_OK;
}
