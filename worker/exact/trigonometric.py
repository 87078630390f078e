"""sin and cos of f32 tensors, whole domain: an exact integer reduction, then basic operations.

The same sequences stand in `reference` and in `contracts/lib/SinCos.sol`; see `transcendental`.

The reduction is Payne and Hanek's ("Radian Reduction for Trigonometric Functions", 1983). For
a = m 2^e only those bits of 2 / pi matter that are below 4 times 2^-e, so a window of 96 of them,
looked up by e, gives a in quarter turns modulo 4, as an integer in units of 2^-62. No f32 above
pi / 4 is within 2^-30 quarter turns of a whole one (all were tried; 0x6f79be45 comes nearest, at
2^-29.86), so 32 bits of the fraction are left at the worst.
"""

from functools import cache

import torch
from torch import Tensor

from worker.exact import coefficients as table
from worker.exact.bits import MAGNITUDE, from_bits, to_bits
from worker.exact.transcendental import horner, in_blocks, value

_SIN_P = tuple(value(bits) for bits in table.SIN_P)
_COS_P = tuple(value(bits) for bits in table.COS_P)
_UNIT = value(table.UNIT_62)
_FIRST_FIELD = 126
"""The exponent field of pi / 4, the least that is reduced."""
_FIELDS = 255 - _FIRST_FIELD
_HALF = 1 << 61
_FRACTION = (1 << 62) - 1
_LOW_31 = (1 << 31) - 1


@cache
def _windows(device: torch.device) -> tuple[Tensor, Tensor]:
    """By exponent field, the window of 2 / pi: its upper 64 bits (as i64) and its lower 32."""
    windows = [(table.TWO_OVER_PI >> (254 - _FIRST_FIELD - i)) % (1 << 96) for i in range(_FIELDS)]
    high = [((w >> 32) ^ (1 << 63)) - (1 << 63) for w in windows]
    low = [w & 0xFFFFFFFF for w in windows]
    return torch.tensor(high, device=device), torch.tensor(low, device=device)


def _reduce(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`(n, r, low)` with a = n pi / 2 + r + low for a > pi / 4, |r| <= pi / 4; n is right modulo 4.

    Anything for other a. Products wrap modulo 2^64, which is modulo 4 quarter turns.
    """
    bits = to_bits(a)
    i = (bits >> 23).sub_(_FIRST_FIELD).clamp_(0, _FIELDS - 1).to(torch.int64)
    m = bits.bitwise_and(0x7FFFFF).bitwise_or_(0x800000).to(torch.int64)
    high, low = _windows(a.device)
    # (The index of a scalar gives a view of the table, so no product in place.)
    turned = ((low[i] * m) >> 32).add_(high[i] * m).add_(_HALF)
    n = turned >> 62
    f = turned.bitwise_and_(_FRACTION).sub_(_HALF)
    # f * HALF_PI has 94 bits: in two parts.
    v = (f >> 31).mul_(table.HALF_PI)
    v.add_(f.bitwise_and_(_LOW_31).mul_(table.HALF_PI).bitwise_right_shift_(31))
    whole = v.to(torch.float32)
    rest = v.sub_(whole.to(torch.int64)).to(torch.float32)
    return n.to(torch.int32), whole.mul_(_UNIT), rest.mul_(_UNIT)


def _sine(a: Tensor, quarters: int) -> Tensor:
    """sin(a + quarters * pi / 2) of an f32 tensor without negative elements."""
    direct = to_bits(a) <= table.QUARTER_PI
    n, r, low = _reduce(a)
    n.masked_fill_(direct, 0).add_(quarters)
    r = torch.where(direct, a, r)
    low.masked_fill_(direct, 0.0)
    z = r * r
    sine = horner(_SIN_P, z).mul_(z).mul_(r).add_(low).add_(r)
    tail = horner(_COS_P, z).mul_(z).mul_(z).sub_(low.mul_(r))
    cosine = 1.0 - z.mul_(0.5).sub_(tail)
    y = torch.where((n & 1).bool(), cosine, sine)
    y = from_bits(to_bits(y) ^ (n.bitwise_and_(2) << 30))
    return y.masked_fill_(~torch.isfinite(a), float("nan"))


@in_blocks
def sin(x: Tensor) -> Tensor:
    """sin x of an f32 tensor. Worst error over all 2^32 inputs: 1.029 ulp,
    at 7.941956e15 (0x59e1b956).

    Odd to the bit; NaN of an infinity. With x = n pi / 2 + r + low: r + (low + r z p(z)) for even
    n, z = r^2, the cosine's polynomial for odd n.
    """
    y = _sine(x.abs(), 0)
    return from_bits(to_bits(y) ^ (to_bits(x) & ~MAGNITUDE))


@in_blocks
def cos(x: Tensor) -> Tensor:
    """cos x of an f32 tensor. Worst error over all 2^32 inputs: 1.029 ulp,
    at 1.6197991e35 (0x79f991cf).

    Even to the bit; NaN of an infinity. As `sin` one quarter turn on; its polynomial is
    1 - (z / 2 - (z^2 p(z) - r low)).
    """
    return _sine(x.abs(), 1)
