"""Rows in kernels: exponents, integers, and the one rounding at the end. See `worker.exact.rows`.

`x` are f32 tensors of any shape; exponents are i32; sums are i64.
"""

import triton
import triton.language as tl

from worker.exact.gpu.constants import (
    MAGNITUDE,
    MAX_EXPONENT,
    MIN_EXPONENT,
    NAN_BITS,
    NONFINITE,
    ROUND_MAGIC,
    ROUND_MAGIC_BITS,
    SIGN,
    TWO_23,
)


@triton.jit
def as_bits(x):
    return x.to(tl.int32, bitcast=True)


@triton.jit
def as_float(bits):
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def power_f64(n):
    """2^n, f64, of i32 n in [-1022, 1023]."""
    return ((n + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)


@triton.jit
def magnitude(x):
    """|x| as a bit pattern: integers whose greatest over a row is what `exponent` takes."""
    return as_bits(x) & MAGNITUDE


@triton.jit
def exponent(greatest):
    """The exponents of rows whose greatest magnitudes are these patterns."""
    biased = greatest >> 23
    e = tl.maximum(tl.minimum(biased - 126, MAX_EXPONENT), MIN_EXPONENT)
    return tl.where(biased == 255, NONFINITE, e)


@triton.jit
def quantise_scale(e, BITS: tl.constexpr):
    """2^(BITS-1-e); 0 for a row that is not finite. At its least 2^-127, subnormal."""
    field = (126 + BITS) - e
    power = tl.where(field > 0, field << 23, 0x00400000)
    return as_float(tl.where(e == NONFINITE, 0, power))


@triton.jit
def rint(x):
    """x rounded half to even, as f32."""
    a = as_float(as_bits(x) & MAGNITUDE)
    rounded = tl.where(a < TWO_23, (a + TWO_23) - TWO_23, a)
    return as_float(as_bits(rounded) | (as_bits(x) & SIGN))


@triton.jit
def small_rint(x):
    """x rounded half to even, as i32, for |x| <= 2^22; any number for a NaN or an infinity."""
    return as_bits(x + ROUND_MAGIC) - ROUND_MAGIC_BITS


@triton.jit
def quantise_f32(x, e, BITS: tl.constexpr):
    """clamp(round_half_even(x * 2^(BITS-1-e)), +-(2^(BITS-1)-1)); 0 where x or e is not finite."""
    limit: tl.constexpr = (1 << (BITS - 1)) - 1
    power: tl.constexpr = float(1 << (BITS - 1))  # the limit itself need not be an f32
    y = rint(x * quantise_scale(e, BITS))
    y = tl.where(y > power, power, y)
    y = tl.where(y < -power, -power, y)
    y = tl.where((as_bits(x) & MAGNITUDE) < 0x7F800000, y, 0.0)
    return tl.maximum(tl.minimum(y.to(tl.int32), limit), -limit)


@triton.jit
def sum_terms(x, scale):
    """The 31-bit integers of rows, as i64, from their scales; 0 in a row that is not finite."""
    y = rint(x * scale)
    return tl.where(scale != 0.0, y, 0.0).to(tl.int32).to(tl.int64)


@triton.jit
def sum_finish(total, e):
    """round_f32(total * 2^(e-30)), |total| < 2^53; NaN for a row that is not finite."""
    n = tl.where(e == NONFINITE, 0, e - 30)
    y = (total.to(tl.float64) * power_f64(n)).to(tl.float32)
    return tl.where(e == NONFINITE, as_float(tl.full(y.shape, NAN_BITS, tl.int32)), y)
