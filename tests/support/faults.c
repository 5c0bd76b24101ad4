/* Loaded before libc (LD_PRELOAD), counts the calls that change a file system and, at the n-th since faults_arm, cuts
 * the power (the process ends at once, the call not made) or refuses the call. Only the calls that this library makes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long calls_left = -1; /* -1: not armed */
static int refusal;          /* an errno value; 0 cuts the power */
static long calls_seen;

void faults_arm(long nth, int error);
long faults_disarm(void);

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

static int refused(void) {
    if (calls_left < 0) return 0;
    calls_seen++;
    if (calls_left == 0 || --calls_left > 0) return 0;
    if (!refusal) _exit(99);
    errno = refusal;
    return 1;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if ((flags & O_CREAT) && refused()) return -1;
    return REAL("open", int (*)(const char *, int, ...))(path, flags, mode);
}

/* A refused write may have written something first, as on a full disk. */
ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = REAL("write", ssize_t (*)(int, const void *, size_t));
    if (file <= STDERR_FILENO) return real(file, data, size);
    if (calls_left == 1) real(file, data, size / 2);
    return refused() ? -1 : real(file, data, size);
}

int fsync(int file) {
    return refused() ? -1 : REAL("fsync", int (*)(int))(file);
}

int rename(const char *from, const char *to) {
    return refused() ? -1 : REAL("rename", int (*)(const char *, const char *))(from, to);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    return refused() ? -1
                     : REAL("renameat2", int (*)(int, const char *, int, const char *, unsigned))(from_directory, from,
                                                                                                   to_directory, to, flags);
}

int unlink(const char *path) {
    return refused() ? -1 : REAL("unlink", int (*)(const char *))(path);
}

int mkdir(const char *path, mode_t mode) {
    return refused() ? -1 : REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
}
