"""The kernel of one group: a program of it takes a block of elements, or of whole rows.

What a row's nodes give stays in registers, so that a softmax or a layer norm reads its operands
once and writes its results once, however many reductions stand between. Blocks are one-dimensional
where nothing is reduced, else [R, P]: R rows, P the length's next power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.program.codes import BOOL, F32, I64, Kind, Map, Reduce, Source
from worker.program.compiled.affine import Access, Form, Loops, access, collapsed, project
from worker.program.compiled.groups import Graph, Group, Uncompilable, is_random
from worker.program.gpu.text import TYPES, ZERO, coordinate, expression, linear, literal, total
from worker.program.records import Node

BLOCK = 1024
MOMENT, WINDOWS = "moment", "windows"
"""Operands that are no nodes: the job's seed and the step's number; the table of `scalar.sine`."""

Buffer = int | str


@dataclass(frozen=True)
class Kernel:
    """A kernel's text, `def @(..., zero)`, and how it is launched.

    text: the same for groups that do the same. buffers: the operands, nodes or names. written:
    those that it writes. plain: those of which every element is read by the one program that writes
    the elements at the same place, before it writes: a result may take their memory.
    """

    text: str
    buffers: tuple[Buffer, ...]
    grid: tuple[int, ...]
    warps: int = 4
    written: tuple[int, ...] = ()
    plain: frozenset[int] = frozenset()


def power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def walk(graph: Graph, group: Group, stored: set[int]) -> Kernel:
    """The kernel of a group that is no DOT, GATHER or SCATTER."""
    return (_Flat if group.length is None else _Rows)(graph, group, stored).kernel()


class _Walk:
    """What both forms of block have in common."""

    rank: int

    def __init__(self, graph: Graph, group: Group, stored: set[int]) -> None:
        self.graph, self.group, self.stored = graph, group, stored
        self.full, self.row = set(group.full), set(group.row)
        self.length = group.length or 1
        self.lines: list[str] = []
        self.memo: dict[object, str] = {}
        self.buffers: list[Buffer] = []
        self.plainly: set[int] = set()
        self.otherwise: set[int] = set()
        self.stores: list[str] = []
        self.wide = group.count >= 1 << 31
        self._loops()

    def _loops(self) -> None:
        cuts = self.group.cuts | {1, self.group.count} | {self.length}
        loops = Loops(cuts)
        boundary = sum(w >= self.length for w in loops.weights) if self.length > 1 else None
        accesses: dict[tuple[int, int], Access] = {}
        forms: list[Form] = []
        for n in self.group.members:
            node = self.graph.nodes[n]
            unit = self.length if n in self.row else 1
            for k, operand in enumerate(node.inputs if node.kind == Kind.MAP else ()):
                if operand.node in self.full | self.row:
                    continue
                found = access(operand, node.shape)
                found = Access(
                    loops.over(found.flat, node.shape, unit),
                    tuple((loops.over(f, node.shape, unit), size) for f, size in found.bounds),
                    found.fill,
                )
                accesses[n, k] = found
                forms += found.forms
        self.sizes, groups = collapsed(loops.sizes, forms, boundary)
        self.weights = [loops.weights[g[-1]] for g in groups]
        self.accesses = {
            key: Access(
                project(a.flat, groups),
                tuple((project(f, groups), size) for f, size in a.bounds),
                a.fill,
            )
            for key, a in accesses.items()
        }
        for found in self.accesses.values():
            for form in found.forms:
                reach = abs(form.offset) + sum(
                    abs(s) * n for s, n in zip(form.strides, self.sizes, strict=True)
                )
                if reach >= 1 << 62:
                    raise Uncompilable("coordinates beyond 62 bits")
                self.wide = self.wide or reach >= 1 << 31

    # names

    def new(self, value: str) -> str:
        """A name for a value, the same one for the same text."""
        if value not in self.memo:
            name = f"v{len(self.lines)}"
            self.lines.append(f"{name} = {value}")
            self.memo[value] = name
        return self.memo[value]

    def pointer(self, buffer: Buffer) -> str:
        if buffer not in self.buffers:
            self.buffers.append(buffer)
        return buffer if isinstance(buffer, str) else f"p{self.buffers.index(buffer)}"

    # elements

    def value(self, n: int) -> str:
        """The elements of a node of the group."""
        if ("node", n) in self.memo:
            return self.memo["node", n]
        node = self.graph.nodes[n]
        if node.kind == Kind.REDUCE:
            name = self.reduced(n, node)
        elif is_random(node):
            moment = self.pointer(MOMENT)
            seed, step = self.new(f"tl.load({moment})"), self.new(f"tl.load({moment} + 1)")
            place = self.place(n in self.row)
            name = self.new(f"scalar.uniform({seed}, {step}, {n}, ({place}).to(tl.int64))")
        else:
            values = [self.operand(n, k) for k in range(len(node.inputs))]
            if node.fn in (Map.SIN, Map.COS):
                self.pointer(WINDOWS)
            name = self.new(expression(node, values))
        self.memo["node", n] = name
        return name

    def operand(self, n: int, k: int) -> str:
        """Operand k of a MAP node of the group, at the node's elements."""
        operand = self.graph.nodes[n].inputs[k].node
        if operand in self.full:
            return self.value(operand)
        if operand in self.row:
            value = self.value(operand)
            return value if n in self.row else self.new(f"{value}[:, None]")
        return self.load(operand, self.accesses[n, k], n in self.row)

    def load(self, n: int, found: Access, of_row: bool) -> str:
        """Elements of a node outside the group."""
        node = self.graph.nodes[n]
        rank = 1 if of_row else self.rank
        index, masks = self.index(found.flat, of_row)
        inside = [self.inside(form, size, of_row) for form, size in found.bounds]
        if node.kind == Kind.SOURCE and node.fn == Source.CONSTANT:
            value = self.new(literal(node.attributes[0], node.dtype, rank))
        elif node.kind == Kind.SOURCE and node.fn == Source.IOTA:
            value = self.new(f"({index}).to({TYPES[node.dtype]})")
        else:
            pointer = self.pointer(n)
            own = not of_row and not inside and found.flat == self.plain(False)
            (self.plainly if own else self.otherwise).add(n)
            mask = " & ".join([*masks, *inside])
            extra = f", mask={mask}, other=0" if mask else ""
            value = self.new(f"tl.load({pointer} + ({index}){extra})")
            if node.dtype == BOOL:
                value = self.new(f"{value} != 0")
        if inside and (found.fill or (node.kind == Kind.SOURCE and self._is_made(node))):
            fill = self.new(literal(found.fill, node.dtype, rank))
            value = self.new(f"tl.where({' & '.join(inside)}, {value}, {fill})")
        return value

    @staticmethod
    def _is_made(node: Node) -> bool:
        return node.fn in (Source.CONSTANT, Source.IOTA)

    def inside(self, form: Form, size: int, of_row: bool) -> str:
        at, _ = self.index(form, of_row)
        at = self.new(at)
        return self.new(f"({at} >= 0) & ({at} < {size})")

    def plain(self, of_row: bool) -> Form:
        """The form of an element's own place; of_row: of its row's."""
        if of_row:
            return Form(0, tuple(w // self.length for w in self.weights))
        return Form(0, tuple(self.weights))

    # what a form of block says

    def index(self, form: Form, of_row: bool) -> tuple[str, list[str]]:
        """A form's value at the block's elements, and the masks that keep it within the group."""
        raise NotImplementedError

    def place(self, of_row: bool) -> str:
        """The element's own place."""
        raise NotImplementedError

    def reduced(self, n: int, node: Node) -> str:
        raise NotImplementedError

    def begin(self) -> tuple[int, int]:
        """Writes the block's own names; returns the grid and the warps."""
        raise NotImplementedError

    def kernel(self) -> Kernel:
        grid, warps = self.begin()
        for n in self.group.members:
            if n in self.stored:
                self.store(n, self.value(n))
        names = [b if isinstance(b, str) else f"p{k}" for k, b in enumerate(self.buffers)]
        # all is read before anything is written
        body = "\n".join(f"    {line}" for line in [*self.lines, *self.stores])
        text = f"@triton.jit\ndef @({', '.join([*names, ZERO])}):\n{body}\n"
        written = tuple(n for n in self.group.members if n in self.stored)
        plain = frozenset(self.plainly - self.otherwise)
        return Kernel(text, tuple(self.buffers), (grid,), warps, written, plain)

    def store(self, n: int, value: str) -> None:
        node = self.graph.nodes[n]
        of_row = n in self.row
        masks = self.masks(of_row)
        if node.dtype == BOOL:
            value = f"{value}.to(tl.int8)"
        extra = f", mask={' & '.join(masks)}" if masks else ""
        self.stores.append(f"tl.store({self.pointer(n)} + ({self.place(of_row)}), {value}{extra})")

    def masks(self, of_row: bool) -> list[str]:
        raise NotImplementedError


class _Flat(_Walk):
    """No reductions: every element for itself."""

    rank = 1

    def begin(self) -> tuple[int, int]:
        count = self.group.count
        self.block = BLOCK if count >= 256 * BLOCK else BLOCK // 4
        self.block = min(self.block, power_of_two(count))
        pid = "tl.program_id(0).to(tl.int64)" if self.wide else "tl.program_id(0)"
        self.lines.append(f"f = {pid} * {self.block} + tl.arange(0, {self.block})")
        self.partial = count % self.block != 0
        if self.partial:
            self.lines.append(f"fm = f < {count}")
        return -(-count // self.block), max(1, min(4, self.block // 64))

    def masks(self, of_row: bool) -> list[str]:
        return ["fm"] if self.partial else []

    def place(self, of_row: bool) -> str:
        return "f"

    def index(self, form: Form, of_row: bool) -> tuple[str, list[str]]:
        if form == self.plain(False):
            return "f", self.masks(of_row)
        terms = []
        for weight, size, stride in zip(self.weights, self.sizes, form.strides, strict=True):
            if stride:
                terms.append((self.new(coordinate("f", weight, size, self.group.count)), stride))
        text = total(linear(terms), str(form.offset) if form.offset else "")
        if not terms:
            return f"tl.full((1,), {form.offset}, tl.int64)", []
        return text, self.masks(of_row)


class _Rows(_Walk):
    """Whole rows, each with its reductions."""

    rank = 2

    def begin(self) -> tuple[int, int]:
        self.rows = self.group.count // self.length
        self.p = max(2, power_of_two(self.length))
        self.r = max(1, 2 * BLOCK // self.p)
        if self._is_across():
            self.r = max(self.r, min(32, max(4, 8192 // self.p)))
        self.r = min(self.r, power_of_two(self.rows))
        pid = "tl.program_id(0).to(tl.int64)" if self.wide else "tl.program_id(0)"
        self.lines += [
            f"r = {pid} * {self.r} + tl.arange(0, {self.r})",
            f"c = tl.arange(0, {self.p})",
        ]
        self.row_mask, self.column_mask = [], []
        if self.rows % self.r:
            self.lines.append(f"rm = r < {self.rows}")
            self.row_mask = ["rm"]
        if self.p != self.length:
            self.lines.append(f"cm = c < {self.length}")
            self.column_mask = ["cm"]
        return -(-self.rows // self.r), max(1, min(16, self.r * self.p // 1024))

    def _is_across(self) -> bool:
        """Whether neighbouring rows lie side by side in memory, and a row's elements do not."""
        along = across = 0
        inner = [k for k, w in enumerate(self.weights) if w < self.length and self.sizes[k] > 1]
        outer = [k for k, w in enumerate(self.weights) if w >= self.length and self.sizes[k] > 1]
        for (n, _), found in self.accesses.items():
            if n in self.full and inner and outer:
                strides = found.flat.strides
                along += abs(strides[inner[-1]]) == 1
                across += abs(strides[inner[-1]]) > 1 and abs(strides[outer[-1]]) == 1
        return across > along

    def masks(self, of_row: bool) -> list[str]:
        if of_row:
            return self.row_mask
        return [
            *(f"{m}[:, None]" for m in self.row_mask),
            *(f"{m}[None, :]" for m in self.column_mask),
        ]

    def place(self, of_row: bool) -> str:
        return "r" if of_row else f"r[:, None] * {self.length} + c[None, :]"

    def index(self, form: Form, of_row: bool) -> tuple[str, list[str]]:
        by_row, by_column = [], []
        for weight, size, stride in zip(self.weights, self.sizes, form.strides, strict=True):
            if not stride:
                continue
            if weight >= self.length:
                at = coordinate("r", weight // self.length, size, self.rows)
                by_row.append((self.new(at), stride))
            else:
                by_column.append((self.new(coordinate("c", weight, size, self.length)), stride))
        if of_row:
            text = total(linear(by_row), str(form.offset) if form.offset else "")
            if by_row:
                return text, self.row_mask
            return f"tl.full((1,), {form.offset}, tl.int64)", []
        parts, masks = [], []
        if by_row:
            parts.append(f"({linear(by_row)})[:, None]")
            masks += [f"{m}[:, None]" for m in self.row_mask]
        if by_column:
            parts.append(f"({linear(by_column)})[None, :]")
            masks += [f"{m}[None, :]" for m in self.column_mask]
        if not parts:
            return f"tl.full((1, 1), {form.offset}, tl.int64)", []
        return total(*parts, str(form.offset) if form.offset else ""), masks

    # reductions

    def operand_of(self, x: int) -> str:
        """A row's elements, [R, P]: of the group, or plainly from memory."""
        if x in self.full:
            value = self.value(x)
        else:
            value = self.load(x, Access(self.plain(False), (), 0), False)
        return self.new(f"tl.broadcast_to({value}, ({self.r}, {self.p}))")

    def kept(self, value: str, otherwise: str) -> str:
        """The value within the row's length."""
        if not self.column_mask:
            return value
        return self.new(f"tl.where(cm[None, :], {value}, {otherwise})")

    def exponents(self, x: int) -> str:
        size = self.kept(self.new(f"rows.magnitude({self.operand_of(x)})"), "0")
        return self.new(f"rows.exponent(tl.max({size}, axis=1))")

    def reduced(self, n: int, node: Node) -> str:
        x = self.graph.operands[n][0]
        if n in self.graph.floats:
            e = self.exponents(x)
            scale = self.new(f"rows.quantise_scale({e}, 31)")
            terms = self.new(f"rows.sum_terms({self.operand_of(x)}, {scale}[:, None])")
            return self.new(f"rows.sum_finish(tl.sum({self.kept(terms, '0')}, axis=1), {e})")
        if node.fn == Reduce.EXPONENT:
            return self.exponents(x)
        if node.fn == Reduce.SUM:
            e = self.row_of(self.graph.operands[n][1])
            terms = self.new(f"{self.operand_of(x)}.to(tl.int64)")
            return self.new(f"rows.sum_finish(tl.sum({self.kept(terms, '0')}, axis=1), {e})")
        dtype = self.graph.nodes[x].dtype
        key = self.operand_of(x)
        if dtype == F32:
            key = self.new(f"scalar.order_key({key})")
        key = self.kept(key, str(-(1 << 63) if dtype == I64 else -(1 << 31)))
        greatest = self.new(f"tl.max({key}, axis=1)")
        if node.fn == Reduce.ARGMAX:
            first = f"({key} == {greatest}[:, None])"
            if self.column_mask:
                first += " & cm[None, :]"
            places = self.new(f"tl.where({first}, c[None, :], {self.p})")
            return self.new(f"tl.min({places}, axis=1).to(tl.int64)")
        return self.new(f"scalar.from_order_key({greatest})") if dtype == F32 else greatest

    def row_of(self, n: int) -> str:
        """A value of the row: of the group, or plainly from memory."""
        if n in self.row:
            return self.value(n)
        return self.load(n, Access(self.plain(True), (), 0), True)


def flat_kernel(lines: Sequence[str], buffers: Sequence[int], count: int) -> Kernel:
    """A kernel over `count` elements, `f` below it under the mask `fm`; operands are p0, p1, ..."""
    block = min(BLOCK, power_of_two(count))
    names = ", ".join(f"p{k}" for k in range(len(buffers)))
    body = [
        f"f = tl.program_id(0).to(tl.int64) * {block} + tl.arange(0, {block})",
        f"fm = f < {count}",
        *lines,
    ]
    text = (
        f"@triton.jit\ndef @({names}, {ZERO}):\n" + "\n".join(f"    {line}" for line in body) + "\n"
    )
    return Kernel(text, tuple(buffers), (-(-count // block),), max(1, min(4, block // 64)))
