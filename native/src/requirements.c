/* "requirements" of manifest.json (docs/formats/bundle.md): from a name to the lowest version that will do. The form is
 * checked where the manifest is read, the versions where a session is opened, so that a bundle that cannot run here can
 * still be inspected here. SPDX-License-Identifier: Apache-2.0 */
#include "requirements.h"

#include <string.h>

#include "status.h"

#define BUILD "edge_rai"
#define ORT "onnxruntime"
#define LITERT "litert"
#define PARTS 3
#define MAX_DIGITS 9 /* so that a number fits in 32 bits */

/* Reads up to three numbers with dots between, and leaves the rest as 0. Returns where they end, NULL when `text` does
 * not begin with a number or one has too many digits. */
static const char *read_version(const char *text, uint32_t parts[PARTS]) {
    memset(parts, 0, PARTS * sizeof *parts);
    for (size_t part = 0;; part++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > MAX_DIGITS) return NULL;
        for (size_t i = 0; i < digits; i++) parts[part] = 10 * parts[part] + (uint32_t)(text[i] - '0');
        text += digits;
        if (part + 1 == PARTS || text[0] != '.' || strspn(text + 1, "0123456789") == 0) return text;
        text++;
    }
}

bool er_requirement_valid(const char *text) {
    uint32_t parts[PARTS];
    if (strncmp(text, ">=", 2) != 0) return false;
    const char *end = read_version(text + 2, parts);
    return end != NULL && end[0] == '\0';
}

bool er_requirement_met(const char *requirement, const char *version) {
    uint32_t least[PARTS], parts[PARTS];
    if (read_version(requirement + 2, least) == NULL || read_version(version, parts) == NULL) return false;
    for (size_t i = 0; i < PARTS; i++)
        if (parts[i] != least[i]) return parts[i] > least[i];
    return true;
}

static bool has_name(const er_json_value *key, const char *name) {
    const char *text = er_json_text(key);
    return text != NULL && strcmp(text, name) == 0;
}

static bool is_known(const er_json_value *key) {
    return has_name(key, BUILD) || has_name(key, ORT) || has_name(key, LITERT);
}

bool er_requirements_valid(const er_json_value *requirements) {
    if (!er_json_is(requirements, ER_JSON_OBJECT)) return false;
    for (const er_json_value *key = er_json_first(requirements); key != NULL; key = er_json_next(requirements, key)) {
        const char *wanted = er_json_text(key + 1);
        if (!is_known(key)) continue;
        if (wanted == NULL || !er_requirement_valid(wanted)) return false;
    }
    return true;
}

static erai_status check(const erai_bundle *bundle, const char *name, const char *version, const char *update,
                         char *detail) {
    const char *wanted = er_json_text(er_json_get(bundle->manifest.requirements, name));
    if (wanted == NULL || er_requirement_met(wanted, version)) return ERAI_OK;
    return er_fail(detail, ERAI_E_BUNDLE_NEWER, "%s requires %s %s and %s is here; update %s on this device",
                   bundle->label, name, wanted, version, update);
}

erai_status er_requirements_check_build(const erai_bundle *bundle, char *detail) {
    const er_json_value *list = bundle->manifest.requirements;
    if (list == NULL) return ERAI_OK;
    for (const er_json_value *key = er_json_first(list); key != NULL; key = er_json_next(list, key))
        if (!is_known(key))
            return er_fail(detail, ERAI_E_BUNDLE_NEWER,
                           "%s requires %s, which this build does not know; update edge-rai on this device",
                           bundle->label, key->text);
    return check(bundle, BUILD, erai_version(), "edge-rai", detail);
}

erai_status er_requirements_check_model(const erai_bundle *bundle, const er_model *model, char *detail) {
    if (!model->version) return ERAI_OK;
    return check(bundle, model->engine->requirement, model->version, model->engine->update, detail);
}
