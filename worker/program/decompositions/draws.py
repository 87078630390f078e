"""Random numbers of other distributions, of those that programs have."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes

aten = torch.ops.aten


@decomposes(aten.randperm.default)
def randperm(n: int, *, dtype: torch.dtype | None = None, **ignored: Any) -> Tensor:
    """The order of n uniform numbers; of two equal ones the first goes first."""
    return torch.rand(n).sort(stable=True)[1].to(dtype or torch.int64)


@decomposes(aten.randint_like.default)
def randint_like(x: Tensor, high: int, **kwargs: Any) -> Tensor:
    return randint_like_low(x, 0, high, **kwargs)


@decomposes(aten.randint_like.low_dtype)
def randint_like_low(
    x: Tensor, low: int, high: int, *, dtype: torch.dtype | None = None, **ignored: Any
) -> Tensor:
    return torch.randint(low, high, x.shape).to(dtype or x.dtype)


@decomposes(aten.normal.Tensor_Tensor)
def normal_each(mean: Tensor, std: Tensor, *, generator: Any = None) -> Tensor:
    mean, std = torch.broadcast_tensors(mean, std)
    return mean + std * torch.randn(mean.shape)


@decomposes(aten.normal.Tensor_float)
def normal_around(mean: Tensor, std: float = 1, *, generator: Any = None) -> Tensor:
    return mean + std * torch.randn(mean.shape)


@decomposes(aten.normal.float_Tensor)
def normal_as_wide(mean: float, std: Tensor, *, generator: Any = None) -> Tensor:
    return mean + std * torch.randn(std.shape)


@decomposes(aten.log_normal.default)
def log_normal(x: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None) -> Tensor:
    return (mean + std * torch.randn(x.shape)).exp()


@decomposes(aten.cauchy.default)
def cauchy(x: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Tensor:
    return median + sigma * (math.pi * (torch.rand(x.shape) - 0.5)).tan()


@decomposes(aten.geometric.default)
def geometric(x: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """How many trials until the first success: 1, 2, 3, ..."""
    times = (1 - torch.rand(x.shape)).log() / math.log1p(-p)
    return times.ceil().clamp(min=1).to(x.dtype)
