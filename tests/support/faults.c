/* Loaded before libc (LD_PRELOAD), counts the calls that change a file system and, at the n-th since faults_arm, cuts
 * the power (the process ends at once, the call not made) or refuses the call. Once faults_trace was called, every one
 * of them is also written to a file, with its data, so that what a power cut may leave of them can be worked out. Only
 * the calls that this library makes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long calls_left = -1; /* -1: not armed */
static int refusal;          /* an errno value; 0 cuts the power; -1: a write that writes one byte less */
static long calls_seen;
static int trace = -1;

void faults_arm(long nth, int error);
long faults_disarm(void);
void faults_trace(const char *path);
void faults_mark(const char *text);

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

void faults_arm(long nth, int error) {
    calls_left = nth;
    refusal = error;
    calls_seen = 0;
}

/* Calls seen since faults_arm. */
long faults_disarm(void) {
    calls_left = -1;
    return calls_seen;
}

static void write_real(const void *data, size_t size) {
    if (REAL("write", ssize_t (*)(int, const void *, size_t))(trace, data, size) != (ssize_t)size) abort();
}

/* One record: kind, file number, sizes of two strings of bytes, and these. */
static void note(char kind, int file, const void *one, size_t one_size, const void *two, size_t two_size) {
    if (trace < 0 || file == trace) return;
    int32_t numbers[3] = {file, (int32_t)one_size, (int32_t)two_size};
    int saved = errno;
    write_real(&kind, 1);
    write_real(numbers, sizeof numbers);
    if (one_size) write_real(one, one_size);
    if (two_size) write_real(two, two_size);
    errno = saved;
}

void faults_trace(const char *path) {
    trace = REAL("open", int (*)(const char *, int, ...))(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (trace < 0) abort();
}

/* Something that the program has come to know, at this place of the trace. */
void faults_mark(const char *text) {
    note('m', 0, text, strlen(text), NULL, 0);
}

static int refused(void) {
    if (calls_left < 0) return 0;
    calls_seen++;
    if (calls_left == 0 || --calls_left > 0 || refusal == -1) return 0;
    if (!refusal) _exit(99);
    errno = refusal;
    return 1;
}

static int open_as(const char *function, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) && refused()) return -1;
    int file = REAL(function, int (*)(const char *, int, ...))(path, flags, mode);
    if (file >= 0) note(flags & O_CREAT ? 'c' : 'o', file, path, strlen(path), NULL, 0);
    return file;
}

/* The library's own calls go to the second, those of others perhaps to the first. */
#define OPEN(name)                                                  \
    int name(const char *path, int flags, ...) {                    \
        va_list arguments;                                          \
        va_start(arguments, flags);                                 \
        mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments);                                          \
        return open_as(#name, path, flags, mode);                   \
    }
OPEN(open)
OPEN(open64)

/* A refused write may have written something first, as on a full disk. */
ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = REAL("write", ssize_t (*)(int, const void *, size_t));
    if (file <= STDERR_FILENO) return real(file, data, size);
    if (calls_left == 1 && refusal > 0) real(file, data, size / 2);
    if (calls_left == 1 && refusal == -1 && size > 1) size--;
    if (refused()) return -1;
    ssize_t written = real(file, data, size);
    if (written > 0) note('w', file, data, (size_t)written, NULL, 0);
    return written;
}

int fsync(int file) {
    if (refused()) return -1;
    int result = REAL("fsync", int (*)(int))(file);
    if (!result) note('s', file, NULL, 0, NULL, 0);
    return result;
}

int fallocate64(int file, int mode, off64_t offset, off64_t size) {
    return refused() ? -1 : REAL("fallocate64", int (*)(int, int, off64_t, off64_t))(file, mode, offset, size);
}

static int renamed(int result, const char *from, const char *to) {
    if (!result) note('r', 0, from, strlen(from), to, strlen(to));
    return result;
}

int rename(const char *from, const char *to) {
    return refused() ? -1 : renamed(REAL("rename", int (*)(const char *, const char *))(from, to), from, to);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    if (refused()) return -1;
    int (*real)(int, const char *, int, const char *, unsigned) =
        REAL("renameat2", int (*)(int, const char *, int, const char *, unsigned));
    return renamed(real(from_directory, from, to_directory, to, flags), from, to);
}

int unlink(const char *path) {
    if (refused()) return -1;
    int result = REAL("unlink", int (*)(const char *))(path);
    if (!result) note('u', 0, path, strlen(path), NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    if (refused()) return -1;
    int result = REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
    if (!result) note('d', 0, path, strlen(path), NULL, 0);
    return result;
}
