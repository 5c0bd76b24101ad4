/* Sketches of quantiles that a session feeds with its rows: one a feature, for all threads. */
#ifndef ER_ROW_QUANTILES_H
#define ER_ROW_QUANTILES_H

#include "answer.h"
#include "kll.h"

typedef struct er_row_quantiles {
    er_mutex lock; /* the sketches, `rows` and the window; taken after any other */
    const erai_guard *guard;
    uint32_t k, every;
    er_kll **of; /* one a feature; NULL: it has none */
    er_kll *sketches;
    float *memory;  /* the items of each, and what they sort in */
    uint64_t *rows; /* of the window, one an input */
    int64_t window_unix_ns;
} er_row_quantiles;

/* Into session->quantiles, whose spool is open. ERAI_E_ARGUMENT: the configuration asks for what there is not. */
erai_status er_row_quantiles_open(erai_session *session, const erai_session_config *config, char *detail);
void er_row_quantiles_close(er_row_quantiles *quantiles);

/* Begins a window with nothing in it. */
void er_row_quantiles_begin(erai_session *session);

/* NULL where no feature of the input has a sketch, or the session has none. */
er_row_quantiles *er_row_quantiles_of(er_row_quantiles *quantiles, size_t input);

/* Rows whose values are all in order, as they wait: `width` numbers apart, at most ER_WAITING. */
void er_row_quantiles_waited(er_row_quantiles *quantiles, size_t input, const void *rows, size_t width, size_t count);

/* A row as it came. */
void er_row_quantiles_row(er_row_quantiles *quantiles, size_t input, const er_row *row);

#endif
