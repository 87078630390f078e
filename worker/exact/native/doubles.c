/* Products through f64: see doubles.h. */
#include "doubles.h"

#if ASSAY_DOUBLES
#include "scales.h"
#include "source.h"

/* --- packing ---------------------------------------------------------------------------------- */

typedef struct packer {
    float factor[32];
    __m256 limit;
    char *at;            /* the line to write, of the first list */
    int64_t list_bytes;
} packer;

/* Integers of eight rows as f32, which holds integers up to 2^24; of a NaN any. */
ASSAY_INLINE __m256 eight(const packer *p, const float *line, int place) {
    const __m256 product = _mm256_mul_ps(_mm256_loadu_ps(line + place), /* exact, or far below 1/2 */
                                         _mm256_loadu_ps(p->factor + place));
    const __m256 q = _mm256_round_ps(product, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 least = _mm256_sub_ps(_mm256_setzero_ps(), p->limit);
    return _mm256_max_ps(_mm256_min_ps(q, p->limit), least);
}

ASSAY_INLINE void put(char *to, __m256 x) {
    _mm256_store_pd((double *)to, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    _mm256_store_pd((double *)to + 4, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}

/* A line of the sixteen elements of a plain panel. */
ASSAY_INLINE void plain_line(packer *p, const float *line) {
    for (int place = 0; place < 16; place += 8) put(p->at + place * 8, eight(p, line, place));
    p->at += 128;
}

/* A line of each of the seven lists, of 32 rows' even and odd elements; `odd` may be NULL. */
ASSAY_INLINE void seven_lines(packer *p, const float *even, const float *odd, const int rows) {
    const __m256 zero = _mm256_setzero_ps();
    for (int place = 0; place < 16; place += 8) {
        const __m256 x11 = eight(p, even, place), x21 = eight(p, even, place + 16);
        const __m256 x12 = odd ? eight(p, odd, place) : zero;
        const __m256 x22 = odd ? eight(p, odd, place + 16) : zero;
        const __m256 lists[ASSAY_SEVEN] = {
            _mm256_add_ps(x11, x22),
            rows ? _mm256_add_ps(x21, x22) : x11,
            rows ? x11 : _mm256_sub_ps(x21, x22), /* the lanes' x21 is B12, and their x12 is B21 */
            rows ? x22 : _mm256_sub_ps(x12, x11),
            rows ? _mm256_add_ps(x11, x12) : x22,
            rows ? _mm256_sub_ps(x21, x11) : _mm256_add_ps(x11, x21),
            rows ? _mm256_sub_ps(x12, x22) : _mm256_add_ps(x12, x22),
        };
#pragma GCC unroll 7
        for (int i = 0; i < ASSAY_SEVEN; i++) put(p->at + i * p->list_bytes + place * 8, lists[i]);
    }
    p->at += 128;
}

#define CHUNK 32 /* elements of rows with k contiguous that are turned at a time */

/* One panel of `rows` rows; `place`: its first row in the block. */
ASSAY_INLINE void pack_panel(assay_block b, int64_t place, int64_t rows, int64_t k, int bits,
                             const float *scales, char *panel, const int sevens, const int use) {
    const int width = (int)assay_double_rows(sevens), limit = (1 << (bits - 1)) - 1;
    packer p = {.limit = _mm256_set1_ps((float)limit),
                .at = panel + width / 16 * (int64_t)sizeof(assay_head),
                .list_bytes = assay_list_bytes(k)};
    char *const end = p.at + assay_double_lines(k, sevens) * 128;
    const float *x = b.x + place * (b.k_major ? 1 : b.stride);
    for (int r = 0; r < width; r += 16) {
        assay_head *head = (assay_head *)panel + r / 16;
        const int count = rows - r < 0 ? 0 : rows - r < 16 ? (int)(rows - r) : 16;
        int32_t largest[1][16] = {{0}};
        if (scales) {
            take_scales(scales + r, count, head, p.factor + r);
            continue;
        }
        if (b.k_major)
            largest_16(x + r, b.stride, k, 1, largest);
        else
            largest_of_rows(x + r * b.stride, b.stride, count, k, largest[0]);
        set_scales(largest[0], bits, head, p.factor + r);
    }
    for (int64_t i = 0; i < k; i += CHUNK) {
        const int columns = k - i < CHUNK ? (int)(k - i) : CHUNK;
        float turned[CHUNK * 32];
        const float *line = turned;
        const int64_t step = b.k_major ? b.stride : width;
        if (b.k_major)
            line = x + i * b.stride;
        else
            for (int r = 0; r < width; r += 16) {
                const int count = rows - r < 0 ? 0 : rows - r < 16 ? (int)(rows - r) : 16;
                assay_turn(x + r * b.stride + i, b.stride, count, columns, turned + r, width);
            }
        if (sevens)
            for (int j = 0; j < columns; j += 2, line += 2 * step)
                seven_lines(&p, line, j + 1 < columns ? line + step : NULL, use == ASSAY_FOR_ROWS);
        else
            for (int j = 0; j < columns; j++, line += step) plain_line(&p, line);
    }
    for (; p.at < end; p.at += 128)
        for (int i = 0; i < (sevens ? ASSAY_SEVEN : 1); i++) memset(p.at + i * p.list_bytes, 0, 128);
}

#define PACK(name, sevens, use)                                                                   \
    static void name(assay_block b, int64_t place, int64_t rows, int64_t k, int bits,              \
                     const float *scales, char *panel) {                                           \
        pack_panel(b, place, rows, k, bits, scales, panel, sevens, use);                           \
    }
PACK(pack_plain, 0, 0)
PACK(pack_rows, 1, ASSAY_FOR_ROWS)
PACK(pack_lanes, 1, ASSAY_FOR_LANES)

void assay_pack_doubles(const assay_rows *source, int64_t batch, int64_t rows, int64_t panel0,
                        int64_t panels, int64_t k, int bits, int use, int sevens, char *packed) {
    const int64_t width = assay_double_rows(sevens), panel_bytes = assay_double_bytes(k, sevens);
    const int64_t last = (panel0 + panels) * width, end = rows < last ? rows : last;
    void (*const pack)(assay_block, int64_t, int64_t, int64_t, int, const float *, char *) =
        !sevens ? pack_plain : use == ASSAY_FOR_ROWS ? pack_rows : pack_lanes;
    for (int64_t row0 = panel0 * width, count; row0 < end; row0 += count) {
        count = assay_rows_at_once(source, end - row0, width);
        const assay_block b = assay_take_rows(source, batch, row0, count, width, k);
        const float *scales = NULL;
        if (source->scales) scales = source->scales + batch * source->scale_batch_stride + row0;
        for (int64_t place = 0; place < count; place += width, packed += panel_bytes)
            pack(b, place, count - place, k, bits, scales ? scales + place : NULL, packed);
    }
}

/* --- products --------------------------------------------------------------------------------- */

#define PASS 128       /* lines that all panels of a block take before the next: 16 KB of each */
#define BLOCK_ROWS 128 /* results of a block, whose totals and lines fill half of L2 */
#define BLOCK_LANES 128
#define TILE 16        /* results of one product of lines, down and across */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Where a product's sums go: added to the first, and added to or taken from the second if it is
   there. */
typedef struct places {
    double *first, *second;
    int taken;
} places;

typedef struct side {
    const char *panels;
    int64_t count; /* of its rows or lanes */
} side;

/* Lines of all panels of a block, of one list and one pass. */
typedef struct step {
    side rows, lanes;
    int64_t row0, lane0; /* the block's first result */
    int list;
    int64_t start, lines; /* where they begin within a panel, and how many they are */
} step;

/* What the next step reads is asked for, 1 KB while each tile is made: the processor's own guesses
   start anew at every panel. */
#define SHARE 1024

typedef struct ahead {
    step next;
    int64_t width, panel_bytes;
    int64_t row, lane;    /* of the panels to come */
    const char *at, *end; /* what is left of the lines of the one before them */
} ahead;

/* Where the next share begins; `here`, which is near, if all have been asked for. Never beyond a
   panel: where no memory is, the processor looks for it at every prefetch. */
ASSAY_INLINE const char *next_share(ahead *a, const char *here) {
    if (a->at >= a->end) {
        const step *s = &a->next;
        if (a->row < s->rows.count) {
            a->at = s->rows.panels + a->row / a->width * a->panel_bytes + s->start;
            a->row += a->width;
        } else if (a->lane < s->lanes.count) {
            a->at = s->lanes.panels + a->lane / a->width * a->panel_bytes + s->start;
            a->lane += a->width;
        } else {
            return here;
        }
        a->end = a->at + s->lines * 128;
    }
    const char *const share = a->at;
    a->at += SHARE;
    return share;
}

/* 4 rows by 8 lanes. */
ASSAY_INLINE void tile(const double *row, const double *lane, int64_t lines, places to,
                       const char *soon) {
    __m256d acc[4][2];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) acc[r][0] = acc[r][1] = _mm256_setzero_pd();
    for (; lines; lines -= 2, row += 32, lane += 32, soon += SHARE / (PASS / 2)) {
        __builtin_prefetch(soon, 0, 2);
#pragma GCC unroll 2
        for (int line = 0; line < 2; line++) {
            const __m256d b = _mm256_load_pd(lane + 16 * line);
            const __m256d next = _mm256_load_pd(lane + 16 * line + 4);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                const __m256d a = _mm256_broadcast_sd(row + 16 * line + r);
                acc[r][0] = _mm256_fmadd_pd(a, b, acc[r][0]); /* exact: integers below 2^53 */
                acc[r][1] = _mm256_fmadd_pd(a, next, acc[r][1]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
#pragma GCC unroll 2
        for (int w = 0; w < 2; w++) {
            double *first = to.first + r * BLOCK_LANES + w * 4;
            double *second = to.second + r * BLOCK_LANES + w * 4;
            _mm256_store_pd(first, _mm256_add_pd(_mm256_load_pd(first), acc[r][w]));
            if (!to.second) continue;
            const __m256d old = _mm256_load_pd(second);
            _mm256_store_pd(second, to.taken ? _mm256_sub_pd(old, acc[r][w])
                                             : _mm256_add_pd(old, acc[r][w]));
        }
}

/* Sixteen rows by sixteen lanes, or as many as there are. */
static void multiply_lines(const char *rows, int64_t row_count, const char *lanes,
                           int64_t lane_count, int64_t lines, places to, ahead *a) {
    for (int64_t l = 0; l < lane_count; l += 8)
        for (int64_t r = 0; r < row_count; r += 4) {
            places here = to;
            here.first += r * BLOCK_LANES + l;
            if (to.second) here.second += r * BLOCK_LANES + l;
            tile((const double *)rows + r, (const double *)lanes + l, lines, here,
                 next_share(a, lanes));
        }
}

/* Strassen's seven: what their products are added to or taken from; places are 2 * down + across. */
static const struct {
    int first, second, taken;
} sums[ASSAY_SEVEN] = {{0, 3, 0}, {2, 3, 1}, {1, 3, 0}, {0, 2, 0}, {1, 0, 1}, {3, -1, 0}, {0, -1, 0}};

static void take_step(const step *s, ahead *a, int sevens, double *totals) {
    const int64_t width = a->width;
    const int first = sums[s->list].first, second = sums[s->list].second;
    for (int64_t j = 0; j < s->lanes.count; j += width)
        for (int64_t i = 0; i < s->rows.count; i += width) {
            double *corner = totals + i * BLOCK_LANES + j;
            places to = {.first = corner};
            if (sevens) {
                to.first += first / 2 * TILE * BLOCK_LANES + first % 2 * TILE;
                if (second >= 0)
                    to.second = corner + second / 2 * TILE * BLOCK_LANES + second % 2 * TILE;
                to.taken = sums[s->list].taken;
            }
            multiply_lines(s->rows.panels + i / width * a->panel_bytes + s->start,
                           smaller(s->rows.count - i, TILE),
                           s->lanes.panels + j / width * a->panel_bytes + s->start,
                           smaller(s->lanes.count - j, TILE), s->lines, to, a);
        }
}

typedef struct product {
    side rows, lanes;
    int64_t k, width, panel_bytes;
    int64_t down, across, steps; /* blocks, and steps of each */
    int sevens;
} product;

ASSAY_INLINE const float *scales_of(side s, int64_t row, int64_t width, int64_t panel_bytes) {
    const assay_head *head = (const assay_head *)(s.panels + row / width * panel_bytes);
    return head[row % width / 16].scale;
}

/* Totals to results: the one rounding. */
static void finish_block(const product *p, const step *s, const double *totals, float *c,
                         int64_t c_row, int64_t c_lane) {
    const side rows = s->rows, lanes = s->lanes;
    const int64_t width = p->width, panel_bytes = p->panel_bytes;
    for (int64_t j = 0; j < lanes.count; j += 16) {
        const float *of_lanes = scales_of(lanes, j, width, panel_bytes);
        const int64_t count = smaller(lanes.count - j, 16);
        for (int64_t i = 0; i < rows.count; i++) {
            const double row = scales_of(rows, i, width, panel_bytes)[i % 16];
            const double *total = totals + i * BLOCK_LANES + j;
            float edge[16], *out = c + i * c_row + j * c_lane;
            float *target = c_lane == 1 && count == 16 ? out : edge;
            for (int l = 0; l < 16; l += 4) {
                const __m256d lane = _mm256_cvtps_pd(_mm_loadu_ps(of_lanes + l));
                const __m256d scale = _mm256_mul_pd(lane, _mm256_set1_pd(row)); /* a power of two */
                const __m256d result = _mm256_mul_pd(_mm256_load_pd(total + l), scale);
                _mm_storeu_ps(target + l, _mm256_cvtpd_ps(result));
            }
            for (int64_t l = 0; l < count && target == edge; l++) out[l * c_lane] = edge[l];
        }
    }
}

static step step_at(const product *p, int64_t number) {
    const int64_t block = number / p->steps, at = number % p->steps;
    const int64_t lists = p->sevens ? ASSAY_SEVEN : 1, from = at / lists * PASS;
    /* The longer side passes through the cache once, the other stays in it. */
    const int64_t i = p->down >= p->across ? block / p->across : block % p->down;
    const int64_t j = p->down >= p->across ? block % p->across : block / p->down;
    const int64_t row0 = i * BLOCK_ROWS, lane0 = j * BLOCK_LANES;
    return (step){
        .rows = {p->rows.panels + row0 / p->width * p->panel_bytes,
                 smaller(p->rows.count - row0, BLOCK_ROWS)},
        .lanes = {p->lanes.panels + lane0 / p->width * p->panel_bytes,
                  smaller(p->lanes.count - lane0, BLOCK_LANES)},
        .row0 = row0,
        .lane0 = lane0,
        .list = (int)(at % lists),
        .start = p->width / 16 * (int64_t)sizeof(assay_head) +
                 at % lists * assay_list_bytes(p->k) + from * 128,
        .lines = smaller(PASS, assay_double_lines(p->k, p->sevens) - from),
    };
}

void assay_multiply_doubles(const char *row_panels, int64_t rows, const char *lane_panels,
                            int64_t lanes, int64_t k, int sevens, float *c, int64_t c_row,
                            int64_t c_lane) {
    const int64_t passes = (assay_double_lines(k, sevens) + PASS - 1) / PASS;
    const product p = {
        .rows = {row_panels, rows}, .lanes = {lane_panels, lanes}, .k = k, .sevens = sevens,
        .width = assay_double_rows(sevens), .panel_bytes = assay_double_bytes(k, sevens),
        .down = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS,
        .across = (lanes + BLOCK_LANES - 1) / BLOCK_LANES,
        .steps = (passes ? passes : 1) * (sevens ? ASSAY_SEVEN : 1),
    };
    double totals[BLOCK_ROWS * BLOCK_LANES] __attribute__((aligned(64)));
    step now = step_at(&p, 0);
    for (int64_t n = 0, all = p.down * p.across * p.steps; n < all; n++) {
        ahead a = {.width = p.width, .panel_bytes = p.panel_bytes};
        if (n + 1 < all) a.next = step_at(&p, n + 1);
        if (n % p.steps == 0) {
            const int64_t held = (now.rows.count + p.width - 1) / p.width * p.width;
            memset(totals, 0, (size_t)(held * BLOCK_LANES) * sizeof(double));
        }
        take_step(&now, &a, sevens, totals);
        if (n % p.steps == p.steps - 1)
            finish_block(&p, &now, totals, c + now.row0 * c_row + now.lane0 * c_lane, c_row, c_lane);
        now = a.next;
    }
}

#ifndef ASSAY_ALWAYS_SEVENS /* tests do, where it is exact */
#define ASSAY_ALWAYS_SEVENS 0
#endif

int assay_worth_sevens(int64_t m, int64_t n, int64_t k, int bits) {
    const int64_t whole = (m + 31) / 32 * 32 * ((n + 31) / 32 * 32);
    const int many = m >= 96 && n >= 96 && k >= 96 && whole * 15 <= m * n * 16;
    return (many || ASSAY_ALWAYS_SEVENS) &&
           3 * (double)k * (double)(1LL << (2 * bits - 1)) < 0x1p53;
}
#endif
