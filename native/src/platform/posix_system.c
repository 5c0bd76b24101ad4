/* Clocks, randomness, environment and shared libraries on Linux with glibc. */
#define _GNU_SOURCE
#include "platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t er_monotonic_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

int64_t er_unix_ns(void) {
    return (int64_t)read_clock(CLOCK_REALTIME);
}

void er_utc_text(int64_t unix_ns, char text[ER_UTC_SIZE]) {
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    if (!strftime(text, ER_UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc)) text[0] = 0;
}

int er_random(void *bytes, size_t size) {
    uint8_t *at = bytes;
    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

void er_environment_default(const char *name, const char *value) {
    setenv(name, value, 0);
}

struct er_library {
    void *handle;
};

er_library *er_library_open(const char *path, char *why, size_t why_size) {
    er_library *library = malloc(sizeof *library);
    if (!library) return NULL;
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library->handle) return library;
    const char *error = dlerror();
    snprintf(why, why_size, "%s", error ? error : path);
    free(library);
    return NULL;
}

void *er_library_symbol(er_library *library, const char *name) {
    return dlsym(library->handle, name);
}
