/* Strings as tensors bring them: bytes that may hold anything, zeros too, and claim to be UTF-8 (RFC 3629). */
#ifndef ER_TEXT_H
#define ER_TEXT_H

#include "edge_rai.h"

/* The code point that begins at byte *at, which is below text.size and moves past it. -1: none begins there, and *at
 * moves past that one byte. */
int32_t er_next_point(erai_string text, size_t *at);

/* Code points, where each byte that is part of none counts as one. */
size_t er_count_points(erai_string text);

/* Less than, equal to or greater than 0 as `text` comes before, is, or comes after `terminated`, in the order of their
 * bytes as unsigned numbers: strcmp's. */
int er_compare_text(erai_string text, const char *terminated);

#endif
