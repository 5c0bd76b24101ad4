/* A 64-bit fingerprint of a sequence of blocks of bytes. It tells rows that differ from rows that do not; it is no
 * defence against somebody who makes rows that collide, who would gain nothing but his own rows called stuck. */
#ifndef ER_FINGERPRINT_H
#define ER_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

typedef struct er_fingerprint {
    uint64_t lanes[4];
} er_fingerprint;

void er_fingerprint_begin(er_fingerprint *fingerprint);
/* The same bytes divided otherwise into blocks are another sequence. */
void er_fingerprint_add(er_fingerprint *fingerprint, const void *bytes, size_t size);
uint64_t er_fingerprint_end(const er_fingerprint *fingerprint);

#endif
