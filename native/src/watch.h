/* Watching a session's inputs for drift: a detector a feature, and the alarm of them all. */
#ifndef ER_WATCH_H
#define ER_WATCH_H

#include "bytes.h"
#include "detector.h"
#include "guard.h"
#include "platform/platform.h"

#define ER_WATCHED_ROWS 4u /* at most so many wait to be looked at together */

/* Of an input. */
typedef struct er_watched {
    uint64_t rows;
    double sum; /* of the mixtures of its features */
} er_watched;

typedef struct er_watch {
    er_mutex lock;
    const erai_guard *guard;
    const erai_clock *clock; /* NULL: the system's */
    er_bets *bets;           /* one for all features of the same counts */
    const er_bets **of;      /* one a feature; NULL: it is not watched */
    er_detector *detectors;
    uint8_t *named; /* by the alarm */
    er_watched *inputs;
    erai_drift now;
    int alarmed;      /* atomic: `now` has an alarm, which stays as it is */
    int unheard;      /* atomic: it has not been told of */
    er_mutex telling; /* held while the listener is called; taken before any other */
    void (*listener)(void *context);
    void *context;
} er_watch;

/* NULL when out of memory. The guard watches something, and outlives it. */
er_watch *er_watch_open(const erai_guard *guard, const erai_clock *clock);
void er_watch_close(er_watch *watch);

/* Rows of an input, one cell a feature, `width` cells apart. Takes its own lock, after any other. */
void er_watch_rows(er_watch *watch, size_t input, const uint8_t *cells, size_t width, size_t rows);

/* Whether an alarm stands that this has not said before; then its fields: evidence, direction and rows since the change
 * of the feature with the most evidence, and when it came. */
int er_watch_hear(er_watch *watch, erai_event_field fields[3], int64_t *unix_ns);

/* Calls the listener, if there is one. */
void er_watch_tell(er_watch *watch);

/* Whether an alarm stands; then its feature and its evidence. */
int er_watch_alarm(er_watch *watch, size_t *feature, double *evidence);

/* Everything seen, learned and raised, as docs/formats/watch.md has it; and back, into a watch of the same guard. Bytes
 * that are not such are refused, and leave the watch as it was. */
void er_watch_write(er_watch *watch, er_writer *out);
erai_status er_watch_read(er_watch *watch, const uint8_t *bytes, size_t size, char *detail);

#endif
