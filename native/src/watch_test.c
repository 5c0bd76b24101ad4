/* Watching a session for drift: every row is watched once and in order, whichever way its values go; the alarm names
 * its feature, stays, speaks against rows where the policy says so, and can be taken back. SPDX-License-Identifier:
 * Apache-2.0 */
#include "watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "er_test.h"
#include "session.h"
#include "snapshot.h"
#include "test_guard.h"
#include "test_session.h"

#define BINS 16u

typedef struct plan {
    uint32_t dtype, features, verdict;
    double average_run_length;
} plan;

static void must(int holds) {
    if (!holds) abort();
}

/* Features of uniform values from 0 to 16, of which 1000 a bin were seen; -100 to 100 are in range, NaN is not. */
static erai_policy *policy_of(plan of, const uint32_t *strides) {
    const int64_t shape[] = {-1, of.features}, most[] = {4096, of.features};
    double edges[BINS];
    uint64_t counts[BINS];
    for (uint32_t i = 0; i < BINS; i++) {
        edges[i] = i + 1;
        counts[i] = 1000;
    }
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy) == ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = shape,
                             .max_shape = most,
                             .rank = 2,
                             .dtype = of.dtype,
                             .flags = ERAI_RULE_FINITE,
                             .feature_axis = 1,
                             .sketch_stride = 1};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    for (uint32_t i = 0; i < of.features; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        erai_feature_rule feature = {.struct_size = sizeof feature,
                                     .name = name,
                                     .low = -100,
                                     .high = 100,
                                     .mean = 8,
                                     .stddev = 4.6,
                                     .reference_rows = 16000,
                                     .edges = edges,
                                     .counts = counts,
                                     .bins = BINS};
        must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    }
    test_add_output(policy, "y", (erai_output_rule){.rank = 2, .shape = (int64_t[]){-1, 1}});
    erai_drift_rule drift = {.struct_size = sizeof drift,
                             .average_run_length = of.average_run_length,
                             .effect = 0.02,
                             .strides = strides,
                             .features = of.features,
                             .verdict = of.verdict};
    must(erai_policy_set_drift(policy, &drift, NULL) == ERAI_OK);
    return policy;
}

static erai_session *open_plan(plan of, const erai_clock *clock) {
    uint32_t *strides = malloc(of.features * sizeof *strides);
    must(strides != NULL);
    for (uint32_t i = 0; i < of.features; i++) strides[i] = 1;
    erai_session *session = test_session(policy_of(of, strides), clock);
    free(strides);
    return session;
}

static uint32_t random_bits(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

/* A row of the reference, but that feature `changed` is a quarter of its width higher. */
static void fill_row(double *row, uint32_t features, uint32_t changed) {
    for (uint32_t i = 0; i < features; i++) row[i] = random_bits() % 16000 / 1000.0 + (i == changed ? 4 : 0);
}

static void admit(erai_session *session, erai_answer *answer, const double *rows, size_t count, uint32_t features) {
    const erai_guard *guard = erai_session_guard(session);
    const int64_t shape[] = {(int64_t)count, features};
    float *narrow = malloc(count * features * sizeof *narrow);
    must(narrow != NULL);
    for (size_t i = 0; i < count * features; i++) narrow[i] = (float)rows[i];
    int wide = guard->inputs[0].dtype == ERAI_DTYPE_FLOAT64;
    erai_tensor x = {.data = wide ? (void *)(uintptr_t)rows : narrow, .shape = shape, .rank = 2};
    x.dtype = guard->inputs[0].dtype;
    size_t admitted;
    must(erai_admit(session, &x, 1, answer, &admitted) == ERAI_OK);
    const int64_t out[] = {(int64_t)count, 1};
    float *y = calloc(count, sizeof *y);
    must(y != NULL);
    erai_tensor output = {.data = y, .shape = out, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    must(erai_judge(session, &output, admitted > 0, answer) == ERAI_OK);
    free(narrow);
    free(y);
}

static erai_drift drift_of(erai_session *session) {
    erai_drift drift;
    must(erai_session_drift(session, &drift) == ERAI_OK);
    return drift;
}

#define NOBODY UINT32_MAX

/* Rows one by one until the alarm, at most `rows`. */
static size_t rows_to_alarm(erai_session *session, erai_answer *answer, uint32_t features, uint32_t changed,
                            size_t rows) {
    double *row = malloc(features * sizeof *row);
    must(row != NULL);
    size_t at = 0;
    for (; at < rows && !drift_of(session).alarm_row; at++) {
        fill_row(row, features, changed);
        admit(session, answer, row, 1, features);
    }
    free(row);
    return at;
}

static void an_alarm_names_its_feature_and_stays(void) {
    const plan plans[] = {{ERAI_DTYPE_FLOAT32, 3, ERAI_VERDICT_ACCEPT, 1e6},
                          {ERAI_DTYPE_FLOAT64, 30, ERAI_VERDICT_ACCEPT, 1e6},
                          {ERAI_DTYPE_FLOAT32, 300, ERAI_VERDICT_ACCEPT, 1e6}}; /* more than wait to be sketched */
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        erai_clock clock = {.unix_ns = 77};
        uint32_t features = plans[i].features, changed = features / 2;
        erai_session *session = open_plan(plans[i], &clock);
        erai_answer *answer = test_answer(session);
        ER_CHECK_INT(rows_to_alarm(session, answer, features, NOBODY, 2000), 2000);
        ER_CHECK_INT(drift_of(session).watched, features);
        size_t rows = rows_to_alarm(session, answer, features, changed, 1000);
        ER_CHECK(rows < 300);
        erai_drift drift = drift_of(session);
        ER_CHECK(drift.alarm_row > 2000 && drift.alarm_row == drift.rows && 2000 + rows - drift.rows < 8);
        ER_CHECK(drift.alarm_unix_ns == 77 && drift.alarm_evidence >= 1e6);
        ER_CHECK_INT(drift.alarm_feature, changed);
        for (uint32_t f = 0; f < features; f++) {
            erai_feature_drift of;
            must(erai_session_feature_drift(session, f, &of) == ERAI_OK);
            ER_CHECK(of.named == (f == changed) && of.stride == 1);
            if (f != changed) continue;
            ER_CHECK_INT(of.direction, ERAI_DRIFT_MEAN_UP);
            ER_CHECK(fabs((double)(drift.alarm_row - of.changed) - 2000) < 40);
        }
        clock.unix_ns = 78;
        double row[300];
        for (int more = 0; more < 20; more++) {
            fill_row(row, features, NOBODY);
            admit(session, answer, row, 1, features);
        }
        erai_drift later = drift_of(session);
        ER_CHECK(memcmp(&later, &drift, sizeof drift) == 0);
        must(erai_session_drift_reset(session) == ERAI_OK);
        ER_CHECK(drift_of(session).alarm_row == 0 && drift_of(session).evidence == 0);
        ER_CHECK(rows_to_alarm(session, answer, features, changed, 1000) < 300);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

/* Rows in pairs, the first of which is in order, in one session one by one, in the other all together: the same. */
static void rows_are_watched_in_order_whichever_way_their_values_go(void) {
    enum { FEATURES = 5, ROWS = 156 };
    static double rows[ROWS][FEATURES];
    for (size_t row = 0; row < ROWS; row++) {
        fill_row(rows[row], FEATURES, NOBODY);
        if (row % 50 == 3) rows[row][2] = (double)NAN;
        if (row % 70 == 5) rows[row][4] = 1000;
    }
    const plan quiet = {ERAI_DTYPE_FLOAT32, FEATURES, ERAI_VERDICT_ACCEPT, 1e15};
    erai_session *sessions[2];
    erai_answer *answers[2];
    for (int i = 0; i < 2; i++) {
        sessions[i] = open_plan(quiet, NULL);
        answers[i] = test_answer(sessions[i]);
    }
    for (size_t row = 0; row < ROWS; row++) admit(sessions[0], answers[0], rows[row], 1, FEATURES);
    admit(sessions[1], answers[1], rows[0], ROWS, FEATURES);
    for (int i = 0; i < 2; i++) erai_answer_close(answers[i]); /* what waits is watched */
    for (int i = 0; i < 2; i++) ER_CHECK_INT(drift_of(sessions[i]).rows, ROWS);
    erai_feature_drift one, other;
    for (uint32_t f = 0; f < FEATURES; f++) {
        must(erai_session_feature_drift(sessions[0], f, &one) == ERAI_OK);
        must(erai_session_feature_drift(sessions[1], f, &other) == ERAI_OK);
        ER_CHECK(one.evidence == other.evidence && one.evidence > 0);
        if (f == 2) ER_CHECK_INT(one.direction, ERAI_DRIFT_MISSING);
        if (f == 4) ER_CHECK_INT(one.direction, ERAI_DRIFT_OUTSIDE);
    }
    for (int i = 0; i < 2; i++) erai_session_close(sessions[i]);
}

static void an_alarm_opens_the_breaker_until_it_is_reset_and_cooled_down(void) {
    for (uint32_t verdict = ERAI_VERDICT_ACCEPT; verdict <= ERAI_VERDICT_REJECT;
         verdict += 2) { /* rows that it rejects ask nobody */
        erai_clock clock = {.monotonic_ns = 1};
        erai_policy *policy = policy_of((plan){ERAI_DTYPE_FLOAT32, 2, verdict, 1e4}, (uint32_t[]){1, 1});
        test_set_decision(policy, (erai_decision_rule){.breaker_window = 1,
                                                       .breaker_failures = 1,
                                                       .breaker_probes = 1,
                                                       .breaker_cooldown_ns = 1000,
                                                       .flags = ERAI_DECISION_BREAK_ON_DRIFT});
        erai_session *session = test_session(policy, &clock);
        erai_answer *answer = test_answer(session);
        rows_to_alarm(session, answer, 2, 1, 2000);
        uint64_t refused = test_reasons(session, ERAI_REASON_BREAKER_OPEN);
        for (int i = 0; i < 3; i++, clock.monotonic_ns += 1000) { /* however long it stands */
            ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_OPEN);
            admit(session, answer, (double[]){3, 4}, 1, 2);
            ER_CHECK(erai_answer_source(answer) != ERAI_SOURCE_PRIMARY);
        }
        ER_CHECK_INT(test_reasons(session, ERAI_REASON_BREAKER_OPEN) - refused, verdict == ERAI_VERDICT_REJECT ? 0 : 3);
        ER_CHECK_INT(test_decisions(session, ERAI_COUNT_BREAKER_OPENED), 1);
        ER_CHECK_INT(erai_session_drift_reset(session), ERAI_OK);
        ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_HALF_OPEN);
        admit(session, answer, (double[]){3, 4}, 1, 2);
        ER_CHECK_INT(erai_answer_source(answer), ERAI_SOURCE_PRIMARY);
        ER_CHECK_INT(erai_session_breaker(session), ERAI_BREAKER_CLOSED);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void an_alarm_is_counted_and_becomes_one_urgent_event(void) {
    char path[64];
    test_directory_make(path);
    const erai_clock clock = {.unix_ns = 77000000};
    const uint8_t digest[ERAI_DIGEST_SIZE] = {1};
    const uint32_t strides[2] = {1, 1};
    const erai_session_config config = {
        .struct_size = sizeof config, .clock = &clock, .spool_path = path, .events = 16};
    uint8_t bytes[4096];
    size_t size;
    erai_guard *guard = NULL;
    erai_session *session = NULL;
    erai_policy *policy = policy_of((plan){ERAI_DTYPE_FLOAT32, 2, ERAI_VERDICT_ACCEPT, 1e4}, strides);
    must(erai_policy_write(policy, bytes, sizeof bytes, &size, NULL) == ERAI_OK);
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    must(erai_session_open_guard(guard, digest, &config, &session, NULL) == ERAI_OK);
    erai_answer *answer = test_answer(session);
    for (int told = 0; told < 2; told++) {
        rows_to_alarm(session, answer, 2, 1, 2000);
        for (int again = 0; again < 2; again++) { /* what has been told is not told again */
            erai_snapshot *snapshot = NULL;
            ER_CHECK_INT(erai_session_snapshot(session, &snapshot, NULL), ERAI_OK);
            ER_CHECK_INT(snapshot->info.decisions[ERAI_COUNT_DRIFT_ALARMS], told + 1);
            ER_CHECK_INT(snapshot->info.events, told + 1);
            const erai_event *event = &snapshot->events[told];
            ER_CHECK(event->event_class == ERAI_EVENT_URGENT && event->unix_ns == 77000000);
            ER_CHECK_INT(event->reasons, (uint64_t)1 << ERAI_REASON_DRIFT);
            ER_CHECK_INT(event->field_count, 3);
            const erai_event_field *fields = event->fields;
            ER_CHECK(fields[0].form == ERAI_FIELD_EVIDENCE && fields[0].value >= 1e4 && fields[0].feature == 1);
            ER_CHECK(fields[1].form == ERAI_FIELD_DIRECTION && fields[1].number == ERAI_DRIFT_MEAN_UP);
            ER_CHECK(fields[2].form == ERAI_FIELD_CHANGED && fields[2].number > 0 && fields[2].number < 300);
            erai_snapshot_close(snapshot);
            admit(session, answer, (const double[]){8, 8}, 1, 2);
        }
        ER_CHECK_INT(erai_session_flush_due(session, 0), 1);
        ER_CHECK_INT(erai_session_drift_reset(session), ERAI_OK);
    }
    erai_answer_close(answer);
    erai_session_close(session);
    erai_guard_close(guard);
    erai_policy_close(policy);
    test_directory_remove(path);
}

static void an_alarm_speaks_against_every_row_where_the_policy_says_so(void) {
    for (uint32_t verdict = ERAI_VERDICT_ACCEPT; verdict <= ERAI_VERDICT_REJECT; verdict++) {
        erai_session *session = open_plan((plan){ERAI_DTYPE_FLOAT32, 2, verdict, 1000}, NULL);
        erai_answer *answer = test_answer(session);
        rows_to_alarm(session, answer, 2, 1, 1000);
        admit(session, answer, (double[]){3, 4}, 1, 2);
        ER_CHECK_INT(erai_answer_verdict(answer), verdict);
        const erai_reason *reason;
        ER_CHECK_INT(erai_answer_reasons(answer, &reason), verdict != ERAI_VERDICT_ACCEPT);
        if (verdict != ERAI_VERDICT_ACCEPT) {
            ER_CHECK_INT(reason->code, ERAI_REASON_DRIFT);
            ER_CHECK(reason->row == -1 && reason->value >= 1000 && reason->limit == 1000);
            ER_CHECK_STR(reason->subject, "f1");
            ER_CHECK(test_reasons(session, ERAI_REASON_DRIFT) > 0);
        }
        must(erai_session_drift_reset(session) == ERAI_OK);
        admit(session, answer, (double[]){3, 4}, 1, 2);
        ER_CHECK_INT(erai_answer_verdict(answer), ERAI_VERDICT_ACCEPT);
        erai_answer_close(answer);
        erai_session_close(session);
    }
}

static void features_without_a_stride_are_not_watched(void) {
    const uint32_t strides[] = {0, 4};
    erai_session *session = test_session(policy_of((plan){ERAI_DTYPE_FLOAT32, 2, 0, 1e6}, strides), NULL);
    erai_answer *answer = test_answer(session);
    ER_CHECK_INT(rows_to_alarm(session, answer, 2, 0, 3000), 3000);
    ER_CHECK(rows_to_alarm(session, answer, 2, 1, 3000) < 1000);
    ER_CHECK_INT(drift_of(session).watched, 1);
    erai_feature_drift of;
    ER_CHECK_INT(erai_session_feature_drift(session, 0, &of), ERAI_OK);
    ER_CHECK(of.stride == 0 && of.evidence == 0);
    ER_CHECK_INT(erai_session_feature_drift(session, 2, &of), ERAI_E_ARGUMENT);
    erai_answer_close(answer);
    erai_session_close(session);
}

/* ---- State ---- */

#define STATE_SIZE 4096u

static size_t state_of(erai_session *session, uint8_t bytes[STATE_SIZE]) {
    size_t size = 0;
    must(erai_session_drift_state(session, bytes, STATE_SIZE, &size) == ERAI_OK);
    return size;
}

static int goes_on_from(erai_session *session, const uint8_t *bytes, size_t size, char *detail) {
    return erai_session_drift_continue(session, bytes, size, detail) == ERAI_OK;
}

/* Two sessions of one policy: from the state on whole groups of rows are looked at together, wherever rings end. */
static void a_watch_goes_on_to_the_bit(void) {
    const plan of = {ERAI_DTYPE_FLOAT32, 3, ERAI_VERDICT_ACCEPT, 1e6};
    erai_session *sessions[] = {open_plan(of, NULL), open_plan(of, NULL)};
    erai_answer *answers[] = {test_answer(sessions[0]), test_answer(sessions[1])};
    uint8_t first[STATE_SIZE], second[STATE_SIZE];
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(rows_to_alarm(sessions[0], answers[0], 3, NOBODY, 1003), 1003);
    size_t size = state_of(sessions[0], first);
    ER_CHECK_INT(drift_of(sessions[0]).rows, 1003); /* those that waited are among them */
    ER_CHECK_INT(drift_of(sessions[0]).continued, 0);
    ER_CHECK(goes_on_from(sessions[1], first, size, detail));
    ER_CHECK_INT(drift_of(sessions[1]).continued, 1);
    double row[3];
    for (int i = 0; i < 50; i++) {
        fill_row(row, 3, NOBODY);
        for (int k = 0; k < 2; k++) admit(sessions[k], answers[k], row, 1, 3);
    }
    ER_CHECK_INT(state_of(sessions[0], first), size);
    ER_CHECK_INT(state_of(sessions[1], second), size);
    ER_CHECK_INT(drift_of(sessions[1]).rows, 1053);
    ER_CHECK(memcmp(first, second, size) == 0);
    ER_CHECK(rows_to_alarm(sessions[0], answers[0], 3, 1, 1000) < 1000);
    state_of(sessions[0], second);

    /* An alarm stands in the next session, and can be taken back there. */
    erai_session *next = open_plan(of, NULL);
    ER_CHECK(goes_on_from(next, second, size, detail));
    erai_drift now = drift_of(next);
    ER_CHECK_INT(now.alarm_row, drift_of(sessions[0]).alarm_row);
    ER_CHECK_INT(now.alarm_feature, 1);
    erai_feature_drift feature;
    ER_CHECK_INT(erai_session_feature_drift(next, 1, &feature), ERAI_OK);
    ER_CHECK(feature.named && feature.direction == ERAI_DRIFT_MEAN_UP);
    ER_CHECK_INT(erai_session_drift_reset(next), ERAI_OK);
    ER_CHECK(!drift_of(next).alarm_row && !drift_of(next).continued);
    erai_session_close(next);
    for (int k = 0; k < 2; k++) {
        erai_answer_close(answers[k]);
        erai_session_close(sessions[k]);
    }
}

static void bytes_that_are_no_state_change_nothing(void) {
    const plan of = {ERAI_DTYPE_FLOAT32, 2, ERAI_VERDICT_ACCEPT, 1e6};
    erai_session *session = open_plan(of, NULL), *other = open_plan((plan){ERAI_DTYPE_FLOAT32, 2, 0, 1e5}, NULL);
    erai_answer *answer = test_answer(session);
    uint8_t bytes[STATE_SIZE], damaged[STATE_SIZE], after[STATE_SIZE];
    char detail[ERAI_DETAIL_SIZE];
    rows_to_alarm(session, answer, 2, NOBODY, 100);
    size_t size = state_of(session, bytes), needed = 0;
    for (size_t cut = 0; cut < size; cut++) ER_CHECK(!goes_on_from(session, bytes, cut, detail));
    for (size_t i = 0; i < size; i++) {
        memcpy(damaged, bytes, size);
        damaged[i] ^= 0x10;
        ER_CHECK(!goes_on_from(session, damaged, size, detail));
    }
    /* With a checksum that is right, each number is still looked at: those of the detectors are 32-bit stakes first. */
    const size_t numbers = 24 + ERAI_DIGEST_SIZE + 8 + 29;
    memcpy(damaged, bytes, size);
    const float bad[] = {-1.0f, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(damaged + numbers, &bad[i], sizeof bad[i]);
        uint32_t crc = er_crc32(0, damaged + 24, size - 24);
        memcpy(damaged + 20, &crc, sizeof crc);
        ER_CHECK_INT(erai_session_drift_continue(session, damaged, size, detail), ERAI_E_BATCH_FORMAT);
        ER_CHECK_STR(detail, "state of a watch: it has numbers that no watch comes to");
    }
    ER_CHECK_INT(erai_session_drift_continue(other, bytes, size, detail), ERAI_E_ARGUMENT);
    ER_CHECK_STR(detail, "state of a watch: it is of another guard program");
    ER_CHECK_INT(state_of(session, after), size);
    ER_CHECK(memcmp(after, bytes, size) == 0);
    ER_CHECK_INT(erai_session_drift_state(session, NULL, 0, &needed), ERAI_OK);
    ER_CHECK_INT(needed, size);
    ER_CHECK_INT(erai_session_drift_state(session, after, size - 1, &needed), ERAI_E_SIZE);
    ER_CHECK_INT(erai_session_drift_continue(session, NULL, 0, detail), ERAI_E_ARGUMENT);
    erai_answer_close(answer);
    erai_session_close(session);
    erai_session_close(other);
}

static void the_next_session_of_a_spool_goes_on(void) {
    const plan of = {ERAI_DTYPE_FLOAT32, 2, ERAI_VERDICT_ACCEPT, 1e6};
    static const uint8_t digest[ERAI_DIGEST_SIZE] = {1};
    char path[64], name[ERAI_DETAIL_SIZE], detail[ERAI_DETAIL_SIZE];
    test_directory_make(path);
    erai_session_config config = {.struct_size = sizeof config, .spool_path = path};
    erai_session *like = open_plan(of, NULL), *session = NULL;
    const erai_guard *guard = erai_session_guard(like);
    for (int i = 0; i < 3; i++) {
        ER_CHECK_INT(erai_session_open_guard(guard, digest, &config, &session, detail), ERAI_OK);
        ER_CHECK_INT(drift_of(session).continued, i == 1);
        erai_answer *answer = test_answer(session);
        if (i == 0) ER_CHECK(rows_to_alarm(session, answer, 2, 0, 1000) < 1000);
        if (i < 2) ER_CHECK(drift_of(session).alarm_row);
        ER_CHECK_INT(erai_session_flush(session, name, detail), ERAI_OK);
        erai_answer_close(answer);
        if (i == 1) { /* what is damaged is passed over, */
            char file[256], hex[2 * ERAI_DIGEST_SIZE + 1];
            for (size_t k = 0; k < ERAI_DIGEST_SIZE; k++) snprintf(hex + 2 * k, 3, "%02x", guard->digest[k]);
            snprintf(file, sizeof file, "watch-%s", hex);
            erai_spool *spool = NULL;
            ER_CHECK_INT(erai_spool_attach(path, &spool, detail), ERAI_OK);
            ER_CHECK_INT(erai_spool_put(spool, file, (const uint8_t *)"ERAIWCH", 7, detail), ERAI_OK);
            erai_spool_close(spool);
        }
        if (i == 2) ER_CHECK(!drift_of(session).alarm_row); /* and that watch begins anew */
        erai_session_close(session);
    }
    erai_session_close(like);
    test_directory_remove(path);
}

static void rules_that_mean_nothing_are_refused(void) {
    const uint32_t ones[] = {1, 1}, none[] = {0, 0};
    const erai_drift_rule sound = {
        .struct_size = sizeof sound, .average_run_length = 1000, .effect = 0.01, .strides = ones, .features = 2};
    erai_policy *policy = policy_of((plan){ERAI_DTYPE_FLOAT32, 2, 0, 1000}, ones);
    erai_drift_rule rule = sound;
    ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_OK); /* in place of the one before */
    rule.struct_size--;
    ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_E_STRUCT);
    const double lengths[] = {99, 1e16, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        rule = sound;
        rule.average_run_length = lengths[i];
        ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_E_POLICY);
    }
    rule = sound;
    rule.effect = 0;
    ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_E_POLICY);
    rule = sound;
    rule.verdict = 3;
    ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_E_POLICY);
    rule = sound;
    rule.features = 1;
    ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_E_POLICY);
    rule = sound;
    rule.strides = none;
    ER_CHECK_INT(erai_policy_set_drift(policy, &rule, NULL), ERAI_OK);
    uint8_t bytes[4096];
    size_t size;
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(erai_policy_write(policy, bytes, sizeof bytes, &size, detail), ERAI_E_POLICY);
    ER_CHECK_STR(detail, "drift: no feature is watched");
    erai_policy_close(policy);
    ER_CHECK_INT(erai_session_drift(NULL, NULL), ERAI_E_ARGUMENT);
}

int main(void) {
    ER_RUN(an_alarm_names_its_feature_and_stays);
    ER_RUN(rows_are_watched_in_order_whichever_way_their_values_go);
    ER_RUN(an_alarm_opens_the_breaker_until_it_is_reset_and_cooled_down);
    ER_RUN(an_alarm_is_counted_and_becomes_one_urgent_event);
    ER_RUN(an_alarm_speaks_against_every_row_where_the_policy_says_so);
    ER_RUN(features_without_a_stride_are_not_watched);
    ER_RUN(a_watch_goes_on_to_the_bit);
    ER_RUN(bytes_that_are_no_state_change_nothing);
    ER_RUN(the_next_session_of_a_spool_goes_on);
    ER_RUN(rules_that_mean_nothing_are_refused);
    return er_test_result();
}
