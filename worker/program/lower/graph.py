"""Walks a graph of operators and applies the rules."""

from __future__ import annotations

import functools
import operator
import os
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worker.program.builder import Builder
from worker.program.graph import Graph, Op, mapped
from worker.program.lower.constants import vector
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.registry import RULES, Unsupported
from worker.program.needed import pruned
from worker.program.records import Bound, Node
from worker.program.views import View

# a check that computes nothing
_NOTHING = ("aten._linalg_check_errors",)


@dataclass(frozen=True)
class Lowered:
    """The nodes that the outputs need, the outputs' node numbers, where each node came from, and
    where indices must lie."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    origins: tuple[str, ...]
    bounds: tuple[Bound, ...]


PLACE = "place"  # under which a node keeps the user's line that asked for it, or the layer

_NOT_USERS = tuple(
    f"{folder}{os.sep}" for folder in (Path(torch.__file__).parent, Path(__file__).parents[1])
)


_PYTHONS = f"{sysconfig.get_path('stdlib')}{os.sep}"


def is_users(file: str) -> bool:
    """Whether a file is neither PyTorch's nor Python's nor ours, nor one that PyTorch writes as it
    runs."""
    written = file == "<string>" or file.startswith("<eval_with_key>")
    pythons = file.startswith(_PYTHONS) and "site-packages" not in file
    return not written and not pythons and not file.startswith(_NOT_USERS)


def user_line(node: Op) -> str:
    """The innermost line of the user's code that made this operator, or the layer, or nothing."""
    return str(node.meta.get(PLACE, ""))


def nearest_line(node: Op) -> str:
    """The user's line of an operator; of one that PyTorch made on its own, of the nearest before it
    that has one, or else of the nearest after it."""
    for neighbours in (lambda n: list(n.inputs), lambda n: list(n.users)):
        seen, near = {node}, [node]
        while near:
            for one in near:
                if line := user_line(one):
                    return line
            near = [n for one in near for n in neighbours(one) if n not in seen]
            seen.update(near)
    return ""


def lower_graph(
    graph: Graph, builder: Builder, placeholders: Sequence[View], shaped: int | None = None
) -> Lowered:
    """Lowers every operator; `placeholders` stand for the graph's inputs, in order.

    shaped: the output from which on they are nodes of the shapes that the graph gives them. Of
    the others only the elements count: a reshape is no node, so a node may have another shape.

    Raises Unsupported, with all operators that have no rule and the user's lines, before any other
    work is done.
    """
    _refuse_unknown(graph)
    values: dict[Op, Any] = {}
    inputs = iter(placeholders)
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = next(inputs)
        elif node.op == "output":
            flat = mapped(node.args[0], values.__getitem__)
            free = len(flat) if shaped is None else shaped
            outputs = [builder.plain(v) for v in flat[:free]]
            return _finish(builder, outputs + [builder.shaped(v) for v in flat[free:]])
        elif not _is_nothing(node):
            values[node] = _apply(builder, node, values)
    raise AssertionError("a graph ends with its output")


def _apply(builder: Builder, node: Op, values: dict[Op, Any]) -> Any:
    target: Any = node.target
    if node.op == "get_attr":
        return _constant(builder, node)
    args: Any = mapped(node.args, values.__getitem__)
    if target is operator.getitem:
        return args[0][args[1]]
    kwargs: Any = mapped(node.kwargs, values.__getitem__)
    builder.origin = f"{_name(target)}  {user_line(node)}".strip()
    if 0 in (shape := node.meta.get("shape", ())):
        # as half of what a rotary embedding cuts in two may be: only its shape is ever read
        return builder.full(0, dtype_code(node.meta["dtype"]), shape)
    try:
        return RULES[target](builder, *args, **kwargs)
    except ValueError as error:  # Unsupported, a malformed record, a number that does not fit
        raise Unsupported(f"{target}: {error}; asked for at {nearest_line(node) or '?'}") from None


def _constant(builder: Builder, node: Op) -> View:
    tensor = node.graph.root.get_buffer(node.target)
    dtype, shape = dtype_code(tensor.dtype), tuple(tensor.shape)
    builder.origin = f"constant  {user_line(node)}".strip()
    if tensor.numel() < 2:
        # nothing reads an element of an empty one
        return builder.full(tensor.item() if tensor.numel() else 0, dtype, shape)
    try:
        return builder.reshape(vector(builder, tensor.flatten().tolist(), dtype), shape)
    except Unsupported as error:
        raise Unsupported(f"{node.target}: {error}") from None


def _is_nothing(node: Op) -> bool:
    return _name(node.target).startswith(_NOTHING)


@functools.cache
def _name(target: Any) -> str:
    return str(target)


def _refuse_unknown(graph: Graph) -> None:
    unknown: dict[str, str] = {}
    for node in graph.nodes:
        known = node.target in RULES or node.target is operator.getitem
        if node.op != "call_function" or known or _is_nothing(node):
            continue
        if str(node.target) not in unknown:
            unknown[str(node.target)] = nearest_line(node)
    if unknown:
        listed = "\n".join(f"  {name}  {place}".rstrip() for name, place in unknown.items())
        raise Unsupported(
            f"programs cannot express these operators yet:\n{listed}\n"
            "docs/models.md says what they can express"
        )


def _finish(builder: Builder, outputs: list[View]) -> Lowered:
    """Drops the nodes that no output needs, and numbers the rest anew."""
    nodes, numbers, kept = pruned(builder.nodes, [v.node for v in outputs])
    new = {old: number for number, old in enumerate(kept)}
    bounds = tuple(
        replace(bound, index=replace(bound.index, node=new[bound.index.node]))
        for bound in builder.bounds
        if bound.index.node in new
    )
    return Lowered(nodes, numbers, tuple(builder.origins[old] for old in kept), bounds)
