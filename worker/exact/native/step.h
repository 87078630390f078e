/* A step as a list of calls: walks, which are functions made for a program, and products. */
#ifndef ASSAY_STEP_H
#define ASSAY_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "dot.h"

/* What a walk's tasks are given: where its tensors are, and the numbers in which it differs from
   other walks of the same code. */
typedef struct assay_walk {
    char *const *p;
    const int64_t *n;
    uint64_t seed, step;
} assay_walk;

/* A tensor: which of the step's pieces of memory it is in, and how many bytes from its start. */
typedef struct assay_place {
    int64_t memory, offset;
} assay_place;

/* assay_dot's arguments but for memory: where the operands say `load`, theirs is its context. */
typedef struct assay_product {
    assay_rows a, b;
    int64_t sizes[4], strides[3]; /* batch, m, n, k; the result's batch, row, column */
    int64_t bits;
} assay_product;

/* One call. A product's places are those of its operands and of its result. */
typedef struct assay_call {
    void (*walk)(void *walk, int64_t task); /* or NULL, and `product` */
    const assay_product *product;
    const assay_place *places;
    const int64_t *numbers;
    int64_t place_count, tasks;
    int64_t shared; /* whether threads share the tasks */
} assay_call;

/* Makes the calls, one after another. scratch: as much as any product's assay_dot_scratch. */
void assay_run_step(const assay_call *calls, int64_t count, char *const *memory, void *scratch,
                    uint64_t seed, uint64_t step);

#endif
