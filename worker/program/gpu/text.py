"""Pieces of kernels: constants, indices, the scalar functions of MAP nodes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from worker.program.codes import BOOL, F32, I32, I64, Map
from worker.program.compiled.text import SUFFIXES
from worker.program.records import Node

HEADER = """import triton
import triton.language as tl

from worker.exact.gpu import kernels, rows, scalar
"""
TYPES = {F32: "tl.float32", I32: "tl.int32", I64: "tl.int64", BOOL: "tl.int1"}

_INFIX = {
    Map.ADD: "+", Map.SUB: "-", Map.MUL: "*", Map.EQ: "==", Map.NE: "!=", Map.LT: "<",
    Map.LE: "<=", Map.GT: ">", Map.GE: ">=", Map.AND: "&", Map.OR: "|", Map.XOR: "^",
}  # fmt: skip


def literal(bits: int, dtype: int, rank: int) -> str:
    """A constant as a tensor of one element, from its bits."""
    shape = f"({', '.join(['1'] * rank)},)"
    if dtype == BOOL:
        return f"tl.full({shape}, {bits}, tl.int32) != 0"
    width = 64 if dtype == I64 else 32
    signed = bits - (1 << width) if bits >> (width - 1) else bits
    if dtype == F32:
        return f"rows.as_float(tl.full({shape}, {signed}, tl.int32))"
    return f"tl.full({shape}, {signed}, {TYPES[dtype]})"


def expression(node: Node, values: Sequence[str]) -> str:
    """A MAP node's elements, from its operands'."""
    fn, of = Map(node.fn), node.inputs[0].dtype
    if fn == Map.COPY:
        return values[0]
    if fn == Map.CONVERT:
        if of == F32 and node.dtype in (I32, I64):
            return f"scalar.f32_to_{SUFFIXES[node.dtype]}({values[0]})"
        if node.dtype == BOOL:
            return values[0] if of == BOOL else f"{values[0]} != 0"
        if of == BOOL and node.dtype == F32:
            return f"tl.where({values[0]}, 1.0, 0.0)"
        return f"{values[0]}.to({TYPES[node.dtype]})"
    if fn == Map.WHERE:
        return f"tl.where({', '.join(values)})"
    if fn == Map.QUANTISE:
        return f"rows.quantise_f32({values[0]}, {values[1]}, {node.attributes[0]})"
    if fn in _INFIX:
        return f"{values[0]} {_INFIX[fn]} {values[1]}"
    if fn == Map.NOT:
        return f"{values[0]} == 0"
    if of != F32:  # integers
        if fn == Map.NEG:
            return f"0 - {values[0]}"
        return f"tl.{fn.name.lower()}({values[0]}, {values[1]})"
    more = ", windows" if fn in (Map.SIN, Map.COS) else ""
    return f"scalar.{fn.name.lower()}_f32({', '.join(values)}{more})"


ZERO = "zero"
"""The last operand of every generated kernel: 0, which no compiler knows.

A coordinate's range is known, so LLVM has two of them in one register and adds offsets to both at
once. ptxas (12.8) was seen to make such an addition a second time, without the offset: a window
read beyond its edge. Coordinates to which this is added have a register each.
"""


def coordinate(name: str, weight: int, size: int, whole: int) -> str:
    """(name // weight) % size, where `name` is below `whole`."""
    text = f"{name} // {weight}" if weight > 1 else name
    if weight * size < whole:
        text = f"{text} % {size}"
    return f"({text} + {ZERO})"


def linear(terms: Sequence[tuple[str, int]]) -> str:
    """The sum of names times strides; empty where all strides are zero."""
    return " + ".join(f"{name} * {s}" if s != 1 else name for name, s in terms if s)


def total(*terms: str) -> str:
    return " + ".join(t for t in terms if t)


def below(sizes: Sequence[int]) -> list[int]:
    """Of each of nested loops, how many steps of the innermost one of its steps is."""
    return [prod(sizes[k + 1 :]) for k in range(len(sizes))]
