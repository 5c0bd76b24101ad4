/* The spool as who uploads it sees it. A batch is offered before it is sent, so that from then on nobody merges it: its
 * name stands for the bytes that the receiver may have by now. */
#include "spool_files.h"
#include "status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int lock_of(const erai_spool *spool, int *lock) {
    char *path = er_path_join(spool->path, ER_LOCK_FILE);
    int error = path ? er_lock_take(path, lock) : ENOMEM;
    free(path);
    return error;
}

static int look_at(const erai_spool *spool, const char *name, er_path_kind *kind) {
    char *path = er_path_join(spool->path, name);
    if (!path) return ENOMEM;
    *kind = er_path_look(path);
    free(path);
    return 0;
}

/* Before a file leaves that accounts for others: they are gone, or counted. Should the process that merged them have
 * been killed before it came to that, nobody could tell later. */
static int settle(const erai_spool *spool, uint64_t epoch, uint64_t sequence) {
    er_entry entry = {.epoch = epoch, .sequence = sequence};
    int several = er_entry_look(spool->path, &entry, ER_BATCH_SUFFIX) && entry.windows > 1;
    free(entry.ranges);
    return several ? er_spool_recover(spool->path) : 0;
}

static int make_offer(const erai_spool *spool, uint64_t epoch, uint64_t sequence) {
    char name[ER_BATCH_NAME];
    er_path_kind batch = ER_PATH_MISSING, mark = ER_PATH_MISSING;
    er_batch_name(name, epoch, sequence, ER_OFFERED_SUFFIX);
    int error = look_at(spool, name, &mark);
    if (!error && mark == ER_PATH_MISSING) error = settle(spool, epoch, sequence);
    er_batch_name(name, epoch, sequence, ER_BATCH_SUFFIX);
    if (!error) error = look_at(spool, name, &batch);
    er_batch_name(name, epoch, sequence, ER_OFFERED_SUFFIX);
    if (error || batch == ER_PATH_MISSING) return error ? error : ENOENT;
    if (mark == ER_PATH_FILE) return 0;
    char *path = er_path_join(spool->path, name);
    error = path ? er_file_create(path, "", 0, NULL) : ENOMEM;
    free(path);
    return error ? error : er_directory_sync(spool->path);
}

static erai_status parse(const erai_spool *spool, const char *name, uint64_t *epoch, uint64_t *sequence, char *detail) {
    if (!spool || !name) return er_fail(detail, ERAI_E_ARGUMENT, "a spool's batch: NULL");
    if (er_batch_parse(name, ER_BATCH_SUFFIX, epoch, sequence)) return ERAI_OK;
    return er_fail(detail, ERAI_E_ARGUMENT, "'%s' is not the name of a batch file", name);
}

erai_status erai_spool_offer(erai_spool *spool, const char *name, int *there, char *detail) {
    uint64_t epoch, sequence;
    if (!there) return er_fail(detail, ERAI_E_ARGUMENT, "erai_spool_offer: NULL");
    erai_status status = parse(spool, name, &epoch, &sequence, detail);
    if (status) return status;
    int lock = 0, error = lock_of(spool, &lock);
    if (!error) {
        error = make_offer(spool, epoch, sequence);
        er_lock_drop(lock);
    }
    *there = error != ENOENT;
    return error && *there ? er_spool_fail(detail, "offering a batch of", spool->path, error) : ERAI_OK;
}

/* The batch file first: without its mark it would be free to be merged. */
static int remove_both(const erai_spool *spool, uint64_t epoch, uint64_t sequence) {
    int error = er_batch_act(spool->path, epoch, sequence, ER_BATCH_SUFFIX, NULL);
    if (!error) error = er_directory_sync(spool->path);
    if (!error) error = er_batch_act(spool->path, epoch, sequence, ER_OFFERED_SUFFIX, NULL);
    return error;
}

erai_status erai_spool_receipt(erai_spool *spool, const char *name, char *detail) {
    uint64_t epoch, sequence;
    erai_status status = parse(spool, name, &epoch, &sequence, detail);
    if (status) return status;
    int error = remove_both(spool, epoch, sequence);
    return error ? er_spool_fail(detail, "removing a batch of", spool->path, error) : ERAI_OK;
}

erai_status erai_spool_set_aside(erai_spool *spool, const char *name, erai_expiry why, char *detail) {
    uint64_t epoch, sequence;
    if (why != ERAI_EXPIRED_CORRUPT && why != ERAI_EXPIRED_REFUSED)
        return er_fail(detail, ERAI_E_ARGUMENT, "a batch is set aside as corrupt or as refused");
    erai_status status = parse(spool, name, &epoch, &sequence, detail);
    if (status) return status;
    int lock = 0, error = lock_of(spool, &lock);
    if (!error) {
        error = er_batch_set_aside(spool->path, epoch, sequence, why == ERAI_EXPIRED_CORRUPT ? "corrupt" : "refused");
        if (!error) error = er_batch_act(spool->path, epoch, sequence, ER_OFFERED_SUFFIX, NULL);
        er_lock_drop(lock);
    }
    return error ? er_spool_fail(detail, "setting aside a batch of", spool->path, error) : ERAI_OK;
}
