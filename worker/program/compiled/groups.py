"""Which nodes are computed together, in one walk over their elements.

A group walks rows: `count` elements in row-major order, in rows of `length` where it reduces. Its
nodes are full (one element at each place) or of a row (one element for each). Whatever a node reads
of its own group stands at the same place; everything else is in memory when the group starts.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace

from worker.program.codes import DTYPES, F32, SUM_BITS, Kind, Map, Reduce, Source
from worker.program.compiled.affine import (
    access,
    composed,
    cuts_of,
    divides,
    is_per_row,
    is_plain,
)
from worker.program.compiled.products import Rows, rows_of
from worker.program.execute import float_rows
from worker.program.records import Input, Node


@dataclass(frozen=True)
class Graph:
    """The nodes that a run needs, copies seen through, products and sums over their floats.

    operands: what each node reads. floats: the node whose rows a SUM adds; a SUM of integers that
    something else made has none. rows: how a DOT's two operands stand in memory, likewise.
    columns: the DOTs whose matrices stand there column by column, as their readers go through them.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    operands: dict[int, tuple[int, ...]]
    floats: dict[int, int]
    rows: dict[int, tuple[Rows, Rows]]
    columns: frozenset[int]

    @property
    def order(self) -> list[int]:
        return sorted(self.operands)


class Uncompilable(ValueError):
    """A program that the compiled executor does not take; the plain one does."""


def graph_of(nodes: Sequence[Node], outputs: Sequence[int]) -> Graph:
    """What a run needs of a program."""
    seen = _through_copies(nodes)
    operands: dict[int, tuple[int, ...]] = {}
    floats: dict[int, int] = {}
    rows: dict[int, tuple[Rows, Rows]] = {}
    stack = list(outputs)
    while stack:
        n = stack.pop()
        if n in operands:
            continue
        node = nodes[n]
        if node.kind == Kind.DOT and (pair := _rows_of_dot(nodes, seen, n)) is not None:
            rows[n] = pair
            operands[n] = tuple(r.node for r in pair)
        elif (x := _summed(nodes, node)) is not None:
            floats[n] = x
            operands[n] = (x,)
        else:
            operands[n] = tuple(i.node for i in seen[n].inputs)
        stack.extend(operands[n])
    columns = _column_by_column(seen, operands, rows, set(outputs))
    return Graph(tuple(seen), tuple(outputs), operands, floats, rows, frozenset(columns))


def _rows_of_dot(nodes: Sequence[Node], seen: Sequence[Node], n: int) -> tuple[Rows, Rows] | None:
    batch, m, count, k, bits = nodes[n].attributes
    qa, ea, qb, eb = (i.node for i in nodes[n].inputs)
    a, b = float_rows(nodes, qa, ea, bits), float_rows(nodes, qb, eb, bits)
    if a is None or b is None:
        return None
    return rows_of(seen, a, (batch, m, k)), rows_of(seen, b, (batch, count, k))


def _summed(nodes: Sequence[Node], node: Node) -> int | None:
    """The node whose rows a SUM adds."""
    if node.kind != Kind.REDUCE or node.fn != Reduce.SUM:
        return None
    q, e = node.inputs
    return float_rows(nodes, q.node, e.node, SUM_BITS)


def _column_by_column(
    seen: list[Node],
    operands: dict[int, tuple[int, ...]],
    rows: Container[int],
    outputs: set[int],
) -> set[int]:
    """DOTs that are better written column by column; their readers in `seen` are changed to it."""
    readers: dict[int, list[int]] = {}
    for n, read in operands.items():
        for o in set(read):
            readers.setdefault(o, []).append(n)
    chosen = set()
    for n in operands:
        made = seen[n]
        if n not in rows or n in outputs:
            continue
        batch, m, columns = made.attributes[:3]
        shape = (batch, m, columns)
        turned = Input(n, F32, (made.count,), (0, m * columns, 1, m))
        changed: dict[int, Node] = {}
        gain = 0
        for reader in readers[n]:
            node = seen[reader]
            if node.kind != Kind.MAP:
                break
            inputs = [
                composed(i, node.shape, turned, shape) if i.node == n else i for i in node.inputs
            ]
            if None in inputs:
                break
            for before, after in zip(node.inputs, inputs, strict=True):
                if before.node == n and after is not None:
                    gain += node.count * (_runs(after, node.shape) - _runs(before, node.shape))
            changed[reader] = replace(node, inputs=tuple(i for i in inputs if i is not None))
        else:
            if gain > 0:
                chosen.add(n)
                for reader, node in changed.items():
                    seen[reader] = node
    return chosen


def _runs(operand: Input, shape: tuple[int, ...]) -> int:
    """Whether the elements that a map reads one after the other stand so in memory."""
    steps = [s for s, n in zip(access(operand, shape).flat.strides, shape, strict=True) if n > 1]
    return int(bool(steps) and steps[-1] == 1)


def _through_copies(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, their maps' operands read through copies where that stays affine."""
    seen: list[Node] = []
    for node in nodes:
        if node.kind == Kind.MAP:
            inputs = tuple(_through(seen, i, node.shape) for i in node.inputs)
            node = Node(node.kind, node.fn, node.dtype, node.shape, inputs, node.attributes)
        seen.append(node)
    return seen


def _through(seen: Sequence[Node], operand: Input, shape: tuple[int, ...]) -> Input:
    made = seen[operand.node]
    if made.kind == Kind.MAP and made.fn == Map.COPY:
        direct = composed(operand, shape, made.inputs[0], made.shape)
        if direct is not None:
            return direct
    return operand


def is_leaf(node: Node) -> bool:
    """Whether an element needs no memory: a constant, or its own place."""
    return node.kind == Kind.SOURCE and node.fn in (Source.CONSTANT, Source.IOTA)


def is_random(node: Node) -> bool:
    return node.kind == Kind.SOURCE and node.fn == Source.RANDOM


@dataclass
class Group:
    """Nodes of one walk, or a single DOT, GATHER or SCATTER."""

    count: int
    length: int | None = None
    cuts: set[int] = field(default_factory=set)
    full: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    alone: bool = False

    @property
    def members(self) -> list[int]:
        return sorted([*self.full, *self.row])


class Grouping:
    """Puts each node into the first group, from the last made backwards, that can take it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.groups: list[Group] = []
        self.home: dict[int, int] = {}
        self.needs: list[set[int]] = []
        self.users: list[set[int]] = []
        self.depth: list[int] = []  # each above those that it needs
        for n in graph.order:
            node = graph.nodes[n]
            if node.kind == Kind.SOURCE and not is_random(node):
                continue
            if node.kind in (Kind.DOT, Kind.GATHER, Kind.SCATTER):
                self._place(n, self._new(Group(node.count, alone=True)), row=False)
                continue
            if not self._joins(n):
                self._start(n)

    def _start(self, n: int) -> None:
        node = self.graph.nodes[n]
        if node.kind == Kind.REDUCE:
            rows, length = node.inputs[0].shape
            group = Group(
                rows * length, length, cuts_of((rows, length)) | cuts_of(node.shape, length)
            )
            self._place(n, self._new(group), row=True)
        else:
            self._place(n, self._new(Group(node.count, None, cuts_of(node.shape))), row=False)

    def _new(self, group: Group) -> int:
        self.groups.append(group)
        self.needs.append(set())
        self.users.append(set())
        self.depth.append(0)
        return len(self.groups) - 1

    def _place(self, n: int, g: int, row: bool) -> None:
        group = self.groups[g]
        (group.row if row else group.full).append(n)
        self.home[n] = g
        for o in self.graph.operands[n]:
            h = self.home.get(o, g)
            if h != g:
                self.needs[g].add(h)
                self.users[h].add(g)
                self._sink(g, self.depth[h] + 1)

    def _sink(self, g: int, depth: int) -> None:
        """Puts a group at least so deep, and those that need it below it."""
        stack = [(g, depth)]
        while stack:
            g, depth = stack.pop()
            if self.depth[g] < depth:
                self.depth[g] = depth
                stack += [(user, depth + 1) for user in self.users[g]]

    def _joins(self, n: int) -> bool:
        node = self.graph.nodes[n]
        near = {self.home[o] for o in self.graph.operands[n] if o in self.home}
        for g in sorted(near, reverse=True):
            if self._counts(node, self.groups[g]) and self._safe(n, g):
                taken = self._reduces(node, n, g) if node.kind == Kind.REDUCE else self._maps(n, g)
                if taken:
                    return True
        return False

    @staticmethod
    def _counts(node: Node, group: Group) -> bool:
        """Whether the group has as many elements, or rows, as the node."""
        if group.alone:
            return False
        if node.kind == Kind.REDUCE:
            return node.inputs[0].count == group.count
        return group.count in (node.count, node.count * (group.length or 1))

    def _safe(self, n: int, g: int) -> bool:
        """Whether nothing that `n` needs waits for the group, which is then above it."""
        stack = [
            self.home[o] for o in self.graph.operands[n] if o in self.home and self.home[o] != g
        ]
        seen: set[int] = set()
        while stack:
            h = stack.pop()
            if h == g:
                return False
            if h not in seen and self.depth[h] > self.depth[g]:
                seen.add(h)
                stack.extend(self.needs[h])
        return True

    def _reduces(self, node: Node, n: int, g: int) -> bool:
        group = self.groups[g]
        rows, length = node.inputs[0].shape
        cuts = group.cuts | cuts_of((rows, length)) | cuts_of(node.shape, length)
        fits = (
            length > 1
            and rows * length == group.count
            and group.length in (None, length)
            and divides(cuts)
        )
        for o in self.graph.operands[n]:
            if self.home.get(o) == g:
                at_row = node.fn == Reduce.SUM and o == node.inputs[1].node
                fits = fits and o in (group.row if at_row else group.full)
        if fits:
            group.length, group.cuts = length, cuts
            self._place(n, g, row=True)
        return fits

    def _maps(self, n: int, g: int) -> bool:
        group, node = self.groups[g], self.graph.nodes[n]
        if node.count == group.count:
            return self._maps_full(n, g)
        if group.length is None or node.count * group.length != group.count:
            return False
        cuts = group.cuts | cuts_of(node.shape, group.length)
        if not divides(cuts):
            return False
        for operand in node.inputs:
            if self.home.get(operand.node) == g:
                found = access(operand, node.shape)
                if operand.node not in group.row or not is_plain(found, node.shape, operand.count):
                    return False
        group.cuts = cuts
        self._place(n, g, row=True)
        return True

    def _maps_full(self, n: int, g: int) -> bool:
        group, node = self.groups[g], self.graph.nodes[n]
        cuts = group.cuts | cuts_of(node.shape)
        if not divides(cuts):
            return False
        for operand in node.inputs:
            if self.home.get(operand.node) != g:
                continue
            found = access(operand, node.shape)
            if operand.node in group.full:
                if not is_plain(found, node.shape, operand.count):
                    return False
            elif group.length is None or not is_per_row(found, node.shape, group.length):
                return False
        group.cuts = cuts
        self._place(n, g, row=False)
        return True

    def stored(self) -> set[int]:
        """The nodes that must be in memory: outputs, and what another group reads."""
        wanted = {o for o in self.graph.outputs if o in self.home}
        for n, operands in self.graph.operands.items():
            for o in operands:
                if o in self.home and self.home[o] != self.home.get(n):
                    wanted.add(o)
        return wanted


def itemsize(dtype: int) -> int:
    return DTYPES[dtype].itemsize
