/* How a product is cut into tasks. */
#include "dot.h"

#include <stdlib.h>

#include "doubles.h"
#include "packed.h"
#include "pool.h"
#include "skinny.h"

#define BLOCK_BYTES (256 << 10) /* of packed rows that a task keeps in its second-level cache */
#define OWN_BYTES (4 << 20) /* of packed rows that a task keeps for itself at most */
#define KEPT_BYTES ((size_t)32 << 20)

typedef struct side {
    const assay_rows *source;
    int64_t rows, panels, batches, batch_bytes;
    char *packed;
} side;

typedef struct call {
    side lanes, rows; /* the lanes' axis is the contiguous one of the result, if one is */
    float *c;
    int64_t batch, k, c_batch, c_row, c_lane;
    int bits, threads; /* as many as there were at the start */
    int doubles, sevens; /* how rows are packed: see doubles.h */
    int64_t panel_rows, panel_bytes;
    side *packing, *blocked; /* who is packed, and who is cut into blocks */
    int64_t block, blocks;   /* panels in a block, and blocks in a batch */
} call;

static void set_side(side *s, const assay_rows *source, int64_t rows, int64_t batch,
                     int64_t panel_rows, int64_t panel_bytes) {
    s->source = source;
    s->rows = rows;
    s->panels = (rows + panel_rows - 1) / panel_rows;
    s->batches = !source->load && source->batch_stride == 0 ? 1 : batch;
    s->batch_bytes = s->panels * panel_bytes;
    s->packed = NULL;
}

static char *batch_of(const side *s, int64_t batch) {
    return s->packed + (s->batches == 1 ? 0 : batch) * s->batch_bytes;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- sharing out ------------------------------------------------------------------------------ */

#define ALONE_NANOSECONDS 40000 /* what one thread does by the time that others are awake */

/* How many threads are worth waking, by what one processor of some years ago takes. */
static int threads_for(int64_t batch, int64_t m, int64_t n, int64_t k) {
    double work = (double)batch * (double)k * ((double)m * (double)n / 64 + (double)(m + n) / 4);
    return work < ALONE_NANOSECONDS ? 1 : assay_threads();
}

typedef struct shared {
    void (*task)(void *, int64_t);
    void *context;
    int64_t tasks;
} shared;

static void all_tasks(void *context, int64_t none) {
    const shared *s = context;
    (void)none;
    for (int64_t i = 0; i < s->tasks; i++) s->task(s->context, i);
}

static void share(call *c, void (*task)(void *, int64_t), int64_t tasks) {
    shared s = {task, c, tasks};
    if (c->threads == 1)
        assay_parallel(all_tasks, &s, 1); /* a task as well: they see the default rounding */
    else
        assay_parallel(task, c, tasks);
}

/* --- packing ---------------------------------------------------------------------------------- */

static int use(const call *c, const side *s) {
    return s == &c->rows ? ASSAY_FOR_ROWS : ASSAY_FOR_LANES;
}

static void pack(const call *c, const side *s, int64_t batch, int64_t panel, int64_t panels,
                 char *packed) {
#if ASSAY_DOUBLES
    if (c->doubles)
        assay_pack_doubles(s->source, batch, s->rows, panel, panels, c->k, c->bits, use(c, s),
                           c->sevens, packed);
    else
#endif
        assay_pack_panels(s->source, batch, s->rows, panel, panels, c->k, c->bits, use(c, s), packed);
}

static void pack_task(void *context, int64_t i) {
    const call *c = context;
    const side *s = c->packing;
    int64_t batch = i / c->blocks, panel = i % c->blocks * c->block;
    char *packed = s->packed + batch * s->batch_bytes + panel * c->panel_bytes;
    pack(c, s, batch, panel, c->block, packed);
}

static void pack_side(call *c, side *s) {
    c->packing = s;
    int64_t all = s->batches * s->panels;
    c->block = all / (4 * c->threads);
    c->block = c->block < 1 ? 1 : c->block > 8 ? 8 : c->block;
    c->blocks = (s->panels + c->block - 1) / c->block;
    share(c, pack_task, s->batches * c->blocks);
}

/* --- products --------------------------------------------------------------------------------- */

/* Rows and lanes from the given panels on. */
static void multiply(const call *c, int64_t batch, const char *row_panels, int64_t row_panel,
                     int64_t row_count, const char *lane_panels, int64_t lane_panel,
                     int64_t lane_count) {
    const int64_t width = c->panel_rows, row0 = row_panel * width, lane0 = lane_panel * width;
    const int64_t rows = smaller(c->rows.rows - row0, row_count * width);
    const int64_t lanes = smaller(c->lanes.rows - lane0, lane_count * width);
    float *out = c->c + batch * c->c_batch + row0 * c->c_row + lane0 * c->c_lane;
#if ASSAY_DOUBLES
    if (c->doubles)
        assay_multiply_doubles(row_panels, rows, lane_panels, lanes, c->k, c->sevens, out, c->c_row,
                               c->c_lane);
    else
#endif
        assay_multiply_panels(row_panels, rows, lane_panels, lanes, c->k, c->bits, out, c->c_row,
                              c->c_lane);
}

/* A block of the blocked side, packed here unless it was, by all of the other. */
static void block_task(void *context, int64_t i) {
    const call *c = context;
    const side *s = c->blocked;
    int64_t batch = i / c->blocks, panel = i % c->blocks * c->block;
    int64_t count = smaller(c->block, s->panels - panel);
    char *own;
    if (s->packed) {
        own = batch_of(s, batch) + panel * c->panel_bytes;
    } else {
        own = assay_thread_memory(1, (size_t)(count * c->panel_bytes));
        pack(c, s, batch, panel, count, own);
    }
    if (s == &c->lanes)
        multiply(c, batch, batch_of(&c->rows, batch), 0, c->rows.panels, own, panel, count);
    else
        multiply(c, batch, own, panel, count, batch_of(&c->lanes, batch), 0, c->lanes.panels);
}

/* One batch, all of it. */
static void batch_task(void *context, int64_t batch) {
    const call *c = context;
    size_t bytes = (size_t)(c->rows.batch_bytes + c->lanes.batch_bytes);
    char *rows = assay_thread_memory(1, bytes), *lanes = rows + c->rows.batch_bytes;
    pack(c, &c->rows, batch, 0, c->rows.panels, rows);
    pack(c, &c->lanes, batch, 0, c->lanes.panels, lanes);
    multiply(c, batch, rows, 0, c->rows.panels, lanes, 0, c->lanes.panels);
}

/* Blocks that fit the cache, and enough of them to keep the threads busy. */
static void cut(call *c, side *s) {
    c->blocked = s;
    int64_t wanted = 4 * (int64_t)c->threads;
    int64_t block = smaller(OWN_BYTES / c->panel_bytes, 8);
    block = smaller(block, c->batch * s->panels / wanted);
    if (s == &c->lanes) block = block / ASSAY_TILE_PANELS * ASSAY_TILE_PANELS;
    int64_t least = s == &c->lanes ? ASSAY_TILE_PANELS : 1;
    c->block = smaller(block < least ? least : block, s->panels);
    c->blocks = (s->panels + c->block - 1) / c->block;
}

/* Whether each task takes a whole batch, with no memory shared between tasks. */
static int by_batch(const call *c) {
    return c->batch >= 2 * c->threads && c->rows.batches == c->batch &&
           c->lanes.batches == c->batch &&
           c->rows.batch_bytes + c->lanes.batch_bytes <= 2 * BLOCK_BYTES;
}

/* Which side is packed by whoever uses it, block by block: the one with more rows, if its rows
   serve one batch only and are enough for all threads. NULL: both are packed first. */
static side *packed_in_blocks(call *c) {
    side *s = c->rows.panels > c->lanes.panels ? &c->rows : &c->lanes;
    side *other = s == &c->rows ? &c->lanes : &c->rows;
    if (s->batches != c->batch) {
        side *t = s;
        s = other, other = t;
    }
    if (s->batches != c->batch) return NULL;
    cut(c, s);
    return c->batch * c->blocks >= 2 * c->threads ? s : NULL;
}

static void plan(call *c, const assay_rows *a, const assay_rows *b, int64_t batch, int64_t m,
                 int64_t n, int64_t k) {
    int swapped = c->c_lane != 1 && c->c_row == 1;
    if (swapped) {
        const assay_rows *t = a;
        a = b, b = t;
        int64_t u = m;
        m = n, n = u;
        u = c->c_row, c->c_row = c->c_lane, c->c_lane = u;
    }
    c->threads = threads_for(batch, m, n, k);
    c->batch = batch;
    c->k = k;
    c->panel_rows = 16;
    c->panel_bytes = assay_panel_bytes(k, c->bits);
#if ASSAY_DOUBLES
    if ((c->doubles = assay_wide(c->bits))) {
        c->sevens = assay_worth_sevens(m, n, k, c->bits);
        c->panel_rows = assay_double_rows(c->sevens);
        c->panel_bytes = assay_double_bytes(k, c->sevens);
    }
#endif
    set_side(&c->rows, a, m, batch, c->panel_rows, c->panel_bytes);
    set_side(&c->lanes, b, n, batch, c->panel_rows, c->panel_bytes);
}

static size_t scratch_bytes(call *c) {
    if (by_batch(c)) return 0;
    side *s = packed_in_blocks(c);
    size_t bytes = 0;
    if (s != &c->rows) bytes += (size_t)(c->rows.batches * c->rows.batch_bytes);
    if (s != &c->lanes) bytes += (size_t)(c->lanes.batches * c->lanes.batch_bytes);
    return bytes;
}

static int few_by_many(const call *c) {
    const side *few = c->rows.rows < c->lanes.rows ? &c->rows : &c->lanes;
    const int down = few == &c->rows;
    const side *many = down ? &c->lanes : &c->rows;
    return c->batch == 1 &&
           assay_skinny(few->source, few->rows, many->source, many->rows, c->c, c->k,
                        down ? c->c_row : c->c_lane, down ? c->c_lane : c->c_row, c->bits);
}

static void run(call *c, char *scratch) {
    if (few_by_many(c)) return;
    if (by_batch(c)) {
        share(c, batch_task, c->batch);
        return;
    }
    side *fresh = packed_in_blocks(c), *sides[2] = {&c->rows, &c->lanes};
    for (int i = 0; i < 2; i++) {
        if (sides[i] == fresh) continue;
        sides[i]->packed = scratch;
        scratch += sides[i]->batches * sides[i]->batch_bytes;
        pack_side(c, sides[i]);
    }
    cut(c, fresh ? fresh : c->rows.panels > c->lanes.panels ? &c->rows : &c->lanes);
    share(c, block_task, c->batch * c->blocks);
}

/* --- whole calls ------------------------------------------------------------------------------ */

size_t assay_dot_scratch(const assay_rows *a, const assay_rows *b, int64_t batch, int64_t m,
                         int64_t n, int64_t k, int bits) {
    /* Both: the number of threads, which decides, may be another one by the time of the call. */
    call l = {.bits = bits};
    plan(&l, a, b, batch, m, n, k);
    return (size_t)(l.rows.batches * l.rows.batch_bytes + l.lanes.batches * l.lanes.batch_bytes);
}

void assay_dot(const assay_rows *a, const assay_rows *b, float *c, int64_t batch, int64_t m,
               int64_t n, int64_t k, int64_t c_batch, int64_t c_row, int64_t c_column, int bits,
               void *scratch) {
    call l = {.c = c, .c_batch = c_batch, .c_row = c_row, .c_lane = c_column, .bits = bits};
    if (!batch || !m || !n) return;
    plan(&l, a, b, batch, m, n, k);
    run(&l, scratch);
}

int assay_dot_alone(const assay_rows *a, const assay_rows *b, float *c, const int64_t sizes[4],
                    const int64_t strides[3], int bits) {
    call l = {.c = c, .c_batch = strides[0], .c_row = strides[1], .c_lane = strides[2],
              .bits = bits};
    if (!sizes[0] || !sizes[1] || !sizes[2]) return 0;
    plan(&l, a, b, sizes[0], sizes[1], sizes[2], sizes[3]);
    size_t bytes = scratch_bytes(&l);
    if (bytes <= KEPT_BYTES) {
        run(&l, assay_thread_memory(2, bytes));
        return 0;
    }
    void *scratch = NULL;
    if (posix_memalign(&scratch, 4096, bytes)) return -1;
    run(&l, scratch);
    free(scratch);
    return 0;
}
