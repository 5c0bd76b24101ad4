/* FlatBuffers by their published layout (flatbuffers.dev, "FlatBuffer Internals"), little-endian throughout.
 *
 * A table begins with the signed distance back to its vtable; the vtable holds its own size, the table's, and for each
 * slot the field's distance from the table's beginning, 0 where it is absent. References are unsigned distances
 * forward, so that what they reach lies behind them and no walk can go in circles; but many may lead to the same place,
 * so the walk has a budget. */
#include "flatbuffer.h"

#include <stdio.h>
#include <string.h>

#include "status.h"

#define PATH_SIZE 160
#define BUDGET_BASE 65536u
#define BUDGET_FACTOR 16u

static uint32_t get16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p) {
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p) {
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* ---- Walking ---- */

/* Where the walk is, from the root down. */
typedef struct crumb {
    const struct crumb *up;
    const char *field; /* up to the ':' */
    uint32_t index;    /* of an element */
    bool indexed;
} crumb;

typedef struct walker {
    const er_flat *flat;
    const er_flat_schema *schema;
    char *detail;
    uint64_t budget; /* elements and tables still to be looked at */
} walker;

static size_t write_path(const crumb *at, char *path, size_t size) {
    if (at == NULL) return 0;
    size_t length = write_path(at->up, path, size);
    int name = (int)strcspn(at->field, ":");
    int wrote = snprintf(path + length, size - length, "%s%.*s", length > 0 ? "." : "", name, at->field);
    length += wrote < 0 ? 0 : (size_t)wrote;
    if (length >= size) length = size - 1;
    if (at->indexed) {
        wrote = snprintf(path + length, size - length, "[%u]", (unsigned)at->index);
        length += wrote < 0 ? 0 : (size_t)wrote;
    }
    return length >= size ? size - 1 : length;
}

static erai_status refuse(const walker *walk, const crumb *at, const char *what, uint64_t value, size_t place) {
    char path[PATH_SIZE] = "the root";
    write_path(at, path, sizeof path);
    return er_fail(walk->detail, ERAI_E_MODEL_UNSUPPORTED, "%s at byte %zu of %zu: %s (%llu); the file is damaged",
                   path, place, walk->flat->size, what, (unsigned long long)value);
}

static bool fits(const er_flat *flat, size_t at, uint64_t size) {
    return at <= flat->size && size <= flat->size - at;
}

static erai_status spend(walker *walk, const crumb *at, uint64_t cost, size_t place) {
    if (cost > walk->budget) return refuse(walk, at, "what the file repeats passes all bounds", cost, place);
    walk->budget -= cost;
    return ERAI_OK;
}

/* The place that the reference at `at` leads to, which holds at least 4 bytes. */
static erai_status follow(walker *walk, const crumb *step, size_t at, size_t *place) {
    uint32_t distance = get32(walk->flat->bytes + at);
    if (distance < 4 || !fits(walk->flat, at, (uint64_t)distance + 4))
        return refuse(walk, step, "a reference leads out of the file", distance, at);
    *place = at + distance;
    if (*place % 4 != 0) return refuse(walk, step, "a reference leads to a place that is not aligned", distance, at);
    return spend(walk, step, 1, at);
}

static erai_status check_vector(walker *walk, const crumb *step, size_t at, unsigned width, size_t *first,
                                uint32_t *count) {
    erai_status status = follow(walk, step, at, first);
    if (status) return status;
    *count = get32(walk->flat->bytes + *first);
    if (!fits(walk->flat, *first + 4, (uint64_t)*count * width))
        return refuse(walk, step, "more elements than the file has bytes for", *count, *first);
    *first += 4;
    if (*count > 0 && *first % width != 0) return refuse(walk, step, "elements that are not aligned", *count, *first);
    return ERAI_OK;
}

/* The bytes of a UTF-8 sequence by RFC 3629, 0 where there is none. */
static unsigned sequence(const uint8_t *p, size_t left) {
    unsigned size = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (size > left) return 0;
    for (unsigned i = 1; i < size; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    uint32_t pair = size > 1 ? (uint32_t)p[0] << 8 | p[1] : 0;
    bool overlong = (size == 3 && pair < 0xE0A0u) || (size == 4 && pair < 0xF090u);
    bool surrogate = size == 3 && pair >= 0xEDA0u && pair <= 0xEDBFu;
    return overlong || surrogate || (size == 4 && pair > 0xF48Fu) ? 0 : size;
}

static erai_status check_string(walker *walk, const crumb *step, size_t at) {
    size_t first;
    uint32_t count;
    erai_status status = check_vector(walk, step, at, 1, &first, &count);
    if (!status) status = spend(walk, step, count / 4, first);
    if (status) return status;
    const uint8_t *text = walk->flat->bytes + first;
    if (!fits(walk->flat, first, (uint64_t)count + 1) || text[count] != 0)
        return refuse(walk, step, "a text that does not end in a zero", count, first);
    for (uint32_t i = 0; i < count;) {
        unsigned size = text[i] == 0 ? 0 : sequence(text + i, count - i);
        if (size == 0) return refuse(walk, step, "a text that is not UTF-8", text[i], first + i);
        i += size;
    }
    return ERAI_OK;
}

static erai_status open_table(walker *walk, const crumb *step, size_t at, er_flat_table *table) {
    size_t place;
    erai_status status = follow(walk, step, at, &place);
    if (status) return status;
    const er_flat *flat = walk->flat;
    int64_t vtable = (int64_t)place - (int32_t)get32(flat->bytes + place);
    if (vtable < 0 || vtable % 2 != 0 || !fits(flat, (size_t)vtable, 4))
        return refuse(walk, step, "a table's vtable is not in the file", (uint64_t)vtable, place);
    uint32_t vtable_size = get16(flat->bytes + vtable), size = get16(flat->bytes + vtable + 2);
    if (vtable_size < 4 || vtable_size % 2 != 0 || !fits(flat, (size_t)vtable, vtable_size))
        return refuse(walk, step, "a vtable of a size that cannot be", vtable_size, (size_t)vtable);
    if (size < 4 || !fits(flat, place, size)) return refuse(walk, step, "a table passes the file's end", size, place);
    *table = (er_flat_table){.flat = flat, .at = place, .vtable = (size_t)vtable, .vtable_size = vtable_size};
    return ERAI_OK;
}

static uint32_t distance_of(const er_flat_table *table, unsigned slot) {
    uint32_t entry = 4 + 2 * slot;
    return table->flat != NULL && entry + 2 <= table->vtable_size ? get16(table->flat->bytes + table->vtable + entry)
                                                                  : 0;
}

/* The place of a field, 0 where it is absent. */
static size_t place_of(const er_flat_table *table, unsigned slot) {
    uint32_t distance = distance_of(table, slot);
    return distance == 0 ? 0 : table->at + distance;
}

static erai_status check_table(walker *walk, const crumb *step, size_t at, const er_flat_type *type);

static erai_status check_tables(walker *walk, const crumb *here, size_t at, const er_flat_type *type) {
    size_t first;
    uint32_t count;
    crumb element = *here;
    element.indexed = true;
    erai_status status = check_vector(walk, here, at, 4, &first, &count);
    for (uint32_t i = 0; !status && i < count; i++) {
        element.index = i;
        status = check_table(walk, &element, first + 4 * (size_t)i, type);
    }
    return status;
}

static erai_status check_union(walker *walk, const crumb *step, const er_flat_table *table, unsigned slot, size_t at,
                               const er_flat_union *types) {
    uint32_t number = er_flat_u8(table, slot - 1, 0);
    if (number == 0) return at == 0 ? ERAI_OK : refuse(walk, step, "a value of no type", number, at);
    if (number >= types->count) return refuse(walk, step, "a type that this build does not know", number, table->at);
    /* Of a type without a value nothing is read. */
    return at == 0 ? ERAI_OK : check_table(walk, step, at, &types->types[number]);
}

static unsigned width_of(char kind) {
    switch (kind) {
    case 'b':
    case 'B': return 1;
    case 'H': return 2;
    case 'l':
    case 'L': return 8;
    default: return 4;
    }
}

static erai_status check_field(walker *walk, const crumb *step, const er_flat_table *table, unsigned slot,
                               const char *kind) {
    uint32_t distance = distance_of(table, slot), size = get16(walk->flat->bytes + table->vtable + 2);
    size_t at = distance == 0 ? 0 : table->at + distance;
    if (kind[0] == '<') {
        if (at != 0 && (distance < 4 || distance + 4 > size || at % 4 != 0))
            return refuse(walk, step, "a field outside its table", distance, table->at);
        return check_union(walk, step, table, slot, at, &walk->schema->unions[kind[1] - 'A']);
    }
    if (at == 0 || kind[0] == '-') return ERAI_OK;
    bool scalar = kind[0] == 'b' || kind[0] == 'i' || kind[0] == 'l';
    unsigned width = scalar ? width_of(kind[0]) : 4;
    if (distance < 4 || distance + width > size || at % width != 0)
        return refuse(walk, step, "a field outside its table", distance, table->at);
    size_t first;
    uint32_t count;
    switch (kind[0]) {
    case 'b':
    case 'i':
    case 'l': return ERAI_OK;
    case 's': return check_string(walk, step, at);
    case '{': return check_table(walk, step, at, walk->schema->tables[kind[1] - 'A']);
    case '[': return check_tables(walk, step, at, walk->schema->tables[kind[1] - 'A']);
    default: return check_vector(walk, step, at, width_of(kind[0]), &first, &count);
    }
}

static erai_status check_table(walker *walk, const crumb *up, size_t at, const er_flat_type *type) {
    er_flat_table table;
    erai_status status = open_table(walk, up, at, &table);
    unsigned slot = 0;
    for (const char *field = type->fields; !status && field[0] != '\0'; slot++) {
        const char *kind = field + strcspn(field, ":") + 1;
        crumb here = {.up = up, .field = field};
        status = check_field(walk, &here, &table, slot, kind);
        field = kind + strcspn(kind, " ");
        if (field[0] == ' ') field++;
    }
    return status;
}

erai_status er_flat_check(const er_flat *flat, const er_flat_schema *schema, char *detail) {
    walker walk = {.flat = flat, .schema = schema, .detail = detail};
    walk.budget = (uint64_t)flat->size * BUDGET_FACTOR + BUDGET_BASE;
    if (flat->size < 8)
        return er_fail(detail, ERAI_E_MODEL_UNSUPPORTED, "%zu bytes are too few for a FlatBuffer", flat->size);
    return check_table(&walk, NULL, 0, schema->root);
}

/* ---- Reading what was accepted ---- */

static er_flat_table table_behind(const er_flat *flat, size_t at) {
    size_t place = at + get32(flat->bytes + at);
    size_t vtable = (size_t)((int64_t)place - (int32_t)get32(flat->bytes + place));
    return (er_flat_table){.flat = flat, .at = place, .vtable = vtable, .vtable_size = get16(flat->bytes + vtable)};
}

er_flat_table er_flat_root(const er_flat *flat) {
    return table_behind(flat, 0);
}

uint8_t er_flat_u8(const er_flat_table *table, unsigned slot, uint8_t absent) {
    size_t at = place_of(table, slot);
    return at == 0 ? absent : table->flat->bytes[at];
}

uint32_t er_flat_u32(const er_flat_table *table, unsigned slot, uint32_t absent) {
    size_t at = place_of(table, slot);
    return at == 0 ? absent : get32(table->flat->bytes + at);
}

int32_t er_flat_i32(const er_flat_table *table, unsigned slot, int32_t absent) {
    return (int32_t)er_flat_u32(table, slot, (uint32_t)absent);
}

uint64_t er_flat_u64(const er_flat_table *table, unsigned slot) {
    size_t at = place_of(table, slot);
    return at == 0 ? 0 : get64(table->flat->bytes + at);
}

er_flat_table er_flat_table_at(const er_flat_table *table, unsigned slot) {
    size_t at = place_of(table, slot);
    return at == 0 ? (er_flat_table){0} : table_behind(table->flat, at);
}

er_flat_vector er_flat_vector_at(const er_flat_table *table, unsigned slot) {
    size_t at = place_of(table, slot);
    if (at == 0) return (er_flat_vector){0};
    size_t place = at + get32(table->flat->bytes + at);
    return (er_flat_vector){.flat = table->flat, .at = place + 4, .count = get32(table->flat->bytes + place)};
}

const char *er_flat_string(const er_flat_table *table, unsigned slot) {
    er_flat_vector text = er_flat_vector_at(table, slot);
    return text.at == 0 ? NULL : (const char *)text.flat->bytes + text.at;
}

er_flat_table er_flat_element(const er_flat_vector *vector, uint32_t index) {
    return table_behind(vector->flat, vector->at + 4 * (size_t)index);
}

int32_t er_flat_vector_i32(const er_flat_vector *vector, uint32_t index) {
    return (int32_t)get32(vector->flat->bytes + vector->at + 4 * (size_t)index);
}

int64_t er_flat_vector_i64(const er_flat_vector *vector, uint32_t index) {
    return (int64_t)get64(vector->flat->bytes + vector->at + 8 * (size_t)index);
}

float er_flat_vector_f32(const er_flat_vector *vector, uint32_t index) {
    uint32_t bits = get32(vector->flat->bytes + vector->at + 4 * (size_t)index);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
