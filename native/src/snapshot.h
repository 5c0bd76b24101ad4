/* Snapshots: what was counted, as a batch file (docs/formats/batch.md). */
#ifndef ER_SNAPSHOT_H
#define ER_SNAPSHOT_H

#include "bytes.h"
#include "guard.h"
#include "statistics.h"

#define ER_BATCH_MAGIC "ERAIBAT\n"
#define ER_BATCH_VERSION 2u
#define ER_BATCH_HEADER 24u

/* Writes a batch file. Of `info` the identity and the times are used; the counts come from `statistics`. */
void er_snapshot_write(er_writer *out, const erai_snapshot_info *info, const erai_guard *guard, uint64_t *statistics);

#endif
