/* Reading FlatBuffers, which may come from anybody. SPDX-License-Identifier: Apache-2.0
 *
 * First er_flat_check walks everything that a schema can reach and bounds it; what it accepted is then read by the
 * functions below, which know no other refusal than an absent field. Positions are from the first byte of the buffer;
 * the buffer's own address may have any alignment. */
#ifndef ER_FLATBUFFER_H
#define ER_FLATBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge_rai.h"

typedef struct er_flat {
    const uint8_t *bytes;
    size_t size;
} er_flat;

/* A table of the schema. `fields` are "name:kind" with spaces between, in the order of their slots:
 *     b i l        scalars of 1, 4 and 8 bytes
 *     B H I L      vectors of elements of 1, 2, 4 and 8 bytes
 *     s            a string
 *     {X} [X]      a table, a vector of tables; X is a letter of the schema
 *     <X>          the value of a union, whose type is the field before; X is a letter of the schema
 *     -            deprecated: nothing reads it */
typedef struct er_flat_type {
    const char *name;
    const char *fields;
} er_flat_type;

/* The types of a union by their number; that of number 0, none, has no name. */
typedef struct er_flat_union {
    const er_flat_type *types;
    uint32_t count;
} er_flat_union;

/* What letters mean, beginning with 'A'. */
typedef struct er_flat_schema {
    const er_flat_type *root;
    const er_flat_type *tables[26];
    er_flat_union unions[26];
} er_flat_schema;

typedef struct er_flat_table {
    const er_flat *flat; /* NULL: absent; then all its fields are */
    size_t at;
    size_t vtable;
    uint32_t vtable_size;
} er_flat_table;

typedef struct er_flat_vector {
    const er_flat *flat;
    size_t at; /* of the first element; 0: absent */
    uint32_t count;
} er_flat_vector;

/* Every table, vector, string and scalar that the schema reaches from the root lies within the buffer and is aligned to
 * its size there, strings are UTF-8 and end in a zero, and the walk ends in a time in proportion to the buffer's size.
 * On failure `detail` names the field by its path, its value and its place. */
erai_status er_flat_check(const er_flat *flat, const er_flat_schema *schema, char *detail);

er_flat_table er_flat_root(const er_flat *flat);
/* Scalars; `absent` is the schema's default. */
uint8_t er_flat_u8(const er_flat_table *table, unsigned slot, uint8_t absent);
uint32_t er_flat_u32(const er_flat_table *table, unsigned slot, uint32_t absent);
int32_t er_flat_i32(const er_flat_table *table, unsigned slot, int32_t absent);
uint64_t er_flat_u64(const er_flat_table *table, unsigned slot);
er_flat_table er_flat_table_at(const er_flat_table *table, unsigned slot);
/* NULL when absent. It ends in a zero. */
const char *er_flat_string(const er_flat_table *table, unsigned slot);
er_flat_vector er_flat_vector_at(const er_flat_table *table, unsigned slot);

/* Elements, whose index is below `count`. */
er_flat_table er_flat_element(const er_flat_vector *vector, uint32_t index);
int32_t er_flat_vector_i32(const er_flat_vector *vector, uint32_t index);
int64_t er_flat_vector_i64(const er_flat_vector *vector, uint32_t index);
float er_flat_vector_f32(const er_flat_vector *vector, uint32_t index);

#endif
