/* exp, log, tanh, erf, sin, cos of a float; see transcendental.py for the formulas and errors. */
#ifndef AX_TRANSCENDENTAL_H
#define AX_TRANSCENDENTAL_H

#include "bits.h"

#define AX_HORNER3(c, x) (((c)[0] * (x) + (c)[1]) * (x) + (c)[2])
#define AX_HORNER5(c, x) ((AX_HORNER3(c, x) * (x) + (c)[3]) * (x) + (c)[4])
#define AX_HORNER7(c, x) ((AX_HORNER5(c, x) * (x) + (c)[5]) * (x) + (c)[6])

static inline float ax_with_sign_of(float magnitude, float x) {
    return ax_float((ax_bits(magnitude) & AX_MAGNITUDE) | (ax_bits(x) & AX_SIGN));
}

static inline float ax_exp_f32(float x) {
    x = AX_EXP_LOW > x ? AX_EXP_LOW : x; /* written so that NaN stays */
    x = AX_EXP_HIGH < x ? AX_EXP_HIGH : x;
    float shifted = x * AX_LOG2_E + AX_ROUND_MAGIC;
    int32_t exponent = (int32_t)(ax_bits(shifted) - AX_ROUND_MAGIC_BITS);
    float n = shifted - AX_ROUND_MAGIC;
    float high = x - n * AX_LN2_HIGH;
    float low = n * AX_LN2_LOW;
    float r = high - low;
    float q = AX_HORNER5(AX_EXP_Q, r);
    float tail = r * r * q - low;
    float y = high + tail + 1.0f;
    /* exponent is in [-150, 128], too wide for one power of two; the first product is exact. */
    int32_t half = exponent >> 1;
    int32_t rest = (int32_t)((uint32_t)exponent - (uint32_t)half);
    y *= ax_float(((uint32_t)half + 127u) << 23);
    return y * ax_float(((uint32_t)rest + 127u) << 23);
}

static inline float ax_log_f32(float x) {
    /* Negative numbers count as subnormal too: they end as NaN whatever happens. */
    int32_t subnormal = (int32_t)ax_bits(x) < 0x00800000;
    float scaled = x * AX_TWO_23;
    scaled = subnormal ? scaled : x;
    int32_t offset = (int32_t)(ax_bits(scaled) - AX_SQRT_HALF_BITS);
    int32_t k = (offset >> 23) - (subnormal ? 23 : 0);
    float f = ax_float(((uint32_t)offset & AX_MANTISSA) + AX_SQRT_HALF_BITS) - 1.0f;
    float s = f / (f + 2.0f);
    float z = s * s;
    float p = AX_HORNER3(AX_LOG_P, z);
    float half_square = f * 0.5f * f;
    float n = (float)k;
    float tail = (p * z + half_square) * s + n * AX_LN2_LOW;
    float y = n * AX_LN2_HIGH + (f - (half_square - tail));
    y = x < __builtin_inff() ? y : x;
    y = x < 0.0f ? ax_float(AX_NAN_BITS) : y;
    return x == 0.0f ? -__builtin_inff() : y;
}

static inline float ax_tanh_f32(float x) {
    float a = __builtin_fabsf(x);
    float z = a * a;
    float small = AX_HORNER5(AX_TANH_P, z) * z * a + a;
    float large = 1.0f - 2.0f / (ax_exp_f32(a + a) + 1.0f);
    return ax_with_sign_of(a < AX_TANH_SMALL ? small : large, x);
}

static inline float ax_erf_f32(float x) {
    float a = __builtin_fabsf(x);
    float z = a * a;
    float small = AX_HORNER7(AX_ERF_P, z) * a + a;
    float b = AX_ERF_END < a ? AX_ERF_END : a;
    float large = 1.0f - ax_exp_f32(AX_HORNER7(AX_ERF_Q, b) * b);
    return ax_with_sign_of(a < 1.0f ? small : large, x);
}

/* ---- sin, cos; see trigonometric.py ------------------------------------------------------------ */

/* sin(a + quarters * pi / 2) of a >= +0. The reduction is made for all a, in 64-bit integers. */
static inline float ax_sine(float a, int32_t quarters) {
    uint32_t bits = ax_bits(a);
    int32_t field = (int32_t)(bits >> 23) - AX_FIRST_FIELD;
    field = field < 0 ? 0 : field;
    field = field > AX_FIELDS - 1 ? AX_FIELDS - 1 : field;
    uint64_t m = (bits & AX_MANTISSA) | 0x00800000u;
    /* Wraps modulo 2^64, which is four quarter turns; f is the fraction in units of 2^-62. */
    uint64_t turned = AX_WINDOW_HIGH[field] * m + (AX_WINDOW_LOW[field] * m >> 32) + (1ull << 61);
    int32_t n = (int32_t)(turned >> 62);
    int64_t f = (int64_t)(turned & ((1ull << 62) - 1)) - ((int64_t)1 << 61);
    int64_t v = (f >> 31) * AX_HALF_PI + ((f & 0x7fffffff) * AX_HALF_PI >> 31);
    float whole = (float)v;
    float rest = (float)(v - (int64_t)whole);

    int direct = bits <= AX_QUARTER_PI_BITS;
    n = (direct ? 0 : n) + quarters;
    float r = direct ? a : whole * AX_UNIT_62;
    float low = direct ? 0.0f : rest * AX_UNIT_62;
    float z = r * r;
    float sine = AX_HORNER3(AX_SIN_P, z) * z * r + low + r;
    float tail = AX_HORNER3(AX_COS_P, z) * z * z - low * r;
    float cosine = 1.0f - (z * 0.5f - tail);
    float y = n & 1 ? cosine : sine;
    y = ax_float(ax_bits(y) ^ ((uint32_t)(n & 2) << 30));
    return bits < AX_INF_BITS ? y : ax_float(AX_NAN_BITS);
}

static inline float ax_sin_f32(float x) {
    float y = ax_sine(__builtin_fabsf(x), 0);
    return ax_float(ax_bits(y) ^ (ax_bits(x) & AX_SIGN));
}

static inline float ax_cos_f32(float x) { return ax_sine(__builtin_fabsf(x), 1); }

#endif
