/* The exact scalar functions in C, one element at a time: the twin of worker/exact in torch.
 *
 * Names: ax_<name of the Map code>_<dtype of its operands>; conversions ax_convert_<from>_<to>.
 * f32 is float, i32 int32_t, i64 int64_t, bool a uint8_t that is 0 or 1.
 *
 * Each function is a fixed sequence of IEEE-754 basic operations, free of branches, so that a loop
 * over it becomes vector code. Compile with -ffp-contract=off and never with -ffast-math: each line
 * must stay one rounding. Subnormals must not be flushed.
 *
 * A result that is NaN has any sign and payload, as in the torch twin: whoever observes bits applies
 * ax_canonical first. No function's other results depend on which NaN an operand is. Keys of the
 * total order (ax_order_key) and what comes from them are canonical already.
 */
#ifndef AX_SCALAR_H
#define AX_SCALAR_H

#include <stdint.h>
#include <string.h>

#include "coefficients.h"

#if defined(__FAST_MATH__) || defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "the exact functions cannot be compiled with -ffast-math"
#endif

#define AX_SIGN 0x80000000u
#define AX_MANTISSA 0x007fffffu

static inline uint32_t ax_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float ax_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline double ax_double(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Whether x is neither infinite nor NaN. */
static inline int ax_finite(float x) { return __builtin_fabsf(x) < __builtin_inff(); }

/* x, every NaN made the one NaN 0x7fc00000. */
static inline float ax_canonical(float x) { return x == x ? x : ax_float(AX_NAN_BITS); }

/* ---- f32: arithmetic ------------------------------------------------------------------------- */

static inline float ax_add_f32(float a, float b) { return a + b; }
static inline float ax_sub_f32(float a, float b) { return a - b; }
static inline float ax_mul_f32(float a, float b) { return a * b; }
static inline float ax_div_f32(float a, float b) { return a / b; }
static inline float ax_sqrt_f32(float x) { return __builtin_sqrtf(x); }
static inline float ax_neg_f32(float x) { return -x; }
static inline float ax_abs_f32(float x) { return __builtin_fabsf(x); }

/* ---- f32: order. -0 is less than +0; NaN if either operand is. Comparisons are IEEE's. --------- */

static inline float ax_maximum_f32(float a, float b) {
    float greater = a > b ? a : b; /* b where either is NaN */
    float same = ax_float(ax_bits(a) & ax_bits(b)); /* of two zeros, -0 only if both are */
    float y = a == b ? same : greater;
    return a == a ? y : a;
}

static inline float ax_minimum_f32(float a, float b) {
    float lesser = a < b ? a : b;
    float same = ax_float(ax_bits(a) | ax_bits(b));
    float y = a == b ? same : lesser;
    return a == a ? y : a;
}

static inline float ax_relu_f32(float x) { return x <= 0.0f ? 0.0f : x; }

static inline uint8_t ax_eq_f32(float a, float b) { return a == b; }
static inline uint8_t ax_ne_f32(float a, float b) { return a != b; }
static inline uint8_t ax_lt_f32(float a, float b) { return a < b; }
static inline uint8_t ax_le_f32(float a, float b) { return a <= b; }
static inline uint8_t ax_gt_f32(float a, float b) { return a > b; }
static inline uint8_t ax_ge_f32(float a, float b) { return a >= b; }

/* An integer that sorts as the total order: -inf < ... < -0 < +0 < ... < inf < NaN (all equal). */
static inline int32_t ax_order_key(float x) {
    int32_t bits = (int32_t)ax_bits(x);
    int32_t key = bits ^ ((bits >> 31) & (int32_t)AX_MAGNITUDE);
    return x == x ? key : (int32_t)AX_NAN_BITS;
}

/* The float with this key; the canonical NaN for a NaN's. */
static inline float ax_from_order_key(int32_t key) {
    return ax_float((uint32_t)(key ^ ((key >> 31) & (int32_t)AX_MAGNITUDE)));
}

/* ---- f32: exp, log, tanh, erf; see transcendental.py for the formulas and their errors --------- */

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

/* ---- f32: sin, cos; see trigonometric.py ------------------------------------------------------- */

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

/* ---- i32, i64: wrapping ------------------------------------------------------------------------ */

#define AX_INTEGER(name, type, unsigned_type)                                                       \
    static inline type ax_add_##name(type a, type b) {                                              \
        return (type)((unsigned_type)a + (unsigned_type)b);                                         \
    }                                                                                               \
    static inline type ax_sub_##name(type a, type b) {                                              \
        return (type)((unsigned_type)a - (unsigned_type)b);                                         \
    }                                                                                               \
    static inline type ax_mul_##name(type a, type b) {                                              \
        return (type)((unsigned_type)a * (unsigned_type)b);                                         \
    }                                                                                               \
    static inline type ax_neg_##name(type a) { return (type)((unsigned_type)0 - (unsigned_type)a); } \
    static inline type ax_maximum_##name(type a, type b) { return a > b ? a : b; }                  \
    static inline type ax_minimum_##name(type a, type b) { return a < b ? a : b; }                  \
    static inline uint8_t ax_eq_##name(type a, type b) { return a == b; }                           \
    static inline uint8_t ax_ne_##name(type a, type b) { return a != b; }                           \
    static inline uint8_t ax_lt_##name(type a, type b) { return a < b; }                            \
    static inline uint8_t ax_le_##name(type a, type b) { return a <= b; }                           \
    static inline uint8_t ax_gt_##name(type a, type b) { return a > b; }                            \
    static inline uint8_t ax_ge_##name(type a, type b) { return a >= b; }

AX_INTEGER(i32, int32_t, uint32_t)
AX_INTEGER(i64, int64_t, uint64_t)

/* ---- bool -------------------------------------------------------------------------------------- */

static inline uint8_t ax_and_bool(uint8_t a, uint8_t b) { return a & b; }
static inline uint8_t ax_or_bool(uint8_t a, uint8_t b) { return a | b; }
static inline uint8_t ax_xor_bool(uint8_t a, uint8_t b) { return a ^ b; }
static inline uint8_t ax_not_bool(uint8_t a) { return a ^ 1; }

/* ---- any dtype: copy, where -------------------------------------------------------------------- */

#define AX_ANY(name, type)                                                                          \
    static inline type ax_copy_##name(type x) { return x; }                                         \
    static inline type ax_where_##name(uint8_t condition, type a, type b) {                         \
        return condition ? a : b;                                                                   \
    }

AX_ANY(f32, float)
AX_ANY(i32, int32_t)
AX_ANY(i64, int64_t)
AX_ANY(bool, uint8_t)

/* ---- conversions: floats to integers toward zero, saturating, NaN as 0 ------------------------- */

#define AX_TRUNCATE(name, type, end, least, greatest)                                               \
    static inline type ax_convert_f32_##name(float x) {                                             \
        float inside = __builtin_fabsf(x) < end ? x : 0.0f; /* else C leaves the cast undefined */  \
        type y = (type)inside;                                                                      \
        y = x >= end ? greatest : y;                                                                \
        return x <= -end ? least : y;                                                               \
    }

AX_TRUNCATE(i32, int32_t, 0x1p31f, INT32_MIN, INT32_MAX)
AX_TRUNCATE(i64, int64_t, 0x1p63f, INT64_MIN, INT64_MAX)

#define AX_CONVERT(from, from_type, to, to_type, expression)                                        \
    static inline to_type ax_convert_##from##_##to(from_type x) { return expression; }

AX_CONVERT(f32, float, f32, float, x)
AX_CONVERT(f32, float, bool, uint8_t, x != 0.0f)
AX_CONVERT(i32, int32_t, f32, float, (float)x)
AX_CONVERT(i32, int32_t, i32, int32_t, x)
AX_CONVERT(i32, int32_t, i64, int64_t, x)
AX_CONVERT(i32, int32_t, bool, uint8_t, x != 0)
AX_CONVERT(i64, int64_t, f32, float, (float)x)
AX_CONVERT(i64, int64_t, i32, int32_t, (int32_t)(uint32_t)(uint64_t)x)
AX_CONVERT(i64, int64_t, i64, int64_t, x)
AX_CONVERT(i64, int64_t, bool, uint8_t, x != 0)
AX_CONVERT(bool, uint8_t, f32, float, (float)x)
AX_CONVERT(bool, uint8_t, i32, int32_t, x)
AX_CONVERT(bool, uint8_t, i64, int64_t, x)
AX_CONVERT(bool, uint8_t, bool, uint8_t, x)

/* ---- rows: exponent, quantise, finish; see rows.py --------------------------------------------- */

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

/* ---- random numbers: Philox-4x32-10, see random.py --------------------------------------------- */

/* The four numbers in [0, 1) of one group of a node's elements: those from 4 * group on. */
static inline void ax_uniform_group(uint64_t seed, uint64_t step, uint32_t node, uint64_t group,
                                    float out[4]) {
    uint32_t a = (uint32_t)group, b = (uint32_t)(group >> 32), c = node, d = (uint32_t)step;
    uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32);
    for (int round = 0; round < AX_PHILOX_ROUNDS; round++) {
        uint64_t x = (uint64_t)a * AX_PHILOX_A, y = (uint64_t)c * AX_PHILOX_B;
        a = (uint32_t)(y >> 32) ^ b ^ low;
        c = (uint32_t)(x >> 32) ^ d ^ high;
        b = (uint32_t)y;
        d = (uint32_t)x;
        low += AX_WEYL_A;
        high += AX_WEYL_B;
    }
    out[0] = (float)(int32_t)(a >> 8) * 0x1p-24f;
    out[1] = (float)(int32_t)(b >> 8) * 0x1p-24f;
    out[2] = (float)(int32_t)(c >> 8) * 0x1p-24f;
    out[3] = (float)(int32_t)(d >> 8) * 0x1p-24f;
}

/* The number in [0, 1) of one element of a node, in a step of the job with this seed. */
static inline float ax_uniform(uint64_t seed, uint64_t step, uint32_t node, uint64_t element) {
    float group[4];
    ax_uniform_group(seed, step, node, element >> 2, group);
    return group[element & 3];
}

#endif
