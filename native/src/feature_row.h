/* The values of one feature in one row: what checks read. They are numbered from 0 in the order of the tensor. */
#ifndef ER_FEATURE_ROW_H
#define ER_FEATURE_ROW_H

#include "answer.h"

typedef struct er_feature_row {
    const er_row *row;
    const er_feature *feature;
    size_t place; /* of the feature within the input */
    size_t size;  /* how many values: row->outer * row->inner, at least 1 */
} er_feature_row;

#define ER_BLOCK 256u

/* Some values from number `first` on, those that are present. */
typedef struct er_block {
    double values[ER_BLOCK];
    uint16_t after[ER_BLOCK]; /* where some were dropped: values[i] has the number first + after[i] */
    size_t first, count;
    int dropped;
} er_block;

/* The number of values[i]. */
static inline size_t er_number_of(const er_block *block, size_t i) {
    return block->first + (block->dropped ? block->after[i] : i);
}

/* Where value `number` stands in the row. */
static inline size_t er_element_of(const er_feature_row *of, size_t number) {
    const er_row *row = of->row;
    return (number / row->inner * row->features + of->place) * row->inner + number % row->inner;
}

static inline const erai_string *er_string_of(const er_feature_row *of, size_t number) {
    return (const erai_string *)of->row->values + er_element_of(of, number);
}

/* Reads the values from `first`, which there is, on, as many as a block holds; integers of 64 bits are rounded. Returns
 * the number of the next one. Not present is a value that is missing, or that is not finite where the input's rule has
 * found that already. */
size_t er_read_block(const er_feature_row *of, size_t first, er_block *block);

/* Whether a value that was read as `number` is that number: integers of 64 bits may be another. */
int er_is_exactly(const er_feature_row *of, size_t value, double number);

/* A fingerprint of all values: of their bits, but every NaN is the same; of strings their bytes. */
uint64_t er_fingerprint_of(const er_feature_row *of);

/* A number of a rule as this type holds it, if it is a float type; integers are compared with the number itself. */
double er_as_held(uint32_t dtype, double number);

#endif
