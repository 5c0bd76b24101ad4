/* What was counted, as batch files that an agent uploads: spool BUNDLE DIRECTORY. SPDX-License-Identifier: Apache-2.0
 */
#include <edge_rai.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { ROWS = 4, WIDTH = 3 };

/* What goes into the next batch file; counting goes on. */
static erai_status print_counts(erai_session *session, char *detail) {
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    erai_feature_counts feature;
    uint64_t values = 0;

    erai_status status = erai_session_snapshot(session, &snapshot, detail);
    if (status) return status;
    erai_snapshot_read(snapshot, &info);
    printf("%" PRIu64 " calls, %" PRIu64 " errors; rows accepted %" PRIu64 ", rejected %" PRIu64 "\n", info.calls,
           info.errors, info.rows_by_verdict[ERAI_VERDICT_ACCEPT], info.rows_by_verdict[ERAI_VERDICT_REJECT]);
    if (info.features && erai_snapshot_feature(snapshot, 0, &feature) == ERAI_OK) {
        for (uint32_t bin = 0; bin < feature.bins; bin++) values += feature.histogram[bin];
        printf("first feature: %" PRIu64 " values in %u bins, %" PRIu64 " not finite\n", values, feature.bins,
               feature.not_finite);
    }
    erai_snapshot_close(snapshot);
    return ERAI_OK;
}

int main(int argc, char **argv) {
    const float rows[ROWS][WIDTH] = {{1, 2, 3}, {NAN, 2, 3}, {-1, 0, 1}, {1, 2, 1}};
    const int64_t shape[] = {ROWS, WIDTH};
    const erai_tensor input = {.data = rows, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    erai_session_config config = {.struct_size = sizeof config, .spool_path = argc == 3 ? argv[2] : NULL};
    char detail[ERAI_DETAIL_SIZE] = "", name[ERAI_DETAIL_SIZE];
    erai_session *session = NULL;
    erai_answer *answer = NULL;

    erai_status status = argc == 3 ? erai_session_open(argv[1], &config, &session, detail) : ERAI_E_ARGUMENT;
    if (!status) status = erai_answer_open(session, &answer);
    if (!status && (status = erai_session_predict(session, &input, 1, answer)))
        snprintf(detail, sizeof detail, "%s", erai_answer_detail(answer));
    if (!status) status = print_counts(session, detail);
    if (!status) status = erai_session_flush(session, name, detail); /* waits for the disk: not from a hot path */
    if (status)
        fprintf(stderr, "%s: %s\n", erai_strerror(status), detail);
    else
        printf("wrote %s\n", name);
    erai_answer_close(answer);
    erai_session_close(session);
    return status != ERAI_OK;
}
