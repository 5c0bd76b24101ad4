/* What checks remember of the rows before: one slot a check of kind STUCK, STEP or MONOTONIC, numbered over all
 * features of the guard, all of them forgotten at once. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

int er_memory_open(er_memory *memory, const erai_guard *guard) {
    memory->slots = calloc(2 * (size_t)guard->memories + 1, sizeof *memory->slots);
    memory->next = memory->slots + guard->memories;
    if (memory->slots && er_mutex_init(&memory->lock) == 0) return 1;
    free(memory->slots);
    memory->slots = NULL;
    return 0;
}

void er_memory_close(er_memory *memory) {
    if (!memory->slots) return;
    free(memory->slots);
    memory->slots = NULL;
    er_mutex_destroy(&memory->lock);
}

void er_memory_reset(er_memory *memory, const erai_guard *guard) {
    er_mutex_lock(&memory->lock);
    memset(memory->slots, 0, guard->memories * sizeof *memory->slots);
    er_mutex_unlock(&memory->lock);
}
