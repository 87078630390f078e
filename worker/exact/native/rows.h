/* Rows: exponent, quantise, finish; see rows.py. */
#ifndef AX_ROWS_H
#define AX_ROWS_H

#include "bits.h"

/* |x| as a bit pattern: integers whose greatest over a row is what ax_exponent takes. */
static inline uint32_t ax_magnitude(float x) { return ax_bits(x) & AX_MAGNITUDE; }

/* The exponent of a row whose greatest magnitude is this pattern: clamp(E, -96, 128) with E least
 * such that max|x| < 2^E; AX_NONFINITE if it is an infinity or a NaN. Of no elements: pass 0. */
static inline int32_t ax_exponent(uint32_t greatest) {
    int32_t biased = (int32_t)(greatest >> 23);
    int32_t e = biased - 126;
    e = e < AX_MIN_EXPONENT ? AX_MIN_EXPONENT : e;
    e = e > AX_MAX_EXPONENT ? AX_MAX_EXPONENT : e;
    return biased == 255 ? AX_NONFINITE : e;
}

/* 2^(bits-1-e), what a row's elements are multiplied with; 0 for a row that is not finite, as its
 * integers are 0. e: an exponent that a row has; bits: in [2, 31]. At its least 2^-127, subnormal. */
static inline float ax_quantise_scale(int32_t e, int32_t bits) {
    int32_t field = e == AX_NONFINITE ? 0 : 127 + bits - 1 - e;
    uint32_t power = field > 0 ? (uint32_t)field << 23 : 0x00400000u;
    return ax_float(e == AX_NONFINITE ? 0u : power);
}

/* clamp(round_half_even(x * scale), +-(2^(bits-1)-1)); 0 for an x that is not finite. */
static inline int32_t ax_quantise_scaled(float x, float scale, int32_t bits) {
    float power = (float)(1 << (bits - 1)); /* the limit itself need not be an f32 */
    int32_t limit = (1 << (bits - 1)) - 1;
    float y = __builtin_rintf(x * scale);
    y = y > power ? power : y;
    y = y < -power ? -power : y;
    int32_t q = (int32_t)(ax_finite(x) ? y : 0.0f);
    q = q > limit ? limit : q;
    return q < -limit ? -limit : q;
}

static inline int32_t ax_quantise_f32(float x, int32_t e, int32_t bits) {
    return ax_quantise_scaled(x, ax_quantise_scale(e, bits), bits);
}

/* round_f32(total * 2^n), rounded once; |total| < 2^63, n in [-300, 300]. A total too long for f64
 * is shortened to 53 bits whose last one says whether anything was cut off (rounding to odd). */
static inline float ax_finish(int64_t total, int32_t n) {
    int64_t magnitude = total < 0 ? -total : total;
    int32_t cut = magnitude >= (int64_t)1 << 53;
    int64_t shortened = (total >> 10) | ((total & 1023) != 0);
    double exact = (double)(cut ? shortened : total);
    int64_t field = (int64_t)n + 1023 + (cut ? 10 : 0);
    return (float)(exact * ax_double((uint64_t)field << 52));
}

/* round_f32(total * 2^(e-30)), of a sum of 31-bit integers; NaN for a row that is not finite. */
static inline float ax_sum_finish(int64_t total, int32_t e) {
    int32_t n = e == AX_NONFINITE ? 0 : e - 30;
    float y = ax_finish(total, n);
    return e == AX_NONFINITE ? ax_float(AX_NAN_BITS) : y;
}

/* round_f32(total * 2^(ea+eb-2(bits-1))), of a product of two rows; NaN if either is not finite. */
static inline float ax_dot_finish(int64_t total, int32_t ea, int32_t eb, int32_t bits) {
    int nonfinite = (ea == AX_NONFINITE) | (eb == AX_NONFINITE);
    int32_t n = (int32_t)((uint32_t)ea + (uint32_t)eb) - 2 * (bits - 1);
    float y = ax_finish(total, nonfinite ? 0 : n);
    return nonfinite ? ax_float(AX_NAN_BITS) : y;
}

#endif
