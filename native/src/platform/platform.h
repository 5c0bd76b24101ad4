/* What the library asks of an operating system. Everything that knows one is in this directory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_PLATFORM_H
#define ER_PLATFORM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

/* ---- Reading files and directories (posix_file.c) ---------------------------------------------------------------
 * Any thread. Failures: ERAI_E_BUNDLE_READ (not there, not readable, changed meanwhile), ERAI_E_BUNDLE_FORMAT (a tree
 * with links or special files, or past its limits), ERAI_E_SIZE, ERAI_E_MEMORY. */

typedef enum er_path_kind { ER_PATH_MISSING, ER_PATH_FILE, ER_PATH_DIRECTORY, ER_PATH_OTHER } er_path_kind;

/* Follows links. OTHER: neither a regular file nor a directory, or it cannot be examined. */
er_path_kind er_path_look(const char *path);

/* The same file or directory by a path that is absolute and without links and dots, in memory that the caller frees. */
erai_status er_path_resolve(const char *path, char **resolved, char *detail);

/* "directory/name" in memory that the caller frees; NULL when there is none. */
char *er_path_join(const char *directory, const char *name);

/* Reads a regular file of at most `limit` bytes into memory that the caller frees. */
erai_status er_file_read(const char *path, size_t limit, uint8_t **data, size_t *size, char *detail);

typedef struct er_tree {
    char **paths; /* of the regular files, relative to the root, separated by '/', in the order of their bytes */
    size_t count;
} er_tree;

typedef struct er_tree_limits {
    size_t files; /* and as many directories */
    size_t depth; /* components of a relative path */
    size_t path_size;
} er_tree_limits;

/* Lists a directory and those below it. er_tree_free what it filled. On failure `tree` is left as it was. */
erai_status er_tree_list(const char *root, const er_tree_limits *limits, er_tree *tree, char *detail);
void er_tree_free(er_tree *tree);

/* ---- Writing files durably (posix_durable.c) --------------------------------------------------------------------
 * Single steps, whose order is the spool's business. 0 is success, otherwise an errno value. Any thread. */

int er_directory_make(const char *path);                                        /* 0 too when it exists already */
int er_file_create(const char *path, const void *data, size_t size, int *made); /* a new file, written and fsynced */
int er_file_create_secret(const char *path, const void *data, size_t size);     /* which nobody else may read */
int er_file_rename(const char *from, const char *to);
int er_file_rename_new(const char *from, const char *to); /* EEXIST when there is a `to` */
int er_file_remove(const char *path);
int er_directory_sync(const char *path);
/* A whole file or none: written and fsynced as `from`, which is new, renamed to `to`, and their directory fsynced. With
 * `yield`, a file that somebody else stored under this name meanwhile stays. *visible is set once others may have read
 * it, also where the last step then fails. */
int er_file_store(const char *directory, const char *from, const char *to, const void *data, size_t size, int yield,
                  int *visible);
/* A new file of `size` bytes that the disk has for it, whatever else fills it up; ENOSPC, EOPNOTSUPP and the like when
 * not, and then there is none. */
int er_file_reserve(const char *path, uint64_t size);
int er_file_size(const char *path, uint64_t *size); /* of a regular file; ENOENT for anything else */
/* Waits until no other holder of the lock is left, in this process or another, but not for ever: ETIMEDOUT. The kernel
 * lets go of it when its holder's process ends. */
int er_lock_take(const char *path, int *lock);
void er_lock_drop(int lock);
/* Calls `visit` with each name but "." and ".."; stops when it returns non-zero. */
int er_directory_each(const char *path, int (*visit)(const char *name, void *context), void *context);
const char *er_error_text(int error, char *buffer, size_t size);

/* ---- Clocks, randomness, environment, libraries (posix_system.c)
 * ------------------------------------------------------------- */

uint64_t er_monotonic_ns(void);
int64_t er_unix_ns(void);
#define ER_UTC_SIZE sizeof "YYYY-MM-DDThh:mm:ssZ"
void er_utc_text(int64_t unix_ns, char text[ER_UTC_SIZE]);
int er_random(void *bytes, size_t size); /* from the operating system; 0 is success */

/* How long something takes (posix_stopwatch.c). Where the kernel's clock is made from a counter that a program may read
 * too, that is read, once its rate is known; the monotonic clock until then, and elsewhere. Any thread. */
typedef struct er_stopwatch {
    uint64_t from;    /* of the counter, or of the monotonic clock in ns */
    double ns_a_tick; /* of the counter; 0: it is the clock */
} er_stopwatch;
er_stopwatch er_stopwatch_start(void);
uint64_t er_stopwatch_ns(const er_stopwatch *stopwatch); /* since then */
/* Measures the counter's rate by the clock, from the first time it was asked to. Where the two part, as after a sleep
 * of the machine, the clock is read again until a rate is known anew. */
void er_stopwatch_check(void);
/* What the rate is if it was `before`, or 0 where it was not known; 0 where that is not the same any more. */
double er_stopwatch_rate(double before, uint64_t ns, uint64_t ticks);

/* Sets an environment variable that is not set. No other thread may read the environment meanwhile. */
void er_environment_default(const char *name, const char *value);

/* A shared library, loaded until the process ends: free() the handle, the library stays. */
typedef struct er_library er_library;
er_library *er_library_open(const char *path, char *why, size_t why_size); /* NULL: `why` says why */
void *er_library_symbol(er_library *library, const char *name);            /* NULL when it has none */

/* ---- Locks and threads (posix_thread.c) -------------------------------------------------------------------------- */

typedef pthread_mutex_t er_mutex;
int er_mutex_init(er_mutex *mutex); /* 0 is success */
void er_mutex_destroy(er_mutex *mutex);
void er_mutex_lock(er_mutex *mutex);
void er_mutex_unlock(er_mutex *mutex);

/* Waiting gives the mutex up meanwhile, and may end for no reason: look again. */
typedef pthread_cond_t er_condition;
int er_condition_init(er_condition *condition); /* 0 is success */
void er_condition_destroy(er_condition *condition);
void er_condition_signal(er_condition *condition); /* wakes one who waits */
void er_condition_wait(er_condition *condition, er_mutex *mutex);
int er_condition_wait_until(er_condition *condition, er_mutex *mutex, uint64_t monotonic_ns); /* 0: the time has come */

/* A thread that no signal is delivered to, but those that tell of its own faults. */
typedef pthread_t er_thread;
int er_thread_start(er_thread *thread, void *(*body)(void *), void *context); /* 0 is success */
void er_thread_join(er_thread thread);

/* From er_thread_hasten to er_thread_relax the calling thread asks the system for short turns on a processor, so that
 * it gets one sooner when it wakes; its share stays what it was. Linux 6.12 and up; elsewhere nothing happens. Each
 * costs a few microseconds. */
typedef struct er_turns {
    uint64_t length_ns; /* what it was; 0: nothing was changed */
} er_turns;
er_turns er_thread_hasten(void);
void er_thread_relax(er_turns before);

/* Tells a forked child, in which none of its parent's threads run, from its parent: the forks since the first call, so
 * that of memory which a child inherits both know whose it is. Costs next to nothing. */
uint64_t er_process(void);

#endif
