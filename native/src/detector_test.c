/* Change detectors: false alarms come as seldom as they are said to, changes are found, and how rows are cut into
 * blocks makes no difference. SPDX-License-Identifier: Apache-2.0 */
#include "detector.h"

#include <math.h>
#include <stdlib.h>

#include "er_test.h"

/* ---- Numbers at random: xoshiro256** and normal ones by Box and Muller ---- */

static uint64_t state[4];

static uint64_t rotated(uint64_t x, int by) {
    return (x << by) | (x >> (64 - by));
}

static uint64_t next_bits(void) {
    uint64_t result = rotated(state[1] * 5, 7) * 9, t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotated(state[3], 45);
    return result;
}

static void seed(uint64_t value) {
    for (int i = 0; i < 4; i++) state[i] = (value + 1) * 0x9e3779b97f4a7c15u * (uint64_t)(i + 1) ^ 0x1234567u;
    for (int i = 0; i < 16; i++) next_bits();
}

static double uniform(void) {
    return ((double)(next_bits() >> 11) + 0.5) * 0x1p-53;
}

static double normal(void) {
    double radius = sqrt(-2 * log(uniform()));
    return radius * cos(6.283185307179586 * uniform());
}

static double chi_square(int degrees) {
    double sum = 0;
    for (int i = 0; i < degrees; i++) sum += pow(normal(), 2);
    return sum;
}

static double student(void) {
    return normal() / sqrt(chi_square(3) / 3);
}

static double log_normal(void) {
    return exp(normal());
}

static double of_seven(void) {
    return floor(7 * uniform());
}

static double seldom(void) {
    return uniform() < 0.07;
}

typedef double law(void);

/* ---- A feature with a reference of its own ---- */

#define BINS 32u

typedef struct watched {
    double edges[BINS];
    uint32_t bins;
    uint64_t counts[BINS];
    er_basis basis;
    er_bets bets;
    er_detector detector;
} watched;

static int rising(const void *left, const void *right) {
    double one = *(const double *)left, other = *(const double *)right;
    return (one > other) - (one < other);
}

static uint8_t cell_of(const watched *feature, double value) {
    uint8_t cell = 0;
    for (uint32_t i = 0; i + 1 < feature->bins; i++) cell = (uint8_t)(cell + (value > feature->edges[i]));
    return cell;
}

static void learn(watched *feature, law *draw, size_t rows, double effect) {
    double *values = malloc(rows * sizeof *values);
    if (!values) abort();
    for (size_t i = 0; i < rows; i++) values[i] = draw();
    qsort(values, rows, sizeof *values, rising);
    *feature = (watched){.bins = 1};
    for (size_t i = 1; i < BINS; i++) { /* as many in each bin as ties allow */
        double edge = values[i * rows / BINS];
        if (edge < values[rows - 1] && (feature->bins == 1 || edge > feature->edges[feature->bins - 2]))
            feature->edges[feature->bins++ - 1] = edge;
    }
    for (size_t i = 0; i < rows; i++) feature->counts[cell_of(feature, values[i])]++;
    free(values);
    feature->basis = (er_basis){.counts = feature->counts, .bins = feature->bins, .ordered = 1, .stride = 1};
    er_bets_make(&feature->bets, &feature->basis, effect, 1);
    er_detector_reset(&feature->detector, &feature->bets);
}

static double detect(watched *feature, const uint8_t *cells, size_t rows) {
    const er_bets *bets = &feature->bets;
    const uint32_t stride = 1;
    return er_detect(&feature->detector, &bets, &stride, 1, cells, 1, 0, rows);
}

/* Rows until the evidence reaches `level`, at most `rows`; then rows + 1. From row `change` on values are changed. */
static size_t rows_to_alarm(watched *feature, law *draw, double level, size_t rows, size_t change, double shift,
                            double scale) {
    for (size_t row = 1; row <= rows; row++) {
        double value = draw();
        uint8_t cell = cell_of(feature, row > change ? shift + scale * value : value);
        if (detect(feature, &cell, 1) >= level) return row;
    }
    return rows + 1;
}

/* ---- What holds ---- */

static void no_bet_gains_on_average_while_nothing_has_changed(void) {
    seed(1);
    watched feature;
    law *const laws[] = {normal, student, log_normal, of_seven, seldom};
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        learn(&feature, laws[i], 1000, 0.01);
        const er_bets *bets = &feature.bets;
        for (unsigned bet = 0; bet < ER_BETS; bet++) {
            double mean = (double)(bets->factors[ER_CELL_MISSING][bet] + bets->factors[ER_CELL_OUTSIDE][bet]);
            for (uint32_t bin = 0; bin < feature.bins; bin++)
                mean += ((double)feature.counts[bin] + (bin + 1 == feature.bins)) * (double)bets->factors[bin][bet];
            double gain = mean / bets->expected[bet] * bets->tolerance[bet];
            ER_CHECK(gain <= 1 && gain > 0.9);
        }
        double weights = 0;
        for (unsigned bet = 0; bet < ER_BETS; bet++) weights += (double)bets->weights[bet];
        ER_CHECK(fabs(weights - 1) < 1e-6);
    }
}

/* P(alarm in T rows) <= T / average run length, and two standard errors of what is counted. */
static void false_alarms_are_within_the_stated_run_length(void) {
    enum { RUNS = 300, ROWS = 10000 };
    const double level = 50000, bound = ROWS / level, most = RUNS * (bound + 2 * sqrt(bound * (1 - bound) / RUNS));
    law *const laws[] = {normal, student, log_normal, of_seven, seldom};
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        int alarms = 0;
        for (uint64_t run = 0; run < RUNS; run++) {
            seed(1000 * i + run);
            watched feature;
            learn(&feature, laws[i], 1000, 0.01);
            alarms += rows_to_alarm(&feature, laws[i], level, ROWS, ROWS, 0, 1) <= ROWS;
        }
        if (alarms > most) ER_FAILED("law %zu: %d false alarms in %d runs, at most %g", i, alarms, RUNS, most);
    }
}

static size_t median_delay(double shift, double scale, int *missed) {
    enum { RUNS = 101, CHANGE = 1000, LONGEST = 4000 };
    double delays[RUNS];
    for (uint64_t run = 0; run < RUNS; run++) {
        seed(50000 + run);
        watched feature;
        learn(&feature, normal, 5000, 0.01);
        size_t row = rows_to_alarm(&feature, normal, 120000, CHANGE + LONGEST, CHANGE, shift, scale);
        *missed += row > CHANGE + LONGEST;
        delays[run] = row > CHANGE ? (double)(row - CHANGE) : 0;
    }
    qsort(delays, RUNS, sizeof *delays, rising);
    return (size_t)delays[RUNS / 2];
}

/* At a level with false alarms in at most 8 % of 20,000 rows, see above. */
static void changes_of_mean_and_spread_are_found_in_time(void) {
    int missed = 0;
    ER_CHECK(median_delay(0.25, 1, &missed) <= 300);
    ER_CHECK(median_delay(0.5, 1, &missed) <= 80);
    ER_CHECK(median_delay(-0.5, 1, &missed) <= 80);
    ER_CHECK(median_delay(1, 1, &missed) <= 35);
    ER_CHECK(median_delay(0, 1.5, &missed) <= 100);
    ER_CHECK(median_delay(0, 0.5, &missed) <= 100);
    ER_CHECK_INT(missed, 0);
}

static void what_has_changed_and_since_when_is_told(void) {
    enum { CHANGE = 3000 };
    const struct {
        double shift, scale;
        erai_direction direction;
    } changes[] = {{0.6, 1, ERAI_DRIFT_MEAN_UP},  {-0.6, 1, ERAI_DRIFT_MEAN_DOWN},
                   {3, 1, ERAI_DRIFT_MEAN_UP}, /* nearly all of them in the last bin, as wider values would be */
                   {-5, 1, ERAI_DRIFT_MEAN_DOWN}, {0, 1.7, ERAI_DRIFT_WIDER},
                   {0, 10, ERAI_DRIFT_WIDER},     {0, 0.4, ERAI_DRIFT_NARROWER}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        seed(7 + i);
        watched feature;
        learn(&feature, normal, 5000, 0.01);
        size_t row = rows_to_alarm(&feature, normal, 1e6, 2 * CHANGE, CHANGE, changes[i].shift, changes[i].scale);
        ER_CHECK(row > CHANGE && row <= 2 * CHANGE);
        ER_CHECK_INT(er_detector_direction(&feature.detector, &feature.bets), changes[i].direction);
        ER_CHECK(fabs((double)feature.detector.began - CHANGE) < 60);
    }
}

static void values_that_are_missing_or_outside_are_found(void) {
    const uint8_t cells[] = {ER_CELL_MISSING, ER_CELL_OUTSIDE};
    const erai_direction directions[] = {ERAI_DRIFT_MISSING, ERAI_DRIFT_OUTSIDE};
    for (int i = 0; i < 2; i++) {
        seed(11);
        watched feature;
        learn(&feature, normal, 5000, 0.01);
        size_t row = 0;
        for (double won = 0; won < 1e6 && row < 2000; row++) {
            uint8_t cell = cell_of(&feature, normal());
            if (row >= 500 && row % 20 == 0) cell = cells[i];
            won = detect(&feature, &cell, 1);
        }
        ER_CHECK(row > 500 && row < 800);
        ER_CHECK_INT(er_detector_direction(&feature.detector, &feature.bets), directions[i]);
    }
}

/* Two categories, between which no order is, change places. */
static void a_swap_of_categories_is_found(void) {
    enum { CATEGORIES = 8, ROWS = 4000 };
    uint64_t counts[CATEGORIES];
    for (uint64_t i = 0; i < CATEGORIES; i++) counts[i] = 100 * (i + 1); /* 3 % to 22 % */
    for (uint8_t one = 0; one < CATEGORIES; one++)
        for (uint8_t other = one; other < CATEGORIES; other++) {
            if (one != other && other < one + 6) continue; /* small changes take long, none is none */
            watched feature = {.bins = CATEGORIES};
            er_basis basis = {.counts = counts, .bins = CATEGORIES, .stride = 1};
            er_bets_make(&feature.bets, &basis, 0.01, 1);
            er_detector_reset(&feature.detector, &feature.bets);
            seed(one + 100u * other);
            double won = 0;
            for (size_t row = 0; row < ROWS; row++) {
                uint64_t at = next_bits() % 3600;
                uint8_t cell = 0;
                for (uint64_t sum = counts[0]; sum <= at; sum += counts[cell]) cell++;
                cell = cell == one ? other : cell == other ? one : cell;
                won = detect(&feature, &cell, 1);
            }
            ER_CHECK((won > 1e6) == (one != other));
            if (won > 1e6) ER_CHECK_INT(er_detector_direction(&feature.detector, &feature.bets), ERAI_DRIFT_SHARES);
        }
}

static void blocks_of_any_size_and_strides_leave_the_same_state(void) {
    enum { FEATURES = 5, WIDTH = 8, ROWS = 999 };
    static watched made[FEATURES];
    er_detector one[FEATURES], blocks[FEATURES];
    const er_bets *bets[FEATURES];
    const uint32_t strides[FEATURES] = {1, 3, 0, 7, 1};
    uint8_t cells[ROWS][WIDTH];
    seed(3);
    for (size_t f = 0; f < FEATURES; f++) {
        learn(&made[f], normal, 500 + 40000 * (f == 4), 0.02);
        bets[f] = &made[f].bets;
        one[f] = blocks[f] = made[f].detector;
    }
    for (size_t row = 0; row < ROWS; row++)
        for (size_t f = 0; f < WIDTH; f++) cells[row][f] = (uint8_t)(next_bits() % ER_CELLS);
    for (size_t row = 0; row < ROWS; row++) er_detect(one, bets, strides, FEATURES, cells[row], WIDTH, row, 1);
    for (size_t row = 0, some; row < ROWS; row += some) {
        some = 1 + (size_t)(next_bits() % 20);
        if (some > ROWS - row) some = ROWS - row;
        er_detect(blocks, bets, strides, FEATURES, cells[row], WIDTH, row, some);
    }
    const uint32_t values[FEATURES] = {999, 333, 0, 142, 999};
    for (size_t f = 0; f < FEATURES; f++) {
        ER_CHECK(memcmp(one[f].won, blocks[f].won, sizeof one[f].won) == 0);
        ER_CHECK(memcmp(one[f].fair, blocks[f].fair, sizeof one[f].fair) == 0);
        ER_CHECK_INT(blocks[f].values, values[f]);
    }
    ER_CHECK(one[0].total > 0);  /* still learning, */
    ER_CHECK(one[4].total == 0); /* from the beginning no more */
}

static void learning_ends_when_the_tolerance_covers_what_is_unknown(void) {
    seed(5);
    watched feature;
    learn(&feature, normal, 1000, 0.05); /* enough: (2.5 / 0.05)^2 = 2500 */
    size_t rows = 0;
    for (; feature.detector.total > 0 && rows < 5000; rows++) {
        uint8_t cell = cell_of(&feature, normal());
        detect(&feature, &cell, 1);
    }
    ER_CHECK(rows >= 1490 && rows <= 1500);
    er_detector_reset(&feature.detector, &feature.bets);
    ER_CHECK(feature.detector.total == feature.bets.total && feature.detector.mixture == 0);
    ER_CHECK(feature.detector.fair[0] == feature.bets.expected[0] && feature.detector.won[0] == 0);
    er_bets of_many;
    er_bets_make(&of_many, &feature.basis, 0.05, 30); /* for all of which the tolerance then holds */
    ER_CHECK(of_many.enough > 1.9 * feature.bets.enough);
}

/* Rare values, a reference that lacks some, and streams far longer than the reference: what is added up must not err
 * the same way row after row, and what has been learned must do for the rest. */
static void false_alarms_of_long_streams_are_within_the_stated_run_length(void) {
    enum { RUNS = 40, ROWS = 60000 };
    static const struct {
        double share, missing, effect;
        size_t rows;
    } kinds[] = {{0.001, 0, 0.01, 1000}, {0.002, 0, 0.01, 2000}, {0.3, 0.1, 0.05, 5000}, {0.5, 0.01, 0.05, 20000}};
    const double level = 1e6, bound = ROWS / level, most = RUNS * (bound + 2 * sqrt(bound * (1 - bound) / RUNS));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int alarms = 0;
        for (uint64_t run = 0; run < RUNS; run++) {
            seed(777 * i + run);
            uint64_t counts[2] = {0}, missing = 0;
            for (size_t row = 0; row < kinds[i].rows; row++)
                if (uniform() < kinds[i].missing)
                    missing++;
                else
                    counts[uniform() < kinds[i].share]++;
            if (!counts[1]) continue;
            watched feature = {.bins = 2};
            er_basis basis = {.counts = counts, .bins = 2, .missing = missing, .ordered = 1, .stride = 1};
            er_bets_make(&feature.bets, &basis, kinds[i].effect, 1);
            er_detector_reset(&feature.detector, &feature.bets);
            double won = 0;
            for (size_t row = 0; won < level && row < ROWS; row++) {
                uint8_t cell = uniform() < kinds[i].missing ? (uint8_t)ER_CELL_MISSING : uniform() < kinds[i].share;
                won = detect(&feature, &cell, 1);
            }
            alarms += won >= level;
        }
        if (alarms > most) ER_FAILED("kind %zu: %d false alarms in %d runs, at most %g", i, alarms, RUNS, most);
    }
}

static void evidence_has_a_greatest_value(void) {
    seed(9);
    watched feature;
    learn(&feature, normal, 5000, 0.05);
    double won = 0;
    for (int row = 0; row < 100000; row++) {
        uint8_t cell = row % 2 ? ER_CELL_MISSING : 31;
        won = detect(&feature, &cell, 1);
    }
    ER_CHECK(isfinite(won) && won > 1e20);
}

/* A detector past `quiet` values like the reference of 32 bins and then `changed` of the law N(mean, spread). */
static er_detector after_change(const er_bets *bets, size_t quiet, size_t changed, double mean, double spread) {
    er_detector detector;
    memset(&detector, 0, sizeof detector);
    er_detector_reset(&detector, bets);
    const uint32_t stride = 1;
    const er_bets *of[] = {bets};
    for (size_t i = 0; i < quiet + changed; i++) {
        double u = normal();
        double z = i < quiet ? u : mean + spread * u;
        uint8_t cell = (uint8_t)fmin(floor(32 * 0.5 * erfc(-z * 0.70710678118654752)), 31);
        er_detect(&detector, of, &stride, 1, &cell, 1, i, 1);
    }
    return detector;
}

static void effects_are_measured_from_where_the_change_began(void) {
    uint64_t counts[32];
    for (size_t i = 0; i < 32; i++) counts[i] = 1000;
    er_basis basis = {.counts = counts, .bins = 32, .ordered = 1, .stride = 1};
    er_bets bets;
    er_bets_make(&bets, &basis, 0.01, 1);
    er_detector moved = after_change(&bets, 2000, 400, 1.0, 1.0);
    er_effect effect = er_detector_effect(&moved, er_detector_direction(&moved, &bets));
    ER_CHECK_INT(er_detector_direction(&moved, &bets), ERAI_DRIFT_MEAN_UP);
    ER_CHECK(effect.low < 1.0 && 1.0 < effect.high && effect.high - effect.low < 0.3);
    er_detector wider = after_change(&bets, 2000, 600, 0.0, 1.5);
    effect = er_detector_effect(&wider, ERAI_DRIFT_WIDER);
    ER_CHECK(effect.low > 1.2 && effect.high < 1.7); /* beyond the outermost bins nothing is told apart */
    er_detector quiet = after_change(&bets, 1, 0, 0, 1);
    ER_CHECK(isnan(er_detector_effect(&quiet, ERAI_DRIFT_MEAN_UP).size));
    ER_CHECK(isnan(er_detector_effect(&moved, ERAI_DRIFT_SHARES).size));
}

int main(void) {
    ER_RUN(no_bet_gains_on_average_while_nothing_has_changed);
    ER_RUN(false_alarms_are_within_the_stated_run_length);
    ER_RUN(changes_of_mean_and_spread_are_found_in_time);
    ER_RUN(what_has_changed_and_since_when_is_told);
    ER_RUN(values_that_are_missing_or_outside_are_found);
    ER_RUN(a_swap_of_categories_is_found);
    ER_RUN(blocks_of_any_size_and_strides_leave_the_same_state);
    ER_RUN(learning_ends_when_the_tolerance_covers_what_is_unknown);
    ER_RUN(false_alarms_of_long_streams_are_within_the_stated_run_length);
    ER_RUN(evidence_has_a_greatest_value);
    ER_RUN(effects_are_measured_from_where_the_change_began);
    return er_test_result();
}
