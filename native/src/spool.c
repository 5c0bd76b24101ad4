/* The spool, docs/formats/spool.md: a directory of files that are written once and never changed. A file appears under
 * its name by rename, after its bytes were fsynced, and the directory is fsynced after that; whatever a power cut
 * leaves is either a whole file or a temporary one, which the next opening removes. */
#include "spool.h"

#include "spool_files.h"
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE_FILE "instance"
#define EPOCH_PREFIX "epoch-"
#define TEMPORARY_PREFIX ".writing-"

enum { ATTEMPTS = 16, LEAST_QUOTA = 64 << 10 };

/* Without one that was asked for; merging keeps every count, so that a bound costs little. */
static const uint64_t usual_quota = (uint64_t)64 << 20;

erai_status er_spool_fail(char *detail, const char *what, const char *path, int error) {
    char text[128];
    return er_fail(detail, ERAI_E_SPOOL, "spool: %s %s: %s", what, path, er_error_text(error, text, sizeof text));
}

static int name_allowed(const char *name) {
    if (!name[0] || name[0] == '.' || strlen(name) > 200) return 0;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name);
}

int er_spool_write(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, int yield, int *visible) {
    char temporary[64];
    char *to = er_path_join(spool->path, name);
    int error = to ? ENOENT : ENOMEM, poisoned = 0;
    /* Another process that opens the spool takes our temporary file for a leftover: then it is written again. So it is,
     * once and elsewhere, after an error of the disk: what a failed fsync leaves of a file is nobody's to know. */
    for (int attempt = 0; (error == ENOENT || (error == EIO && poisoned < 2)) && attempt < ATTEMPTS; attempt++) {
        if (attempt && er_path_look(spool->path) != ER_PATH_DIRECTORY) break;
        snprintf(temporary, sizeof temporary, TEMPORARY_PREFIX "%016" PRIx64 "-%" PRIx64, spool->epoch,
                 spool->writes++);
        char *from = er_path_join(spool->path, temporary);
        error = from ? er_file_store(spool->path, from, to, bytes, size, yield, visible) : ENOMEM;
        free(from);
        if (*visible) break;
        poisoned += error == EIO;
    }
    if ((!error || *visible) && spool->used != ER_USED_UNKNOWN) spool->used += er_blocks(size);
    free(to);
    return error;
}

static erai_status put(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, int yield,
                       char *detail) {
    int visible = 0;
    int error = er_spool_write(spool, name, bytes, size, yield, &visible);
    if (!error) return ERAI_OK;
    if (error == ENOMEM) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    char *path = er_path_join(spool->path, name);
    erai_status status = er_spool_fail(detail, visible ? "written, but it may not outlast a power cut:" : "writing",
                                       path ? path : name, error);
    free(path);
    return status;
}

erai_status erai_spool_put(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, char *detail) {
    if (!spool || !name || (!bytes && size)) return er_fail(detail, ERAI_E_ARGUMENT, "erai_spool_put: NULL");
    if (!name_allowed(name))
        return er_fail(detail, ERAI_E_ARGUMENT,
                       "spool: '%s' is not a file name of letters, digits, '-', '_' and '.' that begins with none",
                       name);
    /* The epoch is in the names of temporary files. */
    erai_status status = er_spool_is_own(spool) ? ERAI_OK : er_spool_begin_epoch(spool, detail);
    if (status) return status;
    er_mutex_lock(&spool->lock);
    status = put(spool, name, bytes, size, 0, detail);
    er_mutex_unlock(&spool->lock);
    return status;
}

erai_status er_spool_put_once(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, char *detail) {
    char *path = er_path_join(spool->path, name);
    if (!path) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    uint8_t *there = NULL;
    size_t there_size = 0;
    int same = er_path_look(path) == ER_PATH_FILE && er_file_read(path, size, &there, &there_size, NULL) == ERAI_OK &&
               there_size == size && memcmp(there, bytes, size) == 0;
    free(there);
    free(path);
    return same ? ERAI_OK : erai_spool_put(spool, name, bytes, size, detail);
}

/* ---- Opening ---- */

/* The number in "epoch-0000001f", or 0 for any other name. */
static uint32_t epoch_number(const char *name) {
    size_t prefix = strlen(EPOCH_PREFIX);
    if (strncmp(name, EPOCH_PREFIX, prefix) != 0 || strlen(name) != prefix + 8) return 0;
    char *end;
    unsigned long number = strtoul(name + prefix, &end, 16);
    return *end || number > INT32_MAX ? 0 : (uint32_t)number;
}

static int find_last_epoch(const char *name, void *last) {
    uint32_t number = epoch_number(name);
    if (number > *(uint32_t *)last) *(uint32_t *)last = number;
    return 0;
}

typedef struct sweep_context {
    const char *path;
    uint32_t last;
} sweep_context;

/* Leftovers of earlier epochs. Should their session still be open in another process, it writes its file again. */
static int sweep_name(const char *name, void *context) {
    const sweep_context *sweep = context;
    uint32_t number = epoch_number(name);
    int old_marker = number > 0 && number < sweep->last;
    size_t prefix = strlen(TEMPORARY_PREFIX);
    int old_temporary = strncmp(name, TEMPORARY_PREFIX, prefix) == 0 &&
                        strtoull(name + prefix, NULL, 16) >> 32 < sweep->last && strlen(name) > prefix + 16;
    if (!old_marker && !old_temporary) return 0;
    char *path = er_path_join(sweep->path, name);
    if (path) er_file_remove(path);
    free(path);
    return 0;
}

/* Takes the next epoch: the number after the greatest marker, made exclusively, so that two processes never share one.
 * Its low half is random: a spool restored from an old copy does not repeat an epoch. */
static erai_status begin_epoch(erai_spool *spool, char *detail) {
    uint32_t last = 0, random = 0;
    int error = er_directory_each(spool->path, find_last_epoch, &last);
    if (!error) error = er_random(&random, sizeof random);
    if (error) return er_spool_fail(detail, "reading", spool->path, error);
    do {
        if (last == INT32_MAX) return er_fail(detail, ERAI_E_SPOOL, "spool: %s has used up its epochs", spool->path);
        char name[32];
        snprintf(name, sizeof name, EPOCH_PREFIX "%08" PRIx32, ++last);
        char *path = er_path_join(spool->path, name);
        if (!path) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
        error = er_file_create(path, "", 0, NULL);
        free(path);
    } while (error == EEXIST);
    if (!error) error = er_directory_sync(spool->path);
    if (error) return er_spool_fail(detail, "writing an epoch marker in", spool->path, error);
    spool->epoch = (uint64_t)last << 32 | random;
    spool->process = er_process();
    sweep_context sweep = {.path = spool->path, .last = last};
    er_directory_each(spool->path, sweep_name, &sweep);
    return ERAI_OK;
}

int er_spool_is_own(const erai_spool *spool) {
    return spool->process == er_process();
}

erai_status er_spool_begin_epoch(erai_spool *spool, char *detail) {
    er_mutex_lock(&spool->lock);
    erai_status status = begin_epoch(spool, detail);
    er_mutex_unlock(&spool->lock);
    return status;
}

static int parse_instance(const uint8_t *text, size_t size, uint8_t *instance) {
    if (size != 33 || text[32] != '\n') return 0;
    for (size_t i = 0; i < 32; i++) {
        const char *digits = "0123456789abcdef", *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) return 0;
        instance[i / 2] = (uint8_t)(instance[i / 2] << 4 | (digit - digits));
    }
    return 1;
}

/* A random name, so that it says nothing of the device. */
static erai_status make_instance(erai_spool *spool, const char *path, char *detail) {
    uint8_t random[16];
    char text[34];
    int error = er_random(random, sizeof random);
    if (error) return er_spool_fail(detail, "random numbers for", path, error);
    for (size_t i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", random[i]);
    text[32] = '\n';
    return put(spool, INSTANCE_FILE, (const uint8_t *)text, 33, 1, detail);
}

/* Whether the name was read; otherwise ERAI_OK too where what is there is none, and is no directory either. */
static erai_status read_instance(const char *path, uint8_t *instance, int *found, char *detail) {
    uint8_t *data = NULL;
    size_t size = 0;
    erai_status status = er_file_read(path, 64, &data, &size, detail);
    *found = !status && parse_instance(data, size, instance);
    free(data);
    return status == ERAI_E_SIZE ? ERAI_OK : status ? ERAI_E_SPOOL : ERAI_OK;
}

/* Under the lock, and if there is none still: another process may have been quicker. */
static erai_status set_instance_aside(const erai_spool *spool, const char *path, char *detail) {
    uint8_t instance[16];
    char *lock_path = er_path_join(spool->path, ER_LOCK_FILE), *folder = er_path_join(spool->path, "corrupt");
    char *to = folder ? er_path_join(folder, INSTANCE_FILE) : NULL;
    int lock = 0, found = 0, error = lock_path && to ? er_lock_take(lock_path, &lock) : ENOMEM;
    if (!error) {
        if (!read_instance(path, instance, &found, NULL) && !found) {
            error = er_directory_make(folder);
            if (!error) error = er_file_rename(path, to);
            if (!error) error = er_directory_sync(folder);
        }
        er_lock_drop(lock);
    }
    free(lock_path);
    free(folder);
    free(to);
    return error ? er_spool_fail(detail, "setting aside", path, error) : ERAI_OK;
}

/* Reads the instance's name, or makes one. One that is damaged is lost, and the spool goes on under another: batch
 * files have the name that they were written under. */
static erai_status find_instance(erai_spool *spool, char *detail) {
    char *path = er_path_join(spool->path, INSTANCE_FILE);
    if (!path) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    erai_status status = ERAI_OK;
    for (int found = 0, tries = 0; !status && !found; tries++) {
        if (er_path_look(path) == ER_PATH_MISSING) status = make_instance(spool, path, detail); /* or others do */
        if (!status) status = read_instance(path, spool->instance, &found, detail);
        if (!status && !found)
            status = tries < 3 ? set_instance_aside(spool, path, detail)
                               : er_fail(detail, ERAI_E_SPOOL, "spool: %s is damaged again and again", path);
    }
    free(path);
    return status;
}

/* Ends what was left half done, under the lock that who merges and who uploads share. */
static erai_status recover(const erai_spool *spool, char *detail) {
    char *path = er_path_join(spool->path, ER_LOCK_FILE);
    int lock = 0, error = path ? er_lock_take(path, &lock) : ENOMEM;
    free(path);
    if (!error) {
        error = er_spool_recover(spool->path);
        er_lock_drop(lock);
    }
    return error ? er_spool_fail(detail, "recovering", spool->path, error) : ERAI_OK;
}

static erai_status open_at(const char *path, erai_spool *spool, char *detail) {
    int error = er_directory_make(path);
    if (error) return er_spool_fail(detail, "making", path, error);
    if (er_path_resolve(path, &spool->path, detail)) return ERAI_E_SPOOL;
    return recover(spool, detail);
}

/* `epoch`: for a writer, who begins one. Others write nothing under a name that has an epoch in it. */
static erai_status open_spool(const char *path, int epoch, erai_spool **out, char *detail) {
    erai_spool *spool = calloc(1, sizeof *spool);
    if (!spool) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    if (er_mutex_init(&spool->lock)) {
        free(spool);
        return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    spool->process = UINT64_MAX;
    spool->quota = usual_quota;
    spool->used = ER_USED_UNKNOWN;
    erai_status status = open_at(path, spool, detail);
    if (!status && epoch) status = begin_epoch(spool, detail);
    if (!status && epoch) status = find_instance(spool, detail);
    if (status) {
        erai_spool_close(spool);
        return status;
    }
    *out = spool;
    return ERAI_OK;
}

erai_status erai_spool_open(const char *path, erai_spool **out, char *detail) {
    if (!path || !out) return er_fail(detail, ERAI_E_ARGUMENT, "erai_spool_open: NULL");
    return open_spool(path, 1, out, detail);
}

erai_status erai_spool_attach(const char *path, erai_spool **out, char *detail) {
    if (!path || !out) return er_fail(detail, ERAI_E_ARGUMENT, "erai_spool_attach: NULL");
    if (er_path_look(path) != ER_PATH_DIRECTORY)
        return er_fail(detail, ERAI_E_SPOOL, "spool: there is no directory %s", path);
    return open_spool(path, 0, out, detail);
}

erai_status er_spool_limit(erai_spool *spool, uint64_t quota_bytes, uint64_t age_ns, char *detail) {
    if (quota_bytes && quota_bytes < LEAST_QUOTA)
        return er_fail(detail, ERAI_E_ARGUMENT, "a spool of %" PRIu64 " bytes: at least %d are needed", quota_bytes,
                       LEAST_QUOTA);
    er_mutex_lock(&spool->lock);
    spool->quota = quota_bytes ? quota_bytes : usual_quota;
    spool->age_ms = age_ns / 1000000 + (age_ns % 1000000 != 0);
    er_spool_reserve(spool);
    er_mutex_unlock(&spool->lock);
    return ERAI_OK;
}

void erai_spool_close(erai_spool *spool) {
    if (!spool) return;
    er_mutex_destroy(&spool->lock);
    free(spool->path);
    free(spool);
}

const char *er_spool_path(const erai_spool *spool) {
    return spool->path;
}

const uint8_t *er_spool_instance(const erai_spool *spool) {
    return spool->instance;
}

uint64_t er_spool_epoch(const erai_spool *spool) {
    return spool->epoch;
}
