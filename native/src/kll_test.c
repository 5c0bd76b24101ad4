/* Sketches of quantiles: bytes that Apache DataSketches wrote, bytes that nobody should have written, merges, ranks
 * against counting. SPDX-License-Identifier: Apache-2.0 */
#include "test_allocations.h"

#include "kll.h"

#include <math.h>

#include "crc32.h"
#include "er_test.h"

#define MOST_BYTES 16384u

static uint64_t random_state = 88172645463325252u;

/* Marsaglia's xorshift64: the same numbers everywhere. */
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* ---- Bytes of others ----
 * By datasketches 5.2.0 of Python:  s = kll_floats_sketch(k); [s.update(v) for v in ...]; s.serialize().hex() */

static const char EMPTY[] = "02010f0108000800";                                  /* k 8 */
static const char SINGLE[] = "02020f04c80008000000c03f";                         /* k 200: 1.5 */
static const char THREE[] = "05010f00c80008000300000000000000c8000100c5000000"   /* k 200: 3, -1, 2.5 */
                            "000080bf0000404000002040000080bf00004040";          /* */
static const char THREE_SORTED[] = "05010f02c80008000300000000000000c8000100c50" /* the same after get_quantile */
                                   "00000000080bf00004040000080bf0000204000004040";
static const char HUNDRED[] = /* k 8: 1 to 100; beginnings of levels at 20, least and greatest at 36, values at 44 */
    "05010f0008000800640000000000000008000400050000000f000000100000001a0000000000803f0000c8420000c8420000c6420000c442"
    "0000c2420000c0420000be420000bc420000ba420000b8420000b6420000484200005042000060420000704200007c420000864200008e42"
    "0000964200009e420000a8420000b0420000e040000070410000c041000000420000204200004042";
static const char MERGED[] = /* k 16: 0 to 99; merged into it one with k 8: 0 to 39 */
    "05010f00100008008c00000000000000080004000d000000130000001c0000001d000000000000000000c6420000184200001c420000c642"
    "0000c4420000c2420000c0420000a8410000b8410000c8410000d8410000e8410000f8410000044200000c42000014420000000000008"
    "03f0000a0400000104100005041000088410000c0410000004200002042000040420000604200008042000096420000a6420000b642";

static size_t bytes_of(const char *hex, uint8_t *bytes) {
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned value;
        sscanf(hex + 2 * i, "%2x", &value);
        bytes[i] = (uint8_t)value;
    }
    return size;
}

static erai_quantiles *opened(uint32_t k, uint64_t seed) {
    erai_quantiles *sketch = NULL;
    ER_CHECK_INT(erai_quantiles_open(k, seed, &sketch, NULL), ERAI_OK);
    return sketch;
}

static erai_quantiles *opened_bytes(const uint8_t *bytes, size_t size) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_quantiles *sketch = NULL;
    ER_CHECK_INT(erai_quantiles_open_bytes(bytes, size, 1, &sketch, detail), ERAI_OK);
    ER_CHECK_STR(detail, "");
    return sketch;
}

static void add(erai_quantiles *sketch, float value) {
    ER_CHECK_INT(erai_quantiles_add(sketch, &value, 1, 1, NULL), ERAI_OK);
}

static erai_quantiles_info info_of(const erai_quantiles *sketch) {
    erai_quantiles_info info;
    erai_quantiles_read(sketch, &info);
    return info;
}

static size_t written(const erai_quantiles *sketch, uint8_t *bytes) {
    size_t size = 0;
    ER_CHECK_INT(erai_quantiles_write(sketch, bytes, MOST_BYTES, &size, NULL), ERAI_OK);
    return size;
}

static void check_bytes(const erai_quantiles *sketch, const char *hex) {
    static uint8_t expected[MOST_BYTES], bytes[MOST_BYTES];
    size_t size = bytes_of(hex, expected), came = written(sketch, bytes);
    ER_CHECK_INT(came, size);
    ER_CHECK(came == size && memcmp(bytes, expected, size) == 0);
}

static void few_values_are_written_as_apache_writes_them(void) {
    erai_quantiles *sketch = opened(8, 1), *single = opened(200, 1), *three = opened(200, 1);
    check_bytes(sketch, EMPTY);
    add(single, 1.5f);
    check_bytes(single, SINGLE);
    for (int i = 0; i < 3; i++) add(three, (const float[]){3, -1, 2.5f}[i]);
    check_bytes(three, THREE);
    erai_quantiles_close(sketch);
    erai_quantiles_close(single);
    erai_quantiles_close(three);
}

static void what_apache_wrote_is_written_as_it_was_read(void) {
    const char *const of_apache[] = {EMPTY, SINGLE, THREE, THREE_SORTED, HUNDRED, MERGED};
    for (size_t i = 0; i < sizeof of_apache / sizeof *of_apache; i++) {
        uint8_t bytes[512];
        erai_quantiles *sketch = opened_bytes(bytes, bytes_of(of_apache[i], bytes));
        check_bytes(sketch, of_apache[i]);
        erai_quantiles_close(sketch);
    }
}

static void what_apache_wrote_is_understood(void) {
    uint8_t bytes[512];
    erai_quantiles *sketch = opened_bytes(bytes, bytes_of(HUNDRED, bytes));
    erai_quantiles_info info = info_of(sketch);
    ER_CHECK_INT(info.n, 100);
    ER_CHECK_INT(info.kept, 27);
    ER_CHECK(info.least == 1 && info.greatest == 100);
    ER_CHECK(fabs(info.rank_error - 0.304) < 0.001); /* as it prints "Epsilon" */
    const float all[] = {0, 100};                    /* of 1 the weight is in 7 now: the least value that is kept */
    double ranks[2];
    ER_CHECK_INT(erai_quantiles_rank(sketch, all, 2, ranks, NULL), ERAI_OK);
    ER_CHECK(ranks[0] == 0 && ranks[1] == 1);
    erai_quantiles_close(sketch);
}

/* ---- Bytes that are none ---- */

static void check_refused(const uint8_t *bytes, size_t size, const char *says) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_quantiles *sketch = NULL;
    uint8_t *copy = malloc(size ? size : 1); /* ends where they end */
    if (!copy) return;
    memcpy(copy, bytes, size);
    ER_CHECK_INT(erai_quantiles_open_bytes(copy, size, 1, &sketch, detail), ERAI_E_BATCH_FORMAT);
    ER_CHECK(sketch == NULL);
    ER_CHECK_CONTAINS(detail, says);
    free(copy);
}

static void check_changed(const char *hex, size_t at, uint32_t value, size_t size, const char *says) {
    uint8_t bytes[512];
    size_t whole = bytes_of(hex, bytes);
    for (size_t i = 0; i < size; i++) bytes[at + i] = (uint8_t)(value >> 8 * i);
    check_refused(bytes, whole, says);
}

static void every_field_is_held_against_the_others(void) {
    check_changed(THREE, 0, 2, 1, "preamble is 2; expected 5");
    check_changed(SINGLE, 0, 5, 1, "preamble is 5; expected 2");
    check_changed(THREE, 1, 2, 1, "version is 2; expected 1");
    check_changed(THREE, 1, 3, 1, "version is 3");
    check_changed(SINGLE, 1, 1, 1, "version is 1; expected 2");
    check_changed(THREE, 2, 20, 1, "family is 20");
    check_changed(THREE, 3, 8, 1, "flags is 8");
    check_changed(EMPTY, 3, 5, 1, "flags is 5");
    check_changed(THREE, 3, 4, 1, "preamble is 5; expected 2");
    check_changed(THREE, 4, 7, 2, "k is 7");
    check_changed(THREE, 6, 9, 1, "m is 9");
    check_changed(THREE, 7, 1, 1, "byte 7 is 1");
    check_changed(THREE, 8, 1, 4, "n is 1; expected 2");
    check_changed(THREE, 8, 4, 4, "n is 4; expected the sum of the weights");
    check_changed(THREE, 8, 2, 4, "n is 2; expected the sum of the weights");
    check_changed(THREE, 12, 1u << 18, 4, "n is 1125899906842627; expected 2 to 2^50 - 1");
    check_changed(THREE, 16, 201, 2, "least k is 201");
    check_changed(THREE, 16, 7, 2, "least k is 7");
    check_changed(THREE, 18, 0, 1, "levels is 0");
    check_changed(THREE, 18, 51, 1, "levels is 51");
    check_changed(THREE, 19, 1, 1, "byte 19 is 1");
    check_changed(HUNDRED, 20, 33, 4, "beginning of a level is 33");
    check_changed(HUNDRED, 24, 4, 4, "level's size is 0");
    check_changed(HUNDRED, 32, 32, 4, "n is 100");
    check_changed(THREE, 24, 0x3f800000, 4, "value is 1; expected one within the range");      /* least: 1 */
    check_changed(THREE, 28, 0x3f800000, 4, "value is 0; expected one within the range");      /* greatest: 1 */
    check_changed(THREE, 32, 0x7fc00000, 4, "value is 0; expected one within the range");      /* NaN */
    check_changed(THREE, 24, 0x7fc00000, 4, "value is 0; expected one within the range");      /* least: NaN */
    check_changed(SINGLE, 8, 0x7fc00000, 4, "value is 0; expected one within the range");      /* NaN */
    check_changed(THREE_SORTED, 32, 0x40400000, 4, "value is 1; expected one not below that"); /* 3 before 2.5 */
    check_changed(HUNDRED, 88, 0x42c80000, 4, "value is 1; expected one not below that"); /* 100 first in level 2 */
}

static void bytes_that_are_too_few_or_too_many_are_refused(void) {
    const char *const whole[] = {EMPTY, SINGLE, THREE, HUNDRED};
    uint8_t bytes[512];
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        size_t size = bytes_of(whole[i], bytes);
        for (size_t cut = 0; cut < size; cut++) check_refused(bytes, cut, "");
        bytes[size] = 0;
        check_refused(bytes, size + 1, "its size is");
    }
}

/* ---- Values ---- */

/* The bytes of a sketch are one: weights add up to n, levels are in order, values are within the range. */
static void check_sound(const erai_quantiles *sketch, uint64_t n) {
    static uint8_t bytes[1 << 20], again[1 << 20];
    size_t size = 0, size_again = 0;
    ER_CHECK_INT(info_of(sketch).n, n);
    ER_CHECK_INT(erai_quantiles_write(sketch, bytes, sizeof bytes, &size, NULL), ERAI_OK);
    erai_quantiles *read = opened_bytes(bytes, size);
    if (!read) return;
    ER_CHECK_INT(info_of(read).n, n);
    ER_CHECK_INT(erai_quantiles_write(read, again, sizeof again, &size_again, NULL), ERAI_OK);
    ER_CHECK(size == size_again && memcmp(bytes, again, size) == 0);
    erai_quantiles_close(read);
}

static void every_count_of_values_is_written_whole(void) {
    const uint32_t ks[] = {8, 9, 100, 200, 257, 1000, 65535};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        erai_quantiles *sketch = opened(ks[i], i);
        for (uint64_t n = 0; n < 3000; n++) {
            if (n < 20 || n % 61 == 0) check_sound(sketch, n);
            add(sketch, (float)(next_random() % 1000));
        }
        for (int more = 0; more < 300; more++) {
            float values[1000];
            for (int v = 0; v < 1000; v++) values[v] = (float)(int64_t)next_random();
            ER_CHECK_INT(erai_quantiles_add(sketch, values, 1000, 1, NULL), ERAI_OK);
        }
        check_sound(sketch, 303000);
        erai_quantiles_close(sketch);
    }
}

/* One far from all others leaves these nothing to be told apart by in the upper half of their bits. */
static void values_are_sorted_whatever_their_bits(void) {
    erai_quantiles *sketch = opened(200, 1);
    for (uint64_t i = 0; i < 5000; i++) add(sketch, i % 64 ? 1 + (float)(next_random() % 4096) / 8388608.0f : 1e30f);
    for (uint64_t i = 0; i < 5000; i++) add(sketch, i % 2 ? -0.0f : 0.0f);
    check_sound(sketch, 10000);
    erai_quantiles_close(sketch);
}

/* Of 0 and -0, which are equal, Apache keeps the one that came first: as least and as greatest value. */
static void of_both_zeros_the_first_one_is_kept(void) {
    for (int negative_first = 0; negative_first < 2; negative_first++)
        for (uint32_t count = 2; count < 5000; count = count * 7 + 1) {
            erai_quantiles *sketch = opened(200, 1);
            erai_quantiles_info info = {.struct_size = sizeof info};
            for (uint32_t i = 0; i < count; i++) add(sketch, (i % 2 == 0) == negative_first ? -0.0f : 0.0f);
            erai_quantiles_read(sketch, &info);
            ER_CHECK(info.least == 0 && !signbit(info.least) == !negative_first);
            ER_CHECK(info.greatest == 0 && !signbit(info.greatest) == !negative_first);
            erai_quantiles_close(sketch);
        }
}

/* The greatest distance of a rank from the true one, over all values; `shape` 0: rising, 1: falling, 2: in no order,
 * 3: most of them the same. */
static double worst_rank(int shape, uint64_t seed) {
    enum { N = 20000 };
    static float values[N], sorted[N];
    static double ranks[N];
    for (int i = 0; i < N; i++) sorted[i] = shape == 3 && i < N / 2 ? 0.0f : (float)i;
    for (int i = 0; i < N; i++) values[i] = shape == 1 ? sorted[N - 1 - i] : sorted[i];
    for (int i = N - 1; shape >= 2 && i > 0; i--) {
        int other = (int)(next_random() % ((uint64_t)i + 1));
        float value = values[i];
        values[i] = values[other];
        values[other] = value;
    }
    erai_quantiles *sketch = opened(200, seed);
    ER_CHECK_INT(erai_quantiles_add(sketch, values, N, 1, NULL), ERAI_OK);
    ER_CHECK_INT(erai_quantiles_rank(sketch, sorted, N, ranks, NULL), ERAI_OK);
    double worst = 0;
    for (int i = 0; i < N; i++) {
        if (i + 1 < N && sorted[i + 1] <= sorted[i]) continue;
        double off = fabs(ranks[i] - (i + 1) / (double)N);
        if (off > worst) worst = off;
    }
    erai_quantiles_close(sketch);
    return worst;
}

static void ranks_are_within_the_stated_error(void) {
    int beyond = 0, looked_at = 0;
    for (int shape = 0; shape < 4; shape++)
        for (uint64_t seed = 0; seed < 25; seed++, looked_at++) beyond += worst_rank(shape, seed) > 0.0165; /* of all */
    ER_CHECK(looked_at == 100 && beyond <= 3);
}

static void quantiles_of_few_values_are_exact(void) {
    erai_quantiles *sketch = opened(200, 1);
    for (int i = 100; i > 0; i--) add(sketch, (float)i);
    const double ranks[] = {0, 0.001, 0.01, 0.011, 0.5, 0.995, 1};
    const float expected[] = {1, 1, 1, 2, 50, 100, 100}, asked[] = {0.5f, 1, 1.5f, 50, 100, INFINITY, -INFINITY};
    const double shares[] = {0, 0.01, 0.01, 0.5, 1, 1, 0};
    float values[7];
    double found[7];
    ER_CHECK_INT(erai_quantiles_at(sketch, ranks, 7, values, NULL), ERAI_OK);
    ER_CHECK_INT(erai_quantiles_rank(sketch, asked, 7, found, NULL), ERAI_OK);
    for (int i = 0; i < 7; i++) ER_CHECK(values[i] == expected[i] && found[i] == shares[i]);
    erai_quantiles_close(sketch);
}

static void nan_is_counted_apart_and_infinity_is_a_value(void) {
    erai_quantiles *sketch = opened(200, 1);
    for (int i = 0; i < 3000; i++) add(sketch, i % 3 ? (float)i : NAN);
    for (int i = 0; i < 2; i++) add(sketch, i ? INFINITY : -INFINITY);
    ER_CHECK_INT(info_of(sketch).nan, 1000);
    check_sound(sketch, 2002);
    ER_CHECK(info_of(sketch).least == -INFINITY && info_of(sketch).greatest == INFINITY);
    erai_quantiles_close(sketch);
}

static void the_seed_and_the_values_give_the_bytes(void) {
    static uint8_t bytes[3][MOST_BYTES];
    static float values[5000];
    size_t sizes[3];
    for (int i = 0; i < 5000; i++) values[i] = (float)(int64_t)next_random();
    for (int way = 0; way < 3; way++) { /* at once; in pieces, looked at between; with another seed */
        erai_quantiles *sketch = opened(50, way == 2 ? 8 : 7);
        size_t step = way == 1 ? 37 : 5000;
        for (size_t at = 0; at < 5000; at += step) {
            if (way == 1) written(sketch, bytes[way]);
            erai_quantiles_add(sketch, values + at, 5000 - at < step ? 5000 - at : step, 1, NULL);
        }
        sizes[way] = written(sketch, bytes[way]);
        erai_quantiles_close(sketch);
    }
    ER_CHECK(sizes[0] == sizes[1] && memcmp(bytes[0], bytes[1], sizes[0]) == 0);
    ER_CHECK(sizes[0] != sizes[2] || memcmp(bytes[0], bytes[2], sizes[0]) != 0);
}

/* The sum is of bytes that an x86-64 wrote: another processor, or another version, has no others for a seed. */
static void bytes_are_the_same_everywhere(void) {
    static uint8_t bytes[MOST_BYTES];
    erai_quantiles *sketch = opened(100, 1), *other = opened(50, 2);
    uint64_t state = 5;
    for (int i = 0; i < 60000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        add(i % 3 ? sketch : other, (float)(int32_t)(state >> 32) * 0x1p-10f);
    }
    ER_CHECK_INT(erai_quantiles_merge(sketch, other, NULL), ERAI_OK);
    ER_CHECK_INT(er_crc32(0, bytes, written(sketch, bytes)), 2541020637);
    erai_quantiles_close(sketch);
    erai_quantiles_close(other);
}

/* By Python's hmac: of a key of 32 zeros and b"device-7\0temperature\0" + (42).to_bytes(8, "little"), SHA-256. */
static void seeds_are_of_device_feature_and_window(void) {
    ER_CHECK(erai_quantiles_seed("device-7", "temperature", 42) == 18162963936846231448u);
    ER_CHECK(erai_quantiles_seed("device-7", "temperature", 43) != 18162963936846231448u);
    ER_CHECK(erai_quantiles_seed("device-7t", "emperature", 42) != 18162963936846231448u);
}

static void adding_takes_no_memory(void) {
    erai_quantiles *sketch = opened(200, 1);
    ER_CHECK(!ALLOCATIONS_COUNTED || allocations > 0);
    allocations = 0;
    for (int i = 0; i < 100000; i++) add(sketch, (float)(int64_t)next_random());
    ER_CHECK_INT(allocations, 0);
    erai_quantiles_close(sketch);
}

/* ---- Merging ---- */

static void merges_of_few_values_are_exact(void) {
    erai_quantiles *one = opened(200, 1), *other = opened(200, 2), *all = opened(200, 3);
    static uint8_t bytes[2][MOST_BYTES];
    for (int i = 0; i < 150; i++) add(i < 90 ? one : other, (float)(i * 7 % 150));
    for (int i = 0; i < 150; i++) add(all, (float)(i * 7 % 150));
    ER_CHECK_INT(erai_quantiles_merge(one, other, NULL), ERAI_OK);
    size_t size = written(one, bytes[0]);
    ER_CHECK(size == written(all, bytes[1]) && memcmp(bytes[0], bytes[1], size) == 0);
    erai_quantiles_close(one);
    erai_quantiles_close(other);
    erai_quantiles_close(all);
}

static void a_thousand_merges_keep_the_count_the_range_and_the_error(void) {
    enum { SKETCHES = 1000, VALUES = 400 };
    erai_quantiles *all = opened(200, 0);
    for (uint64_t s = 0; s < SKETCHES; s++) {
        erai_quantiles *one = opened(200, s + 1);
        for (uint64_t i = 0; i < VALUES; i++) add(one, (float)((s * VALUES + i) * 7919 % (SKETCHES * VALUES)));
        add(one, NAN);
        ER_CHECK_INT(erai_quantiles_merge(all, one, NULL), ERAI_OK);
        erai_quantiles_close(one);
    }
    erai_quantiles_info info = info_of(all);
    check_sound(all, SKETCHES * VALUES);
    ER_CHECK(info.least == 0 && info.greatest == SKETCHES * VALUES - 1 && info.nan == SKETCHES && info.min_k == 200);
    for (int i = 1; i < 20; i++) {
        float value = (float)(SKETCHES * VALUES * i / 20);
        double rank;
        ER_CHECK_INT(erai_quantiles_rank(all, &value, 1, &rank, NULL), ERAI_OK);
        ER_CHECK(fabs(rank - i / 20.0) < 0.0133);
    }
    erai_quantiles_close(all);
}

static void the_least_k_is_that_of_the_coarsest_part(void) {
    erai_quantiles *fine = opened(200, 1), *coarse = opened(20, 2), *few = opened(8, 3);
    for (int i = 0; i < 10000; i++) {
        add(fine, (float)i);
        add(coarse, (float)i);
        if (i < 5) add(few, (float)i);
    }
    ER_CHECK_INT(erai_quantiles_merge(fine, few, NULL), ERAI_OK);
    ER_CHECK_INT(info_of(fine).min_k, 200); /* it was exact */
    ER_CHECK_INT(erai_quantiles_merge(fine, coarse, NULL), ERAI_OK);
    ER_CHECK_INT(info_of(fine).min_k, 20);
    ER_CHECK_INT(info_of(fine).k, 200);
    check_sound(fine, 20005);
    ER_CHECK_INT(erai_quantiles_merge(coarse, fine, NULL), ERAI_OK);
    check_sound(coarse, 30005);
    erai_quantiles_close(fine);
    erai_quantiles_close(coarse);
    erai_quantiles_close(few);
}

/* One value a level, 50 levels. */
static erai_quantiles *opened_full(void) {
    er_writer out = {0};
    er_write_bytes(&out, (const uint8_t[]){5, 1, 15, 0, 8, 0, 8, 0}, 8);
    er_write_u64(&out, ERAI_QUANTILES_MOST);
    er_write_u16(&out, 8);
    er_write_u8(&out, 50);
    er_write_u8(&out, 0);
    for (uint32_t level = 0; level < 50; level++) er_write_u32(&out, er_kll_total(8, 50) - 50 + level);
    for (int i = 0; i < 52; i++) er_write_f32(&out, 1.0f);
    erai_quantiles *sketch = opened_bytes(out.data, out.size);
    free(out.data);
    return sketch;
}

static void as_many_values_as_there_may_be_are_the_last(void) {
    erai_quantiles *full = opened_full(), *one = opened(200, 1);
    if (!full) return;
    char detail[ERAI_DETAIL_SIZE] = "";
    const float value = 1;
    add(one, value);
    ER_CHECK_INT(erai_quantiles_add(full, &value, 1, 1, detail), ERAI_E_SIZE);
    ER_CHECK_CONTAINS(detail, "2^50 - 1");
    ER_CHECK_INT(erai_quantiles_merge(full, one, NULL), ERAI_E_SIZE);
    ER_CHECK_INT(erai_quantiles_merge(one, full, NULL), ERAI_E_SIZE);
    check_sound(full, ERAI_QUANTILES_MOST);
    check_sound(one, 1);
    erai_quantiles_close(full);
    erai_quantiles_close(one);
}

static void misuse_is_named(void) {
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_quantiles *sketch = NULL, *empty = opened(200, 1);
    double rank = 0.5;
    float value = 1;
    size_t size;
    ER_CHECK_INT(erai_quantiles_open(7, 1, &sketch, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "k is 7; expected 8 to 65535");
    ER_CHECK_INT(erai_quantiles_open(65536, 1, &sketch, detail), ERAI_E_ARGUMENT);
    ER_CHECK_INT(erai_quantiles_at(empty, &rank, 1, &value, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "without a value");
    ER_CHECK_INT(erai_quantiles_rank(empty, &value, 1, &rank, detail), ERAI_E_ARGUMENT);
    add(empty, 1);
    rank = 1.5;
    ER_CHECK_INT(erai_quantiles_at(empty, &rank, 1, &value, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "rank 0 is 1.5; expected 0 to 1");
    value = NAN;
    ER_CHECK_INT(erai_quantiles_rank(empty, &value, 1, &rank, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "value 0 is NaN");
    ER_CHECK_INT(erai_quantiles_merge(empty, empty, detail), ERAI_E_ARGUMENT);
    ER_CHECK_CONTAINS(detail, "not with itself");
    ER_CHECK_INT(erai_quantiles_write(empty, NULL, 0, &size, detail), ERAI_E_SIZE);
    ER_CHECK_INT(size, 12);
    erai_quantiles_close(empty);
}

int main(void) {
    ER_RUN(few_values_are_written_as_apache_writes_them);
    ER_RUN(what_apache_wrote_is_written_as_it_was_read);
    ER_RUN(what_apache_wrote_is_understood);
    ER_RUN(every_field_is_held_against_the_others);
    ER_RUN(bytes_that_are_too_few_or_too_many_are_refused);
    ER_RUN(every_count_of_values_is_written_whole);
    ER_RUN(values_are_sorted_whatever_their_bits);
    ER_RUN(of_both_zeros_the_first_one_is_kept);
    ER_RUN(ranks_are_within_the_stated_error);
    ER_RUN(quantiles_of_few_values_are_exact);
    ER_RUN(nan_is_counted_apart_and_infinity_is_a_value);
    ER_RUN(the_seed_and_the_values_give_the_bytes);
    ER_RUN(bytes_are_the_same_everywhere);
    ER_RUN(seeds_are_of_device_feature_and_window);
    ER_RUN(adding_takes_no_memory);
    ER_RUN(merges_of_few_values_are_exact);
    ER_RUN(a_thousand_merges_keep_the_count_the_range_and_the_error);
    ER_RUN(the_least_k_is_that_of_the_coarsest_part);
    ER_RUN(as_many_values_as_there_may_be_are_the_last);
    ER_RUN(misuse_is_named);
    return er_test_result();
}
