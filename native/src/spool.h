/* The spool: a directory of immutable files (docs/formats/spool.md). */
#ifndef ER_SPOOL_H
#define ER_SPOOL_H

#include "edge_rai.h"

const char *er_spool_path(const erai_spool *spool);
const uint8_t *er_spool_instance(const erai_spool *spool); /* 16 bytes */
uint64_t er_spool_epoch(const erai_spool *spool);

/* Whether the epoch is this process's, and not that of the parent which opened the spool before it forked; and another
 * epoch. */
int er_spool_is_own(const erai_spool *spool);
erai_status er_spool_begin_epoch(erai_spool *spool, char *detail);

/* As erai_spool_put, with a name of the library's own, and never over a file of that name: then *visible stays 0 on
 * ERAI_OK. It is set once others may have seen the file, which on failure means that the name is spent: the same bytes
 * may already be on their way. */
erai_status er_spool_put_batch(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, int *visible,
                               char *detail);

/* Stores a file unless it is there already with these bytes. */
erai_status er_spool_put_once(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, char *detail);

#endif
