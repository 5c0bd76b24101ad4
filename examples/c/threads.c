/* One session, several threads, each with an answer of its own: threads BUNDLE. SPDX-License-Identifier: Apache-2.0 */
#include <edge_rai.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

enum { THREADS = 4, CALLS = 1000, WIDTH = 3 };

typedef struct worker {
    pthread_t thread;
    erai_session *session;
    int started;
    erai_status status;
    double sum; /* over the first value of every answer */
} worker;

static void *work(void *context) {
    worker *mine = context;
    float row[WIDTH] = {0, 1, 2};
    const int64_t shape[] = {1, WIDTH};
    const erai_tensor input = {.data = row, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_answer *answer = NULL; /* used by this thread alone, for all its calls */
    erai_tensor output;

    mine->status = erai_answer_open(mine->session, &answer);
    for (int call = 0; !mine->status && call < CALLS; call++) {
        row[0] = (float)(call % 5);
        mine->status = erai_session_predict(mine->session, &input, 1, answer);
        if (!mine->status) mine->status = erai_answer_output(answer, 0, &output);
        if (!mine->status) mine->sum += (double)((const float *)output.data)[0];
    }
    erai_answer_close(answer); /* what it counted passes to the session */
    return NULL;
}

int main(int argc, char **argv) {
    char detail[ERAI_DETAIL_SIZE] = "";
    /* One thread within an operator: the cores are for the application's threads. */
    erai_session_config config = {.struct_size = sizeof config, .threads = 1};
    erai_session *session = NULL;
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    worker workers[THREADS] = {0};

    erai_status status = argc == 2 ? erai_session_open(argv[1], &config, &session, detail) : ERAI_E_ARGUMENT;
    for (int i = 0; !status && i < THREADS; i++) {
        workers[i].session = session;
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
        if (!workers[i].started) workers[i].status = ERAI_E_MEMORY;
    }
    for (int i = 0; i < THREADS; i++) {
        if (workers[i].started) pthread_join(workers[i].thread, NULL);
        if (workers[i].status) status = workers[i].status;
    }
    if (!status) status = erai_session_snapshot(session, &snapshot, detail);
    if (status) {
        fprintf(stderr, "%s: %s\n", erai_strerror(status), detail);
    } else {
        erai_snapshot_read(snapshot, &info);
        printf("%" PRIu64 " calls; each thread's sum %g\n", info.calls, workers[0].sum);
    }
    erai_snapshot_close(snapshot);
    erai_session_close(session);
    return status != ERAI_OK;
}
