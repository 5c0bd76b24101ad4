/* The memory of checks: as many slots as a guard has use for, forgotten together. SPDX-License-Identifier: Apache-2.0
 */
#include "memory.h"

#include "er_test.h"

static void slots_begin_unknown_and_are_forgotten_together(void) {
    const erai_guard guard = {.memories = 3};
    er_memory memory = {0};
    ER_CHECK(er_memory_open(&memory, &guard));
    for (uint32_t i = 0; i < guard.memories; i++) {
        ER_CHECK(!memory.slots[i].known && memory.slots[i].same == 0);
        memory.slots[i] = (er_memory_slot){.hash = 7, .same = 8, .last = 9.0, .known = 1};
    }
    er_memory_reset(&memory, &guard);
    for (uint32_t i = 0; i < guard.memories; i++)
        ER_CHECK(!memory.slots[i].known && memory.slots[i].hash == 0 && memory.slots[i].same == 0);
    er_mutex_lock(&memory.lock); /* the reset has let go of it */
    er_mutex_unlock(&memory.lock);
    er_memory_close(&memory);
    er_memory_close(&memory);
}

static void a_guard_that_remembers_nothing_has_a_memory_too(void) {
    const erai_guard guard = {.memories = 0};
    er_memory memory = {0};
    er_memory_close(&memory); /* never opened */
    ER_CHECK(er_memory_open(&memory, &guard));
    er_memory_reset(&memory, &guard);
    er_memory_close(&memory);
}

int main(void) {
    ER_RUN(slots_begin_unknown_and_are_forgotten_together);
    ER_RUN(a_guard_that_remembers_nothing_has_a_memory_too);
    return er_test_result();
}
