/* Rows' scales, and the greatest magnitudes that they come from. Internal. */
#ifndef ASSAY_SCALES_H
#define ASSAY_SCALES_H

#include "packed.h"

typedef struct bounds {
    int least, most, some;
} bounds;

/* Zero rows count with 2^0: results of 0 need no bounds, but the product of scales does. */
ASSAY_INLINE void set_bounds(assay_head *head, const bounds *b) {
    head->least = b->least < 0 ? b->least : 0;
    head->most = b->most > 0 ? b->most : 0;
}

ASSAY_INLINE void widen(bounds *b, int exponent) {
    if (!b->some || exponent < b->least) b->least = exponent;
    if (!b->some || exponent > b->most) b->most = exponent;
    b->some = 1;
}

/* From the greatest magnitudes' bit patterns: the head's scales, and what to multiply with. */
ASSAY_INLINE void set_scales(const int32_t *largest, int bits, assay_head *head, float *factor) {
    bounds b = {0};
    for (int r = 0; r < 16; r++) {
        int e = assay_row_scale(largest[r], bits, &head->scale[r], &factor[r]);
        if (largest[r] && largest[r] < 0x7f800000) widen(&b, e);
    }
    set_bounds(head, &b);
}

/* The same where the scales are known and the elements are integers. */
ASSAY_INLINE void take_scales(const float *scales, int rows, assay_head *head, float *factor) {
    bounds b = {0};
    for (int r = 0; r < 16; r++) {
        int32_t pattern;
        head->scale[r] = factor[r] = 1;
        if (r >= rows) continue;
        memcpy(&pattern, scales + r, 4);
        if ((pattern & 0x7fffffff) > 0x7f800000) {
            memcpy(&head->scale[r], &(uint32_t){0x7fc00000}, 4);
            factor[r] = 0;
        } else {
            head->scale[r] = scales[r];
            widen(&b, (pattern >> 23) - 127);
        }
    }
    set_bounds(head, &b);
}

/* --- greatest magnitudes, as bit patterns ----------------------------------------------------- */

#if ASSAY_VECTOR == 64
/* v[i] lane j becomes v[j] lane i. */
ASSAY_INLINE void transpose(__m512i v[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

ASSAY_INLINE void largest_of_rows(const float *x, int64_t stride, int rows, int64_t k, int32_t *out) {
    const __m512i mask = _mm512_set1_epi32(0x7fffffff);
    const int64_t ahead = k >= 512 ? 2 : k >= 128 ? 4 : 8;
    __m512i most[16];
    for (int r = 0; r < 16; r++) most[r] = _mm512_setzero_si512();
    for (int r = 0; r < rows; r++) {
        const float *row = x + r * stride;
        __m512i a = _mm512_setzero_si512(), b = a;
        const float *later = row + ahead * stride; /* rows may be pages apart: ask for them early */
        int64_t i = 0;
        for (; i + 32 <= k; i += 32) {
            __builtin_prefetch(later + i);
            __builtin_prefetch(later + i + 16);
            a = _mm512_max_epi32(a, _mm512_and_si512(mask, _mm512_loadu_si512(row + i)));
            b = _mm512_max_epi32(b, _mm512_and_si512(mask, _mm512_loadu_si512(row + i + 16)));
        }
        for (; i < k; i += 16) {
            __mmask16 some = k - i >= 16 ? 0xffff : (__mmask16)((1u << (k - i)) - 1);
            a = _mm512_max_epi32(
                a, _mm512_and_si512(mask, _mm512_maskz_loadu_epi32(some, row + i)));
        }
        most[r] = _mm512_max_epi32(a, b);
    }
    transpose(most);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) most[i] = _mm512_max_epi32(most[i], most[i + half]);
    _mm512_storeu_si512(out, most[0]);
}

/* The greatest magnitudes of `panels` panels, at most four. */
ASSAY_INLINE void largest_16(const float *x, int64_t stride, int64_t k, const int panels,
                             int32_t most[][16]) {
    const __m512i mask = _mm512_set1_epi32(0x7fffffff);
    __m512i m[4];
    for (int g = 0; g < panels; g++) m[g] = _mm512_setzero_si512();
    for (int64_t i = 0; i < k; i++, x += stride)
        for (int g = 0; g < panels; g++)
            m[g] = _mm512_max_epi32(m[g], _mm512_and_si512(mask, _mm512_loadu_si512(x + g * 16)));
    for (int g = 0; g < panels; g++) _mm512_storeu_si512(most[g], m[g]);
}
#else
ASSAY_INLINE assay_i32s chosen(assay_i32s mask, assay_i32s a, assay_i32s b) {
    return (a & mask) | (b & ~mask);
}

/* Of sixteen rows with k contiguous, of which `rows` are there. */
ASSAY_INLINE void largest_of_rows(const float *x, int64_t stride, int rows, int64_t k, int32_t *out) {
    for (int r = 0; r < 16; r++) {
        const float *row = x + r * stride;
        assay_i32s a = {0}, b = {0};
        int32_t most = 0, of_lanes[ASSAY_WIDTH];
        int64_t i = 0;
        for (; r < rows && i + 2 * ASSAY_WIDTH <= k; i += 2 * ASSAY_WIDTH) {
            const assay_i32s u = assay_load(row + i) & 0x7fffffff;
            const assay_i32s v = assay_load(row + i + ASSAY_WIDTH) & 0x7fffffff;
            a = chosen(u > a, u, a);
            b = chosen(v > b, v, b);
        }
        assay_store(of_lanes, chosen(a > b, a, b));
        for (int lane = 0; lane < ASSAY_WIDTH; lane++)
            most = of_lanes[lane] > most ? of_lanes[lane] : most;
        for (; r < rows && i < k; i++) {
            int32_t m;
            memcpy(&m, row + i, sizeof m);
            m &= 0x7fffffff;
            most = m > most ? m : most;
        }
        out[r] = most;
    }
}

/* The greatest magnitudes of `panels` panels, at most four. */
ASSAY_INLINE void largest_16(const float *x, int64_t stride, int64_t k, const int panels,
                             int32_t most[][16]) {
    assay_i32s m[4][ASSAY_PARTS];
    memset(m, 0, sizeof m);
    for (int64_t i = 0; i < k; i++, x += stride)
        for (int g = 0; g < panels; g++)
            for (int p = 0; p < ASSAY_PARTS; p++) {
                assay_i32s a = assay_load(x + g * 16 + p * ASSAY_WIDTH) & 0x7fffffff;
                m[g][p] = chosen(a > m[g][p], a, m[g][p]);
            }
    memcpy(most, m, sizeof m[0] * (size_t)panels);
}
#endif

#endif
