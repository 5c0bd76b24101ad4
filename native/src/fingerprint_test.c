/* Fingerprints differ where the blocks do. SPDX-License-Identifier: Apache-2.0 */
#include "fingerprint.h"

#include <stdlib.h>

#include "er_test.h"

static uint64_t of(const void *bytes, size_t size) {
    er_fingerprint fingerprint;
    er_fingerprint_begin(&fingerprint);
    er_fingerprint_add(&fingerprint, bytes, size);
    return er_fingerprint_end(&fingerprint);
}

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* How many of `count` neighbours are the same when sorted. */
static size_t repeated(uint64_t *prints, size_t count) {
    size_t same = 0;
    qsort(prints, count, sizeof *prints, by_value);
    for (size_t i = 1; i < count; i++) same += prints[i] == prints[i - 1];
    return same;
}

/* All blocks of a length with one or two bits set: what a weak mixing cancels. */
static void blocks_of_two_bits_all_differ(void) {
    enum { SIZE = 75, BITS = 8 * SIZE };
    uint64_t *prints = malloc(sizeof *prints * BITS * (BITS + 1) / 2);
    size_t count = 0;
    if (!prints) abort();
    for (size_t i = 0; i < BITS; i++)
        for (size_t j = i; j < BITS; j++) {
            unsigned char bytes[SIZE] = {0};
            bytes[i / 8] |= (unsigned char)(1 << i % 8);
            bytes[j / 8] |= (unsigned char)(1 << j % 8);
            prints[count++] = of(bytes, SIZE);
        }
    ER_CHECK_INT(count, BITS * (BITS + 1) / 2);
    ER_CHECK_INT(repeated(prints, count), 0);
    free(prints);
}

static void zeros_of_every_length_differ(void) {
    static const unsigned char zeros[1000];
    uint64_t prints[1001];
    for (size_t size = 0; size <= 1000; size++) prints[size] = of(zeros, size);
    ER_CHECK_INT(repeated(prints, 1001), 0);
}

static void half_the_bits_change_with_any_one(void) {
    unsigned char bytes[96] = {0};
    uint64_t before = of(bytes, sizeof bytes);
    size_t changed = 0;
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        for (uint64_t other = of(bytes, sizeof bytes) ^ before; other; other &= other - 1) changed++;
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    size_t half = 8 * sizeof bytes * 32; /* of 49152 bits: standard deviation 111 */
    ER_CHECK(changed > half - 600 && changed < half + 600);
}

static void where_one_block_ends_matters(void) {
    er_fingerprint one, other;
    er_fingerprint_begin(&one);
    er_fingerprint_begin(&other);
    er_fingerprint_add(&one, "ab", 2);
    er_fingerprint_add(&one, "c", 1);
    er_fingerprint_add(&other, "a", 1);
    er_fingerprint_add(&other, "bc", 2);
    ER_CHECK(er_fingerprint_end(&one) != er_fingerprint_end(&other));
    er_fingerprint_add(&one, NULL, 0);
    er_fingerprint_begin(&other);
    er_fingerprint_add(&other, "ab", 2);
    er_fingerprint_add(&other, "c", 1);
    ER_CHECK(er_fingerprint_end(&one) != er_fingerprint_end(&other));
    er_fingerprint_add(&other, NULL, 0);
    ER_CHECK(er_fingerprint_end(&one) == er_fingerprint_end(&other));
}

int main(void) {
    ER_RUN(blocks_of_two_bits_all_differ);
    ER_RUN(zeros_of_every_length_differ);
    ER_RUN(half_the_bits_change_with_any_one);
    ER_RUN(where_one_block_ends_matters);
    return er_test_result();
}
