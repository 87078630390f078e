"""Functions that look at values on their way, without the look."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.program.decompositions.registry import decomposes, replaces
from worker.program.lower import Unsupported

aten = torch.ops.aten


@replaces(F.one_hot)
def one_hot(index: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 0:
        raise Unsupported(
            "one_hot without a number of classes, which only a run has: give num_classes"
        )
    places = index.unsqueeze(-1)
    zeros = places.new_zeros((*index.shape, num_classes))
    return zeros.scatter(-1, places, 1)  # as an index, whose bounds are known


@replaces(F.embedding_bag)
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Bags of equal sizes: [rows, size] indices."""
    if input.dim() != 2 or mode == "max" or max_norm is not None or scale_grad_by_freq:
        raise Unsupported(
            "embedding_bag other than sums and means of a two-dimensional input: use embedding"
        )
    each = F.embedding(input, weight, padding_idx)
    counts: Tensor | float = float(input.shape[1])
    if per_sample_weights is not None:
        each = each * per_sample_weights.unsqueeze(-1)
    if padding_idx is not None:
        held = (input != padding_idx % weight.shape[0]).unsqueeze(-1)
        each = torch.where(held, each, 0.0)
        counts = held.float().sum(1).clamp(min=1.0)
    total = each.sum(1)
    return total if mode == "sum" else total / counts


@replaces(F.gaussian_nll_loss)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Without the look whether a variance is negative."""
    variance = torch.as_tensor(var, dtype=input.dtype)
    if variance.dim() and variance.shape == input.shape[:-1]:
        variance = variance.unsqueeze(-1)
    # the floor has no gradient of its own, as in PyTorch
    variance = variance + (variance.clamp(min=eps) - variance).detach()
    each = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    if full:
        each = each + 0.5 * math.log(2 * math.pi)
    if reduction == "none":
        return each
    return each.mean() if reduction == "mean" else each.sum()


@replaces(F.embedding)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """With a gradient of all rows: a sparse one is the same, stored in another way."""
    return F.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)


@decomposes(aten.embedding_renorm.default)
def embedding_renorm(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Rows that are asked for (`max_norm=`) are made no longer than that."""
    asked = torch.zeros(weight.shape[0]).scatter(0, indices.reshape(-1), 1.0).unsqueeze(1) != 0
    norms = torch.linalg.vector_norm(weight, norm_type, 1, keepdim=True)
    return torch.where(asked & (norms > max_norm), weight * (max_norm / (norms + 1e-7)), weight)


@replaces(F.rrelu, torch.rrelu)
def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """PyTorch's own writes its slopes into a tensor in secret."""
    slopes: Tensor | float = (lower + upper) / 2
    if training:
        slopes = torch.empty_like(input).uniform_(lower, upper)
    found = torch.where(input <= 0, input * slopes, input)
    return input.copy_(found) if inplace else found
