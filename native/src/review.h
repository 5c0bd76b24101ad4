/* Rows that wait for somebody's decision; see erai_review in edge_rai.h. */
#ifndef ER_REVIEW_H
#define ER_REVIEW_H

#include "answer.h"

typedef struct er_review_queue er_review_queue; /* any thread */

er_review_queue *er_review_open(size_t rows, size_t inputs); /* NULL when out of memory */
void er_review_close(er_review_queue *queue);

/* Puts a row of answer->inputs (as the caller gave them, without states, and shaped as the policy says) into the queue;
 * its id, or 0 when the queue is full or memory is out. */
uint64_t er_review_put(er_review_queue *queue, const erai_answer *answer, size_t row, int64_t unix_ns);

#endif
