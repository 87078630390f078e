"""Sums and products with a number that a run alone knows, and without steps that change nothing.

`p.add_(g, alpha=-lr)` and its kin want to see the number; a learning rate out of a schedule, or
what is made of a step's number, is a tensor. They are written as products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes, replaces

aten = torch.ops.aten


def _scaled_sum(function: Callable[..., Any]) -> None:
    @replaces(function)
    def added(x: Any, other: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(named.get("alpha"), Tensor):
            other = other * named.pop("alpha")
        return function(x, other, *rest, **named)


_SUMS: tuple[Any, ...] = (
    torch.add,
    Tensor.add,
    Tensor.add_,
    torch.sub,
    Tensor.sub,
    Tensor.sub_,
)
for _function in _SUMS:
    _scaled_sum(_function)


def _scaled_product(
    function: Callable[..., Any], add: Callable[..., Any], joined: Callable[..., Any]
) -> None:
    @replaces(function)
    def multiplied(x: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(named.get("value"), Tensor) or len(rest) != 2:
            return function(x, *rest, **named)
        value = named.pop("value")
        return add(x, joined(value * rest[0], rest[1]), **named)


_PRODUCTS: tuple[tuple[Any, Any, Any], ...] = (
    (torch.addcmul, torch.add, torch.mul),
    (Tensor.addcmul, torch.add, torch.mul),
    (Tensor.addcmul_, Tensor.add_, torch.mul),
    (torch.addcdiv, torch.add, torch.div),
    (Tensor.addcdiv, torch.add, torch.div),
    (Tensor.addcdiv_, Tensor.add_, torch.div),
)
for _function, _add, _joined in _PRODUCTS:
    _scaled_product(_function, _add, _joined)


@decomposes(aten.lerp.Scalar)
def lerp(start: Tensor, end: Tensor, weight: float) -> Tensor:
    """From the nearer end, as PyTorch computes it."""
    if abs(weight) < 0.5:
        return start + weight * (end - start)
    return end - (end - start) * (1 - weight)


@decomposes(aten.addcmul.default)
def addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    return x + a * b if value == 1 else x + value * a * b


@decomposes(aten.addcdiv.default)
def addcdiv(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    return x + a / b if value == 1 else x + value * a / b
