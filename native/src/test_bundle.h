/* Small bundles for tests and fuzzing, made without the code that reads them. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_BUNDLE_H
#define ER_TEST_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

#define TEST_BUNDLE_MAX_FILES 16
#define TEST_MANIFEST_SIZE 4096
#define TEST_LABEL "small.erai" /* names the bundle in details */

typedef struct test_file {
    const char *name;
    const void *data;
    size_t size;
} test_file;

typedef struct test_bundle {
    test_file files[TEST_BUNDLE_MAX_FILES]; /* sorted by name */
    size_t count;
    char manifest[TEST_MANIFEST_SIZE];
    char manifest_digest[65];
} test_bundle;

/* A sound bundle: card.md, guard.bin, the two manifest files, models/m.onnx and two golden files. Their bytes are not
 * those of a real model or guard program. Its pointers lead into itself. */
void test_bundle_make(test_bundle *bundle);

/* Makes `size` bytes of `manifest`, with a digest that fits, the bundle's manifest. `manifest` is not copied. */
void test_bundle_seal(test_bundle *bundle, const void *manifest, size_t size);

test_file *test_bundle_file(test_bundle *bundle, const char *name);

/* The zip form of the files in the order given, in memory that the caller frees. */
uint8_t *test_zip(const test_file *files, size_t count, size_t *size);

/* Opens a copy of the image that ends where its memory ends, so that the sanitizer sees any read past it, and closes
 * it. `detail` is empty after a success. */
erai_status test_open_image(const uint8_t *image, size_t size, char *detail);
erai_status test_open_files(const test_file *files, size_t count, char *detail);

#endif
