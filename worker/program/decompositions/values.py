"""What Python sees of tensors while it captures: only what every run has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import (
    disable_proxy_modes_tracing,
    get_proxy_mode,
    get_proxy_slot,
)

from worker.program.decompositions.registry import replaces
from worker.program.lower import Unsupported

aten = torch.ops.aten

LOOKED_AT = (
    "Python looks at a tensor's value (item(), int(), float(), numpy(), if), which only a run has; "
    "compute with the tensor instead, or use torch.where"
)


def of_a_run(x: Any) -> bool:
    """Whether a tensor's values depend on what a run is given, or on chance."""
    mode = get_proxy_mode()
    slot = get_proxy_slot(x, mode.tracer, None) if mode and isinstance(x, Tensor) else None
    if slot is None:
        return False
    seen, near = set(), [slot.proxy.node]
    while near:
        node = near.pop()
        drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if node.op == "placeholder" or drawn:
            return True
        seen.add(node)
        near += [n for n in node.all_input_nodes if n not in seen]
    return False


def computed(x: Any) -> Any:
    """What a tensor holds that depends on no run; traced ones have no elements."""
    mode: Any = get_proxy_mode()
    slot = get_proxy_slot(x, mode.tracer, None) if mode and isinstance(x, Tensor) else None
    if slot is None:
        return x

    made: dict[fx.Node, Any] = {}

    def of(node: fx.Node) -> Any:
        if node not in made:
            if node.op == "get_attr":
                made[node] = getattr(mode.tracer.root, str(node.target))
            else:
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), of)
                made[node] = node.target(*args, **kwargs)  # type: ignore[operator]
        return made[node]

    with disable_proxy_modes_tracing(), unset_fake_temporarily():
        return of(slot.proxy.node)


def known(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function gives of tensors that depend on no run."""
    values = [computed(a) for a in args]
    with disable_proxy_modes_tracing(), unset_fake_temporarily():
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
    mode = get_proxy_mode()
    slot = get_proxy_slot(x, mode.tracer, None) if mode else None
    node: Any = None if slot is None else slot.proxy.node
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
