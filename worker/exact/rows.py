"""Rows: shared exponents, quantisation, and the exact sum.

A row's elements are scaled by one power of two to integers of `bits` bits (sign included); sums and
products of integers are exact, so neither their order nor the machine can matter; one rounding
brings the result back to f32. Formulas: docs, "Exact arithmetic".
"""

import torch
from torch import Tensor

from worker.exact.bits import (
    MAGNITUDE,
    MAX_EXPONENT,
    MIN_EXPONENT,
    NAN_BITS,
    NONFINITE,
    from_bits,
    to_bits,
)

SUM_BITS = 31
F64_EXACT = 1 << 53
"""Integers below this in magnitude are exact in f64, and so is every sum that stays below it."""


def check_bits(bits: int) -> None:
    """Raise ValueError unless `bits` is a precision that rows can have."""
    if not 2 <= bits <= 31:
        raise ValueError(f"bits must be in [2, 31]: {bits=}")


def check_exponents(e: Tensor) -> None:
    """Raise ValueError if the i32 tensor `e` holds a value that no row's exponent has."""
    malformed = ((e < MIN_EXPONENT) | (e > MAX_EXPONENT)) & (e != NONFINITE)
    if bool(malformed.any()):
        raise ValueError(f"not an exponent: {int(e[malformed][0])}")


def exponent(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The i32 exponents of the rows of f32 `x` along `dim`.

    clamp(E, -96, 128) with E least such that max|x| < 2^E; NONFINITE for a row with an infinity or
    a NaN; -96 for a row of zeros or of no elements.
    """
    if x.shape[dim] == 0:
        e = x.sum(dim, keepdim=True).to(torch.int32) + MIN_EXPONENT
    else:
        largest = (to_bits(x) & MAGNITUDE).amax(dim, keepdim=True)
        biased = largest >> 23
        e = (biased - 126).clamp_(MIN_EXPONENT, MAX_EXPONENT).masked_fill_(biased == 255, NONFINITE)
    return e if keepdim else e.squeeze(dim)


def row_scale(e: Tensor, n: int, sign: int) -> Tensor:
    """f32 2^(sign * e + n) for exponents `e`, NaN where a row is not finite.

    The result must be a normal f32. A NaN scale makes every result of its row NaN, unasked.
    """
    bits = (e * sign + (n + 127)) << 23
    return from_bits(bits.masked_fill_(e == NONFINITE, NAN_BITS))


def scaled(x: Tensor, e: Tensor, bits: int) -> Tensor:
    """round_half_even(x * 2^(bits-1-e)) as f32, unclamped; NaN in a row that is not finite.

    `e` broadcasts to `x`. The product is exact unless it overflows or is far below one half.
    """
    if bits == 2:  # 2^(1-128) is not a normal f32
        return (x * 0.5).mul_(row_scale(e, bits, -1)).round_()
    return (x * row_scale(e, bits - 1, -1)).round_()


def quantise(x: Tensor, e: Tensor, bits: int) -> Tensor:
    """i32 integers of f32 `x` under i32 exponents `e` (broadcast to `x`).

    clamp(round_half_even(x * 2^(bits-1-e)), +-(2^(bits-1)-1)); 0 where x or e is not finite.
    Raises ValueError for an `e` that no row has, or `bits` outside [2, 31].
    """
    check_bits(bits)
    # an axis along which the same exponent is read again and again has a stride of zero
    e = e[tuple(slice(0, 1) if s == 0 else slice(None) for s in e.stride())]
    check_exponents(e)
    finite = torch.isfinite(x) & (e != NONFINITE)
    power = float(1 << (bits - 1))  # the limit itself need not be an f32
    q = scaled(x, e, bits).masked_fill_(~finite, 0.0).clamp_(-power, power).to(torch.int32)
    limit = (1 << (bits - 1)) - 1
    return q.clamp_(-limit, limit)


def finish(total: Tensor, n: Tensor, nonfinite: Tensor) -> Tensor:
    """round_f32(total * 2^n), for i64 `total` of magnitude below 2^63 and i32 `n` in [-300, 300].

    NaN where `nonfinite`. Goes through f64, which must not round first: a total too long for it is
    shortened to 53 bits whose last one says whether anything was cut off (rounding to odd).
    """
    long = total.abs() >= F64_EXACT
    shortened = (total >> 10) | ((total & 1023) != 0)
    exact = torch.where(long, shortened, total).to(torch.float64)
    n = n.masked_fill(nonfinite, 0) + long.to(torch.int32).mul_(10)
    result = (exact * ((n.to(torch.int64) + 1023) << 52).view(torch.float64)).to(torch.float32)
    return result.masked_fill_(nonfinite, float("nan"))


def sum_finish(total: Tensor, e: Tensor) -> Tensor:
    """round_f32(total * 2^(e - 30)): i64 sums of 31-bit integers under exponents that broadcast."""
    check_exponents(e)
    e = e.expand(total.shape)
    return finish(total, e - (SUM_BITS - 1), e == NONFINITE)


def sum_quantised(q: Tensor, e: Tensor, dim: int = -1) -> Tensor:
    """The f32 sums along `dim` of 31-bit integers `q` (i32) of rows with i32 exponents `e`.

    `e` has the shape of `q` without `dim`. Raises ValueError for an `e` that no row has.
    """
    check_exponents(e)
    nonfinite = e == NONFINITE
    return finish(q.sum(dim, dtype=torch.int64), e - (SUM_BITS - 1), nonfinite)


def sum(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The exact sum of f32 `x` along `dim`, rounded once: f32, NaN for a non-finite row.

    "Exact" is of the elements as 31-bit integers under the row's exponent: an element contributes
    to within 2^-31 of the row's greatest magnitude. A row of no elements sums to +0.
    """
    e = exponent(x, dim, keepdim=True)
    terms = scaled(x, e, SUM_BITS)
    if x.shape[dim] << (SUM_BITS - 1) < F64_EXACT:
        total = terms.sum(dim, dtype=torch.float64, keepdim=True)
        total.mul_(row_scale(e, -(SUM_BITS - 1), 1)).add_(0.0)  # a zero sum is +0
        result = total.to(torch.float32)
    else:
        nonfinite = e == NONFINITE
        total = terms.masked_fill_(nonfinite, 0.0).to(torch.int64).sum(dim, keepdim=True)
        result = finish(total, e - (SUM_BITS - 1), nonfinite)
    return result if keepdim else result.squeeze(dim)
