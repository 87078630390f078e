/* Products of up to eight rows with many: bound by the memory of the many, so these are read once,
   and neither reordered nor written. For the widest registers only; others take the common way. */
#include "skinny.h"

#include "packed.h"
#include "pool.h"

#if ASSAY_VECTOR == 64
#define TASK_ROWS 32
#define RUN 16 /* blocks of 32 elements: 2 products a lane each, so 32 * 8191^2 < 2^31 at most */

typedef struct skinny {
    const assay_rows *few, *many;
    float *c;
    int64_t few_rows, many_rows, k, c_few, c_many;
    int bits;
    int16_t *integers; /* of the few: a row after the other, each a multiple of 32 */
    double *doubles;   /* the same where they are wide */
    double scales[8];
} skinny;

ASSAY_INLINE __mmask16 lanes_left(int64_t left) {
    return left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
}

/* 32 integers, in an order that depends on the instructions alone. */
ASSAY_INLINE __m512i block(const float *x, int64_t left, __m512 factor, __m512i limit) {
    __m512 a, b;
    if (left >= 32) {
        a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    } else {
        a = _mm512_maskz_loadu_ps(lanes_left(left), x);
        b = _mm512_maskz_loadu_ps(lanes_left(left - 16), x + 16);
    }
    __m512i q = _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(a, factor)),
                                   _mm512_cvtps_epi32(_mm512_mul_ps(b, factor)));
    q = _mm512_min_epi16(q, limit);
    return _mm512_max_epi16(q, _mm512_sub_epi16(_mm512_setzero_si512(), limit));
}

/* The bit pattern of the row's greatest magnitude. */
static int32_t largest(const float *x, int64_t k, const float *later) {
    const __m512i mask = _mm512_set1_epi32(0x7fffffff);
    __m512i a = _mm512_setzero_si512(), b = a;
    int64_t i = 0;
    for (; i + 32 <= k; i += 32) {
        __builtin_prefetch(later + i);
        __builtin_prefetch(later + i + 16);
        a = _mm512_max_epi32(a, _mm512_and_si512(mask, _mm512_loadu_si512(x + i)));
        b = _mm512_max_epi32(b, _mm512_and_si512(mask, _mm512_loadu_si512(x + i + 16)));
    }
    for (; i < k; i += 16) {
        __m512i v = _mm512_maskz_loadu_epi32(lanes_left(k - i), x + i);
        a = _mm512_max_epi32(a, _mm512_and_si512(mask, v));
    }
    return _mm512_reduce_max_epi32(_mm512_max_epi32(a, b));
}

ASSAY_INLINE void products(const skinny *s, const float *x, __m512 factor, __m512i limit,
                           const int M, int64_t *totals) {
    const int64_t width = (s->k + 31) / 32 * 32;
    __m512i total[8];
    for (int m = 0; m < M; m++) total[m] = _mm512_setzero_si512();
    for (int64_t i = 0; i < s->k;) {
        __m512i sum[8];
        for (int m = 0; m < M; m++) sum[m] = _mm512_setzero_si512();
        for (int run = 0; run < RUN && i < s->k; run++, i += 32) {
            __m512i q = block(x + i, s->k - i, factor, limit);
            for (int m = 0; m < M; m++) {
                __m512i a = _mm512_loadu_si512(s->integers + m * width + i);
                sum[m] = (__m512i)assay_pairs((assay_i32s)sum[m], (assay_i32s)q, (assay_i32s)a);
            }
        }
        for (int m = 0; m < M; m++) {
            __m256i low = _mm512_castsi512_si256(sum[m]);
            __m256i high = _mm512_extracti64x4_epi64(sum[m], 1);
            total[m] = _mm512_add_epi64(total[m], _mm512_cvtepi32_epi64(low));
            total[m] = _mm512_add_epi64(total[m], _mm512_cvtepi32_epi64(high));
        }
    }
    for (int m = 0; m < M; m++) totals[m] = _mm512_reduce_add_epi64(total[m]);
}

/* Integers of more than 14 bits: f64 holds their products, and sums of products, exactly. */
ASSAY_INLINE void sixteen(const float *x, int64_t left, __m512 factor, __m512 limit, __m512d q[2]) {
    __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes_left(left), x), factor);
    v = _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    v = _mm512_max_ps(_mm512_min_ps(v, limit), _mm512_sub_ps(_mm512_setzero_ps(), limit));
    q[0] = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    q[1] = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
}

ASSAY_INLINE void wide(const skinny *s, const float *x, float factor, float limit, const int M,
                       double *totals) {
    const int64_t width = (s->k + 31) / 32 * 32;
    const __m512 f = _mm512_set1_ps(factor), most = _mm512_set1_ps(limit);
    __m512d sum[8][2], q[2];
    for (int m = 0; m < M; m++) sum[m][0] = sum[m][1] = _mm512_setzero_pd();
    for (int64_t i = 0; i < s->k; i += 16) {
        sixteen(x + i, s->k - i, f, most, q);
        for (int m = 0; m < M; m++) {
            const double *a = s->doubles + m * width + i;
            sum[m][0] = _mm512_fmadd_pd(q[0], _mm512_loadu_pd(a), sum[m][0]);
            sum[m][1] = _mm512_fmadd_pd(q[1], _mm512_loadu_pd(a + 8), sum[m][1]);
        }
    }
    for (int m = 0; m < M; m++)
        totals[m] = _mm512_reduce_add_pd(_mm512_add_pd(sum[m][0], sum[m][1]));
}

#define PRODUCTS(M)                                                                              \
    static void products_##M(const skinny *s, const float *x, __m512 f, __m512i l, int64_t *t) { \
        products(s, x, f, l, M, t);                                                              \
    }                                                                                            \
    static void wide_##M(const skinny *s, const float *x, float f, float l, double *t) {         \
        wide(s, x, f, l, M, t);                                                                  \
    }
PRODUCTS(1) PRODUCTS(2) PRODUCTS(4) PRODUCTS(8)

/* By the number of few rows that there is memory for. */
#define WHICH(kind, rows) \
    ((rows) == 1 ? kind##_1 : (rows) == 2 ? kind##_2 : (rows) <= 4 ? kind##_4 : kind##_8)

static void task(void *context, int64_t index) {
    const skinny *s = context;
    const int most = (1 << (s->bits - 1)) - 1;
    const __m512i limit = _mm512_set1_epi16((short)((1 << (s->bits - 1)) - 1));
    const int64_t ahead = s->k >= 512 ? 2 : s->k >= 128 ? 4 : 8;
    int64_t end = (index + 1) * TASK_ROWS < s->many_rows ? (index + 1) * TASK_ROWS : s->many_rows;
    for (int64_t r = index * TASK_ROWS; r < end; r++) {
        const float *x = s->many->data + r * s->many->row_stride;
        float scale, factor;
        int64_t totals[8];
        assay_row_scale(largest(x, s->k, x + ahead * s->many->row_stride), s->bits, &scale,
                        &factor);
        double sums[8];
        if (assay_wide(s->bits)) {
            WHICH(wide, s->few_rows)(s, x, factor, (float)most, sums);
        } else {
            WHICH(products, s->few_rows)(s, x, _mm512_set1_ps(factor), limit, totals);
            for (int m = 0; m < s->few_rows; m++) sums[m] = (double)totals[m];
        }
        for (int m = 0; m < s->few_rows; m++)
            s->c[m * s->c_few + r * s->c_many] =
                (float)(sums[m] * s->scales[m] * (double)scale);
    }
}

/* A task too, since tasks see the processor's default state. */
static void take_few(void *context, int64_t index) {
    skinny *s = context;
    const int64_t width = (s->k + 31) / 32 * 32;
    const __m512i limit = _mm512_set1_epi16((short)((1 << (s->bits - 1)) - 1));
    (void)index;
    for (int64_t r = 0; r < s->few_rows; r++) {
        const float *x = s->few->data + r * s->few->row_stride;
        float scale, factor;
        assay_row_scale(largest(x, s->k, x), s->bits, &scale, &factor);
        s->scales[r] = scale;
        for (int64_t i = 0; i < s->k && assay_wide(s->bits); i += 16) {
            const __m512 most = _mm512_set1_ps((float)((1 << (s->bits - 1)) - 1));
            __m512d q[2];
            sixteen(x + i, s->k - i, _mm512_set1_ps(factor), most, q);
            _mm512_storeu_pd(s->doubles + r * width + i, q[0]);
            _mm512_storeu_pd(s->doubles + r * width + i + 8, q[1]);
        }
        for (int64_t i = 0; i < s->k && !assay_wide(s->bits); i += 32)
            _mm512_storeu_si512(s->integers + r * width + i,
                                block(x + i, s->k - i, _mm512_set1_ps(factor), limit));
    }
}

int assay_skinny(const assay_rows *few, int64_t few_rows, const assay_rows *many,
                 int64_t many_rows, float *c, int64_t k, int64_t c_few, int64_t c_many, int bits) {
    if (few_rows > 8 || many_rows < 16 || few->load || many->load || few->scales || many->scales)
        return 0;
    if (few->k_stride != 1 || many->k_stride != 1 || k < 1) return 0;
    const int64_t held = few_rows > 4 ? 8 : few_rows > 2 ? 4 : few_rows;
    const size_t each = assay_wide(bits) ? sizeof(double) : sizeof(int16_t);
    const size_t bytes = (size_t)(held * ((k + 31) / 32 * 32)) * each;
    void *memory = assay_thread_memory(3, bytes);
    skinny s = {.few = few, .many = many, .c = c, .few_rows = few_rows, .many_rows = many_rows,
                .k = k, .c_few = c_few, .c_many = c_many, .bits = bits,
                .integers = memory, .doubles = memory};
    memset(memory, 0, bytes);
    assay_parallel(take_few, &s, 1);
    assay_parallel(task, &s, (many_rows + TASK_ROWS - 1) / TASK_ROWS);
    return 1;
}
#else
int assay_skinny(const assay_rows *few, int64_t few_rows, const assay_rows *many,
                 int64_t many_rows, float *c, int64_t k, int64_t c_few, int64_t c_many, int bits) {
    (void)few, (void)few_rows, (void)many, (void)many_rows, (void)c, (void)k, (void)c_few;
    (void)c_many, (void)bits;
    return 0;
}
#endif
