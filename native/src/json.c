/* A JSON reader (RFC 8259) without recursion. The text is copied once; strings are unescaped in place there, which
 * never makes them longer, and end with a zero written over their closing quote. Values lie in one array in document
 * order. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

#define MAX_NUMBER_LENGTH 127

struct er_json {
    char *text;
    er_json_value *values;
};

typedef struct reader {
    char *text; /* ends with a zero, which no token contains */
    size_t at;
    size_t size;
    er_json_value *values;
    size_t count;
    size_t capacity;
    size_t open[ER_JSON_MAX_DEPTH]; /* indexes of the containers around the current place */
    size_t depth;
    char *detail;
} reader;

static erai_status malformed(const reader *r, size_t at, const char *what) {
    return er_fail(r->detail, ERAI_E_BUNDLE_FORMAT, "%s at byte %zu", what, at);
}

static void skip_space(reader *r) {
    while (r->at < r->size &&
           (r->text[r->at] == ' ' || r->text[r->at] == '\t' || r->text[r->at] == '\n' || r->text[r->at] == '\r'))
        r->at++;
}

static erai_status add_value(reader *r, er_json_kind kind, const char *text, size_t length) {
    if (r->count == r->capacity) {
        if (r->capacity >= ER_JSON_MAX_VALUES) return malformed(r, r->at, "too many values");
        size_t capacity = r->capacity > 0 ? 2 * r->capacity : 256;
        er_json_value *values = realloc(r->values, capacity * sizeof *values);
        if (values == NULL) return er_fail(r->detail, ERAI_E_MEMORY, "no memory for %zu JSON values", capacity);
        r->values = values;
        r->capacity = capacity;
    }
    r->values[r->count++] =
        (er_json_value){.text = text, .length = (uint32_t)length, .span = 1, .kind = (uint32_t)kind};
    return ERAI_OK;
}

/* Bytes of the well-formed UTF-8 sequence (Unicode 15, table 3-7) at p, 0 when it is not one. */
static size_t utf8_sequence(const unsigned char *p, size_t left) {
    if (p[0] < 0x80) return 1;
    size_t size = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (size == 0 || size > left) return 0;
    unsigned char low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return size;
}

static size_t utf8_write(char *out, uint32_t point) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, point >>= 6) out[i] = (char)(0x80 | (point & 0x3F));
    out[0] = (char)(0xF00u >> size | point); /* 0xC0, 0xE0, 0xF0 in the low byte */
    return size;
}

/* Reads the four digits of a \u escape; 0x110000 when they are not there. */
static uint32_t read_hex4(reader *r) {
    if (r->size - r->at < 4) return 0x110000;
    uint32_t unit = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = r->text[r->at + i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return 0x110000;
        unit = unit << 4 | digit;
    }
    r->at += 4;
    return unit;
}

/* Reads what follows a backslash and returns the code point, 0x110000 when it is not an escape. */
static uint32_t read_escape(reader *r) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (r->at >= r->size) return 0x110000;
    char c = r->text[r->at++];
    if (c != 'u') {
        const char *letter = c != '\0' ? strchr(letters, c) : NULL;
        return letter != NULL ? (uint32_t)meanings[letter - letters] : 0x110000;
    }
    uint32_t unit = read_hex4(r);
    if (unit < 0xD800 || unit > 0xDFFF) return unit;
    if (unit > 0xDBFF || r->size - r->at < 6 || r->text[r->at] != '\\' || r->text[r->at + 1] != 'u') return 0x110000;
    r->at += 2;
    uint32_t low = read_hex4(r);
    if (low < 0xDC00 || low > 0xDFFF) return 0x110000;
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

static erai_status read_string(reader *r) {
    size_t start = ++r->at;
    char *out = r->text + start;
    while (r->at < r->size && r->text[r->at] != '"') {
        size_t here = r->at;
        if (r->text[here] == '\\') {
            r->at++;
            uint32_t point = read_escape(r);
            if (point >= 0x110000) return malformed(r, here, "an invalid escape in a string");
            out += utf8_write(out, point);
            continue;
        }
        size_t length = utf8_sequence((const unsigned char *)r->text + here, r->size - here);
        if (length == 0) return malformed(r, here, "invalid UTF-8 in a string");
        if ((unsigned char)r->text[here] < 0x20) return malformed(r, here, "a control character in a string");
        memmove(out, r->text + here, length);
        out += length;
        r->at += length;
    }
    if (r->at >= r->size) return malformed(r, start - 1, "a string that does not end");
    r->at++;
    *out = '\0';
    return add_value(r, ER_JSON_STRING, r->text + start, (size_t)(out - (r->text + start)));
}

static size_t skip_digits(reader *r) {
    size_t start = r->at;
    while (r->at < r->size && r->text[r->at] >= '0' && r->text[r->at] <= '9') r->at++;
    return r->at - start;
}

static erai_status read_number(reader *r) {
    size_t start = r->at;
    if (r->text[r->at] == '-') r->at++;
    size_t first = r->at;
    size_t digits = skip_digits(r);
    if (digits == 0 || (digits > 1 && r->text[first] == '0')) return malformed(r, start, "an invalid number");
    if (r->at < r->size && r->text[r->at] == '.') {
        r->at++;
        if (skip_digits(r) == 0) return malformed(r, start, "an invalid number");
    }
    if (r->at < r->size && (r->text[r->at] == 'e' || r->text[r->at] == 'E')) {
        r->at++;
        if (r->at < r->size && (r->text[r->at] == '+' || r->text[r->at] == '-')) r->at++;
        if (skip_digits(r) == 0) return malformed(r, start, "an invalid number");
    }
    return add_value(r, ER_JSON_NUMBER, r->text + start, r->at - start);
}

static erai_status read_word(reader *r) {
    static const struct {
        const char *word;
        er_json_kind kind;
    } words[] = {{"null", ER_JSON_NULL}, {"true", ER_JSON_TRUE}, {"false", ER_JSON_FALSE}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i].word);
        if (r->size - r->at < length || memcmp(r->text + r->at, words[i].word, length) != 0) continue;
        r->at += length;
        return add_value(r, words[i].kind, NULL, 0);
    }
    return malformed(r, r->at, "expected a value");
}

static erai_status open_container(reader *r, er_json_kind kind) {
    if (r->depth == ER_JSON_MAX_DEPTH) return malformed(r, r->at, "too many nested arrays and objects");
    r->open[r->depth++] = r->count;
    r->at++;
    return add_value(r, kind, NULL, 0);
}

/* Reads a key with its colon, up to where the member's value begins. */
static erai_status read_key(reader *r) {
    if (r->at >= r->size || r->text[r->at] != '"') return malformed(r, r->at, "expected a key in quotes");
    erai_status status = read_string(r);
    if (status != ERAI_OK) return status;
    skip_space(r);
    if (r->at >= r->size || r->text[r->at] != ':') return malformed(r, r->at, "expected ':' after a key");
    r->at++;
    return ERAI_OK;
}

static erai_status read_value(reader *r) {
    skip_space(r);
    char c = r->at < r->size ? r->text[r->at] : '\0';
    if (c == '{') return open_container(r, ER_JSON_OBJECT);
    if (c == '[') return open_container(r, ER_JSON_ARRAY);
    if (c == '"') return read_string(r);
    if (c == '-' || (c >= '0' && c <= '9')) return read_number(r);
    return read_word(r);
}

/* A member or element was completed: counts it and, in an object, lets its key's span cover it. */
static void complete_item(reader *r, er_json_value *container, size_t item) {
    container->count++;
    if (container->kind == ER_JSON_OBJECT) r->values[item].span = (uint32_t)(r->count - item);
}

/* After a value that is complete: closes containers and reads separators up to where the next value begins, or to the
 * end. items[d] is where the current member or element of the container at depth d + 1 begins. */
static erai_status read_between(reader *r, size_t items[ER_JSON_MAX_DEPTH], bool opened) {
    while (r->depth > 0) {
        er_json_value *container = &r->values[r->open[r->depth - 1]];
        bool is_object = container->kind == ER_JSON_OBJECT;
        if (!opened) complete_item(r, container, items[r->depth - 1]);
        skip_space(r);
        char c = r->at < r->size ? r->text[r->at] : '\0';
        if (c == (is_object ? '}' : ']')) {
            container->span = (uint32_t)(r->count - r->open[r->depth - 1]);
            r->at++;
            r->depth--;
            opened = false;
            continue;
        }
        if (!opened) {
            if (c != ',') return malformed(r, r->at, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
            r->at++;
            skip_space(r);
        }
        items[r->depth - 1] = r->count;
        return is_object ? read_key(r) : ERAI_OK;
    }
    return ERAI_OK;
}

static erai_status read_document(reader *r) {
    size_t items[ER_JSON_MAX_DEPTH];
    do {
        size_t depth = r->depth;
        erai_status status = read_value(r);
        if (status == ERAI_OK) status = read_between(r, items, r->depth > depth);
        if (status != ERAI_OK) return status;
    } while (r->depth > 0);
    skip_space(r);
    return r->at == r->size ? ERAI_OK : malformed(r, r->at, "expected nothing more after the value");
}

static int compare_keys(const void *a, const void *b) {
    const er_json_value *x = *(const er_json_value *const *)a, *y = *(const er_json_value *const *)b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* Sorts each object's keys rather than comparing them pairwise: a hostile object may have half a million. */
static erai_status refuse_duplicate_keys(const reader *r) {
    const er_json_value **keys = malloc(r->count * sizeof *keys);
    if (keys == NULL) return er_fail(r->detail, ERAI_E_MEMORY, "no memory for %zu JSON keys", r->count);
    erai_status status = ERAI_OK;
    for (size_t i = 0; i < r->count && status == ERAI_OK; i++) {
        const er_json_value *object = &r->values[i];
        if (object->kind != ER_JSON_OBJECT || object->count < 2) continue;
        size_t count = 0;
        for (const er_json_value *key = er_json_first(object); key != NULL; key = er_json_next(object, key))
            keys[count++] = key;
        qsort(keys, count, sizeof *keys, compare_keys);
        for (size_t k = 1; k < count && status == ERAI_OK; k++)
            if (compare_keys(&keys[k - 1], &keys[k]) == 0)
                status = er_fail(r->detail, ERAI_E_BUNDLE_FORMAT, "the key '%s' twice in one object", keys[k]->text);
    }
    free(keys);
    return status;
}

erai_status er_json_open(const void *text, size_t size, er_json **json, char *detail) {
    if (size > ER_JSON_MAX_SIZE)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%zu bytes, more than the %zu allowed", size, ER_JSON_MAX_SIZE);
    er_json *made = malloc(sizeof *made);
    reader r = {.text = malloc(size + 1), .size = size, .detail = detail};
    erai_status status = ERAI_OK;
    if (made == NULL || r.text == NULL) {
        status = er_fail(detail, ERAI_E_MEMORY, "no memory for a JSON text of %zu bytes", size);
    } else {
        if (size > 0) memcpy(r.text, text, size);
        r.text[size] = '\0';
        status = read_document(&r);
    }
    if (status == ERAI_OK) status = refuse_duplicate_keys(&r);
    if (status != ERAI_OK) {
        free(r.values);
        free(r.text);
        free(made);
        return status;
    }
    *made = (er_json){.text = r.text, .values = r.values};
    *json = made;
    return ERAI_OK;
}

void er_json_close(er_json *json) {
    if (json == NULL) return;
    free(json->values);
    free(json->text);
    free(json);
}

const er_json_value *er_json_root(const er_json *json) {
    return json->values;
}

bool er_json_is(const er_json_value *value, er_json_kind kind) {
    return value != NULL && value->kind == (uint32_t)kind;
}

const er_json_value *er_json_first(const er_json_value *container) {
    if (!er_json_is(container, ER_JSON_ARRAY) && !er_json_is(container, ER_JSON_OBJECT)) return NULL;
    return container->count > 0 ? container + 1 : NULL;
}

const er_json_value *er_json_next(const er_json_value *container, const er_json_value *value) {
    const er_json_value *next = value + value->span;
    return next < container + container->span ? next : NULL;
}

const er_json_value *er_json_get(const er_json_value *object, const char *key) {
    if (!er_json_is(object, ER_JSON_OBJECT)) return NULL;
    size_t length = strlen(key);
    for (const er_json_value *k = er_json_first(object); k != NULL; k = er_json_next(object, k))
        if (k->length == length && memcmp(k->text, key, length) == 0) return k + 1;
    return NULL;
}

const char *er_json_text(const er_json_value *value) {
    if (!er_json_is(value, ER_JSON_STRING) || memchr(value->text, '\0', value->length) != NULL) return NULL;
    return value->text;
}

bool er_json_int64(const er_json_value *value, int64_t *number) {
    if (!er_json_is(value, ER_JSON_NUMBER)) return false;
    bool negative = value->text[0] == '-';
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t magnitude = 0;
    for (uint32_t i = negative ? 1 : 0; i < value->length; i++) {
        char c = value->text[i];
        if (c < '0' || c > '9') return false;
        uint64_t digit = (uint64_t)(c - '0');
        if (magnitude > (limit - digit) / 10) return false;
        magnitude = magnitude * 10 + digit;
    }
    *number = negative && magnitude > 0 ? -(int64_t)(magnitude - 1) - 1 : (int64_t)magnitude;
    return true;
}

bool er_json_double(const er_json_value *value, double *number) {
    if (!er_json_is(value, ER_JSON_NUMBER) || value->length > MAX_NUMBER_LENGTH) return false;
    /* strtod expects the decimal point of the program's locale, which a formatted number shows. */
    char sample[16], written[MAX_NUMBER_LENGTH + sizeof sample];
    snprintf(sample, sizeof sample, "%.1f", 0.5);
    size_t point_size = strlen(sample) > 2 ? strlen(sample) - 2 : 0, length = 0;
    for (uint32_t i = 0; i < value->length; i++) {
        if (value->text[i] != '.') {
            written[length++] = value->text[i];
            continue;
        }
        memcpy(written + length, sample + 1, point_size);
        length += point_size;
    }
    written[length] = '\0';
    double read = strtod(written, NULL);
    if (!isfinite(read)) return false;
    *number = read;
    return true;
}
