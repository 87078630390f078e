"""What the wrappers of all contracts do alike: encoding, reading, writing, and their events.

Reads are of the latest block. Writes go through the `Sender`, and raise what it raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from eth_abi import encode
from eth_utils import keccak
from web3 import Web3
from web3.types import TxReceipt

from worker.chain.abi import canonical_type, load_abi, signature
from worker.chain.decoding import decode_log, topic_of, topic_word
from worker.chain.errors import UNSAID, ContractError
from worker.chain.events import Event
from worker.chain.reads import Reading
from worker.chain.scan import read_events
from worker.chain.sender import Sender
from worker.chain.types import to_abi

E = TypeVar("E", bound=Event)
Other = TypeVar("Other", bound="Contract")

CONSTANTS = 4096  # answers that never change, and are kept


@dataclass(frozen=True)
class Receipt:
    """What a transaction did."""

    label: str
    transaction: str
    block: int
    gas: int
    events: tuple[Event, ...]  # of our contracts, in order

    def one(self, kind: type[E]) -> E:
        """Its first event of this kind; `ValueError` where there is none."""
        for event in self.events:
            if isinstance(event, kind):
                return event
        raise ValueError(f"{self.label} ({self.transaction}) emitted no {kind.__name__}")


class Contract:
    """Encoding, decoding and reading, by the contract's ABI."""

    name: ClassVar[str]

    def __init__(
        self, w3: Web3, address: str, sender: Sender, contracts: dict[str, str], first_block: int
    ) -> None:
        """contracts: names by address of all whose events a receipt may hold."""
        self._w3 = w3
        self.address: str = Web3.to_checksum_address(address)
        self._sender = sender
        self._contracts = {a.lower(): name for a, name in contracts.items()}
        self.first_block = first_block
        self._constants: dict[tuple[Any, ...], Any] = {}
        self._functions = {f["name"]: f for f in load_abi(self.name) if f["type"] == "function"}

    def beside(self, kind: type[Other], address: str) -> Other:
        """Another contract of the same deployment, for the same account."""
        return kind(self._w3, address, self._sender, self._contracts, self.first_block)

    def encode_call(self, function: str, *arguments: Any) -> bytes:
        """A transaction's data: the function's selector and its arguments."""
        entry = self._functions[function]
        types = [canonical_type(p) for p in entry["inputs"]]
        return keccak(text=signature(entry))[:4] + encode(types, [to_abi(a) for a in arguments])

    def reading(self, function: str, *arguments: Any) -> Reading:
        """A call of a view function, to be made alone or with others (`read_all`)."""
        return Reading(
            label=f"{self.name}.{function}",
            to=self.address,
            data=self.encode_call(function, *arguments),
            outputs=tuple(canonical_type(p) for p in self._functions[function]["outputs"]),
        )

    def _read(self, function: str, *arguments: Any) -> Any:
        """One value, or a tuple where the function returns several."""
        return self.reading(function, *arguments).read(self._w3)

    def _read_once(self, function: str, *arguments: Any) -> Any:
        """Of what never changes in a deployed contract."""
        key = (function, *arguments)
        if key not in self._constants:
            if len(self._constants) >= CONSTANTS:
                self._constants.clear()
            self._constants[key] = self._read(function, *arguments)
        return self._constants[key]

    def _write(self, function: str, *arguments: Any) -> Receipt:
        label = f"{self.name.lower()}.{function}"
        data = self.encode_call(function, *arguments)
        try:
            receipt = self._sender.send(self.address, data, label)
        except ContractError as error:
            if error.name in UNSAID:
                raise error.of_call(self._tried(function, arguments)) from error
            raise
        return self.receipt(label, receipt)

    def _tried(self, function: str, arguments: Sequence[Any]) -> str:
        """A call as people read it."""
        names = [p["name"] for p in self._functions[function]["inputs"]]
        shown = [
            f"{name}={value}" for name, value in zip(names, arguments, strict=True)
            if isinstance(value, int | str)
        ]  # fmt: skip
        call = f"{self.name.lower()}.{function}({', '.join(shown)})"
        return f"{call} at {self.address} by {self._sender.address}"

    def receipt(self, label: str, receipt: TxReceipt) -> Receipt:
        """A raw receipt with the events of our contracts decoded."""
        decoded = []
        for entry in receipt["logs"]:
            name = self._contracts.get(entry["address"].lower())
            event = decode_log(name, entry) if name else None
            if event:
                decoded.append(event)
        return Receipt(
            label=label,
            transaction="0x" + bytes(receipt["transactionHash"]).hex(),
            block=int(receipt["blockNumber"]),
            gas=int(receipt["gasUsed"]),
            events=tuple(decoded),
        )

    def _events(
        self, kind: type[Event] | None, *indexed: int | str | None, first: int | None = None
    ) -> list[Event]:
        """Logs of this contract with these indexed arguments, in order."""
        topics: list[Any] = [topic_of(kind) if kind else None]
        topics += [None if word is None else topic_word(word) for word in indexed]
        found = read_events(
            self._w3,
            {self.address: self.name},
            self.first_block if first is None else first,
            self._w3.eth.block_number,
            topics=[None if t is None else "0x" + t.hex() for t in topics],
        )
        return list(found)
