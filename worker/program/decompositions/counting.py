"""What counts equal or neighbouring numbers: modes and histograms; and shifts of integers."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes
from worker.program.lower import Unsupported

aten = torch.ops.aten
MOST = 1 << 24  # comparisons of one mode


@decomposes(aten.mode.default)
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The most frequent number of a row, of several the least, and where it stands last."""
    rows = x.movedim(dim, -1)
    length = rows.shape[-1]
    if rows.numel() * length > MOST:
        raise Unsupported(f"mode of {rows.numel()} numbers in rows of {length}: too long")
    ordered = rows.sort(-1)[0]
    counts = (ordered.unsqueeze(-1) == ordered.unsqueeze(-2)).to(torch.float32).sum(-1)
    most = ordered.gather(-1, counts.argmax(-1, keepdim=True))
    last = torch.where(rows == most, torch.arange(length), -1).amax(-1, keepdim=True)
    most, last = most.movedim(-1, dim), last.movedim(-1, dim)
    return (most, last) if keepdim else (most.squeeze(dim), last.squeeze(dim))


@decomposes(aten.histc.default)
def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    flat = x.reshape(-1)
    low = torch.full((), float(min)) if min != max else flat.amin()
    high = torch.full((), float(max)) if min != max else flat.amax()
    # where all numbers are the same one, it is in the middle
    same = (low == high).to(torch.float32)
    low, high = low - same, high + same
    place = ((flat - low) / (high - low) * bins).floor().clamp(0, bins - 1).to(torch.int64)
    counted = ((flat >= low) & (flat <= high)).to(torch.float32)
    return torch.zeros(bins).scatter_add(0, place, counted)


def _power(x: Tensor, by: int) -> int:
    bits = {torch.int32: 32, torch.int64: 64}.get(x.dtype)
    if bits is None or not 0 <= by < bits - 1:
        raise Unsupported(f"a shift of {x.dtype} by {by}")
    return 1 << by


@decomposes(aten.__lshift__.Scalar, aten.bitwise_left_shift.Tensor_Scalar)
def shift_left(x: Tensor, by: int) -> Tensor:
    return x * _power(x, by)


@decomposes(aten.__rshift__.Scalar, aten.bitwise_right_shift.Tensor_Scalar)
def shift_right(x: Tensor, by: int) -> Tensor:
    return torch.div(x, _power(x, by), rounding_mode="floor")
