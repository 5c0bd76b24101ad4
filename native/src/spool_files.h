/* What lies in a spool's directory: its batch files, and what their names say of them (docs/formats/spool.md). */
#ifndef ER_SPOOL_FILES_H
#define ER_SPOOL_FILES_H

#include "snapshot.h"
#include "spool.h"

#define ER_BATCH_SUFFIX ".batch"
#define ER_MERGING_SUFFIX ".merging"
#define ER_OFFERED_SUFFIX ".offered"
#define ER_COUNTED_SUFFIX ".counted"
#define ER_RESERVE_FILE "reserve"
#define ER_LOCK_FILE "lock"
enum { ER_BATCH_NAME = 64, ER_BLOCK = 4096 };

/* A batch file. What is read from its head is there once it was looked at. */
typedef struct er_entry {
    uint64_t epoch, sequence;
    uint64_t size; /* as it takes room */
    int offered;   /* to a receiver: it stays as it is until there is a receipt */
    int merging;   /* it is being put into another one */
    int looked;    /* 1: the following is known; -1: it cannot be */
    int alone;     /* so many levels of merging it with the next one of its kind gain nothing */
    uint64_t windows;
    uint64_t running_ms;
    uint8_t digests[2 * ERAI_DIGEST_SIZE]; /* of model and guard program */
    erai_windows *ranges;
    size_t range_count;
} er_entry;

typedef struct er_listing {
    er_entry *entries; /* by epoch and sequence */
    size_t count;
    uint64_t used; /* by every file of the directory */
} er_listing;

/* Largest batch file that is read: far above any real one. */
#define ER_MOST_BATCH ((size_t)64 << 20)

static inline uint64_t er_blocks(uint64_t size) {
    return (size + ER_BLOCK - 1) / ER_BLOCK * ER_BLOCK;
}

void er_batch_name(char name[ER_BATCH_NAME], uint64_t epoch, uint64_t sequence, const char *suffix);
/* Whether `name` is that of a file of this kind. */
int er_batch_parse(const char *name, const char *suffix, uint64_t *epoch, uint64_t *sequence);

/* Lists the batch files of `path`; what is no folder is empty. 0, or an errno value. er_listing_free it. */
int er_listing_read(const char *path, const char *suffix, er_listing *listing);
void er_listing_free(er_listing *listing);
void er_listing_drop(er_listing *listing, size_t index);

/* Reads the head of an entry, into an account whose windows the caller frees, or into the entry; 0 when it is bad or
 * belongs under another name. */
int er_entry_account(const char *path, const er_entry *entry, const char *suffix, er_account *account);
int er_entry_look(const char *path, er_entry *entry, const char *suffix);

/* Reads a whole batch file whose name and contents agree. ERAI_E_BATCH_FORMAT when it is bad. */
erai_status er_entry_read(const char *path, const er_entry *entry, const char *suffix, erai_snapshot **snapshot,
                          char *detail);

/* Removes a batch file (`to` NULL), or gives it another suffix. One that is gone is no error. 0 or an errno value. */
int er_batch_act(const char *path, uint64_t epoch, uint64_t sequence, const char *suffix, const char *to);

/* Moves a batch file into a folder of the spool, durably. One that is gone is no error. Under the lock. */
int er_batch_set_aside(const char *path, uint64_t epoch, uint64_t sequence, const char *folder);

/* Sets aside every batch that is corrupt and was not offered, so that it is counted. Under the lock. */
int er_spool_sweep(const char *path);

/* Under its lock: ends what a power cut or a killed process left half done. */
int er_spool_recover(const char *path);

#endif
