/* Members of a zip (PKWARE's APPNOTE 6.3) that are stored as they are, as numpy.savez writes them, found by the
 * directory at its end. SPDX-License-Identifier: Apache-2.0 */
#include "npz.h"

#include <string.h>

#include "failure.h"

enum { LOCAL = 30, CENTRAL = 46, END = 22, MOST_COMMENT = 65535 };

static uint32_t number(const uint8_t *at, int bytes) {
    uint32_t value = 0;
    for (int i = bytes; i-- > 0;) value = value << 8 | at[i];
    return value;
}

/* The directory's end; NULL: there is none. */
static const uint8_t *end_of(const uint8_t *bytes, size_t size) {
    for (size_t back = END; back <= size && back <= END + MOST_COMMENT; back++)
        if (number(bytes + size - back, 4) == 0x06054B50) return bytes + size - back;
    return NULL;
}

/* Entry i of the directory; NULL where it ends before. */
static const uint8_t *entry_of(const uint8_t *bytes, size_t size, const uint8_t *end, size_t i) {
    size_t at = number(end + 16, 4), last = (size_t)(end - bytes);
    if (i >= number(end + 10, 2)) return NULL;
    for (;; i--) {
        if (at > last || last - at < CENTRAL || number(bytes + at, 4) != 0x02014B50) return NULL;
        size_t length = CENTRAL + number(bytes + at + 28, 2) + number(bytes + at + 30, 2) + number(bytes + at + 32, 2);
        if (length > size - at) return NULL;
        if (!i) return bytes + at;
        at += length;
    }
}

int bench_npz_member(const uint8_t *bytes, size_t size, size_t i, char *name, const uint8_t **member,
                     size_t *member_size, char *detail) {
    const uint8_t *end = end_of(bytes, size);
    if (!end) return bench_fail(detail, UNSOUND, "it is no .npz file; expected one that numpy.savez wrote");
    if (i >= number(end + 10, 2)) return MISSING;
    const uint8_t *entry = entry_of(bytes, size, end, i);
    if (!entry) return bench_fail(detail, UNSOUND, "the directory at its end is damaged");
    size_t length = number(entry + 28, 2), at = number(entry + 42, 4);
    if (length < 5 || length >= BENCH_MOST_NAME || memcmp(entry + CENTRAL + length - 4, ".npy", 4))
        return bench_fail(detail, UNSOUND, "it holds a file that is no array; expected what numpy.savez wrote");
    memcpy(name, entry + CENTRAL, length - 4);
    name[length - 4] = 0;
    if (number(entry + 10, 2))
        return bench_fail(detail, UNSOUND, "%.100s is compressed; save it with numpy.savez", name);
    *member_size = number(entry + 24, 4);
    if (at > size || size - at < LOCAL || number(bytes + at, 4) != 0x04034B50)
        return bench_fail(detail, UNSOUND, "%.100s is not where its directory says", name);
    at += LOCAL + number(bytes + at + 26, 2) + number(bytes + at + 28, 2);
    if (at > size || *member_size > size - at) return bench_fail(detail, UNSOUND, "%.100s is cut short", name);
    *member = bytes + at;
    return FINE;
}
