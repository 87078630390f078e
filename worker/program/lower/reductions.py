"""Sums, maxima, and what is made of them."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from worker.program.builder import least_bits
from worker.program.codes import BOOL, F32, I32, I64, Map, Reduce
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.registry import Builder, View, axis_of, rule
from worker.program.lower.scans import whole_sum
from worker.program.wellformed import MAX_ROW

aten = torch.ops.aten

# f32 counts exactly up to here, and so does a 31-bit integer times a power of two
MOST_COUNTED = 1 << 24


def reduced(x: View, dims: list[int] | None) -> list[int]:
    """The axes to reduce, in order: all of them where none is named; a scalar has none."""
    if not dims or not x.shape:
        return list(range(len(x.shape)))
    return sorted({axis_of(d, x) for d in dims})


def merged(b: Builder, x: View, dims: list[int] | None) -> tuple[View, int, tuple[int, ...]]:
    """x with the reduced axes merged into one, that axis, and the shape that keeps them as 1."""
    axes = reduced(x, dims)
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    rest = [k for k in range(len(x.shape)) if k not in axes]
    moved = x.permute((*rest, *axes))
    shape = (*(x.shape[k] for k in rest), prod(x.shape[k] for k in axes))
    return b.reshape(moved, shape), len(rest), kept


def dropped(kept: tuple[int, ...], x: View, dims: list[int] | None) -> tuple[int, ...]:
    """The kept shape without the reduced axes."""
    axes = reduced(x, dims)
    return tuple(n for k, n in enumerate(kept) if k not in axes)


@rule(aten.sum.dim_IntList)
def sum_(
    b: Builder, x: View, dims: list[int] | None, keepdim: bool = False, dtype: Any = None
) -> View:
    wanted = dtype_code(dtype) if dtype else (F32 if x.dtype == F32 else I64)
    if dtype and wanted != BOOL and x.dtype != BOOL:
        x = b.convert(x, wanted)  # before the sum, as PyTorch does
    flat, axis, kept = merged(b, x, dims)
    if x.dtype == BOOL and flat.shape[axis] <= MOST_COUNTED:
        total = b.convert(b.sum(b.convert(flat, F32), axis), I64)
    elif x.dtype == F32:
        total = b.sum(flat, axis)
    else:
        total = whole_sum(b, flat, axis)
    shape = kept if keepdim else dropped(kept, x, dims)
    return b.convert(total, wanted).reshape(shape)


@rule(aten.sum.default)
def sum_all(b: Builder, x: View, dtype: Any = None) -> View:
    return sum_(b, x, None, dtype=dtype)


@rule(aten.mean.dim)
def mean(
    b: Builder, x: View, dims: list[int] | None, keepdim: bool = False, dtype: Any = None
) -> View:
    total = sum_(b, x, dims, keepdim, dtype)
    return b.map(Map.DIV, total, b.constant(float(x.count // total.count), F32))


@rule(aten.mean.default)
def mean_all(b: Builder, x: View, dtype: Any = None) -> View:
    return mean(b, x, None, dtype=dtype)


def spread(
    b: Builder, x: View, dims: list[int] | None, correction: float | None, keepdim: bool
) -> tuple[View, View]:
    """Variance and mean: the mean of squared distances from the mean, n - correction in number."""
    center = mean(b, x, dims, True)
    distance = b.map(Map.SUB, x, center)
    total = sum_(b, b.map(Map.MUL, distance, distance), dims, keepdim)
    count = x.count // total.count - (1 if correction is None else correction)
    variance = b.map(Map.DIV, total, b.constant(float(count), F32))
    return variance, b.reshape(center, total.shape)


@rule(aten.var_mean.correction)
def var_mean(
    b: Builder,
    x: View,
    dims: list[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> tuple[View, View]:
    return spread(b, x, dims, correction, keepdim)


@rule(aten.var.correction)
def var(
    b: Builder,
    x: View,
    dims: list[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> View:
    return spread(b, x, dims, correction, keepdim)[0]


@rule(aten.amax.default)
def amax(b: Builder, x: View, dims: list[int] | None = None, keepdim: bool = False) -> View:
    if x.dtype == BOOL:
        return b.convert(amax(b, b.convert(x, I32), dims, keepdim), BOOL)
    flat, axis, kept = merged(b, x, dims)
    shape = kept if keepdim else dropped(kept, x, dims)
    return b.reduce(Reduce.MAX, flat, axis).reshape(shape)


@rule(aten.any.dim)
def any_(b: Builder, x: View, dim: int, keepdim: bool = False) -> View:
    return amax(b, b.convert(x, BOOL), [dim], keepdim)


@rule(aten.argmax.default)
def argmax(b: Builder, x: View, dim: int | None = None, keepdim: bool = False) -> View:
    dims = None if dim is None else [dim]
    x = b.convert(x, I32) if x.dtype == BOOL else x
    flat, axis, kept = merged(b, x, dims)
    shape = kept if keepdim else dropped(kept, x, dims)
    if flat.shape[axis] <= MAX_ROW:
        return b.reduce(Reduce.ARGMAX, flat, axis).reshape(shape)
    # by parts: the first of the greatest part, and the first of the greatest in it
    rows, _ = b.rows_of(flat, axis)
    parts = b.parts_of(rows, least_bits(x.dtype))
    count, number, part = parts.shape
    inner = b.reduce(Reduce.ARGMAX, parts, 2)
    outer = argmax(b, b.reduce(Reduce.MAX, parts, 2), 1, True)
    within = b.gather(inner.reshape((count, number, 1)), outer).reshape((count, 1))
    start = b.map(Map.MUL, outer, b.constant(part, I64))
    return b.map(Map.ADD, start, within).reshape(shape)


def _shifted(b: Builder, x: View, dim: int) -> View:
    """x minus its greatest along `dim`: no exponential of it overflows."""
    return b.map(Map.SUB, x, amax(b, x, [dim], True))


@rule(aten._log_softmax.default)
def log_softmax(b: Builder, x: View, dim: int, half_to_float: bool) -> View:
    shifted = _shifted(b, x, dim)
    total = sum_(b, b.map(Map.EXP, shifted), [dim], True)
    return b.map(Map.SUB, shifted, b.map(Map.LOG, total))


@rule(aten._softmax.default)
def softmax(b: Builder, x: View, dim: int, half_to_float: bool) -> View:
    powers = b.map(Map.EXP, _shifted(b, x, dim))
    return b.map(Map.DIV, powers, sum_(b, powers, [dim], True))
