/* Which versions a bundle requires of this library and of the inference runtimes. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ER_REQUIREMENTS_H
#define ER_REQUIREMENTS_H

#include "bundle.h"
#include "model.h"

/* Whether `text` is ">=X", ">=X.Y" or ">=X.Y.Z", each number of 1 to 9 digits. */
bool er_requirement_valid(const char *text);

/* Whether `version` is at least what a valid requirement asks for. Missing numbers are 0; what follows the numbers of
 * `version` ("-dev", a fourth number) does not count. A version that begins with no number meets nothing. */
bool er_requirement_met(const char *requirement, const char *version);

/* False unless `requirements` is an object whose requirements with known names are valid. Those with other names may
 * have any form: they are for a later build to read. */
bool er_requirements_valid(const er_json_value *requirements);

/* ERAI_E_BUNDLE_NEWER when the bundle requires a newer edge_rai, or something of a name that this build does not know.
 * Apart from the next, so that the answer comes before a model that this build may not be able to open. */
erai_status er_requirements_check_build(const erai_bundle *bundle, char *detail);

/* ERAI_E_BUNDLE_NEWER when the bundle requires a newer runtime than the one that has opened the model. */
erai_status er_requirements_check_model(const erai_bundle *bundle, const er_model *model, char *detail);

#endif
