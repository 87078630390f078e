"""Numbers that stand for words in records. `contracts/court/Codes.sol` is the twin."""

from __future__ import annotations

from enum import IntEnum

import torch

from worker.commit import DTYPE_CODES


class Kind(IntEnum):
    """Kinds of node."""

    SOURCE = 0
    MAP = 1
    REDUCE = 2
    DOT = 3
    GATHER = 4
    SCATTER = 5


class Source(IntEnum):
    """Functions of SOURCE nodes."""

    STATE = 0
    BATCH = 1
    CONSTANT = 2
    IOTA = 3
    RANDOM = 4


class Map(IntEnum):
    """Functions of MAP nodes."""

    COPY = 0
    ADD = 1
    SUB = 2
    MUL = 3
    DIV = 4
    SQRT = 5
    NEG = 6
    ABS = 7
    MAXIMUM = 8
    MINIMUM = 9
    RELU = 10
    EXP = 11
    LOG = 12
    TANH = 13
    ERF = 14
    SIN = 15
    COS = 16
    EQ = 20
    NE = 21
    LT = 22
    LE = 23
    GT = 24
    GE = 25
    WHERE = 30
    AND = 31
    OR = 32
    NOT = 33
    XOR = 34
    CONVERT = 40
    QUANTISE = 41


class Reduce(IntEnum):
    """Functions of REDUCE nodes."""

    SUM = 0
    MAX = 1
    ARGMAX = 2
    EXPONENT = 3


DTYPES: dict[int, torch.dtype] = {code: dtype for dtype, code in DTYPE_CODES.items()}
F32, I32, I64, BOOL = (
    DTYPE_CODES[d] for d in (torch.float32, torch.int32, torch.int64, torch.bool)
)

# bits of the integers that a sum is made of (section 3 of the design)
SUM_BITS = 31


def function_of(kind: int, fn: int) -> str:
    """The function's name for people: `MAP.MUL`, `DOT`."""
    tables: dict[int, type[IntEnum]] = {
        Kind.SOURCE: Source,
        Kind.MAP: Map,
        Kind.REDUCE: Reduce,
    }
    name = Kind(kind).name
    return f"{name}.{tables[kind](fn).name}" if kind in tables else name
