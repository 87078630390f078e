"""Records of a program: what a contract reads, and what their hashes are.

`contracts/interfaces/Types.sol` is the twin of the three dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Any

from eth_abi import encode

from worker.program.codes import function_of

NODE_TYPE = "(uint8,uint8,uint8,uint32[],(uint32,uint8,uint32[],int64[],uint64)[],uint64[])"
HEADER_TYPE = "(bytes32,uint32,bytes32,uint32,uint32)"


@dataclass(frozen=True)
class Input:
    """One operand: an earlier node's tensor, seen under `shape` and through an affine index map.

    map: for each operand axis an offset, then a stride per output axis; empty where the node's kind
    fixes the access. fill: bits of the element that coordinates outside `shape` read.
    """

    node: int
    dtype: int
    shape: tuple[int, ...]
    map: tuple[int, ...] = ()
    fill: int = 0

    @property
    def count(self) -> int:
        return prod(self.shape)

    def to_abi(self) -> tuple[int, int, tuple[int, ...], tuple[int, ...], int]:
        return (self.node, self.dtype, self.shape, self.map, self.fill)


@dataclass(frozen=True)
class Node:
    """One operator of a program; the meaning of `fn` and `attributes` depends on `kind`."""

    kind: int
    fn: int
    dtype: int
    shape: tuple[int, ...]
    inputs: tuple[Input, ...] = ()
    attributes: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def name(self) -> str:
        return function_of(self.kind, self.fn)

    def to_abi(self) -> tuple[object, ...]:
        inputs = tuple(i.to_abi() for i in self.inputs)
        return (self.kind, self.fn, self.dtype, self.shape, inputs, self.attributes)

    @cached_property
    def encoded(self) -> bytes:
        """`abi.encode(node)`."""
        return encode([NODE_TYPE], [self.to_abi()])

    @cached_property
    def item(self) -> bytes:
        """The record's item in the list of a program's nodes."""
        return sha256(self.encoded).digest()


@dataclass(frozen=True)
class Header:
    """Head of a program."""

    nodes: bytes
    node_count: int
    outputs: bytes
    state_count: int
    report_count: int

    def to_abi(self) -> tuple[bytes, int, bytes, int, int]:
        return (self.nodes, self.node_count, self.outputs, self.state_count, self.report_count)

    @property
    def root(self) -> bytes:
        """sha256(0x04 | abi.encode(header)): the program's root."""
        return sha256(b"\x04" + encode([HEADER_TYPE], [self.to_abi()])).digest()


@dataclass(frozen=True)
class Bound:
    """Where an index must lie, low <= index < high, as PyTorch would ask at that place.

    No part of a program: a run reads what is outside as NaN, as zero or not at all, so whoever
    captures a job looks before (`worker.jobs.indices`). index, shape: the view of a node's output.
    """

    index: Input
    shape: tuple[int, ...]
    low: int
    high: int
    origin: str = field(default="", compare=False)


def output_item(node: int) -> bytes:
    """A node's number as an item in the list of a program's outputs."""
    return node.to_bytes(32, "big")


def to_document(nodes: tuple[Node, ...]) -> list[Any]:
    """Records as nested lists of integers, in the order of their fields."""
    return [
        [
            n.kind,
            n.fn,
            n.dtype,
            list(n.shape),
            [[i.node, i.dtype, list(i.shape), list(i.map), i.fill] for i in n.inputs],
            list(n.attributes),
        ]
        for n in nodes
    ]


def from_document(document: Any) -> tuple[Node, ...]:
    """Inverse of `to_document`, in time linear in its size. ValueError for anything else.

    A program's artifact is not its ABI encoding: offsets there may point anywhere, many to the same
    place, so that a few thousand bytes of a stranger's decode for hours.
    """
    return tuple(_node(fields) for fields in _list(document))


def numbers_of(document: Any) -> tuple[int, ...]:
    """A list of node numbers. ValueError for anything else."""
    return tuple(_integer(n, 32) for n in _list(document))


def _node(fields: Any) -> Node:
    kind, fn, dtype, shape, inputs, attributes = _list(fields, 6)
    return Node(
        _integer(kind, 8),
        _integer(fn, 8),
        _integer(dtype, 8),
        tuple(_integer(n, 32) for n in _list(shape)),
        tuple(_operand(i) for i in _list(inputs)),
        tuple(_integer(a, 64) for a in _list(attributes)),
    )


def _operand(fields: Any) -> Input:
    node, dtype, shape, index_map, fill = _list(fields, 5)
    return Input(
        _integer(node, 32),
        _integer(dtype, 8),
        tuple(_integer(n, 32) for n in _list(shape)),
        tuple(_integer(v, 64, signed=True) for v in _list(index_map)),
        _integer(fill, 64),
    )


def _list(value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or length not in (None, len(value)):
        raise ValueError(f"a record has {str(value)[:80]} where a list should be")
    return value


def _integer(value: Any, bits: int, signed: bool = False) -> int:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    if type(value) is not int or not low <= value < high:
        raise ValueError(f"a record has {str(value)[:80]} where {bits} bits should be")
    return value
