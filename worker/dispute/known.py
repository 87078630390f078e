"""A tree that belongs to someone else, as far as the dispute has revealed it."""

from __future__ import annotations

from collections.abc import Sequence

from worker.commit import Tree, depth, width
from worker.commit.tree import parents


class RevealedTree:
    """Nodes of the accused's tree, gathered from its reveals.

    The descent reveals all siblings along its way. What it does not reveal lies left of the way,
    where the challenger's own tree has the same nodes: it descends into the first that differs.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._nodes: dict[tuple[int, int], bytes] = {}

    def add(self, level: int, index: int, levels: int, children: Sequence[bytes]) -> None:
        """The descendants, `levels` below the node at (`level`, `index`)."""
        nodes, first = list(children), index << levels
        for at in range(level - levels, level + 1):
            for k, node in enumerate(nodes):
                self._nodes[at, first + k] = node
            if at < level:
                nodes, first = parents(nodes), first >> 1

    def path(self, index: int, own: Tree) -> list[bytes]:
        """Siblings of leaf `index` in the accused's tree, up to its root."""
        path = []
        for level in range(depth(self.size)):
            sibling = index ^ 1
            if sibling < width(self.size, level):
                known = self._nodes.get((level, sibling))
                path.append(own.node(level, sibling) if known is None else known)
            index //= 2
        return path

    def between(self, level: int, index: int, levels: int) -> list[bytes]:
        """Revealed siblings of the node at (`level`, `index`), up to `levels` above it."""
        path = []
        for at in range(level, level + levels):
            if (index ^ 1) < width(self.size, at):
                path.append(self._nodes[at, index ^ 1])
            index //= 2
        return path
