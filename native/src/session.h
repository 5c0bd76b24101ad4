/* A session: guard, model, statistics and spool. */
#ifndef ER_SESSION_H
#define ER_SESSION_H

#include "answer.h"
#include "bundle.h"
#include "platform/platform.h"

struct erai_session {
    erai_guard *guard;
    er_model *model; /* NULL: the application runs it */
    erai_spool *spool;
    int rows_assumed; /* the default policy: that axis 0 counts independent rows is tried where it matters */
    uint8_t model_digest[ERAI_DIGEST_SIZE];

    er_mutex lock;        /* what follows; taken before an answer's lock */
    erai_answer *answers; /* open ones */
    uint64_t *carried;    /* statistics of closed answers, and of a flush that failed */
    uint64_t *taken;      /* scratch of a flush */
    size_t statistics_size;
    uint64_t sequence;
    uint64_t window_ns; /* start of the window, monotonic */
    int64_t window_unix_ns;
};

/* open.c: the golden vectors of a bundle give the answers they gave when it was made. */
erai_status er_replay_golden(er_model *model, const er_manifest *manifest, char *detail);

#endif
