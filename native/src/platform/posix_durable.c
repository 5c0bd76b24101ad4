/* Writing files durably on POSIX systems. A file is durable after fsync of it and of the directory that names it
 * (POSIX.1-2017 fsync; Linux fsync(2)). */
#define _GNU_SOURCE
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int er_directory_make(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return 0;
    int error = errno;
    if (stat(path, &info) == 0) return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
    return error;
}

static int write_all(int file, const uint8_t *data, size_t size) {
    while (size) {
        ssize_t written = write(file, data, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

static int create(const char *path, const void *data, size_t size, mode_t mode, int *made) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (made) *made = file >= 0;
    if (file < 0) return errno;
    int error = write_all(file, data, size);
    if (!error && fsync(file) != 0) error = errno;
    if (close(file) != 0 && !error) error = errno;
    return error;
}

int er_file_create(const char *path, const void *data, size_t size, int *made) {
    return create(path, data, size, 0666, made);
}

int er_file_create_secret(const char *path, const void *data, size_t size) {
    return create(path, data, size, 0600, NULL);
}

int er_file_rename(const char *from, const char *to) {
    return rename(from, to) == 0 ? 0 : errno;
}

int er_file_rename_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    /* A file system that does not know the flag: the moment between looking and renaming is accepted. */
    if (errno != EINVAL && errno != ENOSYS) return errno;
    return access(to, F_OK) == 0 ? EEXIST : er_file_rename(from, to);
}

int er_file_remove(const char *path) {
    return unlink(path) == 0 ? 0 : errno;
}

int er_directory_sync(const char *path) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return errno;
    int error = fsync(directory) == 0 ? 0 : errno;
    close(directory);
    return error;
}

int er_file_store(const char *directory, const char *from, const char *to, const void *data, size_t size, int yield,
                  int *visible) {
    int made = 0;
    int error = er_file_create(from, data, size, &made);
    if (!error) error = yield ? er_file_rename_new(from, to) : er_file_rename(from, to);
    if (error) {
        if (made) er_file_remove(from);
        return yield && error == EEXIST ? 0 : error;
    }
    /* From here on others may have read the file, so it stays as it is and its name is spent, whether or not it lasts.
     */
    *visible = 1;
    return er_directory_sync(directory);
}

int er_file_reserve(const char *path, uint64_t size) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) return errno;
    int error = fallocate(file, 0, 0, (off_t)size) == 0 ? 0 : errno;
    if (!error && fsync(file) != 0) error = errno;
    close(file);
    if (error) unlink(path);
    return error;
}

int er_file_size(const char *path, uint64_t *size) {
    struct stat info;
    if (lstat(path, &info) != 0) return errno;
    if (!S_ISREG(info.st_mode)) return ENOENT;
    *size = (uint64_t)info.st_size;
    return 0;
}

enum { LOCK_ATTEMPTS = 10000 };

int er_lock_take(const char *path, int *lock) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return errno;
    const struct timespec moment = {.tv_nsec = 1000000};
    int error = ETIMEDOUT;
    for (int attempt = 0; error == ETIMEDOUT && attempt < LOCK_ATTEMPTS; attempt++) {
        if (flock(file, LOCK_EX | LOCK_NB) == 0)
            error = 0;
        else if (errno == EWOULDBLOCK)
            nanosleep(&moment, NULL);
        else if (errno != EINTR)
            error = errno;
    }
    if (error)
        close(file);
    else
        *lock = file;
    return error;
}

void er_lock_drop(int lock) {
    flock(lock, LOCK_UN); /* closing would not do: a child that was forked meanwhile has the file open, too */
    close(lock);
}

int er_directory_each(const char *path, int (*visit)(const char *name, void *context), void *context) {
    DIR *directory = opendir(path);
    if (!directory) return errno;
    int error = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry) {
            error = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (visit(entry->d_name, context)) break;
    }
    closedir(directory);
    return error;
}

const char *er_error_text(int error, char *buffer, size_t size) {
    return strerror_r(error, buffer, size);
}
