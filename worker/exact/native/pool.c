/* A pool of threads that outlives calls. Idle threads spin for some microseconds, then sleep.

   One word, the ticket, holds the call's number and the next task of it that nobody took. A thread
   takes a task by advancing the ticket, which fails once the call is over, so a thread that comes
   late cannot touch the next call's tasks with this call's function. */
#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define MOST 256
#define CLOSED 0xffffffffu
#define SPIN_NANOSECONDS 30000

typedef void (*task_function)(void *, int64_t);

static pthread_mutex_t caller_lock = PTHREAD_MUTEX_INITIALIZER; /* one call at a time */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static atomic_int sleepers, wanted_threads; /* 0: not set yet */
static int started; /* threads beside the callers; under caller_lock */

static _Atomic uint64_t ticket = CLOSED; /* number << 32 | next task */
static _Atomic(task_function) call_task;
static _Atomic(void *) call_context;
static _Atomic uint32_t call_tasks, finished;

static atomic_int caller_processor; /* of the latest call, where the system tells */

static _Thread_local int inside;

/* --- the floating-point environment ----------------------------------------------------------- */

#if defined(__x86_64__) || defined(__i386__)
static inline unsigned default_environment(void) {
    unsigned old = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return old;
}
static inline void restore_environment(unsigned old) { _mm_setcsr(old); }
static inline void relax(void) { _mm_pause(); }
#elif defined(__aarch64__)
static inline uint64_t default_environment(void) {
    uint64_t old, none = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(none));
    return old;
}
static inline void restore_environment(uint64_t old) {
    __asm__ volatile("msr fpcr, %0" : : "r"(old));
}
static inline void relax(void) { __asm__ volatile("yield"); }
#else
static inline unsigned default_environment(void) { return 0; }
static inline void restore_environment(unsigned old) { (void)old; }
static inline void relax(void) {}
#endif

/* --- taking tasks ----------------------------------------------------------------------------- */

static void take_tasks(void) {
    for (;;) {
        uint64_t now = atomic_load(&ticket);
        uint32_t next = (uint32_t)now;
        task_function task = atomic_load(&call_task);
        void *context = atomic_load(&call_context);
        if (next == CLOSED || next >= atomic_load(&call_tasks)) return;
        /* While this task is untaken its call is not over, so what was read above is its own. */
        if (!atomic_compare_exchange_weak(&ticket, &now, now + 1)) continue;
        task(context, next);
        atomic_fetch_add(&finished, 1);
    }
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* On a virtual machine of two processors Linux 6.18 often woke a sleeping thread where its caller was
   at work, with the other processor idle, and left it there for milliseconds. */
static void note_processor(void) {
#ifdef __linux__
    atomic_store(&caller_processor, sched_getcpu());
#endif
}

static void leave_callers_processor(void) {
#ifdef __linux__
    const int here = sched_getcpu();
    cpu_set_t all, others;
    if (here < 0 || here != atomic_load(&caller_processor)) return;
    if (sched_getaffinity(0, sizeof all, &all)) return;
    others = all;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all); /* it has moved, and may move on */
#endif
}

static void *work(void *argument) {
    int index = (int)(intptr_t)argument; /* the caller is thread 0 */
    uint32_t seen = 0;
    inside = 1;
    default_environment();
    for (;;) {
        int64_t start = nanoseconds();
        int turns = 0;
        while ((uint32_t)(atomic_load(&ticket) >> 32) == seen) {
            relax();
            if (++turns % 32 || nanoseconds() - start < SPIN_NANOSECONDS) continue;
            pthread_mutex_lock(&sleep_lock);
            atomic_fetch_add(&sleepers, 1);
            while ((uint32_t)(atomic_load(&ticket) >> 32) == seen)
                pthread_cond_wait(&wake, &sleep_lock);
            atomic_fetch_sub(&sleepers, 1);
            pthread_mutex_unlock(&sleep_lock);
        }
        uint64_t now = atomic_load(&ticket);
        if ((uint32_t)now == CLOSED && (uint32_t)(now >> 32) != seen) {
            relax(); /* a call is being prepared */
            continue;
        }
        seen = (uint32_t)(now >> 32);
        if (index >= assay_threads()) continue;
        leave_callers_processor();
        take_tasks();
    }
    return NULL;
}

/* In a forked child only the forking thread lives on. */
static void forget_threads(void) {
    pthread_mutex_init(&caller_lock, NULL);
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&wake, NULL);
    atomic_store(&sleepers, 0);
    started = 0;
}

static void once(void) { pthread_atfork(NULL, NULL, forget_threads); }

static void start_threads(int threads) {
    static pthread_once_t control = PTHREAD_ONCE_INIT;
    pthread_once(&control, once);
    while (started < threads - 1) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, work, (void *)(intptr_t)(started + 1));
        pthread_attr_destroy(&attributes);
        if (failed) return; /* fewer threads are only slower */
        started++;
    }
}

/* --- the interface ---------------------------------------------------------------------------- */

int assay_threads(void) {
    int threads = atomic_load(&wanted_threads);
    if (threads) return threads;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) threads = CPU_COUNT(&set);
#else
    threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
    assay_set_threads(threads);
    return atomic_load(&wanted_threads);
}

void assay_set_threads(int threads) {
    atomic_store(&wanted_threads, threads < 1 ? 1 : threads > MOST ? MOST : threads);
}

void assay_parallel(task_function task, void *context, int64_t tasks) {
    int threads = assay_threads();
    if (tasks <= 0) return;
    if (inside || tasks == 1 || threads == 1 || pthread_mutex_trylock(&caller_lock)) {
        __auto_type environment = default_environment();
        for (int64_t i = 0; i < tasks; i++) task(context, i);
        restore_environment(environment);
        return;
    }
    __auto_type environment = default_environment();
    inside = 1;
    start_threads(threads);
    uint64_t number = (atomic_load(&ticket) >> 32) + 1;
    atomic_store(&ticket, (number & 0xffffffffu) << 32 | CLOSED);
    note_processor();
    atomic_store(&call_task, task);
    atomic_store(&call_context, context);
    atomic_store(&call_tasks, (uint32_t)tasks);
    atomic_store(&finished, 0);
    atomic_store(&ticket, (number & 0xffffffffu) << 32);
    if (atomic_load(&sleepers)) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&sleep_lock);
        sched_yield(); /* to one that was woken on this processor, so that it leaves */
    }
    take_tasks();
    for (int turns = 0; atomic_load(&finished) != (uint32_t)tasks; turns++) {
        if (turns < 2000)
            relax();
        else
            sched_yield(); /* another thread was interrupted in the middle of a task */
    }
    inside = 0;
    pthread_mutex_unlock(&caller_lock);
    restore_environment(environment);
}

/* --- memory of each thread -------------------------------------------------------------------- */

static pthread_key_t memory_key;
static pthread_once_t memory_once = PTHREAD_ONCE_INIT;

struct memory {
    void *start[ASSAY_SLOTS];
    size_t bytes[ASSAY_SLOTS];
};

static void release(void *argument) {
    struct memory *memory = argument;
    for (int i = 0; i < ASSAY_SLOTS; i++) free(memory->start[i]);
    free(memory);
}

static void make_key(void) {
    if (pthread_key_create(&memory_key, release)) abort();
}

void *assay_thread_memory(int slot, size_t bytes) {
    pthread_once(&memory_once, make_key);
    struct memory *memory = pthread_getspecific(memory_key);
    if (!memory) {
        memory = calloc(1, sizeof *memory);
        if (!memory || pthread_setspecific(memory_key, memory)) abort();
    }
    if (memory->bytes[slot] < bytes) {
        free(memory->start[slot]);
        size_t rounded = (bytes + 4095) & ~(size_t)4095;
        void *fresh = NULL;
        if (posix_memalign(&fresh, 4096, rounded)) {
            fprintf(stderr, "assay: no memory for %zu bytes\n", rounded);
            abort();
        }
        memory->start[slot] = fresh;
        memory->bytes[slot] = rounded;
    }
    return memory->start[slot];
}
