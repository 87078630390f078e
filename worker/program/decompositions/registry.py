"""The tables of decompositions: of operators, and of functions that hide more than one operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# an ATen operator to itself as others, in torch
OURS: dict[Any, Callable[..., Any]] = {}
# a function of PyTorch to another of the same arguments and results, before autograd sees it
FUNCTIONS: dict[Any, Callable[..., Any]] = {}

Function = Callable[..., Any]


def decomposes(*operators: Any) -> Callable[[Function], Function]:
    """Registers a function as the decomposition of these operators; NotImplemented where it has
    none for its arguments."""
    return _registering(OURS, operators)


def replaces(*functions: Any) -> Callable[[Function], Function]:
    """Registers a function as what is called in place of these while a module is captured."""
    return _registering(FUNCTIONS, functions)


def _registering(
    table: dict[Any, Function], keys: tuple[Any, ...]
) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        for key in keys:
            if key in table:
                raise AssertionError(f"{key} is there twice")
            table[key] = function
        return function

    return register
