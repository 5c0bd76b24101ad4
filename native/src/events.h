/* Events: single decisions worth keeping until the next flush. */
#ifndef ER_EVENTS_H
#define ER_EVENTS_H

#include "answer.h"

typedef struct er_events er_events; /* any thread */

/* Room for `capacity` events of `fields` fields each at most; one of about `sampled` accepted rows becomes one, none
 * where it is 0. NULL: out of memory. */
er_events *er_events_open(uint32_t capacity, uint32_t sampled, size_t fields);
void er_events_close(er_events *events);

/* What the fields of events are hashed with from now on. */
void er_events_set_key(er_events *events, const uint8_t key[ERAI_DIGEST_SIZE]);

/* What a call that came to an answer leaves; nothing, of most. Of the rows of one call at most ER_EVENT_ROWS are looked
 * at; the others that are not accepted count as displaced. */
enum { ER_EVENT_ROWS = 64 };
void er_events_record(er_events *events, erai_answer *answer, uint64_t latency_ns) ER_APART;

/* An alarm of drift, which is urgent; at most as many fields as there is room for. */
void er_events_alarm(er_events *events, int64_t unix_ns, const erai_event_field *fields, uint32_t count);

/* Copies the events that are kept, by number, and gives them this epoch; adds to the statistics what there was. With
 * `take`, they begin anew. Returns how many; `into` has room for er_events_capacity, and `fields` for as many times the
 * fields of one. */
size_t er_events_gather(er_events *events, uint64_t epoch, erai_event *into, erai_event_field *fields,
                        uint64_t *statistics, int take);
size_t er_events_capacity(const er_events *events);

/* Keeps events again whose window could not be stored; they are counted already. */
void er_events_put_back(er_events *events, const erai_event *from, size_t count);

/* Waits until there is a reason to flush, an urgent event or half the room taken, and says whether there is one. */
int er_events_wait(er_events *events, uint64_t timeout_ns);

#endif
