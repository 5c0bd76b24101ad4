/* The JSON reader against RFC 8259, and against texts made to hurt it. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <stdlib.h>

#include "er_test.h"

static erai_status read_text(const char *text, er_json **json, char *detail) {
    return er_json_open(text, strlen(text), json, detail);
}

static void every_text_the_rfc_allows_is_read(void) {
    static const char *const texts[] = {
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "1",
        "-1.5e+10",
        "1E5",
        "0.0",
        "\"\"",
        "[]",
        "{}",
        "[[],{}]",
        "\t\r\n[1 , 2]\n",
        "{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":0}",
        "\"\\u0041\\n\\\"\\/\\\\\\b\\f\\r\\t\"",
        "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\xc3\xa9\xe2\x82\xac\"",
        "{\"\":1}",
        "\"\x7f\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        er_json *json = NULL;
        char detail[ERAI_DETAIL_SIZE] = "";
        erai_status status = read_text(texts[i], &json, detail);
        if (status != ERAI_OK) ER_FAILED("%s was refused: %s", texts[i], detail);
        er_json_close(json);
    }
}

static void every_text_the_rfc_forbids_is_refused_with_its_place(void) {
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "'a'",
        "\"",
        "\"a",
        "\"\\x\"",
        "\"\\",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "\"\x01\"",
        "\"\x80\"",
        "\"\xc0\xaf\"",
        "\"\xe0\x80\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf8\x88\x80\x80\x80\"",
        "\"\xc3\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{]",
        "[}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "{}{}",
        "[]]",
        "\xef\xbb\xbf{}",
        "// c\n1",
        "{,}",
        "[1,,2]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        er_json *json = NULL;
        char detail[ERAI_DETAIL_SIZE] = "";
        if (read_text(texts[i], &json, detail) != ERAI_E_BUNDLE_FORMAT) ER_FAILED("\"%s\" was not refused", texts[i]);
        ER_CHECK_CONTAINS(detail, "at byte");
        er_json_close(json);
    }
}

static void a_zero_byte_inside_the_text_is_refused(void) {
    er_json *json = NULL;
    ER_CHECK_INT(er_json_open("1\0", 2, &json, NULL), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(er_json_open("\"\\\0\"", 4, &json, NULL), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(er_json_open("\"\0\"", 3, &json, NULL), ERAI_E_BUNDLE_FORMAT);
}

static void every_truncation_of_a_document_is_refused(void) {
    const char *text = "{\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\",{\"b\":true,\"c\":[null,[]]}],\"d\":{}}";
    for (size_t size = 0; size <= strlen(text); size++) {
        char *exact = malloc(size + (size == 0)); /* so that the sanitizer sees a read past the end */
        if (exact == NULL) return;
        memcpy(exact, text, size);
        er_json *json = NULL;
        ER_CHECK_INT(er_json_open(exact, size, &json, NULL), size < strlen(text) ? ERAI_E_BUNDLE_FORMAT : ERAI_OK);
        er_json_close(json);
        free(exact);
    }
}

static void duplicate_keys_are_refused_also_when_written_differently(void) {
    static const char *const texts[] = {"{\"a\":1,\"a\":1}", "{\"b\":0,\"a\":1,\"c\":2,\"\\u0061\":3}",
                                        "[{\"x\":{\"k\":1,\"l\":2,\"k\":3}}]", "{\"\":1,\"\":2}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        er_json *json = NULL;
        char detail[ERAI_DETAIL_SIZE] = "";
        ER_CHECK_INT(read_text(texts[i], &json, detail), ERAI_E_BUNDLE_FORMAT);
        ER_CHECK_CONTAINS(detail, "twice in one object");
    }
    er_json *json = NULL;
    ER_CHECK_INT(read_text("{\"a\":{\"a\":1},\"ab\":2,\"b\":{\"a\":1}}", &json, NULL), ERAI_OK);
    er_json_close(json);
}

/* `count` times `part`, then `tail`. The caller frees. */
static char *repeated(const char *part, size_t count, const char *tail) {
    size_t size = strlen(part);
    char *text = malloc(size * count + strlen(tail) + 1);
    if (text == NULL) abort();
    for (size_t i = 0; i < count; i++) memcpy(text + i * size, part, size);
    memcpy(text + size * count, tail, strlen(tail) + 1);
    return text;
}

static void nesting_ends_at_the_limit_and_hostile_depth_is_refused(void) {
    static const struct {
        size_t depth;
        erai_status status;
    } cases[] = {
        {ER_JSON_MAX_DEPTH, ERAI_OK}, {ER_JSON_MAX_DEPTH + 1, ERAI_E_BUNDLE_FORMAT}, {1000000, ERAI_E_BUNDLE_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *closing = repeated("]", cases[i].depth, "");
        char *text = repeated("[", cases[i].depth, closing);
        er_json *json = NULL;
        ER_CHECK_INT(read_text(text, &json, NULL), cases[i].status);
        er_json_close(json);
        free(text);
        free(closing);
    }
}

static void the_number_of_values_is_bounded(void) {
    char *allowed = repeated("0,", ER_JSON_MAX_VALUES - 2, "0]"),
         *excess = repeated("0,", ER_JSON_MAX_VALUES - 1, "0]");
    er_json *json = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    char *text = repeated("[", 1, allowed);
    ER_CHECK_INT(read_text(text, &json, NULL), ERAI_OK);
    er_json_close(json);
    free(text);
    text = repeated("[", 1, excess);
    ER_CHECK_INT(read_text(text, &json, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "too many values");
    free(text);
    free(allowed);
    free(excess);
}

static void a_text_past_the_size_limit_is_refused_unread(void) {
    er_json *json = NULL;
    ER_CHECK_INT(er_json_open("", ER_JSON_MAX_SIZE + 1, &json, NULL), ERAI_E_BUNDLE_FORMAT);
}

static void members_and_elements_are_found_in_order(void) {
    er_json *json = NULL;
    ER_CHECK_INT(read_text("{\"a\":[10,[20,21],{\"x\":30},\"s\"],\"b\":{},\"k\\u0065y\":7}", &json, NULL), ERAI_OK);
    if (json == NULL) return;
    const er_json_value *root = er_json_root(json), *array = er_json_get(root, "a");
    ER_CHECK_INT(root->count, 3);
    ER_CHECK_INT(array->count, 4);
    const er_json_value *item = er_json_first(array);
    int64_t number = 0;
    ER_CHECK(er_json_int64(item, &number) && number == 10);
    item = er_json_next(array, item);
    ER_CHECK(er_json_is(item, ER_JSON_ARRAY) && item->count == 2);
    item = er_json_next(array, item);
    ER_CHECK(er_json_int64(er_json_get(item, "x"), &number) && number == 30);
    item = er_json_next(array, item);
    ER_CHECK_STR(er_json_text(item), "s");
    ER_CHECK(er_json_next(array, item) == NULL);
    ER_CHECK(er_json_int64(er_json_get(root, "key"), &number) && number == 7);
    const er_json_value *key = er_json_first(root);
    key = er_json_next(root, key);
    ER_CHECK_STR(er_json_text(key), "b");
    ER_CHECK(er_json_is(key + 1, ER_JSON_OBJECT) && er_json_first(key + 1) == NULL);
    ER_CHECK(er_json_get(root, "x") == NULL && er_json_get(array, "a") == NULL && er_json_get(NULL, "a") == NULL);
    er_json_close(json);
}

static void strings_are_unescaped(void) {
    er_json *json = NULL;
    ER_CHECK_INT(read_text("[\"a\\u00e9\\u20ac\\ud83d\\ude00\\n\\\"\", \"z\\u0000z\", 1]", &json, NULL), ERAI_OK);
    if (json == NULL) return;
    const er_json_value *root = er_json_root(json), *item = er_json_first(root);
    ER_CHECK_STR(er_json_text(item), "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\"");
    item = er_json_next(root, item);
    ER_CHECK(item->length == 3 && er_json_text(item) == NULL);
    ER_CHECK(er_json_text(er_json_next(root, item)) == NULL);
    er_json_close(json);
}

static void check_integer(const char *text, bool fits, int64_t expected) {
    er_json *json = NULL;
    int64_t number = 77;
    ER_CHECK_INT(read_text(text, &json, NULL), ERAI_OK);
    if (json == NULL) return;
    ER_CHECK_INT(er_json_int64(er_json_root(json), &number), fits);
    ER_CHECK_INT(number, fits ? expected : 77);
    er_json_close(json);
}

static void integers_are_exact_to_their_last_value_and_no_further(void) {
    check_integer("9223372036854775807", true, INT64_MAX);
    check_integer("-9223372036854775808", true, INT64_MIN);
    check_integer("9223372036854775808", false, 0);
    check_integer("-9223372036854775809", false, 0);
    check_integer("99999999999999999999999999", false, 0);
    check_integer("-0", true, 0);
    check_integer("1.0", false, 0);
    check_integer("1e3", false, 0);
    check_integer("\"1\"", false, 0);
}

static void check_double(const char *text, bool finite, double expected) {
    er_json *json = NULL;
    double number = 77;
    ER_CHECK_INT(read_text(text, &json, NULL), ERAI_OK);
    if (json == NULL) return;
    ER_CHECK_INT(er_json_double(er_json_root(json), &number), finite);
    ER_CHECK(number == (finite ? expected : 77));
    er_json_close(json);
}

static void doubles_are_rounded_correctly_and_finite(void) {
    check_double("1e-05", true, 1e-05);
    check_double("0.1", true, 0.1);
    check_double("9007199254740993", true, 9007199254740992.0);
    check_double("5e-324", true, 5e-324);
    check_double("1.7976931348623157e308", true, 1.7976931348623157e308);
    check_double("1e309", false, 0);
    check_double("-1e309", false, 0);
    check_double("true", false, 0);
    char *longest = repeated("1", 127, ""), *longer = repeated("1", 128, "");
    check_double(longest, true, 1.1111111111111111e126);
    check_double(longer, false, 0);
    free(longest);
    free(longer);
}

int main(void) {
    ER_RUN(every_text_the_rfc_allows_is_read);
    ER_RUN(every_text_the_rfc_forbids_is_refused_with_its_place);
    ER_RUN(a_zero_byte_inside_the_text_is_refused);
    ER_RUN(every_truncation_of_a_document_is_refused);
    ER_RUN(duplicate_keys_are_refused_also_when_written_differently);
    ER_RUN(nesting_ends_at_the_limit_and_hostile_depth_is_refused);
    ER_RUN(the_number_of_values_is_bounded);
    ER_RUN(a_text_past_the_size_limit_is_refused_unread);
    ER_RUN(members_and_elements_are_found_in_order);
    ER_RUN(strings_are_unescaped);
    ER_RUN(integers_are_exact_to_their_last_value_and_no_further);
    ER_RUN(doubles_are_rounded_correctly_and_finite);
    return er_test_result();
}
