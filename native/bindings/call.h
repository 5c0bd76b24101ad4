/* What the Python binding adds to the public header: one prediction in one crossing.
 *
 * A crossing costs more with each argument and each field stored from Python, so everything that stays from call to call is
 * in one struct, the first input's bytes are an argument, and one number says both whether the call failed and whether
 * Python's views of the outputs still hold. */
#ifndef ERAI_BINDING_CALL_H
#define ERAI_BINDING_CALL_H

#include "edge_rai.h"

typedef struct erai_binding_call {
    erai_session *session;
    erai_answer *answer;
    erai_tensor *inputs;
    size_t count;
} erai_binding_call;

/* Predicts with inputs[0].data set to `first`. Negative: minus the status. Otherwise what erai_answer_accepted holds. */
static int64_t erai_binding_predict(erai_binding_call *call, const uint8_t *first) {
    call->inputs[0].data = first;
    erai_status status = erai_session_predict(call->session, call->inputs, call->count, call->answer);
    return status ? -(int64_t)status : (int64_t)*erai_answer_accepted(call->answer);
}

#endif
