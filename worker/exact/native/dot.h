/* The exact product of rows (see worker/exact/reference.py for its definition) in native code.

   Every row of f32 a [batch, m, k] by every row of f32 b [batch, n, k], at 2 <= bits <= 20,
   k <= ASSAY_LONGEST_ROW and k * 2^(2 * (bits - 1)) < 2^53. The bits of the result depend on nothing else: not on the processor, the
   threads or the strides. Nothing here checks its arguments. */
#ifndef ASSAY_DOT_H
#define ASSAY_DOT_H

#include <stddef.h>
#include <stdint.h>

#define ASSAY_LONGEST_ROW (1 << 20)

/* Where rows come from. With `load` NULL, element (batch, row, k) is
   data[batch * batch_stride + row * row_stride + k * k_stride]; a stride may be 0 or negative, and
   one of row_stride and k_stride should be 1. Otherwise load() fills
   dst[i * ld + j] with element (batch, row0 + i, k0 + j), or, if k_major, dst[j * ld + i]; it is
   called from any thread. A batch_stride of 0 with no `load` says that all batches are the same.
   With `scales`, the elements are integers below 2^(bits-1) in magnitude already, and row r of a
   batch has the scale scales[batch * scale_batch_stride + r]: a power of two that is a normal f32, or
   NaN for a row that is not finite. */
typedef struct assay_rows {
    const float *data;
    int64_t batch_stride, row_stride, k_stride;
    void (*load)(const void *context, int64_t batch, int64_t row0, int64_t rows, int64_t k0,
                 int64_t ks, float *dst, int64_t ld);
    const void *context;
    int k_major;
    const float *scales;
    int64_t scale_batch_stride;
} assay_rows;

/* Bytes of memory, aligned to 64, that assay_dot needs as `scratch`. */
size_t assay_dot_scratch(const assay_rows *a, const assay_rows *b, int64_t batch, int64_t m,
                         int64_t n, int64_t k, int bits);

/* c[batch * c_batch + i * c_row + j * c_column] = dot(a[batch, i], b[batch, j]), any order of axes;
   fast where c_row or c_column is 1. */
void assay_dot(const assay_rows *a, const assay_rows *b, float *c, int64_t batch, int64_t m,
               int64_t n, int64_t k, int64_t c_batch, int64_t c_row, int64_t c_column, int bits,
               void *scratch);

/* assay_dot with scratch of its own, for ctypes. sizes: batch, m, n, k; strides: c's batch, row,
   column. Returns 0, or -1 when there is no memory. */
int assay_dot_alone(const assay_rows *a, const assay_rows *b, float *c, const int64_t sizes[4],
                    const int64_t strides[3], int bits);

#endif
