/* Watching a session's inputs for drift: a detector a feature, and the alarm of them all. */
#ifndef ER_WATCH_H
#define ER_WATCH_H

#include "detector.h"
#include "guard.h"
#include "platform/platform.h"

#define ER_WATCHED_ROWS 4u /* at most so many wait to be looked at together */

typedef struct er_watch er_watch;

/* NULL when out of memory. The guard watches something, and outlives it. */
er_watch *er_watch_open(const erai_guard *guard, const erai_clock *clock);
void er_watch_close(er_watch *watch);

/* Rows of an input, one cell a feature, `width` cells apart. Takes its own lock, after any other. */
void er_watch_rows(er_watch *watch, size_t input, const uint8_t *cells, size_t width, size_t rows);

/* Whether an alarm stands; then its feature and its evidence. */
int er_watch_alarm(er_watch *watch, size_t *feature, double *evidence);

#endif
