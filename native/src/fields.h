/* Fields: what of a row's input may leave the device with an event, in the form that the policy says. */
#ifndef ER_FIELDS_H
#define ER_FIELDS_H

#include "answer.h"

/* How many fields an event may have, one of an alarm of drift among them. */
size_t er_fields_most(const erai_guard *guard);

/* The fields of a row of the call, hashed with `key`; into room for er_fields_most. None of a call whose inputs are not
 * of the policy's types and shapes. Returns how many. */
uint32_t er_fields_take(const erai_answer *answer, size_t row, const uint8_t key[ERAI_DIGEST_SIZE],
                        erai_event_field *into);

#endif
