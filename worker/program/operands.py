"""Reads a MAP node's operand through its index map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from worker.program.codes import BOOL, DTYPES, F32
from worker.program.records import Input
from worker.program.views import Axis, row_major

Reader = Callable[[Tensor], Tensor]


def axes_of(operand: Input, rank: int) -> list[Axis]:
    """The operand's index map, axis by axis."""
    width = 1 + rank
    return [
        Axis(size, operand.map[k * width], tuple(operand.map[k * width + 1 : (k + 1) * width]))
        for k, size in enumerate(operand.shape)
    ]


def reader(operand: Input, shape: tuple[int, ...]) -> Reader:
    """A function from the operand's whole tensor to its elements in the output's `shape`."""
    axes = axes_of(operand, len(shape))
    return (
        _strided(operand, axes, shape)
        or _padded(operand, axes, shape)
        or _indexed(operand, axes, shape)
    )


def index_bytes(operand: Input, shape: tuple[int, ...]) -> int:
    """What the operand's `reader` holds from when it is made: an index for every element of the
    output, and whether it is inside, where the index map is no view of the operand."""
    axes = axes_of(operand, len(shape))
    viewed = _strided(operand, axes, shape) or _padded(operand, axes, shape)
    return 0 if viewed else 9 * prod(shape)


def _strided(operand: Input, axes: list[Axis], shape: tuple[int, ...]) -> Reader | None:
    """A strided view of the operand; None where it reads outside, or a stride is negative."""
    spans = [axis.reach(shape) for axis in axes]
    inside = all(low >= 0 and high < a.size for a, (low, high) in zip(axes, spans, strict=True))
    weights = row_major(operand.shape)
    offset = sum(w * a.offset for w, a in zip(weights, axes, strict=True))
    strides = tuple(
        # an axis of one element is never stepped along, whatever its stride
        sum(w * a.strides[o] for w, a in zip(weights, axes, strict=True)) if n > 1 else 0
        for o, n in enumerate(shape)
    )
    if inside and all(s >= 0 for s in strides):
        plain = tuple(w if n > 1 else 0 for w, n in zip(row_major(shape), shape, strict=True))
        if (offset, strides) == (0, plain) and prod(shape) == operand.count:
            return lambda x: x.view(shape)
        return lambda x: x.reshape(-1).as_strided(shape, strides, offset + x.storage_offset())
    return None


def _padded(operand: Input, axes: list[Axis], shape: tuple[int, ...]) -> Reader | None:
    """A strided view of the operand with the fill around it; None where there is no such view.

    An output axis along which every operand axis runs backwards is read forwards and flipped.
    """
    if operand.dtype == BOOL or not shape or not operand.shape:
        return None
    flips = [
        o
        for o, n in enumerate(shape)
        if n > 1 and any(a.strides[o] < 0 for a in axes) and all(a.strides[o] <= 0 for a in axes)
    ]
    forwards = [
        Axis(
            a.size,
            a.offset + sum(a.strides[o] * (shape[o] - 1) for o in flips),
            tuple(-s if o in flips else s for o, s in enumerate(a.strides)),
        )
        for a in axes
    ]
    used = [o for o, n in enumerate(shape) if n > 1]
    if any(a.strides[o] < 0 for a in forwards for o in used):
        return None
    spans = [a.reach(shape) for a in forwards]
    before = [max(0, -low) for low, _ in spans]
    after = [max(0, high - a.size + 1) for a, (_, high) in zip(forwards, spans, strict=True)]
    sizes = [b + a.size + e for a, b, e in zip(forwards, before, after, strict=True)]
    if prod(sizes) > 4 * max(operand.count, prod(shape)) + 1024:
        return None  # mostly fill
    weights = row_major(tuple(sizes))
    offset = sum(w * (a.offset + b) for w, a, b in zip(weights, forwards, before, strict=True))
    strides = tuple(
        sum(w * a.strides[o] for w, a in zip(weights, forwards, strict=True)) if n > 1 else 0
        for o, n in enumerate(shape)
    )
    pads = [p for b, e in zip(reversed(before), reversed(after), strict=True) for p in (b, e)]
    fill = _element(operand.fill, operand.dtype).item()

    def read(x: Tensor) -> Tensor:
        # `nn.functional.pad` takes its value as a double, which holds no integer beyond 2^53
        around = torch.constant_pad_nd(x.reshape(operand.shape), pads, fill).contiguous()
        seen = around.as_strided(shape, strides, offset + around.storage_offset())
        return seen.flip(flips) if flips else seen

    return read


def _along(offset: int, strides: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """offset + strides . output, at every output; modulo 2^64."""
    at = torch.full(shape, offset, dtype=torch.int64)
    for o, stride in enumerate(strides):
        along = torch.arange(shape[o], dtype=torch.int64) * stride
        at = at + along.view([-1 if k == o else 1 for k in range(len(shape))])
    return at


def _indexed(operand: Input, axes: list[Axis], shape: tuple[int, ...]) -> Reader:
    """The general case: an index for every output element, and where the fill stands instead."""
    flat = torch.zeros(shape, dtype=torch.int64)
    within = torch.ones(shape, dtype=torch.bool)
    for weight, axis in zip(row_major(operand.shape), axes, strict=True):
        at = _along(axis.offset, axis.strides, shape)
        within &= (at >= 0) & (at < axis.size)
        if any(abs(reach) >= 1 << 62 for reach in axis.reach(shape)):
            # `at` may have wrapped. In units of 2^20 nothing does, and a coordinate within the
            # operand is less than 2^36 of them: the remainders sum to less than 2^56.
            coarse = _along(0, [s >> 20 for s in axis.strides], shape)
            within &= coarse.abs() < 1 << 36
        flat += weight * at.clamp(0, axis.size - 1)
    fill = _element(operand.fill, operand.dtype)

    def read(x: Tensor) -> Tensor:
        found = x.reshape(-1)[flat.to(x.device)]
        return torch.where(within.to(x.device), found, fill.to(x.device))

    return read


def _element(bits: int, dtype: int) -> Tensor:
    """A scalar tensor of the element with these bits."""
    if dtype == BOOL:
        return torch.tensor(bool(bits))
    width = 32 if DTYPES[dtype].itemsize == 4 else 64
    signed = bits - (1 << width) if bits >> (width - 1) else bits
    integer = torch.tensor(signed, dtype=torch.int32 if width == 32 else torch.int64)
    return integer.view(torch.float32) if dtype == F32 else integer


def constant(bits: int, dtype: int, shape: tuple[int, ...]) -> Tensor:
    """A tensor of one element with these bits."""
    return _element(bits, dtype).view(shape)
