"""Strides: only of a tensor in row-major order, where they name places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.program.decompositions.registry import decomposes

aten = torch.ops.aten


@decomposes(aten.as_strided.default)
def as_strided(
    x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Windows of windows of the elements in a row."""
    start = int((storage_offset or 0) - x.storage_offset())
    if not x.is_contiguous() or start < 0 or 0 in size:
        return NotImplemented
    reach = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    if reach > x.numel():
        return NotImplemented
    out = x.reshape(-1)
    if start or reach != x.numel():
        out = out[start:reach]
    for k, (n, s) in enumerate(zip(size, stride, strict=True)):
        rest = 1 + sum((m - 1) * t for m, t in zip(size[k + 1 :], stride[k + 1 :], strict=True))
        if s == 0:
            out = out.unsqueeze(-2).expand(*out.shape[:-1], n, out.shape[-1])
        else:
            out = out.unfold(-1, rest, s)
    return out.squeeze(-1)


@decomposes(aten.as_strided_scatter.default)
def as_strided_scatter(
    x: Tensor,
    source: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """x with `source` at places that are rows within rows, as every slice's are."""
    start = int((storage_offset or 0) - x.storage_offset())
    order = sorted((k for k, n in enumerate(size) if n > 1), key=lambda k: -stride[k])
    steps = [stride[k] for k in order]
    spans = [*(size[k] * stride[k] for k in order[1:]), 1]
    nested = all(s >= span for s, span in zip(steps, spans, strict=True))
    if not x.is_contiguous() or not nested or start < 0 or 0 in size:
        return NotImplemented
    single = [k for k in range(len(size)) if k not in order]
    moved = source.permute([*single, *order]).reshape([size[k] for k in order])

    def spread(rows: Tensor) -> Tensor:
        """The rows with zeros between them, from the innermost outwards, in a row of x's length."""
        out = rows.unsqueeze(-1)
        for step in reversed(steps):
            more = int(step - out.shape[-1])
            out = F.pad(out, (0, more)).flatten(-2)
        return F.pad(out, (start, int(x.numel() - start - out.shape[-1])))

    here = spread(torch.ones_like(moved, dtype=torch.float32)) > 0
    return torch.where(here, spread(moved), x.reshape(-1)).reshape(x.shape)
