"""What Python sees of tensors while it captures: only what every run has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from worker.program.decompositions.registry import replaces
from worker.program.known import is_of_a_run, value_of
from worker.program.lower import Unsupported
from worker.program.recorder import recorder

aten = torch.ops.aten

LOOKED_AT = (
    "Python looks at a tensor's value (item(), int(), float(), numpy(), if), which only a run has; "
    "compute with the tensor instead, or use torch.where"
)


def of_a_run(x: Any) -> bool:
    """Whether a tensor's values depend on what a run is given, or on chance."""
    node = _made(x)
    return node is not None and is_of_a_run(node)


def computed(x: Any) -> Any:
    """What a tensor holds that depends on no run; traced ones have no elements."""
    node = _made(x)
    return x if node is None else value_of(node)


def _made(x: Any) -> Any:
    at_work = recorder()
    return None if at_work is None else at_work.made(x)


def known(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function gives of tensors that depend on no run."""
    values = [computed(a) for a in args]
    with _disable_current_modes():
        return function(*values, **kwargs)


def _looks_at(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that hands Python the values of tensors, which are the example's while it is traced."""

    def looked(*args: Any, **kwargs: Any) -> Any:
        if any(map(of_a_run, args)):
            raise Unsupported(LOOKED_AT)
        return known(function, *args, **kwargs)

    return looked


_UNIFORM = (aten.rand.default, aten.rand_like.default)


@replaces(Tensor.__bool__)
def truth(x: Tensor) -> bool:
    """`bool(x)`, as in `if torch.rand([]) < self.layerdrop`: with a probability of 0 or 1, chance
    decides nothing."""
    node = _made(x)
    if node is not None and node.target is aten.lt.Scalar:
        drawn, probability = node.args
        if drawn.target in _UNIFORM and not 0 < probability < 1:
            return bool(probability >= 1)
    return bool(Tensor.__bool__(x))


@replaces(torch._C._VariableFunctions._pack_padded_sequence)
def pack(*_: Any) -> Any:
    raise Unsupported(
        "pack_padded_sequence, whose result has a shape that only a run has: give the layer the "
        "padded rows, and mask or gather what it returns by their lengths"
    )


for _function in (
    *(Tensor.numpy, Tensor.__array__, Tensor.tolist),
    *(torch.equal, Tensor.equal, torch.allclose, Tensor.allclose),
):
    replaces(_function)(_looks_at(_function))
