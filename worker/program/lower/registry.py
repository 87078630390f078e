"""The table of lowering rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch._ops import OpOverload

from worker.program.builder import Builder
from worker.program.views import View

# a rule receives the builder, the numbers format of the program, and the operator's arguments with
# tensors replaced by views; it returns a view, or a tuple of them
Rule = Callable[..., Any]

RULES: dict[OpOverload, Rule] = {}


class Unsupported(ValueError):
    """An operator, a dtype or an argument that programs cannot express."""


def rule(*operators: OpOverload) -> Callable[[Rule], Rule]:
    """Registers a function as the rule of these operators."""

    def register(function: Rule) -> Rule:
        for operator in operators:
            if operator in RULES:
                raise AssertionError(f"{operator} has two rules")
            RULES[operator] = function
        return function

    return register


def axis_of(dim: int, view: View) -> int:
    """A dimension as PyTorch counts it, as a non-negative axis."""
    rank = max(len(view.shape), 1)
    if not -rank <= dim < rank:
        raise Unsupported(f"dimension {dim} is outside a tensor of shape {view.shape}")
    return dim % rank


__all__ = ["RULES", "Builder", "Rule", "Unsupported", "View", "axis_of", "rule"]
