/* Opening bundles in directory form, and refusing every changed one; the small bundle's contents are checked in
 * bundle_test.c. SPDX-License-Identifier: Apache-2.0 */
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
    ER_CHECK_STR(er_bundle_manifest(bundle)->primary.models[0].name, "models/m.onnx");
}

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
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

static void make_directory(directory *place, const test_bundle *bundle) {
    strcpy(place->root, "/tmp/er_bundle_test_XXXXXX");
    if (mkdtemp(place->root) == NULL) abort();
    for (size_t i = 0; i < bundle->count; i++)
        write_file(place, bundle->files[i].name, bundle->files[i].data, bundle->files[i].size);
}

static void remove_file(const directory *place, const char *name) {
    char path[512];
    join(place, name, path);
    if (remove(path) != 0) abort();
}

static void remove_directory(const directory *place, const test_bundle *bundle) {
    for (size_t i = 0; i < bundle->count; i++) remove_file(place, bundle->files[i].name);
    remove_file(place, "models");
    remove_file(place, "reference/golden");
    remove_file(place, "reference");
    if (rmdir(place->root) != 0) ER_FAILED("%s is not empty", place->root);
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
    if (bundle != NULL) check_contents(bundle, &made);
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
    if (symlink("m.onnx", path) != 0) abort();
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    ER_CHECK_CONTAINS(detail, "models/link");
    remove_file(&place, "models/link");
    if (symlink(".", path) != 0) abort();
    ER_CHECK_INT(open_path(place.root, detail), ERAI_E_BUNDLE_FORMAT);
    remove_file(&place, "models/link");
    if (mkfifo(path, 0600) != 0) abort();
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
    if (bundle != NULL) check_contents(bundle, &made);
    erai_bundle_close(bundle);
    write_file(&place, "b.erai", image, size - 1);
    ER_CHECK_INT(erai_bundle_open(path, &bundle, NULL), ERAI_E_BUNDLE_FORMAT);
    free(image);
    remove_file(&place, "b.erai");
    rmdir(place.root);
}

int main(void) {
    ER_RUN(a_sound_directory_opens_with_all_its_files);
    ER_RUN(every_flipped_bit_of_a_directory_names_its_file);
    ER_RUN(a_directory_with_a_shorter_longer_or_missing_file_names_it);
    ER_RUN(links_pipes_and_hidden_files_in_a_directory_are_refused);
    ER_RUN(a_directory_deeper_than_eight_is_refused);
    ER_RUN(what_is_not_a_bundle_is_told_so);
    ER_RUN(a_zip_opens_from_its_file_without_asking_for_a_detail);
    return er_test_result();
}
