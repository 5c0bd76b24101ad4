/* A bundle with another guard program: the same files in a directory that is gone when the session is open, as sessions
 * keep what they need. SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.h"
#include "safeguards.h"

enum { HEX = 2 * ERAI_DIGEST_SIZE, PATH = 1024, OPEN_DIRECTORIES = 16 };

static void hex_of(const uint8_t *bytes, size_t size, char *text) {
    uint8_t digest[ERAI_DIGEST_SIZE];
    erai_sha256(bytes, size, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

/* Makes the directories of a path below the first `root` bytes. */
static int make_directories(char *path, size_t root) {
    for (char *at = path + root + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        int failed = mkdir(path, 0700) && errno != EEXIST;
        *at = '/';
        if (failed) return 0;
    }
    return 1;
}

static int write_file(const char *root, const char *name, const void *data, size_t size) {
    char path[PATH];
    if (snprintf(path, sizeof path, "%s/%s", root, name) >= PATH || !make_directories(path, strlen(root))) return 0;
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    int fine = fwrite(data, 1, size, file) == size;
    return !fclose(file) && fine;
}

/* The manifest with the other program's digest in the place of the first one's, and its own digest beside it. */
static int write_manifest(const char *root, const uint8_t *data, size_t size, const char *before, const char *after) {
    char *text = bench_allocate(size + 1, 1), digest[HEX + 2];
    memcpy(text, data, size);
    for (char *at = text; (at = strstr(at, before)); at += HEX) memcpy(at, after, HEX);
    hex_of((const uint8_t *)text, size, digest);
    digest[HEX] = '\n';
    int fine = write_file(root, "manifest.json", text, size) && write_file(root, "manifest.sha256", digest, HEX + 1);
    free(text);
    return fine;
}

static int write_all(const erai_bundle *bundle, const uint8_t *program, size_t program_size, const char *root) {
    const char *name;
    const uint8_t *data, *manifest = NULL;
    size_t size, manifest_size = 0;
    char before[HEX + 1] = "", after[HEX + 1];
    hex_of(program, program_size, after);
    for (size_t i = 0; !erai_bundle_file(bundle, i, &name, &data, &size); i++) {
        int is_guard = !strcmp(name, "guard.bin");
        if (is_guard) hex_of(data, size, before);
        if (!strcmp(name, "manifest.json")) {
            manifest = data;
            manifest_size = size;
        } else if (strcmp(name, "manifest.sha256") &&
                   !write_file(root, name, is_guard ? program : data, is_guard ? program_size : size)) {
            return 0;
        }
    }
    return manifest && write_manifest(root, manifest, manifest_size, before, after);
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place) {
    (void)found, (void)kind, (void)place;
    return remove(path);
}

int bench_session_with(const erai_bundle *bundle, const uint8_t *program, size_t size,
                       const erai_session_config *config, erai_session **session, char *detail) {
    const char *given = getenv("TMPDIR");
    char root[PATH / 2];
    snprintf(root, sizeof root, "%.400s/erai-bench-XXXXXX", given && *given ? given : "/tmp");
    if (!mkdtemp(root))
        return bench_fail(detail, ENVIRONMENT, "%.300s: %s; expected a directory for what changes, in TMPDIR", root,
                          strerror(errno));
    int code = FINE;
    if (!write_all(bundle, program, size, root))
        code = bench_fail(detail, ENVIRONMENT, "%.300s: %s; expected room for the bundle's files, or another TMPDIR",
                          root, strerror(errno));
    if (!code) code = bench_code_of(erai_session_open(root, config, session, detail));
    nftw(root, remove_one, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS);
    return code;
}
