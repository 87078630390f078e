"""A step as a list of launches, and where in memory each of their operands stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from worker.exact.gpu.dot import Launch, multiplying, packing_integers
from worker.program.codes import Kind, Source
from worker.program.compiled.arena import Lifetime, place
from worker.program.compiled.groups import Graph, Grouping, graph_of, itemsize
from worker.program.compiled.order import ordered
from worker.program.gpu.packed import Packed, Piece, packed
from worker.program.gpu.products import SUMS, gather, scatter
from worker.program.gpu.text import HEADER
from worker.program.gpu.walk import MOMENT, WINDOWS, Kernel, walk
from worker.program.records import Node

LEAST_PIECE = 1 << 22
PIECE_SHARE = 16
"""An operand is packed in pieces where it takes more bytes than the first, and than this part of
what all nodes in memory take; a convolution's windows are nine times what they are taken from."""
TILE = 64
"""Rows and columns of a product that keep one processor busy."""

Key = Hashable
"""A buffer: a node's number, MOMENT, WINDOWS, or what a product packs."""


@dataclass(frozen=True)
class Operand:
    """A buffer as a launch takes it: from its element `offset` on."""

    key: Key
    offset: int = 0


@dataclass(frozen=True)
class Call:
    """One launch. kernel: the name of a generated one, whose launch lacks only that; None where
    the launch has a kernel, or where memory is cleared (no launch at all). written, plain: as of a
    `walk.Kernel`."""

    operands: tuple[Operand, ...]
    launch: Launch | None
    kernel: str | None = None
    written: tuple[int, ...] = ()
    plain: frozenset[int] = frozenset()


@dataclass
class Plan:
    """A step: the text of its generated kernels, its calls in order, and its memory.

    sizes: of the buffers that are neither sources nor outputs, their bytes. offsets: where they
    stand in the arena. leaves: constants and iotas that must be in memory. renewed: next states
    that are written where the state stands that they follow, by node, and that state's node.
    """

    text: str = HEADER
    calls: list[Call] = field(default_factory=list)
    sizes: dict[Key, int] = field(default_factory=dict)
    offsets: dict[Key, int] = field(default_factory=dict)
    arena: int = 0
    leaves: list[int] = field(default_factory=list)
    renewed: dict[int, int] = field(default_factory=dict)


def plan_of(nodes: Sequence[Node], outputs: Sequence[int], processors: int) -> Plan:
    """The plan of one well-formed program, for a GPU of so many processors.

    Raises Uncompilable for programs that only the plain run takes.
    """
    return _Planner(graph_of(nodes, outputs), processors).plan()


class _Planner:
    def __init__(self, graph: Graph, processors: int) -> None:
        self.graph, self.processors = graph, processors
        self.grouping = Grouping(graph)
        self.stored = self.grouping.stored()
        self.made = Plan()
        self.names: dict[str, str] = {}
        self.sides: dict[int, tuple[Packed, Packed]] = {}
        for n, (a, b) in graph.rows.items():
            batch, m, count, k, bits = graph.nodes[n].attributes
            self.sides[n] = packed(a, (batch, m, k), bits), packed(b, (batch, count, k), bits)
        self.uses = Counter(side.key for sides in self.sides.values() for side in sides)
        self.most = max(LEAST_PIECE, sum(map(self._bytes, self.stored)) // PIECE_SHARE)

    def plan(self) -> Plan:
        for g in ordered(self.grouping):
            group = self.grouping.groups[g]
            if not group.alone:
                if any(n in self.stored for n in group.members):
                    self._generated(walk(self.graph, group, self.stored))
                continue
            n = group.full[0]
            node, operands = self.graph.nodes[n], self.graph.operands[n]
            if node.kind == Kind.DOT:
                self._dot(n)
            elif node.kind == Kind.GATHER:
                self._generated(gather(self.graph.nodes, operands, n))
            else:
                self._scatter(n)
        self._place()
        self.made.text = (
            HEADER
            + "\n\n"
            + "\n\n".join(
                text.replace("@triton.jit\ndef @(", f"@triton.jit\ndef {name}(")
                for text, name in self.names.items()
            )
        )
        return self.made

    # calls

    def _name(self, text: str) -> str:
        return self.names.setdefault(text, f"kernel_{len(self.names)}")

    def _generated(self, kernel: Kernel, special: dict[str, Key] | None = None) -> None:
        keys = {MOMENT: MOMENT, WINDOWS: WINDOWS, **(special or {})}
        operands = tuple(Operand(keys[b] if isinstance(b, str) else b) for b in kernel.buffers)
        launch = Launch(None, kernel.grid, (0,), warps=kernel.warps)
        name = self._name(kernel.text)
        self.made.calls.append(Call(operands, launch, name, kernel.written, kernel.plain))

    def _scatter(self, n: int) -> None:
        v, d, _ = self.graph.nodes[n].attributes
        sums = (SUMS, n)
        self.made.sizes[sums] = v * d * 8
        self.made.calls.append(Call((Operand(sums),), None))
        for kernel in scatter(self.graph.nodes, self.graph.operands[n], n):
            self._generated(kernel, {SUMS: sums})

    def _dot(self, n: int) -> None:
        node = self.graph.nodes[n]
        batch, m, count, k, bits = node.attributes
        strides = (m * count, 1, m) if n in self.graph.columns else (m * count, count, 1)
        if n not in self.graph.rows:
            qa, ea, qb, eb = self.graph.operands[n]
            a = self._packed_integers(qa, ea, (batch, m, k), bits)
            b = self._packed_integers(qb, eb, (batch, count, k), bits)
            self._multiply(n, (batch, m, count, k), (a, b), strides)
            return
        sides = self.sides[n]
        large = max((0, 1), key=lambda side: sides[side].bytes)
        cut = sides[large]
        for piece in self._pieces(cut, batch * -(-m // TILE) * -(-count // TILE)):
            sizes, first, parts = [batch, m, count, k], 0, [sides[0].whole, sides[1].whole]
            if cut.batch > 1:
                at, sizes[0] = piece.first // cut.rows, piece.count // cut.rows
                first = at * strides[0]
                parts = [side.batches(at, sizes[0]) for side in sides]
            else:
                sizes[1 + large] = piece.count
                first = piece.first * strides[1 + large]
                parts[large] = piece
            keys = [self._packed(*of) for of in zip(sides, parts, strict=True)]
            self._multiply(n, sizes, keys, strides, first)

    def _multiply(
        self,
        n: int,
        sizes: Sequence[int],
        packed: Sequence[tuple[Key, int]],
        strides: tuple[int, int, int],
        first: int = 0,
    ) -> None:
        """The product of packed rows, each a buffer and how many batches it has, from the node's
        element `first` on."""
        (a, batch_a), (b, batch_b) = packed
        batch, m, count, k = sizes
        bits = self.graph.nodes[n].attributes[4]
        launch = multiplying(
            (batch, m, count, k), (batch_a, batch_b), strides, bits, self.processors
        )
        read = (a, b, ("scales", a), ("scales", b))
        self.made.calls.append(Call((*map(Operand, read), Operand(n, first)), launch))

    def _pieces(self, side: Packed, tiles: int) -> list[Piece]:
        """What of an operand is packed and multiplied at a time: as much as keeps within a share of
        the step's memory, but gives half the GPU work. What several products read is packed once.
        """
        parts = min(-(-side.bytes // self.most), 2 * tiles // self.processors)
        return [side.whole] if parts <= 1 or self.uses[side.key] > 1 else side.cut(parts)

    def _packed(self, side: Packed, piece: Piece) -> tuple[Key, int]:
        """The buffer of an operand's packed rows, and of how many batches they are."""
        key = ("packed", side.key, piece)
        if key not in self.made.sizes:
            at, launch, text = side.packing(piece)
            name = None if text is None else self._name(text)
            read = (Operand(side.node, at),)
            self._pack(key, side.bytes_of(piece), piece.count, read, launch, name)
        return key, -(-piece.count // side.rows)

    def _packed_integers(
        self, q: int, e: int, sizes: tuple[int, int, int], bits: int
    ) -> tuple[Key, int]:
        key = ("packed", q, e, bits)
        if key not in self.made.sizes:
            launch, size = packing_integers(*sizes, bits)
            self._pack(key, size, sizes[0] * sizes[1], (Operand(q), Operand(e)), launch)
        return key, sizes[0]

    def _pack(
        self,
        key: Key,
        size: int,
        rows: int,
        operands: tuple[Operand, ...],
        launch: Launch,
        kernel: str | None = None,
    ) -> None:
        self.made.sizes[key] = size
        self.made.sizes["scales", key] = rows * 4
        call = Call((*operands, Operand(key), Operand(("scales", key))), launch, kernel)
        self.made.calls.append(call)

    # memory

    def _place(self) -> None:
        outputs = set(self.graph.outputs)
        for n in self.stored - outputs:
            self.made.sizes[n] = self._bytes(n)
        first: dict[Key, int] = {}
        last: dict[Key, int] = {}
        for moment, key in self._uses():
            first.setdefault(key, moment)
            last[key] = moment
            if isinstance(key, int) and self._is_leaf(key) and key not in self.made.leaves:
                self.made.leaves.append(key)
        self._renew(last)
        root = self._shared(last)
        for key, shared in root.items():
            last[shared] = max(last[shared], last[key])
        keys = [k for k in self.made.sizes if k in first and k not in root]
        offsets, self.made.arena = place(
            [Lifetime(self.made.sizes[k], first[k], last[k]) for k in keys]
        )
        self.made.offsets = dict(zip(keys, offsets, strict=True))
        for key, shared in root.items():
            self.made.offsets[key] = self.made.offsets[shared]

    def _shared(self, last: dict[Key, int]) -> dict[Key, Key]:
        """Buffers that take the memory of one that is read for the last time where they are
        written, element by element: each, and the first that had that memory."""
        root: dict[Key, Key] = {}
        for moment, call in enumerate(self.made.calls):
            free = [n for n in sorted(call.plain) if n in self.made.sizes and last[n] == moment]
            for n in call.written:
                if n not in self.made.sizes:
                    continue
                match = next((r for r in free if self._alike(r, n)), None)
                if match is not None:
                    free.remove(match)
                    root[n] = root.get(match, match)
        return root

    def _renew(self, last: dict[Key, int]) -> None:
        """Finds the next states that can be written over their states."""
        states = {
            node.attributes[0]: n
            for n, node in enumerate(self.graph.nodes)
            if node.kind == Kind.SOURCE and node.fn == Source.STATE
        }
        outputs = self.graph.outputs
        given = Counter(outputs)
        made = {n: moment for moment, call in enumerate(self.made.calls) for n in call.written}
        for i, source in states.items():
            n = outputs[i]
            moment = made.get(n)
            if (
                moment is not None
                and source in self.made.calls[moment].plain
                and last[source] == moment
                and source not in given
                and given[n] == 1
                and self._alike(source, n)
            ):
                self.made.renewed[n] = source

    def _bytes(self, n: int) -> int:
        """What a node's elements take."""
        return self.graph.nodes[n].count * itemsize(self.graph.nodes[n].dtype)

    def _alike(self, a: int, b: int) -> bool:
        """Whether two nodes' elements take the same bytes."""
        same = self.graph.nodes[a].count == self.graph.nodes[b].count
        return same and self._bytes(a) == self._bytes(b)

    def _uses(self) -> Iterator[tuple[int, Key]]:
        for moment, call in enumerate(self.made.calls):
            for operand in call.operands:
                yield moment, operand.key

    def _is_leaf(self, n: int) -> bool:
        node = self.graph.nodes[n]
        return node.kind == Kind.SOURCE and node.fn in (Source.CONSTANT, Source.IOTA)
