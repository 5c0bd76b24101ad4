/* Stopping a session beyond the process: a file whose presence is what counts; inside is, for people, when it was
 * written and why. In the spool it is named after the model, so that it stops that model only, in every bundle; another
 * lies beside the bundle, for sessions without this spool: there a directory that cannot be written is no failure
 * unless it is the only place. Both are complete and fsynced before they get their names, as all of a spool is
 * (docs/formats/spool.md). */
#include "session.h"
#include "spool.h"
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_SIZE = 9 + 2 * ERAI_DIGEST_SIZE,
    WHY_READ = 1 << 16,
    WHY_SHOWN = 200 /* so that the file's path has room beside it */
};

static void name_file(const erai_session *session, char name[NAME_SIZE]) {
    strcpy(name, "stopped-");
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) snprintf(name + 8 + 2 * i, 3, "%02x", session->model_digest[i]);
}

/* Where the file is in the spool, in memory that the caller frees; NULL: out of memory. */
static char *spool_file(const erai_session *session) {
    char name[NAME_SIZE];
    name_file(session, name);
    return er_path_join(er_spool_path(session->spool), name);
}

static erai_status fail_io(char *detail, const char *what, const char *path, int error) {
    char text[128];
    if (error == ENOMEM) return er_fail(detail, ERAI_E_MEMORY, "%s: out of memory", what);
    return er_fail(detail, ERAI_E_SPOOL, "%s %s: %s", what, path, er_error_text(error, text, sizeof text));
}

int er_stop_found(const erai_session *session) {
    /* What cannot be examined may be there. */
    if (session->stop_path && er_path_look(session->stop_path) != ER_PATH_MISSING) return 1;
    if (!session->spool) return 0;
    char *path = spool_file(session);
    int found = !path || er_path_look(path) != ER_PATH_MISSING;
    free(path);
    return found;
}

/* How a file's text is told in a sentence: when and why, on one line. */
static size_t one_line(uint8_t *text, size_t size) {
    while (size && text[size - 1] <= ' ') size--;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\n') text[i] = ' ';
    return size < WHY_SHOWN ? size : WHY_SHOWN;
}

static erai_status fail_because_of(const char *path, char *detail) {
    uint8_t *text = NULL;
    size_t size = 0;
    int known = er_path_look(path) == ER_PATH_FILE && !er_file_read(path, WHY_READ, &text, &size, NULL);
    size = known ? one_line(text, size) : 0;
    er_fail(detail, ERAI_E_STOPPED, "this session is stopped: resume it to have answers again (%.*s%s%s)", (int)size,
            size ? (const char *)text : "", size ? "; in " : "", path);
    free(text);
    return ERAI_E_STOPPED;
}

/* Read anew for each refusal: nothing of it is kept, so that no call waits for whoever stops or resumes meanwhile. */
erai_status er_stop_fail(const erai_session *session, char *detail) {
    char *path = session->spool ? spool_file(session) : NULL;
    const char *found = path && er_path_look(path) != ER_PATH_MISSING ? path : NULL;
    if (session->stop_path && er_path_look(session->stop_path) != ER_PATH_MISSING) found = session->stop_path;
    if (found)
        fail_because_of(found, detail);
    else
        er_fail(detail, ERAI_E_STOPPED,
                "this session is stopped: resume it to have answers again (the file that says when and why is gone, or "
                "was never written)");
    free(path);
    return ERAI_E_STOPPED;
}

int erai_session_stopped(const erai_session *session) {
    return __atomic_load_n(&session->stopped, __ATOMIC_RELAXED);
}

/* ---- Stopping ---- */

/* The directory that names `path`, in memory that the caller frees; NULL: out of memory. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    char *parent = malloc(length + 2);
    if (!parent) return NULL;
    memcpy(parent, path, length);
    strcpy(parent + length, slash ? length ? "" : "/" : ".");
    return parent;
}

static int write_beside(const char *path, const char *text, size_t size) {
    char *parent = parent_of(path), *temporary = malloc(strlen(path) + sizeof ".writing");
    int visible = 0, error = ENOMEM;
    if (parent && temporary) {
        strcpy(temporary, path);
        strcat(temporary, ".writing");
        error = er_file_remove(temporary); /* a power cut's leftover */
        if (!error || error == ENOENT) error = er_file_store(parent, temporary, path, text, size, 0, &visible);
    }
    free(parent);
    free(temporary);
    return error;
}

static erai_status write_stop(const erai_session *session, const char *why, char *detail) {
    size_t room = strlen(why) + ER_UTC_SIZE + 3;
    char *text = malloc(room), utc[ER_UTC_SIZE], name[NAME_SIZE];
    if (!text) return er_fail(detail, ERAI_E_MEMORY, "out of memory");
    er_utc_text(er_session_unix_ns(session), utc);
    size_t size = (size_t)snprintf(text, room, "%s\n%s\n", utc, why);
    erai_status status = ERAI_OK;
    if (session->spool) {
        name_file(session, name);
        status = erai_spool_put(session->spool, name, (const uint8_t *)text, size, detail);
    }
    if (session->stop_path) {
        int error = write_beside(session->stop_path, text, size);
        if (error && !session->spool)
            status = fail_io(detail, "stopped in this process, but not beyond it: writing", session->stop_path, error);
    } else if (!session->spool) {
        status = er_fail(detail, ERAI_E_SPOOL,
                         "stopped in this process, but not beyond it: this session has neither a spool nor a path");
    }
    free(text);
    return status;
}

erai_status erai_session_stop(erai_session *session, const char *why, char *detail) {
    if (!session || !why) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_stop: NULL");
    er_mutex_lock(&session->lock);
    __atomic_store_n(&session->stopped, 1, __ATOMIC_RELAXED);
    erai_status status = write_stop(session, why, detail);
    er_mutex_unlock(&session->lock);
    return status;
}

/* ---- Resuming ---- */

/* "A" or "A and B" */
static void add_removed(const char *path, char *detail) {
    size_t used = strlen(detail);
    snprintf(detail + used, ERAI_DETAIL_SIZE - used, "%s%s", used ? " and " : "", path);
}

static erai_status remove_stop(const char *path, char *detail) {
    /* Where nothing can be removed, not even what is not there is. */
    if (path && er_path_look(path) == ER_PATH_MISSING) return ERAI_OK;
    char *parent = path ? parent_of(path) : NULL;
    int error = parent ? er_file_remove(path) : ENOMEM;
    if (!error && detail) add_removed(path, detail);
    if (!error) error = er_directory_sync(parent);
    free(parent);
    return error && error != ENOENT ? fail_io(detail, "still stopped: removing", path, error) : ERAI_OK;
}

erai_status erai_session_resume(erai_session *session, char *detail) {
    if (!session) return er_fail(detail, ERAI_E_ARGUMENT, "erai_session_resume: NULL");
    erai_status status = ERAI_OK;
    if (detail) *detail = '\0';
    er_mutex_lock(&session->lock);
    if (session->stop_path) status = remove_stop(session->stop_path, detail);
    if (!status && session->spool) {
        char *path = spool_file(session);
        status = remove_stop(path, detail);
        free(path);
    }
    if (!status) __atomic_store_n(&session->stopped, 0, __ATOMIC_RELAXED);
    er_mutex_unlock(&session->lock);
    return status;
}
