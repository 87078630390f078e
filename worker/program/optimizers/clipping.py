"""Gradients that are kept small before an optimizer sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clipping:
    """norm: the most that the gradients' joint Euclidean norm may be, as of
    torch.nn.utils.clip_grad_norm_. value: the greatest magnitude of any element, as of
    clip_grad_value_. At most one of them is given.
    """

    norm: float | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        if self.norm is not None and self.value is not None:
            raise ValueError("clip_norm and clip_value are both given; give one of them")
        for name, most in (("clip_norm", self.norm), ("clip_value", self.value)):
            if most is not None and not (isfinite(most) and most > 0):
                raise ValueError(f"{name}={most}; it must be a number above 0")

    def clip(self, parameters: Iterable[Tensor]) -> None:
        """Clips the gradients of those that have one."""
        held = [(p, p.grad) for p in parameters if p.grad is not None]
        if self.value is not None:
            for p, g in held:
                p.grad = g.clamp(-self.value, self.value)
        elif self.norm is not None and held:
            squares = torch.stack([(g * g).sum() for _, g in held]).sum()
            factor = torch.clamp(self.norm / (torch.sqrt(squares) + 1e-6), max=1.0)
            for p, g in held:
                p.grad = g * factor
