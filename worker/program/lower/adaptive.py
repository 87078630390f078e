"""Adaptive pooling: as many windows as asked for, of sizes that may differ by one."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from worker.program.codes import BOOL, F32, I64, Map, Reduce
from worker.program.lower.constants import vector
from worker.program.lower.indexing import along, gathered_back
from worker.program.lower.pooling import average, average_back, batched
from worker.program.lower.registry import Builder, View, rule
from worker.program.lower.scattering import scatter_add
from worker.program.views import row_major

aten = torch.ops.aten


def _bounds(size: int, count: int) -> tuple[list[int], list[int]]:
    """First element and length of each of `count` windows over `size` elements."""
    starts = [o * size // count for o in range(count)]
    ends = [-(-(o + 1) * size // count) for o in range(count)]
    return starts, [e - s for s, e in zip(starts, ends, strict=True)]


def _regular(x: View, size: list[int]) -> list[int] | None:
    """The windows' size where all are the same, side by side."""
    plane = x.shape[-len(size) :]
    if any(n % count for n, count in zip(plane, size, strict=True)):
        return None
    return [n // count for n, count in zip(plane, size, strict=True)]


def _interleaved(axes: int) -> tuple[int, ...]:
    """The order that brings N, C, windows, kernel to N, C, and then both along each axis."""
    return (0, 1, *(k for axis in range(axes) for k in (2 + axis, 2 + axes + axis)))


def _spread(b: Builder, x: View, size: list[int]) -> tuple[View, View, list[View]]:
    """[N, C, *windows, *kernel] of windows of the largest size, where they hold an element, and the
    lists of the elements' places along each axis."""
    axes = len(size)
    planes, _ = batched(x, axes)
    n, c, *whole = planes.shape
    lists: list[View] = []
    most: list[int] = []
    held: View | None = None
    for axis, (length, count) in enumerate(zip(whole, size, strict=True)):
        starts, lengths = _bounds(length, count)
        k = max(lengths)
        places = [min(s + i, length - 1) for s in starts for i in range(k)]
        lists.append(vector(b, places, I64))
        planes = along(b, planes, 2 + axis, lists[-1])
        inside = b.map(Map.LT, b.iota(k), vector(b, lengths, I64).unsqueeze(1), dtype=BOOL)
        most.append(k)
        # [count, k] of this axis, at its places among [*windows, *kernel]
        for at in range(2 * axes):
            if at not in (axis, axes + axis):
                inside = inside.unsqueeze(at)
        held = inside if held is None else b.map(Map.AND, held, inside)
    assert held is not None
    pairs = (v for both in zip(size, most, strict=True) for v in both)
    order = _interleaved(axes)
    back = tuple(order.index(k) for k in range(len(order)))
    split = b.reshape(planes, (n, c, *pairs)).permute(back)
    return split, held, lists


def _counts(b: Builder, x: View, size: list[int]) -> View:
    """[*windows]: how many elements each window holds."""
    total: View | None = None
    for length, count in zip(x.shape[-len(size) :], size, strict=True):
        sizes = b.convert(vector(b, _bounds(length, count)[1], I64), F32)
        total = sizes if total is None else b.map(Map.MUL, total.unsqueeze(len(total.shape)), sizes)
    assert total is not None
    return total


@rule(aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default)
def adaptive_average(b: Builder, x: View, size: list[int]) -> View:
    axes = len(size)
    if kernel := _regular(x, size):
        return average(b, x, axes, kernel)
    split, inside, _ = _spread(b, x, size)
    held = b.map(Map.WHERE, inside, split, b.constant(0.0, F32), dtype=F32)
    flat = held.reshape((*held.shape[: 2 + axes], prod(held.shape[2 + axes :])))
    out = b.map(Map.DIV, b.sum(flat, -1), _counts(b, x, size))
    return out if len(x.shape) == axes + 2 else out.squeeze(0)


def _adaptive_average_back(operator: Any, axes: int) -> None:
    @rule(operator)
    def backward(b: Builder, gy: View, x: View) -> View:
        size = list(gy.shape[-axes:])
        if kernel := _regular(x, size):
            return average_back(b, gy, x, axes, kernel, kernel)
        split, inside, lists = _spread(b, x, size)
        gy, _ = batched(b.map(Map.DIV, gy, _counts(b, x, size)), axes)
        for _ in range(axes):
            gy = gy.unsqueeze(len(gy.shape))
        every = gy.expand(split.shape)
        held = b.map(Map.WHERE, inside, every, b.constant(0.0, F32), dtype=F32)
        sizes = [o * k for o, k in zip(size, split.shape[2 + axes :], strict=True)]
        flat = b.reshape(held.permute(_interleaved(axes)), (*split.shape[:2], *sizes))
        for axis, places in enumerate(lists):
            flat = gathered_back(b, flat, 2 + axis, places, x.shape[axis - axes])
        return flat if len(x.shape) == axes + 2 else flat.squeeze(0)


_adaptive_average_back(aten._adaptive_avg_pool2d_backward.default, axes=2)
_adaptive_average_back(aten._adaptive_avg_pool3d_backward.default, axes=3)


@rule(aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default)
def adaptive_max(b: Builder, x: View, size: list[int]) -> tuple[View, View]:
    axes = len(size)
    split, inside, lists = _spread(b, x, size)
    least = b.constant(float("-inf"), F32)
    held = b.map(Map.WHERE, inside, split, least, dtype=F32)
    n, c, *rest = held.shape
    kernel = rest[axes:]
    flat = held.reshape((n, c, *size, prod(kernel)))
    at = b.reduce(Reduce.ARGMAX, flat, -1)
    # the place in the plane: of each window and position, what each axis adds to it
    plane: View | None = None
    for axis, stride in enumerate(row_major(x.shape[-axes:])):
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = size[axis], kernel[axis]
        part = lists[axis]
        if stride != 1:
            part = b.map(Map.MUL, part, b.constant(stride, I64))
        part = part.reshape(tuple(shape))
        plane = part if plane is None else b.map(Map.ADD, plane, part)
    assert plane is not None
    table = plane.reshape((prod(size), prod(kernel), 1))
    order = (*range(2, 2 + axes), 0, 1)
    index = b.reshape(at.permute(order), (prod(size), n * c))
    back = (axes, axes + 1, *range(axes))
    where = b.gather(table, index).reshape((*size, n, c)).permute(back)
    values = b.reduce(Reduce.MAX, flat, -1)
    return (values, where) if len(x.shape) == axes + 2 else (values.squeeze(0), where.squeeze(0))


def _adaptive_max_back(operator: Any, axes: int) -> None:
    @rule(operator)
    def backward(b: Builder, gy: View, x: View, indices: View) -> View:
        shape, plane = x.shape[:-axes], prod(x.shape[-axes:])
        flat = (*shape, prod(gy.shape[-axes:]))
        zeros = b.full(0.0, F32, (*shape, plane))
        total = scatter_add(b, zeros, len(shape), b.reshape(indices, flat), b.reshape(gy, flat))
        return b.reshape(total, x.shape)


_adaptive_max_back(aten.adaptive_max_pool2d_backward.default, axes=2)
_adaptive_max_back(aten.adaptive_max_pool3d_backward.default, axes=3)
