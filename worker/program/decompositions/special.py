"""Scalar functions as others: inverses of the circular functions, the gamma function and its kin.

Every operation is one of programs and rounded once. Polynomials were fitted by least squares at
Chebyshev's points against fp64. `tests/program/test_special.py` measures the worst errors, in ulp,
and holds them to what docs/models.md says.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes
from worker.program.lower import Unsupported

aten = torch.ops.aten
Numbers = tuple[float, ...]


def floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(torch.float32)


def polynomial(x: Tensor, coefficients: Numbers) -> Tensor:
    """By Horner's scheme, from the highest power down."""
    total = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        total = total * x + c
    return total


# signs


@decomposes(aten.signbit.default)
def signbit(x: Tensor) -> Tensor:
    """Of a zero, what dividing by it shows."""
    if not x.is_floating_point():
        return x < 0
    return torch.where(x == 0, x.reciprocal() < 0, x < 0)


@decomposes(aten.copysign.Tensor, aten.copysign.Scalar)
def copysign(x: Tensor, sign: Tensor | float) -> Tensor:
    size = floating(x).abs()
    if not isinstance(sign, Tensor):
        return -size if math.copysign(1.0, sign) < 0 else size
    return torch.where(signbit(sign), -size, size)


# inverses of the circular and hyperbolic functions

# (atan(r) / r - 1) / z and (asin(r) / r - 1) / z of z = r^2
_ATAN = (-0.06448939414, 0.1074269869, -0.1426384374, 0.1999953659, -0.3333333174)
_ASIN = (0.03807502199, 0.02655951595, 0.04500060909, 0.07498858877, 0.1666667239)


def _series(r: Tensor, coefficients: Numbers) -> Tensor:
    z = r * r
    return r + r * (z * polynomial(z, coefficients))


def _atan_up(x: Tensor) -> Tensor:
    """atan of what is not negative, by the nearest of 0, pi / 4 and pi / 2."""
    far, middle = x > math.tan(3 * math.pi / 8), x > math.tan(math.pi / 8)
    reduced = torch.where(middle, (x - 1) / (x + 1), x)
    reduced = torch.where(far, -1 / x, reduced)
    start = torch.where(far, math.pi / 2, torch.where(middle, math.pi / 4, 0.0))
    return start + _series(reduced, _ATAN)


@decomposes(aten.atan.default)
def atan(x: Tensor) -> Tensor:
    x = floating(x)
    return torch.where(x < 0, -_atan_up(x.abs()), _atan_up(x.abs()))


@decomposes(aten.atan2.default)
def atan2(y: Tensor, x: Tensor) -> Tensor:
    """The angle of (x, y), with all signs of zero, and of infinities."""
    x, y = floating(x), floating(y)
    across, up = x.abs(), y.abs()
    large, small = torch.maximum(across, up), torch.minimum(across, up)
    ratio = torch.where(large == 0, 0.0, small / large)
    ratio = torch.where(small == math.inf, 1.0, ratio)
    angle = _atan_up(ratio)
    angle = torch.where(up > across, math.pi / 2 - angle, angle)
    angle = torch.where(signbit(x), math.pi - angle, angle)
    return torch.where(signbit(y), -angle, angle)


def _asin_up(x: Tensor) -> tuple[Tensor, Tensor]:
    """asin of a magnitude up to 1/2; above, half of what is left to pi / 2; and which it is."""
    above = x > 0.5
    root = torch.where(above, (0.5 * (1 - x)).sqrt(), x)
    return _series(root, _ASIN), above


@decomposes(aten.asin.default)
def asin(x: Tensor) -> Tensor:
    x = floating(x)
    part, above = _asin_up(x.abs())
    out = torch.where(above, math.pi / 2 - 2 * part, part)
    return torch.where(x < 0, -out, out)


@decomposes(aten.acos.default)
def acos(x: Tensor) -> Tensor:
    x = floating(x)
    part, above = _asin_up(x.abs())
    near = math.pi / 2 - torch.where(x < 0, -part, part)
    far = torch.where(x < 0, math.pi - 2 * part, 2 * part)
    return torch.where(above, far, near)


@decomposes(aten.acosh.default)
def acosh(x: Tensor) -> Tensor:
    """log1p(t + sqrt(t (t + 2))) of t = x - 1."""
    x = floating(x)
    t = x - 1
    near = (t + (t * (t + 2)).sqrt()).log1p()
    # the square overflows long before the result does
    out = torch.where(x > 1e8, x.log() + math.log(2), near)
    return torch.where(x < 1, math.nan, out)


# the inverse of the error function

# M. Giles, Approximating the erfinv function (2010): x times a polynomial of the logarithm
_CENTRAL = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


@decomposes(aten.erfinv.default)
def erfinv(x: Tensor) -> Tensor:
    x = floating(x)
    w = -((1 - x) * (1 + x)).log()
    out = x * torch.where(w < 5, polynomial(w - 2.5, _CENTRAL), polynomial(w.sqrt() - 3, _TAIL))
    return torch.where(x.abs() == 1, x * math.inf, out)


@decomposes(aten.special_ndtri.default)
def ndtri(p: Tensor) -> Tensor:
    """The quantile of the normal distribution."""
    return erfinv(2 * floating(p) - 1) * math.sqrt(2)


# the gamma function

# lgamma(1 + t) / t and lgamma(2 + t) / t for |t| <= 1/2
_AROUND_ONE = (
    *(0.1471280479, -0.1760237567, 0.06075992562, -0.05179341241, 0.10228184),
    *(-0.1183976875, 0.1255873362, -0.1434191643, 0.1695327799, -0.2074117598),
    *(0.270581969, -0.4006852341, 0.8224670206, -0.5772156659),
)
_AROUND_TWO = (
    *(-0.0002663376071, 0.0005701855734, -0.00117959431, 0.002878897345, -0.007387154367),
    *(0.02058162187, -0.06735223237, 0.3224670182, 0.4227843346),
)
# where Stirling's series begins
_LARGE = 8.0


def _stirling(x: Tensor) -> Tensor:
    z = 1 / x
    rest = z * polynomial(z * z, (1 / 1260, -1 / 360, 1 / 12))
    return (x - 0.5) * (x.log() - 1) + (rest + (0.5 * math.log(2 * math.pi) - 0.5))


def _lgamma_up(x: Tensor) -> Tensor:
    """Of what is not negative: both zeros of the function have a polynomial of their own."""
    reduced, product = x, torch.ones_like(x)
    for _ in range(6):
        down = reduced > 2.5
        product = torch.where(down, product * (reduced - 1), product)
        reduced = torch.where(down, reduced - 1, reduced)
    one, two = reduced - 1, reduced - 2
    near = torch.where(
        reduced < 1.5, one * polynomial(one, _AROUND_ONE), two * polynomial(two, _AROUND_TWO)
    )
    # below 1/2 by the value at x + 1
    small = x * polynomial(x, _AROUND_ONE) - x.log()
    middle = torch.where(x < 0.5, small, product.log() + near)
    large = torch.where(x == math.inf, x, _stirling(x))
    return torch.where(x >= _LARGE, large, middle)


def _from_whole(x: Tensor) -> Tensor:
    """What is left beside the nearest whole number, in [-1/2, 1/2]."""
    return x - x.round()


@decomposes(aten.lgamma.default)
def lgamma(x: Tensor) -> Tensor:
    """log |gamma(x)|; below zero by Euler's reflection."""
    x = floating(x)
    up = _lgamma_up(x.abs())
    sine = (math.pi * _from_whole(x)).sin().abs()
    mirrored = math.log(math.pi) - (sine * x.abs()).log() - up
    pole = (x <= 0) & (x == x.floor())
    return torch.where(pole, math.inf, torch.where(x < 0, mirrored, up))


def _shifted(x: Tensor, part: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """x moved up by ones to where a series begins, and the sum of `part` on the way."""
    total = torch.zeros_like(x)
    for _ in range(int(_LARGE)):
        low = x < _LARGE
        total = torch.where(low, total + part(x), total)
        x = torch.where(low, x + 1, x)
    return x, total


@decomposes(aten.digamma.default)
def digamma(x: Tensor) -> Tensor:
    """The derivative of lgamma."""
    x = floating(x)
    size = torch.where(x < 0, 1 - x, x)
    far, total = _shifted(size, torch.reciprocal)
    z = 1 / far
    square = z * z
    series = far.log() - 0.5 * z - square * polynomial(square, (1 / 252, -1 / 120, 1 / 12))
    out = series - total
    mirrored = out - math.pi / (math.pi * _from_whole(x)).tan()
    out = torch.where(x < 0, mirrored, out)
    out = torch.where((x < 0) & (x == x.floor()), math.nan, out)
    return torch.where(x == 0, -x.reciprocal(), out)


@decomposes(aten.polygamma.default)
def polygamma(n: int, x: Tensor) -> Tensor:
    """digamma and its derivative."""
    if n == 0:
        return digamma(x)
    if n != 1:
        raise Unsupported(f"polygamma of order {n}: programs have 0 and 1")
    x = floating(x)
    size = torch.where(x < 0.5, 1 - x, x)
    far, total = _shifted(size, lambda v: 1 / (v * v))
    z = 1 / far
    square = z * z
    series = z + 0.5 * square + z * square * polynomial(square, (1 / 42, -1 / 30, 1 / 6))
    out = series + total
    sine = (math.pi * _from_whole(x)).sin() / math.pi
    return torch.where(x < 0.5, 1 / (sine * sine) - out, out)


# two numbers


@decomposes(aten.fmax.default)
def fmax(x: Tensor, y: Tensor) -> Tensor:
    """The greater one; of a number and a NaN the number."""
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, torch.maximum(x, y)))


@decomposes(aten.fmin.default)
def fmin(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, torch.minimum(x, y)))
