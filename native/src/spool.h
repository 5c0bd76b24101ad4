/* The spool: a directory of immutable files (docs/formats/spool.md). */
#ifndef ER_SPOOL_H
#define ER_SPOOL_H

#include "edge_rai.h"
#include "platform/platform.h"

struct erai_spool {
    char *path;
    uint8_t instance[16];
    uint64_t epoch;
    uint64_t process; /* whose epoch it is: a forked child's own is another */
    uint64_t quota;   /* bytes */
    uint64_t age_ms;  /* what is older expires; 0: nothing does */
    er_mutex lock;    /* what follows */
    uint64_t writes;  /* makes temporary names unique */
    uint64_t used;    /* bytes, at most: what others removed is found out when the quota is reached; or the following */
};

#define ER_USED_UNKNOWN UINT64_MAX

enum { ER_FILE_NAME = 64 };

const char *er_spool_path(const erai_spool *spool);
const uint8_t *er_spool_instance(const erai_spool *spool); /* 16 bytes */
uint64_t er_spool_epoch(const erai_spool *spool);

/* Whether the epoch is this process's, and not that of the parent which opened the spool before it forked; and another
 * epoch. */
int er_spool_is_own(const erai_spool *spool);
erai_status er_spool_begin_epoch(erai_spool *spool, char *detail);

/* Quota, greatest age and reserve of a spool that a session has opened. */
erai_status er_spool_limit(erai_spool *spool, uint64_t quota_bytes, uint64_t age_ns, char *detail);

/* spool_files.c: for how long sessions of the spool have been open, as the last of its batches says. */
uint64_t er_spool_ran_ms(const erai_spool *spool);

/* spool_store.c: stores a session's window as a batch file, with what was set aside since the last one counted in it,
 * and makes room for it. Never over a file of that name: then *visible stays 0 on ERAI_OK. It is set once others may
 * have seen the file, which on failure means that the name is spent: the same bytes may already be on their way. */
erai_status er_spool_store(erai_spool *spool, const erai_snapshot *window, char name[ER_FILE_NAME], int *visible,
                           char *detail);

/* spool_store.c: keeps room on the disk for the day when it is full. Under the lock. */
void er_spool_reserve(const erai_spool *spool);

/* spool.c: a whole file or none under this name. 0 or an errno value. Under the lock. */
int er_spool_write(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, int yield, int *visible);
erai_status er_spool_fail(char *detail, const char *what, const char *path, int error);

/* Stores a file unless it is there already with these bytes. */
erai_status er_spool_put_once(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, char *detail);

#endif
