"""Many reads at once: in one exchange with a node, one by one on a chain in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode
from web3 import Web3
from web3.exceptions import BlockNotFound
from web3.types import RPCEndpoint, RPCResponse

from worker.chain.errors import ChainError, ContractError, NodeError
from worker.chain.node import Node
from worker.chain.signer import simulate


@dataclass(frozen=True)
class Head:
    """What is asked about a block. time: unix seconds."""

    number: int
    hash: bytes
    parent: bytes
    time: int


@dataclass(frozen=True)
class Reading:
    """A call of a contract's view function. outputs: the ABI's types of what it returns."""

    label: str
    to: str
    data: bytes
    outputs: tuple[str, ...]

    def value(self, raw: bytes) -> Any:
        """One value, or a tuple where the function returns several."""
        if not raw and self.outputs:
            raise ChainError(f"{self.label}: there is no contract at {self.to}")
        values = decode(self.outputs, raw)
        return values[0] if len(values) == 1 else values

    def read(self, w3: Web3, block: int | str = "latest") -> Any:
        """Raises `ContractError` where the contract refuses."""
        return self.value(simulate(w3, {"to": self.to, "data": self.data}, self.label, block))


def read_all(
    w3: Web3, readings: Sequence[Reading], block: int | str = "latest"
) -> list[Any | ContractError]:
    """The value of each, in order, as of one block; a refusal stands where its value would."""
    node = getattr(w3, "provider", None)
    if not isinstance(node, Node) or not readings:
        return [_read(w3, reading, block) for reading in readings]
    at = block if isinstance(block, str) else hex(block)
    calls = [
        (RPCEndpoint("eth_call"), [{"to": r.to, "data": "0x" + r.data.hex()}, at]) for r in readings
    ]
    found = []
    for reading, answer in zip(readings, _batch(node, calls), strict=True):
        if "error" in answer:  # asked alone, it is raised as web3 raises it
            found.append(_read(w3, reading, block))
        else:
            found.append(reading.value(bytes.fromhex(answer["result"][2:])))
    return found


def _read(w3: Web3, reading: Reading, block: int | str) -> Any | ContractError:
    try:
        return reading.read(w3, block)
    except ContractError as refusal:
        return refusal


def heads(w3: Web3, *which: int | str) -> list[Head | None]:
    """Blocks by number or by name; None for one that is not there."""
    node = getattr(w3, "provider", None)
    if not isinstance(node, Node):
        return [_head(w3, block) for block in which]
    calls = [
        (RPCEndpoint("eth_getBlockByNumber"), [b if isinstance(b, str) else hex(b), False])
        for b in which
    ]
    found: list[Head | None] = []
    for block, answer in zip(which, _batch(node, calls), strict=True):
        header: Any = answer.get("result")
        if header is None and "error" in answer and block != "pending":
            raise NodeError(f"the node at {node.shown} has no block {block}: {answer['error']}")
        found.append(
            header
            and Head(
                number=int(header["number"] or "0x0", 16),  # a pending one has no number or hash
                hash=bytes.fromhex((header["hash"] or "0x")[2:]),
                parent=bytes.fromhex(header["parentHash"][2:]),
                time=int(header["timestamp"], 16),
            )
        )
    return found


def _head(w3: Web3, block: int | str) -> Head | None:
    try:
        header: Any = w3.eth.get_block(block)  # type: ignore[arg-type]
    except Exception as error:
        if isinstance(error, BlockNotFound) or type(error).__name__ == "BlockNotFound":
            return None  # eth-tester has one of its own
        raise
    return Head(
        number=int(header["number"] or 0),
        hash=bytes(header["hash"] or b""),
        parent=bytes(header["parentHash"]),
        time=int(header["timestamp"]),
    )


def _batch(node: Node, calls: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
    answers = node.make_batch_request(calls)
    assert isinstance(answers, list)  # `Node` gives nothing else
    return answers
