/* The cache gives back what was put, to the bit and for nothing else, and stays within its bound. The allocator's entry
 * points are this program's, which count and pass on to glibc's; a sanitizer brings an allocator of its own, so there
 * the tests that count say nothing. SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#include "er_test.h"

static size_t allocations, allocated_bytes; /* by one thread */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>
#define COUNTED 1
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void __libc_free(void *block);

static void *count(void *block) {
    allocations++;
    allocated_bytes += block ? malloc_usable_size(block) + sizeof(size_t) : 0;
    return block;
}

void *malloc(size_t size) {
    return count(__libc_malloc(size));
}

void *calloc(size_t number, size_t size) {
    return count(__libc_calloc(number, size));
}

void free(void *block) {
    if (block) allocated_bytes -= malloc_usable_size(block) + sizeof(size_t);
    __libc_free(block);
}
#else
#define COUNTED 0
#endif

enum { WIDTH = 30 };

/* A call with one input and one output. */
typedef struct test_call {
    erai_guard guard;
    erai_answer answer;
    erai_tensor input;
    er_buffer output;
} test_call;

static void call_open(test_call *call, const erai_tensor *input) {
    memset(call, 0, sizeof *call);
    call->guard.input_count = call->guard.output_count = 1;
    call->input = *input;
    call->answer.guard = &call->guard;
    call->answer.inputs = &call->input;
    call->answer.outputs = &call->output;
}

static void call_close(test_call *call) {
    free(call->output.data);
    free(call->output.text);
}

static int known(er_cache *cache, test_call *call) {
    uint64_t hash;
    return er_cache_get(cache, &call->answer, &hash);
}

static void put(er_cache *cache, test_call *call, const erai_tensor *output) {
    uint64_t hash;
    er_cache_get(cache, &call->answer, &hash);
    ER_CHECK(er_buffer_copy(&call->output, output));
    er_cache_put(cache, &call->answer, hash);
}

/* A row that holds `number`, and as output its shares. */
static const int64_t row_shape[] = {1, WIDTH}, share_shape[] = {1, 2};
typedef struct test_row {
    float values[WIDTH], shares[2];
    test_call call;
} test_row;

static void row_open(test_row *row, float number) {
    for (int i = 0; i < WIDTH; i++) row->values[i] = number;
    row->shares[0] = number;
    row->shares[1] = 1 - number;
    call_open(&row->call, &(erai_tensor){row->values, row_shape, 2, ERAI_DTYPE_FLOAT32});
}

static void row_put(er_cache *cache, test_row *row) {
    put(cache, &row->call, &(erai_tensor){row->shares, share_shape, 2, ERAI_DTYPE_FLOAT32});
}

static void an_answer_comes_back_to_the_bit(void) {
    static const uint32_t bits[] = {0x7fc12345u, 0x80000000u, 1u};
    static const int64_t input_shape[] = {3}, output_shape[] = {1, 3};
    test_call call;
    er_cache *cache = er_cache_open(1 << 16);
    call_open(&call, &(erai_tensor){bits, input_shape, 1, ERAI_DTYPE_FLOAT32});
    ER_CHECK(!known(cache, &call));
    put(cache, &call, &(erai_tensor){bits, output_shape, 2, ERAI_DTYPE_UINT32});
    memset(call.output.data, 0, sizeof bits);
    call.output.rank = call.output.dtype = 0;
    ER_CHECK(known(cache, &call));
    ER_CHECK_INT(call.output.dtype, ERAI_DTYPE_UINT32);
    ER_CHECK_INT(call.output.rank, 2);
    ER_CHECK_INT(call.output.shape[1], 3);
    ER_CHECK(memcmp(call.output.data, bits, sizeof bits) == 0);
    call_close(&call);
    er_cache_close(cache);
}

static void another_bit_shape_or_type_is_another_input(void) {
    static const float zeros[] = {0, 0, 0, 0, 0, 0}, signed_zero[] = {0, 0, 0, 0, 0, -0.0f};
    static const int64_t two[] = {2, 3}, three[] = {3, 2}, flat[] = {6};
    static const erai_tensor others[] = {{signed_zero, two, 2, ERAI_DTYPE_FLOAT32},
                                         {zeros, three, 2, ERAI_DTYPE_FLOAT32},
                                         {zeros, flat, 1, ERAI_DTYPE_FLOAT32},
                                         {zeros, two, 2, ERAI_DTYPE_INT32},
                                         {zeros, NULL, 0, ERAI_DTYPE_FLOAT32}};
    test_call call;
    er_cache *cache = er_cache_open(1 << 16);
    call_open(&call, &(erai_tensor){zeros, two, 2, ERAI_DTYPE_FLOAT32});
    put(cache, &call, &(erai_tensor){zeros, flat, 1, ERAI_DTYPE_FLOAT32});
    ER_CHECK(known(cache, &call));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        call.input = others[i];
        ER_CHECK(!known(cache, &call));
    }
    call_close(&call);
    er_cache_close(cache);
}

static void strings_are_compared_by_what_they_say(void) {
    static const int64_t shape[] = {2};
    char one[] = "abc", other[] = "xabc";
    const erai_string first[] = {{one, 2}, {one + 2, 1}}, same[] = {{other + 1, 2}, {other + 3, 1}};
    const erai_string cut_elsewhere[] = {{one, 1}, {one + 1, 2}}, empty[] = {{NULL, 0}, {one, 3}};
    test_call call;
    er_cache *cache = er_cache_open(1 << 16);
    call_open(&call, &(erai_tensor){first, shape, 1, ERAI_DTYPE_STRING});
    put(cache, &call, &(erai_tensor){empty, shape, 1, ERAI_DTYPE_STRING});
    memset(call.output.text, 0, 3);
    call.input.data = same;
    ER_CHECK(known(cache, &call));
    const erai_string *labels = call.output.data;
    ER_CHECK_INT(labels[0].size, 0);
    ER_CHECK(labels[1].size == 3 && memcmp(labels[1].bytes, "abc", 3) == 0);
    call.input.data = cut_elsewhere;
    ER_CHECK(!known(cache, &call));
    call.input.data = first;
    one[0] = 'z'; /* the cache has its own */
    ER_CHECK(!known(cache, &call));
    call_close(&call);
    er_cache_close(cache);
}

static void what_cannot_be_kept_is_not(void) {
    test_row row;
    er_cache *cache = er_cache_open(1 << 16), *tiny = er_cache_open(200), *none = er_cache_open(0);
    row_open(&row, 0.5f);
    row_put(tiny, &row);
    row_put(none, &row);
    ER_CHECK(!known(tiny, &row.call));
    ER_CHECK(!known(none, &row.call));
    row.call.output.dtype = 0; /* a sequence or map */
    er_cache_put(cache, &row.call.answer, 0);
    ER_CHECK(!known(cache, &row.call));
    call_close(&row.call);
    er_cache_close(cache);
    er_cache_close(tiny);
    er_cache_close(none);
    er_cache_close(NULL);
}

static void the_one_used_longest_ago_leaves_first(void) {
    er_cache *cache = er_cache_open(8192);
    test_row rows[200];
    size_t room = 0;
    for (int i = 0; i < 200; i++) row_open(&rows[i], (float)i);
    for (int i = 0; i < 200; i++) row_put(cache, &rows[i]);
    for (int i = 0; i < 200; i++) room += (size_t)known(cache, &rows[i].call);
    ER_CHECK(room > 10 && room < 100);
    for (size_t i = 0; i < 200; i++) ER_CHECK_INT(known(cache, &rows[i].call), i >= 200 - room);
    ER_CHECK(known(cache, &rows[200 - room].call)); /* used again, so the next one is the oldest */
    row_put(cache, &rows[0]);
    ER_CHECK(known(cache, &rows[0].call));
    ER_CHECK(known(cache, &rows[200 - room].call));
    ER_CHECK(!known(cache, &rows[201 - room].call));
    for (int i = 0; i < 200; i++) call_close(&rows[i].call);
    er_cache_close(cache);
}

static void it_never_holds_more_than_it_may(void) {
    enum { BYTES = 20000 };
    static float values[1024];
    static const int64_t output_shape[] = {1};
    size_t before, most = 0;
    uint32_t random = 1;
    test_call call;
    int64_t shape[] = {1};
    call_open(&call, &(erai_tensor){values, shape, 1, ERAI_DTYPE_FLOAT32});
    ER_CHECK(er_buffer_reserve(&call.output, 64)); /* so that all that follows is the cache's */
    before = allocated_bytes;
    er_cache *cache = er_cache_open(BYTES);
    for (int i = 0; i < 5000; i++) {
        random = random * 1664525u + 1013904223u;
        shape[0] = 1 + (random >> 16) % 1024;
        values[0] = (float)i;
        put(cache, &call, &(erai_tensor){values, output_shape, 1, ERAI_DTYPE_FLOAT32});
        ER_CHECK(known(cache, &call));
        if (allocated_bytes - before > most) most = allocated_bytes - before;
    }
    ER_CHECK(!COUNTED || (most > BYTES / 2 && most <= BYTES));
    er_cache_close(cache);
    ER_CHECK_INT(allocated_bytes, before);
    call_close(&call);
}

static void a_full_cache_of_one_shape_allocates_nothing(void) {
    er_cache *cache = er_cache_open(1 << 16);
    test_row row;
    row_open(&row, 0);
    for (int i = 0; i < 2000; i++) {
        if (i == 1000) allocations = 0;
        row.values[0] = (float)i;
        row_put(cache, &row);
    }
    ER_CHECK_INT(allocations, 0);
    call_close(&row.call);
    er_cache_close(cache);
}

typedef struct test_share {
    er_cache *cache;
    uint32_t seed;
    int hits, wrong;
} test_share;

static void *use_cache(void *context) {
    test_share *share = context;
    for (int i = 0; i < 3000; i++) {
        test_row row;
        share->seed = share->seed * 1664525u + 1013904223u;
        row_open(&row, (float)((share->seed >> 16) % 100));
        if (known(share->cache, &row.call)) {
            share->hits++;
            share->wrong += memcmp(row.call.output.data, row.shares, sizeof row.shares) != 0;
        } else {
            row_put(share->cache, &row);
        }
        call_close(&row.call);
    }
    return NULL;
}

static void threads_share_it(void) {
    er_cache *cache = er_cache_open(1 << 14); /* room for some of the hundred */
    test_share shares[4];
    er_thread threads[4];
    for (uint32_t i = 0; i < 4; i++) {
        shares[i] = (test_share){.cache = cache, .seed = i};
        ER_CHECK_INT(er_thread_start(&threads[i], use_cache, &shares[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        er_thread_join(threads[i]);
        ER_CHECK(shares[i].hits > 100);
        ER_CHECK_INT(shares[i].wrong, 0);
    }
    er_cache_close(cache);
}

int main(void) {
    ER_RUN(an_answer_comes_back_to_the_bit);
    ER_RUN(another_bit_shape_or_type_is_another_input);
    ER_RUN(strings_are_compared_by_what_they_say);
    ER_RUN(what_cannot_be_kept_is_not);
    ER_RUN(the_one_used_longest_ago_leaves_first);
    ER_RUN(it_never_holds_more_than_it_may);
    ER_RUN(a_full_cache_of_one_shape_allocates_nothing);
    ER_RUN(threads_share_it);
    return er_test_result();
}
