"""torch.optim.Adafactor's update without a look at values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def adafactor(
    params: list[Tensor],
    grads: list[Tensor],
    row_vars: list[Tensor | None],
    col_vars: list[Tensor | None],
    variances: list[Tensor | None],
    state_steps: list[Tensor],
    grad_scale: Tensor | None,
    found_inf: Tensor | None,
    *,
    d: float,
    lr: Tensor | float,
    beta2_decay: float,
    weight_decay: float,
    eps1: float | None,
    eps2: float,
    maximize: bool,
    **ignored: Any,
) -> None:
    """PyTorch's function of one tensor after another, with tensors for its numbers.

    A mean of squares over an axis is written as such, and not as a norm's square over a size.
    """
    for k, (p, grad) in enumerate(zip(params, grads, strict=True)):
        g = -grad if maximize else grad
        least = torch.finfo(p.dtype).eps if eps1 is None else eps1
        step = state_steps[k]
        step += 1
        weight = step**beta2_decay
        rate = torch.clamp(1 / step.sqrt(), max=lr)
        alpha = torch.clamp(_rms(p), min=eps2) * rate
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        rows, columns, variance = row_vars[k], col_vars[k], variances[k]
        if rows is not None and columns is not None:
            rows.lerp_((g * g).mean(-1, keepdim=True), weight)
            columns.lerp_((g * g).mean(-2, keepdim=True), weight)
            estimate = rows @ columns / rows.mean(-2, keepdim=True).clamp(min=least)
        else:
            assert variance is not None, "of a vector its square is kept"
            variance.lerp_(g * g, weight)
            estimate = variance
        update = estimate.clamp(min=least * least).rsqrt() * g
        denominator = torch.clamp(_rms(update) / d, min=1.0)
        p.sub_(alpha / denominator * update)


def _rms(x: Tensor) -> Tensor:
    return (x * x).mean().sqrt()
