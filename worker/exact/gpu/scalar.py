"""The exact scalar functions in kernels, elementwise: names as in `native/scalar.h`.

Each line is one rounding. Results that are NaN have any sign and payload. `bool` is i1. Formulas
and errors: `worker.exact.transcendental`, `worker.exact.trigonometric`, `worker.exact.random`.
"""

import triton
import triton.language as tl

from worker.exact.gpu.constants import (
    COS_0,
    COS_1,
    COS_2,
    ERF_END,
    ERF_P0,
    ERF_P1,
    ERF_P2,
    ERF_P3,
    ERF_P4,
    ERF_P5,
    ERF_P6,
    ERF_Q0,
    ERF_Q1,
    ERF_Q2,
    ERF_Q3,
    ERF_Q4,
    ERF_Q5,
    ERF_Q6,
    EXP_0,
    EXP_1,
    EXP_2,
    EXP_3,
    EXP_4,
    EXP_HIGH,
    EXP_LOW,
    FIELDS,
    FIRST,
    HALF_PI,
    INF_BITS,
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    LOG_0,
    LOG_1,
    LOG_2,
    LOW,
    MAGNITUDE,
    MANTISSA,
    NAN_BITS,
    PHILOX_A,
    PHILOX_B,
    PHILOX_ROUNDS,
    QUARTER_PI_BITS,
    ROUND_MAGIC,
    ROUND_MAGIC_BITS,
    SIGN,
    SIN_0,
    SIN_1,
    SIN_2,
    SQRT_HALF_BITS,
    TANH_0,
    TANH_1,
    TANH_2,
    TANH_3,
    TANH_4,
    TANH_SMALL,
    TWO_23,
    UNIT_62,
    WEYL_A,
    WEYL_B,
)
from worker.exact.gpu.rows import as_bits, as_float

# ---- f32: arithmetic ---------------------------------------------------------------------------


@triton.jit
def div_f32(a, b):
    return tl.div_rn(a, b)


@triton.jit
def sqrt_f32(x):
    return tl.sqrt_rn(x)


@triton.jit
def neg_f32(x):
    """The sign bit alone: Triton's own is 0 - x, which has no -0."""
    return as_float(as_bits(x) ^ SIGN)


@triton.jit
def abs_f32(x):
    return as_float(as_bits(x) & MAGNITUDE)


@triton.jit
def with_sign_of(size, x):
    return as_float((as_bits(size) & MAGNITUDE) | (as_bits(x) & SIGN))


# ---- f32: order. -0 is less than +0; NaN if either operand is. ---------------------------------


@triton.jit
def maximum_f32(a, b):
    same = as_float(as_bits(a) & as_bits(b))  # of two zeros, -0 only if both are
    y = tl.where(a == b, same, tl.where(a > b, a, b))
    return tl.where(a == a, y, a)


@triton.jit
def minimum_f32(a, b):
    same = as_float(as_bits(a) | as_bits(b))
    y = tl.where(a == b, same, tl.where(a < b, a, b))
    return tl.where(a == a, y, a)


@triton.jit
def relu_f32(x):
    return tl.where(x <= 0.0, 0.0, x)


@triton.jit
def order_key(x):
    """i32 that sort as the total order: -inf < ... < -0 < +0 < ... < inf < NaN (all equal)."""
    bits = as_bits(x)
    return tl.where(x == x, bits ^ ((bits >> 31) & MAGNITUDE), NAN_BITS)


@triton.jit
def from_order_key(key):
    return as_float(key ^ ((key >> 31) & MAGNITUDE))


# ---- exp, log, tanh, erf -----------------------------------------------------------------------


@triton.jit
def exp_f32(x):
    x = tl.where(x < EXP_LOW, EXP_LOW, x)  # written so that NaN stays
    x = tl.where(x > EXP_HIGH, EXP_HIGH, x)
    shifted = x * LOG2_E + ROUND_MAGIC
    e = as_bits(shifted) - ROUND_MAGIC_BITS
    n = shifted - ROUND_MAGIC
    high = x - n * LN2_HIGH
    low = n * LN2_LOW
    r = high - low
    q = (((r * EXP_0 + EXP_1) * r + EXP_2) * r + EXP_3) * r + EXP_4
    tail = r * r * q - low
    y = high + tail + 1.0
    # e is in [-150, 128], too wide for one power of two; the first product is exact
    half = e >> 1
    y = y * as_float((half + 127) << 23)
    return y * as_float((e - half + 127) << 23)


@triton.jit
def log_f32(x):
    # negative numbers count as subnormal too: they end as NaN whatever happens
    subnormal = as_bits(x) < 0x00800000
    scaled = tl.where(subnormal, x * TWO_23, x)
    offset = as_bits(scaled) - SQRT_HALF_BITS
    k = (offset >> 23) - tl.where(subnormal, 23, 0)
    f = as_float((offset & MANTISSA) + SQRT_HALF_BITS) - 1.0
    s = tl.div_rn(f, f + 2.0)
    z = s * s
    p = (z * LOG_0 + LOG_1) * z + LOG_2
    half_square = f * 0.5 * f
    n = k.to(tl.float32)
    tail = (p * z + half_square) * s + n * LN2_LOW
    y = n * LN2_HIGH + (f - (half_square - tail))
    y = tl.where(x < float("inf"), y, x)
    y = tl.where(x < 0.0, float("nan"), y)
    return tl.where(x == 0.0, float("-inf"), y)


@triton.jit
def tanh_f32(x):
    a = abs_f32(x)
    z = a * a
    p = (((z * TANH_0 + TANH_1) * z + TANH_2) * z + TANH_3) * z + TANH_4
    small = p * z * a + a
    e = exp_f32(a + a) + 1.0
    large = 1.0 - tl.div_rn(tl.full(e.shape, 2.0, tl.float32), e)
    return with_sign_of(tl.where(a < TANH_SMALL, small, large), x)


@triton.jit
def erf_f32(x):
    a = abs_f32(x)
    z = a * a
    p = ((z * ERF_P0 + ERF_P1) * z + ERF_P2) * z + ERF_P3
    p = ((p * z + ERF_P4) * z + ERF_P5) * z + ERF_P6
    small = p * a + a
    b = tl.where(a > ERF_END, ERF_END, a)
    q = ((b * ERF_Q0 + ERF_Q1) * b + ERF_Q2) * b + ERF_Q3
    q = ((q * b + ERF_Q4) * b + ERF_Q5) * b + ERF_Q6
    large = 1.0 - exp_f32(q * b)
    return with_sign_of(tl.where(a < 1.0, small, large), x)


# ---- sin, cos ----------------------------------------------------------------------------------


@triton.jit
def sine(a, QUARTERS: tl.constexpr, windows):
    """sin(a + QUARTERS * pi / 2) of a >= +0. windows: `constants.window_table` in memory."""
    bits = as_bits(a)
    field = tl.maximum(tl.minimum((bits >> 23) - FIRST, FIELDS - 1), 0)
    m = ((bits & MANTISSA) | 0x00800000).to(tl.int64)
    high = tl.load(windows + 2 * field)
    low = tl.load(windows + 2 * field + 1)
    # wraps modulo 2^64, which is four quarter turns; f is the fraction in units of 2^-62
    turned = high * m + ((low * m) >> 32) + (1 << 61)
    n = (turned >> 62).to(tl.int32)
    f = (turned & ((1 << 62) - 1)) - (1 << 61)
    v = (f >> 31) * HALF_PI + (((f & 0x7FFFFFFF) * HALF_PI) >> 31)
    whole = v.to(tl.float32)
    rest = (v - whole.to(tl.int64)).to(tl.float32)
    direct = bits <= QUARTER_PI_BITS
    n = tl.where(direct, 0, n) + QUARTERS
    r = tl.where(direct, a, whole * UNIT_62)
    low_part = tl.where(direct, 0.0, rest * UNIT_62)
    z = r * r
    s = ((z * SIN_0 + SIN_1) * z + SIN_2) * z * r + low_part + r
    tail = ((z * COS_0 + COS_1) * z + COS_2) * z * z - low_part * r
    c = 1.0 - (z * 0.5 - tail)
    y = tl.where((n & 1) == 1, c, s)
    y = as_float(as_bits(y) ^ ((n & 2) << 30))
    return tl.where(bits < INF_BITS, y, float("nan"))


@triton.jit
def sin_f32(x, windows):
    return as_float(as_bits(sine(abs_f32(x), 0, windows)) ^ (as_bits(x) & SIGN))


@triton.jit
def cos_f32(x, windows):
    return sine(abs_f32(x), 1, windows)


# ---- conversions: floats to integers toward zero, saturating, NaN as 0 -------------------------


@triton.jit
def f32_to_i32(x):
    inside = tl.where(abs_f32(x) < 2147483648.0, x, 0.0)  # else the cast is left undefined
    y = tl.where(x >= 2147483648.0, 2147483647, inside.to(tl.int32))
    return tl.where(x <= -2147483648.0, -2147483648, y)


@triton.jit
def f32_to_i64(x):
    inside = tl.where(abs_f32(x) < 9223372036854775808.0, x, 0.0)
    y = tl.where(x >= 9223372036854775808.0, 9223372036854775807, inside.to(tl.int64))
    return tl.where(x <= -9223372036854775808.0, -9223372036854775808, y)


# ---- random numbers ----------------------------------------------------------------------------


@triton.jit
def uniform(seed, step, NODE: tl.constexpr, element):
    """f32 in [0, 1) of a node's elements (i64) in a step. In i64: a product of two 32-bit words
    wraps into the sign, so its upper half is masked."""
    group = element >> 2
    a, b = group & LOW, group >> 32
    c, d = tl.full(group.shape, NODE, tl.int64), tl.zeros_like(group) + (step & LOW)
    low, high = seed & LOW, (seed >> 32) & LOW
    for _ in tl.static_range(PHILOX_ROUNDS):
        x, y = a * PHILOX_A, c * PHILOX_B
        a = ((y >> 32) & LOW) ^ b ^ low
        c = ((x >> 32) & LOW) ^ d ^ high
        b, d = y & LOW, x & LOW
        low, high = (low + WEYL_A) & LOW, (high + WEYL_B) & LOW
    even = tl.where((element & 2) == 2, c, a)
    odd = tl.where((element & 2) == 2, d, b)
    word = tl.where((element & 1) == 1, odd, even)
    return (word >> 8).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08
