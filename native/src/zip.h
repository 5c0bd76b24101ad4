/* The one zip that a set of files has. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_ZIP_H
#define ER_ZIP_H

#include "bundle.h"

#define ER_ZIP_LOCAL_SIZE 30
#define ER_ZIP_CENTRAL_SIZE 46
#define ER_ZIP_END_SIZE 22

/* Whether the bytes begin as a zip does. */
bool er_zip_recognise(const uint8_t *image, size_t size);

/* Finds the entries of bundle->image, of `size` bytes, and fills bundle->files, ->count and ->names, which the bundle
 * owns also after a failure. ERAI_E_BUNDLE_FORMAT, ERAI_E_BUNDLE_INTEGRITY (CRC-32), ERAI_E_MEMORY. */
erai_status er_zip_read(erai_bundle *bundle, size_t size, char *detail);

#endif
