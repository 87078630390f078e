"""What of a program its outputs follow from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from worker.program.records import Input, Node


def cone(
    wanted: Collection[int], operands: Mapping[int, Sequence[int]] | Sequence[Sequence[int]]
) -> list[int]:
    """What the wanted nodes depend on, themselves included, in order."""
    found: set[int] = set()
    stack = list(wanted)
    while stack:
        n = stack.pop()
        if n not in found:
            found.add(n)
            stack.extend(operands[n])
    return sorted(found)


def needed(nodes: Sequence[Node], wanted: Collection[int]) -> list[int]:
    """`cone` of nodes by their records."""
    return cone(wanted, [tuple(i.node for i in node.inputs) for node in nodes])


def pruned(
    nodes: Sequence[Node], outputs: Sequence[int]
) -> tuple[tuple[Node, ...], tuple[int, ...], list[int]]:
    """The nodes that the outputs need, numbered anew; the outputs; and each node's old number."""
    kept = needed(nodes, outputs)
    number = {old: new for new, old in enumerate(kept)}
    left = []
    for old in kept:
        n = nodes[old]
        inputs = [Input(number[i.node], i.dtype, i.shape, i.map, i.fill) for i in n.inputs]
        left.append(Node(n.kind, n.fn, n.dtype, n.shape, tuple(inputs), n.attributes))
    return tuple(left), tuple(number[n] for n in outputs), kept
