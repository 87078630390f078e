"""An optimizer that works for a while on other tensors than its own.

Its parameters, its state and its rates are replaced in place, so that its own `step`, what is
hooked to it, and whoever shares its groups see the tensors of a trace; then all is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from worker.program.optimizers.entries import States

# how a step is computed and not what: one tensor after another, with numbers that are tensors
_PLAIN = {"foreach": False, "fused": False, "capturable": True}


def settings_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """What each group says but for its parameters, in a form that can be traced."""
    return [
        {
            key: _PLAIN[key] if key in _PLAIN else _number(value)
            for key, value in group.items()
            if key != "params"
        }
        for group in optimizer.param_groups
    ]


def _number(value: Any) -> Any:
    """A hyperparameter that is a tensor of one element, as the number that it is."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, tuple):
        return tuple(_number(v) for v in value)
    return value


@contextmanager
def bound(
    optimizer: Optimizer,
    stand_ins: Mapping[int, Tensor],
    states: States,
    settings: Sequence[Mapping[str, Any]],
    steps: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda step: step,
) -> Iterator[None]:
    """Within, `optimizer` works on other tensors.

    stand_ins: for each of its parameters, by `id`. states: what it keeps of those. settings: what
    each group says. steps: makes its `step` another one.
    """
    attributes = dict(vars(optimizer))
    groups = [dict(group) for group in optimizer.param_groups]
    own = steps(optimizer.step)

    def step(*args: Any, **kwargs: Any) -> Any:
        with _Wide():
            return own(*args, **kwargs)

    try:
        optimizer.state = states
        optimizer.step = step  # type: ignore[method-assign]
        for group, before, setting in zip(optimizer.param_groups, groups, settings, strict=True):
            group.update(setting, params=[stand_ins[id(p)] for p in before["params"]])
        yield
    finally:
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(before)


class _Wide(TorchFunctionMode):
    """Within a step what would be bfloat16 stays float32: Muon orthogonalises in it for speed."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.bfloat16:
            return args[0].clone()  # a copy, as a conversion is
        if func is Tensor.to and any(a is torch.bfloat16 for a in (*args, *kwargs.values())):
            return args[0].clone()
        return func(*args, **kwargs)
