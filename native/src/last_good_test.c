/* What is remembered of keys, how long, and that nobody gets another's. SPDX-License-Identifier: Apache-2.0 */
#include "last_good.h"

#include "er_test.h"

#include <stdlib.h>

static const er_output plain[1];

static er_key key_of(const char *text) {
    er_key key = {.size = (uint8_t)strlen(text)};
    memcpy(key.bytes, text, key.size);
    return key;
}

/* A batch of float32 rows of two values. */
static erai_tensor pairs(const float *values, int64_t *shape, int64_t rows) {
    shape[0] = rows;
    shape[1] = 2;
    return (erai_tensor){.data = values, .shape = shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
}

static void put(er_last_good *store, const char *key, float value, uint64_t now_ns) {
    int64_t shape[2];
    const float values[] = {value, -value};
    erai_tensor tensor = pairs(values, shape, 1);
    er_key named = key_of(key ? key : "");
    er_last_good_put(store, key ? &named : NULL, &tensor, 1, 0, 1, now_ns);
}

/* The first value that is remembered of a key, or -1. */
static float get(er_last_good *store, const char *key, uint64_t now_ns, uint64_t age_ns) {
    er_buffer *output = calloc(1, sizeof *output);
    if (!output) abort();
    output->dtype = ERAI_DTYPE_FLOAT32;
    er_key named = key_of(key ? key : "");
    int found = er_last_good_get(store, key ? &named : NULL, output, 0, 1, now_ns, age_ns);
    float value = -1;
    if (found) {
        ER_CHECK(output->rank == 2 && output->shape[0] == 1 && output->shape[1] == 2);
        value = ((const float *)output->data)[0];
        ER_CHECK(((const float *)output->data)[1] == -value);
    }
    er_buffers_free(output, 1);
    return value;
}

static void each_key_gets_its_own_answer_and_no_other(void) {
    er_last_good *store = er_last_good_open(8, plain, 1);
    put(store, "ann", 1, 0);
    put(store, "anna", 2, 0);
    ER_CHECK(get(store, "ann", 0, 10) == 1 && get(store, "anna", 0, 10) == 2);
    ER_CHECK(get(store, "an", 0, 10) == -1 && get(store, "Ann", 0, 10) == -1 && get(store, NULL, 0, 10) == -1);
    put(store, NULL, 3, 0);
    put(store, "ann", 4, 0);
    ER_CHECK(get(store, NULL, 0, 10) == 3 && get(store, "ann", 0, 10) == 4 && get(store, "anna", 0, 10) == 2);
    char longest[2][ERAI_KEY_SIZE + 1] = {{0}, {0}};
    for (int i = 0; i < 2; i++) memset(longest[i], 'k', ERAI_KEY_SIZE);
    longest[1][ERAI_KEY_SIZE - 1] = 'l';
    put(store, longest[0], 5, 0);
    ER_CHECK(get(store, longest[0], 0, 10) == 5 && get(store, longest[1], 0, 10) == -1);
    er_last_good_close(store);
}

static void an_answer_is_given_up_to_its_age_and_not_after(void) {
    er_last_good *store = er_last_good_open(2, plain, 1);
    put(store, "a", 1, 100);
    ER_CHECK(get(store, "a", 150, 50) == 1 && get(store, "a", 151, 50) == -1);
    ER_CHECK(get(store, "a", 99, 50) == 1); /* a clock that went back */
    put(store, "a", 2, 151);
    ER_CHECK(get(store, "a", 201, 50) == 2);
    er_last_good_close(store);
}

/* Against a list in the order of use, with far more keys than slots. */
static void the_key_used_longest_ago_makes_room(void) {
    enum { SLOTS = 7, KEYS = 40 };
    er_last_good *store = er_last_good_open(SLOTS, plain, 1);
    int order[SLOTS], count = 0, values[KEYS] = {0};
    uint32_t random = 1;
    for (int i = 1; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        int which = (int)(random >> 16) % KEYS, is_put = (random >> 8 & 1) != 0, at = 0;
        char key[16];
        snprintf(key, sizeof key, "user-%d", which);
        while (at < count && order[at] != which) at++;
        int known = at < count;
        if (is_put)
            put(store, key, (float)i, 0);
        else
            ER_CHECK(get(store, key, 0, 1) == (float)(known ? values[which] : -1));
        if (is_put) values[which] = i;
        if (!is_put && !known) continue;
        if (!known && count < SLOTS) count++;
        if (at >= count) at = count - 1;
        memmove(order + 1, order, (size_t)at * sizeof *order);
        order[0] = which;
    }
    er_last_good_close(store);
}

static void a_row_is_written_among_the_others_and_changes_none_of_them(void) {
    er_last_good *store = er_last_good_open(2, plain, 1);
    er_key key = key_of("k");
    int64_t shape[2];
    const float good[] = {1, 2, 3, 4, 5, 6};
    erai_tensor tensor = pairs(good, shape, 3);
    er_last_good_put(store, &key, &tensor, 1, 1, 3, 0);
    er_buffer *output = calloc(1, sizeof *output);
    const float now[] = {10, 20, 30, 40};
    erai_tensor present = pairs(now, shape, 2);
    ER_CHECK(er_buffer_copy(output, &present));
    ER_CHECK(er_last_good_get(store, &key, output, 1, 2, 0, 0));
    ER_CHECK(memcmp(output->data, (float[]){10, 20, 3, 4}, 16) == 0);
    output->shape[1] = 1; /* of another shape, of another type: nothing is written */
    ER_CHECK(!er_last_good_get(store, &key, output, 0, 2, 0, 0));
    output->shape[1] = 2;
    output->dtype = ERAI_DTYPE_INT32;
    ER_CHECK(!er_last_good_get(store, &key, output, 0, 2, 0, 0) && !er_last_good_get(store, &key, output, 0, 1, 0, 0));
    ER_CHECK(memcmp(output->data, (float[]){10, 20, 3, 4}, 16) == 0);
    er_buffers_free(output, 1);
    er_last_good_close(store);
}

static void outputs_that_cannot_be_remembered_leave_what_was(void) {
    er_last_good *store = er_last_good_open(2, plain, 1);
    er_key key = key_of("k");
    put(store, "k", 1, 0);
    const float other[] = {7, 7};
    int64_t shape[2];
    erai_tensor without_rows = pairs(other, shape, 1), nested = {0};
    er_last_good_put(store, &key, &without_rows, 1, 0, 2, 0);
    er_last_good_put(store, &key, &nested, 1, 0, 1, 0);
    ER_CHECK(get(store, "k", 0, 1) == 1);
    er_last_good_close(store);
}

static erai_string text(const char *bytes) {
    return (erai_string){.bytes = bytes, .size = strlen(bytes)};
}

static int is_text(const er_buffer *buffer, size_t at, const char *expected) {
    const erai_string *it = &((const erai_string *)buffer->data)[at];
    return it->size == strlen(expected) && memcmp(it->bytes, expected, it->size) == 0;
}

static void strings_are_copied_and_their_neighbours_stay(void) {
    er_last_good *store = er_last_good_open(4, plain, 1);
    er_key one = key_of("1"), two = key_of("2");
    int64_t shape[] = {2};
    erai_string kept[] = {text("setosa"), text("a very much longer label than any other here")};
    erai_tensor tensor = {.data = kept, .shape = shape, .rank = 1, .dtype = ERAI_DTYPE_STRING};
    er_last_good_put(store, &one, &tensor, 1, 0, 2, 0);
    er_last_good_put(store, &two, &tensor, 1, 1, 2, 0);
    er_buffer *output = calloc(1, sizeof *output);
    shape[0] = 3;
    const char *steady = NULL;
    for (int i = 0; i < 3; i++) {
        erai_string present[] = {text("x"), text("yy"), text("")};
        tensor.data = present;
        ER_CHECK(er_buffer_copy(output, &tensor));
        ER_CHECK(er_last_good_get(store, &two, output, 0, 3, 0, 0) &&
                 er_last_good_get(store, &one, output, 2, 3, 0, 0));
        ER_CHECK(is_text(output, 0, kept[1].bytes) && is_text(output, 1, "yy") && is_text(output, 2, "setosa"));
        ER_CHECK(i < 2 || steady == output->text); /* the memory has grown and stays */
        steady = output->text;
    }
    er_last_good_close(store); /* the outputs do not point into it */
    ER_CHECK(is_text(output, 0, kept[1].bytes) && is_text(output, 2, "setosa"));
    er_buffers_free(output, 1);
}

static void an_older_call_that_ends_later_overwrites_nothing(void) {
    er_last_good *store = er_last_good_open(1, plain, 1);
    put(store, "a", 2, 200);
    put(store, "a", 1, 100);
    ER_CHECK(get(store, "a", 200, 10) == 2);
    put(store, "a", 3, 200); /* of the same time: the later one */
    ER_CHECK(get(store, "a", 200, 10) == 3);
    put(store, "b", 4, 100); /* takes the place of a newer answer to another key */
    ER_CHECK(get(store, "b", 100, 10) == 4);
    er_last_good_close(store);
}

int main(void) {
    ER_RUN(each_key_gets_its_own_answer_and_no_other);
    ER_RUN(an_answer_is_given_up_to_its_age_and_not_after);
    ER_RUN(the_key_used_longest_ago_makes_room);
    ER_RUN(a_row_is_written_among_the_others_and_changes_none_of_them);
    ER_RUN(outputs_that_cannot_be_remembered_leave_what_was);
    ER_RUN(strings_are_copied_and_their_neighbours_stay);
    ER_RUN(an_older_call_that_ends_later_overwrites_nothing);
    return er_test_result();
}
