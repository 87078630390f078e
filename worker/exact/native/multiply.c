/* Products of packed rows: the innermost loops. */
#include "packed.h"

#define MOST_ROWS ASSAY_TILE_ROWS
#define MOST_PANELS ASSAY_TILE_PANELS
#define PARTS ASSAY_PARTS

typedef struct tile {
    const char *rows;   /* head of the row panel */
    int first;          /* its first row of this tile */
    const char *lanes;  /* head of the first lane panel; the others follow */
    int64_t panel_bytes, lines;
    int64_t run;        /* lines that an accumulator holds */
    int direct;         /* whether one run takes all, and every f32 scale of a result is normal */
    float *out;
    int64_t out_row;
} tile;

/* A total above 32 bits is kept as its lower 32 bits (`low`) and the sum of its runs' upper parts
   (`high`, in units of 2^15). What lies between is below runs * 2^15 < 2^31, so `low` tells it. */
ASSAY_INLINE void finish(const int32_t *low, const int32_t *high, float row, const float *lane,
                         float *out) {
#if ASSAY_VECTOR == 64
    const __m512i h = _mm512_loadu_si512(high);
    const __m512i between = _mm512_sub_epi32(_mm512_loadu_si512(low), _mm512_slli_epi32(h, 15));
    const __m256i highs[2] = {_mm512_castsi512_si256(h), _mm512_extracti64x4_epi64(h, 1)};
    const __m256i rest[2] = {_mm512_castsi512_si256(between),
                             _mm512_extracti64x4_epi64(between, 1)};
    for (int i = 0; i < 2; i++) { /* exact but for the last conversion */
        __m512d total = _mm512_fmadd_pd(_mm512_cvtepi32_pd(highs[i]), _mm512_set1_pd(32768),
                                        _mm512_cvtepi32_pd(rest[i]));
        __m512d scale = _mm512_cvtps_pd(_mm256_loadu_ps(lane + 8 * i));
        scale = _mm512_mul_pd(scale, _mm512_set1_pd(row));
        _mm256_storeu_ps(out + 8 * i, _mm512_cvtpd_ps(_mm512_mul_pd(total, scale)));
    }
#else
    for (int i = 0; i < 16; i++) {
        uint32_t between = (uint32_t)low[i] - ((uint32_t)high[i] << 15);
        double total = (double)high[i] * 32768.0 + (double)(int32_t)between; /* exact */
        out[i] = (float)(total * ((double)row * (double)lane[i]));
    }
#endif
}

/* acc = the products of `run` lines, of pairs or of fours. */
ASSAY_INLINE void sum_lines(assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS], const int32_t *row,
                            const char *lane, int64_t stride, int64_t run, const int R,
                            const int W, const int fours) {
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W * PARTS; w++) acc[r][w] = (assay_i32s){0};
    for (; run; run--) {
        assay_i32s b[MOST_PANELS * PARTS];
        for (int w = 0; w < W * PARTS; w++)
            b[w] = assay_load(lane + w / PARTS * stride + w % PARTS * ASSAY_VECTOR);
        for (int r = 0; r < R; r++) {
            assay_i32s a = assay_all(row[r]);
            for (int w = 0; w < W * PARTS; w++)
                acc[r][w] = fours ? assay_quads(acc[r][w], b[w], a) : assay_pairs(acc[r][w], b[w], a);
        }
        row += 16;
        lane += 64;
    }
}

ASSAY_INLINE void compute(const tile *t, const int R, const int W) {
    assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS];
    int32_t low[MOST_ROWS][MOST_PANELS * 16], high[MOST_ROWS][MOST_PANELS * 16];
    const int32_t *row = (const int32_t *)(t->rows + sizeof(assay_head)) + t->first;
    const char *lane = t->lanes + sizeof(assay_head);
    const int64_t stride = t->panel_bytes;
    int64_t left = t->lines;
    int first = 1;
    do {
        int64_t run = left < t->run ? left : t->run;
        left -= run;
        sum_lines(acc, row, lane, stride, run, R, W, 0);
        row += 16 * run;
        lane += 64 * run;
        if (t->direct) break;
        for (int r = 0; r < R; r++)
            for (int w = 0; w < W * PARTS; w++) {
                int32_t *l = low[r] + w * ASSAY_WIDTH, *h = high[r] + w * ASSAY_WIDTH;
                assay_u32s sum = (assay_u32s)acc[r][w];
                assay_i32s upper = acc[r][w] >> 15;
                if (!first) sum += (assay_u32s)assay_load(l), upper += assay_load(h);
                assay_store(l, (assay_i32s)sum);
                assay_store(h, upper);
            }
        first = 0;
    } while (left);
    const float *row_scale = ((const assay_head *)t->rows)->scale + t->first;
    for (int w = 0; w < W; w++) {
        const float *lane_scale = ((const assay_head *)(t->lanes + w * stride))->scale;
        for (int r = 0; r < R; r++) {
            float *out = t->out + r * t->out_row + w * 16;
            if (t->direct) { /* i32 to f32 rounds once, and the power of two is exact */
                for (int p = 0; p < PARTS; p++) {
                    assay_f32s s, v = __builtin_convertvector(acc[r][w * PARTS + p], assay_f32s);
                    memcpy(&s, lane_scale + p * ASSAY_WIDTH, sizeof s);
                    v *= s * row_scale[r];
                    memcpy(out + p * ASSAY_WIDTH, &v, sizeof v);
                }
            } else {
                finish(low[r] + w * 16, high[r] + w * 16, row_scale[r], lane_scale, out);
            }
        }
    }
}

/* total (or 0) + 2^16 high + 2^8 across + low, where sum = high + across + low mod 2^32: all of them
   integers below 2^53, so nothing is rounded. */
ASSAY_INLINE void put_together(const int32_t *high, const int32_t *sum, const int32_t *low,
                               const int first, double *total) {
#if ASSAY_VECTOR == 64
    const __m512i h = _mm512_loadu_si512(high), l = _mm512_loadu_si512(low);
    const __m512i x = _mm512_sub_epi32(_mm512_sub_epi32(_mm512_loadu_si512(sum), h), l);
    const __m512i parts[3] = {h, x, l};
    for (int i = 0; i < 2; i++) {
        __m512d d[3];
        for (int p = 0; p < 3; p++)
            d[p] = _mm512_cvtepi32_pd(i ? _mm512_extracti64x4_epi64(parts[p], 1)
                                        : _mm512_castsi512_si256(parts[p]));
        __m512d t = _mm512_fmadd_pd(d[1], _mm512_set1_pd(256), d[2]);
        t = _mm512_fmadd_pd(d[0], _mm512_set1_pd(65536), t);
        if (!first) t = _mm512_add_pd(t, _mm512_loadu_pd(total + 8 * i));
        _mm512_storeu_pd(total + 8 * i, t);
    }
#else
    for (int i = 0; i < 16; i++) {
        const int32_t across = (int32_t)((uint32_t)sum[i] - (uint32_t)high[i] - (uint32_t)low[i]);
        const double t = high[i] * 65536.0 + across * 256.0 + low[i];
        total[i] = first ? t : total[i] + t;
    }
#endif
}

/* The product of integers that are cut: see packed.h. */
ASSAY_INLINE void compute_wide(const tile *t, const int R, const int W) {
    int32_t sums[3][MOST_ROWS][MOST_PANELS * 16];
    double totals[MOST_ROWS][MOST_PANELS * 16];
    const int32_t *row = (const int32_t *)(t->rows + sizeof(assay_head)) + t->first;
    const char *lane = t->lanes + sizeof(assay_head);
    /* As few runs as there may be, as long as one another; one of nothing if k is 0. */
    const int64_t runs = t->lines ? (t->lines + ASSAY_WIDE_RUN - 1) / ASSAY_WIDE_RUN : 1;
    const int64_t longest = ((t->lines + runs - 1) / runs + 1) / 2 * 2;
    int64_t first = 0;
    do {
        const int64_t run = t->lines - first < longest ? t->lines - first : longest;
        for (int part = 0; part < 3; part++) {
            assay_i32s acc[MOST_ROWS][MOST_PANELS * PARTS];
            const int fours = ASSAY_QUADS && part == 2;
            const int64_t from = part * t->lines + (fours ? first / 2 : first);
            sum_lines(acc, row + 16 * from, lane + 64 * from, t->panel_bytes,
                      fours ? (run + 1) / 2 : run, R, W, fours);
            for (int r = 0; r < R; r++)
                for (int w = 0; w < W * PARTS; w++)
                    assay_store(sums[part][r] + w * ASSAY_WIDTH, acc[r][w]);
        }
        for (int r = 0; r < R; r++)
            for (int w = 0; w < W * 16; w += 16)
                put_together(sums[0][r] + w, sums[1][r] + w, sums[2][r] + w, first == 0,
                             totals[r] + w);
        first += run;
    } while (first < t->lines);
    const float *row_scale = ((const assay_head *)t->rows)->scale + t->first;
    for (int w = 0; w < W; w++) {
        const float *lane_scale = ((const assay_head *)(t->lanes + w * t->panel_bytes))->scale;
        for (int r = 0; r < R; r++) /* the power of two is exact, and the conversion rounds once */
            for (int i = 0; i < 16; i++)
                t->out[r * t->out_row + w * 16 + i] =
                    (float)(totals[r][w * 16 + i] * ((double)row_scale[r] * (double)lane_scale[i]));
    }
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

/* The longest run that no product of these rows can overflow, in lines. */
static int64_t longest_run(const assay_head *row, const char *lanes, int64_t panels,
                           int64_t panel_bytes, int64_t lines) {
    const float most = 0x1p62f * 0.999f; /* the sums of squares were rounded by far less */
    int64_t run = 16;
    for (int level = 0;; level++, run *= 4) {
        float squares = 0;
        if (level == ASSAY_LEVELS) return run / 4;
        for (int64_t p = 0; p < panels; p++) {
            float s = ((const assay_head *)(lanes + p * panel_bytes))->squares[level];
            if (s > squares) squares = s;
        }
        if (level && !(squares * row->squares[level] < most)) return run / 4;
        if (run >= lines) return run;
    }
}

/* One row panel, `rows` of it, by `lanes` lanes of at most MOST_PANELS panels. */
static void panel_by_tile(const char *row_panel, int64_t rows, const char *lane_panels,
                          int64_t lanes, int64_t k, int bits, float *c, int64_t c_row,
                          int64_t c_lane) {
    const assay_head *row_head = (const assay_head *)row_panel;
    const int64_t panels = (lanes + 15) / 16, panel_bytes = assay_panel_bytes(k, bits);
    const int plain = c_lane == 1 && lanes == panels * 16;
    tile t = {.rows = row_panel, .lanes = lane_panels, .panel_bytes = panel_bytes,
              .lines = (k + 1) / 2};
    const int wide = assay_wide(bits);
    int32_t least = 0, most = 0; /* no panel's bounds exclude 0 */
    for (int64_t p = 0; p < panels; p++) {
        const assay_head *head = (const assay_head *)(lane_panels + p * panel_bytes);
        if (head->least < least) least = head->least;
        if (head->most > most) most = head->most;
    }
    if (!wide) t.run = longest_run(row_head, lane_panels, panels, panel_bytes, t.lines);
    t.direct = t.run >= t.lines && row_head->least + least >= -126 && row_head->most + most <= 127;
    for (int r = 0; r < rows;) {
        float edge[MOST_ROWS * MOST_PANELS * 16];
        float *target = c + r * c_row;
        int size = 0; /* the logarithm */
        while (2 << size <= rows - r && 2 << size <= MOST_ROWS) size++;
        t.first = r;
        t.out = plain ? target : edge;
        t.out_row = plain ? c_row : panels * 16;
        (wide ? wide_tiles : tiles)[size][panels - 1](&t);
        if (!plain)
            for (int y = 0; y < 1 << size; y++)
                for (int64_t x = 0; x < lanes; x++)
                    target[y * c_row + x * c_lane] = edge[y * panels * 16 + x];
        r += 1 << size;
    }
}

void assay_multiply_panels(const char *row_panels, int64_t rows, const char *lane_panels,
                           int64_t lanes, int64_t k, int bits, float *c, int64_t c_row,
                           int64_t c_lane) {
    const int64_t panel_bytes = assay_panel_bytes(k, bits), width = 16 * MOST_PANELS;
    const int64_t down = (rows + 15) / 16, across = (lanes + width - 1) / width;
    /* The longer side passes through the cache once, the other stays in it. */
    const int down_first = down >= across * MOST_PANELS;
    for (int64_t n = 0; n < down * across; n++) {
        int64_t i = down_first ? n / across : n % down, j = down_first ? n % across : n / down;
        int64_t height = rows - i * 16 < 16 ? rows - i * 16 : 16;
        int64_t length = lanes - j * width < width ? lanes - j * width : width;
        panel_by_tile(row_panels + i * panel_bytes, height,
                      lane_panels + j * MOST_PANELS * panel_bytes, length, k, bits,
                      c + i * 16 * c_row + j * width * c_lane, c_row, c_lane);
    }
}
