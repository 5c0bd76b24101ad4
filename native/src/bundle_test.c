/* Opening sound bundles, and refusing every other: all single bit flips, truncations and additions of a small bundle in
 * both forms. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "bundle.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
    ER_CHECK_STR(manifest->model_name, "models/m.onnx");
    ER_CHECK_STR(manifest->model_format, "onnx");
    ER_CHECK(manifest->model_size == 12 && memcmp(manifest->model, "not a model\n", 12) == 0);
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256("not a model\n", 12, digest);
    ER_CHECK(memcmp(manifest->model_digest, digest, sizeof digest) == 0);
    ER_CHECK(manifest->guard_size == 19 && memcmp(manifest->guard, "not a guard program", 19) == 0);
    ER_CHECK(manifest->golden_atol == 1e-05);
    ER_CHECK_INT(manifest->golden_input_count, 1);
    ER_CHECK_INT(manifest->golden_output_count, 1);
    const er_golden *input = manifest->golden_inputs, *output = manifest->golden_outputs;
    ER_CHECK_STR(input->name, "x");
    ER_CHECK(input->dtype == ERAI_DTYPE_FLOAT32 && input->rank == 2 && input->shape[0] == 2 && input->shape[1] == 3);
    ER_CHECK(input->size == 24 && (uintptr_t)input->data % 8 == 0 && memcmp(input->data, "\0\0\x80\x3f", 4) == 0);
    ER_CHECK(output->dtype == ERAI_DTYPE_INT64 && output->rank == 1 && output->size == 16 && output->data[0] == 1);
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
    if (bundle != NULL)
        check_contents(bundle, &made);
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
    if (longer == NULL)
        abort();
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
            if (i != gone)
                files[count++] = made.files[i];
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
        if (!er_bundle_path_valid(valid[i], strlen(valid[i])))
            ER_FAILED("'%s' is refused", valid[i]);
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        if (er_bundle_path_valid(invalid[i], strlen(invalid[i])))
            ER_FAILED("'%s' is allowed", invalid[i]);
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

/* ---- Directory form ---- */

typedef struct directory {
    char root[64];
} directory;

static void join(const directory *place, const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", place->root, name);
}

static void write_file(const directory *place, const char *name, const void *data, size_t size) {
    char path[512];
    join(place, name, path);
    for (char *slash = strchr(path + strlen(place->root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
}

static void make_directory(directory *place, const test_bundle *bundle) {
    strcpy(place->root, "/tmp/er_bundle_test_XXXXXX");
    if (mkdtemp(place->root) == NULL)
        abort();
    for (size_t i = 0; i < bundle->count; i++)
        write_file(place, bundle->files[i].name, bundle->files[i].data, bundle->files[i].size);
}

static void remove_file(const directory *place, const char *name) {
    char path[512];
    join(place, name, path);
    if (remove(path) != 0)
        abort();
}

static void remove_directory(const directory *place, const test_bundle *bundle) {
    for (size_t i = 0; i < bundle->count; i++)
        remove_file(place, bundle->files[i].name);
    remove_file(place, "models");
    remove_file(place, "reference/golden");
    remove_file(place, "reference");
    if (rmdir(place->root) != 0)
        ER_FAILED("%s is not empty", place->root);
}

static erai_status open_path(const char *path, char *detail) {
    erai_bundle *bundle = NULL;
    detail[0] = '\0';
    erai_status status = erai_bundle_open(path, &bundle, detail);
    erai_bundle_close(bundle);
    return status;
}

static void a_sound_directory_opens_with_all_its_files(void) {
    test_bundle made;
    test_bundle_make(&made);
    directory place;
    make_directory(&place, &made);
    erai_bundle *bundle = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    ER_CHECK_INT(erai_bundle_open(place.root, &bundle, detail), ERAI_OK);
    ER_CHECK_STR(detail, "");
    if (bundle != NULL)
        check_contents(bundle, &made);
    erai_bundle_close(bundle);
    remove_directory(&place, &made);
}

static void every_flipped_bit_of_a_directory_names_its_file(void) {
    test_bundle made;
    test_bundle_make(&made);
    directory place;
    make_directory(&place, &made);
    char detail[ERAI_DETAIL_SIZE], bytes[TEST_MANIFEST_SIZE];
    for (size_t i = 0; i < made.count; i++) {
        const test_file *file = &made.files[i];
        memcpy(bytes, file->data, file->size);
        for (size_t bit = 0; bit < 8 * file->size; bit++) {
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
            write_file(&place, file->name, bytes, file->size);
            ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_INTEGRITY);
            ER_CHECK_CONTAINS(detail, strcmp(file->name, "manifest.sha256") == 0 ? "manifest." : file->name);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        }
        write_file(&place, file->name, bytes, file->size);
    }
    ER_CHECK_INT(open_path(place.root, detail), ERAI_OK);
    remove_directory(&place, &made);
}

static void a_directory_with_a_shorter_longer_or_missing_file_names_it(void) {
    test_bundle made;
    test_bundle_make(&made);
    directory place;
    make_directory(&place, &made);
    char detail[ERAI_DETAIL_SIZE], bytes[TEST_MANIFEST_SIZE] = {0};
    for (size_t i = 0; i < made.count; i++) {
        const test_file *file = &made.files[i];
        const char *named = strcmp(file->name, "manifest.sha256") == 0 ? "manifest." : file->name;
        memcpy(bytes, file->data, file->size);
        bytes[file->size] = '\n';
        write_file(&place, file->name, bytes, file->size + 1);
        ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_INTEGRITY);
        ER_CHECK_CONTAINS(detail, named);
        write_file(&place, file->name, bytes, file->size - 1);
        ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_INTEGRITY);
        ER_CHECK_CONTAINS(detail, named);
        remove_file(&place, file->name);
        ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_INTEGRITY);
        ER_CHECK_CONTAINS(detail, file->name);
        write_file(&place, file->name, bytes, file->size);
    }
    remove_directory(&place, &made);
}

static void links_pipes_and_hidden_files_in_a_directory_are_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    directory place;
    make_directory(&place, &made);
    char detail[ERAI_DETAIL_SIZE], path[512];
    join(&place, "models/link", path);
    if (symlink("m.onnx", path) != 0)
        abort();
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "models/link");
    remove_file(&place, "models/link");
    if (symlink(".", path) != 0)
        abort();
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    remove_file(&place, "models/link");
    if (mkfifo(path, 0600) != 0)
        abort();
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_INT(open_path(path, detail), ERAI_E_BUNDLE_READ);
    remove_file(&place, "models/link");
    write_file(&place, ".hidden", "", 0);
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, ".hidden");
    remove_file(&place, ".hidden");
    write_file(&place, "extra", "", 0);
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_INTEGRITY);
    ER_CHECK_CONTAINS(detail, "extra");
    remove_file(&place, "extra");
    remove_directory(&place, &made);
}

static void a_directory_deeper_than_eight_is_refused(void) {
    test_bundle made;
    test_bundle_make(&made);
    directory place;
    make_directory(&place, &made);
    char detail[ERAI_DETAIL_SIZE], path[] = "d/d/d/d/d/d/d/d/f";
    write_file(&place, path, "", 0);
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, path);
    remove_file(&place, path);
    for (char *slash = strrchr(path, '/'); slash != NULL; slash = strrchr(path, '/')) {
        *slash = '\0';
        remove_file(&place, path);
    }
    remove_directory(&place, &made);
}

static void what_is_not_a_bundle_is_told_so(void) {
    static const test_bundle none;
    directory place;
    make_directory(&place, &none);
    char detail[ERAI_DETAIL_SIZE], path[512];
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "is not an edge_rai bundle: expected");
    ER_CHECK_CONTAINS(detail, place.root);
    join(&place, "text", path);
    ER_CHECK_INT(open_path(path, detail), ERAI_E_BUNDLE_READ);
    ER_CHECK_CONTAINS(detail, path);
    write_file(&place, "text", "hello", 5);
    ER_CHECK_INT(open_path(path, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "is not an edge_rai bundle: expected");
    write_file(&place, "text", "", 0);
    ER_CHECK_INT(open_path(path, detail), ERAI_E_BUNDLE_FORMAT);
    remove_file(&place, "text");
    rmdir(place.root);
    erai_bundle *bundle = NULL;
    ER_CHECK_INT(erai_bundle_open(NULL, &bundle, NULL), ERAI_E_ARGUMENT);
    erai_bundle_close(NULL);
}

static void a_zip_opens_from_its_file_without_asking_for_a_detail(void) {
    test_bundle made;
    test_bundle_make(&made);
    static const test_bundle none;
    directory place;
    make_directory(&place, &none);
    size_t size;
    uint8_t *image = test_zip(made.files, made.count, &size);
    write_file(&place, "b.erai", image, size);
    char path[512];
    join(&place, "b.erai", path);
    erai_bundle *bundle = NULL;
    ER_CHECK_INT(erai_bundle_open(path, &bundle, NULL), ERAI_OK);
    if (bundle != NULL)
        check_contents(bundle, &made);
    erai_bundle_close(bundle);
    write_file(&place, "b.erai", image, size - 1);
    ER_CHECK_INT(erai_bundle_open(path, &bundle, NULL), ERAI_E_BUNDLE_FORMAT);
    free(image);
    remove_file(&place, "b.erai");
    rmdir(place.root);
}

int main(void) {
    ER_RUN(a_sound_zip_opens_with_all_its_files);
    ER_RUN(every_flipped_bit_of_a_zip_is_refused);
    ER_RUN(every_truncation_of_a_zip_is_refused);
    ER_RUN(every_inserted_byte_of_a_zip_is_refused);
    ER_RUN(a_zip_of_another_tool_is_refused_with_advice);
    ER_RUN(entries_out_of_order_or_twice_are_refused);
    ER_RUN(each_missing_file_is_named);
    ER_RUN(each_changed_file_is_named_although_its_crc_fits);
    ER_RUN(an_extra_file_is_named);
    ER_RUN(a_name_that_is_file_and_directory_is_refused);
    ER_RUN(paths_are_valid_only_inside_the_rules);
    ER_RUN(more_than_1024_files_are_refused);
    ER_RUN(a_sound_directory_opens_with_all_its_files);
    ER_RUN(every_flipped_bit_of_a_directory_names_its_file);
    ER_RUN(a_directory_with_a_shorter_longer_or_missing_file_names_it);
    ER_RUN(links_pipes_and_hidden_files_in_a_directory_are_refused);
    ER_RUN(a_directory_deeper_than_eight_is_refused);
    ER_RUN(what_is_not_a_bundle_is_told_so);
    ER_RUN(a_zip_opens_from_its_file_without_asking_for_a_detail);
    return er_test_result();
}
