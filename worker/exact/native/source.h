/* Where the rows of a product stand, or a copy of them. Internal. */
#ifndef ASSAY_SOURCE_H
#define ASSAY_SOURCE_H

#include "packed.h"
#include "pool.h"

#define ASSAY_GROUP 128 /* k-major rows taken at once, to use whole cache lines */

/* Element i of row r is x[r * stride + i], or x[i * stride + r] if k_major. */
typedef struct assay_block {
    const float *x;
    int64_t stride;
    int k_major;
} assay_block;

ASSAY_INLINE int assay_is_k_major(const assay_rows *source) {
    return source->load ? source->k_major : source->row_stride == 1 && source->k_stride != 1;
}

/* How many rows to take at once where `left` are left: whole panels of `width`, or fewer rows than
   one panel has. */
ASSAY_INLINE int64_t assay_rows_at_once(const assay_rows *source, int64_t left, int64_t width) {
    if (left < width) return left;
    if (!assay_is_k_major(source)) return width;
    return left < ASSAY_GROUP ? left / width * width : ASSAY_GROUP;
}

/* `count` rows from row0 on, as many as assay_rows_at_once says. Zeros follow fewer than a panel's if
   they are k_major. Uses thread memory slot 0. */
ASSAY_INLINE assay_block assay_take_rows(const assay_rows *source, int64_t batch, int64_t row0,
                                         int64_t count, int64_t width, int64_t k) {
    const int k_major = assay_is_k_major(source), some = k_major && count < width;
    const int64_t row_ld = (k + 15) / 16 * 16 + 16, strides = source->row_stride;
    const int64_t stride = !k_major ? row_ld : some ? width : count;
    const int64_t size = k_major ? stride * k : count * row_ld;
    float *copy = NULL;
    if (source->load || some || (!k_major && source->k_stride != 1 && k > 1))
        copy = assay_thread_memory(0, (size_t)(size + 16) * sizeof(float));
    if (some) memset(copy, 0, (size_t)size * sizeof(float));
    if (source->load) {
        source->load(source->context, batch, row0, count, 0, k, copy, stride);
        return (assay_block){copy, stride, k_major};
    }
    const float *x = source->data + batch * source->batch_stride + row0 * strides;
    if (!copy) return (assay_block){x, k_major ? source->k_stride : strides, k_major};
    for (int64_t i = 0; i < k; i++)
        for (int64_t r = 0; r < count; r++)
            copy[k_major ? i * stride + r : r * stride + i] = x[r * strides + i * source->k_stride];
    return (assay_block){copy, stride, k_major};
}

#if ASSAY_VECTOR != 64
/* out[j * width + r] is element j of row r of 16, of which `rows` are there: `columns` elements. */
ASSAY_INLINE void assay_turn(const float *x, int64_t stride, int rows, int columns, float *out,
                             const int width) {
    int r = 0;
#if defined(__SSE2__) && !defined(ASSAY_PORTABLE)
    for (; r + 4 <= rows; r += 4) {
        const float *row = x + r * stride;
        int j = 0;
        for (; j + 4 <= columns; j += 4) {
            __m128 a = _mm_loadu_ps(row + j), b = _mm_loadu_ps(row + stride + j);
            __m128 c = _mm_loadu_ps(row + 2 * stride + j), d = _mm_loadu_ps(row + 3 * stride + j);
            _MM_TRANSPOSE4_PS(a, b, c, d);
            _mm_storeu_ps(out + j * width + r, a);
            _mm_storeu_ps(out + (j + 1) * width + r, b);
            _mm_storeu_ps(out + (j + 2) * width + r, c);
            _mm_storeu_ps(out + (j + 3) * width + r, d);
        }
        for (; j < columns; j++)
            for (int i = 0; i < 4; i++) out[j * width + r + i] = row[i * stride + j];
    }
#endif
    for (; r < 16; r++)
        for (int j = 0; j < columns; j++) out[j * width + r] = r < rows ? x[r * stride + j] : 0;
}
#endif

#endif
