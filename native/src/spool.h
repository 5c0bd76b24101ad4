/* The spool: a directory of immutable files (docs/formats/spool.md). */
#ifndef ER_SPOOL_H
#define ER_SPOOL_H

#include "edge_rai.h"

const uint8_t *er_spool_instance(const erai_spool *spool); /* 16 bytes */
uint64_t er_spool_epoch(const erai_spool *spool);

/* Stores a file unless one of this name is there already. */
erai_status er_spool_put_once(erai_spool *spool, const char *name, const uint8_t *bytes, size_t size, char *detail);

#endif
