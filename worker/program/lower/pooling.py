"""Pooling over windows, whose bounds may differ from place to place."""

from __future__ import annotations

from dataclasses import replace

import torch

from worker.program.builder import least_bits
from worker.program.codes import BOOL, F32, I64, Map, Reduce
from worker.program.lower.constants import vector
from worker.program.lower.indexing import along, scatter_add
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule
from worker.program.lower.windows import Pair, Window, covering, pair, windows

aten = torch.ops.aten


class _Places(View):
    """Where in its window each maximum stands: only max pooling's own gradient can read it."""


def _pool(
    x: View,
    kernel: list[int],
    stride: list[int],
    padding: list[int] | int,
    dilation: list[int] | int = 1,
    ceil_mode: bool = False,
) -> tuple[Window, Pair]:
    """The windows, and how many there are; with ceil_mode one more where it starts inside."""
    w = Window(
        pair(kernel), pair(stride, pair(kernel)), pair(padding, (0, 0)), pair(dilation, (1, 1))
    )
    counts = []
    for size, k, s, p, d in zip(
        x.shape[-2:], w.kernel, w.stride, w.padding, w.dilation, strict=True
    ):
        room = size + 2 * p - d * (k - 1) - 1
        count = room // s + 1
        if ceil_mode and room % s and count * s < size + p:
            count += 1
        counts.append(count)
    return w, (counts[0], counts[1])


def _patches(b: Builder, x: View, w: Window, counts: Pair, fill: int) -> View:
    """[N, C, Ho, Wo, kh * kw]: every window's elements."""
    found = windows(b, x, w, fill)
    n, c, _, _, kh, kw = found.shape
    # what hangs over the edge reads the fill
    whole = b.plain(replace(found, shape=(n, c, *counts, kh, kw)))
    return whole.reshape((n, c, *counts, kh * kw))


def _batched(x: View) -> tuple[View, bool]:
    """[N, C, H, W], and whether N was missing."""
    return (x, False) if len(x.shape) == 4 else (x.unsqueeze(0), True)


@rule(aten.max_pool2d_with_indices.default)
def max_pool2d(
    b: Builder,
    x: View,
    kernel: list[int],
    stride: list[int] = [],  # noqa: B006
    padding: list[int] = [0, 0],  # noqa: B006
    dilation: list[int] = [1, 1],  # noqa: B006
    ceil_mode: bool = False,
) -> tuple[View, View]:
    w, counts = _pool(x, kernel, stride, padding, dilation, ceil_mode)
    planes, single = _batched(x)
    flat = _patches(b, planes, w, counts, least_bits(F32))
    values, places = b.reduce(Reduce.MAX, flat, 4), b.reduce(Reduce.ARGMAX, flat, 4)
    if single:
        values, places = values.squeeze(0), places.squeeze(0)
    return values, _Places(places.node, places.dtype, places.shape, places.axes)


@rule(aten.max_pool2d_with_indices_backward.default)
def max_pool2d_backward(
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
    if not isinstance(indices, _Places):
        raise Unsupported("max pooling's gradient from indices that have been computed with")
    w, _ = _pool(x, kernel, stride, padding, dilation)
    planes, single = _batched(x)
    gy, _ = _batched(gy)
    n, c, h, wd = planes.shape
    kh, kw = w.kernel
    places, _ = _batched(View(indices.node, indices.dtype, indices.shape, indices.axes))
    nowhere = (1 << 64) - 1  # -1: no place in a window
    at = covering(b, places, w, (h, wd), nowhere)
    gradients = covering(b, gy, w, (h, wd))
    mine = b.iota(kh * kw, I64).reshape((1, 1, 1, 1, kh, kw)).expand((n, c, h, wd, kh, kw))
    here = b.map(Map.EQ, at, mine, dtype=BOOL)
    taken = b.map(Map.WHERE, here, gradients, b.constant(0.0, F32), dtype=F32)
    gx = b.sum(taken.reshape((n, c, h, wd, kh * kw)), 4)
    return gx.squeeze(0) if single else gx


def _divisor(
    b: Builder, x: View, w: Window, counts: Pair, padded: bool, divisor: int | None, ceil: bool
) -> View:
    """What each window's sum is divided by: its elements in the plane, with its padding or not."""
    kh, kw = w.kernel
    if divisor or not (ceil or not padded):
        return b.constant(float(divisor or kh * kw), F32)
    height, width = x.shape[-2:]
    ph, pw = w.padding if padded else (0, 0)
    ones = b.map(Map.COPY, b.full(1.0, F32, (1, 1, height + 2 * ph, width + 2 * pw)))
    inner = replace(w, padding=(w.padding[0] - ph, w.padding[1] - pw))
    return b.sum(_patches(b, ones, inner, counts, 0), 4)


@rule(aten.avg_pool2d.default)
def avg_pool2d(
    b: Builder,
    x: View,
    kernel: list[int],
    stride: list[int] = [],  # noqa: B006
    padding: list[int] = [0, 0],  # noqa: B006
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> View:
    w, counts = _pool(x, kernel, stride, padding, 1, ceil_mode)
    planes, single = _batched(x)
    total = b.sum(_patches(b, planes, w, counts, 0), 4)
    by = _divisor(b, planes, w, counts, count_include_pad, divisor, ceil_mode)
    out = b.map(Map.DIV, total, by)
    return out.squeeze(0) if single else out


@rule(aten.avg_pool2d_backward.default)
def avg_pool2d_backward(
    b: Builder,
    gy: View,
    x: View,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> View:
    w, counts = _pool(x, kernel, stride, padding, 1, ceil_mode)
    planes, single = _batched(x)
    gy, _ = _batched(gy)
    n, c, h, wd = planes.shape
    kh, kw = w.kernel
    by = _divisor(b, planes, w, counts, count_include_pad, divisor, ceil_mode)
    whole = by.shape == ()
    gy = gy if whole else b.map(Map.DIV, gy, by)
    total = b.sum(b.plain(covering(b, gy, w, (h, wd))).reshape((n, c, h, wd, kh * kw)), 4)
    out = b.map(Map.DIV, total, by) if whole else total
    return out.squeeze(0) if single else out


# adaptive pooling: as many windows as asked for, of sizes that may differ by one


def _bounds(size: int, count: int) -> tuple[list[int], list[int]]:
    """First element and length of each of `count` windows over `size` elements."""
    starts = [o * size // count for o in range(count)]
    ends = [-(-(o + 1) * size // count) for o in range(count)]
    return starts, [e - s for s, e in zip(starts, ends, strict=True)]


def _regular(x: View, size: list[int]) -> list[int] | None:
    """The windows' size where all are the same, side by side."""
    h, w = x.shape[-2:]
    return None if h % size[0] or w % size[1] else [h // size[0], w // size[1]]


def _spread(b: Builder, x: View, size: list[int]) -> tuple[View, View, list[View]]:
    """[N, C, Ho, Wo, kh, kw] of windows of the largest size, where they hold an element, and the
    lists of the elements' places along height and width."""
    planes, _ = _batched(x)
    n, c, *whole = planes.shape
    lists, masks, most = [], [], []
    for axis, (length, count) in enumerate(zip(whole, size, strict=True)):
        starts, lengths = _bounds(length, count)
        k = max(lengths)
        places = [min(s + i, length - 1) for s in starts for i in range(k)]
        lists.append(vector(b, places, I64))
        planes = along(b, planes, 2 + axis, lists[-1])
        inside = b.map(Map.LT, b.iota(k), vector(b, lengths, I64).unsqueeze(1), dtype=BOOL)
        masks.append(inside)  # [count, k]
        most.append(k)
    (ho, wo), (kh, kw) = size, most
    split = b.reshape(planes, (n, c, ho, kh, wo, kw)).permute((0, 1, 2, 4, 3, 5))
    rows = masks[0].unsqueeze(1).unsqueeze(3)  # [ho, 1, kh, 1]
    columns = masks[1].unsqueeze(1).unsqueeze(0)  # [1, wo, 1, kw]
    return split, b.map(Map.AND, rows, columns), lists


def _areas(b: Builder, x: View, size: list[int]) -> View:
    """[Ho, Wo]: how many elements each window holds."""
    (_, heights), (_, widths) = (_bounds(n, k) for n, k in zip(x.shape[-2:], size, strict=True))
    tall, wide = (b.convert(vector(b, v, I64), F32) for v in (heights, widths))
    return b.map(Map.MUL, tall.unsqueeze(1), wide)


@rule(aten._adaptive_avg_pool2d.default)
def adaptive_avg_pool2d(b: Builder, x: View, size: list[int]) -> View:
    if kernel := _regular(x, size):
        return avg_pool2d(b, x, kernel)
    split, inside, _ = _spread(b, x, size)
    held = b.map(Map.WHERE, inside, split, b.constant(0.0, F32), dtype=F32)
    n, c, ho, wo, kh, kw = held.shape
    total = b.sum(held.reshape((n, c, ho, wo, kh * kw)), 4)
    out = b.map(Map.DIV, total, _areas(b, x, size))
    return out if len(x.shape) == 4 else out.squeeze(0)


def gathered_back(b: Builder, y: View, axis: int, places: View, size: int) -> View:
    """The transpose of `along`: elements summed into the places of an axis that they came from."""
    axis = axis_of(axis, y)
    order = (axis, *(k for k in range(len(y.shape)) if k != axis))
    rows = y.permute(order)
    flat = b.reshape(rows, (rows.shape[0], rows.count // rows.shape[0]))
    total = b.scatter(flat, places, size).reshape((size, *rows.shape[1:]))
    return total.permute(tuple(order.index(k) for k in range(len(order))))


@rule(aten._adaptive_avg_pool2d_backward.default)
def adaptive_avg_pool2d_backward(b: Builder, gy: View, x: View) -> View:
    size = list(gy.shape[-2:])
    if kernel := _regular(x, size):
        return avg_pool2d_backward(b, gy, x, kernel, kernel, [0, 0], False, True, None)
    split, inside, lists = _spread(b, x, size)
    n, c, ho, wo, kh, kw = split.shape
    gy, _ = _batched(b.map(Map.DIV, gy, _areas(b, x, size)))
    each = gy.unsqueeze(4).unsqueeze(5).expand(split.shape)
    held = b.map(Map.WHERE, inside, each, b.constant(0.0, F32), dtype=F32)
    flat = b.reshape(held.permute((0, 1, 2, 4, 3, 5)), (n, c, ho * kh, wo * kw))
    for axis, places in enumerate(lists):
        flat = gathered_back(b, flat, 2 + axis, places, x.shape[axis - 2])
    return flat if len(x.shape) == 4 else flat.squeeze(0)


@rule(aten.adaptive_max_pool2d.default)
def adaptive_max_pool2d(b: Builder, x: View, size: list[int]) -> tuple[View, View]:
    split, inside, lists = _spread(b, x, size)
    least = b.constant(float("-inf"), F32)
    held = b.map(Map.WHERE, inside, split, least, dtype=F32)
    n, c, ho, wo, kh, kw = held.shape
    flat = held.reshape((n, c, ho, wo, kh * kw))
    at = b.reduce(Reduce.ARGMAX, flat, 4)
    # the place in the plane: of each window and position, its row times the width, and its column
    rows = b.map(Map.MUL, lists[0], b.constant(x.shape[-1], I64)).reshape((ho, 1, kh, 1))
    plane = b.map(Map.ADD, rows, lists[1].reshape((1, wo, 1, kw))).reshape((ho * wo, kh * kw, 1))
    index = b.reshape(at.permute((2, 3, 0, 1)), (ho * wo, n * c))
    where = b.gather(plane, index).reshape((ho, wo, n, c)).permute((2, 3, 0, 1))
    values = b.reduce(Reduce.MAX, flat, 4)
    return (values, where) if len(x.shape) == 4 else (values.squeeze(0), where.squeeze(0))


@rule(aten.adaptive_max_pool2d_backward.default)
def adaptive_max_pool2d_backward(b: Builder, gy: View, x: View, indices: View) -> View:
    rank = len(x.shape) - 2
    shape, plane = x.shape[:rank], x.shape[-2] * x.shape[-1]
    flat = (*shape, gy.shape[-2] * gy.shape[-1])
    zeros = b.full(0.0, F32, (*shape, plane))
    total = scatter_add(b, zeros, rank, b.reshape(indices, flat), b.reshape(gy, flat))
    return b.reshape(total, x.shape)
