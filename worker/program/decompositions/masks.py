"""Masks as indices: where a mask is true in every run alike, a shape is known.

Such a mask is made in the forward call of numbers alone (torch.eye, tril, comparisons of arange),
or is a plain attribute of the module. A buffer is state, which may be another one in the next run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes, replaces
from worker.program.decompositions.values import known, of_a_run
from worker.program.lower import Unsupported

aten = torch.ops.aten

_COUNTED = (
    "{what}: how many there are only a run knows, as this mask depends on the batch, on parameters "
    "or buffers, or on chance; use torch.where, weights of zero, or torch.nonzero_static(mask, "
    "size=...) with the count that it has; in place of a buffer that no step changes, register its "
    "mask.nonzero() and index with that"
)


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype == torch.bool and index.dim() > 0


def _count(mask: Tensor, what: str) -> int:
    if of_a_run(mask):
        raise Unsupported(_COUNTED.format(what=what))
    return int(known(torch.count_nonzero, mask))


def _places(mask: Tensor, what: str) -> list[Tensor]:
    """i64 [count] along each axis of the mask, in row-major order."""
    found = torch.nonzero_static(mask, size=_count(mask, what))
    return list(found.unbind(1))


def _whole(index: Any) -> Any:
    """An index with integers in place of its masks."""
    if not isinstance(index, tuple):
        index = (index,)
    parts: list[Any] = []
    for part in index:
        parts += _places(part, "x[mask]") if _is_mask(part) else [part]
    return tuple(parts)


@replaces(Tensor.__getitem__)
def get_item(x: Tensor, index: Any) -> Tensor:
    if _is_mask(index) and index.dim() > 1 and index.shape == x.shape[: index.dim()]:
        # one row number in place of many coordinates
        x, index = x.flatten(0, index.dim() - 1), index.flatten()
    if _is_mask(index) or (isinstance(index, tuple) and any(map(_is_mask, index))):
        index = _whole(index)
    return Tensor.__getitem__(x, index)


@replaces(Tensor.__setitem__)
def set_item(x: Tensor, index: Any, value: Any) -> None:
    """A list of values where a mask is true; one value needs no count."""
    if _is_mask(index):
        listed = isinstance(value, Tensor) and value.dim() > x.dim() - index.dim()
        if listed and value.numel() != 1:
            index = _whole(index)
    elif isinstance(index, tuple) and any(map(_is_mask, index)):
        index = _whole(index)
    Tensor.__setitem__(x, index, value)


@replaces(torch.masked_scatter, Tensor.masked_scatter)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Where the mask is true the source's elements in their order; no count is needed."""
    x, mask = torch.broadcast_tensors(input, mask)
    order = mask.flatten().to(torch.int32).cumsum(0) - 1
    chosen = Tensor.__getitem__(source.flatten(), order.clamp(0, source.numel() - 1))
    return torch.where(mask, chosen.view(x.shape), x)


@replaces(Tensor.masked_scatter_)
def masked_scatter_(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    return input.copy_(masked_scatter(input, mask, source))


@replaces(torch.masked_select, Tensor.masked_select)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    x, mask = torch.broadcast_tensors(input, mask)
    places = _places(mask.flatten(), "masked_select")
    return Tensor.__getitem__(x.flatten(), tuple(places))


@replaces(torch.nonzero, Tensor.nonzero)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    mask = input != 0
    found = torch.nonzero_static(mask, size=_count(mask, "nonzero"))
    return tuple(found.unbind(1)) if as_tuple else found


@replaces(torch.argwhere, Tensor.argwhere)
def argwhere(input: Tensor) -> Tensor:
    return nonzero(input)


@replaces(torch.where)
def where(condition: Tensor, *values: Any, **named: Any) -> Any:
    if not values and not named:
        return nonzero(condition, as_tuple=True)
    return torch.where(condition, *values, **named)


@replaces(torch.repeat_interleave, Tensor.repeat_interleave)
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Where the repeats are a tensor: their sum is the length, known or given as output_size."""
    if repeats is None:
        repeats, alone = input, True
    else:
        alone = False
    if not isinstance(repeats, Tensor):
        return torch.repeat_interleave(input, repeats, dim, output_size=output_size)
    if output_size is None:
        if of_a_run(repeats):
            raise Unsupported("repeat_interleave by numbers that only a run has: give output_size")
        output_size = int(known(torch.sum, repeats))
        if not alone and repeats.numel() == 1:
            output_size *= input.shape[dim] if dim is not None else input.numel()
    x = input.flatten() if dim is None else input
    axis = dim or 0
    if not alone:
        repeats = repeats.expand(x.shape[axis])
    ends = repeats.cumsum(0)
    index = torch.searchsorted(ends, torch.arange(output_size), right=True)
    return index if alone else x.index_select(axis, index)


@replaces(torch.combinations)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    if r != 2:
        raise Unsupported(f"combinations of {r}: programs have those of 2")
    n = input.shape[0]
    i, j = torch.triu_indices(n, n, 0 if with_replacement else 1)
    return torch.stack([input[i], input[j]], 1)


# operators


@decomposes(aten.nonzero_static.default)
def nonzero_static(x: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` places that are not zero: where the running count reaches 1, 2, 3, ..."""
    if not x.dim():
        return torch.zeros(size, 0, dtype=torch.int64)
    flat = (x != 0).reshape(-1)
    count = flat.to(torch.int32).cumsum(0, dtype=torch.int32)
    at = torch.searchsorted(count, torch.arange(1, size + 1, dtype=torch.int32))
    found = at < flat.shape[0]
    inside = at.clamp(max=flat.shape[0] - 1)
    columns = []
    for axis, n in enumerate(x.shape):
        place = inside
        if x.dim() > 1:
            shape = [1] * x.dim()
            shape[axis] = n
            place = torch.arange(n).view(shape).expand(x.shape).reshape(-1)[inside]
        columns.append(torch.where(found, place, fill_value))
    return torch.stack(columns, 1)


def _triangle(lower: torch.Tensor, count: int) -> Tensor:
    return torch.nonzero_static(lower, size=count).t()


@decomposes(aten.tril_indices.default)
def tril_indices(row: int, col: int, offset: int = 0, **ignored: Any) -> Tensor:
    count = sum(min(max(r + offset + 1, 0), col) for r in range(row))
    return _triangle(torch.arange(col) <= torch.arange(row).unsqueeze(1) + offset, count)


@decomposes(aten.triu_indices.default)
def triu_indices(row: int, col: int, offset: int = 0, **ignored: Any) -> Tensor:
    count = sum(col - min(max(r + offset, 0), col) for r in range(row))
    return _triangle(torch.arange(col) >= torch.arange(row).unsqueeze(1) + offset, count)
