"""Running extremes and logarithms of sums by doubling; medians and their kin by sorting."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.program.decompositions.registry import decomposes

aten = torch.ops.aten


def _shifted(x: Tensor, by: int, fill: float) -> Tensor:
    """x moved along its last axis, with `fill` before it."""
    return F.pad(x[..., : x.shape[-1] - by], (by, 0), value=fill)


@decomposes(aten.logcumsumexp.default)
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """A running sum of exponentials, each step of the doubling with a maximum of its own."""
    if not x.dim():
        return x
    out, by = x.movedim(dim, -1), 1
    while by < out.shape[-1]:
        out, by = torch.logaddexp(out, _shifted(out, by, -torch.inf)), 2 * by
    return out.movedim(-1, dim)


def _running(operator: object, goes_on: Callable[[Tensor, Tensor], Tensor]) -> None:
    @decomposes(operator)
    def running(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """The extreme up to each element, and the last place where it stands; a NaN stays."""
        if not x.dim():
            return x, torch.zeros((), dtype=torch.int64)
        value, by = x.movedim(dim, -1), 1
        n = value.shape[-1]
        place = torch.arange(n).expand(value.shape)
        while by < n:
            first = torch.arange(n) < by
            before = _shifted(value, by, 0)
            kept = goes_on(value, before) | (value != value) | first
            value = torch.where(kept, value, before)
            place = torch.where(kept, place, _shifted(place, by, 0))
            by *= 2
        return value.movedim(-1, dim), place.movedim(-1, dim)


_running(aten.cummax.default, torch.ge)
_running(aten.cummin.default, torch.le)


# by sorting


@decomposes(aten.kthvalue.default)
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    if not x.dim():
        return x, torch.zeros((), dtype=torch.int64)
    values, places = torch.sort(x, dim=dim, stable=True)
    found = values.select(dim, k - 1), places.select(dim, k - 1)
    return (found[0].unsqueeze(dim), found[1].unsqueeze(dim)) if keepdim else found


@decomposes(aten.median.dim)
def median_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower one of two; a NaN where there is one."""
    if not x.dim():
        return x, torch.zeros((), dtype=torch.int64)
    value, place = kthvalue(x, (x.shape[dim] + 1) // 2, dim, True)
    if x.is_floating_point():
        odd = x != x
        first = odd.to(torch.int32).argmax(dim, keepdim=True)
        held = odd.any(dim, keepdim=True)
        value, place = torch.where(held, torch.nan, value), torch.where(held, first, place)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


@decomposes(aten.median.default)
def median(x: Tensor) -> Tensor:
    return median_dim(x.reshape(-1), 0)[0]


@decomposes(aten.nanmedian.dim)
def nanmedian_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Of what is a number; sorting puts the rest behind."""
    if not x.dim():
        return x, torch.zeros((), dtype=torch.int64)
    values, places = torch.sort(x, dim=dim, stable=True)
    count = (x == x).sum(dim, keepdim=True)
    at = (count.clamp(min=1) - 1) // 2
    value, place = values.gather(dim, at), places.gather(dim, at)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


@decomposes(aten.nanmedian.default)
def nanmedian(x: Tensor) -> Tensor:
    return nanmedian_dim(x.reshape(-1), 0)[0]
