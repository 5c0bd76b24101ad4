/* The device's key, docs/formats/spool.md. The file is replaced, never changed: the old one goes first, so that it is
 * in no file any more when the new one is used, and whoever finds none, or half of one after a power cut, makes one.
 * Clocks that jump make a key live shorter, never longer. */
#include "device_key.h"

#include "sha256.h"
#include "spool_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE "key"

enum { SIZE = 8 + 1 + 16 + 1 + ER_DIGEST_HEX_SIZE + 1 };

typedef struct key_file {
    uint32_t opening;
    int64_t unix_s;
    uint8_t bytes[ERAI_DIGEST_SIZE];
} key_file;

/* Lower-case hexadecimal digits, all of them. */
static int read_hex(const char *text, size_t digits, uint64_t *number) {
    *number = 0;
    for (size_t i = 0; i < digits; i++) {
        const char *all = "0123456789abcdef", *digit = text[i] ? strchr(all, text[i]) : NULL;
        if (!digit) return 0;
        *number = *number << 4 | (uint64_t)(digit - all);
    }
    return 1;
}

static int parse(const char *text, size_t size, key_file *file) {
    uint64_t opening, unix_s, byte;
    if (size != SIZE || text[8] != ' ' || text[25] != ' ' || text[SIZE - 1] != '\n') return 0;
    if (!read_hex(text, 8, &opening) || !read_hex(text + 9, 16, &unix_s)) return 0;
    for (size_t i = 0; i < ERAI_DIGEST_SIZE; i++) {
        if (!read_hex(text + 26 + 2 * i, 2, &byte)) return 0;
        file->bytes[i] = (uint8_t)byte;
    }
    file->opening = (uint32_t)opening;
    file->unix_s = (int64_t)unix_s;
    return 1;
}

static int read_file(const char *path, key_file *file) {
    uint8_t *data = NULL;
    size_t size = 0;
    int sound = er_path_look(path) == ER_PATH_FILE && er_file_read(path, SIZE, &data, &size, NULL) == ERAI_OK &&
                parse((const char *)data, size, file);
    free(data);
    return sound;
}

/* Under the spool's lock, so that all sessions of a device have the same. */
static void write_file(const erai_spool *spool, const char *path, const key_file *file) {
    char text[SIZE + 1];
    snprintf(text, sizeof text, "%08" PRIx32 " %016" PRIx64 " ", file->opening, (uint64_t)file->unix_s);
    er_digest_hex(file->bytes, text + 26);
    text[SIZE - 1] = '\n';
    er_file_remove(path);
    if (er_file_create_secret(path, text, SIZE) == 0) er_directory_sync(spool->path);
}

static int is_young(const key_file *file, uint32_t opening, int64_t now_s) {
    return now_s >= file->unix_s && file->unix_s > now_s - ER_KEY_LIFE_S && opening >= file->opening &&
           opening - file->opening < ER_KEY_OPENINGS;
}

int er_device_key_renew(er_device_key *key, const erai_spool *spool, uint64_t now_ns, int64_t now_unix_ns) {
    char *path = er_path_join(spool->path, KEY_FILE), *lock_path = er_path_join(spool->path, ER_LOCK_FILE);
    int lock = 0, locked = path && lock_path && er_lock_take(lock_path, &lock) == 0;
    int64_t now_s = now_unix_ns / 1000000000;
    uint32_t opening = (uint32_t)(er_spool_epoch(spool) >> 32);
    key_file file = {0};
    int sound = locked && read_file(path, &file) && is_young(&file, opening, now_s);
    int known = key->there && memcmp(key->bytes, file.bytes, sizeof file.bytes) == 0;
    if (sound && known && now_ns - key->since_ns >= (uint64_t)ER_KEY_LIFE_S * 1000000000u) sound = 0;
    if (!sound) {
        known = 0;
        file = (key_file){.opening = opening, .unix_s = now_s};
        sound = er_random(file.bytes, sizeof file.bytes) == 0;
        if (sound && locked) write_file(spool, path, &file);
    }
    if (sound && !known) {
        memcpy(key->bytes, file.bytes, sizeof file.bytes);
        key->since_ns = now_ns;
        key->there = 1;
    }
    if (locked) er_lock_drop(lock);
    free(path);
    free(lock_path);
    return sound;
}
