/* Files read whole. SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { FIRST = 65536 };

int bench_file_read(const char *path, uint8_t **bytes, size_t *size, char *detail) {
    FILE *file = fopen(path, "rb");
    size_t capacity = 0, got = 1;
    *bytes = NULL;
    *size = 0;
    if (!file) return bench_fail(detail, ENVIRONMENT, "%.300s: %s", path, strerror(errno));
    while (got) {
        if (*size == capacity) {
            capacity = capacity ? 2 * capacity : FIRST;
            *bytes = bench_resize(*bytes, capacity, 1);
        }
        got = fread(*bytes + *size, 1, capacity - *size, file);
        *size += got;
    }
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (!failed) return FINE;
    free(*bytes);
    *bytes = NULL;
    return bench_fail(detail, ENVIRONMENT, "%.300s: %s", path, strerror(failed));
}

void bench_file_text(const char *path, char *text, size_t capacity) {
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(text, 1, capacity - 1, file) : 0;
    if (file) fclose(file);
    while (size && strchr(" \n\t", text[size - 1])) size--; /* and the NUL of a device tree's text */
    text[size] = 0;
}
