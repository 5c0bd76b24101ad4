/* The device's key: shared by the sessions of a spool, another one every day whatever the clocks do, and in no file any
 * more once there is another. SPDX-License-Identifier: Apache-2.0 */
#include "device_key.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "er_test.h"
#include "test_guard.h"

#define SECOND_NS INT64_C(1000000000)
#define DAY_NS (ER_KEY_LIFE_S * SECOND_NS)

static const int64_t today_ns = 20000 * DAY_NS;

static erai_spool *spool_of(const char *path) {
    erai_spool *spool = NULL;
    if (erai_spool_open(path, &spool, NULL)) abort();
    return spool;
}

static int same(const er_device_key *one, const er_device_key *other) {
    return memcmp(one->bytes, other->bytes, sizeof one->bytes) == 0;
}

static char *key_path(const char *path) {
    char *file = er_path_join(path, "key");
    if (!file) abort();
    return file;
}

static void sessions_of_one_spool_have_one_key_that_nobody_else_may_read(void) {
    char path[64];
    test_directory_make(path);
    erai_spool *spool = spool_of(path), *other = spool_of(path);
    er_device_key key = {0}, again = {0};
    ER_CHECK_INT(er_device_key_renew(&key, spool, 0, today_ns), 1);
    ER_CHECK_INT(er_device_key_renew(&again, other, 5, today_ns + DAY_NS - SECOND_NS), 1);
    ER_CHECK(same(&key, &again));
    char *file = key_path(path);
    struct stat info;
    ER_CHECK(stat(file, &info) == 0 && (info.st_mode & 077) == 0);
    free(file);
    erai_spool_close(spool);
    erai_spool_close(other);
    test_directory_remove(path);
}

/* By the wall clock a day on, or before the key was made; by the session's clock; by openings. */
static void another_key_replaces_it_after_a_day_of_any_clock_or_some_openings(void) {
    static const struct {
        int64_t then_ns;
        uint64_t now_ns;
        int openings;
    } cases[] = {{today_ns + DAY_NS, 1, 0},
                 {today_ns - 20 * 366 * DAY_NS, 1, 0},
                 {today_ns + 20 * 366 * DAY_NS, 1, 0},
                 {today_ns, (uint64_t)DAY_NS, 0},
                 {today_ns, 1, ER_KEY_OPENINGS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[64];
        test_directory_make(path);
        erai_spool *spool = spool_of(path);
        er_device_key key = {0}, first;
        ER_CHECK_INT(er_device_key_renew(&key, spool, 0, today_ns), 1);
        first = key;
        for (int k = 0; k < cases[i].openings; k++) {
            erai_spool_close(spool);
            spool = spool_of(path);
        }
        ER_CHECK_INT(er_device_key_renew(&key, spool, cases[i].now_ns, cases[i].then_ns), 1);
        ER_CHECK(!same(&key, &first));
        char *file = key_path(path);
        uint8_t *bytes = NULL;
        size_t size = 0;
        char hex[2 * ERAI_DIGEST_SIZE + 1];
        ER_CHECK_INT(er_file_read(file, 4096, &bytes, &size, NULL), ERAI_OK);
        for (size_t k = 0; k < ERAI_DIGEST_SIZE; k++) snprintf(hex + 2 * k, 3, "%02x", key.bytes[k]);
        ER_CHECK(bytes && size == 91 && memcmp(bytes + 26, hex, 64) == 0); /* the old one is gone */
        free(bytes);
        free(file);
        erai_spool_close(spool);
        test_directory_remove(path);
    }
}

static void a_damaged_key_is_replaced(void) {
    char path[64];
    test_directory_make(path);
    erai_spool *spool = spool_of(path);
    char *file = key_path(path);
    er_device_key key = {0}, other = {0};
    ER_CHECK_INT(er_device_key_renew(&key, spool, 0, today_ns), 1);
    for (size_t size = 0; size < 91; size += 13) {
        uint8_t *bytes = NULL;
        size_t whole;
        ER_CHECK_INT(er_file_read(file, 4096, &bytes, &whole, NULL), ERAI_OK);
        ER_CHECK_INT(er_file_remove(file), 0);
        ER_CHECK_INT(er_file_create(file, bytes, size, NULL), 0);
        free(bytes);
        ER_CHECK_INT(er_device_key_renew(&other, spool, 0, today_ns), 1);
        ER_CHECK(!same(&key, &other));
        key = other;
        ER_CHECK_INT(er_device_key_renew(&other, spool, 0, today_ns), 1);
        ER_CHECK(same(&key, &other));
    }
    free(file);
    erai_spool_close(spool);
    test_directory_remove(path);
}

/* Where no file can be written, values are hashed all the same, and with no key that was used before. */
static void a_key_that_cannot_be_written_lives_for_one_window(void) {
    char path[64];
    test_directory_make(path);
    erai_spool *spool = spool_of(path);
    test_directory_remove(path);
    er_device_key key = {0}, first;
    ER_CHECK_INT(er_device_key_renew(&key, spool, 0, today_ns), 1);
    first = key;
    ER_CHECK_INT(er_device_key_renew(&key, spool, 0, today_ns), 1);
    ER_CHECK(!same(&key, &first));
    erai_spool_close(spool);
}

int main(void) {
    ER_RUN(sessions_of_one_spool_have_one_key_that_nobody_else_may_read);
    ER_RUN(another_key_replaces_it_after_a_day_of_any_clock_or_some_openings);
    ER_RUN(a_damaged_key_is_replaced);
    ER_RUN(a_key_that_cannot_be_written_lives_for_one_window);
    return er_test_result();
}
