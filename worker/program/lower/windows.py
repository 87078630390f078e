"""Convolution: windows are views, products are dots."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from worker.program.codes import Map
from worker.program.lower.registry import Builder, Unsupported, View, rule
from worker.program.views import Axis

aten = torch.ops.aten

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """How windows lie over a plane or a volume: sizes along each of its axes."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes

    def outputs(self, size: Sizes) -> Sizes:
        """Windows along each axis of a plane of this size."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )


def each(values: list[int] | int | None, axes: int, default: Sizes | int = 1) -> Sizes:
    """One number for each axis, of a list of as many, of one, or of none."""
    if not values and values != 0:
        return (default,) * axes if isinstance(default, int) else default
    items = (values,) if isinstance(values, int) else tuple(values)
    return items * axes if len(items) == 1 else items


def _at(rank: int, *strides: tuple[int, int]) -> tuple[int, ...]:
    """Strides of so many axes that are zero but for these."""
    found = dict(strides)
    return tuple(found.get(k, 0) for k in range(rank))


def windows(b: Builder, x: View, w: Window, fill: int = 0) -> View:
    """[N, C, *plane] -> [N, C, *windows, *kernel]: every window's elements, `fill` outside."""
    x = b.plain(x)
    count, channels, *size = x.shape
    axes = len(size)
    found = w.outputs(tuple(size))
    if min(found) < 1:
        plane = " x ".join(map(str, size))
        raise Unsupported(f"windows {w} over a plane of {plane}: it is smaller than one")
    rank = 2 + 2 * axes
    seen = [Axis(count, 0, _at(rank, (0, 1))), Axis(channels, 0, _at(rank, (1, 1)))]
    for k, n in enumerate(size):
        strides = _at(rank, (2 + k, w.stride[k]), (2 + axes + k, w.dilation[k]))
        seen.append(Axis(n, -w.padding[k], strides))
    return View(x.node, x.dtype, (count, channels, *found, *w.kernel), tuple(seen), fill)


def covering(b: Builder, y: View, w: Window, size: Sizes, fill: int = 0) -> View:
    """[N, C, *windows] -> [N, C, *plane, *kernel]: for each place, the windows over it.

    Window number (h + p - i * d) / s holds place h at its position i, where that is a whole number.
    """
    count, channels, *found = y.shape
    axes = len(found)
    if set(w.stride) != {1}:
        y = b.plain(y)
        # spread out: `fill` between the windows' numbers
        rank = 2 + 2 * axes
        spread = [Axis(count, 0, _at(rank, (0, 1))), Axis(channels, 0, _at(rank, (1, 1)))]
        shape = [count, channels]
        for k, n in enumerate(found):
            spread.append(Axis(n, 0, _at(rank, (2 + 2 * k, 1))))
            spread.append(Axis(1, 0, _at(rank, (3 + 2 * k, 1))))
            shape += [n, w.stride[k]]
        found = [n * s for n, s in zip(found, w.stride, strict=True)]
        apart = View(y.node, y.dtype, tuple(shape), tuple(spread), fill)
        y = b.reshape(apart, (count, channels, *found))
    y = b.plain(y)
    rank = 2 + 2 * axes
    seen = [Axis(count, 0, _at(rank, (0, 1))), Axis(channels, 0, _at(rank, (1, 1)))]
    for k, n in enumerate(found):
        strides = _at(rank, (2 + k, 1), (2 + axes + k, -w.dilation[k]))
        seen.append(Axis(n, w.padding[k], strides))
    return View(y.node, y.dtype, (count, channels, *size, *w.kernel), tuple(seen), fill)


def _planes(*views: View | None) -> list[View | None]:
    """Sequences as planes of height one."""
    return [v.unsqueeze(2) if v is not None and len(v.shape) == 3 else v for v in views]


def _window(
    weight: View, sequence: bool, stride: list[int], padding: list[int], dilation: list[int]
) -> Window:
    kernel = weight.shape[2:]
    if sequence:
        return Window(kernel, (1, stride[0]), (0, padding[0]), (1, dilation[0]))
    axes = len(kernel)
    return Window(kernel, each(stride, axes), each(padding, axes, 0), each(dilation, axes))


def _columns(b: Builder, patches: View, groups: int) -> View:
    """[N, C, *plane, *kernel] -> [groups, N * places, C / groups * kernel], rows of a product."""
    n, c, *rest = patches.shape
    axes = len(rest) // 2
    order = (0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes))
    rows = b.plain(patches.permute(order))
    places, kernel = prod(rest[:axes]), prod(rest[axes:])
    return rows.reshape((n * places, groups, c // groups * kernel)).permute((1, 0, 2))


def _image(b: Builder, product: View, n: int, size: Sizes) -> View:
    """[groups, N * places, channels] -> [N, all channels, *plane]."""
    groups, _, channels = product.shape
    flat = b.plain(product.permute((1, 0, 2)))
    last = 1 + len(size)
    whole = flat.reshape((n, *size, groups * channels))
    return whole.permute((0, last, *range(1, last)))


def _windowed(b: Builder, plane: View, kernel: View, w: Window, groups: int) -> View:
    """[N, C, *plane] and [O, C / groups, *kernel] -> [N, O, *windows]."""
    o = kernel.shape[0]
    rows = b.reshape(kernel, (groups, o // groups, prod(kernel.shape[1:])))
    out = b.dot(_columns(b, windows(b, plane, w), groups), rows, b.bits)
    return _image(b, out, plane.shape[0], w.outputs(plane.shape[2:]))


def _unwindowed(b: Builder, y: View, kernel: View, w: Window, size: Sizes, groups: int) -> View:
    """The transpose of `_windowed` in its plane: [N, O, *windows] -> [N, C, *plane] of this size.

    x[n, c, h] = sum over o and i of y[n, o, the window that has h at i] * kernel[o, c, i].
    """
    o, cg, *lengths = kernel.shape
    volume = prod(lengths)
    split = b.reshape(kernel, (groups, o // groups, cg, volume)).permute((0, 2, 1, 3))
    rows = b.reshape(split, (groups, cg, o // groups * volume))
    product = b.dot(_columns(b, covering(b, y, w, size), groups), rows, b.bits)
    return _image(b, product, y.shape[0], size)


def _turned(x: View) -> View:
    """The first two axes exchanged."""
    return x.permute((1, 0, *range(2, len(x.shape))))


def _kernel_gradient(b: Builder, gy: View, plane: View, w: Window, groups: int) -> View:
    """[O, C / groups * kernel] as [groups, O / groups, ...]: products of outputs and windows."""
    o = gy.shape[1]
    left = b.plain(_turned(gy)).reshape((groups, o // groups, gy.count // o))
    right = _columns(b, windows(b, plane, w), groups).permute((0, 2, 1))
    return b.dot(left, right, b.bits)


@rule(aten.convolution.default)
def convolution(
    b: Builder,
    x: View,
    weight: View,
    bias: View | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> View:
    """Of sequences, planes and volumes."""
    sequence = len(x.shape) == 3
    plane, kernel = (v for v in _planes(x, weight) if v is not None)
    w = _window(kernel, sequence, stride, padding, dilation)
    if transposed:
        axes = len(w.kernel)
        more = (0, output_padding[0]) if sequence else each(output_padding, axes, 0)
        size = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + extra
            for n, s, p, d, k, extra in zip(
                plane.shape[2:], w.stride, w.padding, w.dilation, w.kernel, more, strict=True
            )
        )
        image = _unwindowed(b, plane, kernel, w, size, groups)
    else:
        image = _windowed(b, plane, kernel, w, groups)
    if bias is not None:
        for _ in image.shape[2:]:
            bias = bias.unsqueeze(len(bias.shape))
        image = b.map(Map.ADD, image, bias)
    return image.squeeze(2) if sequence else image


@rule(aten.convolution_backward.default)
def convolution_backward(
    b: Builder,
    gy: View,
    x: View,
    weight: View,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    mask: list[bool],
) -> tuple[View | None, View | None, View | None]:
    sequence = len(x.shape) == 3
    gy, plane, kernel = (v for v in _planes(gy, x, weight) if v is not None)
    w = _window(kernel, sequence, stride, padding, dilation)
    size = plane.shape[2:]
    if transposed and w.outputs(gy.shape[2:]) != size:
        raise Unsupported("a transposed convolution whose output padding is more than its stride")
    gx = gw = gb = None
    if mask[0]:
        if transposed:
            gx = _windowed(b, gy, kernel, w, groups)
        else:
            gx = _unwindowed(b, gy, kernel, w, size, groups)
        gx = gx.squeeze(2) if sequence else gx
    if mask[1]:
        small, large = (plane, gy) if transposed else (gy, plane)
        gw = _kernel_gradient(b, small, large, w, groups).reshape(weight.shape)
    if mask[2]:
        o = gy.shape[1]
        gb = b.sum(b.plain(_turned(gy)).reshape((o, gy.count // o)), 1)
    return gx, gw, gb


@rule(aten.im2col.default)
def im2col(
    b: Builder,
    x: View,
    kernel: list[int],
    dilation: list[int],
    padding: list[int],
    stride: list[int],
) -> View:
    """torch.nn.functional.unfold: [N, C, H, W] -> [N, C * kh * kw, windows]."""
    w = Window(each(kernel, 2), each(stride, 2), each(padding, 2, 0), each(dilation, 2))
    planes = x if len(x.shape) == 4 else x.unsqueeze(0)
    patches = windows(b, planes, w)
    n, c, ho, wo, kh, kw = patches.shape
    out = b.reshape(patches.permute((0, 1, 4, 5, 2, 3)), (n, c * kh * kw, ho * wo))
    return out if len(x.shape) == 4 else out.squeeze(0)


@rule(aten.col2im.default)
def col2im(
    b: Builder,
    x: View,
    size: list[int],
    kernel: list[int],
    dilation: list[int],
    padding: list[int],
    stride: list[int],
) -> View:
    """torch.nn.functional.fold: the sum of the windows over each place."""
    w = Window(each(kernel, 2), each(stride, 2), each(padding, 2, 0), each(dilation, 2))
    columns = x if len(x.shape) == 3 else x.unsqueeze(0)
    plane = each(size, 2)
    (ho, wo), (kh, kw), (n, rows, _) = w.outputs(plane), w.kernel, columns.shape
    c = rows // (kh * kw)
    # a plane for each place in the window; of each, the window that has a place there
    total: View | None = None
    split = b.reshape(columns, (n, c, kh, kw, ho, wo))
    for i in range(kh):
        for j in range(kw):
            part = split.slice(2, i, 1).slice(3, j, 1).squeeze(3).squeeze(2)
            over = covering(b, part, w, plane)
            mine = over.slice(4, i, 1).slice(5, j, 1).squeeze(5).squeeze(4)
            total = mine if total is None else b.map(Map.ADD, total, mine)
    assert total is not None
    return total if len(x.shape) == 3 else total.squeeze(0)
