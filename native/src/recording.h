/* What a session keeps of its calls until they are delivered: its spool, its events, the device's key, drift alarms. */
#ifndef ER_RECORDING_H
#define ER_RECORDING_H

#include "session.h"

/* Opens spool and events as configuration and policy ask for them. */
erai_status er_recording_open(erai_session *session, const erai_session_config *config, char *detail);

/* A window begins: hashes may be made with another key from now on. */
void er_recording_begin_window(erai_session *session, uint64_t now_ns, int64_t now_unix_ns);

/* Of a session that watches. Where an alarm of drift has come that nobody has told of yet: makes it an event, and
 * returns 1. Any thread. */
int er_recording_hear_alarm(erai_session *session) ER_APART;

/* Of a session that watches: says in a view of its window, named already, what has come of it. */
void er_recording_view_watch(erai_session *session, erai_snapshot *view);

#endif
