/* What manifest.json says, checked. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_MANIFEST_H
#define ER_MANIFEST_H

#include "bundle.h"

/* Verifies manifest.json against manifest.sha256 and every file against manifest.json, and fills each file's digest,
 * bundle->json and bundle->manifest, which the bundle owns also after a failure. */
erai_status er_manifest_read(erai_bundle *bundle, char *detail);

/* Frees what er_manifest_read made. */
void er_manifest_clear(er_manifest *manifest);

#endif
