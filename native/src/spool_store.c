/* Storing a window in a spool that may be full. Whatever is taken out of the spool is in the file that replaces it
 * before it goes: two neighbours become one, events or whole batches become counts of what has expired. So each step is
 * one rename, and after a power cut the counts are in one file or in the other, never in both and never in none. */
#include "spool.h"

#include "spool_files.h"
#include "status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct store {
    erai_spool *spool;
    er_listing listing;
    erai_snapshot *window; /* with all that has been put into it; owned where it is not `given` */
    const erai_snapshot *given;
    er_writer bytes; /* of `window` */
    uint64_t gain;   /* what a file that replaces others has to save, in bytes */
    char *detail;
} store;

/* What was set aside: the folders, and what they say of their files. */
static const struct {
    const char *name;
    erai_expiry why;
} folders[] = {{"corrupt", ERAI_EXPIRED_CORRUPT}, {"refused", ERAI_EXPIRED_REFUSED}};

enum { FOLDERS = sizeof folders / sizeof *folders, MOST_SPARE = 16 * ER_BLOCK };

static const erai_snapshot *window_of(const store *st) {
    return st->window ? st->window : st->given;
}

static erai_status write_bytes(store *st, const erai_snapshot *snapshot) {
    st->bytes.size = 0;
    st->bytes.failed = 0;
    er_snapshot_write(&st->bytes, snapshot);
    return st->bytes.failed ? er_fail(st->detail, ERAI_E_MEMORY, "out of memory") : ERAI_OK;
}

/* Puts another snapshot into the window, which keeps its name. */
static erai_status put_into_window(store *st, const erai_snapshot *other) {
    const erai_snapshot *window = window_of(st);
    erai_snapshot *merged = NULL;
    erai_status status = erai_snapshot_merge(window, other, &merged, st->detail);
    if (status) return status;
    merged->info.epoch = window->info.epoch;
    merged->info.sequence = window->info.sequence;
    erai_snapshot_close(st->window);
    st->window = merged;
    return ERAI_OK;
}

/* ---- What was set aside ---- */

/* The counts of a file of a folder, all of them expired. Where even its head is bad, its name says which window. */
static erai_status expire_file(const store *st, const char *path, er_entry *entry, erai_expiry why,
                               erai_snapshot **expired) {
    erai_snapshot *whole = NULL;
    if (er_entry_read(path, entry, ER_BATCH_SUFFIX, &whole, NULL) == ERAI_OK) {
        erai_status status = er_snapshot_expire(whole, why, expired, st->detail);
        erai_snapshot_close(whole);
        return status;
    }
    er_account account = {0};
    int known = er_entry_account(path, entry, ER_BATCH_SUFFIX, &account);
    erai_windows named = {.epoch = entry->epoch, .first = entry->sequence, .count = 1};
    if (!known) {
        account = (er_account){.info = {.epoch = entry->epoch, .sequence = entry->sequence, .window_ranges = 1}};
        account.info.start_unix_ns = st->given->info.start_unix_ns;
        account.info.end_unix_ns = st->given->info.start_unix_ns;
        account.info.windows = &named;
    }
    memcpy(account.info.instance, st->given->info.instance, sizeof account.info.instance);
    erai_status status = er_account_expire(&account, known, expired, st->detail);
    free(account.windows);
    return status;
}

/* Of a file that a batch of the spool counts already, that is said first: the rename that should have said it may have
 * failed. One file that cannot be counted stays as it is and is tried again with the next window. */
static erai_status count_folder(store *st, size_t folder, er_listing *aside) {
    char *path = er_path_join(st->spool->path, folders[folder].name);
    int error = path ? er_listing_read(path, ER_BATCH_SUFFIX, aside) : ENOMEM;
    if (!error && aside->count) {
        er_listing_free(aside);
        error = er_spool_recover(st->spool->path);
        if (!error) error = er_listing_read(path, ER_BATCH_SUFFIX, aside);
    }
    for (size_t i = 0; !error && i < aside->count; i++) {
        erai_snapshot *expired = NULL;
        aside->entries[i].looked = 0;
        if (expire_file(st, path, &aside->entries[i], folders[folder].why, &expired) == ERAI_OK &&
            put_into_window(st, expired) == ERAI_OK)
            aside->entries[i].merging = 1;
        erai_snapshot_close(expired);
    }
    free(path);
    return error ? er_spool_fail(st->detail, "reading", st->spool->path, error) : ERAI_OK;
}

static void end_folder(const store *st, size_t folder, const er_listing *aside) {
    char *path = er_path_join(st->spool->path, folders[folder].name);
    for (size_t i = 0; path && i < aside->count; i++)
        if (aside->entries[i].merging)
            er_batch_act(path, aside->entries[i].epoch, aside->entries[i].sequence, ER_BATCH_SUFFIX, ER_COUNTED_SUFFIX);
    free(path);
}

/* ---- Room within the quota ---- */

static erai_status read_entry(const store *st, const er_entry *entry, erai_snapshot **snapshot) {
    return er_entry_read(st->spool->path, entry, ER_BATCH_SUFFIX, snapshot, NULL);
}

/* Writes `snapshot` over the batch file at `index`, when that is `gain` bytes smaller than what it replaces; which may
 * be another file, too, that goes when the first is durable. */
static int replace(store *st, size_t index, const erai_snapshot *snapshot, const er_entry *other) {
    er_entry *entry = &st->listing.entries[index];
    char name[ER_BATCH_NAME];
    int visible = 0;
    if (write_bytes(st, snapshot)) return 0;
    uint64_t size = er_blocks(st->bytes.size);
    if (size + st->gain > entry->size + (other ? other->size : 0)) return 0;
    const char *path = st->spool->path;
    /* Nobody is to be offered what is about to be in another file. */
    if (other && er_batch_act(path, other->epoch, other->sequence, ER_BATCH_SUFFIX, ER_MERGING_SUFFIX)) return 0;
    er_batch_name(name, entry->epoch, entry->sequence, ER_BATCH_SUFFIX);
    int error = er_spool_write(st->spool, name, st->bytes.data, st->bytes.size, 0, &visible);
    if (other && !error) er_batch_act(path, other->epoch, other->sequence, ER_MERGING_SUFFIX, NULL);
    /* Where the new file may not outlast a power cut, the old one stays until the spool is opened again. */
    if (other && error && !visible)
        er_batch_act(path, other->epoch, other->sequence, ER_MERGING_SUFFIX, ER_BATCH_SUFFIX);
    if (error) return 0;
    st->listing.used += size - entry->size;
    entry->size = size;
    return 1;
}

/* The neighbour after `index` of the same model and guard program that may be merged; the count when there is none. */
static size_t next_of_kind(const er_listing *listing, size_t index) {
    const er_entry *one = &listing->entries[index];
    for (size_t i = index + 1; i < listing->count; i++) {
        const er_entry *other = &listing->entries[i];
        if (other->looked < 1 || memcmp(one->digests, other->digests, sizeof one->digests) != 0) continue;
        return other->offered ? listing->count : i;
    }
    return listing->count;
}

/* Those two neighbours that hold the fewest windows together, the oldest of them: so resolution falls evenly. */
static int find_pair(store *st, int level, size_t *first, size_t *second) {
    uint64_t fewest = UINT64_MAX;
    for (size_t i = 0; i < st->listing.count; i++)
        er_entry_look(st->spool->path, &st->listing.entries[i], ER_BATCH_SUFFIX);
    for (size_t i = 0; i < st->listing.count; i++) {
        const er_entry *one = &st->listing.entries[i];
        if (one->looked < 1 || one->offered || one->alone > level) continue;
        size_t next = next_of_kind(&st->listing, i);
        if (next == st->listing.count || one->windows + st->listing.entries[next].windows >= fewest) continue;
        fewest = one->windows + st->listing.entries[next].windows;
        *first = i;
        *second = next;
    }
    return fewest != UINT64_MAX;
}

/* Without the events of the `level` cheapest classes, which expire. Takes the snapshot. */
static erai_snapshot *without_cheapest(erai_snapshot *snapshot, int level) {
    erai_snapshot *without = snapshot;
    if (level && snapshot->info.events) {
        if (er_snapshot_without_events(snapshot, (erai_event_class)(level - 1), &without, NULL)) without = NULL;
        erai_snapshot_close(snapshot);
    }
    return without;
}

/* Puts the batch at `first` into the one at `second`, whose name it gets. */
static int merge_pair(store *st, int level, size_t first, size_t second, const erai_snapshot *one) {
    er_entry *entry = &st->listing.entries[second], gone = st->listing.entries[first];
    erai_snapshot *other = NULL, *merged = NULL;
    int done = 0;
    if (!read_entry(st, entry, &other) && !erai_snapshot_merge(one, other, &merged, NULL)) {
        merged->info.epoch = entry->epoch;
        merged->info.sequence = entry->sequence;
        merged = without_cheapest(merged, level);
        done = merged && replace(st, second, merged, &gone);
    }
    erai_snapshot_close(other);
    erai_snapshot_close(merged);
    if (!done) return 0;
    entry->windows += gone.windows;
    entry->alone = 0;
    er_listing_drop(&st->listing, first);
    return 1;
}

/* Level 0 keeps all events; each further one lets a class of them expire, where that gains room. */
static int merge_neighbours(store *st, int level) {
    size_t first, second;
    while (find_pair(st, level, &first, &second)) {
        erai_snapshot *one = NULL;
        int done =
            read_entry(st, &st->listing.entries[first], &one) == ERAI_OK && merge_pair(st, level, first, second, one);
        erai_snapshot_close(one);
        if (done) return 1;
        st->listing.entries[first].alone = level + 1;
    }
    return 0;
}

/* The same of a single batch. */
static int shed_events(store *st, int level) {
    for (size_t i = 0; i < st->listing.count; i++) {
        erai_snapshot *whole = NULL;
        if (st->listing.entries[i].offered || read_entry(st, &st->listing.entries[i], &whole)) continue;
        size_t events = whole->info.events;
        whole = without_cheapest(whole, level);
        int done = whole && whole->info.events < events && replace(st, i, whole, NULL);
        erai_snapshot_close(whole);
        if (done) return 1;
    }
    return 0;
}

static int drop_events(store *st) {
    for (int level = 1; level <= (int)ER_EVENT_CLASSES; level++)
        if (merge_neighbours(st, level) || shed_events(st, level)) {
            for (size_t i = 0; i < st->listing.count; i++) st->listing.entries[i].alone = 0;
            return 1;
        }
    return 0;
}

/* The first that was never offered; the count when there is none. */
static size_t oldest(const store *st) {
    size_t first = 0;
    while (first < st->listing.count && st->listing.entries[first].offered) first++;
    return first;
}

/* The oldest batch becomes a count of what has expired, in the next one. */
static int expire_oldest(store *st, erai_expiry why) {
    size_t first = oldest(st), second;
    for (second = first + 1; second < st->listing.count && st->listing.entries[second].offered;) second++;
    if (second >= st->listing.count) return 0;
    erai_snapshot *whole = NULL, *expired = NULL;
    int done = read_entry(st, &st->listing.entries[first], &whole) == ERAI_OK &&
               er_snapshot_expire(whole, why, &expired, NULL) == ERAI_OK && merge_pair(st, 0, first, second, expired);
    erai_snapshot_close(whole);
    erai_snapshot_close(expired);
    return done;
}

/* What is older than the spool allows, by the time that its sessions were open. */
static erai_status expire_by_age(store *st) {
    erai_spool *spool = st->spool;
    uint64_t used = spool->used, now_ms = window_of(st)->running_ms;
    if (!spool->age_ms || now_ms < spool->age_ms) return ERAI_OK;
    int error = er_listing_read(spool->path, ER_BATCH_SUFFIX, &st->listing);
    if (error) return er_spool_fail(st->detail, "reading", spool->path, error);
    uint64_t before = st->listing.used;
    st->gain = 0; /* what is small expires, too */
    size_t first;
    do {
        first = oldest(st);
        er_entry *entry = first < st->listing.count ? &st->listing.entries[first] : NULL;
        if (!entry || !er_entry_look(spool->path, entry, ER_BATCH_SUFFIX)) break;
        if (entry->running_ms > now_ms - spool->age_ms) break;
    } while (expire_oldest(st, ERAI_EXPIRED_AGE));
    st->gain = ER_BLOCK;
    spool->used = used - (before - st->listing.used);
    er_listing_free(&st->listing);
    return ERAI_OK;
}

static int remove_counted(const store *st) {
    for (size_t folder = 0; folder < FOLDERS; folder++) {
        char *path = er_path_join(st->spool->path, folders[folder].name);
        er_listing counted = {0};
        int done =
            path && er_listing_read(path, ER_COUNTED_SUFFIX, &counted) == 0 && counted.count &&
            er_batch_act(path, counted.entries[0].epoch, counted.entries[0].sequence, ER_COUNTED_SUFFIX, NULL) == 0;
        er_listing_free(&counted);
        free(path);
        if (done) return 1;
    }
    return 0;
}

static uint64_t used_by_folders(const store *st) {
    uint64_t used = 0;
    for (size_t folder = 0; folder < FOLDERS; folder++) {
        char *path = er_path_join(st->spool->path, folders[folder].name);
        er_listing files = {0};
        if (path && er_listing_read(path, ER_COUNTED_SUFFIX, &files) == 0) used += files.used;
        er_listing_free(&files);
        free(path);
    }
    return used;
}

/* As far as is known without looking again. */
static int is_beyond_quota(const erai_spool *spool, uint64_t need) {
    return spool->used > spool->quota || need > spool->quota - spool->used;
}

/* Looks where nobody has. */
static erai_status know_used(store *st) {
    erai_spool *spool = st->spool;
    if (spool->used != ER_USED_UNKNOWN) return ERAI_OK;
    er_listing listing;
    int error = er_listing_read(spool->path, ER_BATCH_SUFFIX, &listing);
    if (error) return er_spool_fail(st->detail, "reading", spool->path, error);
    spool->used = listing.used + used_by_folders(st);
    er_listing_free(&listing);
    return ERAI_OK;
}

/* Brings what is used, with `need` more, within the quota; and, when there was something to do, some way below it, so
 * that not every window asks for it. What cannot be had is not missed until it is. */
static erai_status make_room(store *st, uint64_t need) {
    erai_spool *spool = st->spool;
    if (!is_beyond_quota(spool, need)) return ERAI_OK;
    int error = er_listing_read(spool->path, ER_BATCH_SUFFIX, &st->listing);
    if (error) return er_spool_fail(st->detail, "reading", spool->path, error);
    uint64_t beside = used_by_folders(st), aim = spool->quota, spare = spool->quota / 8;
    if (spare > MOST_SPARE) spare = MOST_SPARE; /* a flush merges so many files at most */
    while (need + st->listing.used + beside > aim) {
        aim = spool->quota - spare;
        int counted = beside && remove_counted(st);
        if (counted)
            beside = used_by_folders(st);
        else if (!merge_neighbours(st, 0) && (need + st->listing.used + beside <= spool->quota ||
                                              (!drop_events(st) && !expire_oldest(st, ERAI_EXPIRED_QUOTA))))
            break;
    }
    spool->used = st->listing.used + beside;
    if (need + spool->used <= spool->quota) return ERAI_OK;
    return er_fail(st->detail, ERAI_E_SPOOL,
                   "spool: %s is full: of %llu bytes allowed, %llu are used by what has been offered to a receiver, or "
                   "cannot be read; the counts are kept for the next flush",
                   spool->path, (unsigned long long)spool->quota, (unsigned long long)spool->used);
}

/* ---- Room on the disk ---- */

void er_spool_reserve(const erai_spool *spool) {
    uint64_t size = spool->quota / 16;
    if (size < 2 * ER_BLOCK) size = 2 * ER_BLOCK;
    if (size > 64 << 10) size = 64 << 10;
    char *path = er_path_join(spool->path, ER_RESERVE_FILE);
    if (path && er_path_look(path) == ER_PATH_MISSING) er_file_reserve(path, size);
    free(path);
}

static int write_window(store *st, char name[ER_FILE_NAME], int *visible) {
    const erai_snapshot *window = window_of(st);
    er_batch_name(name, window->info.epoch, window->info.sequence, ER_BATCH_SUFFIX);
    return er_spool_write(st->spool, name, st->bytes.data, st->bytes.size, 1, visible);
}

/* Writes the window and a batch as one file under the window's name; then that batch goes. */
static int replace_by_window(store *st, const er_entry *entry, char name[ER_FILE_NAME], int *visible) {
    const erai_snapshot *window = window_of(st);
    const char *path = st->spool->path;
    erai_snapshot *whole = NULL, *merged = NULL;
    int error = ENOSPC;
    if (!read_entry(st, entry, &whole) && !erai_snapshot_merge(window, whole, &merged, NULL)) {
        merged->info.epoch = window->info.epoch;
        merged->info.sequence = window->info.sequence;
        if (!write_bytes(st, merged))
            error = er_batch_act(path, entry->epoch, entry->sequence, ER_BATCH_SUFFIX, ER_MERGING_SUFFIX);
    }
    if (merged && !error) {
        error = write_window(st, name, visible);
        if (!*visible)
            er_batch_act(path, entry->epoch, entry->sequence, ER_MERGING_SUFFIX, ER_BATCH_SUFFIX);
        else if (!error)
            er_batch_act(path, entry->epoch, entry->sequence, ER_MERGING_SUFFIX, NULL);
    }
    erai_snapshot_close(whole);
    erai_snapshot_close(merged);
    return error;
}

/* On a full disk the window takes the place of the newest batch that it can be merged with: what that takes for a
 * moment, the reserve has. */
static int write_in_place(store *st, char name[ER_FILE_NAME], int *visible) {
    const erai_snapshot_info *info = &window_of(st)->info;
    er_listing_free(&st->listing);
    if (er_listing_read(st->spool->path, ER_BATCH_SUFFIX, &st->listing)) return ENOSPC;
    size_t last;
    for (last = st->listing.count; last > 0; last--) {
        er_entry *entry = &st->listing.entries[last - 1];
        if (!entry->offered && er_entry_look(st->spool->path, entry, ER_BATCH_SUFFIX) &&
            memcmp(entry->digests, info->model_digest, ERAI_DIGEST_SIZE) == 0 &&
            memcmp(entry->digests + ERAI_DIGEST_SIZE, info->guard_digest, ERAI_DIGEST_SIZE) == 0)
            break;
    }
    if (last == 0) return ENOSPC;
    return replace_by_window(st, &st->listing.entries[last - 1], name, visible);
}

static int is_full(int error) {
    return error == ENOSPC || error == EDQUOT;
}

static int write_durably(store *st, char name[ER_FILE_NAME], int *visible) {
    int error = write_window(st, name, visible);
    if (!is_full(error) || *visible) return error;
    char *reserve = er_path_join(st->spool->path, ER_RESERVE_FILE);
    if (reserve) er_file_remove(reserve);
    free(reserve);
    error = write_in_place(st, name, visible);
    if (is_full(error) && !*visible && !write_bytes(st, window_of(st))) error = write_window(st, name, visible);
    er_spool_reserve(st->spool);
    return error;
}

/* ---- Storing ---- */

static erai_status store_window(store *st, char name[ER_FILE_NAME], int *visible) {
    er_listing aside[FOLDERS] = {0};
    erai_status status = write_bytes(st, window_of(st));
    if (!status) status = know_used(st);
    if (!status) status = expire_by_age(st);
    /* What is corrupt takes room, too, and cannot be merged. */
    if (!status && is_beyond_quota(st->spool, er_blocks(st->bytes.size))) {
        int error = er_spool_sweep(st->spool->path);
        if (error) status = er_spool_fail(st->detail, "setting aside a batch of", st->spool->path, error);
    }
    for (size_t i = 0; !status && i < FOLDERS; i++) status = count_folder(st, i, &aside[i]);
    if (!status) status = write_bytes(st, window_of(st));
    if (!status) status = make_room(st, er_blocks(st->bytes.size));
    if (!status) status = write_bytes(st, window_of(st)); /* others were written meanwhile */
    if (!status) {
        int error = write_durably(st, name, visible);
        if (error == ENOMEM)
            status = er_fail(st->detail, ERAI_E_MEMORY, "out of memory");
        else if (error) {
            char *path = er_path_join(st->spool->path, name);
            status = er_spool_fail(st->detail, *visible ? "written, but it may not outlast a power cut:" : "writing",
                                   path ? path : name, error);
            free(path);
        }
    }
    for (size_t i = 0; i < FOLDERS; i++) {
        if (!status && *visible) end_folder(st, i, &aside[i]);
        er_listing_free(&aside[i]);
    }
    return status;
}

erai_status er_spool_store(erai_spool *spool, const erai_snapshot *window, char name[ER_FILE_NAME], int *visible,
                           char *detail) {
    store st = {.spool = spool, .given = window, .gain = ER_BLOCK, .detail = detail};
    er_mutex_lock(&spool->lock);
    char *path = er_path_join(spool->path, ER_LOCK_FILE);
    int lock = 0, error = path ? er_lock_take(path, &lock) : ENOMEM;
    erai_status status =
        error ? er_spool_fail(detail, "writing", path ? path : spool->path, error) : store_window(&st, name, visible);
    if (!error) er_lock_drop(lock);
    er_mutex_unlock(&spool->lock);
    free(path);
    er_listing_free(&st.listing);
    erai_snapshot_close(st.window);
    free(st.bytes.data);
    return status;
}
