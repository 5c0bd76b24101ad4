/* Watching a session's inputs for drift. The device's evidence is the mean of its features': whatever they have to do
 * with each other, the mean of e-detectors is one. */
#include "watch.h"

#include "session.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* NULL of a feature of an input. */
static const er_observation *observation_of(const erai_guard *guard, size_t f) {
    size_t first = guard->feature_count - guard->observation_count;
    return f < first ? NULL : &guard->observations[f - first];
}

static int is_ordered(const erai_guard *guard, size_t f) {
    const er_feature *feature = &guard->features[f];
    const er_observation *observed = observation_of(guard, f);
    if (observed) return !er_is_of_classes(observed->kind);
    for (uint32_t i = 0; i < feature->check_count; i++)
        if (feature->checks[i].rule.kind == ERAI_CHECK_CATEGORIES) return 0;
    return 1;
}

static double bound_of(const erai_guard *guard, size_t f) {
    const er_observation *observed = observation_of(guard, f);
    return observed ? observed->bound : 0;
}

static int same_bets(const erai_guard *guard, size_t f, size_t g) {
    const er_feature *one = &guard->features[f], *other = &guard->features[g];
    return one->bins == other->bins && one->reference_rows == other->reference_rows &&
           is_ordered(guard, f) == is_ordered(guard, g) && bound_of(guard, f) <= 0 && bound_of(guard, g) <= 0 &&
           memcmp(one->counts, other->counts, one->bins * sizeof *one->counts) == 0;
}

/* Rows of the reference that are in no bin lacked the value. */
static uint64_t missing_of(const er_feature *feature) {
    uint64_t known = 0;
    for (uint32_t i = 0; i < feature->bins; i++) known += feature->counts[i];
    return feature->reference_rows > known ? feature->reference_rows - known : 0;
}

/* References of continuous features of as many rows have the same counts, so that those before are worth a look. */
#define LOOK_BACK 8u

static void make_bets(er_watch *watch) {
    const erai_guard *guard = watch->guard;
    size_t made = 0, owners[LOOK_BACK];
    for (size_t f = 0; f < guard->feature_count; f++) watch->now.watched += guard->drift.strides[f] != 0;
    for (size_t f = 0; f < guard->feature_count; f++) {
        const er_feature *feature = &guard->features[f];
        if (!guard->drift.strides[f]) continue;
        for (size_t back = 1; !watch->of[f] && back <= LOOK_BACK && back <= made; back++) {
            size_t owner = owners[(made - back) % LOOK_BACK];
            if (guard->drift.strides[owner] == guard->drift.strides[f] && same_bets(guard, f, owner))
                watch->of[f] = &watch->bets[made - back];
        }
        if (!watch->of[f]) {
            owners[made % LOOK_BACK] = f;
            er_basis basis = {.counts = feature->counts,
                              .bins = feature->bins,
                              .missing = missing_of(feature),
                              .ordered = is_ordered(guard, f),
                              .stride = guard->drift.strides[f]};
            if (bound_of(guard, f) > 0)
                er_bets_on_loss(&watch->bets[made], feature->bins, bound_of(guard, f));
            else
                er_bets_make(&watch->bets[made], &basis, guard->drift.effect, watch->now.watched);
            watch->of[f] = &watch->bets[made++];
        }
        er_detector_reset(&watch->detectors[f], watch->of[f]);
    }
}

er_watch *er_watch_open(const erai_guard *guard, const erai_clock *clock) {
    er_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    if (er_mutex_init(&watch->lock)) {
        free(watch);
        return NULL;
    }
    if (er_mutex_init(&watch->telling)) {
        er_mutex_destroy(&watch->lock);
        free(watch);
        return NULL;
    }
    size_t features = guard->feature_count, detectors = features * sizeof *watch->detectors;
    watch->guard = guard;
    watch->clock = clock;
    watch->now.struct_size = sizeof watch->now;
    watch->bets = calloc(features, sizeof *watch->bets);
    watch->of = calloc(features, sizeof *watch->of);
    watch->named = calloc(features, sizeof *watch->named);
    watch->inputs = calloc(guard->watched_count, sizeof *watch->inputs);
    watch->detectors = aligned_alloc(64, (detectors + 63) / 64 * 64);
    if (!watch->bets || !watch->of || !watch->named || !watch->inputs || !watch->detectors) {
        er_watch_close(watch);
        return NULL;
    }
    memset(watch->detectors, 0, detectors);
    make_bets(watch);
    return watch;
}

void er_watch_close(er_watch *watch) {
    if (!watch) return;
    er_mutex_destroy(&watch->telling);
    er_mutex_destroy(&watch->lock);
    free(watch->bets);
    free(watch->of);
    free(watch->named);
    free(watch->inputs);
    free(watch->detectors);
    free(watch);
}

/* ---- Watching ---- */

static int rising(const void *left, const void *right) {
    float one = *(const float *)left, other = *(const float *)right;
    return (one > other) - (one < other);
}

/* Names the features that e-BH would at the alarm's level: the k greatest, for the greatest k of which the k-th has
 * features * threshold / k. Memory is taken once an alarm; without it the one with the most is named alone. */
static void name_features(er_watch *watch) {
    size_t features = watch->guard->feature_count, count = 0;
    float least = watch->detectors[watch->now.alarm_feature].mixture;
    float *mixtures = malloc(features * sizeof *mixtures);
    for (size_t f = 0; mixtures && f < features; f++)
        if (watch->of[f]) mixtures[count++] = watch->detectors[f].mixture;
    if (mixtures) qsort(mixtures, count, sizeof *mixtures, rising);
    for (size_t k = count; mixtures && k > 1; k--)
        if ((double)mixtures[count - k] * (double)k >= (double)count * watch->guard->drift.average_run_length) {
            least = mixtures[count - k];
            break;
        }
    free(mixtures);
    for (size_t f = 0; f < features; f++) watch->named[f] = watch->of[f] && watch->detectors[f].mixture >= least;
}

static void raise_alarm(er_watch *watch) {
    size_t most = 0;
    for (size_t f = 1; f < watch->guard->feature_count; f++)
        if (watch->detectors[f].mixture > watch->detectors[most].mixture) most = f;
    watch->now.alarm_feature = (uint32_t)most;
    watch->now.alarm_row = watch->now.rows;
    watch->now.alarm_evidence = watch->now.evidence;
    watch->now.alarm_unix_ns = watch->clock ? __atomic_load_n(&watch->clock->unix_ns, __ATOMIC_RELAXED) : er_unix_ns();
    name_features(watch);
    __atomic_store_n(&watch->alarmed, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&watch->unheard, 1, __ATOMIC_RELEASE);
}

void er_watch_rows(er_watch *watch, size_t index, const uint8_t *cells, size_t width, size_t rows) {
    const er_input *input = &watch->guard->inputs[index];
    size_t first = input->first_feature;
    er_watched *at = &watch->inputs[index];
    if (__atomic_load_n(&watch->alarmed, __ATOMIC_ACQUIRE)) return; /* what raised it is kept, and nothing learned */
    er_mutex_lock(&watch->lock);
    if (watch->alarmed) { /* meanwhile */
        er_mutex_unlock(&watch->lock);
        return;
    }
    at->sum = er_detect(watch->detectors + first, watch->of + first, watch->guard->drift.strides + first,
                        input->feature_count, cells, width, at->rows, rows);
    at->rows += rows;
    double sum = 0;
    watch->now.rows = 0;
    for (size_t i = 0; i < watch->guard->watched_count; i++) {
        sum += watch->inputs[i].sum;
        if (watch->inputs[i].rows > watch->now.rows) watch->now.rows = watch->inputs[i].rows;
    }
    watch->now.evidence = sum / watch->now.watched;
    if (!watch->alarmed && watch->now.evidence >= watch->guard->drift.average_run_length) raise_alarm(watch);
    er_mutex_unlock(&watch->lock);
}

int er_watch_alarm(er_watch *watch, size_t *feature, double *evidence) {
    if (!__atomic_load_n(&watch->alarmed, __ATOMIC_ACQUIRE)) return 0;
    er_mutex_lock(&watch->lock);
    *feature = watch->now.alarm_feature;
    *evidence = watch->now.alarm_evidence;
    er_mutex_unlock(&watch->lock);
    return 1;
}

/* Rows since the change of a feature, as estimated. */
static uint64_t changed_of(const er_watch *watch, size_t feature) {
    const er_detector *detector = &watch->detectors[feature];
    return (uint64_t)(uint32_t)(detector->values - detector->began) * watch->guard->drift.strides[feature];
}

int er_watch_hear(er_watch *watch, erai_event_field fields[3], int64_t *unix_ns) {
    if (!__atomic_load_n(&watch->unheard, __ATOMIC_ACQUIRE)) return 0;
    er_mutex_lock(&watch->lock);
    int heard = watch->unheard;
    uint32_t feature = watch->now.alarm_feature;
    if (heard) {
        uint32_t direction = er_detector_direction(&watch->detectors[feature], watch->of[feature]);
        fields[0] = (erai_event_field){feature, ERAI_FIELD_EVIDENCE, 0, watch->now.alarm_evidence};
        fields[1] = (erai_event_field){feature, ERAI_FIELD_DIRECTION, direction, 0};
        fields[2] = (erai_event_field){feature, ERAI_FIELD_CHANGED, changed_of(watch, feature), 0};
        *unix_ns = watch->now.alarm_unix_ns;
        __atomic_store_n(&watch->unheard, 0, __ATOMIC_RELEASE);
    }
    er_mutex_unlock(&watch->lock);
    return heard;
}

void er_watch_tell(er_watch *watch) {
    er_mutex_lock(&watch->telling);
    if (watch->listener) watch->listener(watch->context);
    er_mutex_unlock(&watch->telling);
}

/* ---- What the application sees ---- */

erai_status erai_session_on_alarm(erai_session *session, void (*alarm)(void *context), void *context) {
    if (!session || !session->watch) return ERAI_E_ARGUMENT;
    er_mutex_lock(&session->watch->telling);
    session->watch->listener = alarm;
    session->watch->context = context;
    er_mutex_unlock(&session->watch->telling);
    return ERAI_OK;
}

erai_status erai_session_drift(erai_session *session, erai_drift *drift) {
    if (!session || !session->watch || !drift) return ERAI_E_ARGUMENT;
    er_mutex_lock(&session->watch->lock);
    *drift = session->watch->now;
    er_mutex_unlock(&session->watch->lock);
    return ERAI_OK;
}

erai_status erai_session_feature_drift(erai_session *session, size_t index, erai_feature_drift *drift) {
    if (!session || !session->watch || !drift || index >= session->guard->feature_count) return ERAI_E_ARGUMENT;
    er_watch *watch = session->watch;
    uint32_t stride = watch->guard->drift.strides[index];
    const er_detector *detector = &watch->detectors[index];
    *drift = (erai_feature_drift){.struct_size = sizeof *drift, .stride = stride};
    if (!stride) return ERAI_OK;
    er_mutex_lock(&watch->lock);
    drift->evidence = (double)detector->mixture;
    drift->changed = changed_of(watch, index);
    drift->direction = er_detector_direction(detector, watch->of[index]);
    drift->named = watch->named[index];
    er_effect effect = er_detector_effect(detector, drift->direction);
    drift->effect = effect.size;
    drift->effect_low = effect.low;
    drift->effect_high = effect.high;
    er_mutex_unlock(&watch->lock);
    return ERAI_OK;
}

erai_status erai_session_drift_reset(erai_session *session) {
    if (!session || !session->watch) return ERAI_E_ARGUMENT;
    er_watch *watch = session->watch;
    er_session_watch_waiting(session); /* they came before */
    er_mutex_lock(&watch->lock);
    for (size_t f = 0; f < watch->guard->feature_count; f++)
        if (watch->of[f]) er_detector_reset(&watch->detectors[f], watch->of[f]);
    for (size_t i = 0; i < watch->guard->watched_count; i++) watch->inputs[i].sum = 0;
    memset(watch->named, 0, watch->guard->feature_count);
    watch->now.evidence = watch->now.alarm_evidence = 0;
    watch->now.continued = 0;
    watch->now.alarm_row = 0;
    watch->now.alarm_unix_ns = 0;
    watch->now.alarm_feature = 0;
    __atomic_store_n(&watch->alarmed, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&watch->unheard, 0, __ATOMIC_RELEASE);
    er_mutex_unlock(&watch->lock);
    return ERAI_OK;
}
