/* Values of any data type but strings, as numbers. */
#ifndef ER_VALUES_H
#define ER_VALUES_H

#include "guard.h"

/* Reads `count` elements of a type that float32 holds (ER_NARROW), exactly. A bool is the number of its byte. */
void er_read_narrow(const void *data, uint32_t dtype, size_t count, float *values);

/* Reads `count` elements of the other types (ER_WIDE); integers of 64 bits are rounded to the nearest. */
void er_read_wide(const void *data, uint32_t dtype, size_t count, double *values);

/* Element `at` of any type; integers of 64 bits are rounded to the nearest. */
double er_value(const void *data, uint32_t dtype, size_t at);

/* Whether element `at` is below or above a limit: in float32 for ER_NARROW types, otherwise as real numbers, integers
 * of 64 bits too. NaN is neither. */
int er_is_below(const void *data, uint32_t dtype, size_t at, double limit);
int er_is_above(const void *data, uint32_t dtype, size_t at, double limit);

/* Whether element `at` is what a rule of kind MISSING says: NaN, or, with count 1, values[0] as the type holds it.
 * Other rules leave missing values alone. */
int er_is_missing(const erai_check_rule *missing, const void *data, uint32_t dtype, size_t at);

/* Writes the value of the type that is nearest to `value`: floats by rounding to even, beyond their range infinite;
 * integers saturated, NaN is 0; bool 0 or 1. */
void er_write(void *data, uint32_t dtype, size_t at, double value);

#endif
