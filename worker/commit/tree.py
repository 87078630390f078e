"""Ordered SHA-256 trees in which an odd last node moves up unchanged.

These are the trees that the `merkletools` package builds. `Tree` is our builder for large ones (a
tensor of ten million elements has eighty thousand leaves); `worker.commit.lists` builds the small
ones with the package itself, and the tests hold the two equal.

Level 0 holds the leaves, the root is alone on level `depth(size)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def depth(size: int) -> int:
    """Number of levels above the leaves of a tree with `size` leaves."""
    if size < 1:
        raise ValueError(f"a tree needs at least one leaf, not {size=}")
    return (size - 1).bit_length()


def width(size: int, level: int) -> int:
    """Number of nodes on `level` of a tree with `size` leaves: ceil(size / 2^level)."""
    return -(-size >> level)


def _check_place(index: int, level: int, nodes: int) -> None:
    if not 0 <= index < nodes:
        raise ValueError(f"{index=} is outside level {level}, which has {nodes} nodes")


def parents(nodes: Sequence[bytes]) -> list[bytes]:
    """The next level up of a whole level of nodes."""
    up = [sha256(nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes) - 1, 2)]
    if len(nodes) % 2:
        up.append(nodes[-1])
    return up


def fold(nodes: Sequence[bytes], levels: int) -> bytes:
    """The ancestor, `levels` up, of all its descendants `nodes` on one level, in order.

    A subtree starts at an even position on every level, so a node without a partner inside it is
    the last one of its level in the whole tree, and moves up.
    """
    for _ in range(levels):
        nodes = parents(nodes)
    if len(nodes) != 1:
        raise ValueError(f"{len(nodes)} nodes are left after folding {levels} levels; expected one")
    return nodes[0]


def climb(
    node: bytes, index: int, size: int, level: int, path: Sequence[bytes], levels: int
) -> bytes:
    """The ancestor, `levels` up, that the path gives to a node at (`level`, `index`).

    Raises ValueError when the path's length is not the one that position and `size` determine.
    """
    _check_place(index, level, width(size, level))
    rest = list(path)
    for at in range(level, level + levels):
        if index % 2 or index + 1 < width(size, at):
            if not rest:
                raise ValueError(f"the path of {len(path)} nodes is too short")
            sibling = rest.pop(0)
            node = sha256(sibling + node if index % 2 else node + sibling).digest()
        index //= 2
    if rest:
        raise ValueError(f"the path is {len(rest)} nodes too long")
    return node


def climb_together(leaves: Sequence[bytes], index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that the path gives to neighbouring leaves, the first of them number `index`.

    The path holds, from below up, the sibling of the left end and then the one of the right end,
    where these are not among the neighbours. Raises ValueError when its length is not the one that
    position, number and `size` determine.
    """
    nodes, rest = list(leaves), list(path)
    if not nodes:
        raise ValueError("there are no leaves to climb from")
    _check_place(index, 0, size)
    _check_place(index + len(nodes) - 1, 0, size)

    def sibling() -> bytes:
        if not rest:
            raise ValueError(f"the path of {len(path)} nodes is too short")
        return rest.pop(0)

    for level in range(depth(size)):
        if index % 2:
            nodes.insert(0, sibling())
        index //= 2
        if len(nodes) % 2 and 2 * index + len(nodes) < width(size, level):
            nodes.append(sibling())
        nodes = parents(nodes)
    if rest:
        raise ValueError(f"the path is {len(rest)} nodes too long")
    return nodes[0]


class Tree:
    """All levels of a tree over given leaves (each 32 bytes)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.size = len(leaves)
        self.depth = depth(self.size)
        self.levels = [list(leaves)]
        while len(self.levels[-1]) > 1:
            self.levels.append(parents(self.levels[-1]))

    @property
    def root(self) -> bytes:
        return self.levels[-1][0]

    def node(self, level: int, index: int) -> bytes:
        _check_place(index, level, len(self.levels[level]))
        return self.levels[level][index]

    def children(self, level: int, index: int, levels: int) -> list[bytes]:
        """The descendants `levels` below the node at (`level`, `index`), in order."""
        if levels > level:
            raise ValueError(f"there are no nodes {levels} levels below level {level}")
        _check_place(index, level, len(self.levels[level]))
        return self.levels[level - levels][index << levels : (index + 1) << levels]

    def path(self, index: int, level: int = 0, levels: int | None = None) -> list[bytes]:
        """Siblings from the node at (`level`, `index`) up to its ancestor `levels` above it.

        To the root where `levels` is not given.
        """
        _check_place(index, level, len(self.levels[level]))
        top = self.depth if levels is None else level + levels
        path = []
        for nodes in self.levels[level:top]:
            sibling = index ^ 1
            if sibling < len(nodes):
                path.append(nodes[sibling])
            index //= 2
        return path

    def path_together(self, index: int, count: int) -> list[bytes]:
        """What leads from `count` neighbouring leaves, the first number `index`, to the root.

        From below up, the sibling of the left end and then the one of the right end, where these
        are not among the neighbours: of a single leaf, its `path`.
        """
        first, last = index, index + count - 1
        _check_place(first, 0, self.size)
        _check_place(last, 0, self.size)
        path = []
        for nodes in self.levels[:-1]:
            if first % 2:
                path.append(nodes[first - 1])
            if last % 2 == 0 and last + 1 < len(nodes):
                path.append(nodes[last + 1])
            first, last = first // 2, last // 2
        return path
