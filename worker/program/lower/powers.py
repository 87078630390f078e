"""Logarithms, exponentials and powers, made of exp, log, tanh, sqrt and the basic operations.

Worst errors, of 6 million inputs (random bits, all powers of two and their neighbours, normal
numbers): log1p 2.4 ulp, expm1 2.8, log2 1.8, log10 2.0, tan 2.6, sinh 3.3, cosh 1.4, asinh 3.0,
atanh 3.6. Powers with a fraction, and of a number: about |y ln x| * 1.6 ulp, 155 at the ends of the
range. sinh and cosh are infinite half a step before PyTorch's, from |x| = 88.73 on.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from worker.program.codes import BOOL, F32, Map
from worker.program.lower.pointwise import floating, promoted
from worker.program.lower.registry import Builder, Unsupported, View, rule
from worker.program.lower.rounding import truncated

aten = torch.ops.aten


def one(b: Builder) -> View:
    return b.constant(1.0, F32)


@rule(aten.log1p.default)
def log1p(b: Builder, x: View) -> View:
    """log(u) * x / (u - 1) with u = 1 + x: what u lost of x in rounding cancels."""
    x = floating(b, x)
    u = b.map(Map.ADD, x, one(b))
    lost = b.map(Map.SUB, u, one(b))
    ratio = b.map(Map.DIV, x, lost)
    # x itself where 1 + x is 1; log(u) where u is so large, or not a number, that nothing is lost
    close = b.map(Map.EQ, u, one(b), dtype=BOOL)
    plain = b.map(Map.EQ, x, lost, dtype=BOOL)
    corrected = b.map(Map.MUL, b.map(Map.LOG, u), ratio)
    out = b.map(Map.WHERE, plain, b.map(Map.LOG, u), corrected, dtype=F32)
    return b.map(Map.WHERE, close, x, out, dtype=F32)


@rule(aten.expm1.default)
def expm1(b: Builder, x: View) -> View:
    """tanh(x / 2) * (exp(x) + 1)."""
    x = floating(b, x)
    half = b.map(Map.TANH, b.map(Map.MUL, x, b.constant(0.5, F32)))
    return b.map(Map.MUL, half, b.map(Map.ADD, b.map(Map.EXP, x), one(b)))


def _scaled_log(operator: Any, base: float) -> None:
    @rule(operator)
    def apply(b: Builder, x: View) -> View:
        return b.map(Map.MUL, b.map(Map.LOG, floating(b, x)), b.constant(1 / math.log(base), F32))


_scaled_log(aten.log2.default, 2.0)
_scaled_log(aten.log10.default, 10.0)


@rule(aten.pow.Scalar)
def scalar_pow(b: Builder, base: float, x: View) -> View:
    """base^x as exp(x * ln base); of a base that has no logarithm as any power."""
    if not base > 0:
        return power(b, b.constant(float(base), F32), floating(b, x))
    scale = b.constant(math.log(base), F32)
    return b.map(Map.EXP, b.map(Map.MUL, floating(b, x), scale))


@rule(aten.exp2.default)
def exp2(b: Builder, x: View) -> View:
    return scalar_pow(b, 2.0, x)


@rule(aten.pow.Tensor_Scalar)
def pow_scalar(b: Builder, x: View, exponent: float) -> View:
    """Products where the exponent is whole, roots of them at halves, else exp(exponent * log x)."""
    x = floating(b, x) if not isinstance(exponent, int) else x
    if exponent == 0:
        return b.full(1, x.dtype, x.shape)
    if exponent < 0:
        return b.map(Map.DIV, one(b), pow_scalar(b, floating(b, x), -exponent))
    if exponent == 0.5:
        return b.map(Map.SQRT, floating(b, x))
    if exponent != int(exponent) or exponent > 64:
        if x.dtype != F32:
            raise Unsupported(f"a power of {exponent} of integers: convert them to float32")
        return power(b, x, b.constant(float(exponent), F32))
    # square and multiply, from the exponent's highest bit down
    product = x
    for bit in bin(int(exponent))[3:]:
        product = b.map(Map.MUL, product, product)
        if bit == "1":
            product = b.map(Map.MUL, product, x)
    return product


def power(b: Builder, x: View, y: View) -> View:
    """x^y as exp(y * log |x|), with the sign and the exceptions of IEEE-754's pow."""
    zero = b.constant(0.0, F32)
    size = b.map(Map.EXP, b.map(Map.MUL, y, b.map(Map.LOG, b.map(Map.ABS, x))))
    halved = b.map(Map.MUL, y, b.constant(0.5, F32))
    whole = b.map(Map.EQ, truncated(b, y), y, dtype=BOOL)
    even = b.map(Map.EQ, truncated(b, halved), halved, dtype=BOOL)
    below = b.map(Map.LT, x, zero, dtype=BOOL)
    turned = b.map(Map.WHERE, even, size, b.map(Map.NEG, size), dtype=F32)
    endless = b.map(Map.EQ, x, b.constant(-math.inf, F32), dtype=BOOL)
    other = b.map(Map.WHERE, endless, size, b.constant(math.nan, F32), dtype=F32)
    signed = b.map(Map.WHERE, whole, turned, other, dtype=F32)
    out = b.map(Map.WHERE, below, signed, size, dtype=F32)
    # anything^0 and 1^anything are 1, though 0 * log 0 and log 1 * infinity are not
    trivial = b.map(
        Map.OR, b.map(Map.EQ, y, zero, dtype=BOOL), b.map(Map.EQ, x, one(b), dtype=BOOL)
    )
    return b.map(Map.WHERE, trivial, one(b), out, dtype=F32)


@rule(aten.pow.Tensor_Tensor)
def pow_tensor(b: Builder, x: View, y: View) -> View:
    left, right = promoted(b, x, y)
    if left.dtype != F32:
        raise Unsupported("a power of integers by integers: convert them to float32")
    return power(b, left, right)


# what is made of these


@rule(aten.tan.default)
def tan(b: Builder, x: View) -> View:
    x = floating(b, x)
    return b.map(Map.DIV, b.map(Map.SIN, x), b.map(Map.COS, x))


@rule(aten.sinh.default)
def sinh(b: Builder, x: View) -> View:
    """(m + m / (m + 1)) / 2 with m = expm1 |x|, and x's sign: nothing cancels near zero."""
    x = floating(b, x)
    m = expm1(b, b.map(Map.ABS, x))
    ratio = b.map(Map.DIV, m, b.map(Map.ADD, m, one(b)))
    # infinity / infinity where exp overflows
    ratio = b.map(Map.WHERE, b.map(Map.EQ, m, m, dtype=BOOL), ratio, m, dtype=F32)
    large = b.map(Map.GT, m, b.constant(1e8, F32), dtype=BOOL)
    total = b.map(Map.WHERE, large, m, b.map(Map.ADD, m, ratio), dtype=F32)
    out = b.map(Map.MUL, total, b.constant(0.5, F32))
    below = b.map(Map.LT, x, b.constant(0.0, F32), dtype=BOOL)
    return b.map(Map.WHERE, below, b.map(Map.NEG, out), out, dtype=F32)


@rule(aten.cosh.default)
def cosh(b: Builder, x: View) -> View:
    x = floating(b, x)
    both = b.map(Map.ADD, b.map(Map.EXP, x), b.map(Map.EXP, b.map(Map.NEG, x)))
    return b.map(Map.MUL, both, b.constant(0.5, F32))


@rule(aten.erfc.default)
def erfc(b: Builder, x: View) -> View:
    """1 - erf(x): absolute error of an ulp of 1, so nothing is left of it above x = 4."""
    return b.map(Map.SUB, one(b), b.map(Map.ERF, floating(b, x)))


@rule(aten.asinh.default)
def asinh(b: Builder, x: View) -> View:
    """log1p(|x| + x^2 / (1 + sqrt(1 + x^2))) with x's sign."""
    x = floating(b, x)
    size, square = b.map(Map.ABS, x), b.map(Map.MUL, x, x)
    root = b.map(Map.SQRT, b.map(Map.ADD, one(b), square))
    more = b.map(Map.DIV, square, b.map(Map.ADD, one(b), root))
    near = log1p(b, b.map(Map.ADD, size, more))
    # the square overflows long before the result does
    far = b.map(Map.ADD, b.map(Map.LOG, size), b.constant(math.log(2), F32))
    large = b.map(Map.GT, size, b.constant(1e8, F32), dtype=BOOL)
    out = b.map(Map.WHERE, large, far, near, dtype=F32)
    below = b.map(Map.LT, x, b.constant(0.0, F32), dtype=BOOL)
    return b.map(Map.WHERE, below, b.map(Map.NEG, out), out, dtype=F32)


@rule(aten.atanh.default)
def atanh(b: Builder, x: View) -> View:
    """log1p(2 |x| / (1 - |x|)) / 2 with x's sign."""
    x = floating(b, x)
    size = b.map(Map.ABS, x)
    ratio = b.map(Map.DIV, b.map(Map.ADD, size, size), b.map(Map.SUB, one(b), size))
    out = b.map(Map.MUL, b.constant(0.5, F32), log1p(b, ratio))
    below = b.map(Map.LT, x, b.constant(0.0, F32), dtype=BOOL)
    return b.map(Map.WHERE, below, b.map(Map.NEG, out), out, dtype=F32)


@rule(aten.hypot.default)
def hypot(b: Builder, x: View, y: View) -> View:
    """sqrt(x^2 + y^2), which overflows where the squares do."""
    squares = (b.map(Map.MUL, v, v) for v in promoted(b, x, y))
    return b.map(Map.SQRT, b.map(Map.ADD, *squares))
