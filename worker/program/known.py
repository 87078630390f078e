"""What of a trace is known before it runs: it depends on no parameter, buffer, batch or chance."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from worker.program.graph import Op, mapped


def is_of_a_run(node: Op) -> bool:
    """Whether a value depends on what a run is given, or on chance."""
    return any(n.op == "placeholder" or is_drawn(n) for n in _needed(node))


def is_drawn(node: Op) -> bool:
    """Whether an operator draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def value_of(node: Op) -> Any:
    """The value of an operator that is of no run, computed: traced tensors have no elements."""
    needed, values = _needed(node), dict[Op, Any]()
    with _disable_current_modes():
        for one in node.graph.nodes:  # in their order, as some write in place
            if one not in needed:
                continue
            if one.op == "get_attr":
                values[one] = node.graph.root.get_buffer(one.target).clone()
            else:
                target: Any = one.target
                args, kwargs = mapped((one.args, one.kwargs), values.__getitem__)
                values[one] = target(*args, **kwargs)
    return values[node]


def _needed(node: Op) -> set[Op]:
    """The operators that a value is computed by, also those that write into it by another name."""
    needed, near = {node}, [node]
    while near:
        one = near.pop()
        others = [*one.inputs, *(u for u in one.users if _shares(u, one))]
        fresh = [n for n in others if n not in needed]
        needed.update(fresh)
        near += fresh
    return needed


def _shares(node: Op, operand: Op) -> bool:
    """Whether an operator gives a view of an operand, or writes into it."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    held: list[Op] = []
    for k, argument in enumerate(schema.arguments):
        if argument.alias_info is not None:
            given = node.args[k] if k < len(node.args) else node.kwargs.get(argument.name)
            mapped(given, held.append)
    return operand in held
