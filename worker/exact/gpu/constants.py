"""The constants of the kernels, from the tables that the other twins read.

Integers above 2^31 stand as the negative numbers with the same 32 bits: so they stay i32.
"""

import triton.language as tl

from worker.exact import bits, coefficients, random
from worker.exact.native.coefficients import FIRST_FIELD, LAST_FIELD, windows
from worker.exact.transcendental import value


def _f32(pattern: int) -> tl.constexpr:
    return tl.constexpr(value(pattern))


def _polynomial(patterns: tuple[int, ...]) -> tuple[tl.constexpr, ...]:
    return tuple(_f32(p) for p in patterns)


SIGN = tl.constexpr(-(1 << 31))
MAGNITUDE = tl.constexpr(bits.MAGNITUDE)
MANTISSA = tl.constexpr(0x7FFFFF)
NAN_BITS = tl.constexpr(bits.NAN_BITS)
INF_BITS = tl.constexpr(bits.INF_BITS)
NONFINITE = tl.constexpr(bits.NONFINITE)
MIN_EXPONENT = tl.constexpr(bits.MIN_EXPONENT)
MAX_EXPONENT = tl.constexpr(bits.MAX_EXPONENT)

ROUND_MAGIC = _f32(coefficients.ROUND_MAGIC)
ROUND_MAGIC_BITS = tl.constexpr(coefficients.ROUND_MAGIC)
TWO_23 = _f32(coefficients.TWO_23)

LOG2_E = _f32(coefficients.LOG2_E)
LN2_HIGH = _f32(coefficients.LN2_HIGH)
LN2_LOW = _f32(coefficients.LN2_LOW)
EXP_LOW = _f32(coefficients.EXP_LOW)
EXP_HIGH = _f32(coefficients.EXP_HIGH)
EXP_0, EXP_1, EXP_2, EXP_3, EXP_4 = _polynomial(coefficients.EXP_Q)

SQRT_HALF_BITS = tl.constexpr(coefficients.SQRT_HALF)
LOG_0, LOG_1, LOG_2 = _polynomial(coefficients.LOG_P)

TANH_SMALL = _f32(coefficients.TANH_SMALL)
TANH_0, TANH_1, TANH_2, TANH_3, TANH_4 = _polynomial(coefficients.TANH_P)

ERF_END = _f32(coefficients.ERF_END)
ERF_P0, ERF_P1, ERF_P2, ERF_P3, ERF_P4, ERF_P5, ERF_P6 = _polynomial(coefficients.ERF_P)
ERF_Q0, ERF_Q1, ERF_Q2, ERF_Q3, ERF_Q4, ERF_Q5, ERF_Q6 = _polynomial(coefficients.ERF_Q)

FIRST = tl.constexpr(FIRST_FIELD)
FIELDS = tl.constexpr(LAST_FIELD - FIRST_FIELD + 1)
QUARTER_PI_BITS = tl.constexpr(coefficients.QUARTER_PI)
HALF_PI = tl.constexpr(coefficients.HALF_PI)
UNIT_62 = _f32(coefficients.UNIT_62)
SIN_0, SIN_1, SIN_2 = _polynomial(coefficients.SIN_P)
COS_0, COS_1, COS_2 = _polynomial(coefficients.COS_P)

PHILOX_ROUNDS = tl.constexpr(random.ROUNDS)
PHILOX_A, PHILOX_B = (tl.constexpr(m) for m in random.MULTIPLIERS)
WEYL_A, WEYL_B = (tl.constexpr(w) for w in random.WEYL)
LOW = tl.constexpr(random.LOW)


def window_table() -> list[int]:
    """What `scalar.sin_f32` looks 2 / pi up in, as i64: by exponent field, 64 bits and 32 below."""
    high, low = windows()
    signed = [w - (1 << 64) if w >> 63 else w for w in high]
    return [word for pair in zip(signed, low, strict=True) for word in pair]
