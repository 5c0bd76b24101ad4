/* SHA-256 against the examples of FIPS 180-4 (NIST, "SHA_All.pdf"), HMAC against those of RFC 4231, and CRC-32 against
 * its published check value; the values for other lengths were made with python3 -c 'import hashlib, zlib; d =
 * bytes(range(256)) * 4; print(hashlib.sha256(d[:N]).hexdigest(), zlib.crc32(d[:N]))' SPDX-License-Identifier:
 * Apache-2.0 */
#include "sha256.h"

#include <stdlib.h>

#include "crc32.h"
#include "er_test.h"

static void check_digest(const void *data, size_t size, const char *expected) {
    uint8_t digest[ERAI_DIGEST_SIZE];
    char hex[ER_DIGEST_HEX_SIZE + 1] = {0};
    erai_sha256(data, size, digest);
    er_digest_hex(digest, hex);
    ER_CHECK_STR(hex, expected);
}

static void digest_matches_the_examples_of_the_standard(void) {
    check_digest(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void digest_of_a_million_bytes_matches_the_standard(void) {
    char *million = malloc(1000000);
    if (million == NULL) return;
    memset(million, 'a', 1000000);
    check_digest(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

typedef struct length_case {
    size_t size;
    const char *digest;
    uint32_t crc;
} length_case;

/* Around the padding's and the block's edges, and around crc32's step of eight. */
static const length_case length_cases[] = {
    {1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", 0xd202ef8du},
    {7, "57355ac3303c148f11aef7cb179456b9232cde33a818dfda2c2fcb9325749a6b", 0xad5809f9u},
    {8, "8a851ff82ee7048ad09ec3847f1ddf44944104d2cbd17ef4e3db22c6785a0d45", 0x88aa689fu},
    {9, "f8348e0b1df00833cbbbd08f07abdecc10c0efb78829d7828c62a7f36d0cc549", 0xbce14302u},
    {55, "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59", 0xfd4fdad4u},
    {56, "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562", 0xebfc1395u},
    {57, "2fe741af801cc238602ac0ec6a7b0c3a8a87c7fc7d7f02a3fe03d1c12eac4d8f", 0x7a8ecccbu},
    {63, "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488", 0xdbdea683u},
    {64, "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108", 0x100ece8cu},
    {65, "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781", 0x40c06fd8u},
    {119, "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6", 0x9353a1a6u},
    {120, "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c", 0x23455e6eu},
    {127, "92ca0fa6651ee2f97b884b7246a562fa71250fedefe5ebf270d31c546bfea976", 0xdec481aau},
    {128, "471fb943aa23c511f6f72f8d1652d9c880cfa392ad80503120547703e56a2be5", 0x24650d57u},
    {1000, "a8af099bf2e878609558dbf69d8f88f4a31040a8cf84b549a0cfa912f12ffc3f", 0x74e3fb41u},
    {1024, "785b0751fc2c53dc14a4ce3d800e69ef9ce1009eb327ccf458afe09c242c26c9", 0xb70b4c26u},
};

static void digest_and_crc_match_at_every_edge_of_padding(void) {
    uint8_t data[1024];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof length_cases / sizeof length_cases[0]; i++) {
        check_digest(data, length_cases[i].size, length_cases[i].digest);
        ER_CHECK_INT(er_crc32(0, data, length_cases[i].size), length_cases[i].crc);
    }
}

static void crc_of_the_check_string_is_the_published_one(void) {
    ER_CHECK_INT(er_crc32(0, "123456789", 9), 0xCBF43926u);
}

static void crc_continues_from_any_split(void) {
    const char *text = "the quick brown fox jumps over the lazy dog";
    size_t size = strlen(text);
    uint32_t whole = er_crc32(0, text, size);
    for (size_t split = 0; split <= size; split++)
        ER_CHECK_INT(er_crc32(er_crc32(0, text, split), text + split, size - split), whole);
}

/* Keys that are shorter than a block are filled up with zeros, so that the examples' are keys of 32 bytes, too. */
static void keyed_digest_matches_the_examples_of_the_rfc_however_it_is_cut(void) {
    static const struct {
        const char *key, *message, *digest;
    } examples[] = {
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa",
         "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
         "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"}};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        uint8_t key[ERAI_DIGEST_SIZE] = {0}, digest[ERAI_DIGEST_SIZE];
        memcpy(key, examples[i].key, strlen(examples[i].key));
        size_t size = strlen(examples[i].message);
        for (size_t cut = 0; cut <= size; cut++) {
            er_hmac hmac;
            char hex[ER_DIGEST_HEX_SIZE + 1] = {0};
            er_hmac_begin(&hmac, key);
            er_hmac_add(&hmac, examples[i].message, cut);
            er_hmac_add(&hmac, examples[i].message + cut, size - cut);
            er_hmac_end(&hmac, digest);
            er_digest_hex(digest, hex);
            ER_CHECK_STR(hex, examples[i].digest);
        }
    }
}

int main(void) {
    ER_RUN(keyed_digest_matches_the_examples_of_the_rfc_however_it_is_cut);
    ER_RUN(digest_matches_the_examples_of_the_standard);
    ER_RUN(digest_of_a_million_bytes_matches_the_standard);
    ER_RUN(digest_and_crc_match_at_every_edge_of_padding);
    ER_RUN(crc_of_the_check_string_is_the_published_one);
    ER_RUN(crc_continues_from_any_split);
    return er_test_result();
}
