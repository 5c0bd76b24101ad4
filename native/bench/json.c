/* JSON written piece by piece (RFC 8259). What is not UTF-8 in a string, as a path may have it, becomes what Python's
 * "surrogateescape" makes of it. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <inttypes.h>
#include <math.h>

/* Bytes of the UTF-8 character that begins there; 0: none does. */
static int character(const unsigned char *at) {
    int more = *at < 0x80                  ? 0
               : *at >= 0xC2 && *at < 0xE0 ? 1
               : *at >= 0xE0 && *at < 0xF0 ? 2
               : *at >= 0xF0 && *at < 0xF5 ? 3
                                           : -1;
    for (int i = 1; i <= more; i++)
        if (at[i] < 0x80 || at[i] > 0xBF) return 0;
    if ((*at == 0xE0 && at[1] < 0xA0) || (*at == 0xED && at[1] > 0x9F)) return 0; /* too long, or a surrogate */
    if ((*at == 0xF0 && at[1] < 0x90) || (*at == 0xF4 && at[1] > 0x8F)) return 0;
    return more + 1;
}

static void put_string(FILE *file, const char *text) {
    putc('"', file);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        int size = character(at);
        if (!size) {
            fprintf(file, "\\udc%02x", *at++);
        } else if (*at == '"' || *at == '\\') {
            fprintf(file, "\\%c", *at++);
        } else if (*at < 0x20) {
            fprintf(file, "\\u%04x", *at++);
        } else {
            while (size--) putc(*at++, file);
        }
    }
    putc('"', file);
}

static void begin(bench_json *json, const char *key) {
    if (json->comma) fputs(key ? ",\n" : ", ", json->file);
    json->comma = 1;
    if (!key) return;
    put_string(json->file, key);
    fputs(": ", json->file);
}

void bench_json_open(bench_json *json, const char *key, char bracket) {
    begin(json, key);
    putc(bracket, json->file);
    json->comma = 0;
}

void bench_json_close(bench_json *json, char bracket) {
    putc(bracket, json->file);
    json->comma = 1;
}

void bench_json_text(bench_json *json, const char *key, const char *value) {
    begin(json, key);
    put_string(json->file, value);
}

void bench_json_known(bench_json *json, const char *key, const char *value) {
    if (value && *value)
        bench_json_text(json, key, value);
    else
        bench_json_null(json, key);
}

void bench_json_whole(bench_json *json, const char *key, int64_t value) {
    begin(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void bench_json_number(bench_json *json, const char *key, double value) {
    begin(json, key);
    if (isfinite(value))
        fprintf(json->file, "%.17g", value);
    else
        fputs("null", json->file);
}

void bench_json_bool(bench_json *json, const char *key, int value) {
    begin(json, key);
    fputs(value ? "true" : "false", json->file);
}

void bench_json_null(bench_json *json, const char *key) {
    begin(json, key);
    fputs("null", json->file);
}
