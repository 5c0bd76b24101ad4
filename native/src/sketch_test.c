/* Latency slots against whole-number arithmetic, bins against counting, standardizing against nearbyint.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sketch.h"

#include <math.h>

#include "er_test.h"

static uint64_t random_state = 88172645463325252u;

/* Marsaglia's xorshift64: the same numbers everywhere. */
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* The smallest i with ns <= 2^(i/8), that is ns^8 <= 2^i, from all bits of ns^8. */
static unsigned exact_slot(uint64_t ns) {
    uint32_t power[16] = {1};
    for (int times = 0; times < 8; times++) { /* power *= ns, in base 2^32 */
        uint32_t product[16] = {0};
        for (int half = 0; half < 2; half++) {
            uint64_t carry = 0, factor = half ? ns >> 32 : ns & UINT32_MAX;
            for (int i = half; i < 16; i++) {
                uint64_t sum = product[i] + factor * power[i - half] + carry;
                product[i] = (uint32_t)sum;
                carry = sum >> 32;
            }
        }
        memcpy(power, product, sizeof power);
    }
    unsigned bits = 0, ones = 0;
    for (unsigned i = 0; i < 512; i++)
        if (power[i / 32] >> (i % 32) & 1) {
            bits = i;
            ones++;
        }
    return bits + (ones > 1);
}

static void check_slot(uint64_t ns) {
    unsigned expected = ns <= 1 ? 0 : exact_slot(ns);
    if (expected > ER_LATENCY_SLOTS - 1) expected = ER_LATENCY_SLOTS - 1;
    ER_CHECK_INT(er_latency_slot(ns), expected);
}

static void latency_slots_are_exact_around_every_power_of_two(void) {
    ER_CHECK_INT(exact_slot(2), 8);
    ER_CHECK_INT(exact_slot(3), 13);
    check_slot(0);
    for (int power = 0; power < 63; power++)
        for (int offset = -1; offset <= 1; offset++) check_slot(((uint64_t)1 << power) + (uint64_t)offset);
    check_slot(UINT64_MAX);
}

static void latency_slots_are_exact_at_every_bound(void) {
    for (unsigned slot = 1; slot < ER_LATENCY_SLOTS; slot++) {
        uint64_t bound = (uint64_t)exp2l(slot / 8.0L);
        for (uint64_t ns = bound > 3 ? bound - 3 : 0; ns <= bound + 3; ns++) check_slot(ns);
    }
}

static void latency_slots_are_exact_for_random_durations(void) {
    for (int i = 0; i < 20000; i++) check_slot(next_random() >> (next_random() % 63));
}

static void check_bins(const float (*edges)[ER_FLOATS], const double (*wide_edges)[ER_DOUBLES], float value,
                       size_t rows, unsigned least) {
    float values[ER_TOGETHER][ER_FLOATS];
    double wide_values[ER_TOGETHER][ER_DOUBLES];
    er_narrow_bins bins[ER_TOGETHER];
    er_wide_bins wide_bins[ER_TOGETHER];
    for (size_t row = 0; row < rows; row++) {
        for (unsigned lane = 0; lane < ER_FLOATS; lane++)
            values[row][lane] = value + (float)(lane % 3) + 5.25f * (float)row;
        for (unsigned lane = 0; lane < ER_DOUBLES; lane++) wide_values[row][lane] = (double)values[row][lane];
    }
    er_place_narrow(edges, *values, ER_FLOATS, rows, bins);
    er_place_wide(wide_edges, *wide_values, ER_DOUBLES, rows, wide_bins);
    for (size_t row = 0; row < rows; row++)
        for (unsigned lane = 0; lane < ER_FLOATS; lane++) {
            unsigned below = 0;
            for (unsigned i = 0; i < least + lane; i++) below += edges[i][lane] < values[row][lane];
            ER_CHECK_INT(bins[row][lane], below);
            if (lane < ER_DOUBLES) ER_CHECK_INT(wide_bins[row][lane], below);
        }
}

static void bins_count_the_edges_below(void) {
    float edges[ERAI_MAX_BINS][ER_FLOATS];
    double wide_edges[ERAI_MAX_BINS][ER_DOUBLES];
    for (unsigned least = 0; least + ER_FLOATS <= ERAI_MAX_BINS;
         least++) { /* edges of each lane in use: least + lane */
        for (unsigned i = 0; i < ERAI_MAX_BINS; i++) {
            for (unsigned lane = 0; lane < ER_FLOATS; lane++)
                edges[i][lane] = i < least + lane ? (float)i - 7.5f + (float)lane : INFINITY;
            for (unsigned lane = 0; lane < ER_DOUBLES; lane++) wide_edges[i][lane] = (double)edges[i][lane];
        }
        for (float value = -10.0f; value < 35.0f; value += 0.25f) {
            check_bins((const float (*)[ER_FLOATS])edges, (const double (*)[ER_DOUBLES])wide_edges, value, 1, least);
            check_bins((const float (*)[ER_FLOATS])edges, (const double (*)[ER_DOUBLES])wide_edges, value, ER_TOGETHER,
                       least);
        }
    }
}

static float random_float(void) {
    uint32_t bits = (uint32_t)next_random();
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void standardizing_rounds_half_to_even_and_clips(void) {
    ER_CHECK_INT(er_standardize(0.5f, 0.0f, 1.0f), 0);
    ER_CHECK_INT(er_standardize(1.5f, 0.0f, 1.0f), 2);
    ER_CHECK_INT(er_standardize(-2.5f, 0.0f, 1.0f), -2);
    ER_CHECK_INT(er_standardize(INFINITY, 0.0f, 1.0f), 2048);
    ER_CHECK_INT(er_standardize(-1e30f, 0.0f, 1.0f), -2048);
    ER_CHECK_INT(er_standardize(7.0f, 0.0f, 0.0f), 0);
    for (int i = 0; i < 200000; i++) {
        float value = random_float(), mean = random_float(), scale = fabsf(random_float());
        int32_t z = er_standardize(value, mean, scale);
        ER_CHECK(z >= -2048 && z <= 2048);
        float exact = (value - mean) * scale;
        if (isnan(exact)) continue;
        ER_CHECK_INT(z, nearbyintf(fmaxf(-2048.0f, fminf(2048.0f, exact))));
    }
}

static void psi_is_zero_without_change_or_data(void) {
    const uint64_t counts[] = {5, 0, 7, 1000}, twice[] = {10, 0, 14, 2000}, none[4] = {0}, moved[] = {1000, 7, 0, 5};
    ER_CHECK(erai_psi(counts, counts, 4) == 0.0);
    ER_CHECK(erai_psi(counts, none, 4) == 0.0 && erai_psi(none, counts, 4) == 0.0);
    ER_CHECK(erai_psi(counts, twice, 4) < 1e-3);
    ER_CHECK(erai_psi(counts, moved, 4) > 5.0 && isfinite(erai_psi(counts, moved, 4)));
    ER_CHECK(fabs(erai_psi(counts, moved, 4) - erai_psi(moved, counts, 4)) < 1e-12);
    ER_CHECK(erai_psi(counts, moved, 0) == 0.0);
}

int main(void) {
    ER_RUN(latency_slots_are_exact_around_every_power_of_two);
    ER_RUN(latency_slots_are_exact_at_every_bound);
    ER_RUN(latency_slots_are_exact_for_random_durations);
    ER_RUN(bins_count_the_edges_below);
    ER_RUN(standardizing_rounds_half_to_even_and_clips);
    ER_RUN(psi_is_zero_without_change_or_data);
    return er_test_result();
}
