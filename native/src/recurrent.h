/* Recurrent states that a session carries from call to call; see erai_state_rule in edge_rai.h. Under the session's
 * call_lock. */
#ifndef ER_RECURRENT_H
#define ER_RECURRENT_H

#include "answer.h"

typedef struct er_recurrent er_recurrent;

er_recurrent *er_recurrent_open(const erai_guard *guard); /* NULL when out of memory */
void er_recurrent_close(er_recurrent *states);
void er_recurrent_reset(er_recurrent *states);

/* The states as inputs of this call, into the places of answer->inputs that are states: zeros where they are of another
 * number of rows. Changes nothing that another call would see. */
erai_status er_recurrent_give(er_recurrent *states, erai_answer *answer) ER_APART;

/* Takes the next states from answer->outputs for the rows that were not rejected, or only held; a state without rows
 * only where none was. One that is not finite, or of another shape, begins anew, with a reason that flags its row, and
 * is counted; so do all of them, without a reason, when the number of rows is another. A call that did not run, or none
 * of whose rows was good, changes nothing. */
void er_recurrent_take(er_recurrent *states, erai_answer *answer) ER_APART;

#endif
