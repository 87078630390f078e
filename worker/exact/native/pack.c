/* Rows of floats to packed integers. */
#include "scales.h"
#include "source.h"

#define MOST_GROUP (ASSAY_GROUP / 16)

/* --- sums of squares -------------------------------------------------------------------------- */

typedef struct sums {
    assay_f32s open[ASSAY_LEVELS][ASSAY_PARTS]; /* of the run that each level is in */
    assay_f32s best[ASSAY_LEVELS][ASSAY_PARTS];
    int levels;
    int64_t runs; /* of 16 lines, so far */
} sums;

static void sums_begin(sums *s, int64_t lines) {
    s->levels = 1;
    for (int64_t run = 16; run < lines; run *= 4) s->levels++;
    memset(s->open, 0, sizeof s->open[0] * s->levels);
    memset(s->best, 0, sizeof s->best[0] * s->levels);
    s->runs = 0;
}

ASSAY_INLINE void sums_close(sums *s, int level) {
    for (int p = 0; p < ASSAY_PARTS; p++) {
        assay_f32s total = s->open[level][p], best = s->best[level][p];
        assay_i32s above = total > best;
        assay_i32s most = ((assay_i32s)total & above) | ((assay_i32s)best & ~above);
        s->best[level][p] = (assay_f32s)most;
        if (level + 1 < s->levels) s->open[level + 1][p] += total;
        s->open[level][p] = (assay_f32s){0};
    }
}

/* Takes up to 16 lines that were just written. */
ASSAY_INLINE void sums_add(sums *s, const char *line, int lines) {
    for (int p = 0; p < ASSAY_PARTS; p++) {
        assay_i32s even = {0}, odd = {0};
        for (int i = 0; i < lines; i += 2) {
            assay_i32s v = assay_load(line + i * 64 + p * ASSAY_VECTOR);
            even = assay_pairs(even, v, v);
            v = assay_load(line + i * 64 + 64 + p * ASSAY_VECTOR);
            odd = assay_pairs(odd, v, v);
        }
        even = (assay_i32s)((assay_u32s)even + (assay_u32s)odd); /* a NaN's row may hold anything */
        s->open[0][p] = __builtin_convertvector(even, assay_f32s);
    }
    int64_t runs = ++s->runs;
    for (int level = 0; level < s->levels; level++, runs /= 4) {
        sums_close(s, level);
        if (runs % 4) break;
    }
}

static void sums_end(sums *s, assay_head *head) {
    for (int level = 1; level < s->levels; level++) sums_close(s, level);
    for (int level = 0; level < s->levels; level++) {
        float best[16], most = 0;
        memcpy(best, s->best[level], sizeof best);
        for (int i = 0; i < 16; i++) most = best[i] > most ? best[i] : most;
        head->squares[level] = most;
    }
}

/* Where a panel's parts are written next: the lines of hi, or of all; of hi + lo; of lo. And their
   own products' sums. */
typedef struct target {
    char *high, *sum, *low, *own_high, *own_sum, *own_low;
} target;

static target target_of(char *panel, int64_t k, int bits) {
    char *lines = panel + sizeof(assay_head), *own = panel + assay_own_start(k, bits);
    target at = {lines, lines + assay_line_bytes(k), lines + 2 * assay_line_bytes(k), own,
                 own + assay_own_bytes(k), own + 2 * assay_own_bytes(k)};
    if (ASSAY_SUMS) memset(at.own_high, 0, 64);
    if (ASSAY_SUMS && assay_wide(bits)) memset(at.own_sum, 0, 64);
    if (ASSAY_SUMS && assay_wide(bits) && !ASSAY_QUADS) memset(at.own_low, 0, 64);
    return at;
}

/* By an even number of lines. */
ASSAY_INLINE void advance(target *t, int lines) {
    t->high += lines * 64;
    t->sum += lines * 64;
    t->low += lines * (ASSAY_QUADS ? 32 : 64);
}

/* Takes up to 16 lines, an even number, that were just written. */
ASSAY_INLINE void add_own(char **own, const char *line, int lines) {
    if (!ASSAY_SUMS) return;
    for (int p = 0; p < ASSAY_PARTS; p++, line += ASSAY_VECTOR) {
        assay_i32s total = assay_load(*own + p * ASSAY_VECTOR);
        for (int i = 0; i < lines; i += 2)
            total = assay_pairs(total, assay_load(line + i * 64), assay_load(line + i * 64 + 64));
        assay_store(*own + 64 + p * ASSAY_VECTOR, total);
    }
    *own += 64;
}

/* What is known of up to 16 lines that were just written. */
ASSAY_INLINE void note_lines(target *at, const target *from, int lines, sums *s, const int wide) {
    add_own(&at->own_high, from->high, lines);
    if (wide) add_own(&at->own_sum, from->sum, lines);
    if (wide && !ASSAY_QUADS) add_own(&at->own_low, from->low, lines);
    sums_add(s, from->high, lines);
}

/* --- lines of sixteen elements ---------------------------------------------------------------- */

#if ASSAY_VECTOR == 64
ASSAY_INLINE __m512i rounded(__m512 x, __m512 factor) {
    return _mm512_cvtps_epi32(_mm512_mul_ps(x, factor));
}

/* From the pairs of elements 0, 1 and of 2, 3, sixteen bits each: their lower bytes, 0 to 3. */
ASSAY_INLINE __m512i four_bytes(__m512i first, __m512i second) {
#ifdef __AVX512VBMI__
    static const unsigned char order[64] = {
#define OF(i) 4 * (i), 4 * (i) + 2, 64 + 4 * (i), 66 + 4 * (i)
        OF(0), OF(1), OF(2), OF(3), OF(4), OF(5), OF(6), OF(7),
        OF(8), OF(9), OF(10), OF(11), OF(12), OF(13), OF(14), OF(15),
#undef OF
    };
    return _mm512_permutex2var_epi8(first, _mm512_loadu_si512(order), second);
#else
    const __m512i byte = _mm512_set1_epi16(0xff), places = _mm512_set1_epi32(256 << 16 | 1);
    first = _mm512_madd_epi16(_mm512_and_si512(first, byte), places);
    second = _mm512_madd_epi16(_mm512_and_si512(second, byte), places);
    return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
#endif
}

/* Lower halves of `even` and `odd`, side by side. */
ASSAY_INLINE __m512i pairs(__m512i even, __m512i odd) {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16));
}

/* Elements 0 and 1 of sixteen rows, and 2 and 3; 0 for those that are NULL. */
ASSAY_INLINE void pack_16(const float *const x[4], const float *factor, int limit, int use,
                          const target *at, const int wide) {
    const __m512 f = _mm512_loadu_ps(factor);
    __m512i rests[2];
    for (int p = 0; p < 2; p++) {
        const float *even = x[2 * p], *odd = x[2 * p + 1];
        __m512i a = _mm512_setzero_si512(), b = a;
        if (even) a = rounded(_mm512_loadu_ps(even), f);
        if (odd) b = rounded(_mm512_loadu_ps(odd), f);
        if (!wide) {
            a = pairs(a, b); /* |q| <= 2^13 of finite rows, so the lower half is all of it */
            a = _mm512_min_epi16(a, _mm512_set1_epi16((short)limit));
            a = _mm512_max_epi16(a, _mm512_set1_epi16((short)-limit));
            _mm512_store_si512(at->high + p * 64, a);
            continue;
        }
        const __m512i most = _mm512_set1_epi32(limit), least = _mm512_set1_epi32(-limit);
        a = _mm512_max_epi32(_mm512_min_epi32(a, most), least);
        b = _mm512_max_epi32(_mm512_min_epi32(b, most), least);
        const __m512i above_a = _mm512_add_epi32(a, _mm512_set1_epi32(use));
        const __m512i above_b = _mm512_add_epi32(b, _mm512_set1_epi32(use));
        /* (b + use) >> 8 << 16, but for what the lower half is taken from */
        const __m512i upper = _mm512_mask_blend_epi16(
            0xaaaaaaaa, _mm512_srai_epi32(above_a, 8), _mm512_slli_epi32(above_b, 8));
        rests[p] = _mm512_sub_epi16(pairs(a, b), _mm512_slli_epi16(upper, 8));
        _mm512_store_si512(at->high + p * 64, upper);
        _mm512_store_si512(at->sum + p * 64, _mm512_add_epi16(upper, rests[p]));
        if (!ASSAY_QUADS) _mm512_store_si512(at->low + p * 64, rests[p]);
    }
    if (wide && ASSAY_QUADS) _mm512_store_si512(at->low, four_bytes(rests[0], rests[1]));
}
#else
ASSAY_INLINE assay_i32s quantised_lanes(const float *x, const float *factor, int part, int limit) {
    assay_f32s v, f;
    memcpy(&v, x + part * ASSAY_WIDTH, sizeof v);
    memcpy(&f, factor + part * ASSAY_WIDTH, sizeof f);
    v = v * f + 0x1.8p23f; /* as quantised() */
    assay_i32s q = (assay_i32s)v - 0x4b400000, most = assay_all(limit);
    q = chosen(q > most, most, q);
    return chosen(q < -most, -most, q);
}

/* Lower halves of `even` and `odd`, side by side. */
ASSAY_INLINE assay_i32s pairs(assay_i32s even, assay_i32s odd) {
    return (even & 0xffff) | (assay_i32s)((assay_u32s)odd << 16);
}

/* Elements 0 and 1 of sixteen rows, and 2 and 3; 0 for those that are NULL. */
ASSAY_INLINE void pack_16(const float *const x[4], const float *factor, int limit, int use,
                          const target *at, const int wide) {
    for (int part = 0; part < ASSAY_PARTS; part++) {
        const int place = part * ASSAY_VECTOR;
        assay_i32s bytes = {0};
        for (int p = 0; p < 2; p++) {
            const float *even = x[2 * p], *odd = x[2 * p + 1];
            assay_i32s a = {0}, b = {0};
            if (even) a = quantised_lanes(even, factor, part, limit);
            if (odd) b = quantised_lanes(odd, factor, part, limit);
            if (!wide) {
                assay_store(at->high + p * 64 + place, pairs(a, b));
                continue;
            }
            const assay_i32s above_a = (a + use) >> 8, above_b = (b + use) >> 8;
            const assay_i32s low_a = a - above_a * 256, low_b = b - above_b * 256;
            assay_store(at->high + p * 64 + place, pairs(above_a, above_b));
            assay_store(at->sum + p * 64 + place, pairs(above_a + low_a, above_b + low_b));
            if (!ASSAY_QUADS) assay_store(at->low + p * 64 + place, pairs(low_a, low_b));
            bytes |= (assay_i32s)((assay_u32s)((low_a & 255) | (low_b & 255) << 8) << 16 * p);
        }
        if (wide && ASSAY_QUADS) assay_store(at->low + place, bytes);
    }
}
#endif

/* --- rows with k contiguous ------------------------------------------------------------------- */

#if ASSAY_VECTOR == 64
/* Cuts 32-bit integers, limited first: see packed.h. */
ASSAY_INLINE void cut(__m512i q, __m512i limit, int use, __m512i *high, __m512i *low) {
    q = _mm512_min_epi32(q, limit);
    q = _mm512_max_epi32(q, _mm512_sub_epi32(_mm512_setzero_si512(), limit));
    *high = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(use)), 8);
    *low = _mm512_sub_epi32(q, _mm512_slli_epi32(*high, 8));
}

/* 32 elements of each of 16 rows; packs_epi32 takes four pairs of each operand in turn. */
ASSAY_INLINE void pack_block(const float *x, int64_t stride, const float *factor, int most,
                             int use, const __mmask16 *some, const target *at, int lines,
                             const int wide) {
    const __m512i limit = wide ? _mm512_set1_epi32(most) : _mm512_set1_epi16((short)most);
    __m512i v[16], low[16];
    for (int r = 0; r < 16; r++) {
        const float *row = x + r * stride;
        __m512 f = _mm512_set1_ps(factor[r]), a, b;
        if (some) {
            a = _mm512_maskz_loadu_ps(some[2 * r], row);
            b = _mm512_maskz_loadu_ps(some[2 * r + 1], row + 16);
        } else {
            a = _mm512_loadu_ps(row);
            b = _mm512_loadu_ps(row + 16);
        }
        if (wide) {
            __m512i high[2], rest[2];
            cut(rounded(a, f), limit, use, &high[0], &rest[0]);
            cut(rounded(b, f), limit, use, &high[1], &rest[1]);
            v[r] = _mm512_packs_epi32(high[0], high[1]);
            low[r] = _mm512_packs_epi32(rest[0], rest[1]);
        } else {
            __m512i q = _mm512_packs_epi32(rounded(a, f), rounded(b, f));
            q = _mm512_min_epi16(q, limit);
            v[r] = _mm512_max_epi16(q, _mm512_sub_epi16(_mm512_setzero_si512(), limit));
        }
    }
    transpose(v);
    if (wide) transpose(low);
    /* Line i is v[place[i]]. */
    static const unsigned char place[16] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (i >= lines) continue;
        const __m512i high = v[place[i]], rest = low[place[i]];
        _mm512_store_si512(at->high + i * 64, high);
        if (!wide) continue;
        _mm512_store_si512(at->sum + i * 64, _mm512_add_epi16(high, rest));
        if (!ASSAY_QUADS)
            _mm512_store_si512(at->low + i * 64, rest);
        else if (i % 2 == 0)
            _mm512_store_si512(at->low + i * 32, four_bytes(rest, low[place[i + 1]]));
    }
}

ASSAY_INLINE void pack_parts(const float *x, int64_t stride, int rows, int64_t k,
                             const float *factor, int most, int use, target at, sums *s,
                             const int wide) {
    for (int64_t i = 0; i < k; i += 32, advance(&at, 16)) {
        if (rows == 16 && k - i >= 32) {
            pack_block(x + i, stride, factor, most, use, NULL, &at, 16, wide);
            note_lines(&at, &at, 16, s, wide);
            continue;
        }
        uint32_t columns = k - i >= 32 ? 0xffffffff : (1u << (k - i)) - 1;
        __mmask16 some[32];
        for (int r = 0; r < 16; r++) {
            some[2 * r] = r < rows ? (__mmask16)columns : 0;
            some[2 * r + 1] = r < rows ? (__mmask16)(columns >> 16) : 0;
        }
        int lines = k - i >= 32 ? 16 : (int)assay_lines(k - i);
        pack_block(x + i, stride, factor, most, use, some, &at, lines, wide);
        note_lines(&at, &at, lines, s, wide);
    }
}
#else
ASSAY_INLINE void pack_parts(const float *x, int64_t stride, int rows, int64_t k,
                             const float *factor, int most, int use, target at, sums *s,
                             const int wide) {
    for (int64_t i = 0; i < k; i += 32) {
        const int columns = k - i >= 32 ? 32 : (int)(k - i);
        const target first = at;
        float turned[32 * 16];
        assay_turn(x + i, stride, rows, columns, turned, 16);
        for (int j = 0; j < columns; j += 4, advance(&at, 2)) {
            const float *four[4];
            for (int u = 0; u < 4; u++) four[u] = j + u < columns ? turned + (j + u) * 16 : NULL;
            pack_16(four, factor, most, use, &at, wide);
        }
        note_lines(&at, &first, (int)assay_lines(columns), s, wide);
    }
}
#endif

static void pack_row_major(const float *x, int64_t stride, int rows, int64_t k, int bits,
                           int use, const float *scales, char *panel) {
    const int most = (1 << (bits - 1)) - 1;
    assay_head *head = (assay_head *)panel;
    int32_t largest[16];
    float factor[16];
    sums s;
    if (scales) {
        take_scales(scales, rows, head, factor);
    } else {
        largest_of_rows(x, stride, rows, k, largest);
        set_scales(largest, bits, head, factor);
    }
    sums_begin(&s, assay_lines(k));
    if (assay_wide(bits))
        pack_parts(x, stride, rows, k, factor, most, use, target_of(panel, k, bits), &s, 1);
    else
        pack_parts(x, stride, rows, k, factor, most, use, target_of(panel, k, bits), &s, 0);
    sums_end(&s, head);
}

/* --- rows contiguous, k not ------------------------------------------------------------------- */

/* `panels` panels, at most MOST_GROUP, that all have sixteen lanes, of which `rows` count. */
ASSAY_INLINE void pack_k_major(const float *x, int64_t stride, int panels, int rows, int64_t k,
                               int bits, int use, const float *scales, char *panel,
                               const int wide) {
    const int64_t panel_bytes = assay_panel_bytes(k, bits);
    const int limit = (1 << (bits - 1)) - 1;
    int32_t largest[MOST_GROUP][16];
    float factor[MOST_GROUP][16];
    target at[MOST_GROUP];
    sums s[MOST_GROUP];
    for (int g = 0; g < panels && !scales;) {
        if (panels - g >= 4)
            largest_16(x + g * 16, stride, k, 4, &largest[g]), g += 4;
        else
            largest_16(x + g * 16, stride, k, 1, &largest[g]), g += 1;
    }
    for (int g = 0; g < panels; g++) {
        assay_head *head = (assay_head *)(panel + g * panel_bytes);
        if (scales)
            take_scales(scales + g * 16, rows - g * 16 < 16 ? rows - g * 16 : 16, head, factor[g]);
        else
            set_scales(largest[g], bits, head, factor[g]);
        sums_begin(&s[g], assay_lines(k));
        at[g] = target_of((char *)head, k, bits);
    }
    for (int64_t i = 0; i < k; i += 32) {
        const int columns = k - i >= 32 ? 32 : (int)(k - i);
        target first[MOST_GROUP];
        for (int g = 0; g < panels; g++) first[g] = at[g];
        for (int j = 0; j < columns; j += 4) {
            const float *line = x + (i + j) * stride;
            for (int g = 0; g < panels; g++, line += 16) {
                const float *four[4];
                for (int u = 0; u < 4; u++) four[u] = j + u < columns ? line + u * stride : NULL;
                pack_16(four, factor[g], limit, use, &at[g], wide);
                advance(&at[g], 2);
            }
        }
        for (int g = 0; g < panels; g++)
            note_lines(&at[g], &first[g], (int)assay_lines(columns), &s[g], wide);
    }
    for (int g = 0; g < panels; g++) sums_end(&s[g], (assay_head *)(panel + g * panel_bytes));
}

static void k_major_narrow(const float *x, int64_t stride, int panels, int rows, int64_t k,
                           int bits, int use, const float *scales, char *panel) {
    pack_k_major(x, stride, panels, rows, k, bits, use, scales, panel, 0);
}
static void k_major_wide(const float *x, int64_t stride, int panels, int rows, int64_t k, int bits,
                         int use, const float *scales, char *panel) {
    pack_k_major(x, stride, panels, rows, k, bits, use, scales, panel, 1);
}

/* --- any source ------------------------------------------------------------------------------- */

void assay_pack_panels(const assay_rows *source, int64_t batch, int64_t rows, int64_t panel0,
                       int64_t panels, int64_t k, int bits, int use, char *packed) {
    const int64_t panel_bytes = assay_panel_bytes(k, bits);
    const int64_t end = rows < (panel0 + panels) * 16 ? rows : (panel0 + panels) * 16;
    for (int64_t row0 = panel0 * 16, count; row0 < end; row0 += count) {
        count = assay_rows_at_once(source, end - row0, 16);
        const assay_block b = assay_take_rows(source, batch, row0, count, 16, k);
        const int group = (int)(count + 15) / 16;
        const float *scales = NULL;
        if (source->scales) scales = source->scales + batch * source->scale_batch_stride + row0;
        if (b.k_major)
            (assay_wide(bits) ? k_major_wide : k_major_narrow)(b.x, b.stride, group, (int)count, k,
                                                               bits, use, scales, packed);
        else
            pack_row_major(b.x, b.stride, (int)count, k, bits, use, scales, packed);
        packed += group * panel_bytes;
    }
}
