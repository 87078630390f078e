"""Builds a program node by node. Equal records are one node."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import isfinite, prod

from worker.program.codes import BOOL, F32, I32, I64, SUM_BITS, Kind, Map, Reduce, Source
from worker.program.records import Bound, Input, Node
from worker.program.views import View
from worker.program.wellformed import DOT_BITS, MAX_ROW, MAX_SCATTER, check_node

FALSE_TRUE = (0, 1)


def f32_bits(value: float) -> int:
    """Bits of a Python number as f32, rounded once; a NaN is canonical."""
    if value != value:
        return 0x7FC00000
    try:
        return struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:  # struct refuses what rounds to infinity
        return 0x7F800000 if value > 0 else 0xFF800000


def constant_bits(value: float | int | bool, dtype: int) -> int:
    """Bits of a Python number as an element of `dtype`. ValueError where it does not fit."""
    if dtype == F32:
        return f32_bits(float(value))
    if dtype == BOOL:
        return FALSE_TRUE[bool(value)]
    width = {I32: 32, I64: 64}[dtype]
    if (
        not isfinite(value)
        or value != int(value)
        or not -(1 << width - 1) <= value < 1 << width - 1
    ):
        raise ValueError(f"{value=} is not an integer of {width} bits")
    return int(value) & ((1 << width) - 1)


def least_bits(dtype: int) -> int:
    """The element that a maximum never prefers to another."""
    return {F32: 0xFF800000, I32: 1 << 31, I64: 1 << 63}[dtype]


class Builder:
    """The list of nodes so far. Every method returns the view of the node it added or found.

    bits: of a product's quantised operands, in everything that the lowering makes.

    Raises MalformedProgram for a record that no program has.
    """

    def __init__(self, bits: int = DOT_BITS) -> None:
        self.bits = bits
        self.nodes: list[Node] = []
        self.origins: list[str] = []
        # what the lowering is at: kept with each node it makes, for people
        self.origin = ""
        self.bounds: dict[Bound, None] = {}
        self._known: dict[Node, int] = {}

    @classmethod
    def after(cls, nodes: Sequence[Node], origins: Sequence[str] = ()) -> Builder:
        """One that goes on after the nodes of a program. origins: of the first ones."""
        builder = cls()
        builder.nodes = list(nodes)
        builder.origins = [*origins, *[""] * (len(nodes) - len(origins))]
        for n, node in enumerate(nodes):
            if (node.kind, node.fn) != (Kind.SOURCE, Source.RANDOM):
                builder._known.setdefault(node, n)
        return builder

    def add(self, node: Node) -> View:
        """The node's output; an equal node that is there already serves again. Raises
        MalformedProgram."""
        number = self._known.get(node)
        if number is None:
            number = len(self.nodes)
            check_node(node, number)
            self._known[node] = number
            self.nodes.append(node)
            self.origins.append(self.origin)
        return View.of(number, node.dtype, node.shape)

    def bound(self, index: View, size: int, wraps: bool = False) -> None:
        """Notes that an index counts `size` places, from the end too where it `wraps`."""
        low = -size if wraps else 0
        self.bounds[Bound(index.as_input(), index.shape, low, size, self.origin)] = None

    # sources

    def state(self, index: int, dtype: int, shape: tuple[int, ...]) -> View:
        """Tensor `index` of the state."""
        return self.add(Node(Kind.SOURCE, Source.STATE, dtype, shape, (), (index,)))

    def batch(self, tensor: int, dtype: int, shape: tuple[int, ...], rows: int) -> View:
        """The sampled rows of data tensor `tensor`, as many as the first axis counts, or one."""
        attributes = (tensor, rows, prod(shape) // rows)
        return self.add(Node(Kind.SOURCE, Source.BATCH, dtype, shape, (), attributes))

    def constant(self, value: float | int | bool, dtype: int) -> View:
        """A scalar."""
        attributes = (constant_bits(value, dtype),)
        return self.add(Node(Kind.SOURCE, Source.CONSTANT, dtype, (), (), attributes))

    def full(self, value: float | int | bool, dtype: int, shape: tuple[int, ...]) -> View:
        """A scalar, seen under `shape`."""
        return self.constant(value, dtype).expand(shape)

    def iota(self, length: int, dtype: int = I64) -> View:
        """0 .. length - 1."""
        return self.add(Node(Kind.SOURCE, Source.IOTA, dtype, (length,)))

    def random(self, shape: tuple[int, ...]) -> View:
        """Uniform f32 in [0, 1), new in every step. Never one node for two: its number matters."""
        self.nodes.append(Node(Kind.SOURCE, Source.RANDOM, F32, shape))
        self.origins.append(self.origin)
        return View.of(len(self.nodes) - 1, F32, shape)

    # maps

    def map(
        self, fn: Map, *operands: View, dtype: int | None = None, attributes: tuple[int, ...] = ()
    ) -> View:
        """fn of operands that broadcast against each other."""
        shape = broadcast(*(o.shape for o in operands))
        inputs = tuple(o.expand(shape).as_input() for o in operands)
        out = operands[0].dtype if dtype is None else dtype
        return self.add(Node(Kind.MAP, fn, out, shape, inputs, attributes))

    def plain(self, view: View) -> View:
        """The view itself where its elements stand in row-major order, else a copy that does."""
        return view if view.is_plain else self.map(Map.COPY, view)

    def shaped(self, view: View) -> View:
        """The view itself where a node has its elements in this shape, else a copy that has."""
        plain = self.plain(view)
        same = self.nodes[plain.node].shape == view.shape
        return plain if same else self.map(Map.COPY, plain)

    def reshape(self, view: View, shape: tuple[int, ...]) -> View:
        """Another shape of the same elements in row-major order."""
        return self.plain(view).reshape(shape)

    def convert(self, view: View, dtype: int) -> View:
        """CONVERT where the dtype differs."""
        return view if view.dtype == dtype else self.map(Map.CONVERT, view, dtype=dtype)

    # rows

    def rows_of(self, view: View, axis: int) -> tuple[View, tuple[int, ...]]:
        """[rows, length] with `axis` last, and the shape that remains without it."""
        axis %= len(view.shape)
        order = (*(o for o in range(len(view.shape)) if o != axis), axis)
        moved = view.permute(order)
        rest = moved.shape[:-1]
        return self.reshape(moved, (prod(rest), moved.shape[-1])), rest

    def parts_of(self, rows: View, fill: int) -> View:
        """[rows, length] as [rows, parts, part] with parts that one transaction can read.

        The last part is filled up with elements that do not count.
        """
        count, length = rows.shape
        parts = -(-length // MAX_ROW)
        part = -(-length // parts)
        if parts * part != length:
            rows = self.plain(rows).pad((0, 0), (0, parts * part - length), fill)
        return self.reshape(rows, (count, parts, part))

    def reduce(self, fn: Reduce, view: View, axis: int) -> View:
        """MAX, ARGMAX or EXPONENT over one axis; a long maximum by parts, which changes nothing."""
        rows, rest = self.rows_of(view, axis)
        if fn == Reduce.MAX and rows.shape[1] > MAX_ROW:
            parts = self.parts_of(rows, least_bits(rows.dtype))
            return self.reduce(fn, self.reduce(fn, parts, 2), 1).reshape(rest)
        if fn == Reduce.ARGMAX and rows.shape[1] > MAX_ROW:
            return self._long_argmax(rows).reshape(rest)
        dtype = {Reduce.MAX: view.dtype, Reduce.ARGMAX: I64, Reduce.EXPONENT: I32}[fn]
        inputs = (Input(rows.node, rows.dtype, rows.shape),)
        node = self.add(Node(Kind.REDUCE, fn, dtype, rows.shape[:1], inputs))
        return node.reshape(rest)

    def _long_argmax(self, rows: View) -> View:
        """i64 [rows]: the first part that holds the greatest, and the first place of it there."""
        parts = self.parts_of(rows, least_bits(rows.dtype))
        count, number, length = parts.shape
        which = self.reduce(Reduce.ARGMAX, self.reduce(Reduce.MAX, parts, 2), 1)
        places = self.reduce(Reduce.ARGMAX, parts, 2).reshape((count, number, 1))
        place = self.gather(places, which.reshape((count, 1))).reshape((count,))
        return self.map(Map.ADD, self.map(Map.MUL, which, self.constant(length, I64)), place)

    def quantised(self, rows: View, bits: int) -> tuple[View, View]:
        """Integers [rows, length] and exponents [rows] of an f32 matrix."""
        e = self.reduce(Reduce.EXPONENT, rows, 1)
        return self.map(Map.QUANTISE, rows, e.unsqueeze(1), dtype=I32, attributes=(bits,)), e

    def sum(self, view: View, axis: int) -> View:
        """Exact sum over one axis of f32, rounded once; of a long one, by parts, each rounded."""
        rows, rest = self.rows_of(view, axis)
        if rows.shape[1] > MAX_ROW:
            return self.sum(self.sum(self.parts_of(rows, 0), 2), 1).reshape(rest)
        q, e = self.quantised(rows, SUM_BITS)
        inputs = (Input(q.node, I32, q.shape), Input(e.node, I32, e.shape))
        node = self.add(Node(Kind.REDUCE, Reduce.SUM, F32, rows.shape[:1], inputs))
        return node.reshape(rest)

    def dot(self, a: View, b: View, bits: int) -> View:
        """[..., M, K] and [..., N, K] with equal batch axes -> [..., M, N].

        A long K is contracted by parts, each rounded, which are summed.
        """
        batch, (m, k), n = a.shape[:-2], a.shape[-2:], b.shape[-2]
        count = prod(batch)
        if k > MAX_ROW:
            left = self.parts_of(self.reshape(a, (count * m, k)), 0)
            right = self.parts_of(self.reshape(b, (count * n, k)), 0)
            parts, part = left.shape[1:]
            left = left.reshape((count, m, parts, part)).permute((0, 2, 1, 3))
            right = right.reshape((count, n, parts, part)).permute((0, 2, 1, 3))
            return self.sum(self.dot(left, right, bits), 1).reshape((*batch, m, n))
        qa, ea = self.quantised(self.reshape(a, (count * m, k)), bits)
        qb, eb = self.quantised(self.reshape(b, (count * n, k)), bits)
        inputs = tuple(Input(v.node, I32, v.shape) for v in (qa, ea, qb, eb))
        node = Node(Kind.DOT, 0, F32, (*batch, m, n), inputs, (count, m, n, k, bits))
        return self.add(node)

    def scatter(self, values: View, index: View, rows: int) -> View:
        """Sums rows of f32 [L, D] by their i64 index [L] -> [rows, D]; others are dropped.

        A long L goes by parts, each rounded.
        """
        length, width = values.shape
        if length > MAX_SCATTER:
            half = length // 2
            first = self.scatter(values.slice(0, 0, half), index.slice(0, 0, half), rows)
            rest = values.slice(0, half, length - half), index.slice(0, half, length - half)
            return self.map(Map.ADD, first, self.scatter(*rest, rows))
        columns = self.plain(values.permute((1, 0)))
        # one exponent for all: of the greatest of the columns' greatest magnitudes
        most = self.reduce(Reduce.MAX, self.map(Map.ABS, columns), 1)
        if width > 1:
            most = self.reduce(Reduce.MAX, most.reshape((1, width)), 1)
        e = self.reduce(Reduce.EXPONENT, most.reshape((1, 1)), 1)
        q = self.map(Map.QUANTISE, columns, e, dtype=I32, attributes=(SUM_BITS,))
        index = self.plain(index)
        inputs = (
            Input(q.node, I32, q.shape),
            Input(e.node, I32, (1,)),
            Input(index.node, index.dtype, (length,)),
        )
        return self.add(Node(Kind.SCATTER, 0, F32, (rows, width), inputs, (rows, width, length)))

    def gather(self, x: View, index: View) -> View:
        """x [A, V, D], index [A, L] -> [A, L, D]."""
        x, index = self.plain(x), self.plain(index)
        (a, v, d), length = x.shape, index.shape[1]
        inputs = (Input(x.node, x.dtype, x.shape), Input(index.node, index.dtype, index.shape))
        node = Node(Kind.GATHER, 0, x.dtype, (a, length, d), inputs, (a, v, length, d))
        return self.add(node)


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all of `shapes` broadcast to."""
    if all(s == shapes[0] for s in shapes):
        return shapes[0]
    rank = max(len(s) for s in shapes)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    out = []
    for sizes in zip(*padded, strict=True):
        large = {n for n in sizes if n != 1}
        if len(large) > 1:
            raise ValueError(f"shapes {shapes} do not broadcast against each other")
        out.append(large.pop() if large else 1)
    return tuple(out)
