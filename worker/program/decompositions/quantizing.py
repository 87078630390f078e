"""Numbers rounded to a grid while a model is trained for one (quantisation-aware training)."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes

aten = torch.ops.aten


@decomposes(aten.fake_quantize_per_tensor_affine_cachemask.default)
def per_tensor(
    x: Tensor, scale: float | Tensor, zero_point: int | Tensor, quant_min: int, quant_max: int
) -> tuple[Tensor, Tensor]:
    """What a grid of whole numbers times `scale` leaves of x, and where x lies within."""
    step = scale if isinstance(scale, Tensor) else torch.full((), scale)
    place = (x * step.reciprocal()).round() + zero_point
    within = (place >= quant_min) & (place <= quant_max)
    return (place.clamp(quant_min, quant_max) - zero_point) * step, within


@decomposes(aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default)
def per_tensor_of_tensors(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    enabled: Tensor,
    quant_min: int,
    quant_max: int,
) -> tuple[Tensor, Tensor]:
    made, within = per_tensor(x, scale, zero_point, quant_min, quant_max)
    works = enabled != 0
    return torch.where(works, made, x), within | ~works


@decomposes(aten.fake_quantize_per_channel_affine_cachemask.default)
def per_channel(
    x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> tuple[Tensor, Tensor]:
    shape = [1] * x.dim()
    shape[axis] = -1
    return per_tensor(x, scale.view(shape), zero_point.view(shape), quant_min, quant_max)
