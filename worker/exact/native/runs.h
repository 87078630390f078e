/* Runs of elements for loaders (see dot.h), which are made for a program. */
#ifndef ASSAY_RUNS_H
#define ASSAY_RUNS_H

#include "lanes.h"

#if ASSAY_VECTOR == 64
/* As many bits as are left of 64 elements, the lowest first. */
ASSAY_INLINE uint64_t assay_bits_left(int64_t left) {
    return left >= 64 ? ~0ull : left <= 0 ? 0 : (1ull << left) - 1;
}
#endif

/* dst[v] = src[v] for v in [low, high), 0 <= low <= high <= run, and `fill` for the rest of
   [0, run). Reads nothing of src beyond [low, high). */
ASSAY_INLINE void assay_run(float *restrict dst, const float *restrict src, int64_t run,
                            int64_t low, int64_t high, float fill) {
#if ASSAY_VECTOR == 64
    const __m512 other = _mm512_set1_ps(fill);
    for (int64_t from = 0; from < run; from += 64) {
        uint64_t all = assay_bits_left(run - from);
        uint64_t some = assay_bits_left(high - from) & ~assay_bits_left(low - from);
        for (int64_t v = from; all; v += 16, all >>= 16, some >>= 16) {
            __m512 x = _mm512_mask_loadu_ps(other, (__mmask16)some, src + v);
            _mm512_mask_storeu_ps(dst + v, (__mmask16)all, x);
        }
    }
#else
    for (int64_t v = 0; v < low; v++) dst[v] = fill;
    for (int64_t v = low; v < high; v++) dst[v] = src[v];
    for (int64_t v = high; v < run; v++) dst[v] = fill;
#endif
}

#endif
