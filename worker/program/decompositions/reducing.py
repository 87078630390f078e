"""Reductions of what goes to one place, by index."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes
from worker.program.lower import Unsupported

aten = torch.ops.aten

_KINDS = ("sum", "mean", "prod", "amax", "amin")


@decomposes(aten.scatter_reduce.two)
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Sums and means as exact sums; products and extremes over all that has the same index."""
    if reduce not in _KINDS:
        raise Unsupported(f"a reduction by {reduce!r}: programs have {', '.join(_KINDS)}")
    if not x.dim():
        x, index, src = x.reshape(1), index.reshape(1), src.reshape(1)
        return scatter_reduce(x, 0, index, src, reduce, include_self=include_self).reshape(())
    for axis, n in enumerate(index.shape):
        src = src.narrow(axis, 0, n)
    ones = torch.ones(index.shape)
    count = torch.zeros(x.shape).scatter_add(dim, index, ones)
    touched = count > 0
    if reduce in ("sum", "mean"):
        start = x if include_self else torch.where(touched, torch.zeros_like(x), x)
        total = start.scatter_add(dim, index, src)
        if reduce == "sum":
            return total
        # what nothing came to stays as it is
        return total / (count + 1 if include_self else count.clamp(min=1.0))
    held, values = _compared(x, dim, index, src)
    if reduce == "prod":
        found = torch.where(held, values, torch.ones_like(values)).prod(-1)
    elif reduce == "amax":
        found = torch.where(held, values, _end(x, -1)).amax(-1)
    else:
        found = torch.where(held, values, _end(x, 1)).amin(-1)
    found = found.movedim(-1, dim)
    if not include_self:
        return torch.where(touched, found, x)
    joined = {"prod": torch.mul, "amax": torch.maximum, "amin": torch.minimum}[reduce](x, found)
    return torch.where(touched, joined, x)


def _end(x: Tensor, sign: int) -> float | int:
    """The greatest or the least number of a dtype."""
    if x.is_floating_point():
        return sign * torch.inf
    limits = torch.iinfo(x.dtype)
    return limits.max if sign > 0 else limits.min


def _compared(x: Tensor, dim: int, index: Tensor, src: Tensor) -> tuple[Tensor, Tensor]:
    """Which source goes to which place, [..., places, sources], and the sources beside it."""
    axis = dim % x.dim()
    if any(n != m for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True)) if k != axis):
        raise Unsupported(
            f"a reduction whose index {tuple(index.shape)} is smaller than the tensor "
            f"{tuple(x.shape)} on an axis that it does not index"
        )
    where, values = index.movedim(dim, -1), src.movedim(dim, -1)
    places = torch.arange(x.shape[axis], dtype=index.dtype).unsqueeze(-1)
    held = where.unsqueeze(-2) == places
    return held, values.unsqueeze(-2).expand(held.shape)


@decomposes(aten.index_reduce.default)
def index_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The same with one index for a whole row."""
    shape = [1] * source.dim()
    shape[dim] = index.shape[0]
    each = index.view(shape).expand(source.shape)
    return scatter_reduce(x, dim, each, source, reduce, include_self=include_self)


@decomposes(aten.scatter.reduce)
def scatter_operation(x: Tensor, dim: int, index: Tensor, src: Tensor, *, reduce: str) -> Tensor:
    kind = {"add": "sum", "multiply": "prod"}[reduce]
    return scatter_reduce(x, dim, index, src, kind)


@decomposes(aten.scatter.value_reduce)
def scatter_value_operation(
    x: Tensor, dim: int, index: Tensor, value: float, *, reduce: str
) -> Tensor:
    src = torch.full(index.shape, value, dtype=x.dtype)
    return scatter_operation(x, dim, index, src, reduce=reduce)


@decomposes(aten.put.default)
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Into the elements in a row: the gradient of take."""
    flat = x.reshape(-1).index_put((index.reshape(-1),), source.reshape(-1), accumulate)
    return flat.reshape(x.shape)
