/* The hash against CPython's, of bytes 0, 1, 2, ... under a key of zeros:
 *     PYTHONHASHSEED=0 python3.11 -c "print(hex(hash(bytes(range(SIZE))) & (1 << 64) - 1))"
 * where sys.hash_info.algorithm is siphash13. SPDX-License-Identifier: Apache-2.0 */
#include "siphash.h"

#include "er_test.h"

static const struct {
    size_t size;
    uint64_t hash;
} vectors[] = {{8, 0xead411e67ebe2eea}, {16, 0x8972188433a5c5b7}, {24, 0x31185a47af932f3a}, {64, 0x75e05fd5bbc870c6}};

static const uint64_t no_key[] = {0, 0};

static void whole_words_have_the_hash_that_others_give_them(void) {
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        er_siphash hash = er_siphash_begin(no_key);
        for (uint64_t at = 0; at < vectors[i].size; at += 8) {
            uint64_t word = 0;
            for (uint64_t byte = 8; byte-- > 0;) word = word << 8 | (at + byte);
            er_siphash_word(&hash, word);
        }
        ER_CHECK(er_siphash_end(&hash) == vectors[i].hash);
    }
}

static uint64_t hash_of(const void *bytes, size_t size, uint64_t key) {
    er_siphash hash = er_siphash_begin((const uint64_t[]){key, 0});
    er_siphash_bytes(&hash, bytes, size);
    return er_siphash_end(&hash);
}

static void bytes_are_words_the_last_filled_up_with_zeros(void) {
    static const unsigned char bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    ER_CHECK(hash_of(bytes, 11, 0) == hash_of(bytes, 16, 0));
    ER_CHECK(hash_of(bytes, 11, 0) != hash_of(bytes, 10, 0));
    ER_CHECK(hash_of(bytes, 8, 0) != hash_of(bytes, 9, 0));
    ER_CHECK(hash_of(bytes, 11, 0) != hash_of(bytes, 11, 1)); /* of another key */
}

int main(void) {
    ER_RUN(whole_words_have_the_hash_that_others_give_them);
    ER_RUN(bytes_are_words_the_last_filled_up_with_zeros);
    return er_test_result();
}
