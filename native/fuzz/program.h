/* Guard programs for fuzzing, made by the library's own writer. SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include "edge_rai.h"

/* What a guard program is made of. Lists end with a rule without a name, a kind, a step or an input; NULL: none. */
typedef struct fuzz_input {
    erai_input_rule rule;
    const erai_check_rule *checks; /* of each feature; it lacks the one that has its own place in the list */
    double threshold;              /* of a distance; 0: none */
    uint32_t directions;
} fuzz_input;

typedef struct fuzz_output {
    erai_output_rule rule;
    const erai_check_rule *checks;
} fuzz_output;

typedef struct fuzz_program {
    int batched;
    fuzz_input inputs[6];
    fuzz_output outputs[6];
    const erai_decision_rule *decision; /* what follows is read where there is one */
    const erai_fallback_rule *fallbacks;
    const erai_state_rule *states;
} fuzz_program;

/* The guard of a program that must be valid. Its features differ: with and without limits, reference and spread. */
erai_guard *fuzz_guard(const fuzz_program *program);

/* Whether the session gives this input. */
int fuzz_is_state(const erai_guard *guard, size_t input);

#endif
