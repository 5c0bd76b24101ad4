/* What checks remember of the rows before: STUCK, STEP and MONOTONIC. One for a session, over all its threads. */
#ifndef ER_MEMORY_H
#define ER_MEMORY_H

#include "guard.h"
#include "platform/platform.h"

typedef struct er_memory_slot {
    uint64_t hash; /* STUCK: fingerprint of the last row's values */
    uint64_t same; /* STUCK: rows in a row that had them */
    double last;   /* STEP, MONOTONIC: the value before; 64-bit integers that float64 rounds are compared as rounded */
    int known;
} er_memory_slot;

typedef struct er_memory {
    er_mutex lock;         /* taken by er_validate for the rows of a call, where the guard has memories at all */
    er_memory_slot *slots; /* guard->memories */
    er_memory_slot *next;  /* as many: what the row that is being looked at would leave; not `known`: nothing */
} er_memory;

int er_memory_open(er_memory *memory, const erai_guard *guard);   /* 0 when out of memory; nothing is held then */
void er_memory_close(er_memory *memory);                          /* of zeros, and of one closed already, too */
void er_memory_reset(er_memory *memory, const erai_guard *guard); /* takes the lock */

#endif
