"""C for the nodes that are no walk over rows: DOT, GATHER, SCATTER.

A DOT's operand is read where it stands, through strides; one that strides cannot describe (the
windows of a convolution) is read by a function made for it, a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from worker.program.codes import F32, Kind, Map
from worker.program.compiled.affine import (
    Access,
    Form,
    Loops,
    collapsed,
    cuts_of,
    followed,
    project,
)
from worker.program.compiled.text import C_TYPES, TASK, Kernel, literal
from worker.program.records import Node

Part = list[tuple[int, Access]]
"""Loops of the batch, the rows or k: each its size, and the access along it alone."""


@dataclass(frozen=True)
class Rows:
    """A DOT's operand: the node it reads, and how.

    offset: where element (0, 0, 0) stands, which may be before the first. strides: of batch, row
    and k; or None, and `loader` is the body of the function that reads it from there, whose block
    is [k, rows] if `k_major`. access, parts: what the loader was made from.
    """

    node: int
    offset: int
    strides: tuple[int, int, int] | None
    loader: str = ""
    k_major: bool = False
    access: Access | None = None
    parts: tuple[Part, Part, Part] = ([], [], [])


def rows_of(nodes: Sequence[Node], x: int, sizes: tuple[int, int, int]) -> Rows:
    """Operand `x` of a DOT as [batch, rows, k]; of a copy, what it is a copy of."""
    found = Access(Form(0, (sizes[1] * sizes[2], sizes[2], 1)), (), 0)
    loops = Loops(cuts_of(sizes))
    found = Access(loops.over(found.flat, sizes), (), 0)
    while nodes[x].kind == Kind.MAP and nodes[x].fn == Map.COPY:
        copy = nodes[x].inputs[0]
        further = followed(found, loops, copy, nodes[x].shape)
        if further is None:
            break
        (found, loops), x = further, copy.node
    batch, rows, k = _parts(found, loops, sizes)
    if not found.bounds and max(len(batch), len(rows), len(k)) <= 1:
        strides = tuple(part[0][1].flat.strides[0] if part else 0 for part in (batch, rows, k))
        return Rows(x, found.flat.offset, strides)  # type: ignore[arg-type]
    return _loaded(x, found, (batch, rows, k))


def _parts(found: Access, loops: Loops, sizes: tuple[int, int, int]) -> tuple[Part, Part, Part]:
    """The loops of each of the three, merged where the access allows."""
    bounds = (sizes[1] * sizes[2], sizes[2], 1)
    parts: list[Part] = []
    above = prod(sizes)
    for low in bounds:
        at = [k for k, w in enumerate(loops.weights) if low <= w < above]
        above = low
        inner = [Form(f.offset, tuple(f.strides[k] for k in at)) for f in found.forms]
        merged, groups = collapsed([loops.sizes[k] for k in at], inner)
        projected = [project(f, groups) for f in inner]
        part: Part = []
        for k, size in enumerate(merged):
            forms = [Form(0, (f.strides[k],)) for f in projected]
            edges = tuple((f, s) for f, (_, s) in zip(forms[1:], found.bounds, strict=True))
            part.append((size, Access(forms[0], edges, found.fill)))
        parts.append(part)
    return parts[0], parts[1], parts[2]


def _loaded(source: int, found: Access, parts: tuple[Part, Part, Part]) -> Rows:
    """A function that reads blocks, in runs along its last loop of the rows or of k."""
    batch, rows, k = parts
    rows = rows or [(1, _still(found))]
    k = k or [(1, _still(found))]
    by_rows = abs(rows[-1][1].flat.strides[0]) == 1
    along_k = abs(k[-1][1].flat.strides[0]) == 1
    k_major = by_rows and (not along_k or rows[-1][0] > k[-1][0])
    outer, runs = (k, rows) if k_major else (rows, k)
    first, count, start, many = (
        ("k0", "ks", "row0", "rows") if k_major else ("row0", "rows", "k0", "ks")
    )
    # Runs outside: what is known of a run serves all lines, whose indices are counted up.
    lines = _indices("batch", batch, "b")
    lines += [
        f"for (int64_t w = 0, run; w < {many}; w += run) {{",
        f"const int64_t rw = {start} + w;",
    ]
    lines += _indices("rw", runs, "r")
    last = f"r{len(runs) - 1}"
    size, along = runs[-1]
    names = [("b", batch), ("o", outer), ("r", runs[:-1])]
    step = along.flat.strides[0]
    lines += [
        f"run = {size} - {last};",
        f"if (run > {many} - w) run = {many} - w;",
        *_indices(first, outer, "o", counted=True),
        f"for (int64_t u = 0; u < {count}; u++) {{",
        "float *restrict d = dst + u * ld + w;",
        f"const float *s = x + {_index(0, names, step, last, None)};",
    ]
    if found.bounds:
        lines.append("int64_t low = 0, high = run;")
    conditions = []
    for e, (form, bound) in enumerate(found.bounds):
        slope = along.bounds[e][0].strides[0]
        lines.append(f"const int64_t c{e} = {_index(form.offset, names, slope, last, e)};")
        if slope == 0:
            lines.append(f"if (c{e} < 0 || c{e} >= {bound}) high = 0;")
        elif slope == 1:
            lines.append(f"if (-c{e} > low) low = -c{e};")
            lines.append(f"if ({bound} - c{e} < high) high = {bound} - c{e};")
        else:
            conditions.append(f"(uint64_t)(c{e} + v * {slope}) < {bound}")
    fill = literal(found.fill, F32)
    element = f"s[v * {step}]" if step != 1 else "s[v]"
    if conditions:
        element = f"{' && '.join(conditions)} ? {element} : {fill}"
    if found.bounds:
        lines += ["if (low > run) low = run;", "if (high < low) high = low;"]
    if step == 1 and not conditions:
        which = f"low, high, {fill}" if found.bounds else "0, run, 0"
        lines.append(f"assay_run(d, s, run, {which});")
    elif found.bounds:
        lines += [
            f"for (int64_t v = 0; v < low; v++) d[v] = {fill};",
            f"for (int64_t v = low; v < high; v++) d[v] = {element};",
            f"for (int64_t v = high; v < run; v++) d[v] = {fill};",
        ]
    else:
        lines.append(f"for (int64_t v = 0; v < run; v++) d[v] = {element};")
    lines += [*_count_up(outer, "o"), "}", "}"]
    offset = found.flat.offset
    return Rows(source, offset, None, "\n".join(lines), k_major, found, parts)


def _still(found: Access) -> Access:
    """The access along a loop of one element."""
    edges = tuple((Form(0, (0,)), size) for _, size in found.bounds)
    return Access(Form(0, (0,)), edges, found.fill)


def _indices(name: str, part: Part, letter: str, counted: bool = False) -> list[str]:
    """A part's loops' indices, from their number in all; `counted`: to be counted up from there."""
    lines = []
    for j, (size, _) in enumerate(part):
        below = prod(s for s, _ in part[j + 1 :])
        # unsigned: a division by a constant, often a power of two, is then cheaper
        index = f"(uint64_t){name} / {below}" if below > 1 else f"(uint64_t){name}"
        kind = "int64_t" if counted else "const int64_t"
        lines.append(f"{kind} {letter}{j} = (int64_t)({index}{f' % {size}' if j else ''});")
        lines.append(f"(void){letter}{j};")
    return lines


def _count_up(part: Part, letter: str) -> list[str]:
    """A part's next indices: the last goes up, and one that is through takes the one before."""
    text = f"{letter}0++;"
    for j in range(1, len(part)):
        text = f"if (++{letter}{j} == {part[j][0]}) {{ {letter}{j} = 0; {text} }}"
    return [text]


def _index(
    offset: int, parts: list[tuple[str, Part]], step: int, last: str, bound: int | None
) -> str:
    """An index, or the coordinate that `bound` limits, at the beginning of a run."""
    terms = [str(offset)] if offset else []
    for letter, part in parts:
        for j, (_, found) in enumerate(part):
            form = found.flat if bound is None else found.bounds[bound][0]
            stride = form.strides[0]
            if stride:
                terms.append(f"{letter}{j} * {stride}")
    if step:
        terms.append(f"{last} * {step}")
    return "(" + (" + ".join(terms) or "0") + ")"


def dot(nodes: Sequence[Node], operands: Sequence[int], n: int) -> Kernel:
    """A DOT of integers that are not floats' own rows: rare, and plainly the definition."""
    batch, m, columns, k, bits = nodes[n].attributes
    qa, ea, qb, eb = operands
    rows = batch * m
    block = max(1, TASK // (columns * k))
    text = f"""
float *restrict out = (float *)a->p[0];
const int32_t *restrict qa = (const int32_t *)a->p[1], *restrict ea = (const int32_t *)a->p[2];
const int32_t *restrict qb = (const int32_t *)a->p[3], *restrict eb = (const int32_t *)a->p[4];
const int64_t end = (t + 1) * {block} < {rows} ? (t + 1) * {block} : {rows};
for (int64_t r = t * {block}; r < end; r++)
for (int64_t j = 0; j < {columns}; j++) {{
const int64_t c = r / {m} * {columns} + j;
int64_t sum = 0;
for (int64_t l = 0; l < {k}; l++) sum += (int64_t)qa[r * {k} + l] * qb[c * {k} + l];
out[r * {columns} + j] = ax_dot_finish(sum, ea[r], eb[c], {bits});
}}"""
    return Kernel(text.strip(), (n, qa, ea, qb, eb), -(-rows // block), rows * columns * k)


def gather(nodes: Sequence[Node], operands: Sequence[int], n: int) -> Kernel:
    """x [A, V, D] at index [A, L]."""
    node = nodes[n]
    a, v, length, d = node.attributes
    x, index = operands
    kind, at = C_TYPES[node.dtype], C_TYPES[nodes[index].dtype]
    block = max(1, TASK // d)
    fill = literal(0x7FC00000, F32) if node.dtype == F32 else "0"
    rows = a * length
    text = f"""
{kind} *restrict out = ({kind} *)a->p[0];
const {kind} *restrict x = (const {kind} *)a->p[1];
const {at} *restrict index = (const {at} *)a->p[2];
const int64_t end = (t + 1) * {block} < {rows} ? (t + 1) * {block} : {rows};
for (int64_t r = t * {block}; r < end; r++) {{
const int64_t k = index[r];
const int inside = k >= 0 && k < {v};
const {kind} *from = x + (r / {length} * {v} + (inside ? k : 0)) * {d};
for (int64_t j = 0; j < {d}; j++) out[r * {d} + j] = inside ? from[j] : {fill};
}}"""
    return Kernel(text.strip(), (n, x, index), -(-rows // block), rows * d)


def scatter(nodes: Sequence[Node], operands: Sequence[int], n: int) -> Kernel:
    """Sums of columns q [D, L] by index [L], under one exponent: [V, D]."""
    node = nodes[n]
    v, d, length = node.attributes
    q, e, index = operands
    at = C_TYPES[nodes[index].dtype]
    block = min(d, 8)
    text = f"""
float *restrict out = (float *)a->p[0];
const int32_t *restrict q = (const int32_t *)a->p[1];
const int32_t *restrict e = (const int32_t *)a->p[2];
const {at} *restrict index = (const {at} *)a->p[3];
const int64_t first = t * {block}, width = {d} - first < {block} ? {d} - first : {block};
int64_t *restrict sums = assay_thread_memory(2, {v * block * 8});
memset(sums, 0, {v * block * 8});
for (int64_t l = 0; l < {length}; l++) {{
const int64_t k = index[l];
if (k < 0 || k >= {v}) continue;
for (int64_t j = 0; j < width; j++) sums[k * {block} + j] += q[(first + j) * {length} + l];
}}
for (int64_t k = 0; k < {v}; k++)
for (int64_t j = 0; j < width; j++)
out[k * {d} + first + j] = ax_sum_finish(sums[k * {block} + j], e[0]);"""
    return Kernel(text.strip(), (n, q, e, index), -(-d // block), (v + length) * d)
