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

#include "bits.h"
#include "random.h"
#include "rows.h"
#include "transcendental.h"

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

#endif
