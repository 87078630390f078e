"""A step as a list of launches, and where in memory each of their operands stands."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from worker.exact.gpu.dot import (
    Launch,
    multiplying,
    packing,
    packing_integers,
)
from worker.program.codes import DTYPES, Kind, Source
from worker.program.compiled.arena import Lifetime, place
from worker.program.compiled.groups import Graph, Grouping, graph_of
from worker.program.compiled.products import Rows
from worker.program.gpu.products import SUMS, gather, scatter, windows
from worker.program.gpu.text import HEADER
from worker.program.gpu.walk import MOMENT, WINDOWS, Kernel, walk
from worker.program.records import Node

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

    def plan(self) -> Plan:
        for g in self.grouping.order():
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
        launch = Launch(None, kernel.grid, warps=kernel.warps)
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
        if n in self.graph.rows:
            left, right = self.graph.rows[n]
            a = self._packed(left, (batch, m, k), bits)
            b = self._packed(right, (batch, count, k), bits)
        else:
            qa, ea, qb, eb = self.graph.operands[n]
            a = self._packed_integers(qa, ea, (batch, m, k), bits)
            b = self._packed_integers(qb, eb, (batch, count, k), bits)
        strides = (m * count, 1, m) if n in self.graph.columns else (m * count, count, 1)
        launch = multiplying((batch, m, count, k), (a[1], b[1]), strides, bits, self.processors)
        keys = (a[0], b[0], ("scales", a[0]), ("scales", b[0]), n)
        self.made.calls.append(Call(tuple(Operand(k) for k in keys), launch))

    def _packed(self, rows: Rows, sizes: tuple[int, int, int], bits: int) -> tuple[Key, int]:
        """The buffer of an operand's packed rows, and of how many batches they are."""
        batch, count, k = sizes
        if rows.strides is not None:
            batch = 1 if rows.strides[0] == 0 else batch
            key: Key = ("packed", rows.node, rows.offset, rows.strides, batch, count, k, bits)
            if key not in self.made.sizes:
                launch, size = packing(batch, count, k, rows.strides, bits)
                self._pack(key, size, batch * count, (Operand(rows.node, rows.offset),), launch)
            return key, batch
        if all(found.flat.strides[0] == 0 for _, found in rows.parts[0]) and not any(
            form.strides[0] for _, found in rows.parts[0] for form, _ in found.bounds
        ):
            batch = 1
        text, grid, warps = windows(rows, (batch, count, k), bits)
        key = ("packed", rows.node, text)
        if key not in self.made.sizes:
            _, size = packing(batch, count, k, (0, 0, 0), bits)
            launch = Launch(None, grid, warps=warps)
            self._pack(key, size, batch * count, (Operand(rows.node),), launch, self._name(text))
        return key, batch

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
            node = self.graph.nodes[n]
            self.made.sizes[n] = node.count * DTYPES[node.dtype].itemsize
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
        made = {n: moment for moment, call in enumerate(self.made.calls) for n in call.written}
        for i, source in states.items():
            n = outputs[i]
            moment = made.get(n)
            if (
                moment is not None
                and source in self.made.calls[moment].plain
                and last[source] == moment
                and source not in outputs
                and outputs.count(n) == 1
                and self._alike(source, n)
            ):
                self.made.renewed[n] = source

    def _alike(self, a: int, b: int) -> bool:
        """Whether two nodes' elements take the same bytes."""
        x, y = self.graph.nodes[a], self.graph.nodes[b]
        return x.count == y.count and DTYPES[x.dtype].itemsize == DTYPES[y.dtype].itemsize

    def _uses(self) -> Iterator[tuple[int, Key]]:
        for moment, call in enumerate(self.made.calls):
            for operand in call.operands:
                yield moment, operand.key

    def _is_leaf(self, n: int) -> bool:
        node = self.graph.nodes[n]
        return node.kind == Kind.SOURCE and node.fn in (Source.CONSTANT, Source.IOTA)
