/* The device's key: what hashes of input values in events are made with. Another one every day. */
#ifndef ER_DEVICE_KEY_H
#define ER_DEVICE_KEY_H

#include "spool.h"

#define ER_KEY_LIFE_S 86400 /* by the wall clock, or by that of a session */
#define ER_KEY_OPENINGS 32  /* of the spool that a key outlives at most, for a device whose clock stands still */

typedef struct er_device_key {
    uint8_t bytes[ERAI_DIGEST_SIZE];
    uint64_t since_ns; /* when the session first had it */
    int there;
} er_device_key;

/* Takes the spool's key, or, where there is none, or none that is sound, or an old one, makes another, which replaces
 * it. Where that cannot be written, the next renewal makes another again. 0: there is no randomness, and what it was
 * stays. */
int er_device_key_renew(er_device_key *key, const erai_spool *spool, uint64_t now_ns, int64_t now_unix_ns);

#endif
