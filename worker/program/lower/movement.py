"""Operators that only move elements: they become views, or one copy."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod
from typing import Any

import torch

from worker.program.codes import BOOL, F32, I64, Map
from worker.program.lower.joining import cat
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule

aten = torch.ops.aten


@rule(aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)
def alias(b: Builder, x: View) -> View:
    return x


@rule(aten.clone.default)
def clone(b: Builder, x: View, memory_format: Any = None) -> View:
    return x


@rule(aten.permute.default)
def permute(b: Builder, x: View, dims: list[int]) -> View:
    return x.permute(tuple(axis_of(d, x) for d in dims))


@rule(aten.t.default)
def t(b: Builder, x: View) -> View:
    return x.permute(tuple(reversed(range(len(x.shape)))))


@rule(aten.transpose.int)
def transpose(b: Builder, x: View, dim0: int, dim1: int) -> View:
    order = list(range(len(x.shape)))
    first, second = axis_of(dim0, x), axis_of(dim1, x)
    order[first], order[second] = order[second], order[first]
    return x.permute(tuple(order))


@rule(aten.view.default, aten._unsafe_view.default, aten.reshape.default)
def view(b: Builder, x: View, size: list[int]) -> View:
    shape = list(size)
    if -1 in shape:
        known = prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = x.count // known
    return b.reshape(x, tuple(shape))


@rule(aten.unsqueeze.default)
def unsqueeze(b: Builder, x: View, dim: int) -> View:
    return x.unsqueeze(dim % (len(x.shape) + 1))


@rule(aten.squeeze.dims, aten.squeeze.dim)
def squeeze(b: Builder, x: View, dims: list[int] | int) -> View:
    axes = [axis_of(d, x) for d in (dims if isinstance(dims, list | tuple) else [dims])]
    for axis in sorted(axes, reverse=True):
        if x.shape and x.shape[axis] == 1:
            x = x.squeeze(axis)
    return x


@rule(aten.expand.default)
def expand(b: Builder, x: View, size: list[int], implicit: bool = False) -> View:
    new = len(size) - len(x.shape)
    shape = tuple(x.shape[k - new] if n == -1 else n for k, n in enumerate(size))
    return x.expand(shape)


@rule(aten.slice.Tensor)
def slice_(
    b: Builder,
    x: View,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> View:
    axis = axis_of(dim, x)
    first, last, stride = slice(start, end, step).indices(x.shape[axis])
    length = len(range(first, last, stride))
    if not length:
        raise Unsupported("a slice without elements")
    return x.slice(axis, first, length, stride)


@rule(aten.select.int)
def select(b: Builder, x: View, dim: int, index: int) -> View:
    axis = axis_of(dim, x)
    return x.slice(axis, index % x.shape[axis], 1).squeeze(axis)


@rule(aten.arange.start_step)
def arange(
    b: Builder, start: int, end: int, step: int = 1, dtype: Any = None, **ignored: Any
) -> View:
    if any(v != int(v) for v in (start, end, step)):
        return _fractions(b, start, end, step, dtype)
    count = len(range(int(start), int(end), int(step)))
    if not count:
        raise Unsupported("arange without elements")
    values = b.iota(count)
    if step != 1:
        values = b.map(Map.MUL, values, b.constant(int(step), I64))
    if start != 0:
        values = b.map(Map.ADD, values, b.constant(int(start), I64))
    whole = all(isinstance(v, int) for v in (start, end, step))
    return b.convert(values, dtype_code(dtype or (torch.int64 if whole else torch.float32)))


def _fractions(b: Builder, start: float, end: float, step: float, dtype: Any) -> View:
    """start + k * step in f32, each operation rounded."""
    count = ceil((end - start) / step)
    if count < 1:
        raise Unsupported("arange without elements")
    if dtype not in (None, torch.float32):
        raise Unsupported(f"arange with fractions of dtype {dtype}")
    places = b.map(Map.MUL, b.convert(b.iota(count), F32), b.constant(step, F32))
    return b.map(Map.ADD, places, b.constant(start, F32))


@rule(aten.repeat.default)
def repeat(b: Builder, x: View, repeats: list[int]) -> View:
    """Copies side by side: each axis as one that is expanded and one that is not."""
    if 0 in repeats:
        raise Unsupported("a repeat without elements")
    for _ in range(len(repeats) - len(x.shape)):
        x = x.unsqueeze(0)
    whole = tuple(r * n for r, n in zip(repeats, x.shape, strict=True))
    shape: list[int] = []
    for axis, r in reversed(list(enumerate(repeats))):
        if r > 1:
            x = x.unsqueeze(axis)
    for r, n in zip(repeats, (m // r for m, r in zip(whole, repeats, strict=True)), strict=True):
        shape += [r, n] if r > 1 else [n]
    return b.reshape(x.expand(tuple(shape)), whole)


@rule(aten.roll.default)
def roll(b: Builder, x: View, shifts: list[int], dims: list[int] = []) -> View:  # noqa: B006
    """Each axis as its end joined to its beginning; without axes, of all elements in a row."""
    if not dims:
        return b.reshape(roll(b, b.reshape(x, (x.count,)), list(shifts), [0]), x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        axis = axis_of(dim, x)
        n = x.shape[axis]
        if at := -shift % n:
            x = cat(b, [x.slice(axis, at, n - at), x.slice(axis, 0, at)], axis)
    return x


@rule(aten.unfold.default)
def unfold(b: Builder, x: View, dim: int, size: int, step: int) -> View:
    """Windows along an axis, as a new last axis."""
    if not x.shape:
        return x.unsqueeze(0)
    axis = axis_of(dim, x)
    count = (x.shape[axis] - size) // step + 1
    if size < 1 or count < 1:
        raise Unsupported(f"windows of {size} over an axis of {x.shape[axis]}")
    axes = tuple(
        replace(
            a,
            strides=(
                *(s * step if o == axis else s for o, s in enumerate(a.strides)),
                a.strides[axis],
            ),
        )
        for a in x.axes
    )
    shape = (*(count if o == axis else n for o, n in enumerate(x.shape)), size)
    return replace(x, shape=shape, axes=axes)


@rule(aten.diagonal.default)
def diagonal(b: Builder, x: View, offset: int = 0, dim1: int = 0, dim2: int = 1) -> View:
    """The elements at equal places of two axes, as the last axis."""
    first, second = axis_of(dim1, x), axis_of(dim2, x)
    down, right = max(0, -offset), max(0, offset)
    length = min(x.shape[first] - down, x.shape[second] - right)
    if length < 1:
        raise Unsupported("a diagonal without elements")
    x = x.slice(first, down, length).slice(second, right, length)
    rest = [o for o in range(len(x.shape)) if o not in (first, second)]
    axes = tuple(
        replace(a, strides=(*(a.strides[o] for o in rest), a.strides[first] + a.strides[second]))
        for a in x.axes
    )
    return replace(x, shape=(*(x.shape[o] for o in rest), length), axes=axes)


@rule(aten.diagonal_scatter.default)
def diagonal_scatter(
    b: Builder, x: View, source: View, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> View:
    """x with `source` on a diagonal: where the place in one axis is the place in the other."""
    first, second = axis_of(dim1, x), axis_of(dim2, x)
    rest = [o for o in range(len(x.shape)) if o not in (first, second)]
    order = (*rest, first, second)
    moved = x.permute(order)
    rows, columns = moved.shape[-2:]
    down, right = max(0, -offset), max(0, offset)
    # the diagonal under the tensor's rows: nothing before and after it
    before = (*(0 for _ in rest), down)
    after = (*(0 for _ in rest), rows - down - source.shape[-1])
    spread = b.plain(source).pad(before, after, 0).unsqueeze(len(rest) + 1)
    ahead = b.map(Map.ADD, b.iota(rows).unsqueeze(1), b.constant(right - down, I64))
    here = b.map(Map.EQ, ahead, b.iota(columns), dtype=BOOL)
    out = b.map(Map.WHERE, here, spread, moved, dtype=x.dtype)
    return out.permute(tuple(order.index(o) for o in range(len(order))))


@rule(aten.eye.default)
def eye_square(b: Builder, rows: int, **kwargs: Any) -> View:
    return eye(b, rows, rows, **kwargs)


@rule(aten.eye.m)
def eye(b: Builder, rows: int, columns: int, dtype: Any = None, **ignored: Any) -> View:
    same = b.map(Map.EQ, b.iota(rows).unsqueeze(1), b.iota(columns), dtype=BOOL)
    return b.convert(same, dtype_code(dtype or torch.float32))
