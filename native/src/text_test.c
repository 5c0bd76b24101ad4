/* UTF-8 by RFC 3629, held against an encoder written from its table and against how many sequences there are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "er_test.h"

static int32_t first_point(const char *bytes, size_t size, size_t *moved) {
    *moved = 0;
    return er_next_point((erai_string){.bytes = bytes, .size = size}, moved);
}

static size_t encode(uint32_t point, char bytes[4]) {
    if (point < 0x80) {
        bytes[0] = (char)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; point >>= 6) bytes[i] = (char)(0x80 | (point & 0x3F));
    bytes[0] = (char)(0xF00u >> size | point);
    return size;
}

static void every_code_point_is_read_back(void) {
    size_t wrong = 0, moved;
    char bytes[4];
    for (uint32_t point = 0; point <= 0x10FFFF; point++) {
        if (point == 0xD800) point = 0xE000;
        size_t size = encode(point, bytes);
        wrong += first_point(bytes, size, &moved) != (int32_t)point || moved != size;
        if (size > 1) wrong += first_point(bytes, size - 1, &moved) != -1 || moved != 1; /* cut short */
    }
    ER_CHECK_INT(wrong, 0);
}

static void there_are_as_many_sequences_as_code_points(void) {
    size_t ones = 0, twos = 0, threes = 0, moved;
    for (uint32_t sequence = 0; sequence < 0x1000000; sequence++) {
        const char bytes[] = {(char)(sequence >> 16), (char)(sequence >> 8), (char)sequence};
        if (first_point(bytes, 3, &moved) < 0) continue;
        ones += moved == 1;
        twos += moved == 2;
        threes += moved == 3;
    }
    ER_CHECK_INT(ones, 128 << 16);
    ER_CHECK_INT(twos, (0x800 - 0x80) << 8);
    ER_CHECK_INT(threes, 0x10000 - 0x800 - (0xE000 - 0xD800));
}

static void nothing_is_beyond_10ffff(void) {
    static const char ends[] = {0x7F, (char)0x80, (char)0xBF, (char)0xC0};
    size_t fours = 0, moved;
    for (uint32_t lead = 0; lead < 0x10000; lead++)
        for (int i = 0; i < 16; i++) {
            const char bytes[] = {(char)(lead >> 8), (char)lead, ends[i / 4], ends[i % 4]};
            fours += first_point(bytes, 4, &moved) >= 0x10000;
        }
    ER_CHECK_INT(fours, ((0x110000 - 0x10000) >> 12) * 4);
    ER_CHECK_INT(first_point("\xF4\x90\x80\x80", 4, &moved), -1);
    ER_CHECK_INT(first_point("\xED\xA0\x80", 3, &moved), -1);     /* a surrogate */
    ER_CHECK_INT(first_point("\xC0\x80", 2, &moved), -1);         /* an overlong zero */
    ER_CHECK_INT(first_point("\xF0\x8F\xBF\xBF", 4, &moved), -1); /* an overlong U+FFFF */
}

static void a_byte_of_no_code_point_counts_as_one(void) {
    ER_CHECK_INT(er_count_points((erai_string){.bytes = NULL, .size = 0}), 0);
    ER_CHECK_INT(er_count_points((erai_string){.bytes = "na\xC3\xAFve \xF0\x9F\x90\xA2", .size = 11}), 7);
    ER_CHECK_INT(er_count_points((erai_string){.bytes = "a\xE2\x82z\xFF", .size = 5}), 5);
    ER_CHECK_INT(er_count_points((erai_string){.bytes = "\0\0", .size = 2}), 2);
}

static int order(const char *bytes, size_t size, const char *terminated) {
    return er_compare_text((erai_string){.bytes = bytes, .size = size}, terminated);
}

static void texts_are_ordered_by_their_bytes(void) {
    ER_CHECK(order("abc", 3, "abc") == 0 && order(NULL, 0, "") == 0);
    ER_CHECK(order("ab", 2, "abc") < 0 && order("abc", 3, "ab") > 0);
    ER_CHECK(order("abd", 3, "abc") > 0 && order(NULL, 0, "a") < 0);
    ER_CHECK(order("\xFF", 1, "a") > 0);  /* unsigned */
    ER_CHECK(order("ab\0", 3, "ab") > 0); /* a zero is a byte like any other */
    ER_CHECK(order("a\0z", 3, "ab") < 0);
}

int main(void) {
    ER_RUN(every_code_point_is_read_back);
    ER_RUN(there_are_as_many_sequences_as_code_points);
    ER_RUN(nothing_is_beyond_10ffff);
    ER_RUN(a_byte_of_no_code_point_counts_as_one);
    ER_RUN(texts_are_ordered_by_their_bytes);
    return er_test_result();
}
