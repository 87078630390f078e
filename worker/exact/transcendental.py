"""exp, log, tanh and erf of f32 tensors: fixed sequences of IEEE-754 basic operations.

Each line is one rounding; a product is never fused with the sum that takes it (so no `addcmul`, no
`alpha=`, no compiled kernel that may contract). The same sequences stand in `reference` and in
`contracts/lib` (ExpLog, Tanh, Erf), with the coefficients of `coefficients`. A new function goes
here, there and there, with its coefficients in the table and its error from
`python -m worker.exact.measure`.
"""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from worker.exact import coefficients as table
from worker.exact.bits import from_bits, to_bits


def value(bits: int) -> float:
    """The f32 with this bit pattern, as the Python float of the same value."""
    return float(from_bits(torch.tensor(bits, dtype=torch.int64).to(torch.int32)))


_LOG2_E, _LN2_HIGH, _LN2_LOW = (
    value(bits) for bits in (table.LOG2_E, table.LN2_HIGH, table.LN2_LOW)
)
_MAGIC = value(table.ROUND_MAGIC)
_EXP_LOW, _EXP_HIGH = value(table.EXP_LOW), value(table.EXP_HIGH)
_EXP_Q = tuple(value(bits) for bits in table.EXP_Q)
_LOG_P = tuple(value(bits) for bits in table.LOG_P)
_TANH_P = tuple(value(bits) for bits in table.TANH_P)
_TANH_SMALL = value(table.TANH_SMALL)
_ERF_P = tuple(value(bits) for bits in table.ERF_P)
_ERF_Q = tuple(value(bits) for bits in table.ERF_Q)
_ERF_END = value(table.ERF_END)


_BLOCK = 1 << 16


def in_blocks(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`function`, elementwise on f32, applied to a large CPU tensor part by part.

    The steps of a long sequence then find their operands in the cache: several times faster.
    """

    @wraps(function)
    def blocked(x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.numel() <= _BLOCK:
            return function(x)
        flat = x.reshape(-1)
        result = torch.empty_like(flat)
        for i in range(0, flat.numel(), _BLOCK):
            result[i : i + _BLOCK] = function(flat[i : i + _BLOCK])
        return result.reshape(x.shape)

    return blocked


def horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """The polynomial at x, highest coefficient first, one multiply and one add at a time."""
    result = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        result = result.add_(coefficient).mul_(x)
    return result.add_(coefficients[-1])


@in_blocks
def exp(x: Tensor) -> Tensor:
    """e^x of an f32 tensor. Worst error over all 2^32 inputs: 0.906 ulp,
    at -5.1609468.

    exp(NaN) is NaN, exp(inf) inf, exp(-inf) +0; overflow gives inf and underflow is gradual.
    Cody-Waite reduction x = n ln 2 + r with ln 2 in two parts (Cody and Waite, "Software Manual for
    the Elementary Functions", 1980), then e^r = 1 + (r_high + (r^2 q(r) - r_low)), then 2^n.
    """
    x = x.clamp(_EXP_LOW, _EXP_HIGH)
    shifted = (x * _LOG2_E).add_(_MAGIC)
    exponent = to_bits(shifted) - table.ROUND_MAGIC
    n = shifted.sub_(_MAGIC)
    high = x.sub_(n * _LN2_HIGH)
    low = n.mul_(_LN2_LOW)
    r = high - low
    q = horner(_EXP_Q, r)
    tail = r.mul_(r).mul_(q).sub_(low)
    y = high.add_(tail).add_(1.0)
    # n is in [-150, 128], too wide for one f32 power of two. The first product is exact.
    half = exponent >> 1
    y.mul_(from_bits((half + 127) << 23))
    return y.mul_(from_bits(exponent.sub_(half).add_(127).bitwise_left_shift_(23)))


@in_blocks
def log(x: Tensor) -> Tensor:
    """ln x of an f32 tensor. Worst error over all 2^32 inputs: 0.840 ulp,
    at 1.4133185.

    log of either zero is -inf, below zero NaN, log(inf) inf; subnormals are as exact as the rest.
    x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and with s = f / (2 + f), h = f^2 / 2:
    ln(1 + f) = f - (h - s (h + z p(z))), z = s^2 (K. C. Ng's arrangement in FreeBSD's msun, 1993).
    """
    subnormal = to_bits(x) < 0x00800000  # and negative numbers, which end as NaN whatever happens
    scaled = torch.where(subnormal, x * value(table.TWO_23), x)
    offset = to_bits(scaled).sub_(table.SQRT_HALF)
    k = (offset >> 23).sub_(subnormal.to(torch.int32).mul_(23))
    f = from_bits(offset.bitwise_and_(0x7FFFFF).add_(table.SQRT_HALF)).sub_(1.0)
    s = f / (f + 2.0)
    z = s * s
    p = horner(_LOG_P, z)
    half_square = (f * 0.5).mul_(f)
    n = k.to(torch.float32)
    tail = p.mul_(z).add_(half_square).mul_(s).add_(n * _LN2_LOW)
    y = f.sub_(half_square.sub_(tail))
    y = n.mul_(_LN2_HIGH).add_(y)
    # The special values: x itself for inf and NaN, NaN below zero, -inf at both zeros.
    y = torch.where(x < float("inf"), y, x)
    return y.masked_fill_(x < 0, float("nan")).masked_fill_(x == 0, float("-inf"))


@in_blocks
def tanh(x: Tensor) -> Tensor:
    """tanh x of an f32 tensor. Worst error over all 2^32 inputs: 1.423 ulp,
    at 0.5629560.

    Odd to the bit; 1 from 9.011 on. Below 0.5625: x + x z p(z), z = x^2; above: 1 - 2 / (e^2x + 1).
    """
    a = x.abs()
    z = a * a
    small = horner(_TANH_P, z).mul_(z).mul_(a).add_(a)
    e = exp(a + a).add_(1.0)
    large = 1.0 - torch.full_like(e, 2.0).div_(e)
    return torch.where(a < _TANH_SMALL, small, large).copysign_(x)


@in_blocks
def erf(x: Tensor) -> Tensor:
    """erf x of an f32 tensor. Worst error over all 2^32 inputs: 1.320 ulp,
    at 0.9967850.

    Odd to the bit; 1 from 3.92 on. Below 1: x + x p(x^2); above: 1 - e^(x q(x)).
    """
    a = x.abs()
    small = horner(_ERF_P, a * a).mul_(a).add_(a)
    a.clamp_(max=_ERF_END)
    large = 1.0 - exp(horner(_ERF_Q, a).mul_(a))
    return torch.where(a < 1.0, small, large).copysign_(x)
