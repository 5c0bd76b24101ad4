/* Listing a spool, and ending what was left half done in it. A merged file names the windows that it accounts for, so
 * whatever lies there beside it of these windows has been merged already. */
#include "spool_files.h"

#include "platform/platform.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void er_batch_name(char name[ER_BATCH_NAME], uint64_t epoch, uint64_t sequence, const char *suffix) {
    snprintf(name, ER_BATCH_NAME, "%016" PRIx64 "-%016" PRIx64 "%s", epoch, sequence, suffix);
}

static int parse_number(const char *digits, uint64_t *number) {
    *number = 0;
    for (int i = 0; i < 16; i++) {
        const char *all = "0123456789abcdef", *digit = digits[i] ? strchr(all, digits[i]) : NULL;
        if (!digit) return 0;
        *number = *number << 4 | (uint64_t)(digit - all);
    }
    return 1;
}

int er_batch_parse(const char *name, const char *suffix, uint64_t *epoch, uint64_t *sequence) {
    return strlen(name) == 33 + strlen(suffix) && parse_number(name, epoch) && name[16] == '-' &&
           parse_number(name + 17, sequence) && strcmp(name + 33, suffix) == 0;
}

/* ---- Listing ---- */

typedef struct listing_context {
    const char *path, *suffix;
    er_listing *listing;
    size_t capacity;
    uint64_t *offered; /* pairs of epoch and sequence */
    size_t offered_count, offered_capacity;
    int error;
} listing_context;

static void *grown(void *array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return array;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *more = realloc(array, wanted * size);
    if (more) *capacity = wanted;
    return more;
}

static int list_name(const char *name, void *context) {
    listing_context *list = context;
    er_entry entry = {0};
    uint64_t epoch, sequence;
    char *path = er_path_join(list->path, name);
    int missing = path ? er_file_size(path, &entry.size) : ENOMEM;
    free(path);
    if (missing) return 0; /* a folder, or removed meanwhile */
    entry.size = er_blocks(entry.size);
    list->listing->used += entry.size;
    if (er_batch_parse(name, list->suffix, &entry.epoch, &entry.sequence)) {
        er_entry *more = grown(list->listing->entries, list->listing->count, &list->capacity, sizeof *more);
        if (!more) return list->error = ENOMEM;
        list->listing->entries = more;
        more[list->listing->count++] = entry;
    } else if (er_batch_parse(name, ER_OFFERED_SUFFIX, &epoch, &sequence)) {
        uint64_t *more = grown(list->offered, list->offered_count, &list->offered_capacity, 2 * sizeof *list->offered);
        if (!more) return list->error = ENOMEM;
        list->offered = more;
        more[2 * list->offered_count] = epoch;
        more[2 * list->offered_count++ + 1] = sequence;
    }
    return 0;
}

static int by_epoch_and_sequence(const void *left, const void *right) {
    const er_entry *a = left, *b = right;
    if (a->epoch != b->epoch) return a->epoch < b->epoch ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

int er_listing_read(const char *path, const char *suffix, er_listing *listing) {
    *listing = (er_listing){0};
    listing_context list = {.path = path, .suffix = suffix, .listing = listing};
    int error = er_directory_each(path, list_name, &list);
    if (error == ENOENT || error == ENOTDIR) error = 0;
    if (!error) error = list.error;
    if (listing->count) qsort(listing->entries, listing->count, sizeof *listing->entries, by_epoch_and_sequence);
    for (size_t i = 0; i < list.offered_count && listing->count; i++) {
        const er_entry key = {.epoch = list.offered[2 * i], .sequence = list.offered[2 * i + 1]};
        er_entry *found =
            bsearch(&key, listing->entries, listing->count, sizeof *listing->entries, by_epoch_and_sequence);
        if (found) found->offered = 1;
    }
    free(list.offered);
    if (error) er_listing_free(listing);
    return error;
}

void er_listing_free(er_listing *listing) {
    for (size_t i = 0; i < listing->count; i++) free(listing->entries[i].ranges);
    free(listing->entries);
    *listing = (er_listing){0};
}

void er_listing_drop(er_listing *listing, size_t index) {
    listing->used -= listing->entries[index].size;
    free(listing->entries[index].ranges);
    memmove(listing->entries + index, listing->entries + index + 1,
            (listing->count - index - 1) * sizeof *listing->entries);
    listing->count--;
}

/* ---- Reading ---- */

static erai_status read_bytes(const char *path, const er_entry *entry, const char *suffix, uint8_t **bytes,
                              size_t *size, char *detail) {
    char name[ER_BATCH_NAME];
    er_batch_name(name, entry->epoch, entry->sequence, suffix);
    char *file = er_path_join(path, name);
    erai_status status = file ? er_file_read(file, ER_MOST_BATCH, bytes, size, detail) : ERAI_E_MEMORY;
    free(file);
    return status;
}

int er_entry_account(const char *path, const er_entry *entry, const char *suffix, er_account *account) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (read_bytes(path, entry, suffix, &bytes, &size, NULL)) return 0;
    erai_status status = er_account_read(bytes, size, account, NULL);
    free(bytes);
    if (status) return 0;
    if (account->info.epoch == entry->epoch && account->info.sequence == entry->sequence) return 1;
    free(account->windows);
    return 0;
}

int er_entry_look(const char *path, er_entry *entry, const char *suffix) {
    if (entry->looked) return entry->looked > 0;
    er_account account;
    entry->looked = er_entry_account(path, entry, suffix, &account) ? 1 : -1;
    if (entry->looked < 0) return 0;
    memcpy(entry->digests, account.info.model_digest, ERAI_DIGEST_SIZE);
    memcpy(entry->digests + ERAI_DIGEST_SIZE, account.info.guard_digest, ERAI_DIGEST_SIZE);
    entry->ranges = account.windows;
    entry->range_count = account.info.window_ranges;
    entry->running_ms = account.running_ms;
    for (size_t i = 0; i < entry->range_count; i++) entry->windows += entry->ranges[i].count;
    return 1;
}

erai_status er_entry_read(const char *path, const er_entry *entry, const char *suffix, erai_snapshot **snapshot,
                          char *detail) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    erai_status status = read_bytes(path, entry, suffix, &bytes, &size, detail);
    if (!status) status = erai_snapshot_open(bytes, size, snapshot, detail);
    free(bytes);
    if (status) return status;
    erai_snapshot_info info;
    erai_snapshot_read(*snapshot, &info);
    if (info.epoch == entry->epoch && info.sequence == entry->sequence) return ERAI_OK;
    erai_snapshot_close(*snapshot);
    *snapshot = NULL;
    return ERAI_E_BATCH_FORMAT;
}

uint64_t er_spool_ran_ms(const erai_spool *spool) {
    er_listing batches;
    uint64_t ran_ms = 0;
    if (er_listing_read(spool->path, ER_BATCH_SUFFIX, &batches)) return 0;
    for (size_t i = batches.count; i > 0; i--)
        if (er_entry_look(spool->path, &batches.entries[i - 1], ER_BATCH_SUFFIX)) {
            ran_ms = batches.entries[i - 1].running_ms;
            break;
        }
    er_listing_free(&batches);
    return ran_ms;
}

/* ---- Recovery ---- */

int er_batch_act(const char *path, uint64_t epoch, uint64_t sequence, const char *suffix, const char *to) {
    char from_name[ER_BATCH_NAME], to_name[ER_BATCH_NAME];
    er_batch_name(from_name, epoch, sequence, suffix);
    er_batch_name(to_name, epoch, sequence, to ? to : "");
    char *from = er_path_join(path, from_name), *target = er_path_join(path, to_name);
    int error = !from || !target ? ENOMEM : to ? er_file_rename(from, target) : er_file_remove(from);
    free(from);
    free(target);
    return error == ENOENT ? 0 : error;
}

int er_batch_set_aside(const char *path, uint64_t epoch, uint64_t sequence, const char *folder) {
    char name[ER_BATCH_NAME];
    er_batch_name(name, epoch, sequence, ER_BATCH_SUFFIX);
    char *inside = er_path_join(path, folder), *from = er_path_join(path, name);
    char *to = inside ? er_path_join(inside, name) : NULL;
    int error = from && to ? er_directory_make(inside) : ENOMEM;
    if (!error) error = er_file_rename(from, to);
    if (error == ENOENT) error = 0; /* another one was quicker */
    if (!error) error = er_directory_sync(inside);
    if (!error) error = er_directory_sync(path);
    free(inside);
    free(from);
    free(to);
    return error;
}

int er_spool_sweep(const char *path) {
    er_listing batches;
    int error = er_listing_read(path, ER_BATCH_SUFFIX, &batches);
    for (size_t i = 0; !error && i < batches.count; i++) {
        const er_entry *entry = &batches.entries[i];
        erai_snapshot *snapshot = NULL;
        if (!entry->offered && er_entry_read(path, entry, ER_BATCH_SUFFIX, &snapshot, NULL) == ERAI_E_BATCH_FORMAT)
            error = er_batch_set_aside(path, entry->epoch, entry->sequence, "corrupt");
        erai_snapshot_close(snapshot);
    }
    er_listing_free(&batches);
    return error;
}

static int act(const char *path, const er_entry *entry, const char *suffix, const char *to) {
    return er_batch_act(path, entry->epoch, entry->sequence, suffix, to);
}

/* Whether one of these batch files, which account for several windows each, does so for the window that an entry is
 * named after. */
static int is_accounted(const er_listing *several, const er_entry *entry) {
    for (size_t i = 0; i < several->count; i++) {
        const er_entry *other = &several->entries[i];
        if (other->epoch == entry->epoch && other->sequence == entry->sequence) continue;
        if (er_windows_hold(other->ranges, other->range_count, entry->epoch, entry->sequence)) return 1;
    }
    return 0;
}

/* What was set aside, and counted by a batch file that is still here, has been counted. */
static int recover_folder(const char *path, const char *folder, const er_listing *several) {
    char *inside = er_path_join(path, folder);
    er_listing aside;
    int error = inside ? er_listing_read(inside, ER_BATCH_SUFFIX, &aside) : ENOMEM;
    if (!error)
        for (size_t i = 0; !error && i < aside.count; i++)
            if (is_accounted(several, &aside.entries[i]))
                error = act(inside, &aside.entries[i], ER_BATCH_SUFFIX, ER_COUNTED_SUFFIX);
    /* Also of those that were counted before: what counts them may be about to leave. */
    if (!error && er_path_look(inside) == ER_PATH_DIRECTORY) error = er_directory_sync(inside);
    if (inside) er_listing_free(&aside);
    free(inside);
    return error;
}

/* They are batch files again: also of two, one of which was put into the other, before that was put into a third. */
static int recover_merging(const char *path) {
    er_listing merging;
    int error = er_listing_read(path, ER_MERGING_SUFFIX, &merging);
    for (size_t i = 0; !error && i < merging.count; i++)
        error = act(path, &merging.entries[i], ER_MERGING_SUFFIX, ER_BATCH_SUFFIX);
    er_listing_free(&merging);
    return error;
}

static int recover_offered(const char *path, const er_listing *batches) {
    er_listing offered;
    int error = er_listing_read(path, ER_OFFERED_SUFFIX, &offered);
    for (size_t i = 0; !error && i < offered.count; i++)
        if (!batches->count || !bsearch(&offered.entries[i], batches->entries, batches->count, sizeof *batches->entries,
                                        by_epoch_and_sequence))
            error = act(path, &offered.entries[i], ER_OFFERED_SUFFIX, NULL);
    er_listing_free(&offered);
    return error;
}

/* Those of several windows, their ranges shared with `batches`. 0 when out of memory. */
static int pick_several(const char *path, er_listing *batches, er_listing *several) {
    several->entries = calloc(batches->count + 1, sizeof *several->entries);
    if (!several->entries) return 0;
    for (size_t i = 0; i < batches->count; i++)
        if (er_entry_look(path, &batches->entries[i], ER_BATCH_SUFFIX) && batches->entries[i].windows > 1)
            several->entries[several->count++] = batches->entries[i];
    return 1;
}

int er_spool_recover(const char *path) {
    er_listing batches = {0}, several = {0};
    int error = recover_merging(path);
    if (!error) error = er_listing_read(path, ER_BATCH_SUFFIX, &batches);
    if (!error && !pick_several(path, &batches, &several)) error = ENOMEM;
    /* What a merged file replaced goes only when the merged file is sure to stay. */
    if (!error && several.count) error = er_directory_sync(path);
    for (size_t i = 0; !error && i < batches.count; i++)
        if (is_accounted(&several, &batches.entries[i])) error = act(path, &batches.entries[i], ER_BATCH_SUFFIX, NULL);
    if (!error) error = recover_offered(path, &batches);
    if (!error) error = recover_folder(path, "corrupt", &several);
    if (!error) error = recover_folder(path, "refused", &several);
    free(several.entries);
    er_listing_free(&batches);
    return error;
}
