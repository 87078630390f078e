"""Pieces of C: types, constants, the scalar functions of MAP nodes."""

from __future__ import annotations

from dataclasses import dataclass

from worker.program.codes import BOOL, F32, I32, I64, Map
from worker.program.records import Node

C_TYPES = {F32: "float", I32: "int32_t", I64: "int64_t", BOOL: "uint8_t"}
SUFFIXES = {F32: "f32", I32: "i32", I64: "i64", BOOL: "bool"}
TASK = 16384  # elements that one task walks, about


@dataclass(frozen=True)
class Kernel:
    """A C function body and how it is called.

    text: the body, the same for groups that do the same. buffers: the nodes whose memory its
    pointers are. tasks: how many calls make the whole. work: elements times stages, about.
    numbers: what it is given beside its pointers, in which groups that do the same may differ.
    """

    text: str
    buffers: tuple[int, ...]
    tasks: int
    work: int
    numbers: tuple[int, ...] = ()


def literal(bits: int, dtype: int) -> str:
    """A constant in C, from its bits."""
    if dtype == F32:
        return f"ax_float(0x{bits:08x}u)"
    if dtype == I32:
        return f"(int32_t)0x{bits:08x}u"
    if dtype == I64:
        return f"(int64_t)0x{bits:016x}ull"
    return str(bits)


def total(terms: list[str]) -> str:
    return " + ".join(terms) or "0"


def expression(node: Node, values: list[str]) -> str:
    """A MAP node's element in C, from its operands' elements."""
    fn, of = Map(node.fn), SUFFIXES[node.inputs[0].dtype]
    if fn == Map.COPY:
        return values[0]
    if fn == Map.CONVERT:
        return f"ax_convert_{of}_{SUFFIXES[node.dtype]}({values[0]})"
    if fn == Map.WHERE:
        return f"ax_where_{SUFFIXES[node.dtype]}({', '.join(values)})"
    if fn == Map.QUANTISE:
        return f"ax_quantise_f32({values[0]}, {values[1]}, {node.attributes[0]})"
    return f"ax_{fn.name.lower()}_{of}({', '.join(values)})"
