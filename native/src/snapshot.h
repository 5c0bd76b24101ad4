/* Snapshots: what was counted, as a batch file (docs/formats/snapshot.md). */
#ifndef ER_SNAPSHOT_H
#define ER_SNAPSHOT_H

#include "bytes.h"
#include "guard.h"
#include "statistics.h"

#define ER_BATCH_MAGIC "ERAIBAT\n"
#define ER_BATCH_VERSION 5u
#define ER_BATCH_HEADER 24u
#define ER_BATCH_IDENTITY 144u /* where instance, times and digests end */

struct erai_snapshot {
    erai_snapshot_info info;
    uint64_t running_ms; /* for which sessions of the spool had been open at the end of the latest window */
    erai_feature_counts *features;
    uint64_t *counts; /* everything of 64 bits that `info` and `features` point to */
    erai_expired *expired;
    erai_windows *windows;
    erai_event *events; /* by epoch and number */
    erai_event_field *fields;
};

/* What a batch file accounts for, read from its head alone: also where the rest of the file is bad. */
typedef struct er_account {
    erai_snapshot_info info; /* identity, times and digests; windows and events_by_class are the account's */
    uint64_t calls, rows;    /* created in these windows */
    uint64_t running_ms;
    uint64_t events[ER_EVENT_CLASSES];
    erai_windows *windows; /* free() it */
} er_account;

/* snapshot_write.c: writes a batch file. */
void er_snapshot_write(er_writer *out, const erai_snapshot *snapshot);

/* What is in `counts`, and in `totals` of the guard program's features, as a snapshot that points into them. Of `info`
 * the identity and the times are used. Free its `features` and nothing else of it. */
erai_status er_snapshot_view(erai_snapshot *view, const erai_snapshot_info *info, const erai_guard *guard,
                             uint64_t *counts, er_feature_total *totals);

/* snapshot_read.c. The account of a file of version 1 or 2 takes reading it all. */
erai_status er_account_read(const uint8_t *bytes, size_t size, er_account *account, char *detail);
/* Whether (epoch, sequence) is among `count` ranges. */
int er_windows_hold(const erai_windows *windows, size_t count, uint64_t epoch, uint64_t sequence);

/* snapshot_merge.c: a snapshot of the same windows that counts nothing, because all that was left in them has expired:
 * of a whole batch file, and of one of which only the account is left, or (not `known`) only the name. */
erai_status er_snapshot_expire(const erai_snapshot *snapshot, erai_expiry why, erai_snapshot **expired, char *detail);
erai_status er_account_expire(const er_account *account, int known, erai_snapshot **expired, char *detail);
/* The same without its events of this class or a cheaper one, which have expired. */
erai_status er_snapshot_without_events(const erai_snapshot *snapshot, erai_event_class most, erai_snapshot **without,
                                       char *detail);

/* Rows and events that were created in a snapshot's windows. */
uint64_t er_snapshot_rows(const erai_snapshot_info *info);
void er_snapshot_account(const erai_snapshot_info *info, uint64_t *calls, uint64_t *rows);

#endif
