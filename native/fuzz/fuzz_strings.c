/* Fuzzes what is read from strings: a guard with every check that strings have admits the input, cut into strings that
 * end where their memory ends, and each row's reasons must be those of the second reading of the rules below. Build
 * with -fsanitize=fuzzer, or with replay.c to run a corpus. SPDX-License-Identifier: Apache-2.0
 *
 * The bytes: how many strings a row has (modulo 4), how many rows a call (modulo 5), the least and the greatest length
 * (modulo 8 and 32); then strings, each a size (modulo 64) and its bytes, the last as long as the bytes last. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edge_rai.h"

#define MOST_STRINGS 256u
#define WINDOW 3u
#define REJECTED ((uint64_t)1 << ERAI_REASON_LENGTH | (uint64_t)1 << ERAI_REASON_CHARACTER)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const categories[] = {"", "a", "b", "blue", "gr\xC3\xBCn", "\xF0\x9F\x90\xA2", "\xFF"};
static const double ranges[] = {'a', 'z', ' ', ' ', 0xC0, 0x24F, 0x800, 0xFFFF, 0x1F400, 0x10FFFF};
#define CATEGORIES (sizeof categories / sizeof *categories)
#define RANGES (sizeof ranges / sizeof *ranges / 2)

/* One call's tensor, and what the rows before it were. */
typedef struct word_rows {
    erai_string strings[MOST_STRINGS];
    size_t count, per_row, least, most;
    const erai_string *before; /* the row before the next one */
    size_t same;
} word_rows;

static void must(int holds) {
    if (!holds) abort();
}

/* ---- The second reading ---- */

/* By arithmetic, where text.c goes by bytes: decode whatever the lead byte promises, then see whether the shortest
 * encoding has that length and the number is a scalar value. */
static long decode(const unsigned char *bytes, size_t size, size_t *length) {
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    *length = 1;
    if (bytes[0] < 0x80) return bytes[0];
    size_t more = bytes[0] >> 5 == 6 ? 1 : bytes[0] >> 4 == 14 ? 2 : bytes[0] >> 3 == 30 ? 3 : 0;
    if (more == 0 || size < more + 1) return -1;
    long point = bytes[0] - (more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0);
    for (size_t i = 1; i <= more; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xBF) return -1;
        point = point * 64 + bytes[i] - 0x80;
    }
    if (point < least[more + 1] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return -1;
    *length = more + 1;
    return point;
}

static uint64_t reasons_of_string(erai_string string, size_t least, size_t most) {
    const unsigned char *bytes = (const unsigned char *)string.bytes;
    uint64_t reasons = (uint64_t)1 << ERAI_REASON_CATEGORY;
    size_t points = 0;
    for (size_t i = 0; i < CATEGORIES; i++)
        if (strlen(categories[i]) == string.size && (!string.size || !memcmp(categories[i], bytes, string.size)))
            reasons = 0;
    for (size_t at = 0, length; at < string.size; at += length, points++) {
        long point = decode(bytes + at, string.size - at, &length);
        int allowed = 0;
        for (size_t i = 0; i < RANGES; i++) allowed |= point >= (long)ranges[2 * i] && point <= (long)ranges[2 * i + 1];
        if (!allowed) reasons |= (uint64_t)1 << ERAI_REASON_CHARACTER;
    }
    return points < least || points > most ? reasons | (uint64_t)1 << ERAI_REASON_LENGTH : reasons;
}

static int same_row(const erai_string *one, const erai_string *other, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (one[i].size != other[i].size || (one[i].size && memcmp(one[i].bytes, other[i].bytes, one[i].size) != 0))
            return 0;
    return 1;
}

static uint64_t reasons_of_row(word_rows *rows, const erai_string *row) {
    uint64_t reasons = 0;
    for (size_t i = 0; i < rows->per_row; i++) reasons |= reasons_of_string(row[i], rows->least, rows->most);
    size_t same = rows->before && same_row(rows->before, row, rows->per_row) ? rows->same + 1 : 1;
    if (!(reasons & REJECTED)) {
        rows->same = same;
        rows->before = row;
    }
    return same >= WINDOW ? reasons | (uint64_t)1 << ERAI_REASON_STUCK : reasons;
}

/* ---- The guard ---- */

static void add_check(erai_policy *policy, erai_check_rule rule) {
    rule.struct_size = sizeof rule;
    must(erai_policy_add_check(policy, &rule, NULL) == ERAI_OK);
}

static erai_session *open_session(const word_rows *rows) {
    const int64_t shape[] = {-1, (int64_t)rows->per_row}, most[] = {MOST_STRINGS, (int64_t)rows->per_row};
    const int64_t output_shape[] = {-1};
    const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    erai_policy *policy = NULL;
    must(erai_policy_open(1, &policy) == ERAI_OK);
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "words",
                             .shape = shape,
                             .max_shape = most,
                             .rank = 2,
                             .dtype = ERAI_DTYPE_STRING,
                             .feature_axis = -1,
                             .sketch_stride = 1};
    erai_feature_rule feature = {
        .struct_size = sizeof feature, .name = "words", .low = -(double)INFINITY, .high = (double)INFINITY};
    erai_output_rule output = {
        .struct_size = sizeof output, .name = "y", .shape = output_shape, .rank = 1, .dtype = ERAI_DTYPE_FLOAT32};
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK);
    must(erai_policy_add_feature(policy, &feature, NULL) == ERAI_OK);
    add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_CATEGORIES,
                                        .verdict = ERAI_VERDICT_FLAG,
                                        .texts = categories,
                                        .count = CATEGORIES});
    add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_LENGTH,
                                        .verdict = ERAI_VERDICT_REJECT,
                                        .low = (double)rows->least,
                                        .high = (double)rows->most});
    add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_CHARACTERS,
                                        .verdict = ERAI_VERDICT_REJECT,
                                        .values = ranges,
                                        .count = 2 * RANGES});
    add_check(policy, (erai_check_rule){.kind = ERAI_CHECK_STUCK, .verdict = ERAI_VERDICT_FLAG, .window = WINDOW});
    must(erai_policy_add_output(policy, &output, NULL) == ERAI_OK);
    size_t size;
    must(erai_policy_write(policy, NULL, 0, &size, NULL) == ERAI_E_SIZE);
    uint8_t *bytes = malloc(size);
    erai_guard *guard = NULL;
    erai_session *session = NULL;
    must(bytes && erai_policy_write(policy, bytes, size, &size, NULL) == ERAI_OK);
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK);
    must(erai_session_open_guard(guard, digest, NULL, &session, NULL) == ERAI_OK);
    erai_guard_close(guard);
    erai_policy_close(policy);
    free(bytes);
    return session;
}

/* ---- Both of them ---- */

static void compare(word_rows *rows, erai_session *session, erai_answer *answer, const erai_string *first,
                    size_t count) {
    const int64_t shape[] = {(int64_t)count, (int64_t)rows->per_row};
    const erai_tensor tensor = {.data = first, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_STRING};
    size_t admitted, rejected = 0;
    must(erai_admit(session, &tensor, 1, answer, &admitted) == ERAI_OK);
    const uint8_t *verdicts;
    const erai_reason *reasons;
    size_t reason_count = erai_answer_reasons(answer, &reasons);
    must(erai_answer_rows(answer, &verdicts, NULL) == count);
    const uint64_t rejecting = (uint64_t)1 << ERAI_REASON_LENGTH | (uint64_t)1 << ERAI_REASON_CHARACTER;
    for (size_t row = 0; row < count; row++) {
        uint64_t expected = reasons_of_row(rows, first + row * rows->per_row), found = 0;
        for (size_t i = 0; i < reason_count; i++) {
            if (reasons[i].row != (int64_t)row) continue;
            must(!(found >> reasons[i].code & 1) && reasons[i].element < rows->per_row);
            found |= (uint64_t)1 << reasons[i].code;
        }
        must(found == expected);
        must(verdicts[row] == (expected & rejecting ? ERAI_VERDICT_REJECT
                               : expected           ? ERAI_VERDICT_FLAG
                                                    : ERAI_VERDICT_ACCEPT));
        rejected += verdicts[row] == ERAI_VERDICT_REJECT;
    }
    must(admitted == count - rejected);
}

static void cut(word_rows *rows, const uint8_t *data, size_t size) {
    for (size_t at = 0; at < size && rows->count < MOST_STRINGS;) {
        size_t length = data[at++] % 64;
        if (length > size - at) length = size - at;
        char *bytes = length ? malloc(length) : NULL;
        must(!length || bytes);
        if (length) memcpy(bytes, data + at, length);
        rows->strings[rows->count++] = (erai_string){.bytes = bytes, .size = length};
        at += length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) return 0;
    word_rows rows = {.per_row = data[0] % 4u + 1, .least = data[2] % 8u};
    size_t per_call = data[1] % 5u + 1;
    rows.most = rows.least + data[3] % 32u;
    cut(&rows, data + 4, size - 4);
    erai_session *session = open_session(&rows);
    erai_answer *answer = NULL;
    must(erai_answer_open(session, &answer) == ERAI_OK);
    size_t whole = rows.count / rows.per_row;
    for (size_t row = 0; row < whole; row += per_call)
        compare(&rows, session, answer, rows.strings + row * rows.per_row,
                whole - row < per_call ? whole - row : per_call);
    erai_answer_close(answer);
    erai_session_close(session);
    for (size_t i = 0; i < rows.count; i++) free((void *)(uintptr_t)rows.strings[i].bytes);
    return 0;
}
