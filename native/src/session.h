/* A session: guard, model, statistics and spool. */
#ifndef ER_SESSION_H
#define ER_SESSION_H

#include "answer.h"
#include "bundle.h"
#include "cache.h"
#include "device_key.h"
#include "events.h"
#include "gate.h"
#include "last_good.h"
#include "memory.h"
#include "platform/platform.h"
#include "recurrent.h"
#include "review.h"
#include "row_quantiles.h"
#include "watch.h"

struct erai_session {
    erai_guard *guard;
    er_model *model;    /* NULL: the application runs it */
    er_model *fallback; /* the bundle's second model; NULL: none */
    erai_spool *spool;
    const erai_clock *clock; /* NULL: the system's */
    int rows_assumed;        /* the default policy: that axis 0 counts independent rows is tried where it matters */
    int rows_depend;         /* the bundle, or a bare model's operators, say that a row's answer depends on its mates */
    uint8_t model_digest[ERAI_DIGEST_SIZE];
    char *stop_path; /* "PATH.stopped" beside the bundle or model; NULL: it was not opened by path */
    int stopped;     /* atomic */

    uint64_t process; /* atomic: er_process() of whose the counts are */

    er_memory memory;
    er_gate gate;
    er_mutex call_lock;      /* calls one after the other, where there are states */
    er_recurrent *recurrent; /* this and the following: NULL where the policy has none */
    er_last_good *last_good;
    er_review_queue *review;
    er_cache *cache;
    er_events *events;
    er_watch *watch;
    er_row_quantiles *quantiles;

    er_mutex lock;            /* what follows; taken before an answer's lock */
    erai_answer *answers;     /* open ones */
    uint64_t *carried;        /* counts of closed answers, and of a flush that failed */
    uint64_t *taken;          /* scratch of a flush */
    er_feature_total *totals; /* likewise of features, and what is flushed; NULL: the answers have all there is */
    er_tally *left;           /* of answers that were closed when there was no memory for totals */
    erai_event *taken_events;
    erai_event_field *taken_fields;
    size_t taken_event_count;
    er_device_key key;
    int hashes; /* the key is used */
    uint64_t sequence;
    uint64_t opened_ns, ran_before_ms; /* for how long sessions of the spool have been open */
    uint64_t window_ns;                /* start of the window, monotonic */
    int64_t window_unix_ns;
};

/* session.c: in a forked child, drops what its parent has counted and delivers. Before anything is counted or told. */
void er_session_own(erai_session *session);

/* windows.c, under the session's lock: the totals, made where there are none; NULL when out of memory. And what an
 * answer has counted, before it is closed; its tally is kept itself where there is no memory to add it up in. */
er_feature_total *er_session_totals(erai_session *session);
void er_answer_leave(erai_answer *answer);

/* watch_state.c: has rows that wait watched, taking the locks; stores the watch in the spool, where that can be; goes
 * on from what is stored there. */
void er_session_watch_waiting(erai_session *session);
void er_watch_store(erai_session *session);
void er_watch_continue(erai_session *session);

static inline uint64_t er_session_ns(const erai_session *session) {
    return session->clock ? __atomic_load_n(&session->clock->monotonic_ns, __ATOMIC_RELAXED) : er_monotonic_ns();
}

/* A clock that goes back stands still until it has caught up. */
static inline uint64_t er_since(uint64_t then_ns, uint64_t now_ns) {
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static inline int64_t er_session_unix_ns(const erai_session *session) {
    return session->clock ? __atomic_load_n(&session->clock->unix_ns, __ATOMIC_RELAXED) : er_unix_ns();
}

/* default_guard.c: of a bare model. One without recurrent layers may have empty axes, as long as they count no rows. */
erai_status er_default_guard(const er_model *model, int recurrent, erai_guard **guard, char *detail);
/* Of a recurrent one: ONNX Runtime 1.31 ends the process when an LSTM or GRU gets a batch of 0, and a model may declare
 * that it takes no other. */
erai_status er_refuse_without_values(const er_model *model, char *detail);

/* match.c: guard and model belong together, and from now on the model takes and gives in the guard's places. The
 * fallback model takes what the primary takes, without the states or with them, and answers what it answers. */
erai_status er_match_model(const erai_guard *guard, er_model *model, char *detail);
erai_status er_match_fallback(const erai_guard *guard, const er_model *primary, er_model *fallback, char *detail);

/* golden.c: the golden vectors of a bundle give the answers they gave when it was made. */
erai_status er_replay_golden(er_model *model, const er_golden_set *set, char *detail);

/* stop.c: whether a file says that the session is stopped; ERAI_E_STOPPED, with what the file says in the detail. */
int er_stop_found(const erai_session *session);
erai_status er_stop_fail(const erai_session *session, char *detail);

#endif
