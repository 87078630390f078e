"""Sampling a picture or a volume at places between its elements (spatial transformers).

It replaces PyTorch's function before autograd, so that its gradient is that of the gathers and
weights that it is made of.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.program.decompositions.registry import replaces
from worker.program.decompositions.special import polynomial

MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}
ZEROS, _, REFLECTION = PADDINGS.values()


@replaces(F.grid_sample)
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    return grid_sampler(input, grid, MODES[mode], PADDINGS[padding_mode], bool(align_corners))


@replaces(torch.grid_sampler)
def grid_sampler(input: Tensor, grid: Tensor, mode: int, padding: int, align: bool) -> Tensor:
    """[N, C, *plane] at [N, *places, axes] in [-1, 1] -> [N, C, *places]; the last axis first."""
    plane = _Plane(input, padding, align)
    at = [_unnormalised(grid[..., -1 - k], size, align) for k, size in enumerate(input.shape[2:])]
    if mode == MODES["bicubic"]:
        return plane.weighted([_cubic(x) for x in at], padded=False)
    at = [plane.kept(x, k) for k, x in enumerate(at)]
    if mode == MODES["nearest"]:
        return plane.weighted([[(x.detach().round(), None)] for x in at], padded=True)
    return plane.weighted([_linear(x) for x in at], padded=True)


# along an axis: places to read, each with its weight
Taps = list[tuple[Tensor, Tensor | None]]


def _unnormalised(x: Tensor, size: int, align: bool) -> Tensor:
    return (x + 1) / 2 * (size - 1) if align else ((x + 1) * size - 1) / 2


def _linear(x: Tensor) -> Taps:
    low = x.detach().floor()
    return [(low, low + 1 - x), (low + 1, x - low)]


def _cubic(x: Tensor) -> Taps:
    """Keys' cubic with a = -3/4."""
    low = x.detach().floor()
    past = x - low
    ahead = 1 - past
    far, near = (-0.75, 3.75, -6.0, 3.0), (1.25, -2.25, 0.0, 1.0)
    weights = (
        polynomial(past + 1, far),
        polynomial(past, near),
        polynomial(ahead, near),
        polynomial(ahead + 1, far),
    )
    return [(low + k - 1, weight) for k, weight in enumerate(weights)]


class _Plane:
    """A tensor [N, C, *plane] as rows of channels, and what lies outside of it."""

    def __init__(self, x: Tensor, padding: int, align: bool) -> None:
        self.rows, self.channels, *self.sizes = x.shape
        self.padding, self.align = padding, align
        order = (0, *range(2, x.dim()), 1)
        self.table = x.permute(order).reshape(-1, self.channels)

    def kept(self, x: Tensor, axis: int) -> Tensor:
        """Places moved inside: to the edge, or mirrored at it. At the edge the gradient is zero."""
        if self.padding == ZEROS:
            return x
        last = self.sizes[axis] - 1
        if self.padding == REFLECTION:
            x = self._mirrored(x, self.sizes[axis])
        return torch.where(x <= 0, 0.0, torch.where(x >= last, float(last), x))

    def _mirrored(self, x: Tensor, size: int) -> Tensor:
        low, span = (0.0, float(size - 1)) if self.align else (-0.5, float(size))
        if span == 0:
            return torch.zeros_like(x)
        apart = (x - low).abs()
        turns = (apart.detach() / span).floor()
        rest = apart - turns * span
        odd = turns - 2 * (turns / 2).floor() == 1
        return torch.where(odd, span - rest, rest) + low

    def weighted(self, taps: Sequence[Taps], padded: bool) -> Tensor:
        """The sum over all combinations of the axes' taps."""
        total: Tensor | None = None
        for chosen in itertools.product(*taps):
            places = [place for place, _ in chosen]
            if not padded:
                places = [self.kept(place, k).detach() for k, place in enumerate(places)]
            weight: Tensor | None = None
            for _, factor in chosen:
                if factor is not None:
                    weight = factor if weight is None else weight * factor
            part = self._read(places)
            if weight is not None:
                part = part * weight.unsqueeze(-1)
            total = part if total is None else total + part
        assert total is not None
        last = total.dim() - 1
        return total.permute(0, last, *range(1, last))

    def _read(self, places: Sequence[Tensor]) -> Tensor:
        """[N, *places, C], zero outside."""
        shape = (self.rows, *(1 for _ in places[0].shape[1:]))
        row = torch.arange(self.rows).view(shape)
        inside: Tensor | None = None
        for place, size in zip(places, self.sizes, strict=True):
            held = (place >= 0) & (place < size)
            inside = held if inside is None else inside & held
            row = row * size + place.clamp(0, size - 1).long()
        found = F.embedding(row, self.table)
        if self.padding != ZEROS:
            return found
        assert inside is not None
        return torch.where(inside.unsqueeze(-1), found, 0.0)
