"""Convolution and pooling: windows are views, products are dots."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from worker.program.builder import least_bits
from worker.program.codes import BOOL, F32, I64, Map, Reduce
from worker.program.lower.registry import Builder, Unsupported, View, rule
from worker.program.views import Axis

aten = torch.ops.aten

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """How windows lie over a plane: sizes along height and width."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def outputs(self, size: Pair) -> Pair:
        """Windows along each axis of a plane of this size."""
        h, w = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return h, w


def pair(values: list[int] | int | None, default: Pair = (1, 1)) -> Pair:
    if not values and values != 0:
        return default
    items = [values] if isinstance(values, int) else list(values)
    return (items[0], items[-1])


def windows(b: Builder, x: View, w: Window, fill: int = 0) -> View:
    """[N, C, H, W] -> [N, C, Ho, Wo, kh, kw]: every window's elements, `fill` outside the plane."""
    x = b.plain(x)
    n, c, height, width = x.shape
    ho, wo = w.outputs((height, width))
    if ho < 1 or wo < 1:
        raise Unsupported(f"windows {w} over a plane of {height} x {width}")
    axes = (
        Axis(n, 0, (1, 0, 0, 0, 0, 0)),
        Axis(c, 0, (0, 1, 0, 0, 0, 0)),
        Axis(height, -w.padding[0], (0, 0, w.stride[0], 0, w.dilation[0], 0)),
        Axis(width, -w.padding[1], (0, 0, 0, w.stride[1], 0, w.dilation[1])),
    )
    return View(x.node, x.dtype, (n, c, ho, wo, *w.kernel), axes, fill)


def covering(b: Builder, y: View, w: Window, size: Pair, fill: int = 0) -> View:
    """[N, C, Ho, Wo] -> [N, C, H, W, kh, kw]: for each place of the plane, the windows over it.

    Window number (h + p - i * d) / s holds place h at its position i, where that is a whole number.
    """
    n, c, ho, wo = y.shape
    sh, sw = w.stride
    if (sh, sw) != (1, 1):
        y = b.plain(y)
        # spread out: `fill` between the windows' numbers
        spread_axes = (
            Axis(n, 0, (1, 0, 0, 0, 0, 0)),
            Axis(c, 0, (0, 1, 0, 0, 0, 0)),
            Axis(ho, 0, (0, 0, 1, 0, 0, 0)),
            Axis(1, 0, (0, 0, 0, 1, 0, 0)),
            Axis(wo, 0, (0, 0, 0, 0, 1, 0)),
            Axis(1, 0, (0, 0, 0, 0, 0, 1)),
        )
        spread = View(y.node, y.dtype, (n, c, ho, sh, wo, sw), spread_axes, fill)
        y = b.reshape(spread, (n, c, ho * sh, wo * sw))
    y = b.plain(y)
    axes = (
        Axis(n, 0, (1, 0, 0, 0, 0, 0)),
        Axis(c, 0, (0, 1, 0, 0, 0, 0)),
        Axis(ho * sh, w.padding[0], (0, 0, 1, 0, -w.dilation[0], 0)),
        Axis(wo * sw, w.padding[1], (0, 0, 0, 1, 0, -w.dilation[1])),
    )
    return View(y.node, y.dtype, (n, c, *size, *w.kernel), axes, fill)


def _planes(*views: View | None) -> list[View | None]:
    """Sequences as planes of height one."""
    return [v.unsqueeze(2) if v is not None and len(v.shape) == 3 else v for v in views]


def _window(
    weight: View, sequence: bool, stride: list[int], padding: list[int], dilation: list[int]
) -> Window:
    if sequence:
        return Window(weight.shape[2:], (1, stride[0]), (0, padding[0]), (1, dilation[0]))  # type: ignore[arg-type]
    return Window(
        weight.shape[2:],  # type: ignore[arg-type]
        pair(stride),
        pair(padding, (0, 0)),
        pair(dilation),
    )


def _columns(b: Builder, patches: View, groups: int) -> View:
    """[N, C, H, W, kh, kw] -> [groups, N * H * W, C / groups * kh * kw], rows of a product."""
    n, c, h, w, kh, kw = patches.shape
    rows = b.plain(patches.permute((0, 2, 3, 1, 4, 5)))
    return rows.reshape((n * h * w, groups, c // groups * kh * kw)).permute((1, 0, 2))


def _image(b: Builder, product: View, n: int, size: Pair) -> View:
    """[groups, N * H * W, channels] -> [N, all channels, H, W]."""
    groups, _, channels = product.shape
    flat = b.plain(product.permute((1, 0, 2)))
    return flat.reshape((n, *size, groups * channels)).permute((0, 3, 1, 2))


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
    if transposed:
        raise Unsupported("a transposed convolution")
    if len(x.shape) not in (3, 4):
        raise Unsupported(f"a convolution of {len(x.shape) - 2} dimensions")
    sequence = len(x.shape) == 3
    plane, kernel = (v for v in _planes(x, weight) if v is not None)
    w = _window(kernel, sequence, stride, padding, dilation)
    size = w.outputs(plane.shape[2:])  # type: ignore[arg-type]
    o = kernel.shape[0]
    rows = b.reshape(kernel, (groups, o // groups, prod(kernel.shape[1:])))
    out = b.dot(_columns(b, windows(b, plane, w), groups), rows, b.bits)
    image = _image(b, out, plane.shape[0], size)
    if bias is not None:
        image = b.map(Map.ADD, image, bias.unsqueeze(1).unsqueeze(1))
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
    if transposed:
        raise Unsupported("a transposed convolution")
    sequence = len(x.shape) == 3
    gy, plane, kernel = (v for v in _planes(gy, x, weight) if v is not None)
    w = _window(kernel, sequence, stride, padding, dilation)
    n, _, *size = plane.shape
    o, cg, kh, kw = kernel.shape
    gx = gw = gb = None
    if mask[0]:
        # gx[n, c, h] = sum over o and i of gy[n, o, the window that has h at i] * weight[o, c, i]
        spread = covering(b, gy, w, (size[0], size[1]))
        split = b.reshape(kernel, (groups, o // groups, cg, kh * kw)).permute((0, 2, 1, 3))
        turned = b.reshape(split, (groups, cg, o // groups * kh * kw))
        product = b.dot(_columns(b, spread, groups), turned, b.bits)
        gx = _image(b, product, n, (size[0], size[1]))
        gx = gx.squeeze(2) if sequence else gx
    if mask[1]:
        left = b.plain(gy.permute((1, 0, 2, 3))).reshape((groups, o // groups, gy.count // o))
        right = _columns(b, windows(b, plane, w), groups).permute((0, 2, 1))
        gw = b.dot(left, right, b.bits).reshape(weight.shape)
    if mask[2]:
        gb = b.sum(b.plain(gy.permute((1, 0, 2, 3))).reshape((o, gy.count // o)), 1)
    return gx, gw, gb


# pooling


class _Places(View):
    """Where in its window each maximum stands: only max pooling's own gradient can read it."""


def _pool(
    kernel: list[int], stride: list[int], padding: list[int] | int, dilation: list[int] | int
) -> Window:
    return Window(
        pair(kernel), pair(stride, pair(kernel)), pair(padding, (0, 0)), pair(dilation, (1, 1))
    )


def _whole(x: View, w: Window, ceil_mode: bool) -> None:
    """Refuses ceil_mode where it would add windows that hang over the edge."""
    for size, k, s, p, d in zip(
        x.shape[2:], w.kernel, w.stride, w.padding, w.dilation, strict=True
    ):
        if ceil_mode and (size + 2 * p - d * (k - 1) - 1) % s:
            raise Unsupported("pooling with ceil_mode, where windows hang over the edge")


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
    w = _pool(kernel, stride, padding, dilation)
    _whole(x, w, ceil_mode)
    patches = b.plain(windows(b, x, w, least_bits(F32)))
    n, c, ho, wo, kh, kw = patches.shape
    flat = patches.reshape((n, c, ho, wo, kh * kw))
    places = b.reduce(Reduce.ARGMAX, flat, 4)
    return b.reduce(Reduce.MAX, flat, 4), _Places(
        places.node, places.dtype, places.shape, places.axes
    )


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
    w = _pool(kernel, stride, padding, dilation)
    n, c, h, wd = x.shape
    kh, kw = w.kernel
    places = View(indices.node, indices.dtype, indices.shape, indices.axes)
    nowhere = (1 << 64) - 1  # -1: no place in a window
    at = covering(b, places, w, (h, wd), nowhere)
    gradients = covering(b, gy, w, (h, wd))
    mine = b.iota(kh * kw, I64).reshape((1, 1, 1, 1, kh, kw)).expand((n, c, h, wd, kh, kw))
    here = b.map(Map.EQ, at, mine, dtype=BOOL)
    taken = b.map(Map.WHERE, here, gradients, b.constant(0.0, F32), dtype=F32)
    return b.sum(taken.reshape((n, c, h, wd, kh * kw)), 4)


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
    w = _pool(kernel, stride, padding, 1)
    _check_mean(x, w, ceil_mode, count_include_pad)
    patches = b.plain(windows(b, x, w))
    n, c, ho, wo, kh, kw = patches.shape
    total = b.sum(patches.reshape((n, c, ho, wo, kh * kw)), 4)
    return b.map(Map.DIV, total, b.constant(float(divisor or kh * kw), F32))


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
    w = _pool(kernel, stride, padding, 1)
    _check_mean(x, w, ceil_mode, count_include_pad)
    n, c, h, wd = x.shape
    kh, kw = w.kernel
    spread = b.plain(covering(b, gy, w, (h, wd))).reshape((n, c, h, wd, kh * kw))
    return b.map(Map.DIV, b.sum(spread, 4), b.constant(float(divisor or kh * kw), F32))


def _check_mean(x: View, w: Window, ceil_mode: bool, count_include_pad: bool) -> None:
    _whole(x, w, ceil_mode)
    if w.padding != (0, 0) and not count_include_pad:
        raise Unsupported("average pooling with padding that does not count")
