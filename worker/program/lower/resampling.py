"""Upsampling: each axis by itself, from the places that PyTorch's formulas name, in f32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import torch

from worker.program.codes import BOOL, F32, I64, Map
from worker.program.lower.indexing import along, gathered_back
from worker.program.lower.registry import Builder, View, rule
from worker.program.lower.rounding import floored

aten = torch.ops.aten

# along an axis: places to read, and what each is multiplied by (None: 1)
Taps = list[tuple[View, View | None]]


def _places(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> View:
    """f32 [count]: where on the old axis each new element's middle lies, the first one's at 0."""
    out = b.convert(b.iota(count), F32)
    if corners:
        step = (size - 1) / (count - 1) if count > 1 else 0.0
        return b.map(Map.MUL, out, b.constant(step, F32))
    half = b.constant(0.5, F32)
    step = 1 / scale if scale else size / count
    at = b.map(Map.MUL, b.map(Map.ADD, out, half), b.constant(step, F32))
    return b.map(Map.SUB, at, half)


def _nearest(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> Taps:
    """floor(o * size / count)."""
    step = 1 / scale if scale else size / count
    at = b.map(Map.MUL, b.convert(b.iota(count), F32), b.constant(step, F32))
    return [(b.map(Map.MINIMUM, b.convert(at, I64), b.constant(size - 1, I64)), None)]


def _nearest_exact(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> Taps:
    """floor((o + 1/2) * size / count)."""
    step = 1 / scale if scale else size / count
    middle = b.map(Map.ADD, b.convert(b.iota(count), F32), b.constant(0.5, F32))
    at = b.map(Map.MUL, middle, b.constant(step, F32))
    return [(b.map(Map.MINIMUM, b.convert(at, I64), b.constant(size - 1, I64)), None)]


def _linear(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> Taps:
    """The two neighbours of a place between them, by their distances from it."""
    at = _places(b, size, count, scale, corners)
    if not corners:
        at = b.map(Map.MAXIMUM, at, b.constant(0.0, F32))
    last = b.constant(size - 1, I64)
    low = b.map(Map.MINIMUM, b.convert(at, I64), last)
    high = b.map(Map.MINIMUM, b.map(Map.ADD, low, b.constant(1, I64)), last)
    above = b.map(Map.SUB, at, b.convert(low, F32))
    below = b.map(Map.SUB, b.constant(1.0, F32), above)
    return [(low, below), (high, above)]


def _polynomial(b: Builder, x: View, coefficients: tuple[float, ...]) -> View:
    """By Horner's scheme, from the highest power down; each operation rounded."""
    total = b.constant(coefficients[0], F32)
    for c in coefficients[1:]:
        total = b.map(Map.ADD, b.map(Map.MUL, total, x), b.constant(c, F32))
    return total


def _near(a: float) -> tuple[float, ...]:
    """Keys' cubic up to a distance of 1."""
    return (a + 2, -(a + 3), 0.0, 1.0)


def _far(a: float) -> tuple[float, ...]:
    """And from there to a distance of 2."""
    return (a, -5 * a, 8 * a, -4 * a)


def _cubic(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> Taps:
    """Four neighbours by Keys' cubic with a = -3/4; what lies outside is the edge."""
    at = _places(b, size, count, scale, corners)
    low = floored(b, at)
    one = b.constant(1.0, F32)
    past = b.map(Map.SUB, at, low)
    ahead = b.map(Map.SUB, one, past)
    weights = (
        _polynomial(b, b.map(Map.ADD, past, one), _far(-0.75)),
        _polynomial(b, past, _near(-0.75)),
        _polynomial(b, ahead, _near(-0.75)),
        _polynomial(b, b.map(Map.ADD, ahead, one), _far(-0.75)),
    )
    first = b.convert(low, I64)
    taps: Taps = []
    for k, weight in enumerate(weights):
        place = b.map(Map.ADD, first, b.constant(k - 1, I64))
        inside = b.map(Map.MAXIMUM, place, b.constant(0, I64))
        taps.append((b.map(Map.MINIMUM, inside, b.constant(size - 1, I64)), weight))
    return taps


def _tent(b: Builder, distance: View) -> View:
    return b.map(Map.RELU, b.map(Map.SUB, b.constant(1.0, F32), distance))


def _hat(b: Builder, distance: View) -> View:
    """Keys' cubic with a = -1/2, as Pillow has it."""
    near = b.map(Map.LT, distance, b.constant(1.0, F32), dtype=BOOL)
    inside = b.map(Map.LT, distance, b.constant(2.0, F32), dtype=BOOL)
    far = _polynomial(b, distance, _far(-0.5))
    outer = b.map(Map.WHERE, inside, far, b.constant(0.0, F32), dtype=F32)
    return b.map(Map.WHERE, near, _polynomial(b, distance, _near(-0.5)), outer, dtype=F32)


def _smoothed(filtered: Callable[[Builder, View], View], reach: float) -> Callable[..., Taps]:
    """With antialias: all elements that a filter, as wide as a new element, reaches."""

    def taps(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> Taps:
        if corners:
            step = (size - 1) / (count - 1) if count > 1 else 0.0
        else:
            step = 1 / scale if scale else size / count
        support = reach * max(step, 1.0)
        half = b.constant(0.5, F32)
        middle = b.map(Map.ADD, b.convert(b.iota(count), F32), half)
        center = b.map(Map.MUL, middle, b.constant(step, F32))
        low = b.map(Map.ADD, b.map(Map.SUB, center, b.constant(support, F32)), half)
        high = b.map(Map.ADD, b.map(Map.ADD, center, b.constant(support, F32)), half)
        first = b.map(Map.MAXIMUM, b.convert(low, I64), b.constant(0, I64))
        end = b.map(Map.MINIMUM, b.convert(high, I64), b.constant(size, I64))
        found: list[tuple[View, View]] = []
        total: View | None = None
        for k in range(min(2 * ceil(support) + 1, size)):
            place = b.map(Map.ADD, first, b.constant(k, I64))
            apart = b.map(Map.ADD, b.map(Map.SUB, b.convert(place, F32), center), half)
            distance = b.map(Map.ABS, b.map(Map.MUL, apart, b.constant(1 / max(step, 1.0), F32)))
            held = b.map(Map.LT, place, end, dtype=BOOL)
            zero = b.constant(0.0, F32)
            weight = b.map(Map.WHERE, held, filtered(b, distance), zero, dtype=F32)
            total = weight if total is None else b.map(Map.ADD, total, weight)
            found.append((b.map(Map.MINIMUM, place, b.constant(size - 1, I64)), weight))
        assert total is not None
        return [(place, b.map(Map.DIV, weight, total)) for place, weight in found]

    return taps


def _turned(b: Builder, weight: View, rank: int, axis: int) -> View:
    """A weight for each place of one axis, beside a tensor of this rank."""
    for _ in range(axis + 1, rank):
        weight = weight.unsqueeze(len(weight.shape))
    return weight


def _resampled(b: Builder, x: View, axis: int, taps: Taps) -> View:
    total: View | None = None
    for places, weight in taps:
        part = along(b, x, axis, places)
        if weight is not None:
            part = b.map(Map.MUL, part, _turned(b, weight, len(x.shape), axis))
        total = part if total is None else b.map(Map.ADD, total, part)
    assert total is not None
    return total


def _resampled_back(b: Builder, gy: View, axis: int, taps: Taps, size: int) -> View:
    """The transpose: every output's gradient goes to the places that it was read from."""
    total: View | None = None
    for places, weight in taps:
        part = gy
        if weight is not None:
            part = b.map(Map.MUL, gy, _turned(b, weight, len(gy.shape), axis))
        sums = gathered_back(b, part, axis, places, size)
        total = sums if total is None else b.map(Map.ADD, total, sums)
    assert total is not None
    return total


def _upsample(name: str, along_axis: Callable[..., Taps], corners: bool) -> None:
    """The rules of an operator and of its gradient; corners: whether it takes align_corners."""

    def taps(
        b: Builder, sizes: Sequence[int], counts: Sequence[int], rest: tuple[Any, ...]
    ) -> Iterator[tuple[int, Taps, int]]:
        """Axis, taps and size of every axis that is resampled."""
        aligned, scales = (rest[0], rest[1:]) if corners else (False, rest)
        for k, (size, count) in enumerate(zip(sizes, counts, strict=True)):
            scale = scales[k] if k < len(scales) else None
            yield 2 + k, along_axis(b, size, count, scale, aligned), size

    @rule(getattr(aten, name).default)
    def forward(b: Builder, x: View, counts: list[int], *rest: Any) -> View:
        for axis, found, _ in taps(b, x.shape[2:], counts, rest):
            x = _resampled(b, x, axis, found)
        return x

    @rule(getattr(aten, f"{name}_backward").default)
    def backward(b: Builder, gy: View, counts: list[int], sizes: list[int], *rest: Any) -> View:
        for axis, found, size in taps(b, sizes[2:], counts, rest):
            gy = _resampled_back(b, gy, axis, found, size)
        return gy


for _axes in (1, 2, 3):
    _upsample(f"upsample_nearest{_axes}d", _nearest, corners=False)
    _upsample(f"_upsample_nearest_exact{_axes}d", _nearest_exact, corners=False)
for _name in ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"):
    _upsample(_name, _linear, corners=True)
_upsample("upsample_bicubic2d", _cubic, corners=True)
_upsample("_upsample_bilinear2d_aa", _smoothed(_tent, 1.0), corners=True)
_upsample("_upsample_bicubic2d_aa", _smoothed(_hat, 2.0), corners=True)
