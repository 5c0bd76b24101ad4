/* JSON written piece by piece. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdint.h>
#include <stdio.h>

typedef struct bench_json {
    FILE *file;
    int comma; /* a value stands before, in the same object or list */
} bench_json;

/* `key` is NULL for what stands in a list, and for the outermost. */
void bench_json_open(bench_json *json, const char *key, char bracket);
void bench_json_close(bench_json *json, char bracket);
void bench_json_text(bench_json *json, const char *key, const char *value);
void bench_json_known(bench_json *json, const char *key, const char *value); /* NULL, or empty: null */
void bench_json_whole(bench_json *json, const char *key, int64_t value);
void bench_json_number(bench_json *json, const char *key, double value); /* what is not finite: null */
void bench_json_bool(bench_json *json, const char *key, int value);
void bench_json_null(bench_json *json, const char *key);

#endif
