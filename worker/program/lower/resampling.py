"""Upsampling: each axis by itself, from the places that PyTorch's formulas name, in f32."""

from __future__ import annotations

from typing import Any

import torch

from worker.program.codes import F32, I64, Map
from worker.program.lower.indexing import along, gathered_back
from worker.program.lower.registry import Builder, View, rule

aten = torch.ops.aten

# along an axis: places to read, and what each is multiplied by (None: 1)
Taps = list[tuple[View, View | None]]


def _nearest(b: Builder, size: int, count: int, scale: float | None) -> Taps:
    """floor(o * size / count)."""
    step = 1 / scale if scale else size / count
    at = b.map(Map.MUL, b.convert(b.iota(count), F32), b.constant(step, F32))
    return [(b.map(Map.MINIMUM, b.convert(at, I64), b.constant(size - 1, I64)), None)]


def _linear(b: Builder, size: int, count: int, scale: float | None, corners: bool) -> Taps:
    """The two neighbours of a place between them, by their distances from it."""
    out = b.convert(b.iota(count), F32)
    if corners:
        step = (size - 1) / (count - 1) if count > 1 else 0.0
        at = b.map(Map.MUL, out, b.constant(step, F32))
    else:
        step = 1 / scale if scale else size / count
        half = b.constant(0.5, F32)
        at = b.map(Map.MUL, b.map(Map.ADD, out, half), b.constant(step, F32))
        at = b.map(Map.MAXIMUM, b.map(Map.SUB, at, half), b.constant(0.0, F32))
    last = b.constant(size - 1, I64)
    low = b.map(Map.MINIMUM, b.convert(at, I64), last)
    high = b.map(Map.MINIMUM, b.map(Map.ADD, low, b.constant(1, I64)), last)
    above = b.map(Map.SUB, at, b.convert(low, F32))
    below = b.map(Map.SUB, b.constant(1.0, F32), above)
    return [(low, below), (high, above)]


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


def _taps(
    b: Builder, sizes: list[int], counts: list[int], corners: bool | None, scales: tuple[Any, ...]
) -> list[tuple[int, Taps, int]]:
    """Axis, taps and size of every axis that is resampled; corners: None for the nearest."""
    found = []
    for k, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        scale = scales[k] if k < len(scales) else None
        taps = (
            _nearest(b, size, count, scale)
            if corners is None
            else _linear(b, size, count, scale, corners)
        )
        found.append((2 + k, taps, size))
    return found


def _upsample(operator: Any, back: Any, linear: bool) -> None:
    @rule(operator)
    def forward(b: Builder, x: View, counts: list[int], *rest: Any) -> View:
        corners, scales = (rest[0], rest[1:]) if linear else (None, rest)
        for axis, taps, _ in _taps(b, list(x.shape[2:]), counts, corners, scales):
            x = _resampled(b, x, axis, taps)
        return x

    @rule(back)
    def backward(b: Builder, gy: View, counts: list[int], sizes: list[int], *rest: Any) -> View:
        corners, scales = (rest[0], rest[1:]) if linear else (None, rest)
        for axis, taps, size in _taps(b, list(sizes[2:]), counts, corners, scales):
            gy = _resampled_back(b, gy, axis, taps, size)
        return gy


_upsample(aten.upsample_nearest1d.default, aten.upsample_nearest1d_backward.default, False)
_upsample(aten.upsample_nearest2d.default, aten.upsample_nearest2d_backward.default, False)
_upsample(aten.upsample_linear1d.default, aten.upsample_linear1d_backward.default, True)
_upsample(aten.upsample_bilinear2d.default, aten.upsample_bilinear2d_backward.default, True)
