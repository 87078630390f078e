"""The optimizers of `torch.optim` that programs know, as plain formulas on tensors.

Each is the update that PyTorch documents for it. The learning rate may be a tensor, so that a
schedule can be part of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Slots = dict[str, Tensor]
Rate = float | Tensor
Group = Mapping[str, Any]
Update = Callable[[Tensor, Tensor, Slots, Group, Rate], tuple[Tensor, Slots]]


def sgd(p: Tensor, g: Tensor, slots: Slots, group: Group, lr: Rate) -> tuple[Tensor, Slots]:
    """torch.optim.SGD, from momentum buffers of zero (which is what dampening = 0 allows)."""
    if group["maximize"]:
        g = -g
    if group["weight_decay"]:
        g = g + group["weight_decay"] * p
    if group["momentum"]:
        buffer = group["momentum"] * slots["momentum_buffer"] + g
        slots = {"momentum_buffer": buffer}
        g = g + group["momentum"] * buffer if group["nesterov"] else buffer
    return p - lr * g, slots


def adam(p: Tensor, g: Tensor, slots: Slots, group: Group, lr: Rate) -> tuple[Tensor, Slots]:
    """torch.optim.Adam and AdamW (Kingma and Ba; Loshchilov and Hutter)."""
    beta1, beta2 = group["betas"]
    if group["maximize"]:
        g = -g
    if group["weight_decay"]:
        if group["decoupled_weight_decay"]:
            p = p * (1 - lr * group["weight_decay"])
        else:
            g = g + group["weight_decay"] * p
    step = slots["step"] + 1
    mean = beta1 * slots["exp_avg"] + (1 - beta1) * g
    square = beta2 * slots["exp_avg_sq"] + (1 - beta2) * (g * g)
    correction1 = 1 - torch.pow(beta1, step)
    correction2 = 1 - torch.pow(beta2, step)
    root = torch.sqrt(square) / torch.sqrt(correction2) + group["eps"]
    after: Slots = {"step": step, "exp_avg": mean, "exp_avg_sq": square}
    return p - (lr / correction1) * (mean / root), after


UPDATES: dict[type, Update] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: adam,
}


def slots_of(kind: type, group: Group) -> tuple[str, ...]:
    """Names of the tensors that an optimizer keeps for each parameter; `step` is a scalar."""
    if kind is torch.optim.SGD:
        return ("momentum_buffer",) if group["momentum"] else ()
    return ("step", "exp_avg", "exp_avg_sq")


def clipped(gradients: Mapping[str, Tensor], most: float) -> dict[str, Tensor]:
    """torch.nn.utils.clip_grad_norm_: gradients whose joint Euclidean norm is at most `most`."""
    squares = torch.stack([(g * g).sum() for g in gradients.values()]).sum()
    factor = torch.clamp(most / (torch.sqrt(squares) + 1e-6), max=1.0)
    return {name: g * factor for name, g in gradients.items()}
