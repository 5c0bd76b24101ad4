/* Opening sound bundles, and refusing every other: all single bit flips, truncations and additions of a small bundle in
 * zip form. SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <stdlib.h>

#include "er_test.h"
#include "test_bundle.h"

static void check_contents(const erai_bundle *bundle, const test_bundle *expected) {
    ER_CHECK_INT(erai_bundle_files(bundle), expected->count);
    for (size_t i = 0; i < expected->count; i++) {
        const char *name = NULL;
        const uint8_t *data = NULL;
        size_t size = 0;
        ER_CHECK_INT(erai_bundle_file(bundle, i, &name, &data, &size), ERAI_OK);
        ER_CHECK_STR(name, expected->files[i].name);
        ER_CHECK(size == expected->files[i].size && memcmp(data, expected->files[i].data, size) == 0);
    }
    const char *name;
    const uint8_t *data;
    size_t size;
    ER_CHECK_INT(erai_bundle_file(bundle, expected->count, &name, &data, &size), ERAI_E_ARGUMENT);

    const er_manifest *manifest = er_bundle_manifest(bundle);
    ER_CHECK_STR(manifest->primary.models[0].name, "models/m.onnx");
    ER_CHECK_STR(manifest->primary.models[0].format, "onnx");
    ER_CHECK(manifest->primary.models[0].size == 12 &&
             memcmp(manifest->primary.models[0].data, "not a model\n", 12) == 0);
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256("not a model\n", 12, digest);
    ER_CHECK(memcmp(manifest->primary.models[0].digest, digest, sizeof digest) == 0);
    ER_CHECK(manifest->guard_size == 19 && memcmp(manifest->guard, "not a guard program", 19) == 0);
    ER_CHECK(manifest->golden.atol == 1e-05);
    ER_CHECK_INT(manifest->golden.input_count, 1);
    ER_CHECK_INT(manifest->golden.output_count, 1);
    const er_golden *input = manifest->golden.inputs, *output = manifest->golden.outputs;
    ER_CHECK_STR(input->name, "x");
    ER_CHECK(input->dtype == ERAI_DTYPE_FLOAT32 && input->rank == 2 && input->shape[0] == 2 && input->shape[1] == 3);
    ER_CHECK(input->size == 24 && (uintptr_t)input->data % 8 == 0 && memcmp(input->data, "\0\0\x80\x3f", 4) == 0);
    ER_CHECK(output->dtype == ERAI_DTYPE_INT64 && output->rank == 1 && output->size == 16 &&
             ((const uint8_t *)output->data)[0] == 1);
}

static void a_sound_zip_opens_with_all_its_files(void) {
    test_bundle made;
    test_bundle_make(&made);
    size_t size;
    uint8_t *image = test_zip(made.files, made.count, &size);
    erai_bundle *bundle = NULL;
    char detail[ERAI_DETAIL_SIZE] = "untouched";
    ER_CHECK_INT(er_bundle_open_image(image, size, TEST_LABEL, &bundle, detail), ERAI_OK);
    ER_CHECK_STR(detail, "untouched");
    if (bundle != NULL) check_contents(bundle, &made);
    erai_bundle_close(bundle);
}

static void every_flipped_bit_of_a_zip_is_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    size_t size;
    uint8_t *image = test_zip(made.files, made.count, &size);
    char detail[ERAI_DETAIL_SIZE];
    for (size_t bit = 0; bit < 8 * size; bit++) {
        image[bit / 8] ^= (uint8_t)(1u << bit % 8);
        erai_status status = test_open_image(image, size, detail);
        if (status != ERAI_E_BUNDLE_FORMAT && status != ERAI_E_BUNDLE_INTEGRITY)
            ER_FAILED("bit %zu of byte %zu flipped: status %d, %s", bit % 8, bit / 8, status, detail);
        ER_CHECK_CONTAINS(detail, TEST_LABEL);
        image[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ER_CHECK_INT(test_open_image(image, size, detail), ERAI_OK);
    free(image);
}

static void every_truncation_of_a_zip_is_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    size_t size;
    uint8_t *image = test_zip(made.files, made.count, &size);
    char detail[ERAI_DETAIL_SIZE];
    for (size_t left = 0; left < size; left++) {
        if (test_open_image(image, left, detail) != ERAI_E_BUNDLE_FORMAT)
            ER_FAILED("%zu bytes of %zu opened", left, size);
        ER_CHECK_CONTAINS(detail, TEST_LABEL);
        if (test_open_image(image + size - left, left, detail) != ERAI_E_BUNDLE_FORMAT)
            ER_FAILED("the last %zu bytes of %zu opened", left, size);
    }
    free(image);
}

static void every_inserted_byte_of_a_zip_is_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    size_t size;
    uint8_t *image = test_zip(made.files, made.count, &size), *longer = malloc(size + 1);
    if (longer == NULL) abort();
    char detail[ERAI_DETAIL_SIZE];
    static const uint8_t values[] = {0, 'P', 0xFF};
    for (size_t at = 0; at <= size; at++) {
        memcpy(longer, image, at);
        memcpy(longer + at + 1, image + at, size - at);
        for (size_t v = 0; v < sizeof values; v++) {
            longer[at] = values[v];
            if (test_open_image(longer, size + 1, detail) == ERAI_OK)
                ER_FAILED("opened with a byte inserted at %zu", at);
            ER_CHECK_CONTAINS(detail, TEST_LABEL);
        }
    }
    free(longer);
    free(image);
}

/* The parts of a made zip that lie about its last entry, which is found from the end. */
typedef struct last_entry {
    uint8_t *image, *end, *central, *local;
    size_t size;
} last_entry;

static last_entry make_last_entry(void) {
    static test_bundle made;
    test_bundle_make(&made);
    const test_file *file = &made.files[made.count - 1];
    last_entry last;
    last.image = test_zip(made.files, made.count, &last.size);
    last.end = last.image + last.size - 22;
    last.central = last.end - 46 - strlen(file->name);
    size_t offset = (size_t)last.central[42] | (size_t)last.central[43] << 8;
    last.local = last.image + offset;
    return last;
}

static void check_refused(last_entry last, erai_status status, const char *part) {
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(test_open_image(last.image, last.size, detail), status);
    ER_CHECK_CONTAINS(detail, part);
    free(last.image);
}

static void headers_that_agree_on_a_wrong_value_are_refused(void) {
    last_entry last = make_last_entry();
    last.central[16] ^= 1;
    last.local[14] ^= 1;
    check_refused(last, ERAI_E_BUNDLE_INTEGRITY, "output_0.bin: its bytes differ from their CRC-32");

    static const uint8_t sizes[][4] = {{0x7F, 0, 0, 0}, {0xFF, 0xFF, 0xFF, 0x7F}, {0xFF, 0xFF, 0xFF, 0xFF}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        last = make_last_entry();
        memcpy(last.central + 20, sizes[i], 4);
        memcpy(last.central + 24, sizes[i], 4);
        memcpy(last.local + 18, sizes[i], 4);
        memcpy(last.local + 22, sizes[i], 4);
        check_refused(last, ERAI_E_BUNDLE_FORMAT, "do not fit before the zip directory");
    }
}

static void a_wrong_count_of_entries_is_refused(void) {
    last_entry last = make_last_entry();
    last.end[8]++;
    last.end[10]++;
    check_refused(last, ERAI_E_BUNDLE_FORMAT, "the zip directory is cut short");
    last = make_last_entry();
    last.end[8]--;
    last.end[10]--;
    check_refused(last, ERAI_E_BUNDLE_FORMAT, "bytes that belong to no entry");
}

/* Inserts a byte at `at`, and adds 1 to the number at `field` of the end record, which so knows of it. */
static void check_known_gap_refused(last_entry last, size_t at, size_t field) {
    uint8_t *longer = malloc(last.size + 1);
    if (longer == NULL) abort();
    memcpy(longer, last.image, at);
    longer[at] = 0;
    memcpy(longer + at + 1, last.image + at, last.size - at);
    longer[last.size + 1 - 22 + field]++;
    free(last.image);
    last.image = longer;
    last.size++;
    check_refused(last, ERAI_E_BUNDLE_FORMAT, "bytes that belong to no entry");
}

static void a_gap_that_the_end_record_knows_is_refused(void) {
    last_entry last = make_last_entry();
    size_t directory = (size_t)last.end[16] | (size_t)last.end[17] << 8;
    check_known_gap_refused(last, directory, 16);
    last = make_last_entry();
    check_known_gap_refused(last, last.size - 22, 12);
}

static void a_zip_of_another_tool_is_refused_with_advice(void) {
    test_bundle made;
    test_bundle_make(&made);
    size_t size;
    uint8_t *image = test_zip(made.files, made.count, &size);
    image[10] = 0x42; /* a time of day */
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(test_open_image(image, size, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "card.md");
    ER_CHECK_CONTAINS(detail, "do not zip it with another tool");
    free(image);
}

static void entries_out_of_order_or_twice_are_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    char detail[ERAI_DETAIL_SIZE];
    test_file first = made.files[0];
    made.files[0] = made.files[1];
    made.files[1] = first;
    ER_CHECK_INT(test_open_files(made.files, made.count, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "card.md");
    made.files[0] = first;
    ER_CHECK_INT(test_open_files(made.files, made.count, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "card.md");
}

static void each_missing_file_is_named(void) {
    test_bundle made;
    test_bundle_make(&made);
    for (size_t gone = 0; gone < made.count; gone++) {
        test_file files[TEST_BUNDLE_MAX_FILES];
        size_t count = 0;
        for (size_t i = 0; i < made.count; i++)
            if (i != gone) files[count++] = made.files[i];
        char detail[ERAI_DETAIL_SIZE];
        ER_CHECK_INT(test_open_files(files, count, detail), ERAI_E_BUNDLE_INTEGRITY);
        ER_CHECK_CONTAINS(detail, made.files[gone].name);
    }
}

static void each_changed_file_is_named_although_its_crc_fits(void) {
    test_bundle made;
    test_bundle_make(&made);
    for (size_t i = 0; i < made.count; i++) {
        test_file original = made.files[i];
        char changed[TEST_MANIFEST_SIZE], detail[ERAI_DETAIL_SIZE];
        memcpy(changed, original.data, original.size);
        changed[original.size - 1] ^= 1;
        made.files[i].data = changed;
        ER_CHECK_INT(test_open_files(made.files, made.count, detail), ERAI_E_BUNDLE_INTEGRITY);
        ER_CHECK_CONTAINS(detail, original.name);
        made.files[i] = original;
    }
}

static void an_extra_file_is_named(void) {
    test_bundle made;
    test_bundle_make(&made);
    made.files[made.count++] = (test_file){"zz.txt", "?", 1};
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(test_open_files(made.files, made.count, detail), ERAI_E_BUNDLE_INTEGRITY);
    ER_CHECK_CONTAINS(detail, "zz.txt");
}

static void a_name_that_is_file_and_directory_is_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    made.files[made.count++] = (test_file){"zz", "?", 1};
    made.files[made.count++] = (test_file){"zz-z", "?", 1};
    made.files[made.count++] = (test_file){"zz/a/b", "?", 1};
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(test_open_files(made.files, made.count, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "zz: both a file and a directory");
}

static void paths_are_valid_only_inside_the_rules(void) {
    static const char *const valid[] = {"a", "a.b", "A-_.9/z", "a/b/c/d/e/f/g/h", "a..b"};
    static const char *const invalid[] = {"",
                                          "/",
                                          "/a",
                                          "a/",
                                          "a//b",
                                          ".",
                                          "..",
                                          "../a",
                                          "a/../b",
                                          "a/.b",
                                          "a b",
                                          "a\\b",
                                          "a\n",
                                          "\xc3\xa9",
                                          "C:",
                                          "a*",
                                          "a/b/c/d/e/f/g/h/i"};
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        if (!er_bundle_path_valid(valid[i], strlen(valid[i]))) ER_FAILED("'%s' is refused", valid[i]);
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        if (er_bundle_path_valid(invalid[i], strlen(invalid[i]))) ER_FAILED("'%s' is allowed", invalid[i]);
    ER_CHECK(!er_bundle_path_valid("a\0b", 3));
    char longest[256];
    memset(longest, 'a', sizeof longest);
    ER_CHECK(er_bundle_path_valid(longest, 255) && !er_bundle_path_valid(longest, 256));
}

static void more_than_1024_files_are_refused(void) {
    static test_file files[1025];
    static char names[1025][8];
    for (size_t i = 0; i < 1025; i++) {
        snprintf(names[i], sizeof names[i], "f%04zu", i);
        files[i] = (test_file){names[i], "", 0};
    }
    char detail[ERAI_DETAIL_SIZE];
    ER_CHECK_INT(test_open_files(files, 1025, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "at most 1024");
    ER_CHECK_INT(test_open_files(files, 1024, detail), ERAI_E_BUNDLE_INTEGRITY);
    ER_CHECK_CONTAINS(detail, "manifest.json");
}

int main(void) {
    ER_RUN(a_sound_zip_opens_with_all_its_files);
    ER_RUN(every_flipped_bit_of_a_zip_is_refused);
    ER_RUN(every_truncation_of_a_zip_is_refused);
    ER_RUN(every_inserted_byte_of_a_zip_is_refused);
    ER_RUN(headers_that_agree_on_a_wrong_value_are_refused);
    ER_RUN(a_wrong_count_of_entries_is_refused);
    ER_RUN(a_gap_that_the_end_record_knows_is_refused);
    ER_RUN(a_zip_of_another_tool_is_refused_with_advice);
    ER_RUN(entries_out_of_order_or_twice_are_refused);
    ER_RUN(each_missing_file_is_named);
    ER_RUN(each_changed_file_is_named_although_its_crc_fits);
    ER_RUN(an_extra_file_is_named);
    ER_RUN(a_name_that_is_file_and_directory_is_refused);
    ER_RUN(paths_are_valid_only_inside_the_rules);
    ER_RUN(more_than_1024_files_are_refused);
    return er_test_result();
}
