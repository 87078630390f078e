"""A third twin: programs run one element at a time in plain integers, by docs/protocol.md alone.

Elements are bits as the contracts see them: unsigned, an i32 with zeros above. Imports nothing of
torch and nothing of the executor; slow, and meant to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.exact import reference as exact

F32, I32, I64, BOOL = 1, 2, 3, 4
SOURCE, MAP, REDUCE, DOT, GATHER, SCATTER = range(6)
STATE, BATCH, CONSTANT, IOTA, RANDOM = range(5)
SUM, MAX, ARGMAX, EXPONENT = range(4)
WHERE, AND, OR, NOT, XOR, CONVERT, QUANTISE = 30, 31, 32, 33, 34, 40, 41
COMPARED = {20: "eq", 21: "ne", 22: "lt", 23: "le", 24: "gt", 25: "ge"}
FLOATS = {1: "add", 2: "sub", 3: "mul", 4: "div", 5: "sqrt", 6: "neg", 7: "abs_", 8: "maximum",
          9: "minimum", 10: "relu", 11: "exp", 12: "log", 13: "tanh",
          14: "erf", 15: "sin", 16: "cos"}  # fmt: skip
WIDTH = {I32: 32, I64: 64}

Bits = list[int]


def signed(bits: int, dtype: int) -> int:
    return exact.wrap(bits, WIDTH[dtype]) if dtype in WIDTH else bits


def unsigned(value: int, dtype: int) -> int:
    return value & (1 << WIDTH[dtype]) - 1 if dtype in WIDTH else value


def reference_run(
    nodes: Sequence[Any],
    state: Sequence[Bits],
    batch: Sequence[Bits],
    seed: int = 0,
    step: int = 0,
) -> list[Bits]:
    """The bits of every element of every node. batch: the rows of the step, per data tensor."""
    values: list[Bits] = []
    kinds = {MAP: _map, REDUCE: _reduce, DOT: _dot, GATHER: _gather, SCATTER: _scatter}
    for number, node in enumerate(nodes):
        if node.kind == SOURCE and node.fn == RANDOM:
            values.append([exact.uniform(seed, step, number, e) for e in range(node.count)])
        elif node.kind == SOURCE:
            values.append(_source(node, state, batch))
        else:
            values.append(kinds[node.kind](node, [values[i.node] for i in node.inputs]))
        assert len(values[-1]) == node.count
    return values


def _source(node: Any, state: Sequence[Bits], batch: Sequence[Bits]) -> Bits:
    if node.fn == STATE:
        return list(state[node.attributes[0]])
    if node.fn == BATCH:
        return list(batch[node.attributes[0]])
    if node.fn == CONSTANT:
        return [node.attributes[0]]
    return list(range(node.count))


def _coordinates(element: int, shape: Sequence[int]) -> list[int]:
    at = []
    for size in reversed(shape):
        at.append(element % size)
        element //= size
    return at[::-1]


def read(operand: Any, values: Bits, at: Sequence[int]) -> int:
    """The operand's element for output coordinates `at`, or its fill."""
    width, flat = len(at) + 1, 0
    for axis, size in enumerate(operand.shape):
        offset, *strides = operand.map[axis * width : (axis + 1) * width]
        place = offset + sum(s * i for s, i in zip(strides, at, strict=True))
        if not 0 <= place < size:
            return operand.fill
        flat = flat * size + place
    return values[flat]


def _map(node: Any, operands: list[Bits]) -> Bits:
    out = []
    for element in range(node.count):
        at = _coordinates(element, node.shape)
        x = [read(i, v, at) for i, v in zip(node.inputs, operands, strict=True)]
        out.append(_apply(node, x))
    return out


def _apply(node: Any, x: Bits) -> int:
    fn, dtype = node.fn, node.inputs[0].dtype
    if fn == 0:
        return x[0]
    if fn == WHERE:
        return x[1] if x[0] else x[2]
    if fn == AND:
        return x[0] & x[1]
    if fn == OR:
        return x[0] | x[1]
    if fn == XOR:
        return x[0] ^ x[1]
    if fn == NOT:
        return 1 - x[0]
    if fn == CONVERT:
        return _convert(x[0], dtype, node.dtype)
    if fn == QUANTISE:
        return unsigned(exact.quantise(x[0], signed(x[1], I32), node.attributes[0]), I32)
    if dtype == F32:
        return getattr(exact, COMPARED.get(fn) or FLOATS[fn])(*x)
    a, b = signed(x[0], dtype), signed(x[-1], dtype)
    if fn in COMPARED:
        signs = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}
        return int(signs[COMPARED[fn]])
    results = {1: a + b, 2: a - b, 3: a * b, 6: -a, 8: max(a, b), 9: min(a, b)}
    return unsigned(results[fn], dtype)


def _convert(bits: int, source: int, target: int) -> int:
    if source == target:
        return bits
    if target == BOOL:
        return exact.to_bool(bits) if source == F32 else int(bits != 0)
    if source == F32:
        return unsigned(exact.to_int(bits, WIDTH[target]), target)
    value = signed(bits, source)
    return exact.from_int(value) if target == F32 else unsigned(value, target)


def _rows(values: Bits, length: int) -> list[Bits]:
    return [values[i : i + length] for i in range(0, len(values), length)]


def _reduce(node: Any, operands: list[Bits]) -> Bits:
    x = node.inputs[0]
    rows = _rows(operands[0], x.shape[1])
    if node.fn == SUM:
        return [
            exact.sum_finish(sum(signed(q, I32) for q in row), signed(e, I32))
            for row, e in zip(rows, operands[1], strict=True)
        ]
    if node.fn == EXPONENT:
        return [unsigned(exact.exponent(row), I32) for row in rows]
    if x.dtype == F32:
        return [exact.row_max(r) if node.fn == MAX else exact.row_argmax(r) for r in rows]
    whole = [[signed(v, x.dtype) for v in row] for row in rows]
    if node.fn == MAX:
        return [unsigned(max(row), x.dtype) for row in whole]
    return [row.index(max(row)) for row in whole]


def _dot(node: Any, operands: list[Bits]) -> Bits:
    batch, m, n, k, bits = node.attributes
    qa, ea, qb, eb = operands
    a, b = ([[signed(v, I32) for v in row] for row in _rows(q, k)] for q in (qa, qb))
    out = []
    for i in range(batch):
        for left in range(i * m, (i + 1) * m):
            for right in range(i * n, (i + 1) * n):
                total = sum(x * y for x, y in zip(a[left], b[right], strict=True))
                e, f = signed(ea[left], I32), signed(eb[right], I32)
                out.append(exact.dot_finish(total, e, f, bits))
    return out


def _gather(node: Any, operands: list[Bits]) -> Bits:
    tables, v, length, width = node.attributes
    x, index = operands
    out = []
    for a in range(tables):
        for position in range(length):
            row = signed(index[a * length + position], node.inputs[1].dtype)
            for d in range(width):
                if 0 <= row < v:
                    out.append(x[(a * v + row) * width + d])
                else:
                    out.append(exact.NAN if node.dtype == F32 else 0)
    return out


def _scatter(node: Any, operands: list[Bits]) -> Bits:
    rows, width, length = node.attributes
    q, (e,), index = operands
    at = [signed(i, node.inputs[2].dtype) for i in index]
    out = []
    for v in range(rows):
        for d in range(width):
            column = q[d * length : (d + 1) * length]
            total = sum(signed(x, I32) for x, i in zip(column, at, strict=True) if i == v)
            out.append(exact.sum_finish(total, signed(e, I32)))
    return out
