/* Which subgraphs of a .tflite file call which. LiteRT prepares a called subgraph before its caller, and one that calls
 * itself without end. SPDX-License-Identifier: Apache-2.0 */
#include "tflite_parts.h"

#include <stdlib.h>

#define MAX_NESTING 32
#define VISITING UINT8_MAX

/* Where an operator names subgraphs. */
typedef struct caller {
    uint8_t code;    /* BuiltinOperator */
    bool second;     /* in BuiltinOptions2 */
    uint8_t options; /* number in its union */
    uint8_t slots[2];
    uint8_t count;
    bool vector; /* the slot holds any number of them */
} caller;

static const caller callers[] = {
    {31, false, 16, {0}, 1, false},     /* CALL */
    {118, false, 92, {0, 1}, 2, false}, /* IF */
    {119, false, 93, {0, 1}, 2, false}, /* WHILE */
    {129, false, 103, {0}, 1, false},   /* CALL_ONCE */
    {173, true, 5, {4}, 1, true},       /* STABLEHLO_CUSTOM_CALL */
    {174, true, 6, {1}, 1, false},      /* STABLEHLO_REDUCE */
    {190, true, 7, {6}, 1, false},      /* STABLEHLO_SCATTER */
    {198, true, 13, {5}, 1, false},     /* STABLEHLO_REDUCE_WINDOW */
    {199, true, 14, {2}, 1, false},     /* STABLEHLO_SORT */
    {200, true, 15, {0, 1}, 2, false},  /* STABLEHLO_WHILE */
    {206, true, 21, {1}, 1, false},     /* STABLEHLO_COMPOSITE */
    {209, true, 23, {0}, 1, true},      /* STABLEHLO_CASE */
};

typedef struct calls {
    const er_tflite *model;
    uint8_t *heights; /* one a subgraph: how deep calls below it go, and one more; 0: not visited yet */
} calls;

static erai_status visit(const calls *all, uint32_t index, unsigned depth);

/* *height: raised to one more than that of the called. */
static erai_status visit_called(const calls *all, const er_operator_part *part, int32_t called, unsigned depth,
                                uint8_t *height) {
    if (called < 0 || (uint32_t)called >= all->model->subgraphs.count)
        return er_refuse_operator(part, "it calls subgraph %d of %u", (int)called,
                                  (unsigned)all->model->subgraphs.count);
    const uint8_t *below = &all->heights[called];
    if (*below == VISITING) return er_refuse_operator(part, "it calls subgraph %d, which called it", (int)called);
    erai_status status = depth < MAX_NESTING ? visit(all, (uint32_t)called, depth + 1) : ERAI_OK;
    if (status) return status;
    if (depth == MAX_NESTING || *below == MAX_NESTING)
        return er_refuse_operator(part, "it calls subgraph %d, and calls are nested deeper than %d", (int)called,
                                  MAX_NESTING);
    if (*height < *below + 1) *height = (uint8_t)(*below + 1);
    return ERAI_OK;
}

static erai_status visit_operator(const calls *all, const er_operator_part *part, const caller *how, unsigned depth,
                                  uint8_t *height) {
    er_flat_table table = er_flat_element(&part->subgraph->operators, part->index);
    uint8_t type = er_flat_u8(&table, how->second ? ER_OPERATOR_OPTIONS2_TYPE : ER_OPERATOR_OPTIONS_TYPE, 0);
    er_flat_table options = er_flat_table_at(&table, how->second ? ER_OPERATOR_OPTIONS2 : ER_OPERATOR_OPTIONS);
    if (type != how->options || options.flat == NULL)
        return er_refuse_operator(part, "no options that say which subgraph it calls");
    erai_status status = ERAI_OK;
    if (how->vector) {
        er_flat_vector called = er_flat_vector_at(&options, how->slots[0]);
        for (uint32_t i = 0; !status && i < called.count; i++)
            status = visit_called(all, part, er_flat_vector_i32(&called, i), depth, height);
        return status;
    }
    for (uint8_t i = 0; !status && i < how->count; i++)
        status = visit_called(all, part, er_flat_i32(&options, how->slots[i], 0), depth, height);
    return status;
}

static erai_status visit(const calls *all, uint32_t index, unsigned depth) {
    if (all->heights[index]) return ERAI_OK;
    all->heights[index] = VISITING;
    er_subgraph subgraph = er_subgraph_part(all->model, index);
    erai_status status = ERAI_OK;
    uint8_t height = 1;
    for (uint32_t i = 0; !status && i < subgraph.operators.count; i++) {
        er_operator_part part = er_operator_part_of(&subgraph, i);
        for (size_t k = 0; !status && k < sizeof callers / sizeof callers[0]; k++)
            if (callers[k].code == part.code) status = visit_operator(all, &part, &callers[k], depth, &height);
    }
    all->heights[index] = height;
    return status;
}

erai_status er_tflite_check_calls(const er_tflite *model) {
    calls all = {.model = model, .heights = calloc((size_t)model->subgraphs.count + 1, 1)};
    if (all.heights == NULL)
        return er_fail(model->detail, ERAI_E_MEMORY, "no memory for %u subgraphs", (unsigned)model->subgraphs.count);
    erai_status status = ERAI_OK;
    for (uint32_t i = 0; !status && i < model->subgraphs.count; i++) status = visit(&all, i, 0);
    free(all.heights);
    return status;
}
