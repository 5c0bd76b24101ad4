/* The spool's names, epochs and files. Power cuts and refused calls are in tests/crash/test_spool_crash.py.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "spool.h"

#include <pthread.h>
#include <stdlib.h>

#include "er_test.h"
#include "platform/platform.h"
#include "test_guard.h"

static int file_is(const char *directory, const char *name, const void *data, size_t size) {
    char *path = er_path_join(directory, name);
    uint8_t *bytes = NULL;
    size_t found = 0;
    erai_status status = er_file_read(path, 4096, &bytes, &found, NULL);
    int same = status == ERAI_OK && found == size && memcmp(bytes, data, size) == 0;
    free(bytes);
    free(path);
    return same;
}

static int count_name(const char *name, void *count) {
    (void)name;
    ++*(int *)count;
    return 0;
}

static void what_is_put_is_there_under_its_name(void) {
    char path[64], detail[ERAI_DETAIL_SIZE];
    test_directory_make(path);
    erai_spool *spool = NULL;
    ER_CHECK_INT(erai_spool_open(path, &spool, detail), ERAI_OK);
    const uint8_t data[] = {1, 2, 3};
    ER_CHECK_INT(erai_spool_put(spool, "a-B_9.batch", data, 3, detail), ERAI_OK);
    ER_CHECK(file_is(path, "a-B_9.batch", data, 3));
    ER_CHECK_INT(erai_spool_put(spool, "empty", NULL, 0, detail), ERAI_OK);
    ER_CHECK(file_is(path, "empty", "", 0));
    ER_CHECK_INT(er_spool_put_once(spool, "a-B_9.batch", data, 3, detail), ERAI_OK);
    ER_CHECK(file_is(path, "a-B_9.batch", data, 3));
    /* A file that is not what it should be, a damaged guard program say, is written anew. */
    ER_CHECK_INT(er_spool_put_once(spool, "a-B_9.batch", data, 1, detail), ERAI_OK);
    ER_CHECK(file_is(path, "a-B_9.batch", data, 1));
    int files = 0;
    ER_CHECK_INT(er_directory_each(path, count_name, &files), 0);
    ER_CHECK_INT(files, 5); /* with the instance, the epoch's marker and the lock */
    erai_spool_close(spool);
    erai_spool_close(NULL);
    test_directory_remove(path);
}

static void names_that_lead_elsewhere_are_refused(void) {
    char path[64], detail[ERAI_DETAIL_SIZE], longest[202];
    test_directory_make(path);
    erai_spool *spool = NULL;
    ER_CHECK_INT(erai_spool_open(path, &spool, detail), ERAI_OK);
    memset(longest, 'n', 201);
    longest[201] = '\0';
    const char *const names[] = {"", ".", "..", ".hidden", "a/b", "../up", "a b", "\xc3\xa4", "a\nb", longest};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ER_CHECK_INT(erai_spool_put(spool, names[i], (const uint8_t *)"x", 1, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_spool_put(NULL, "a", NULL, 0, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_spool_put(spool, "a", NULL, 1, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_spool_open(NULL, &spool, detail), ERAI_E_ARGUMENT);
    erai_spool_close(spool);
    test_directory_remove(path);
}

static void every_opening_is_a_later_epoch_of_one_instance(void) {
    char path[64], detail[ERAI_DETAIL_SIZE];
    test_directory_make(path);
    uint8_t instance[16];
    uint64_t last = 0;
    for (uint64_t opening = 1; opening <= 20; opening++) {
        erai_spool *spool = NULL;
        ER_CHECK_INT(erai_spool_open(path, &spool, detail), ERAI_OK);
        ER_CHECK_INT(er_spool_epoch(spool) >> 32, opening);
        ER_CHECK(er_spool_epoch(spool) > last);
        last = er_spool_epoch(spool);
        if (opening == 1) memcpy(instance, er_spool_instance(spool), sizeof instance);
        ER_CHECK(memcmp(instance, er_spool_instance(spool), sizeof instance) == 0);
        erai_spool_close(spool);
    }
    test_directory_remove(path);
}

/* Batch files of before say whose they are. */
static void a_name_that_is_damaged_is_set_aside_and_another_one_made(void) {
    static char long_one[100];
    memset(long_one, 'a', sizeof long_one);
    const struct {
        const char *bytes;
        size_t size;
    } damaged[] = {{"", 0}, {"0123", 4}, {"0123456789abcdef0123456789abcdeF\n", 33}, {long_one, sizeof long_one}};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        char path[64], detail[ERAI_DETAIL_SIZE];
        uint8_t instance[16];
        test_directory_make(path);
        erai_spool *spool = NULL;
        ER_CHECK_INT(erai_spool_open(path, &spool, detail), ERAI_OK);
        memcpy(instance, er_spool_instance(spool), sizeof instance);
        erai_spool_close(spool);
        char *name = er_path_join(path, "instance"), *folder = er_path_join(path, "corrupt");
        FILE *file = fopen(name, "wb");
        ER_CHECK(file && fwrite(damaged[i].bytes, 1, damaged[i].size, file) == damaged[i].size);
        if (file) fclose(file);
        for (int opening = 0; opening < 2; opening++) {
            ER_CHECK_INT(erai_spool_open(path, &spool, detail), ERAI_OK);
            ER_CHECK_INT(memcmp(instance, er_spool_instance(spool), sizeof instance) != 0, !opening);
            memcpy(instance, er_spool_instance(spool), sizeof instance);
            ER_CHECK_INT(er_spool_epoch(spool) >> 32, opening + 2);
            erai_spool_close(spool);
        }
        ER_CHECK(file_is(folder, "instance", damaged[i].bytes, damaged[i].size));
        test_directory_remove(folder);
        test_directory_remove(path);
        free(name);
        free(folder);
    }
}

static void a_directory_that_cannot_be_made_is_named(void) {
    char detail[ERAI_DETAIL_SIZE];
    erai_spool *spool = NULL;
    ER_CHECK_INT(erai_spool_open("/nonexistent/deep/spool", &spool, detail), ERAI_E_SPOOL);
    ER_CHECK_CONTAINS(detail, "/nonexistent/deep/spool");
    ER_CHECK_INT(erai_spool_open("", &spool, detail), ERAI_E_SPOOL);
    ER_CHECK_INT(erai_spool_open("/dev/null", &spool, NULL), ERAI_E_SPOOL);
    ER_CHECK(spool == NULL);
}

enum { WRITERS = 4, FILES = 25 };

typedef struct writer {
    const char *path;
    erai_spool *shared;
    int number;
    uint8_t instance[16];
    uint64_t epoch;
    int failures;
} writer;

/* Opens the spool while others do, and writes into its own and into a shared one. */
static void *write_files(void *context) {
    writer *mine = context;
    erai_spool *own = NULL;
    mine->failures += erai_spool_open(mine->path, &own, NULL) != ERAI_OK;
    if (own == NULL) return NULL;
    memcpy(mine->instance, er_spool_instance(own), sizeof mine->instance);
    mine->epoch = er_spool_epoch(own);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d-%d", mine->number, i);
        mine->failures += erai_spool_put(i % 2 ? own : mine->shared, name, (const uint8_t *)name, 3, NULL) != ERAI_OK;
    }
    erai_spool_close(own);
    return NULL;
}

static void threads_that_open_and_write_at_once_do_not_disturb_each_other(void) {
    char path[64], other[64];
    test_directory_make(path);
    test_directory_make(other);
    erai_spool *shared = NULL;
    ER_CHECK_INT(erai_spool_open(path, &shared, NULL), ERAI_OK);
    pthread_t threads[WRITERS];
    writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.path = other, .shared = shared, .number = i};
        ER_CHECK_INT(pthread_create(&threads[i], NULL, write_files, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < WRITERS; i++) {
        ER_CHECK_INT(writers[i].failures, 0);
        ER_CHECK(memcmp(writers[i].instance, writers[0].instance, 16) == 0);
        for (int j = 0; j < i; j++) ER_CHECK(writers[i].epoch != writers[j].epoch);
    }
    int files = 0;
    ER_CHECK_INT(er_directory_each(path, count_name, &files), 0);
    ER_CHECK_INT(files, WRITERS * (FILES + 1) / 2 + 3);
    erai_spool_close(shared);
    test_directory_remove(path);
    test_directory_remove(other);
}

int main(void) {
    ER_RUN(what_is_put_is_there_under_its_name);
    ER_RUN(names_that_lead_elsewhere_are_refused);
    ER_RUN(every_opening_is_a_later_epoch_of_one_instance);
    ER_RUN(a_name_that_is_damaged_is_set_aside_and_another_one_made);
    ER_RUN(a_directory_that_cannot_be_made_is_named);
    ER_RUN(threads_that_open_and_write_at_once_do_not_disturb_each_other);
    return er_test_result();
}
