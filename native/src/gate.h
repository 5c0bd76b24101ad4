/* Whether the model is asked: token bucket, circuit breaker, hysteresis. No clock and no I/O: time is passed in. */
#ifndef ER_GATE_H
#define ER_GATE_H

#include "edge_rai.h"
#include "platform/platform.h"

#define ER_MOST_PROBES 64 /* at a time, whatever the rule */

typedef struct er_gate {
    er_mutex lock;    /* what follows; moments only */
    uint64_t full_ns; /* when the bucket was full last, */
    uint64_t taken;   /* and tokens taken since */
    erai_breaker breaker;
    uint64_t outcomes;  /* the last calls, the latest in bit 0: 1 a failure */
    uint64_t opened_ns; /* when it opened, by the latest clock it was told */
    uint64_t probed_ns; /* half open: when the last call was let through */
    uint32_t good_probes;
    uint32_t probing; /* calls let through half open that are still running: whose they are */
    const erai_answer *probes[ER_MOST_PROBES];
    int held;
    uint32_t bad, good; /* rows in a row, for hysteresis */
} er_gate;

int er_gate_open(er_gate *gate, uint64_t now_ns); /* 0 is failure */
void er_gate_close(er_gate *gate);

#endif
