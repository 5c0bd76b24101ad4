/* Fuzzes everything that reads bundle bytes: the zip, the JSON text, and, because a random manifest would never pass
 * its digest, the manifest of a bundle that is sealed around the input. Build with -fsanitize=fuzzer, or with replay.c
 * to run a corpus. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "json.h"
#include "test_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_image(uint8_t *image, size_t size) {
    erai_bundle *bundle = NULL;
    char detail[ERAI_DETAIL_SIZE] = "";
    erai_status status = er_bundle_open_image(image, size, "fuzzed", &bundle, detail);
    /* A failure without a sentence, or a success with one, is a fault as well. */
    if ((status == ERAI_OK) != (bundle != NULL) || (status == ERAI_OK) != (detail[0] == '\0')) abort();
    erai_bundle_close(bundle);
}

static void open_json(const uint8_t *data, size_t size) {
    er_json *json = NULL;
    if (er_json_open(data, size, &json, NULL) != ERAI_OK) return;
    const er_json_value *root = er_json_root(json);
    for (const er_json_value *item = er_json_first(root); item != NULL; item = er_json_next(root, item)) {
        int64_t integer;
        double number;
        er_json_text(item);
        er_json_int64(item, &integer);
        er_json_double(item, &number);
    }
    er_json_close(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *image = malloc(size > 0 ? size : 1);
    if (image == NULL) return 0;
    if (size > 0) memcpy(image, data, size);
    open_image(image, size);
    open_json(data, size);

    test_bundle sealed;
    test_bundle_make(&sealed);
    test_bundle_seal(&sealed, data, size);
    size_t image_size;
    image = test_zip(sealed.files, sealed.count, &image_size);
    open_image(image, image_size);
    return 0;
}
