/* Reading never passes the end, and what was written reads back. SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <math.h>
#include <stdlib.h>

#include "er_test.h"

static void numbers_are_little_endian(void) {
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    er_reader in = {.data = bytes, .size = sizeof bytes};
    ER_CHECK_INT(er_read_u8(&in), 0x01);
    ER_CHECK_INT(er_read_u16(&in), 0x0302);
    ER_CHECK_INT(er_read_u32(&in), 0x07060504);
    ER_CHECK(er_read_u64(&in) == 0x0f0e0d0c0b0a0908u);
    ER_CHECK_INT(in.failed, 0);
    ER_CHECK_INT(in.at, sizeof bytes);
}

static void a_short_read_gives_zero_for_good(void) {
    uint8_t *bytes = malloc(3); /* so that the sanitizer sees a read past it */
    if (bytes == NULL) abort();
    memset(bytes, 0xff, 3);
    er_reader in = {.data = bytes, .size = 3};
    ER_CHECK_INT(er_read_u32(&in), 0);
    ER_CHECK_INT(in.failed, 1);
    ER_CHECK_INT(er_read_u8(&in), 0);
    ER_CHECK(er_read_bytes(&in, 0) == NULL);
    ER_CHECK(er_read_f32(&in) == 0.0f && er_read_f64(&in) == 0.0);
    ER_CHECK(er_read_varint(&in) == 0);
    er_reader huge = {.data = bytes, .size = 3, .at = 1};
    ER_CHECK(er_read_bytes(&huge, SIZE_MAX) == NULL);
    free(bytes);
}

static void everything_written_reads_back(void) {
    er_writer out = {0};
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    enum { COUNT = sizeof values / sizeof *values };
    for (size_t i = 0; i < COUNT; i++) {
        er_write_varint(&out, values[i]);
        er_write_u64(&out, values[i]);
        er_write_u32(&out, (uint32_t)values[i]);
        er_write_u16(&out, (uint16_t)values[i]);
        er_write_u8(&out, (uint8_t)values[i]);
    }
    er_write_f32(&out, -0.0f);
    er_write_f64(&out, INFINITY);
    er_write_f32(&out, NAN);
    er_patch_u32(&out, 1, 0xdeadbeef);
    ER_CHECK_INT(out.failed, 0);
    er_reader in = {.data = out.data, .size = out.size};
    for (size_t i = 0; i < COUNT; i++) {
        ER_CHECK(er_read_varint(&in) == values[i]);
        uint64_t wide = er_read_u64(&in);
        ER_CHECK(wide == (i == 0 ? 0xdeadbeef : values[i]));
        ER_CHECK(er_read_u32(&in) == (uint32_t)values[i]);
        ER_CHECK(er_read_u16(&in) == (uint16_t)values[i]);
        ER_CHECK(er_read_u8(&in) == (uint8_t)values[i]);
    }
    ER_CHECK(signbit(er_read_f32(&in)) != 0);
    ER_CHECK(isinf(er_read_f64(&in)));
    ER_CHECK(isnan(er_read_f32(&in)));
    ER_CHECK(!in.failed && in.at == in.size);
    free(out.data);
}

static int varint_refused(const char *bytes, size_t size) {
    er_reader in = {.data = (const uint8_t *)bytes, .size = size};
    return er_read_varint(&in) == 0 && in.failed;
}

static void only_the_shortest_form_of_a_number_is_read(void) {
    ER_CHECK(varint_refused("\x80\x00", 2));
    ER_CHECK(varint_refused("\xff\x80\x00", 3));
    ER_CHECK(varint_refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
    ER_CHECK(varint_refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11));
    ER_CHECK(varint_refused("\x80", 1));
    ER_CHECK(varint_refused("", 0));
    er_reader in = {.data = (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", .size = 10};
    ER_CHECK(er_read_varint(&in) == UINT64_MAX && !in.failed);
}

static void a_writer_that_cannot_grow_fails_and_keeps_what_it_has(void) {
    er_writer out = {0};
    er_write_u32(&out, 7);
    size_t size = out.size;
    er_write_bytes(&out, out.data, SIZE_MAX - 2);
    ER_CHECK_INT(out.failed, 1);
    er_write_u32(&out, 8);
    er_patch_u32(&out, 0, 9);
    ER_CHECK_INT(out.size, size);
    ER_CHECK_INT(out.data[0], 7);
    free(out.data);
}

int main(void) {
    ER_RUN(numbers_are_little_endian);
    ER_RUN(a_short_read_gives_zero_for_good);
    ER_RUN(everything_written_reads_back);
    ER_RUN(only_the_shortest_form_of_a_number_is_read);
    ER_RUN(a_writer_that_cannot_grow_fails_and_keeps_what_it_has);
    return er_test_result();
}
