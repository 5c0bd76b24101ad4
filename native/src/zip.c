/* Reads a bundle's zip form (docs/formats/bundle.md): stored, sorted, contiguous, every header field fixed. From an
 * entry's path, size, CRC-32 and offset its headers are built anew and compared whole, so that nothing in the file is
 * left that could differ unseen. SPDX-License-Identifier: Apache-2.0 */
#include "zip.h"

#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "status.h"

#define LOCAL_SIGNATURE 0x04034B50u
#define CENTRAL_SIGNATURE 0x02014B50u
#define END_SIGNATURE 0x06054B50u
#define ZIP_VERSION 20u
#define ZIP_DATE 0x0021u /* 1980-01-01 */

static const char advice[] = "copy the bundle again, and do not zip it with another tool";

static uint32_t get16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p) {
    return get16(p) | get16(p + 2) << 16;
}

static void put16(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *p, uint32_t value) {
    put16(p, value);
    put16(p + 2, value >> 16);
}

/* Where the parts of an image lie. */
typedef struct layout {
    const uint8_t *image;
    size_t directory; /* offset of the central directory */
    size_t end;       /* offset of the end record */
} layout;

/* The 24 bytes that an entry's two headers share. */
static void build_shared(uint8_t shared[24], uint32_t crc, uint32_t size, uint32_t name_size) {
    memset(shared, 0, 24);
    put16(shared, ZIP_VERSION);
    put16(shared + 8, ZIP_DATE);
    put32(shared + 10, crc);
    put32(shared + 14, size);
    put32(shared + 18, size);
    put16(shared + 22, name_size);
}

static erai_status read_end(const erai_bundle *bundle, size_t size, layout *found, size_t *count, char *detail) {
    if (size < ER_ZIP_END_SIZE || get32(bundle->image + size - ER_ZIP_END_SIZE) != END_SIGNATURE)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                       "%s: expected a zip end record in the last %d bytes: the file is truncated or extended; %s",
                       bundle->label, ER_ZIP_END_SIZE, advice);
    size_t end = size - ER_ZIP_END_SIZE;
    const uint8_t *record = bundle->image + end;
    uint32_t entries = get16(record + 8), directory = get32(record + 16);
    if (entries > ER_BUNDLE_MAX_FILES)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: %u files; at most %d are allowed", bundle->label, entries,
                       ER_BUNDLE_MAX_FILES);
    uint8_t expected[ER_ZIP_END_SIZE] = {0};
    put32(expected, END_SIGNATURE);
    put16(expected + 8, entries);
    put16(expected + 10, entries);
    put32(expected + 12, directory <= end ? (uint32_t)(end - directory) : 0);
    put32(expected + 16, directory);
    if (directory > end || memcmp(record, expected, sizeof expected) != 0)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: the zip end record is damaged; %s", bundle->label, advice);
    *found = (layout){.image = bundle->image, .directory = directory, .end = end};
    *count = entries;
    return ERAI_OK;
}

/* Checks the entry whose headers begin at *local and *central, and moves both to the next. */
static erai_status read_entry(const layout *zip, size_t *local, size_t *central, er_bundle_file *file, char *name,
                              const char *label, char *detail) {
    if (zip->end - *central < ER_ZIP_CENTRAL_SIZE)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: the zip directory is cut short; %s", label, advice);
    const uint8_t *header = zip->image + *central;
    uint32_t crc = get32(header + 16), size = get32(header + 24), name_size = get16(header + 28);
    size_t name_at = *central + ER_ZIP_CENTRAL_SIZE;
    if (name_size > zip->end - name_at || !er_bundle_path_valid((const char *)zip->image + name_at, name_size))
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: the zip directory at byte %zu has no valid path; %s", label,
                       *central, advice);
    memcpy(name, zip->image + name_at, name_size);
    name[name_size] = '\0';

    uint8_t expected[ER_ZIP_CENTRAL_SIZE] = {0};
    put32(expected, CENTRAL_SIGNATURE);
    put16(expected + 4, ZIP_VERSION);
    build_shared(expected + 6, crc, size, name_size);
    put32(expected + 42, (uint32_t)*local);
    if (memcmp(header, expected, sizeof expected) != 0)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT,
                       "%s: its entry in the zip directory is not as expected (in %s); %s", name, label, advice);

    size_t before = ER_ZIP_LOCAL_SIZE + (size_t)name_size, left = zip->directory - *local;
    if (before > left || size > left - before)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: its %u bytes do not fit before the zip directory (in %s); %s",
                       name, size, label, advice);
    put32(expected, LOCAL_SIGNATURE);
    build_shared(expected + 4, crc, size, name_size);
    put16(expected + 28, 0);
    if (memcmp(zip->image + *local, expected, ER_ZIP_LOCAL_SIZE) != 0 ||
        memcmp(zip->image + *local + ER_ZIP_LOCAL_SIZE, name, name_size) != 0)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: its zip header is not as expected (in %s); %s", name, label,
                       advice);
    const uint8_t *data = zip->image + *local + before;
    if (er_crc32(0, data, size) != crc)
        return er_fail(detail, ERAI_E_BUNDLE_INTEGRITY, "%s: its bytes differ from their CRC-32 (in %s); %s", name,
                       label, advice);
    *file = (er_bundle_file){.name = name, .data = data, .size = size};
    *local += before + size;
    *central = name_at + name_size;
    return ERAI_OK;
}

bool er_zip_recognise(const uint8_t *image, size_t size) {
    return size >= 4 && get32(image) == LOCAL_SIGNATURE;
}

erai_status er_zip_read(erai_bundle *bundle, size_t size, char *detail) {
    layout zip = {0};
    size_t count = 0;
    erai_status status = read_end(bundle, size, &zip, &count, detail);
    if (status != ERAI_OK) return status;
    bundle->files = calloc(count + 1, sizeof *bundle->files);
    bundle->names = malloc(zip.end - zip.directory + 1); /* a header is longer than the zero that a name gains */
    if (bundle->files == NULL || bundle->names == NULL)
        return er_fail(detail, ERAI_E_MEMORY, "no memory for the %zu entries of %s", count, bundle->label);

    size_t local = 0, central = zip.directory;
    char *name = bundle->names;
    for (; bundle->count < count; bundle->count++) {
        er_bundle_file *file = &bundle->files[bundle->count];
        status = read_entry(&zip, &local, &central, file, name, bundle->label, detail);
        if (status != ERAI_OK) return status;
        if (bundle->count > 0 && strcmp(file[-1].name, file->name) >= 0)
            return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: not in the order of the paths, or twice (in %s); %s",
                           file->name, bundle->label, advice);
        name += strlen(name) + 1;
    }
    if (local != zip.directory || central != zip.end)
        return er_fail(detail, ERAI_E_BUNDLE_FORMAT, "%s: bytes that belong to no entry lie before byte %zu; %s",
                       bundle->label, local != zip.directory ? zip.directory : zip.end, advice);
    return ERAI_OK;
}
