"""Convolution: windows are views, products are dots."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from worker.program.codes import Map
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
        raise Unsupported(f"windows {w} over a plane of {height} x {width}: it is smaller than one")
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


def _windowed(b: Builder, plane: View, kernel: View, w: Window, groups: int) -> View:
    """[N, C, H, W] and [O, C / groups, kh, kw] -> [N, O, Ho, Wo]."""
    o = kernel.shape[0]
    rows = b.reshape(kernel, (groups, o // groups, prod(kernel.shape[1:])))
    out = b.dot(_columns(b, windows(b, plane, w), groups), rows, b.bits)
    return _image(b, out, plane.shape[0], w.outputs(plane.shape[2:]))  # type: ignore[arg-type]


def _unwindowed(b: Builder, y: View, kernel: View, w: Window, size: Pair, groups: int) -> View:
    """The transpose of `_windowed` in its plane: [N, O, Ho, Wo] -> [N, C, H, W] of this size.

    x[n, c, h] = sum over o and i of y[n, o, the window that has h at i] * kernel[o, c, i].
    """
    o, cg, kh, kw = kernel.shape
    split = b.reshape(kernel, (groups, o // groups, cg, kh * kw)).permute((0, 2, 1, 3))
    rows = b.reshape(split, (groups, cg, o // groups * kh * kw))
    product = b.dot(_columns(b, covering(b, y, w, size), groups), rows, b.bits)
    return _image(b, product, y.shape[0], size)


def _kernel_gradient(b: Builder, gy: View, plane: View, w: Window, groups: int) -> View:
    """[O, C / groups * kh * kw] as [groups, O / groups, ...]: products of outputs and windows."""
    o = gy.shape[1]
    left = b.plain(gy.permute((1, 0, 2, 3))).reshape((groups, o // groups, gy.count // o))
    right = _columns(b, windows(b, plane, w), groups).permute((0, 2, 1))
    return b.dot(left, right, b.bits)


def _of_plane(x: View, transposed: bool) -> bool:
    """Whether this is a sequence; Unsupported for volumes."""
    if len(x.shape) not in (3, 4):
        kind = "transposed convolution" if transposed else "convolution"
        raise Unsupported(f"a {kind} of {len(x.shape) - 2} dimensions: programs have one and two")
    return len(x.shape) == 3


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
    sequence = _of_plane(x, transposed)
    plane, kernel = (v for v in _planes(x, weight) if v is not None)
    w = _window(kernel, sequence, stride, padding, dilation)
    if transposed:
        more = (0, output_padding[0]) if sequence else pair(output_padding, (0, 0))
        height, width = (
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + extra
            for n, s, p, d, k, extra in zip(
                plane.shape[2:], w.stride, w.padding, w.dilation, w.kernel, more, strict=True
            )
        )
        image = _unwindowed(b, plane, kernel, w, (height, width), groups)
    else:
        image = _windowed(b, plane, kernel, w, groups)
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
    sequence = _of_plane(x, transposed)
    gy, plane, kernel = (v for v in _planes(gy, x, weight) if v is not None)
    w = _window(kernel, sequence, stride, padding, dilation)
    size: Pair = (plane.shape[2], plane.shape[3])
    if transposed and w.outputs((gy.shape[2], gy.shape[3])) != size:
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
        gb = b.sum(b.plain(gy.permute((1, 0, 2, 3))).reshape((o, gy.count // o)), 1)
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
    w = Window(pair(kernel), pair(stride), pair(padding, (0, 0)), pair(dilation))
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
    w = Window(pair(kernel), pair(stride), pair(padding, (0, 0)), pair(dilation))
    columns = x if len(x.shape) == 3 else x.unsqueeze(0)
    (ho, wo), (kh, kw), (n, rows, _) = w.outputs(pair(size)), w.kernel, columns.shape
    c = rows // (kh * kw)
    # a plane for each place in the window; of each, the window that has a place there
    total: View | None = None
    split = b.reshape(columns, (n, c, kh, kw, ho, wo))
    for i in range(kh):
        for j in range(kw):
            part = split.slice(2, i, 1).slice(3, j, 1).squeeze(3).squeeze(2)
            over = covering(b, part, w, pair(size))
            mine = over.slice(4, i, 1).slice(5, j, 1).squeeze(5).squeeze(4)
            total = mine if total is None else b.map(Map.ADD, total, mine)
    assert total is not None
    return total if len(x.shape) == 3 else total.squeeze(0)
