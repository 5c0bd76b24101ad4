/* Reading files and listing directories, for POSIX. A path that turns out to be a pipe, a device or, below the top, a
 * symbolic link is refused before it is read. SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../status.h"

_Static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64: large inode numbers would be errors");

static erai_status fail_errno(char *detail, const char *path, const char *what, int error) {
    char reason[128];
    if (strerror_r(error, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error %d", error);
    return er_fail(detail, error == ENOMEM ? ERAI_E_MEMORY : ERAI_E_BUNDLE_READ, "%s cannot be %s: %s", path, what,
                   reason);
}

er_path_kind er_path_look(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return errno == ENOENT || errno == ENOTDIR ? ER_PATH_MISSING : ER_PATH_OTHER;
    if (S_ISDIR(info.st_mode)) return ER_PATH_DIRECTORY;
    return S_ISREG(info.st_mode) ? ER_PATH_FILE : ER_PATH_OTHER;
}

erai_status er_path_resolve(const char *path, char **resolved, char *detail) {
    *resolved = realpath(path, NULL);
    return *resolved ? ERAI_OK : fail_errno(detail, path, "found", errno);
}

static erai_status read_exactly(int file, const char *path, uint8_t *bytes, size_t size, char *detail) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(file, bytes + done, size - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(detail, path, "read", errno);
        if (got == 0) return er_fail(detail, ERAI_E_BUNDLE_READ, "%s became shorter while it was read", path);
        done += (size_t)got;
    }
    return ERAI_OK;
}

static erai_status read_open_file(int file, const char *path, size_t limit, uint8_t **data, size_t *size,
                                  char *detail) {
    struct stat info;
    if (fstat(file, &info) != 0) return fail_errno(detail, path, "read", errno);
    if (!S_ISREG(info.st_mode)) return er_fail(detail, ERAI_E_BUNDLE_READ, "%s is not a regular file", path);
    if (info.st_size < 0 || (uintmax_t)info.st_size > limit)
        return er_fail(detail, ERAI_E_SIZE, "%s has %jd bytes; at most %zu are allowed here", path,
                       (intmax_t)info.st_size, limit);
    size_t bytes_size = (size_t)info.st_size;
    uint8_t *bytes = malloc(bytes_size > 0 ? bytes_size : 1);
    if (bytes == NULL) return er_fail(detail, ERAI_E_MEMORY, "no memory for the %zu bytes of %s", bytes_size, path);
    erai_status status = read_exactly(file, path, bytes, bytes_size, detail);
    if (status != ERAI_OK) {
        free(bytes);
        return status;
    }
    *data = bytes;
    *size = bytes_size;
    return ERAI_OK;
}

erai_status er_file_read(const char *path, size_t limit, uint8_t **data, size_t *size, char *detail) {
    /* Non-blocking, because opening a pipe without a writer would otherwise wait for ever. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return fail_errno(detail, path, "opened", errno);
    erai_status status = read_open_file(file, path, limit, data, size, detail);
    close(file);
    return status;
}

/* A growing list of relative paths. */
typedef struct path_list {
    char **paths;
    size_t count;
    size_t capacity;
} path_list;

static void path_list_free(path_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->paths[i]);
    free(list->paths);
}

/* Takes `path` over, also when it fails. */
static int path_list_add(path_list *list, char *path) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        char **paths = realloc(list->paths, capacity * sizeof *paths);
        if (paths == NULL) {
            free(path);
            return 0;
        }
        list->paths = paths;
        list->capacity = capacity;
    }
    list->paths[list->count++] = path;
    return 1;
}

typedef struct tree_walk {
    const char *root;
    const er_tree_limits *limits;
    path_list files;
    path_list directories; /* in the order found; the walk goes on through those not visited yet */
    char *detail;
} tree_walk;

char *er_path_join(const char *directory, const char *name) {
    size_t left = strlen(directory), right = strlen(name);
    char *path = malloc(left + right + 2);
    if (path == NULL) return NULL;
    memcpy(path, directory, left);
    size_t at = left;
    if (left > 0 && right > 0 && directory[left - 1] != '/') path[at++] = '/';
    memcpy(path + at, name, right + 1);
    return path;
}

static size_t depth_of(const char *path) {
    size_t depth = 1;
    for (; *path != '\0'; path++) depth += *path == '/';
    return depth;
}

static erai_status walk_entry(tree_walk *walk, int directory, const char *parent, const char *name) {
    char *path = er_path_join(parent, name);
    if (path == NULL) return er_fail(walk->detail, ERAI_E_MEMORY, "no memory to list %s", walk->root);
    struct stat info;
    erai_status status = ERAI_OK;
    path_list *list = &walk->files;
    if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        status = fail_errno(walk->detail, path, "examined", errno);
    else if (strlen(path) > walk->limits->path_size || depth_of(path) > walk->limits->depth)
        status = er_fail(walk->detail, ERAI_E_BUNDLE_FORMAT, "%s: the path is longer or deeper than allowed (in %s)",
                         path, walk->root);
    else if (S_ISDIR(info.st_mode))
        list = &walk->directories;
    else if (!S_ISREG(info.st_mode))
        status = er_fail(walk->detail, ERAI_E_BUNDLE_FORMAT,
                         "%s: a symbolic link or special file is not allowed, only files and directories (in %s)", path,
                         walk->root);
    if (status == ERAI_OK && list->count >= walk->limits->files)
        status = er_fail(walk->detail, ERAI_E_BUNDLE_FORMAT, "%s holds more than %zu files", walk->root,
                         walk->limits->files);
    if (status != ERAI_OK) {
        free(path);
        return status;
    }
    if (!path_list_add(list, path)) return er_fail(walk->detail, ERAI_E_MEMORY, "no memory to list %s", walk->root);
    return ERAI_OK;
}

/* `relative` is empty for the root, which alone may be reached through a link. */
static erai_status walk_directory(tree_walk *walk, const char *relative) {
    char *path = er_path_join(walk->root, relative);
    if (path == NULL) return er_fail(walk->detail, ERAI_E_MEMORY, "no memory to list %s", walk->root);
    int file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (relative[0] != '\0' ? O_NOFOLLOW : 0));
    DIR *directory = file >= 0 ? fdopendir(file) : NULL;
    if (directory == NULL) {
        erai_status status = fail_errno(walk->detail, path, "listed", errno);
        if (file >= 0) close(file);
        free(path);
        return status;
    }
    erai_status status = ERAI_OK;
    while (status == ERAI_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0) status = fail_errno(walk->detail, path, "listed", errno);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = walk_entry(walk, file, relative, entry->d_name);
    }
    closedir(directory);
    free(path);
    return status;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

erai_status er_tree_list(const char *root, const er_tree_limits *limits, er_tree *tree, char *detail) {
    tree_walk walk = {.root = root, .limits = limits, .detail = detail};
    erai_status status = walk_directory(&walk, "");
    for (size_t i = 0; status == ERAI_OK && i < walk.directories.count; i++)
        status = walk_directory(&walk, walk.directories.paths[i]);
    path_list_free(&walk.directories);
    if (status != ERAI_OK) {
        path_list_free(&walk.files);
        return status;
    }
    if (walk.files.count > 0) qsort(walk.files.paths, walk.files.count, sizeof(char *), compare_paths);
    tree->paths = walk.files.paths;
    tree->count = walk.files.count;
    return ERAI_OK;
}

void er_tree_free(er_tree *tree) {
    for (size_t i = 0; i < tree->count; i++) free(tree->paths[i]);
    free(tree->paths);
    tree->paths = NULL;
    tree->count = 0;
}
