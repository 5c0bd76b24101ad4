/* Runs a fuzz target over files and directories of files without a fuzzer: `replay PATH...`. Link it with one target.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "platform/platform.h"

#define MAX_INPUT_SIZE ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns 1, 0 on failure. */
static int replay_file(const char *path) {
    uint8_t *data;
    size_t size;
    char detail[ERAI_DETAIL_SIZE];
    if (er_file_read(path, MAX_INPUT_SIZE, &data, &size, detail) != ERAI_OK) {
        fprintf(stderr, "%s\n", detail);
        return 0;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

/* Returns the number of inputs run, 0 on failure. */
static long replay_directory(const char *root) {
    const er_tree_limits limits = {.files = 100000, .depth = 4, .path_size = 255};
    er_tree tree;
    char detail[ERAI_DETAIL_SIZE];
    if (er_tree_list(root, &limits, &tree, detail) != ERAI_OK) {
        fprintf(stderr, "%s\n", detail);
        return 0;
    }
    long count = 0;
    for (size_t i = 0; i < tree.count; i++) {
        char *path = er_path_join(root, tree.paths[i]);
        if (path != NULL) count += replay_file(path);
        free(path);
    }
    long expected = (long)tree.count;
    er_tree_free(&tree);
    return count == expected ? count : 0;
}

int main(int argc, char **argv) {
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long count = er_path_look(argv[i]) == ER_PATH_DIRECTORY ? replay_directory(argv[i]) : replay_file(argv[i]);
        if (count <= 0) return 1; /* a corpus that was not found must not look like one that passed */
        total += count;
    }
    printf("%ld inputs\n", total);
    return total > 0 ? 0 : 1;
}
