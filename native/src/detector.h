/* Change detectors: a few bets that a feature's values have left its reference, and what they have won since. The
 * statistics and their proofs are in docs/adr/0014-drift.md. */
#ifndef ER_DETECTOR_H
#define ER_DETECTOR_H

#include "edge_rai.h"

#define ER_BETS 8u /* as many floats as a wide register holds */

/* A value's cell is its bin, or one of two: missing or not finite, or outside its range. */
#define ER_CELL_MISSING ERAI_MAX_BINS
#define ER_CELL_OUTSIDE (ERAI_MAX_BINS + 1u)
#define ER_CELLS (ERAI_MAX_BINS + 2u)

/* The bets on features whose references have the same counts. A stake is multiplied by the factor of the cell that a
 * value comes to lie in, times what makes the mean of that at most 1 while nothing has changed. */
typedef struct er_bets {
    float factors[ER_CELLS][ER_BETS];
    float weights[ER_BETS];    /* in the mixture; their sum is 1 */
    double tolerance[ER_BETS]; /* 1 / (1 + effect * standard deviation of the factors / their mean) */
    double expected[ER_BETS];  /* sum over the reference of the factors */
    double total;              /* values of the reference, and 3 for what it has not seen */
    double enough;             /* learning ends when reference and stream have so many together */
    uint32_t direction[ER_BETS];
    float score[ER_CELLS], square[ER_CELLS]; /* mean of the normal score of a cell's values, and of its square; of a
                                              * loss, that */
} er_bets;

/* The state of one feature. */
typedef struct er_detector {
    float won[ER_BETS];   /* Shiryaev-Roberts statistics */
    double fair[ER_BETS]; /* while learning: the sum of the factors over reference and stream; then total * tolerance
                           * over that. In float32 the last place of such a sum would err the same way every row */
    double total;         /* while learning: values of both; then 0 */
    float mixture;        /* weighted mean of what was won */
    uint32_t values;      /* seen, modulo 2^32 */
    uint32_t began;       /* of these, up to which nothing pointed to a change */
    uint32_t measured;    /* of these, looked at since so much pointed to a change that there is hardly none */
    float moved, squared; /* of their scores, and of squares, the sums */
    uint32_t missing, outside;
} er_detector;

/* How large a change is, from the values that were measured, with the ends of a 95 % interval that takes these for
 * independent. Of a mean: by so many standard deviations, or to so great a mean loss. Of a spread: so many times as
 * wide. Of missing values, and those out of range: their share now. NaN of shares of categories, and of no values. */
typedef struct er_effect {
    double size, low, high;
} er_effect;

/* What a feature is compared with. */
typedef struct er_basis {
    const uint64_t *counts;
    uint32_t bins;
    uint64_t missing; /* values out of range have a cell of their own only where there are none here */
    int ordered;      /* bins are of rising values; otherwise they are categories */
    uint32_t stride;  /* so many values tell as much as one that is independent of the others */
} er_basis;

/* `features`: that are watched; the tolerance holds for all of them together. */
void er_bets_make(er_bets *bets, const er_basis *basis, double effect, size_t features);

/* On a mean of losses that exceeds `bound`: the loss of bin i is i / (bins - 1), and what is missing is none. */
void er_bets_on_loss(er_bets *bets, uint32_t bins, double bound);

/* As at the beginning: nothing won, and nothing learned, for what was learned last may be what raised an alarm. */
void er_detector_reset(er_detector *detector, const er_bets *bets);

/* Rows of one cell a feature, `width` cells apart. A feature looks at the last of every so many as its stride says, the
 * first here having the number `row`; not at all where that is 0. Returns the sum of all mixtures. */
double er_detect(er_detector *detectors, const er_bets *const *bets, const uint32_t *strides, size_t features,
                 const uint8_t *cells, size_t width, uint64_t row, size_t rows);

/* The weighted mean of what was won. */
float er_detector_mixture(const float won[ER_BETS], const er_bets *bets);

/* In the direction that most of the evidence is for. */
er_effect er_detector_effect(const er_detector *detector, uint32_t direction);

/* What most of the evidence is for. */
uint32_t er_detector_direction(const er_detector *detector, const er_bets *bets);

#endif
