/* SPDX-License-Identifier: Apache-2.0 */
#include "flatbuffer.h"

#include <stdlib.h>
#include <string.h>

#include "er_test.h"

static const er_flat_type leaf = {"Leaf", "number:l"};
static const er_flat_type choices[] = {{NULL, ""}, {"Leaf", "number:l"}};
static const er_flat_type root = {"Root", "small:b wide:i text:s words:I leaves:[L] kind:b choice:<C> gone:-"};
static const er_flat_schema schema = {
    .root = &root, .tables = {['L' - 'A'] = &leaf}, .unions = {['C' - 'A'] = {choices, 2}}};

/* Where things lie in the document below. */
enum {
    VTABLE = 8,
    ROOT = 28,
    SMALL = ROOT + 28,
    WIDE = ROOT + 4,
    TEXT = ROOT + 8,
    WORDS = ROOT + 12,
    LEAVES = ROOT + 16,
    CHOICE = ROOT + 20,
    KIND = ROOT + 29,
    TEXT_DATA = 60,
    WORDS_DATA = 68,
    LEAVES_DATA = 80,
    LEAF_VTABLE = 92,
    LEAF = 100,
    SIZE = 116
};

static void put16(uint8_t *bytes, size_t at, unsigned value) {
    bytes[at] = (uint8_t)value;
    bytes[at + 1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *bytes, size_t at, uint32_t value) {
    put16(bytes, at, value & 0xFFFF);
    put16(bytes, at + 2, value >> 16);
}

static void refer(uint8_t *bytes, size_t at, size_t to) {
    put32(bytes, at, (uint32_t)(to - at));
}

/* {small: 7, wide: -2, text: "né", words: [5, 6], leaves: [leaf, leaf], choice: leaf}, leaf: {number: 9}. */
static void write_document(uint8_t bytes[SIZE]) {
    static const uint8_t slots[] = {SMALL - ROOT,  WIDE - ROOT, TEXT - ROOT,   WORDS - ROOT,
                                    LEAVES - ROOT, KIND - ROOT, CHOICE - ROOT, 0};
    memset(bytes, 0, SIZE);
    refer(bytes, 0, ROOT);
    put16(bytes, VTABLE, 20);
    put16(bytes, VTABLE + 2, 32);
    for (size_t i = 0; i < sizeof slots; i++) put16(bytes, VTABLE + 4 + 2 * i, slots[i]);
    put32(bytes, ROOT, ROOT - VTABLE);
    bytes[SMALL] = 7;
    bytes[KIND] = 1;
    put32(bytes, WIDE, (uint32_t)-2);
    refer(bytes, TEXT, TEXT_DATA);
    refer(bytes, WORDS, WORDS_DATA);
    refer(bytes, LEAVES, LEAVES_DATA);
    refer(bytes, CHOICE, LEAF);
    put32(bytes, TEXT_DATA, 3);
    memcpy(bytes + TEXT_DATA + 4, "n\xc3\xa9", 4);
    put32(bytes, WORDS_DATA, 2);
    put32(bytes, WORDS_DATA + 4, 5);
    put32(bytes, WORDS_DATA + 8, 6);
    put32(bytes, LEAVES_DATA, 2);
    refer(bytes, LEAVES_DATA + 4, LEAF);
    refer(bytes, LEAVES_DATA + 8, LEAF);
    put16(bytes, LEAF_VTABLE, 6);
    put16(bytes, LEAF_VTABLE + 2, 12);
    put16(bytes, LEAF_VTABLE + 4, 4);
    put32(bytes, LEAF, LEAF - LEAF_VTABLE);
    put32(bytes, LEAF + 4, 9);
}

static erai_status check(const uint8_t *bytes, size_t size, char *detail) {
    uint8_t *exact = malloc(size + 1); /* so that the sanitizer sees a read past the end; of an odd address */
    if (exact == NULL) abort();
    memcpy(exact + 1, bytes, size);
    er_flat flat = {.bytes = exact + 1, .size = size};
    if (detail != NULL) detail[0] = '\0';
    erai_status status = er_flat_check(&flat, &schema, detail);
    free(exact);
    return status;
}

static void a_sound_document_is_accepted_and_read(void) {
    uint8_t bytes[SIZE];
    char detail[ERAI_DETAIL_SIZE];
    write_document(bytes);
    ER_CHECK_INT(check(bytes, SIZE, detail), ERAI_OK);
    ER_CHECK_STR(detail, "");
    er_flat flat = {.bytes = bytes, .size = SIZE};
    er_flat_table table = er_flat_root(&flat), absent = er_flat_table_at(&table, 9);
    ER_CHECK_INT(er_flat_u8(&table, 0, 1), 7);
    ER_CHECK_INT(er_flat_i32(&table, 1, 1), -2);
    ER_CHECK_STR(er_flat_string(&table, 2), "n\xc3\xa9");
    er_flat_vector words = er_flat_vector_at(&table, 3), leaves = er_flat_vector_at(&table, 4);
    ER_CHECK(words.count == 2 && er_flat_vector_i32(&words, 1) == 6);
    er_flat_table last = er_flat_element(&leaves, 1), choice = er_flat_table_at(&table, 6);
    ER_CHECK_INT((long long)er_flat_u64(&last, 0), 9);
    ER_CHECK_INT((long long)er_flat_u64(&choice, 0), 9);
    ER_CHECK(absent.flat == NULL && er_flat_u32(&absent, 0, 5) == 5 && er_flat_string(&absent, 1) == NULL);
    ER_CHECK(er_flat_vector_at(&absent, 2).count == 0 && er_flat_table_at(&absent, 3).flat == NULL);
}

static void every_truncation_is_refused(void) {
    uint8_t bytes[SIZE];
    write_document(bytes);
    /* The last 4 bytes belong to nothing. */
    for (size_t size = 0; size < SIZE - 4; size++) ER_CHECK_INT(check(bytes, size, NULL), ERAI_E_MODEL_UNSUPPORTED);
}

static void every_byte_may_have_any_value(void) {
    uint8_t bytes[SIZE];
    for (size_t at = 0; at < SIZE; at++)
        for (unsigned value = 0; value < 256; value++) {
            char detail[ERAI_DETAIL_SIZE];
            write_document(bytes);
            bytes[at] = (uint8_t)value;
            ER_CHECK((check(bytes, SIZE, detail) == ERAI_OK) == (detail[0] == '\0'));
        }
}

static void check_refusal(size_t at, uint32_t value, const char *path, const char *why) {
    uint8_t bytes[SIZE];
    char detail[ERAI_DETAIL_SIZE];
    write_document(bytes);
    put32(bytes, at, value);
    ER_CHECK_INT(check(bytes, SIZE, detail), ERAI_E_MODEL_UNSUPPORTED);
    ER_CHECK_CONTAINS(detail, path);
    ER_CHECK_CONTAINS(detail, why);
}

static void refusals_name_the_field_by_its_path(void) {
    check_refusal(0, 0xFFFFFFFFu, "the root", "leads out of the file (4294967295)");
    check_refusal(0, 30, "the root", "not aligned");
    check_refusal(ROOT, 0x7FFFFFFFu, "the root", "vtable is not in the file");
    check_refusal(VTABLE, 32 << 16 | 3, "the root", "vtable of a size that cannot be (3)");
    check_refusal(VTABLE, 999 << 16 | 20, "the root", "passes the file's end (999)");
    check_refusal(VTABLE + 4, 32, "small", "outside its table (32)");
    check_refusal(WORDS, 0, "words", "leads out of the file (0)");
    check_refusal(WORDS_DATA, 0x40000000u, "words", "more elements than the file has bytes for (1073741824)");
    check_refusal(TEXT_DATA, 4, "text", "does not end in a zero (4)");
    check_refusal(TEXT_DATA, 2, "text", "does not end in a zero (2)");
    check_refusal(TEXT_DATA + 4, 0x00A9C380u, "text", "not UTF-8 (128)");
    check_refusal(LEAVES_DATA + 8, 0x00010000u, "leaves[1]", "leads out of the file");
    check_refusal(LEAF_VTABLE + 4, 8, "leaves[0].number", "outside its table (8)");
    check_refusal(SMALL, 0x0207u, "choice", "a type that this build does not know (2)");
    check_refusal(SMALL, 0x0007u, "choice", "a value of no type");
}

static void texts_are_utf8_by_the_rfc(void) {
    static const struct {
        const char *text;
        erai_status status;
    } cases[] = {{"abc", ERAI_OK},
                 {"a\xc3\xa9", ERAI_OK},
                 {"\xe2\x82\xac", ERAI_OK},
                 {"\xc0\x80z", ERAI_E_MODEL_UNSUPPORTED},
                 {"\xe0\x80\x80", ERAI_E_MODEL_UNSUPPORTED},
                 {"\xed\xa0\x80", ERAI_E_MODEL_UNSUPPORTED},
                 {"ab\xc3", ERAI_E_MODEL_UNSUPPORTED},
                 {"\xff"
                  "bc",
                  ERAI_E_MODEL_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[SIZE];
        write_document(bytes);
        memcpy(bytes + TEXT_DATA + 4, cases[i].text, 4);
        ER_CHECK_INT(check(bytes, SIZE, NULL), cases[i].status);
    }
}

/* 60 references to one table, which has 60 to another, which has 60 more: 216000 paths through 1 KB. */
static void what_is_repeated_without_end_is_refused_in_time(void) {
    enum { WIDTH = 60, LEVELS = 4, TABLE = 16, STEP = TABLE + 4 + 4 * WIDTH };
    static const er_flat_type nested[] = {{"A", "next:[B]"}, {"B", "next:[C]"}, {"C", "next:[D]"}, {"D", ""}};
    static const er_flat_schema deep = {
        .root = &nested[0], .tables = {['B' - 'A'] = &nested[1], ['C' - 'A'] = &nested[2], ['D' - 'A'] = &nested[3]}};
    static uint8_t bytes[8 + LEVELS * STEP];
    refer(bytes, 0, 16);
    for (size_t level = 0; level < LEVELS; level++) {
        size_t vtable = 8 + level * STEP, table = vtable + 8, list = vtable + TABLE;
        put16(bytes, vtable, 6);
        put16(bytes, vtable + 2, 8);
        put16(bytes, vtable + 4, level + 1 < LEVELS ? 4 : 0);
        put32(bytes, table, 8);
        if (level + 1 == LEVELS) break;
        refer(bytes, table + 4, list);
        put32(bytes, list, WIDTH);
        for (size_t i = 0; i < WIDTH; i++) refer(bytes, list + 4 + 4 * i, vtable + STEP + 8);
    }
    er_flat flat = {.bytes = bytes, .size = sizeof bytes};
    char detail[ERAI_DETAIL_SIZE] = "";
    ER_CHECK_INT(er_flat_check(&flat, &deep, detail), ERAI_E_MODEL_UNSUPPORTED);
    ER_CHECK_CONTAINS(detail, "passes all bounds");
}

int main(void) {
    ER_RUN(a_sound_document_is_accepted_and_read);
    ER_RUN(every_truncation_is_refused);
    ER_RUN(every_byte_may_have_any_value);
    ER_RUN(refusals_name_the_field_by_its_path);
    ER_RUN(texts_are_utf8_by_the_rfc);
    ER_RUN(what_is_repeated_without_end_is_refused_in_time);
    return er_test_result();
}
