/* Products of packed rows: the innermost loops. */
#include "packed.h"

#define MOST_ROWS ASSAY_TILE_ROWS
#define MOST_PANELS ASSAY_TILE_PANELS
#define PARTS ASSAY_PARTS

/* A tile is made in passes along k, which all tiles of a block take before the next: what they read
   of the panels stays in the cache meanwhile, and their sums so far wait in `totals`. */
#define PASS 512       /* lines, for 32 KB of a panel, or 80 KB where integers are cut */
#define BLOCK_PANELS 8 /* of rows, and of lanes, or half as many: with totals they fill half of L2 */
_Static_assert(PASS % 256 == 0, "a pass begins within a run whose squares are known");
#define TOTAL_BYTES (MOST_PANELS * 16 * 8) /* of a row of a tile */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct tile {
    const char *rows;   /* head of the row panel */
    int first;          /* its first row of this tile */
    const char *lanes;  /* head of the first lane panel; the others follow */
    int64_t panel_bytes, lines;
    int64_t from, to;   /* lines of this pass */
    int64_t own;        /* where a panel's own products' sums begin */
    int64_t own_bytes;  /* of one part */
    int64_t run;        /* lines that an accumulator holds */
    int one_run;        /* whether one takes all of k, in one pass */
    int direct;         /* whether one run would take all, and every f32 scale of a result is normal */
    const char *ahead;  /* the row panel to come, and the pass's first line of it: while `shares` */
    int64_t ahead_from; /* tiles are made, each has its share of these lines brought nearer, since */
    int64_t share, shares; /* at a panel's beginning the processor's own guesses start anew */
    char *totals;
    float *out;
    int64_t out_row;
} tile;

/* Of a total above 32 bits what exceeds 15 bits is taken from the accumulator at each run's end but
   the last, and summed by itself (`high`, in units of 2^15). */
ASSAY_INLINE void finish(const int32_t *low, const int32_t *high, float row, const float *lane,
                         float *out) {
#if ASSAY_VECTOR == 64
    for (int i = 0; i < 16; i += 8) { /* exact but for the last conversion */
        const __m512d h = _mm512_cvtepi32_pd(_mm256_loadu_si256((const void *)(high + i)));
        const __m512d l = _mm512_cvtepi32_pd(_mm256_loadu_si256((const void *)(low + i)));
        const __m512d total = _mm512_fmadd_pd(h, _mm512_set1_pd(32768), l);
        __m512d scale = _mm512_cvtps_pd(_mm256_loadu_ps(lane + i));
        scale = _mm512_mul_pd(scale, _mm512_set1_pd(row));
        _mm256_storeu_ps(out + i, _mm512_cvtpd_ps(_mm512_mul_pd(total, scale)));
    }
#else
    for (int i = 0; i < 16; i++) {
        const double total = (double)high[i] * 32768.0 + (double)low[i]; /* exact */
        out[i] = (float)(total * ((double)row * (double)lane[i]));
    }
#endif
}

ASSAY_INLINE void clear(assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS], const int R, const int W) {
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W * PARTS; w++) acc[r][w] = (assay_i32s){0};
}

/* acc -= own products of the lines in [from, to), if they have any: see packed.h. */
ASSAY_INLINE void less_own(assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS], const tile *t, int part,
                           int64_t from, int64_t to, const int R, const int W) {
    const int64_t start = t->own + part * t->own_bytes + from / 16 * 64;
    const int64_t end = t->own + part * t->own_bytes + (to + 15) / 16 * 64;
    const int32_t *row_start = (const int32_t *)(t->rows + start) + t->first;
    const int32_t *row_end = (const int32_t *)(t->rows + end) + t->first;
    if (!ASSAY_SUMS) return;
    for (int w = 0; w < W * PARTS; w++) {
        const char *lane = t->lanes + w / PARTS * t->panel_bytes + w % PARTS * ASSAY_VECTOR;
        const assay_u32s own =
            (assay_u32s)assay_load(lane + end) - (assay_u32s)assay_load(lane + start);
        for (int r = 0; r < R; r++)
            acc[r][w] = (assay_i32s)((assay_u32s)acc[r][w] - own -
                                     ((assay_u32s)assay_all(row_end[r]) -
                                      (assay_u32s)assay_all(row_start[r])));
    }
}

/* Lines to multiply: as many of the row panel to come are asked for meanwhile, bit by bit. */
typedef struct lines {
    const int32_t *row;
    const char *lane, *ahead;
    int64_t count;
} lines;

/* `count` lines of a pass, from line `at` of all of the panel's lines on; `ahead_at`: the same of the
   panel to come. */
ASSAY_INLINE lines lines_of(const tile *t, int64_t at, int64_t ahead_at, int64_t count) {
    const int64_t head = sizeof(assay_head);
    return (lines){.row = (const int32_t *)(t->rows + head + at * 64) + t->first,
                   .lane = t->lanes + head + at * 64,
                   .ahead = t->ahead + head + (ahead_at + count * t->share / t->shares) * 64,
                   .count = count};
}

/* acc += the products of lines of pairs, an even number. */
ASSAY_INLINE void sum_pairs(assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS], const tile *t, lines l,
                            const int R, const int W) {
    const int64_t stride = t->panel_bytes, step = 128 / t->shares;
    for (; l.count; l.count -= 2, l.row += 32, l.lane += 128, l.ahead += step) {
        assay_i32s b[MOST_PANELS * PARTS], next[MOST_PANELS * PARTS];
        __builtin_prefetch(l.ahead, 0, 2);
        for (int w = 0; w < W * PARTS; w++) {
            b[w] = assay_load(l.lane + w / PARTS * stride + w % PARTS * ASSAY_VECTOR);
            next[w] = assay_load(l.lane + w / PARTS * stride + w % PARTS * ASSAY_VECTOR + 64);
        }
        for (int r = 0; r < R; r++) {
            const assay_i32s a = assay_all(l.row[r]), after = assay_all(l.row[16 + r]);
            for (int w = 0; w < W * PARTS; w++)
                if (ASSAY_SUMS)
                    acc[r][w] = assay_pairs(acc[r][w], assay_add_pairs(a, next[w]),
                                            assay_add_pairs(after, b[w]));
                else
                    acc[r][w] = assay_pairs(assay_pairs(acc[r][w], b[w], a), next[w], after);
        }
    }
}

/* acc += the products of lines of fours. */
ASSAY_INLINE void sum_quads(assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS], const tile *t, lines l,
                            const int R, const int W) {
    const int64_t stride = t->panel_bytes, step = 64 / t->shares;
    for (; l.count; l.count--, l.row += 16, l.lane += 64, l.ahead += step) {
        assay_i32s b[MOST_PANELS * PARTS];
        __builtin_prefetch(l.ahead, 0, 2);
        for (int w = 0; w < W * PARTS; w++)
            b[w] = assay_load(l.lane + w / PARTS * stride + w % PARTS * ASSAY_VECTOR);
        for (int r = 0; r < R; r++) {
            const assay_i32s a = assay_all(l.row[r]);
            for (int w = 0; w < W * PARTS; w++) acc[r][w] = assay_quads(acc[r][w], b[w], a);
        }
    }
}

ASSAY_INLINE void compute(const tile *t, const int R, const int W) {
    assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS];
    int64_t from = t->from, to;
    clear(acc, R, W);
    for (int r = 0; r < R && from; r++)
        for (int w = 0; w < W * PARTS; w++)
            acc[r][w] = assay_load(t->totals + r * TOTAL_BYTES + w * ASSAY_VECTOR);
    do {
        to = smaller(from + t->run, t->to);
        less_own(acc, t, 0, from, to, R, W);
        sum_pairs(acc, t, lines_of(t, from, t->ahead_from + from - t->from, to - from), R, W);
        if (!t->direct && to < t->lines)
            for (int r = 0; r < R; r++)
                for (int w = 0; w < W * PARTS; w++) {
                    char *high = t->totals + r * TOTAL_BYTES + TOTAL_BYTES / 2 + w * ASSAY_VECTOR;
                    assay_i32s upper = acc[r][w] >> 15;
                    if (from) upper += assay_load(high);
                    assay_store(high, upper);
                    acc[r][w] &= 0x7fff;
                }
        from = to;
    } while (from < t->to);
    const float *row_scale = ((const assay_head *)t->rows)->scale + t->first;
    for (int w = 0; w < W; w++) {
        const float *lane_scale = ((const assay_head *)(t->lanes + w * t->panel_bytes))->scale;
        for (int r = 0; r < R; r++) {
            float *out = t->out + r * t->out_row + w * 16;
            char *low = t->totals + r * TOTAL_BYTES + w * 64;
            for (int p = 0; p < PARTS; p++) {
                if (!t->direct || to < t->lines) {
                    assay_store(low + p * ASSAY_VECTOR, acc[r][w * PARTS + p]);
                    continue;
                } /* i32 to f32 rounds once, and the power of two is exact */
                assay_f32s s, v = __builtin_convertvector(acc[r][w * PARTS + p], assay_f32s);
                memcpy(&s, lane_scale + p * ASSAY_WIDTH, sizeof s);
                v *= s * row_scale[r];
                memcpy(out + p * ASSAY_WIDTH, &v, sizeof v);
            }
            if (!t->direct && to == t->lines) {
                static const int32_t none[16];
                const char *high = t->one_run ? (const char *)none : low + TOTAL_BYTES / 2;
                finish((const int32_t *)low, (const int32_t *)high, row_scale[r], lane_scale, out);
            }
        }
    }
}

/* total (or 0) + 2^16 high + 2^8 across + low: all of them integers below 2^53, so nothing is rounded
   but, where this is the last of a row, the result. */
ASSAY_INLINE void put_together(const int32_t *high, const int32_t *across, const int32_t *low,
                               double *total, const int first, const int last, float row,
                               const float *lane, float *out) {
#if ASSAY_VECTOR == 64
    /* In 32 bits as much as these hold: longest_run and ASSAY_WIDE_RUN leave room for this. */
    const __m512i x = _mm512_loadu_si512(across);
    const __m512i upper = _mm512_add_epi32(_mm512_loadu_si512(high), _mm512_srai_epi32(x, 8));
    const __m512i between = _mm512_and_si512(_mm512_slli_epi32(x, 8), _mm512_set1_epi32(0xffff));
    const __m512i lower = _mm512_add_epi32(_mm512_loadu_si512(low), between);
    for (int i = 0; i < 16; i += 8) {
        const __m512d u = _mm512_cvtepi32_pd(i ? _mm512_extracti64x4_epi64(upper, 1)
                                               : _mm512_castsi512_si256(upper));
        const __m512d l = _mm512_cvtepi32_pd(i ? _mm512_extracti64x4_epi64(lower, 1)
                                               : _mm512_castsi512_si256(lower));
        __m512d t = _mm512_fmadd_pd(u, _mm512_set1_pd(65536), l);
        if (!first) t = _mm512_add_pd(t, _mm512_loadu_pd(total + i));
        if (last) {
            const __m512d scale = _mm512_mul_pd(_mm512_cvtps_pd(_mm256_loadu_ps(lane + i)),
                                                _mm512_set1_pd(row));
            _mm256_storeu_ps(out + i, _mm512_cvtpd_ps(_mm512_mul_pd(t, scale)));
        } else {
            _mm512_storeu_pd(total + i, t);
        }
    }
#else
    for (int i = 0; i < 16; i++) {
        double t = high[i] * 65536.0 + across[i] * 256.0 + low[i];
        if (!first) t += total[i];
        if (last)
            out[i] = (float)(t * ((double)row * (double)lane[i]));
        else
            total[i] = t;
    }
#endif
}

/* The product of integers that are cut (see packed.h), over the lines [from, to). */
ASSAY_INLINE void run_wide(const tile *t, int64_t from, int64_t to, const int R, const int W) {
    enum { HIGH, ACROSS, LOW }; /* as a panel's parts follow one another */
    int32_t sums[3][MOST_ROWS][MOST_PANELS * 16];
    const int order[3] = {LOW, HIGH, ACROSS};
    for (int i = 0; i < 3; i++) {
        assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS];
        const int part = order[i], halves = ASSAY_QUADS && part == LOW ? 2 : 1;
        const int64_t start = part * t->lines; /* of the part's lines */
        const int64_t at = start + from / halves, count = (to - from) / halves;
        const lines l = lines_of(t, at, at + (t->ahead_from - t->from) / halves, count);
        clear(acc, R, W);
        for (int r = 0; r < R && part == ACROSS; r++) /* (hi + lo)(hi' + lo') has these two too */
            for (int w = 0; w < W * PARTS; w++)
                acc[r][w] = (assay_i32s)(
                    -(assay_u32s)assay_load(sums[HIGH][r] + w * ASSAY_WIDTH) -
                    (assay_u32s)assay_load(sums[LOW][r] + w * ASSAY_WIDTH));
        if (halves == 1) {
            less_own(acc, t, part, from, to, R, W);
            sum_pairs(acc, t, l, R, W);
        } else {
            sum_quads(acc, t, l, R, W);
        }
        for (int r = 0; r < R; r++)
            for (int w = 0; w < W * PARTS; w++)
                assay_store(sums[part][r] + w * ASSAY_WIDTH, acc[r][w]);
    }
    const float *row_scale = ((const assay_head *)t->rows)->scale + t->first;
    for (int w = 0; w < W; w++) {
        const float *lane_scale = ((const assay_head *)(t->lanes + w * t->panel_bytes))->scale;
        for (int r = 0; r < R; r++) {
            double *total = (double *)(t->totals + r * TOTAL_BYTES) + w * 16;
            float *out = t->out + r * t->out_row + w * 16;
            put_together(sums[HIGH][r] + w * 16, sums[ACROSS][r] + w * 16, sums[LOW][r] + w * 16,
                         total, from == 0, to == t->lines, row_scale[r], lane_scale, out);
        }
    }
}

ASSAY_INLINE void compute_wide(const tile *t, const int R, const int W) {
    int64_t from = t->from, to;
    do { /* once if k is 0 */
        to = smaller(from + t->run, t->to);
        run_wide(t, from, to, R, W);
        from = to;
    } while (from < t->to);
}

#define TILE(R, W) \
    static void tile_##R##x##W(const tile *t) { compute(t, R, W); } \
    static void wide_##R##x##W(const tile *t) { compute_wide(t, R, W); }
#define TILES(W) TILE(1, W) TILE(2, W)
#if MOST_ROWS >= 4
#define TILES_4(W) TILE(4, W)
#else
#define TILES_4(W)
#endif
#if MOST_ROWS >= 8
#define TILES_8(W) TILE(8, W)
#else
#define TILES_8(W)
#endif
TILES(1) TILES_4(1) TILES_8(1)
#if MOST_PANELS >= 2
TILES(2) TILES_4(2) TILES_8(2)
#endif

/* By the logarithm of the rows, and the panels less one. */
#if MOST_PANELS >= 2
#define ROW_OF(kind, R) {kind##_##R##x1, kind##_##R##x2},
#else
#define ROW_OF(kind, R) {kind##_##R##x1},
#endif
#if MOST_ROWS >= 8
#define ALL_OF(kind) ROW_OF(kind, 1) ROW_OF(kind, 2) ROW_OF(kind, 4) ROW_OF(kind, 8)
#elif MOST_ROWS >= 4
#define ALL_OF(kind) ROW_OF(kind, 1) ROW_OF(kind, 2) ROW_OF(kind, 4)
#else
#define ALL_OF(kind) ROW_OF(kind, 1) ROW_OF(kind, 2)
#endif
static void (*const tiles[][MOST_PANELS])(const tile *) = {ALL_OF(tile)};
static void (*const wide_tiles[][MOST_PANELS])(const tile *) = {ALL_OF(wide)};

/* The longest run that no product of these rows can overflow, in lines: some of those whose sums of
   squares are known, one after another. */
static int64_t longest_run(const assay_head *row, const char *lanes, int64_t panels,
                           int64_t panel_bytes, int64_t lines) {
    /* The sums of squares were rounded by far less; 2^15 may remain of the run before, or 2^23 be
       added when the parts of integers that are cut are put together. */
    const float most = 0x1p62f * 0.99f;
    int64_t best = 16, run = 16;
    for (int level = 0; level < ASSAY_LEVELS; level++, run *= 4) {
        float squares = 0;
        for (int64_t p = 0; p < panels; p++) {
            float s = ((const assay_head *)(lanes + p * panel_bytes))->squares[level];
            if (s > squares) squares = s;
        }
        for (int64_t n = 1; n <= 4 && n * n * squares * row->squares[level] < most; n++)
            if (n * run > best) best = n * run;
        if (best >= lines || run >= lines || best < run) break;
    }
    return best;
}

/* Tiles of one row panel, `rows` of it, by `lanes` lanes of at most MOST_PANELS panels; what they have
   in common is in `t`. */
static void panel_by_tile(tile t, int64_t rows, int64_t lanes, int bits, float *c, int64_t c_row,
                          int64_t c_lane) {
    const assay_head *row_head = (const assay_head *)t.rows;
    const int64_t panels = (lanes + 15) / 16;
    const int plain = c_lane == 1 && lanes == panels * 16, wide = assay_wide(bits);
    char *totals = t.totals;
    int32_t least = 0, most = 0; /* no panel's bounds exclude 0 */
    for (int64_t p = 0; p < panels; p++) {
        const assay_head *head = (const assay_head *)(t.lanes + p * t.panel_bytes);
        if (head->least < least) least = head->least;
        if (head->most > most) most = head->most;
    }
    t.run = longest_run(row_head, t.lanes, panels, t.panel_bytes, t.lines);
    if (wide) t.run = smaller(t.run, ASSAY_WIDE_RUN);
    t.one_run = t.run >= t.lines && t.from == 0 && t.to == t.lines;
    t.direct = t.run >= t.lines && row_head->least + least >= -126 && row_head->most + most <= 127;
    for (int r = 0; r < rows; t.share++) {
        float edge[MOST_ROWS * MOST_PANELS * 16];
        float *target = c + r * c_row;
        int size = 0; /* the logarithm */
        while (2 << size <= rows - r && 2 << size <= MOST_ROWS) size++;
        t.first = r;
        t.totals = totals + r * TOTAL_BYTES;
        t.out = plain ? target : edge;
        t.out_row = plain ? c_row : panels * 16;
        (wide ? wide_tiles : tiles)[size][panels - 1](&t);
        if (!plain && t.to == t.lines)
            for (int y = 0; y < 1 << size; y++)
                for (int64_t x = 0; x < lanes; x++)
                    target[y * c_row + x * c_lane] = edge[y * panels * 16 + x];
        r += 1 << size;
    }
}

/* At most BLOCK_PANELS panels by as many. next: the row panel that is multiplied after them. */
static void block_by_block(const char *row_panels, int64_t rows, const char *lane_panels,
                           int64_t lanes, int64_t k, int bits, float *c, int64_t c_row,
                           int64_t c_lane, const char *next) {
    char totals[BLOCK_PANELS * BLOCK_PANELS * 16 * 16 * 8] __attribute__((aligned(64)));
    const int64_t width = 16 * MOST_PANELS;
    tile t = {.panel_bytes = assay_panel_bytes(k, bits), .lines = assay_lines(k),
              .own = assay_own_start(k, bits), .own_bytes = assay_own_bytes(k),
              .shares = (lanes + width - 1) / width * (16 / MOST_ROWS)};
    do { /* once if k is 0 */
        t.to = smaller(t.from + PASS, t.lines);
        t.totals = totals;
        for (int64_t i = 0; i < rows; i += 16) {
            t.rows = row_panels + i / 16 * t.panel_bytes;
            t.ahead = t.rows + t.panel_bytes;
            t.ahead_from = t.from;
            if (i + 16 >= rows) {
                t.ahead_from = t.to < t.lines ? t.to : 0;
                t.ahead = t.to < t.lines ? row_panels : next;
            }
            for (int64_t j = 0; j < lanes; j += width, t.totals += 16 * TOTAL_BYTES) {
                t.lanes = lane_panels + j / 16 * t.panel_bytes;
                t.share = j / width * (16 / MOST_ROWS);
                panel_by_tile(t, smaller(rows - i, 16), smaller(lanes - j, width), bits,
                              c + i * c_row + j * c_lane, c_row, c_lane);
            }
        }
        t.from = t.to;
    } while (t.from < t.lines);
}

void assay_multiply_panels(const char *row_panels, int64_t rows, const char *lane_panels,
                           int64_t lanes, int64_t k, int bits, float *c, int64_t c_row,
                           int64_t c_lane) {
    const int64_t panel_bytes = assay_panel_bytes(k, bits);
    const int64_t most = (assay_wide(bits) ? BLOCK_PANELS / 2 : BLOCK_PANELS) * 16;
    const int64_t down = (rows + most - 1) / most, across = (lanes + most - 1) / most;
    /* The longer side passes through the cache once, the other stays in it. */
    for (int64_t n = 0; n < down * across; n++) {
        const int64_t i = (down >= across ? n / across : n % down) * most;
        const int64_t j = (down >= across ? n % across : n / down) * most;
        const char *const here = row_panels + i / 16 * panel_bytes;
        const int same = down >= across && n % across + 1 < across;
        /* Never beyond the last, as where there is no memory the processor looks for it each time:
           products took twice as long. */
        const char *const next = same            ? here
                                 : i + most < rows ? here + most / 16 * panel_bytes
                                                   : row_panels;
        block_by_block(here, smaller(rows - i, most), lane_panels + j / 16 * panel_bytes,
                       smaller(lanes - j, most), k, bits, c + i * c_row + j * c_lane, c_row, c_lane,
                       next);
    }
}
