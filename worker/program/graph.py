"""The operators that a run of a step asked for, in their order.

As `torch.fx` has it, without what makes a node there ten times as slow: names that are unique, and
Python that is written from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch._library.utils import is_impure


class Op:
    """One operator: `target` of `args` and `kwargs`, in which earlier ones stand for their results.

    op: "placeholder" (target: its name), "get_attr" (target: the name of one of the graph's
    constants), "call_function" or "output". meta: what its maker notes of it. inputs: the operators
    that it reads, each once. users: those that read it.
    """

    __slots__ = ("args", "graph", "inputs", "kwargs", "meta", "op", "target", "users")

    def __init__(self, graph: Graph, op: str, target: Any, args: Any, kwargs: Any) -> None:
        self.graph, self.op, self.target = graph, op, target
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.meta: dict[str, Any] = {}
        self.users: dict[Op, None] = {}
        inputs: dict[Op, None] = {}
        mapped((args, kwargs), lambda one: inputs.setdefault(one))
        self.inputs = tuple(inputs)
        for one in self.inputs:
            one.users[self] = None

    def __repr__(self) -> str:
        return f"{self.op} {self.target}"


class Graph:
    """nodes: in the order in which they were asked for. root: holds the constants, as buffers."""

    def __init__(self) -> None:
        self.nodes: list[Op] = []
        self.root = nn.Module()

    def placeholder(self, name: str) -> Op:
        return self._add("placeholder", name)

    def get_attr(self, name: str) -> Op:
        return self._add("get_attr", name)

    def call_function(
        self, target: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Op:
        return self._add("call_function", target, args, kwargs or {})

    def output(self, results: Any) -> Op:
        return self._add("output", "output", (results,))

    def _add(
        self, op: str, target: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Op:
        one = Op(self, op, target, args, kwargs or {})
        self.nodes.append(one)
        return one

    def drop_unused(self) -> None:
        """Leaves out what nobody reads, but for what does more than to give a result."""
        left = []
        for one in reversed(self.nodes):
            if one.users or one.op in ("placeholder", "output") or _does_more(one):
                left.append(one)
            else:
                for read in one.inputs:
                    del read.users[one]
        self.nodes = left[::-1]


def _does_more(one: Op) -> bool:
    """Whether an operator writes, draws or checks."""
    return one.op == "call_function" and is_impure(one.target, args=one.args, kwargs=one.kwargs)


def mapped(value: Any, of: Callable[[Op], Any]) -> Any:
    """Arguments, with something else for each operator in them."""
    kind = type(value)
    if kind is Op:
        return of(value)
    if kind is tuple or isinstance(value, tuple):
        return tuple([mapped(v, of) for v in value])
    if isinstance(value, list):
        return [mapped(v, of) for v in value]
    if kind is dict:
        return {k: mapped(v, of) for k, v in value.items()}
    if kind is slice:
        return slice(mapped(value.start, of), mapped(value.stop, of), mapped(value.step, of))
    return value
