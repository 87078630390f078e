/* Threads that share the tasks of one call. */
#ifndef ASSAY_POOL_H
#define ASSAY_POOL_H

#include <stddef.h>
#include <stdint.h>

/* Runs task(context, i) once for every i in [0, tasks), in any order, on up to assay_threads()
   threads, the caller's among them; returns when all are done. A call from within a task, or while
   another thread's call has the pool, runs on the caller's thread alone. Tasks see the default
   floating-point environment (nearest, subnormals kept); the caller's is restored. tasks < 2^31. */
void assay_parallel(void (*task)(void *context, int64_t i), void *context, int64_t tasks);

/* How many threads a call may use, at least 1. At first: as many as this process has processors. */
void assay_set_threads(int threads);
int assay_threads(void);

/* Memory of this thread's own, at least `bytes`, aligned to 64, valid until its next call from the
   same thread with the same slot (0 <= slot < ASSAY_SLOTS). Aborts when there is none. Slots 0 to
   3 belong to assay_dot and its kin. */
#define ASSAY_SLOTS 8
void *assay_thread_memory(int slot, size_t bytes);

#endif
