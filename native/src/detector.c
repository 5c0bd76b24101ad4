/* Change detectors. */
#include "detector.h"

#include "dispatch.h"

#include <math.h>
#include <string.h>

/* ---- The bets ---- */

static double normal_below(double z) {
    return 0.5 * erfc(-z * 0.70710678118654752440);
}

static double density(double z) {
    return exp(-0.5 * z * z) * 0.39894228040143267794;
}

/* The quantile of the normal law for a share from 2^-64 on, by Newton's method from that of the logistic law. */
static double normal_quantile(double share) {
    if (share <= 0) return -INFINITY;
    if (share >= 1) return INFINITY;
    double z = log(share / (1 - share)) / 1.702;
    for (int i = 0; i < 60; i++) {
        double move =
            fmin(fmax((normal_below(z) - share) / density(z), -0.5), 0.5); /* far out the density falls fast */
        z -= move;
        if (fabs(move) < 1e-12) break;
    }
    return z;
}

/* To 2^-12, so that the last digits of a C library's functions make no difference. */
static float rounded(double factor) {
    return (float)(floor(factor * 4096 + 0.5) / 4096);
}

/* What an ordered feature may have changed to. Values are compared by their quantiles in the reference, as if its law
 * were normal: N(0, 1) becomes N(mean, spread^2). Small changes of the mean weigh most, because they take longest. */
static const struct {
    double mean, spread;
    float weight;
    erai_direction direction;
} laws[] = {
    {0.25, 1, 0.10f, ERAI_DRIFT_MEAN_UP}, {-0.25, 1, 0.10f, ERAI_DRIFT_MEAN_DOWN},
    {0.5, 1, 0.28f, ERAI_DRIFT_MEAN_UP},  {-0.5, 1, 0.28f, ERAI_DRIFT_MEAN_DOWN},
    {0, 1.5, 0.12f, ERAI_DRIFT_WIDER},    {0, 0.5, 0.06f, ERAI_DRIFT_NARROWER},
};
#define LAWS (sizeof laws / sizeof *laws)

/* Of the normal law's values between two quantiles, which may be infinite. */
static void score(er_bets *bets, uint32_t bin, double low, double high) {
    double share = normal_below(high) - normal_below(low);
    double at_low = isinf(low) ? 0 : low * density(low), at_high = isinf(high) ? 0 : high * density(high);
    if (!(share > 0)) return;
    bets->score[bin] = (float)((density(low) - density(high)) / share);
    bets->square[bin] = (float)(1 + (at_low - at_high) / share);
}

static void bet_on_laws(er_bets *bets, const double *counts, uint32_t bins, double total) {
    double count = 0, low = -INFINITY;
    for (uint32_t bin = 0; bin < bins; bin++) {
        if (!(counts[bin] > 0)) continue; /* no share to bet on: such a value changes nothing */
        count += counts[bin];
        double high = count >= total * (1 - 1e-15) ? INFINITY : normal_quantile(count / total);
        for (size_t i = 0; i < LAWS; i++) {
            double share = normal_below((high - laws[i].mean) / laws[i].spread) -
                           normal_below((low - laws[i].mean) / laws[i].spread);
            bets->factors[bin][i] = rounded(share * total / counts[bin]);
        }
        score(bets, bin, low, high);
        low = high;
    }
    for (size_t i = 0; i < LAWS; i++) {
        bets->weights[i] = laws[i].weight;
        bets->direction[i] = laws[i].direction;
    }
}

/* Waves over the numbers of the categories, up and down: incommensurable wavelengths tell any two categories apart. */
static void bet_on_shares(er_bets *bets, uint32_t bins) {
    static const double waves[LAWS / 2] = {0.61803398874989485, 0.41421356237309505, 0.30277563773199465};
    for (uint32_t i = 0; i < LAWS; i++) {
        for (uint32_t bin = 0; bin < bins; bin++) {
            double wave = 0.35 * cos(6.283185307179586477 * waves[i / 2] * bin);
            bets->factors[bin][i] = rounded(i % 2 ? 1 - wave : 1 + wave);
        }
        bets->weights[i] = 0.94f / LAWS;
        bets->direction[i] = ERAI_DRIFT_SHARES;
    }
}

/* Four times as many, and one in fifty at least. */
static void bet_on_rate(er_bets *bets, unsigned which, uint32_t cell, double share, erai_direction direction) {
    bets->factors[cell][which] = rounded(fmin(fmax(4 * share, 0.02), 0.5 + 0.5 * share) / share);
    bets->weights[which] = 0.03f;
    bets->direction[which] = direction;
}

/* What each cell of the urn begins with. Bins end at values of the reference, so that of the gaps between its n values
 * and around them each bin has as many as it has values, and the last one more. */
static double fill_urn(double *cells, const er_basis *basis) {
    double seen = 0;
    for (uint32_t bin = 0; bin < basis->bins; bin++) {
        double more = !basis->ordered ? 1.0 / basis->bins : bin + 1 == basis->bins ? 1 : 0;
        seen += cells[bin] = ((double)basis->counts[bin] + more) / basis->stride;
    }
    cells[ER_CELL_MISSING] = ((double)basis->missing + 1) / basis->stride;
    cells[ER_CELL_OUTSIDE] = 1.0 / basis->stride;
    return seen;
}

static void expect(er_bets *bets, const double *cells, double effect) {
    for (uint32_t i = 0; i < ER_BETS; i++) {
        double sum = 0, squares = 0;
        for (uint32_t cell = 0; cell < ER_CELLS; cell++) {
            double factor = (double)bets->factors[cell][i];
            sum += cells[cell] * factor;
            squares += cells[cell] * factor * factor;
        }
        double mean = sum / bets->total, variance = fmax(squares / bets->total - mean * mean, 0);
        bets->expected[i] = sum;
        bets->tolerance[i] = 1 / (1 + effect * sqrt(variance) / mean);
    }
}

void er_bets_make(er_bets *bets, const er_basis *basis, double effect, size_t features) {
    double cells[ER_CELLS] = {0};
    memset(bets, 0, sizeof *bets);
    for (uint32_t cell = 0; cell < ER_CELLS; cell++)
        for (uint32_t i = 0; i < ER_BETS; i++) bets->factors[cell][i] = 1;
    double seen = fill_urn(cells, basis);
    bets->total = seen + cells[ER_CELL_MISSING] + cells[ER_CELL_OUTSIDE];
    if (basis->ordered)
        bet_on_laws(bets, cells, basis->bins, seen);
    else
        bet_on_shares(bets, basis->bins);
    bet_on_rate(bets, LAWS, ER_CELL_MISSING, cells[ER_CELL_MISSING] / bets->total, ERAI_DRIFT_MISSING);
    bet_on_rate(bets, LAWS + 1, ER_CELL_OUTSIDE, cells[ER_CELL_OUTSIDE] / bets->total, ERAI_DRIFT_OUTSIDE);
    expect(bets, cells, effect);
    /* Then the tolerance covers what is not known of the reference: the error of any bet's mean, of any feature, in 95
     * of 100 references. */
    double errors = normal_quantile(1 - 0.05 / (ER_BETS * (double)features));
    bets->enough = errors / effect * (errors / effect);
}

void er_bets_on_loss(er_bets *bets, uint32_t bins, double bound) {
    static const double odds[ER_BETS] = {1.2, 1.4, 1.7, 2, 2.5, 3.5, 6, 15}; /* times those of the bound */
    memset(bets, 0, sizeof *bets);
    for (uint32_t i = 0; i < ER_BETS; i++) {
        double worse = odds[i] * bound / (1 - bound + odds[i] * bound);
        for (uint32_t cell = 0; cell < ER_CELLS; cell++) {
            double loss = cell < bins ? (double)cell / (bins - 1) : bound;
            /* The likelihood ratio of a loss of 0 or 1, and between these on the line: its mean is 1 where the losses'
             * is the bound. Rounded down, so that it is no more. */
            double factor = 1 + (worse - bound) / (bound * (1 - bound)) * (loss - bound);
            bets->factors[cell][i] = (float)(floor(factor * 65536) / 65536);
        }
        bets->weights[i] = 1.0f / ER_BETS;
        bets->tolerance[i] = bets->expected[i] = 1; /* of the losses' law nothing is learned */
        bets->direction[i] = ERAI_DRIFT_ABOVE;
    }
    for (uint32_t bin = 0; bin < bins; bin++) {
        bets->score[bin] = (float)bin / (float)(bins - 1);
        bets->square[bin] = bets->score[bin] * bets->score[bin];
    }
    bets->total = bets->enough = 1;
}

/* ---- The stakes ---- */

static void end_learning(er_detector *detector, const er_bets *bets) {
    if (detector->total < bets->enough) return;
    for (unsigned i = 0; i < ER_BETS; i++) detector->fair[i] = detector->total * bets->tolerance[i] / detector->fair[i];
    detector->total = 0;
}

static void forget_measured(er_detector *detector) {
    detector->moved = detector->squared = 0;
    detector->measured = detector->missing = detector->outside = 0;
}

void er_detector_reset(er_detector *detector, const er_bets *bets) {
    memset(detector->won, 0, sizeof detector->won);
    detector->mixture = 0;
    detector->began = detector->values;
    forget_measured(detector);
    memcpy(detector->fair, bets->expected, sizeof detector->fair);
    detector->total = bets->total;
    end_learning(detector, bets);
}

/* Beyond what any average run length asks for, and sums of it are still numbers. */
#define MOST 1e30f
/* Evidence for no change in particular, in rows. */
#define NOTHING 32.0f
/* And more than a stream without one comes to but for once in a while. */
#define HARDLY_NOTHING 256.0f

ER_INLINE float mixture_of(const float won[ER_BETS], const er_bets *bets) {
    float share[ER_BETS];
    for (unsigned i = 0; i < ER_BETS; i++) share[i] = bets->weights[i] * won[i];
    return ((share[0] + share[4]) + (share[2] + share[6])) + ((share[1] + share[5]) + (share[3] + share[7]));
}

float er_detector_mixture(const float won[ER_BETS], const er_bets *bets) {
    return mixture_of(won, bets);
}

/* Bets go four by four, in registers from value to value: loops over float and double together are left scalar by
 * compilers. */
enum { FOURS = ER_BETS / 4 };
typedef float four_floats __attribute__((vector_size(4 * sizeof(float))));
typedef double four_doubles __attribute__((vector_size(4 * sizeof(double))));
typedef int32_t four_masks __attribute__((vector_size(4 * sizeof(int32_t))));

ER_INLINE four_floats narrowed(const double *from) {
    return (four_floats){(float)from[0], (float)from[1], (float)from[2], (float)from[3]};
}

/* `next`, or MOST where that is less or `next` is NaN. */
ER_INLINE four_floats bounded(four_floats next) {
    const four_floats most = {MOST, MOST, MOST, MOST};
    four_masks less = next < most;
    return (four_floats)((less & (four_masks)next) | (~less & (four_masks)most));
}

ER_INLINE void detect_values(er_detector *detector, const er_bets *bets, const uint8_t *cells, size_t step,
                             size_t count, float rows_a_value) {
    four_floats won[FOURS];
    for (unsigned i = 0; i < FOURS; i++) memcpy(&won[i], &detector->won[4 * i], sizeof won[i]);
    if (detector->total > 0) {
        four_doubles fair[FOURS];
        four_floats tolerance[FOURS];
        double total = detector->total;
        for (unsigned i = 0; i < FOURS; i++) memcpy(&fair[i], &detector->fair[4 * i], sizeof fair[i]);
        for (unsigned i = 0; i < FOURS; i++) tolerance[i] = narrowed(&bets->tolerance[4 * i]);
        for (size_t at = 0; at < count; at++, total += 1) {
            const float *factors = bets->factors[cells[at * step]];
            for (unsigned i = 0; i < FOURS; i++, factors += 4) {
                four_floats factor = {factors[0], factors[1], factors[2], factors[3]};
                /* In float: what it rounds is thousands of times less than the tolerance takes away. */
                four_floats due = (float)total * tolerance[i] / __builtin_convertvector(fair[i], four_floats);
                won[i] = bounded((won[i] + rows_a_value) * (factor * due));
                fair[i] += (four_doubles){factors[0], factors[1], factors[2], factors[3]};
            }
        }
        detector->total = total;
        for (unsigned i = 0; i < FOURS; i++) memcpy(&detector->fair[4 * i], &fair[i], sizeof fair[i]);
    } else {
        four_floats fair[FOURS];
        for (unsigned i = 0; i < FOURS; i++) fair[i] = narrowed(&detector->fair[4 * i]);
        for (size_t at = 0; at < count; at++) {
            const float *factors = bets->factors[cells[at * step]];
            for (unsigned i = 0; i < FOURS; i++, factors += 4) {
                four_floats factor = {factors[0], factors[1], factors[2], factors[3]};
                won[i] = bounded((won[i] + rows_a_value) * (factor * fair[i]));
            }
        }
    }
    for (unsigned i = 0; i < FOURS; i++) memcpy(&detector->won[4 * i], &won[i], sizeof won[i]);
    detector->mixture = mixture_of(detector->won, bets);
}

/* Values that are hardly of the reference any more. */
ER_INLINE void measure(er_detector *detector, const er_bets *bets, const uint8_t *cells, size_t step, size_t count) {
    detector->measured += (uint32_t)count;
    for (size_t at = 0; at < count; at++) {
        unsigned cell = cells[at * step];
        detector->moved += bets->score[cell];
        detector->squared += bets->square[cell];
        detector->missing += cell == ER_CELL_MISSING;
        detector->outside += cell == ER_CELL_OUTSIDE;
    }
}

ER_INLINE void detect_body(er_detector *detectors, const er_bets *const *bets, const uint32_t *strides, size_t features,
                           const uint8_t *cells, size_t width, uint64_t row, size_t rows, double *sum) {
    *sum = 0;
    for (size_t f = 0; f < features; f++) {
        er_detector *detector = &detectors[f];
        uint32_t stride = strides[f];
        if (!stride) continue;
        size_t first = stride == 1 ? 0 : (size_t)(stride - 1 - row % stride);
        size_t count = stride == 1 ? rows : first < rows ? (rows - first - 1) / stride + 1 : 0;
        if (count) {
            detect_values(detector, bets[f], cells + first * width + f, stride * width, count, (float)stride);
            detector->values += (uint32_t)count;
            if (detector->mixture < NOTHING * (float)stride) detector->began = detector->values;
            if (detector->mixture < HARDLY_NOTHING * (float)stride)
                forget_measured(detector);
            else
                measure(detector, bets[f], cells + first * width + f, stride * width, count);
            if (detector->total > 0) end_learning(detector, bets[f]);
        }
        *sum += (double)detector->mixture;
    }
}

ER_TWICE(detect,
         (er_detector * detectors, const er_bets *const *bets, const uint32_t *strides, size_t features,
          const uint8_t *cells, size_t width, uint64_t row, size_t rows, double *sum),
         (detectors, bets, strides, features, cells, width, row, rows, sum))

double er_detect(er_detector *detectors, const er_bets *const *bets, const uint32_t *strides, size_t features,
                 const uint8_t *cells, size_t width, uint64_t row, size_t rows) {
    double sum;
    detect(detectors, bets, strides, features, cells, width, row, rows, &sum);
    return sum;
}

er_effect er_detector_effect(const er_detector *detector, uint32_t direction) {
    double values = (double)detector->measured, error = 0, size = NAN;
    double present = values - (double)detector->missing - (double)detector->outside;
    double mean = (double)detector->moved / present;
    double variance = fmax((double)detector->squared / present - mean * mean, 0);
    if (direction == ERAI_DRIFT_MISSING || direction == ERAI_DRIFT_OUTSIDE) {
        size = (double)(direction == ERAI_DRIFT_MISSING ? detector->missing : detector->outside) / values;
        error = sqrt(size * (1 - size) / values);
    } else if (direction == ERAI_DRIFT_WIDER || direction == ERAI_DRIFT_NARROWER) {
        size = sqrt(variance);
        error = size / sqrt(2 * present);
    } else if (direction != ERAI_DRIFT_SHARES) {
        size = mean;
        error = sqrt(variance / present);
    }
    if (!isfinite(size) || !isfinite(error)) return (er_effect){NAN, NAN, NAN};
    return (er_effect){size, size - 1.96 * error, size + 1.96 * error};
}

/* A mean that moves far takes nearly all values to the last bin, of which the bet on a wider spread wins the most. They
 * spread less around their own mean than the reference does. */
static int moved_far(const er_detector *detector) {
    double present = (double)detector->measured - (double)detector->missing - (double)detector->outside;
    double mean = (double)detector->moved / present;
    return present > 0 && (double)detector->squared / present - mean * mean < 1;
}

uint32_t er_detector_direction(const er_detector *detector, const er_bets *bets) {
    unsigned most = 0;
    for (unsigned i = 1; i < ER_BETS; i++)
        if (bets->weights[i] * detector->won[i] > bets->weights[most] * detector->won[most]) most = i;
    if (bets->direction[most] == ERAI_DRIFT_WIDER && moved_far(detector))
        return detector->moved > 0 ? ERAI_DRIFT_MEAN_UP : ERAI_DRIFT_MEAN_DOWN;
    return bets->direction[most];
}
