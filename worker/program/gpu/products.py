"""Kernels for the nodes that are no walk: a product's operands that strides cannot describe (the
windows of a convolution), GATHER, SCATTER."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from worker.exact.gpu.dot import pack_block, padded, slices_of
from worker.program.codes import BOOL, F32
from worker.program.compiled.affine import Form
from worker.program.compiled.products import Part, Rows
from worker.program.gpu.text import ZERO, coordinate, linear, literal, total
from worker.program.gpu.walk import Kernel, flat_kernel
from worker.program.records import Node


@dataclass(frozen=True)
class Windows:
    """The kernel that packs [batch, rows, k] from where `Rows` reads it: elements that it reads
    beyond its operand are the fill.

    text: of the kernel (x, packed, scales, start, first, size, zero). Its programs from number
    `start` on are launched; what they pack begins with row `first` of all batches' rows, and a
    slice of it has `size` bytes. block: rows of a program. blocks: programs of a batch.
    """

    text: str
    block: int
    blocks: int
    warps: int


def windows(rows: Rows, sizes: tuple[int, int, int], bits: int) -> Windows:
    """The kernel for an operand that strides cannot describe."""
    assert rows.access is not None
    batch, count, k = sizes
    by_rows = _steps(rows.parts[1]) == 1
    along_k = _steps(rows.parts[2]) == 1
    r, p, warps = pack_block(count, k, along_k or not by_rows)
    kp, slices = padded(k), slices_of(bits)
    blocks = -(-count // r)
    names: dict[tuple[int, int], str] = {}
    lines = [
        "program = tl.program_id(0) + start",
        f"r = program % {blocks} * {r} + tl.arange(0, {r})",
        f"c = tl.arange(0, {p})",
        f"batch = program // {blocks}",
        f"p1 -= tl.full((), first, tl.int64) * {kp}",
        "p2 -= first",
    ]
    for which, (name, whole) in enumerate((("batch", batch), ("r", count), ("c", k))):
        loops = [size for size, _ in rows.parts[which]]
        for j, size in enumerate(loops):
            names[which, j] = f"{name[0]}{j}"
            at = coordinate(name, prod(loops[j + 1 :]), size, whole)
            lines.append(f"{name[0]}{j} = {at}{'.to(tl.int64)' if which < 2 else ''}")

    def place(form: Form, edge: int | None) -> str:
        """A form over the loops of all three, [R, P]."""
        shapes = ("{}", "({})[:, None]", "({})[None, :]")
        terms = []
        for which, part in enumerate(rows.parts):
            steps = []
            for j, (_, found) in enumerate(part):
                along = found.flat if edge is None else found.bounds[edge][0]
                steps.append((names[which, j], along.strides[0]))
            if text := linear(steps):
                terms.append(shapes[which].format(text))
        return total(*terms, str(form.offset)) + " + tl.zeros((1, 1), tl.int64)"

    inside = []
    for edge, (form, size) in enumerate(rows.access.bounds):
        lines.append(f"e{edge} = {place(form, edge)}")
        inside.append(f"(e{edge} >= 0) & (e{edge} < {size})")
    within = f"(r < {count})[:, None] & (c < {k})[None, :]"
    mask = " & ".join([within, *inside])
    lines.append(f"x = tl.load(p0 + ({place(rows.access.flat, None)}), mask={mask}, other=0.0)")
    if inside and rows.access.fill:
        fill = literal(rows.access.fill, F32, 2)
        lines.append(f"x = tl.where({within} & ~({' & '.join(inside)}), {fill}, x)")
    lines.append(f"x = tl.broadcast_to(x, ({r}, {p}))")
    lines.append(
        f"kernels.store_rows(x, p1, p2, batch, r, c, {count}, {kp}, size, {bits}, {slices})"
    )
    head = f"@triton.jit\ndef @(p0, p1, p2, start, first, size, {ZERO}):\n"
    return Windows(head + "\n".join(f"    {line}" for line in lines) + "\n", r, blocks, warps)


def _steps(part: Part) -> int:
    """How far apart two neighbours along the part's innermost loop stand."""
    return abs(part[-1][1].flat.strides[0]) if part else 0


def gather(nodes: Sequence[Node], operands: Sequence[int], n: int) -> Kernel:
    """x [A, V, D] at index [A, L]."""
    node = nodes[n]
    _, v, length, d = node.attributes
    x, index = operands
    fill = literal(0x7FC00000 if node.dtype == F32 else 0, node.dtype, 1)
    element = "tl.load(p1 + at, mask=fm & inside, other=0)"
    boolean = node.dtype == BOOL
    lines = [
        f"row = f // {d}",
        "k = tl.load(p2 + row, mask=fm, other=0).to(tl.int64)",
        f"inside = (k >= 0) & (k < {v})",
        f"at = (row // {length} * {v} + k) * {d} + f % {d}",
        f"value = {element} != 0" if boolean else f"value = {element}",
        f"value = tl.where(inside, value, {fill})",
        f"tl.store(p0 + f, value{'.to(tl.int8)' if boolean else ''}, mask=fm)",
    ]
    return flat_kernel(lines, (n, x, index), node.count)


SUMS = "sums"
"""The operand of a SCATTER's kernels that is no node: i64 [V, D], zero at first."""


def scatter(nodes: Sequence[Node], operands: Sequence[int], n: int) -> tuple[Kernel, Kernel]:
    """Sums of columns q [D, L] by index [L], under one exponent: [V, D]. What adds integers up, in
    any order, and what rounds the sums."""
    node = nodes[n]
    v, d, length = node.attributes
    q, e, index = operands
    adding = [
        f"l = f // {d}",
        f"j = f % {d}",
        "k = tl.load(p2 + l, mask=fm, other=-1).to(tl.int64)",
        f"inside = fm & (k >= 0) & (k < {v})",
        f"value = tl.load(p1 + j * {length} + l, mask=inside, other=0).to(tl.int64)",
        f"tl.atomic_add(sums + k * {d} + j, value, mask=inside, sem='relaxed')",
    ]
    adds = flat_kernel(adding, (n, q, index), d * length)
    finishing = [
        "total = tl.load(sums + f, mask=fm, other=0)",
        "e = tl.load(p1 + tl.zeros_like(f))",
        "tl.store(p0 + f, rows.sum_finish(total, e), mask=fm)",
    ]
    ends = flat_kernel(finishing, (n, e), v * d)
    return _with_sums(adds), _with_sums(ends)


def _with_sums(kernel: Kernel) -> Kernel:
    text = kernel.text.replace(f", {ZERO}):", f", sums, {ZERO}):", 1)
    return Kernel(text, (*kernel.buffers, SUMS), kernel.grid, kernel.warps)
