/* A session on both sides of a fork: what is counted on either is delivered once. SPDX-License-Identifier: Apache-2.0
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "er_test.h"
#include "platform/platform.h"
#include "session.h"
#include "spool.h"
#include "test_guard.h"

static const uint8_t model_digest[ERAI_DIGEST_SIZE] = {0xab};

typedef struct side {
    erai_session *session;
    erai_answer *answer;
} side;

static side open_side(const char *spool) {
    erai_guard *guard = test_guard_open();
    erai_session_config config = {.struct_size = sizeof config, .spool_path = spool};
    side made = {NULL, NULL};
    ER_CHECK_INT(erai_session_open_guard(guard, model_digest, &config, &made.session, NULL), ERAI_OK);
    ER_CHECK_INT(erai_answer_open(made.session, &made.answer), ERAI_OK);
    erai_guard_close(guard);
    return made;
}

static void close_side(side *of) {
    erai_answer_close(of->answer);
    erai_session_close(of->session);
}

static void call(side *of, int times) {
    static const float x[] = {1, 2, 3}, y[] = {0.5f, 0.5f};
    const int64_t in[] = {1, 3}, out[] = {1, 2};
    const erai_tensor input = {.data = x, .shape = in, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    const erai_tensor output = {.data = y, .shape = out, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    for (int i = 0; i < times; i++) {
        size_t admitted;
        ER_CHECK_INT(erai_admit(of->session, &input, 1, of->answer, &admitted), ERAI_OK);
        ER_CHECK_INT(erai_judge(of->session, &output, 1, of->answer), ERAI_OK);
    }
}

static void flush(side *of) {
    ER_CHECK_INT(erai_session_flush(of->session, NULL, NULL), ERAI_OK);
}

typedef struct delivery {
    const char *path;
    uint64_t calls, values;
    int files;
} delivery;

/* Takes a batch file out of the spool, as an agent does. */
static int deliver(const char *name, void *context) {
    delivery *to = context;
    if (!strstr(name, ".batch")) return 0;
    char *path = er_path_join(to->path, name);
    uint8_t *bytes = NULL;
    size_t size = 0;
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    ER_CHECK_INT(er_file_read(path, 1 << 20, &bytes, &size, NULL), ERAI_OK);
    ER_CHECK_INT(erai_snapshot_open(bytes, size, &snapshot, NULL), ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    to->calls += info.calls;
    erai_feature_counts feature;
    ER_CHECK_INT(erai_snapshot_feature(snapshot, 0, &feature), ERAI_OK);
    for (uint32_t i = 0; i < feature.bins; i++) to->values += feature.histogram[i];
    to->files++;
    char expected[64];
    snprintf(expected, sizeof expected, "%016llx-%016llx.batch", (unsigned long long)info.epoch,
             (unsigned long long)info.sequence);
    ER_CHECK_STR(name, expected);
    ER_CHECK_INT(er_file_remove(path), 0);
    erai_snapshot_close(snapshot);
    free(bytes);
    free(path);
    return 0;
}

/* Runs in a forked child, which says what it counted by how it ends. */
static void in_child(void (*body)(side *), side *of) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body(of);
        fflush(NULL);
        _exit(er_test_failures > 0);
    }
    int status = -1;
    ER_CHECK_INT(waitpid(child, &status, 0), child);
    ER_CHECK_INT(status, 0);
}

static void grandchild(side *of) {
    call(of, 7);
    flush(of);
}

static void child(side *of) {
    erai_snapshot *snapshot = NULL;
    erai_snapshot_info info;
    ER_CHECK_INT(erai_session_snapshot(of->session, &snapshot, NULL), ERAI_OK);
    erai_snapshot_read(snapshot, &info);
    ER_CHECK_INT(info.calls, 0);
    ER_CHECK_INT(info.sequence, 0);
    ER_CHECK_INT(info.epoch, er_spool_epoch(of->session->spool));
    erai_snapshot_close(snapshot);
    call(of, 100);
    flush(of);
    call(of, 20);
    flush(of);
    call(of, 3);
    in_child(grandchild, of);
    close_side(of);
}

static void what_is_counted_on_either_side_is_delivered_once(void) {
    char path[64];
    test_directory_make(path);
    side parent = open_side(path);
    uint64_t epoch = er_spool_epoch(parent.session->spool);
    call(&parent, 10);
    flush(&parent);
    call(&parent, 50); /* of which some rows wait to be sketched */
    in_child(child, &parent);
    call(&parent, 1000);
    flush(&parent);
    ER_CHECK_INT(er_spool_epoch(parent.session->spool), epoch);
    delivery all = {.path = path};
    ER_CHECK_INT(er_directory_each(path, deliver, &all), 0);
    ER_CHECK_INT(all.files, 5);
    ER_CHECK_INT(all.calls, 10 + 50 + 100 + 20 + 7 + 1000); /* 3 were never flushed */
    ER_CHECK_INT(all.values, all.calls);
    close_side(&parent);
    test_directory_remove(path);
}

static void only_flush(side *of) {
    flush(of);
}

static void a_child_that_did_nothing_has_nothing_to_deliver(void) {
    char path[64];
    test_directory_make(path);
    side parent = open_side(path);
    call(&parent, 10);
    in_child(only_flush, &parent);
    delivery nothing = {.path = path};
    ER_CHECK_INT(er_directory_each(path, deliver, &nothing), 0);
    ER_CHECK(nothing.files == 1 && nothing.calls == 0);
    flush(&parent);
    delivery all = {.path = path};
    ER_CHECK_INT(er_directory_each(path, deliver, &all), 0);
    ER_CHECK(all.files == 1 && all.calls == 10);
    close_side(&parent);
    test_directory_remove(path);
}

static void a_batch_never_replaces_another(void) {
    char path[64], name[64];
    test_directory_make(path);
    side one = open_side(path);
    uint64_t epoch = er_spool_epoch(one.session->spool);
    snprintf(name, sizeof name, "%016llx-%016x.batch", (unsigned long long)epoch, 0);
    ER_CHECK_INT(erai_spool_put(one.session->spool, name, (const uint8_t *)"another\n", 8, NULL), ERAI_OK);
    call(&one, 5);
    flush(&one);
    ER_CHECK(er_spool_epoch(one.session->spool) > epoch);
    char *taken = er_path_join(path, name);
    uint8_t *bytes = NULL;
    size_t size = 0;
    ER_CHECK_INT(er_file_read(taken, 64, &bytes, &size, NULL), ERAI_OK);
    ER_CHECK(size == 8 && memcmp(bytes, "another\n", 8) == 0);
    free(bytes);
    ER_CHECK_INT(er_file_remove(taken), 0);
    free(taken);
    delivery all = {.path = path};
    ER_CHECK_INT(er_directory_each(path, deliver, &all), 0);
    ER_CHECK(all.files == 1 && all.calls == 5);
    close_side(&one);
    test_directory_remove(path);
}

int main(void) {
    ER_RUN(what_is_counted_on_either_side_is_delivered_once);
    ER_RUN(a_child_that_did_nothing_has_nothing_to_deliver);
    ER_RUN(a_batch_never_replaces_another);
    return er_test_result();
}
