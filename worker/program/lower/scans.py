"""Running and whole sums, products and extremes of integers and floats, by doubling.

Every element is one binary operation on two others, so a scan is checked like any map. A running
sum of n floats is rounded log2(n) times, in the order of doubling: y += y shifted by 1, 2, 4, ...
Integers wrap, as in PyTorch, so that for them any order is the same.
"""

from __future__ import annotations

from typing import Any

import torch

from worker.program.builder import constant_bits, least_bits
from worker.program.codes import F32, I64, Map
from worker.program.lower.joining import padded
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.registry import Builder, View, axis_of, rule

aten = torch.ops.aten


def _neutral(fn: Map, dtype: int) -> int:
    """The bits of what changes nothing."""
    return least_bits(dtype) if fn == Map.MAXIMUM else constant_bits(int(fn == Map.MUL), dtype)


def scanned(b: Builder, fn: Map, x: View, axis: int) -> View:
    """fn over all elements up to each, along an axis."""
    n, shift = x.shape[axis], 1
    while shift < n:
        earlier = padded(b, x.slice(axis, 0, n - shift), axis, shift, 0, _neutral(fn, x.dtype))
        x = b.map(fn, x, earlier)
        shift *= 2
    return x


def folded(b: Builder, fn: Map, x: View, axis: int) -> View:
    """fn over an axis, which is dropped: of halves, until one element is left."""
    while (n := x.shape[axis]) > 1:
        half = -(-n // 2)
        second = x.slice(axis, half, n - half)
        if n % 2:
            second = padded(b, second, axis, 0, 1, _neutral(fn, x.dtype))
        x = b.map(fn, x.slice(axis, 0, half), second)
    return x.squeeze(axis)


def _typed(b: Builder, x: View, dtype: Any) -> View:
    """Converted first, as PyTorch does; what counts is i64."""
    if dtype is not None:
        return b.convert(x, dtype_code(dtype))
    return x if x.dtype == F32 else b.convert(x, I64)


@rule(aten.cumsum.default)
def cumsum(b: Builder, x: View, dim: int, *, dtype: Any = None) -> View:
    x = _typed(b, x, dtype)
    return scanned(b, Map.ADD, x, axis_of(dim, x)) if x.shape else x


@rule(aten.cumprod.default)
def cumprod(b: Builder, x: View, dim: int, *, dtype: Any = None) -> View:
    x = _typed(b, x, dtype)
    return scanned(b, Map.MUL, x, axis_of(dim, x)) if x.shape else x


@rule(aten.prod.dim_int)
def prod_(b: Builder, x: View, dim: int, keepdim: bool = False, *, dtype: Any = None) -> View:
    x = _typed(b, x, dtype)
    if not x.shape:
        return x
    axis = axis_of(dim, x)
    out = folded(b, Map.MUL, x, axis)
    return out.unsqueeze(axis) if keepdim else out


@rule(aten.prod.default)
def prod_all(b: Builder, x: View, *, dtype: Any = None) -> View:
    return prod_(b, b.reshape(x, (x.count,)), 0, dtype=dtype)


def whole_sum(b: Builder, x: View, axis: int) -> View:
    """The sum of integers or bools over an axis, which is dropped: i64, wrapping."""
    return folded(b, Map.ADD, b.convert(x, I64), axis)
