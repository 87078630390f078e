/* Steps: see step.h. */
#include "step.h"

#include "pool.h"

static char *found(const assay_place *place, char *const *memory) {
    return memory[place->memory] + place->offset;
}

typedef struct alone {
    const assay_call *call;
    assay_walk *walk;
} alone;

static void all_tasks(void *context, int64_t none) {
    const alone *a = context;
    (void)none;
    for (int64_t t = 0; t < a->call->tasks; t++) a->call->walk(a->walk, t);
}

static void walk(const assay_call *call, char *const *memory, uint64_t seed, uint64_t step) {
    char *p[call->place_count + 1];
    for (int64_t i = 0; i < call->place_count; i++) p[i] = found(call->places + i, memory);
    assay_walk given = {p, call->numbers, seed, step};
    if (call->shared)
        assay_parallel(call->walk, &given, call->tasks);
    else /* one task of all: it sees the default rounding too */
        assay_parallel(all_tasks, &(alone){call, &given}, 1);
}

static void set_memory(assay_rows *rows, const char *memory) {
    if (rows->load)
        rows->context = memory;
    else
        rows->data = (const float *)memory;
}

static void multiply(const assay_call *call, char *const *memory, void *scratch) {
    const assay_product *p = call->product;
    assay_rows a = p->a, b = p->b;
    set_memory(&a, found(call->places, memory));
    set_memory(&b, found(call->places + 1, memory));
    assay_dot(&a, &b, (float *)found(call->places + 2, memory), p->sizes[0], p->sizes[1],
              p->sizes[2], p->sizes[3], p->strides[0], p->strides[1], p->strides[2], (int)p->bits,
              scratch);
}

void assay_run_step(const assay_call *calls, int64_t count, char *const *memory, void *scratch,
                    uint64_t seed, uint64_t step) {
    for (const assay_call *call = calls; call < calls + count; call++) {
        if (call->product)
            multiply(call, memory, scratch);
        else
            walk(call, memory, seed, step);
    }
}
