/* Strict reading of JSON that may come from anybody. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_JSON_H
#define ER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

#define ER_JSON_MAX_SIZE ((size_t)16 << 20)
#define ER_JSON_MAX_DEPTH 32
#define ER_JSON_MAX_VALUES ((size_t)1 << 20)

typedef enum er_json_kind {
    ER_JSON_NULL,
    ER_JSON_TRUE,
    ER_JSON_FALSE,
    ER_JSON_NUMBER,
    ER_JSON_STRING,
    ER_JSON_ARRAY,
    ER_JSON_OBJECT
} er_json_kind;

/* A value, in document order in one array: a container is followed by what it holds, a key by its member's value. */
typedef struct er_json_value {
    const char *text; /* string: unescaped UTF-8, zero-terminated; number: as written, NOT zero-terminated */
    uint32_t length;  /* bytes of text */
    uint32_t count;   /* array: elements; object: members */
    uint32_t span;    /* values up to the next sibling, this one included */
    uint32_t kind;    /* er_json_kind */
} er_json_value;

typedef struct er_json er_json; /* immutable; any thread */

/* Reads one RFC 8259 text in UTF-8. Refuses with ERAI_E_BUNDLE_FORMAT whatever the RFC does not allow, and also
 * duplicate keys, lone surrogates, a byte order mark and anything past the limits above; the detail says at which byte.
 * The text is copied. */
erai_status er_json_open(const void *text, size_t size, er_json **json, char *detail);
void er_json_close(er_json *json);
const er_json_value *er_json_root(const er_json *json);

/* The member's value, NULL when there is none or `object` is NULL or not an object. */
const er_json_value *er_json_get(const er_json_value *object, const char *key);

/* Elements of an array, or keys of an object (the value of a member is key + 1). NULL after the last. */
const er_json_value *er_json_first(const er_json_value *container);
const er_json_value *er_json_next(const er_json_value *container, const er_json_value *value);

bool er_json_is(const er_json_value *value, er_json_kind kind); /* false for NULL */
/* The text of a string; NULL for anything else, and for a string that holds a zero. Lives as long as the er_json. */
const char *er_json_text(const er_json_value *value);
/* False, and nothing stored, unless value is a number written as an integer that fits. */
bool er_json_int64(const er_json_value *value, int64_t *number);
/* False, and nothing stored, unless value is a number of at most 127 characters and finite as a double. */
bool er_json_double(const er_json_value *value, double *number);

#endif
