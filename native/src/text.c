/* UTF-8 as RFC 3629 defines it, by the table in its section 4: the lead byte tells how many bytes follow and, for some,
 * a narrower range of the first of them, which is all it takes to exclude overlong forms, surrogates and what is beyond
 * U+10FFFF. */
#include "text.h"

#include <string.h>

/* How many bytes follow this lead byte; 0: it is ASCII, or leads nothing. */
static unsigned followers(uint8_t lead) {
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
}

/* Whether `byte` may be the first to follow `lead`. */
static int may_follow(uint8_t lead, uint8_t byte) {
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return byte >= low && byte <= high;
}

int32_t er_next_point(erai_string text, size_t *at) {
    const uint8_t *bytes = (const uint8_t *)text.bytes + *at;
    size_t left = text.size - *at;
    uint8_t lead = bytes[0];
    ++*at;
    if (lead < 0x80) return lead;
    unsigned more = followers(lead);
    if (more == 0 || more >= left || !may_follow(lead, bytes[1])) return -1;
    uint32_t point = lead & (0x3Fu >> more);
    for (unsigned i = 1; i <= more; i++) {
        if ((bytes[i] & 0xC0) != 0x80) return -1;
        point = point << 6 | (bytes[i] & 0x3Fu);
    }
    *at += more;
    return (int32_t)point;
}

size_t er_count_points(erai_string text) {
    size_t count = 0;
    for (size_t at = 0; at < text.size; count++) er_next_point(text, &at);
    return count;
}

int er_compare_text(erai_string text, const char *terminated) {
    size_t size = strlen(terminated), common = size < text.size ? size : text.size;
    int order = common ? memcmp(text.bytes, terminated, common) : 0;
    return order ? order : (text.size > size) - (text.size < size);
}
