"""Pooling over windows of one size, along two axes or three."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch

from worker.program.builder import least_bits
from worker.program.codes import BOOL, F32, I64, Map, Reduce
from worker.program.lower.registry import Builder, Unsupported, View, rule
from worker.program.lower.windows import Sizes, Window, covering, each, windows
from worker.program.views import row_major

aten = torch.ops.aten

# of each builder: where in its window each maximum stands, by the view of its place in the plane
_INSIDE: WeakKeyDictionary[Builder, dict[View, View]] = WeakKeyDictionary()


def _pool(
    x: View,
    axes: int,
    kernel: list[int],
    stride: list[int],
    padding: list[int] | int,
    dilation: list[int] | int = 1,
    ceil_mode: bool = False,
) -> tuple[Window, Sizes]:
    """The windows, and how many there are; with ceil_mode one more where it starts inside."""
    sizes = each(kernel, axes)
    w = Window(sizes, each(stride, axes, sizes), each(padding, axes, 0), each(dilation, axes))
    counts = []
    for size, k, s, p, d in zip(
        x.shape[-axes:], w.kernel, w.stride, w.padding, w.dilation, strict=True
    ):
        room = size + 2 * p - d * (k - 1) - 1
        count = room // s + 1
        if ceil_mode and room % s and count * s < size + p:
            count += 1
        counts.append(count)
    return w, tuple(counts)


def _patches(b: Builder, x: View, w: Window, counts: Sizes, fill: int) -> View:
    """[N, C, *windows, elements]: every window's elements."""
    found = windows(b, x, w, fill)
    n, c = found.shape[:2]
    # what hangs over the edge reads the fill
    whole = b.plain(replace(found, shape=(n, c, *counts, *w.kernel)))
    return whole.reshape((n, c, *counts, prod(w.kernel)))


def batched(x: View, axes: int) -> tuple[View, bool]:
    """[N, C, *plane], and whether N was missing."""
    return (x, False) if len(x.shape) == axes + 2 else (x.unsqueeze(0), True)


def _grid(b: Builder, axes: list[tuple[int, int, int]]) -> View:
    """i64 [n, ...]: sums of start + step * place along axes of (n, start, step)."""
    total = b.constant(sum(start for _, start, _ in axes), I64)
    for k, (n, _, step) in enumerate(axes):
        places = b.map(Map.MUL, b.iota(n), b.constant(step, I64))
        for _ in range(k + 1, len(axes)):
            places = places.unsqueeze(len(places.shape))
        total = b.map(Map.ADD, total, places)
    return total


def _in_plane(b: Builder, x: View, w: Window, inside: View) -> View:
    """Places in the plane, of places in windows [N, C, *windows]."""
    strides = row_major(x.shape[2:])
    counts = inside.shape[2:]
    kernel = [(k, 0, d * s) for k, d, s in zip(w.kernel, w.dilation, strides, strict=True)]
    offsets = b.reshape(_grid(b, kernel), (1, prod(w.kernel), 1))
    offset = b.gather(offsets, b.reshape(inside, (1, inside.count))).reshape(inside.shape)
    starts = [
        (n, -p * s, step * s)
        for n, p, step, s in zip(counts, w.padding, w.stride, strides, strict=True)
    ]
    return b.map(Map.ADD, offset, _grid(b, starts))


def _max_pool(operator: Any, back: Any, axes: int) -> None:
    @rule(operator)
    def forward(
        b: Builder,
        x: View,
        kernel: list[int],
        stride: list[int] = [],  # noqa: B006
        padding: list[int] | int = 0,
        dilation: list[int] | int = 1,
        ceil_mode: bool = False,
    ) -> tuple[View, View]:
        w, counts = _pool(x, axes, kernel, stride, padding, dilation, ceil_mode)
        planes, single = batched(x, axes)
        flat = _patches(b, planes, w, counts, least_bits(F32))
        values, inside = b.reduce(Reduce.MAX, flat, -1), b.reduce(Reduce.ARGMAX, flat, -1)
        places = _in_plane(b, planes, w, inside)
        if single:
            values, places = values.squeeze(0), places.squeeze(0)
        _INSIDE.setdefault(b, {})[places] = inside
        return values, places

    @rule(back)
    def backward(
        b: Builder,
        gy: View,
        x: View,
        kernel: list[int],
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        ceil_mode: bool,
        indices: View,
    ) -> View:
        inside = _INSIDE.get(b, {}).get(indices)
        if inside is None:
            raise Unsupported("max pooling's gradient from indices that have been computed with")
        w, _ = _pool(x, axes, kernel, stride, padding, dilation)
        planes, single = batched(x, axes)
        gy, _ = batched(gy, axes)
        size = planes.shape[2:]
        nowhere = (1 << 64) - 1  # -1: no place in a window
        at = covering(b, inside, w, size, nowhere)
        gradients = covering(b, gy, w, size)
        mine = b.iota(prod(w.kernel)).reshape((*(1,) * (2 + axes), *w.kernel)).expand(at.shape)
        here = b.map(Map.EQ, at, mine, dtype=BOOL)
        taken = b.map(Map.WHERE, here, gradients, b.constant(0.0, F32), dtype=F32)
        gx = b.sum(taken.reshape((*planes.shape, prod(w.kernel))), -1)
        return gx.squeeze(0) if single else gx


_max_pool(
    aten.max_pool2d_with_indices.default, aten.max_pool2d_with_indices_backward.default, axes=2
)
_max_pool(
    aten.max_pool3d_with_indices.default, aten.max_pool3d_with_indices_backward.default, axes=3
)


def _divisor(
    b: Builder, x: View, w: Window, counts: Sizes, padded: bool, divisor: int | None, ceil: bool
) -> View:
    """What each window's sum is divided by: its elements in the plane, with its padding or not."""
    if divisor or not (ceil or not padded):
        return b.constant(float(divisor or prod(w.kernel)), F32)
    around = w.padding if padded else (0,) * len(w.padding)
    size = (n + 2 * p for n, p in zip(x.shape[2:], around, strict=True))
    ones = b.map(Map.COPY, b.full(1.0, F32, (1, 1, *size)))
    inner = replace(w, padding=tuple(p - a for p, a in zip(w.padding, around, strict=True)))
    return b.sum(_patches(b, ones, inner, counts, 0), -1)


def average(
    b: Builder,
    x: View,
    axes: int,
    kernel: list[int],
    stride: list[int] = [],  # noqa: B006
    padding: list[int] | int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> View:
    """Means of windows over the last `axes` axes."""
    w, counts = _pool(x, axes, kernel, stride, padding, 1, ceil_mode)
    planes, single = batched(x, axes)
    total = b.sum(_patches(b, planes, w, counts, 0), -1)
    by = _divisor(b, planes, w, counts, count_include_pad, divisor, ceil_mode)
    out = b.map(Map.DIV, total, by)
    return out.squeeze(0) if single else out


def average_back(
    b: Builder,
    gy: View,
    x: View,
    axes: int,
    kernel: list[int],
    stride: list[int],
    padding: list[int] | int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> View:
    w, counts = _pool(x, axes, kernel, stride, padding, 1, ceil_mode)
    planes, single = batched(x, axes)
    gy, _ = batched(gy, axes)
    by = _divisor(b, planes, w, counts, count_include_pad, divisor, ceil_mode)
    whole = by.shape == ()
    gy = gy if whole else b.map(Map.DIV, gy, by)
    over = b.plain(covering(b, gy, w, planes.shape[2:]))
    total = b.sum(over.reshape((*planes.shape, prod(w.kernel))), -1)
    out = b.map(Map.DIV, total, by) if whole else total
    return out.squeeze(0) if single else out


def _average_pool(operator: Any, back: Any, axes: int) -> None:
    @rule(operator)
    def forward(b: Builder, x: View, *window: Any) -> View:
        return average(b, x, axes, *window)

    @rule(back)
    def backward(b: Builder, gy: View, x: View, *window: Any) -> View:
        return average_back(b, gy, x, axes, *window)


_average_pool(aten.avg_pool2d.default, aten.avg_pool2d_backward.default, axes=2)
_average_pool(aten.avg_pool3d.default, aten.avg_pool3d_backward.default, axes=3)
