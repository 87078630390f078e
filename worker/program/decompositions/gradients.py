"""Gradients, and operators that have none, without a decomposition of PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes

aten = torch.ops.aten


@decomposes(aten.softshrink_backward.default, aten.hardshrink_backward.default)
def outside(gy: Tensor, x: Tensor, least: float) -> Tensor:
    """The gradient of what is zero up to a magnitude."""
    return torch.where(x.abs() <= least, 0.0, gy)


@decomposes(aten._weight_norm_interface_backward.default)
def weight_norm_back(
    gw: Tensor, v: Tensor, g: Tensor, norms: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """Of w = g v / |v|, the norm over all axes but one."""
    axes = [k for k in range(v.dim()) if k != dim % v.dim()]
    unit = v / norms
    along = (gw * unit).sum(axes, keepdim=True)
    return g / norms * (gw - unit * along), along


@decomposes(
    aten.replication_pad1d_backward.default,
    aten.replication_pad2d_backward.default,
    aten.replication_pad3d_backward.default,
)
def replication_pad_back(gy: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
    """Each edge takes the sum of its copies."""
    for k in range(len(padding) // 2):
        axis = x.dim() - 1 - k
        before, after, n = padding[2 * k], padding[2 * k + 1], x.shape[axis]
        if before < 0 or after < 0:
            return NotImplemented
        parts = []
        for place in dict.fromkeys((0, n - 1)):
            low = 0 if place == 0 else before + n - 1
            high = before + n + after if place == n - 1 else before + 1
            parts.append(gy.narrow(axis, low, high - low).sum(axis, keepdim=True))
        if n > 2:
            parts.insert(1, gy.narrow(axis, before + 1, n - 2))
        gy = torch.cat(parts, axis)
    return gy


@decomposes(aten._trilinear.default)
def trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    expand_a: Sequence[int],
    expand_b: Sequence[int],
    expand_c: Sequence[int],
    summed: Sequence[int],
    unroll: int = 1,
) -> Tensor:
    """nn.Bilinear: the sum of products of three."""
    factors = []
    for x, axes in ((a, expand_a), (b, expand_b), (c, expand_c)):
        for axis in axes:
            x = x.unsqueeze(axis)
        factors.append(x)
    return (factors[0] * factors[1] * factors[2]).sum(list(summed))


@decomposes(aten._cdist_forward.default)
def cdist(x: Tensor, y: Tensor, p: float, mode: int | None) -> Tensor:
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)


@decomposes(aten._cdist_backward.default)
def cdist_back(g: Tensor, x: Tensor, y: Tensor, p: float, distance: Tensor) -> Tensor:
    apart, far = x.unsqueeze(-2) - y.unsqueeze(-3), distance.unsqueeze(-1)
    g = g.unsqueeze(-1)
    if p == 0:
        return torch.zeros_like(x)
    if p == 1:
        return (apart.sign() * g).sum(-2)
    if p == math.inf:
        return torch.where(apart.abs() == far, apart.sign() * g, 0.0).sum(-2)
    if p == 2:
        return (apart * torch.where(far == 0, 0.0, g / far)).sum(-2)
    size = apart.abs()
    shares = apart.sign() * size ** (p - 1) * g / far ** (p - 1)
    return torch.where((far == 0) | (size == 0), 0.0, shares).sum(-2)


@decomposes(aten.addbmm.default)
def addbmm(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return beta * x + alpha * torch.bmm(a, b).sum(0)
