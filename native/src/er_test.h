/* Checks for the C tests: a failed one is printed with its place and counted, and the test goes on. A test file has
 *
 *     static void a_sentence_about_what_holds(void) { ER_CHECK(1 + 1 == 2); }
 *     int main(void) { ER_RUN(a_sentence_about_what_holds); return er_test_result(); }
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_H
#define ER_TEST_H

#include <stdio.h>
#include <string.h>

static int er_test_failures;
static int er_test_count;

#define ER_FAILED(...)                                                   \
    do {                                                                 \
        er_test_failures++;                                              \
        fprintf(stderr, "%s:%d: in %s: ", __FILE__, __LINE__, __func__); \
        fprintf(stderr, __VA_ARGS__);                                    \
        fputc('\n', stderr);                                             \
    } while (0)

#define ER_CHECK(condition)                                          \
    do {                                                             \
        if (!(condition)) ER_FAILED("%s does not hold", #condition); \
    } while (0)

/* For anything that fits a long long. */
#define ER_CHECK_INT(actual, expected)                                                                         \
    do {                                                                                                       \
        long long er_actual = (long long)(actual), er_expected = (long long)(expected);                        \
        if (er_actual != er_expected) ER_FAILED("%s is %lld, expected %lld", #actual, er_actual, er_expected); \
    } while (0)

#define ER_CHECK_STR(actual, expected)                                                                          \
    do {                                                                                                        \
        const char *er_actual = (actual), *er_expected = (expected);                                            \
        if (er_actual == NULL || strcmp(er_actual, er_expected) != 0)                                           \
            ER_FAILED("%s is \"%s\", expected \"%s\"", #actual, er_actual ? er_actual : "(NULL)", er_expected); \
    } while (0)

#define ER_CHECK_CONTAINS(text, part)                                                                               \
    do {                                                                                                            \
        const char *er_text = (text), *er_part = (part);                                                            \
        if (er_text == NULL || strstr(er_text, er_part) == NULL)                                                    \
            ER_FAILED("%s is \"%s\", expected it to contain \"%s\"", #text, er_text ? er_text : "(NULL)", er_part); \
    } while (0)

#define ER_RUN(test)                                                               \
    do {                                                                           \
        int er_before = er_test_failures;                                          \
        test();                                                                    \
        er_test_count++;                                                           \
        printf("%s %s\n", er_test_failures == er_before ? "ok  " : "FAIL", #test); \
    } while (0)

/* What main returns. A test program that ran nothing has failed. */
static inline int er_test_result(void) {
    return er_test_failures > 0 || er_test_count == 0;
}

#endif
