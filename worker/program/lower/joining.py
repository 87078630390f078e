"""Concatenation, splitting, padding, and writing into a slice."""

from __future__ import annotations

import torch

from worker.program.builder import constant_bits, least_bits
from worker.program.codes import BOOL, Map
from worker.program.lower.pointwise import promoted
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule
from worker.program.views import Axis

aten = torch.ops.aten


def padded(b: Builder, x: View, axis: int, before: int, after: int, fill: int) -> View:
    """x with elements of bits `fill` around it on one axis."""
    rank = len(x.shape)
    left = tuple(before if k == axis else 0 for k in range(rank))
    right = tuple(after if k == axis else 0 for k in range(rank))
    return b.plain(x).pad(left, right, fill)


@rule(aten.cat.default)
def cat(b: Builder, tensors: list[View], dim: int = 0) -> View:
    """Each part is padded with what a maximum never prefers, so that the maximum is the part."""
    parts = [t for t in promoted(b, *(t for t in tensors if t.count)) if t.shape != (0,)]
    axis = axis_of(dim, parts[0])
    while len(parts) > 1:
        # in pairs, so that an element is copied as often as the tree is deep
        pairs = [_joined(b, parts[k], parts[k + 1], axis) for k in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[len(pairs) * 2 :]
    return parts[0]


def _joined(b: Builder, x: View, y: View, axis: int) -> View:
    if x.dtype == BOOL:
        fn, fill = Map.OR, 0
    else:
        fn, fill = Map.MAXIMUM, least_bits(x.dtype)
    return b.map(
        fn,
        padded(b, x, axis, 0, y.shape[axis], fill),
        padded(b, y, axis, x.shape[axis], 0, fill),
    )


@rule(aten.split_with_sizes.default)
def split_with_sizes(b: Builder, x: View, sizes: list[int], dim: int = 0) -> list[View]:
    axis = axis_of(dim, x)
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [x.slice(axis, start, size) for start, size in zip(starts, sizes, strict=True)]


@rule(aten.constant_pad_nd.default)
def constant_pad_nd(b: Builder, x: View, pad: list[int], value: float = 0) -> View:
    fill = constant_bits(value, x.dtype)
    for k in range(len(pad) // 2):
        axis = len(x.shape) - 1 - k
        before, after = pad[2 * k], pad[2 * k + 1]
        start, stop = max(0, -before), x.shape[axis] - max(0, -after)
        if stop <= start:
            raise Unsupported("padding that leaves no element")
        x = x.slice(axis, start, stop - start)
        if before > 0 or after > 0:
            x = padded(b, x, axis, max(0, before), max(0, after), fill)
    return x


@rule(aten.flip.default)
def flip(b: Builder, x: View, dims: list[int]) -> View:
    for dim in dims:
        axis = axis_of(dim, x)
        x = x.slice(axis, x.shape[axis] - 1, x.shape[axis], -1)
    return x


@rule(aten.slice_scatter.default)
def slice_scatter(
    b: Builder,
    x: View,
    source: View,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> View:
    if not source.count:
        return x
    axis = axis_of(dim, x)
    first, last, stride = slice(start, end, step).indices(x.shape[axis])
    ones = b.map(Map.COPY, b.full(True, BOOL, source.shape))
    if stride != 1:
        span = 1 + (source.shape[axis] - 1) * stride
        source, ones = (spread(b, v, axis, stride).slice(axis, 0, span) for v in (source, ones))
        last = first + span
    before, after = first, x.shape[axis] - last
    written = padded(b, source, axis, before, after, 0)
    mask = padded(b, ones, axis, before, after, 0)
    return b.map(Map.WHERE, mask, written, x, dtype=x.dtype)


def spread(b: Builder, x: View, axis: int, step: int) -> View:
    """x with step - 1 zeros after each element along an axis."""
    x = b.plain(x)
    rank = len(x.shape)
    one = tuple(int(k == axis + 1) for k in range(rank + 1))
    axes = [
        Axis(n, 0, tuple(int(o == (k if k <= axis else k + 1)) for o in range(rank + 1)))
        for k, n in enumerate(x.shape)
    ]
    axes.insert(axis + 1, Axis(1, 0, one))
    shape = (*x.shape[: axis + 1], step, *x.shape[axis + 1 :])
    whole = (*x.shape[:axis], x.shape[axis] * step, *x.shape[axis + 1 :])
    return b.reshape(View(x.node, x.dtype, shape, tuple(axes)), whole)


@rule(aten.select_scatter.default)
def select_scatter(b: Builder, x: View, source: View, dim: int, index: int) -> View:
    axis = axis_of(dim, x)
    at = index % x.shape[axis]
    return slice_scatter(b, x, source.unsqueeze(axis), axis, at, at + 1)
