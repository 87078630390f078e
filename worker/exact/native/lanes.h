/* Sixteen 32-bit lanes, in the widest registers that the compiler was told of. Internal. */
#ifndef ASSAY_LANES_H
#define ASSAY_LANES_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512BW__) && !defined(ASSAY_PORTABLE)
#include <immintrin.h>
#define ASSAY_VECTOR 64
#elif defined(__AVX2__) && !defined(ASSAY_PORTABLE)
#include <immintrin.h>
#define ASSAY_VECTOR 32
#else
#define ASSAY_VECTOR 16
#if defined(__SSE2__) && !defined(ASSAY_PORTABLE)
#include <emmintrin.h>
#endif
#endif

#define ASSAY_LANES 16
#define ASSAY_PARTS (64 / ASSAY_VECTOR) /* registers that hold sixteen lanes */
#define ASSAY_INLINE static inline __attribute__((always_inline, unused))

typedef int32_t assay_i32s __attribute__((vector_size(ASSAY_VECTOR)));
typedef uint32_t assay_u32s __attribute__((vector_size(ASSAY_VECTOR)));
typedef float assay_f32s __attribute__((vector_size(ASSAY_VECTOR)));
#define ASSAY_WIDTH (ASSAY_VECTOR / 4)

ASSAY_INLINE assay_i32s assay_load(const void *p) {
    assay_i32s v;
    memcpy(&v, p, sizeof v);
    return v;
}

ASSAY_INLINE void assay_store(void *p, assay_i32s v) { memcpy(p, &v, sizeof v); }

ASSAY_INLINE assay_i32s assay_all(int32_t x) { return x - (assay_i32s){0}; }

/* total + low(a) * low(b) + high(a) * high(b) of signed 16-bit halves, wrapping. */
ASSAY_INLINE assay_i32s assay_pairs(assay_i32s total, assay_i32s a, assay_i32s b) {
#if ASSAY_VECTOR == 64
#ifdef __AVX512VNNI__
    return (assay_i32s)_mm512_dpwssd_epi32((__m512i)total, (__m512i)a, (__m512i)b);
#else
    assay_u32s sum = (assay_u32s)_mm512_madd_epi16((__m512i)a, (__m512i)b);
    return (assay_i32s)((assay_u32s)total + sum);
#endif
#elif ASSAY_VECTOR == 32
#if defined(__AVXVNNI__)
    return (assay_i32s)_mm256_dpwssd_avx_epi32((__m256i)total, (__m256i)a, (__m256i)b);
#else
    assay_u32s sum = (assay_u32s)_mm256_madd_epi16((__m256i)a, (__m256i)b);
    return (assay_i32s)((assay_u32s)total + sum);
#endif
#elif defined(__SSE2__) && !defined(ASSAY_PORTABLE)
    assay_u32s sum = (assay_u32s)_mm_madd_epi16((__m128i)a, (__m128i)b);
    return (assay_i32s)((assay_u32s)total + sum);
#else
    assay_i32s low_a = (assay_i32s)((assay_u32s)a << 16) >> 16;
    assay_i32s low_b = (assay_i32s)((assay_u32s)b << 16) >> 16;
    assay_i32s low = low_a * low_b, high = (a >> 16) * (b >> 16);
    return (assay_i32s)((assay_u32s)total + (assay_u32s)low + (assay_u32s)high);
#endif
}

/* Whether products are fewer and sums more: see packed.h. AMD's processors since Zen 4 add vectors at
   twice the rate at which they multiply (compilers that do not know them say Zen 3 with VNNI), Zen 1
   and 2 at three times; those with one rate for both lose by it. Tests ask for it anywhere. */
#ifndef ASSAY_SUMS
#if defined(ASSAY_PORTABLE) || \
    (ASSAY_VECTOR == 64 && defined(__AVX512VNNI__) && \
     (defined(__znver3__) || defined(__znver4__) || defined(__znver5__))) || \
    (ASSAY_VECTOR == 32 && (defined(__znver1__) || defined(__znver2__)))
#define ASSAY_SUMS 1
#else
#define ASSAY_SUMS 0
#endif
#endif

typedef uint16_t assay_u16s __attribute__((vector_size(ASSAY_VECTOR)));

/* Sums of 16-bit halves. */
ASSAY_INLINE assay_i32s assay_add_pairs(assay_i32s a, assay_i32s b) {
    return (assay_i32s)((assay_u16s)a + (assay_u16s)b);
}

/* total + the sum of u[i] * s[i] over the four unsigned bytes of u and signed ones of s; where
   ASSAY_QUADS says that the processor has this, at twice the elements of assay_pairs. */
#if ASSAY_VECTOR == 64 && defined(__AVX512VNNI__)
#define ASSAY_QUADS 1
ASSAY_INLINE assay_i32s assay_quads(assay_i32s total, assay_i32s u, assay_i32s s) {
    return (assay_i32s)_mm512_dpbusd_epi32((__m512i)total, (__m512i)u, (__m512i)s);
}
#elif ASSAY_VECTOR == 32 && defined(__AVXVNNI__)
#define ASSAY_QUADS 1
ASSAY_INLINE assay_i32s assay_quads(assay_i32s total, assay_i32s u, assay_i32s s) {
    return (assay_i32s)_mm256_dpbusd_avx_epi32((__m256i)total, (__m256i)u, (__m256i)s);
}
#elif defined(ASSAY_PORTABLE) /* for tests: what goes with bytes is held to the integers everywhere */
#define ASSAY_QUADS 1
ASSAY_INLINE assay_i32s assay_quads(assay_i32s total, assay_i32s u, assay_i32s s) {
    for (int byte = 0; byte < 4; byte++) {
        const assay_i32s unsigned_byte = u >> 8 * byte & 255;
        const assay_i32s signed_byte = (assay_i32s)((assay_u32s)s << (24 - 8 * byte)) >> 24;
        total = (assay_i32s)((assay_u32s)total + (assay_u32s)(unsigned_byte * signed_byte));
    }
    return total;
}
#else
#define ASSAY_QUADS 0
ASSAY_INLINE assay_i32s assay_quads(assay_i32s total, assay_i32s u, assay_i32s s) {
    return assay_pairs(total, u, s); /* lo has lines of pairs, as all have */
}
#endif

#endif
