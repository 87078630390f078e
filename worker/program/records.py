"""Records of a program: what a contract reads, and what their hashes are.

`contracts/interfaces/Types.sol` is the twin of the three dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import prod

from eth_abi import decode, encode

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

    @staticmethod
    def from_abi(fields: tuple) -> Node:
        kind, fn, dtype, shape, inputs, attributes = fields
        operands = tuple(Input(n, d, tuple(s), tuple(m), f) for n, d, s, m, f in inputs)
        return Node(kind, fn, dtype, tuple(shape), operands, tuple(attributes))

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


def output_item(node: int) -> bytes:
    """A node's number as an item in the list of a program's outputs."""
    return node.to_bytes(32, "big")


def encode_program(nodes: tuple[Node, ...], outputs: tuple[int, ...], state_count: int) -> bytes:
    """All records of a program in one ABI-encoded byte string."""
    return encode(
        [f"{NODE_TYPE}[]", "uint32[]", "uint32"],
        [[n.to_abi() for n in nodes], outputs, state_count],
    )


def decode_program(data: bytes) -> tuple[tuple[Node, ...], tuple[int, ...], int]:
    """Inverse of `encode_program`; ValueError where `data` is not exactly such an encoding."""
    try:
        nodes, outputs, states = decode([f"{NODE_TYPE}[]", "uint32[]", "uint32"], data)
        result = tuple(Node.from_abi(n) for n in nodes), tuple(outputs), states
    except Exception as error:  # eth_abi raises several kinds for malformed data
        raise ValueError(f"these {len(data)} bytes do not decode as a program: {error}") from error
    if encode_program(*result) != data:
        raise ValueError("these bytes decode as a program, but are not its canonical encoding")
    return result
