"""Greatest and least elements, where they stand, and the first few of a row in order.

All use the total order of the bit patterns: -0 is less than +0, the first of equals wins, and a NaN
gives a NaN.
"""

from __future__ import annotations

import torch

from worker.program.builder import least_bits
from worker.program.codes import BOOL, F32, I32, I64, Kind, Map, Source
from worker.program.lower.joining import cat
from worker.program.lower.powers import pow_scalar
from worker.program.lower.reductions import amax, argmax, sum_
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule
from worker.program.records import Node

aten = torch.ops.aten

# passes over a row that a topk may take
MOST_PASSES = 64
# comparisons that a sort may take: of each element of a row with each other
MOST_COMPARED = 1 << 24


def turned(b: Builder, x: View) -> View:
    """The same elements in the opposite order; twice is nothing. -1 - x never overflows."""
    if x.dtype == BOOL:
        return b.map(Map.NOT, x)
    return b.map(Map.NEG, x) if x.dtype == F32 else b.map(Map.SUB, b.constant(-1, x.dtype), x)


@rule(aten.amin.default)
def amin(b: Builder, x: View, dims: list[int] | None = None, keepdim: bool = False) -> View:
    return turned(b, amax(b, turned(b, x), dims, keepdim))


@rule(aten.argmin.default)
def argmin(b: Builder, x: View, dim: int | None = None, keepdim: bool = False) -> View:
    return argmax(b, turned(b, x), dim, keepdim)


@rule(aten.max.dim)
def max_dim(b: Builder, x: View, dim: int, keepdim: bool = False) -> tuple[View, View]:
    return amax(b, x, [dim], keepdim), argmax(b, x, dim, keepdim)


@rule(aten.min.dim)
def min_dim(b: Builder, x: View, dim: int, keepdim: bool = False) -> tuple[View, View]:
    return amin(b, x, [dim], keepdim), argmin(b, x, dim, keepdim)


@rule(aten.max.default)
def max_all(b: Builder, x: View) -> View:
    return amax(b, x)


@rule(aten.min.default)
def min_all(b: Builder, x: View) -> View:
    return amin(b, x)


@rule(aten.any.default)
def any_all(b: Builder, x: View) -> View:
    return any_dims(b, x)


@rule(aten.any.dims)
def any_dims(b: Builder, x: View, dims: list[int] | None = None, keepdim: bool = False) -> View:
    return amax(b, b.convert(x, BOOL), dims, keepdim)


@rule(aten.linalg_vector_norm.default)
def vector_norm(
    b: Builder,
    x: View,
    ord: float = 2,
    dims: list[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> View:
    """Sums of powers of magnitudes, and their root; at infinity the greatest or the least."""
    size = b.map(Map.ABS, b.convert(x, F32))
    if ord == float("inf"):
        return amax(b, size, dims, keepdim)
    if ord == -float("inf"):
        return amin(b, size, dims, keepdim)
    if ord == 0:
        nonzero = b.map(Map.NE, size, b.constant(0.0, F32), dtype=BOOL)
        return sum_(b, b.convert(nonzero, F32), dims, keepdim)
    exponent = int(ord) if ord == int(ord) else ord
    total = sum_(b, pow_scalar(b, size, exponent), dims, keepdim)
    return pow_scalar(b, total, 1.0 / exponent) if exponent != 1 else total


# the first of a row


def _last(x: View, dim: int) -> tuple[View, tuple[int, ...]]:
    """x with the axis last, and the order that takes it back."""
    axis = axis_of(dim, x)
    order = (*(k for k in range(len(x.shape)) if k != axis), axis)
    return x.permute(order), tuple(order.index(k) for k in range(len(order)))


def taken(b: Builder, x: View, index: View) -> View:
    """x [..., n] at index [..., k] -> [..., k]."""
    rows = x.count // x.shape[-1]
    flat = b.reshape(x, (rows, x.shape[-1], 1))
    return b.gather(flat, b.reshape(index, (rows, index.shape[-1]))).reshape(index.shape)


@rule(aten.topk.default)
def topk(
    b: Builder, x: View, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[View, View]:
    """k passes, each of which takes the first of the greatest away.

    Where nothing but the least value is left (-infinity), its places may be named twice.
    """
    if not 0 < k <= MOST_PASSES:
        raise Unsupported(f"topk of {k}; programs take 1 to {MOST_PASSES}")
    if not x.shape:
        return x, b.full(0, I64, ())
    moved, back = _last(x, dim)
    rest = b.plain(moved if largest else turned(b, moved))
    bits = (least_bits(x.dtype),)
    least = b.add(Node(Kind.SOURCE, Source.CONSTANT, x.dtype, (), (), bits))
    places = b.iota(rest.shape[-1])
    found: list[View] = []
    for turn in range(k):
        at = argmax(b, rest, -1, True)
        found.append(at)
        if turn < k - 1:
            here = b.map(Map.EQ, places, at, dtype=BOOL)
            rest = b.map(Map.WHERE, here, least, rest, dtype=x.dtype)
    index = cat(b, found, len(rest.shape) - 1)
    return taken(b, moved, index).permute(back), index.permute(back)


@rule(aten.sort.default)
def sort(b: Builder, x: View, dim: int = -1, descending: bool = False) -> tuple[View, View]:
    """Stable: each element's place is the number of those that go before it."""
    return sort_stable(b, x, stable=True, dim=dim, descending=descending)


@rule(aten.sort.stable)
def sort_stable(
    b: Builder, x: View, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[View, View]:
    if not x.shape:
        return x, b.full(0, I64, ())
    if x.dtype == BOOL:
        raise Unsupported("a sort of bools: convert them to int32")
    moved, back = _last(x, dim)
    n = moved.shape[-1]
    if x.count * n > MOST_COMPARED:
        raise Unsupported(
            f"a sort of {x.count // n} rows of {n}: rows times the square of their length is at "
            f"most {MOST_COMPARED}; use topk"
        )
    one, other = moved.unsqueeze(len(moved.shape)), moved.unsqueeze(len(moved.shape) - 1)
    before = b.map(Map.GT if descending else Map.LT, other, one, dtype=BOOL)
    equal = b.map(Map.EQ, other, one, dtype=BOOL)
    if x.dtype == F32:  # a NaN equals NaNs, and is greater than any number
        odd, even = (b.map(Map.NE, v, v, dtype=BOOL) for v in (other, one))
        equal = b.map(Map.OR, equal, b.map(Map.AND, odd, even))
        first = (even, odd) if not descending else (odd, even)
        before = b.map(Map.OR, before, b.map(Map.AND, first[0], b.map(Map.NOT, first[1])))
    earlier = b.map(Map.LT, b.iota(n), b.iota(n).unsqueeze(1), dtype=BOOL)
    before = b.map(Map.OR, before, b.map(Map.AND, equal, earlier))
    place = sum_(b, before, [-1])
    # the inverse of a permutation: who stands at place r
    here = b.map(Map.EQ, place.unsqueeze(len(place.shape) - 1), b.iota(n).unsqueeze(1), dtype=BOOL)
    index = argmax(b, b.convert(here, I32), -1)
    return taken(b, moved, index).permute(back), index.permute(back)
