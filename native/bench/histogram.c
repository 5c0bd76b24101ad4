/* Latencies as an HdrHistogram: its bucket layout and its V2 compressed form, for any of its readers.
 *
 * Layout and encoding are those of github.com/HdrHistogram/HdrHistogram (AbstractHistogram.java, ZigZagEncoding.java):
 * values up to 2^11 each in a bucket of its own, above that 1,024 buckets for each doubling. What zlib would compress
 * is in its stored blocks (RFC 1950, RFC 1951). SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { DIGITS = 3, SUB_BITS = 11, HALF = 1024, LOWEST = 1, BUCKETS = 34 * HALF, HEADER = 40, MOST_VARINT = 9 };
enum { STORED = 65535, STORED_HEADER = 5, ZLIB_HEADER = 2, ZLIB_END = 4, FRAME = 8 };

static const uint32_t ENCODED = 0x1C849313, COMPRESSED = 0x1C849314;
static const int64_t HIGHEST_NS = 3600000000000;

/* HdrHistogram's index of a bucket. */
static size_t index_of(int64_t value) {
    uint32_t bits = 0;
    for (uint64_t rest = (uint64_t)value >> SUB_BITS; rest; rest >>= 1) bits++;
    return ((size_t)(bits + 1) << (SUB_BITS - 1)) + (size_t)(value >> bits) - HALF;
}

static uint8_t *put_whole(uint8_t *at, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

/* ZigZag LEB128 in at most nine bytes. */
static uint8_t *put_count(uint8_t *at, int64_t value) {
    uint64_t rest = (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
    for (int i = 0; rest >= 0x80 && i < MOST_VARINT - 1; i++, rest >>= 7) *at++ = (uint8_t)(rest | 0x80);
    *at++ = (uint8_t)rest;
    return at;
}

/* The header and the counts; the number of bytes. */
static size_t encode(const int64_t *counts, uint8_t *body) {
    uint8_t *at = body + HEADER;
    int64_t empty = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        if (!counts[i]) {
            empty++;
            continue;
        }
        if (empty) at = put_count(at, -empty);
        empty = 0;
        at = put_count(at, counts[i]);
    }
    size_t size = (size_t)(at - body);
    at = put_whole(put_whole(body, ENCODED, 4), size - HEADER, 4);
    at = put_whole(put_whole(at, 0, 4), DIGITS, 4);
    at = put_whole(put_whole(at, LOWEST, 8), (uint64_t)HIGHEST_NS, 8);
    put_whole(at, 0x3FF0000000000000u, 8); /* 1.0 */
    return size;
}

/* A zlib stream of stored blocks, after its length and HdrHistogram's cookie; the number of bytes. */
static size_t pack(const uint8_t *body, size_t size, uint8_t *packed) {
    uint32_t low = 1, high = 0; /* Adler-32 */
    for (size_t i = 0; i < size; i++) {
        low = (low + body[i]) % 65521;
        high = (high + low) % 65521;
    }
    uint8_t *at = packed + FRAME;
    *at++ = 0x78;
    *at++ = 0x01;
    for (size_t done = 0; done < size;) {
        size_t part = size - done < STORED ? size - done : STORED;
        *at++ = done + part == size;
        *at++ = (uint8_t)part;
        *at++ = (uint8_t)(part >> 8);
        *at++ = (uint8_t)~part;
        *at++ = (uint8_t)(~part >> 8);
        memcpy(at, body + done, part);
        at += part;
        done += part;
    }
    at = put_whole(at, high << 16 | low, 4);
    size_t all = (size_t)(at - packed);
    put_whole(put_whole(packed, COMPRESSED, 4), all - FRAME, 4);
    return all;
}

static char *base64(const uint8_t *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = bench_allocate((size + 2) / 3 * 4 + 1, 1), *at = text;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        *at++ = digits[three >> 18];
        *at++ = digits[three >> 12 & 63];
        *at++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[three & 63] : '=';
    }
    return text;
}

char *bench_histogram(const int64_t *latency, size_t count) {
    int64_t *counts = bench_allocate(BUCKETS, sizeof *counts);
    for (size_t i = 0; i < count; i++) {
        int64_t value = latency[i] < 0 ? 0 : latency[i] > HIGHEST_NS ? HIGHEST_NS : latency[i];
        counts[index_of(value)]++;
    }
    size_t most = HEADER + (size_t)BUCKETS * MOST_VARINT;
    uint8_t *body = bench_allocate(most, 1);
    size_t size = encode(counts, body);
    uint8_t *packed = bench_allocate(FRAME + ZLIB_HEADER + size + (size / STORED + 1) * STORED_HEADER + ZLIB_END, 1);
    char *text = base64(packed, pack(body, size, packed));
    free(counts);
    free(body);
    free(packed);
    return text;
}
