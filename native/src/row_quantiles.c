/* Sketches of quantiles that a session feeds with its rows. Their lock is taken once for the rows that are sketched
 * together; of each feature the values of all these rows are added at a time. */
#include "row_quantiles.h"

#include "session.h"
#include "spool.h"
#include "status.h"
#include "values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which features have one ---- */

static int can_have(const erai_guard *guard, const er_input *input) {
    return !input->is_state && input->width != ER_TEXT && er_has_one_value(input, guard->batched);
}

static int is_asked_for(const erai_session_config *config, const char *name) {
    if (!config->quantiles_features) return 1;
    for (size_t i = 0; i < config->quantiles_feature_count; i++)
        if (strcmp(config->quantiles_features[i], name) == 0) return 1;
    return 0;
}

static int can_have_by_name(const erai_guard *guard, const char *name) {
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        for (size_t f = 0; can_have(guard, input) && f < input->feature_count; f++)
            if (strcmp(guard->features[input->first_feature + f].name, name) == 0) return 1;
    }
    return 0;
}

static erai_status check_config(const erai_guard *guard, const erai_session_config *config, char *detail) {
    uint32_t k = config->quantiles_k;
    if (k < ERAI_QUANTILES_LEAST_K || k > ERAI_QUANTILES_MOST_K)
        return er_fail(detail, ERAI_E_ARGUMENT, "quantiles: k is %u; expected %u to %u, of which 200 is usual", k,
                       ERAI_QUANTILES_LEAST_K, ERAI_QUANTILES_MOST_K);
    for (size_t i = 0; config->quantiles_features && i < config->quantiles_feature_count; i++)
        if (!can_have_by_name(guard, config->quantiles_features[i]))
            return er_fail(detail, ERAI_E_ARGUMENT,
                           "quantiles: '%s' is no feature of the policy with one number a row; leave it out",
                           config->quantiles_features[i]);
    return ERAI_OK;
}

/* Marks, by a pointer that is not NULL, who has one. */
static size_t choose(er_row_quantiles *quantiles, const erai_session_config *config, er_kll *sketches) {
    const erai_guard *guard = quantiles->guard;
    size_t count = 0;
    for (size_t i = 0; i < guard->input_count; i++) {
        const er_input *input = &guard->inputs[i];
        for (size_t f = input->first_feature; can_have(guard, input) && f < input->first_feature + input->feature_count;
             f++)
            if (is_asked_for(config, guard->features[f].name)) quantiles->of[f] = &sketches[count++];
    }
    return count;
}

/* ---- Opening ---- */

/* Under the lock, where there is another thread. */
static void begin_window(erai_session *session) {
    static const uint8_t nowhere[16] = {0};
    er_row_quantiles *quantiles = session->quantiles;
    const uint8_t *instance = session->spool ? er_spool_instance(session->spool) : nowhere;
    size_t slots = er_kll_slots(quantiles->k);
    float *items = quantiles->memory + slots;
    char device[2 * sizeof nowhere + 1];
    for (size_t i = 0; i < sizeof nowhere; i++) snprintf(device + 2 * i, 3, "%02x", instance[i]);
    quantiles->window_unix_ns = er_session_unix_ns(session);
    memset(quantiles->rows, 0, quantiles->guard->input_count * sizeof *quantiles->rows);
    for (size_t f = 0; f < quantiles->guard->feature_count; f++) {
        if (!quantiles->of[f]) continue;
        const char *name = quantiles->guard->features[f].name;
        uint64_t seed = erai_quantiles_seed(device, name, (uint64_t)quantiles->window_unix_ns);
        er_kll_init(quantiles->of[f], quantiles->k, seed, items, quantiles->memory);
        items += slots;
    }
}

void er_row_quantiles_begin(erai_session *session) {
    if (!session->quantiles) return;
    er_mutex_lock(&session->quantiles->lock);
    begin_window(session);
    er_mutex_unlock(&session->quantiles->lock);
}

erai_status er_row_quantiles_open(erai_session *session, const erai_session_config *config, char *detail) {
    const erai_guard *guard = session->guard;
    erai_status status = check_config(guard, config, detail);
    if (status) return status;
    er_row_quantiles *quantiles = calloc(1, sizeof *quantiles);
    if (!quantiles || er_mutex_init(&quantiles->lock)) {
        free(quantiles);
        return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    }
    session->quantiles = quantiles;
    quantiles->guard = guard;
    quantiles->k = config->quantiles_k;
    quantiles->every = config->quantiles_every ? config->quantiles_every : 1;
    quantiles->of = calloc(guard->feature_count, sizeof *quantiles->of);
    quantiles->sketches = calloc(guard->feature_count, sizeof *quantiles->sketches);
    quantiles->rows = calloc(guard->input_count, sizeof *quantiles->rows);
    size_t count = quantiles->of && quantiles->sketches ? choose(quantiles, config, quantiles->sketches) : 0;
    quantiles->memory = calloc(count + 1, er_kll_slots(quantiles->k) * sizeof *quantiles->memory);
    if (!quantiles->of || !quantiles->sketches || !quantiles->rows || !quantiles->memory)
        return er_fail(detail, ERAI_E_MEMORY, "out of memory for sketches of quantiles with k %u", quantiles->k);
    if (!count)
        return er_fail(detail, ERAI_E_ARGUMENT,
                       "quantiles: no input has one number a feature and row, as tables have; leave quantiles out");
    begin_window(session);
    return ERAI_OK;
}

void er_row_quantiles_close(er_row_quantiles *quantiles) {
    if (!quantiles) return;
    er_mutex_destroy(&quantiles->lock);
    free(quantiles->of);
    free(quantiles->sketches);
    free(quantiles->memory);
    free(quantiles->rows);
    free(quantiles);
}

/* ---- Rows ---- */

er_row_quantiles *er_row_quantiles_of(er_row_quantiles *quantiles, size_t index) {
    if (!quantiles) return NULL;
    const er_input *input = &quantiles->guard->inputs[index];
    for (size_t f = input->first_feature; f < input->first_feature + input->feature_count; f++)
        if (quantiles->of[f]) return quantiles;
    return NULL;
}

static void add(er_kll *sketch, const float *values, size_t count, size_t stride) {
    if (count <= ERAI_QUANTILES_MOST - sketch->n) er_kll_add(sketch, values, count, stride);
}

/* A column of float64. */
static void add_wide(er_kll *sketch, const double *values, size_t count, size_t stride) {
    float column[ER_WAITING];
    for (size_t i = 0; i < count; i++) column[i] = (float)values[i * stride];
    add(sketch, column, count, 1);
}

void er_row_quantiles_waited(er_row_quantiles *quantiles, size_t index, const void *rows, size_t width, size_t count) {
    const er_input *input = &quantiles->guard->inputs[index];
    er_kll **of = quantiles->of + input->first_feature;
    uint32_t every = quantiles->every;
    er_mutex_lock(&quantiles->lock);
    size_t passed = (size_t)(quantiles->rows[index] % every), first = passed ? every - passed : 0;
    quantiles->rows[index] += count;
    size_t taken = first < count ? (count - first - 1) / every + 1 : 0;
    for (size_t f = 0; taken && f < input->feature_count; f++) {
        if (!of[f]) continue;
        size_t at = first * width + f;
        if (input->width == ER_NARROW)
            add(of[f], (const float *)rows + at, taken, every * width);
        else
            add_wide(of[f], (const double *)rows + at, taken, every * width);
    }
    er_mutex_unlock(&quantiles->lock);
}

/* NaN where it is in no histogram. */
static float value_of(const er_feature *feature, const er_row *row, size_t f) {
    uint32_t dtype = row->input->dtype;
    if (feature->missing && er_is_missing(feature->missing, row->values, dtype, f)) return NAN;
    double value = er_value(row->values, dtype, f);
    return isfinite(value) ? (float)value : NAN;
}

void er_row_quantiles_row(er_row_quantiles *quantiles, size_t index, const er_row *row) {
    const er_input *input = &quantiles->guard->inputs[index];
    const er_feature *features = quantiles->guard->features + input->first_feature;
    er_kll **of = quantiles->of + input->first_feature;
    er_mutex_lock(&quantiles->lock);
    int taken = quantiles->rows[index]++ % quantiles->every == 0;
    for (size_t f = 0; taken && f < input->feature_count; f++) {
        if (!of[f]) continue;
        float value = value_of(&features[f], row, f);
        add(of[f], &value, 1, 1);
    }
    er_mutex_unlock(&quantiles->lock);
}

/* ---- For the application ---- */

static void close_all(erai_quantiles **sketches, size_t count) {
    for (size_t f = 0; f < count; f++) {
        erai_quantiles_close(sketches[f]);
        sketches[f] = NULL;
    }
}

/* With nothing in them yet, so that the lock is held for no longer than it takes to copy. */
static erai_status open_copies(const er_row_quantiles *quantiles, erai_quantiles **sketches, char *detail) {
    size_t count = quantiles->guard->feature_count;
    memset(sketches, 0, count * sizeof *sketches);
    for (size_t f = 0; f < count; f++) {
        erai_status status = quantiles->of[f] ? erai_quantiles_open(quantiles->k, 0, &sketches[f], detail) : ERAI_OK;
        if (!status) continue;
        close_all(sketches, f);
        return status;
    }
    return ERAI_OK;
}

erai_status erai_session_quantiles(erai_session *session, int begin, erai_quantiles **sketches, uint64_t *window,
                                   char *detail) {
    if (!session || !sketches) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_quantiles: NULL");
    er_row_quantiles *quantiles = session->quantiles;
    if (!quantiles)
        return er_fail(detail, ERAI_E_ARGUMENT,
                       "this session sketches no quantiles: open it with quantiles, k of 200 is usual");
    erai_status status = open_copies(quantiles, sketches, detail);
    if (status) return status;
    er_session_own(session);
    er_session_watch_waiting(session);
    er_mutex_lock(&quantiles->lock);
    for (size_t f = 0; f < quantiles->guard->feature_count; f++)
        if (quantiles->of[f]) er_quantiles_copy(sketches[f], quantiles->of[f]);
    if (window) *window = (uint64_t)quantiles->window_unix_ns;
    if (begin) begin_window(session);
    er_mutex_unlock(&quantiles->lock);
    return ERAI_OK;
}
