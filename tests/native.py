"""What the contracts' tests ask of ape, on a native EVM in process: a plugin of pytest.

python -m pytest -p no:ape_test -p tests.native tests/contracts/test_court_moves.py

ape's own chain, eth-tester, shows what users see, a few moves a second. Whoever runs the same
tests some hundred times, as `tests.mutation` does, takes this one. It has the fixtures that ape's
plugin has (`accounts`, `project`, `chain`), and of contracts, receipts and `ape.reverts` what the
tests use.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import ape
import pyrevm
import pytest
from eth_abi import decode, encode
from eth_utils import keccak, to_checksum_address
from web3.exceptions import ContractLogicError

from tests import evm
from tests.revm import GENESIS_TIME, RevmChain, address_of

ROLES = 10
NO_LIMIT = 1 << 20  # bytes of a contract that was compiled without the optimizer


class Addressed:
    """What has an address is equal to it, and to whatever has the same."""

    address: str

    def __eq__(self, other: object) -> bool:
        return self.address == getattr(other, "address", other)

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class Entry:
    """An error or an event of a contract."""

    abi: dict[str, Any]

    def __call__(self, **fields: Any) -> SimpleNamespace:
        """The event that has these fields."""
        return SimpleNamespace(event_name=self.abi["name"], **fields)

    @property
    def selector(self) -> bytes:
        types = ",".join(evm._types(self.abi["inputs"]))
        return keccak(text=f"{self.abi['name']}({types})")

    def fields(self, data: bytes, topics: Sequence[bytes] = ()) -> SimpleNamespace:
        """Those of an error's data, or of a log."""
        inputs = self.abi["inputs"]
        indexed = [i for i in inputs if i.get("indexed")]
        plain = [i for i in inputs if not i.get("indexed")]
        values = _decoded(plain, data)
        found = dict(zip((i["name"] for i in plain), values, strict=True))
        for given, topic in zip(indexed, topics, strict=bool(topics)):
            found |= {given["name"]: _decoded([given], topic)[0]}
        return self(**found)


@dataclass(frozen=True)
class Receipt:
    """Of a transaction that went through."""

    logs: list[dict[str, Any]]
    gas_used: int
    timestamp: int
    known: Mapping[str, Sequence[dict[str, Any]]]
    """The ABIs, by address."""

    @property
    def events(self) -> list[SimpleNamespace]:
        """All of them."""
        found = []
        for log in self.logs:
            entries = map(Entry, (e for e in self.known[log["address"]] if e["type"] == "event"))
            entry = next(e for e in entries if e.selector == log["topics"][0])
            found.append(entry.fields(log["data"], log["topics"][1:]))
        return found

    def decode_logs(self, entry: Entry) -> list[SimpleNamespace]:
        """The events of this kind."""
        return [
            entry.fields(log["data"], log["topics"][1:])
            for log in self.logs
            if log["topics"][0] == entry.selector
        ]


class Contract(Addressed):
    """A deployed contract, whose functions, errors and events are its attributes."""

    def __init__(self, chain: Chain, artifact: evm.Artifact, address: str) -> None:
        self._chain, self._abi, self.address = chain, artifact.abi, address
        chain.known[address] = artifact.abi

    def __getattr__(self, name: str) -> Any:
        entry = _entry(self._abi, name)
        return Function(self, entry) if entry["type"] == "function" else Entry(entry)


class Function:
    """Of a contract: called where it changes nothing, and else sent."""

    def __init__(self, contract: Contract, abi: dict[str, Any]) -> None:
        self._contract, self._abi = contract, abi

    def __call__(self, *arguments: Any, sender: Any = None) -> Any:
        if self._abi["stateMutability"] in ("view", "pure"):
            return self.call(*arguments, sender=sender)
        return self._contract._chain.send(
            sender.address, self._contract.address, self.encode_input(*arguments), self._abi["name"]
        )

    def call(self, *arguments: Any, sender: Any = None) -> Any:
        """What it would return, in the next block."""
        asked = {"to": self._contract.address, "data": self.encode_input(*arguments)}
        if sender is not None:
            asked["from"] = sender.address
        outputs = self._abi["outputs"]
        found = _decoded(outputs, self._contract._chain.revm._call(asked, "pending"))
        if len(found) == 1:
            return found[0]
        return _struct(tuple(o["name"] for o in outputs))(*found) if found else None

    def encode_input(self, *arguments: Any) -> bytes:
        """Its calldata."""
        inputs = self._abi["inputs"]
        return evm._selector(self._abi) + encode(evm._types(inputs), _given(inputs, arguments))


class Chain:
    """The chain, with time that a test sets."""

    def __init__(self) -> None:
        self.revm = RevmChain()
        unlimited = pyrevm.Env(cfg=pyrevm.CfgEnv(limit_contract_code_size=NO_LIMIT))
        self.revm.evm = pyrevm.EVM(env=unlimited, gas_limit=evm.GAS, spec_id="CANCUN")
        self.last: Receipt | None = None
        self.known: dict[str, Sequence[dict[str, Any]]] = {}

    @property
    def blocks(self) -> SimpleNamespace:
        done = [SimpleNamespace(receipt=self.last)]
        head = SimpleNamespace(timestamp=self.revm.time, transactions=done)
        return SimpleNamespace(head=head, height=self.revm.number)

    @property
    def pending_timestamp(self) -> int:
        return self.revm.time + 1

    @pending_timestamp.setter
    def pending_timestamp(self, at: int) -> None:
        self.revm.time = at - 1

    def mine(self, num_blocks: int = 1, deltatime: int = 0) -> None:
        self.revm.mine(num_blocks, deltatime)

    def send(self, sender: str, to: str, data: bytes, label: str) -> Receipt:
        receipt = self.revm.send(sender, to, data, label)
        self.last = Receipt(receipt["logs"], receipt["gasUsed"], self.revm.time, self.known)
        return self.last

    @contextmanager
    def isolate(self) -> Iterator[None]:
        """What happens inside leaves no trace."""
        kept = ("number", "time", "mined")
        before, values = self.revm.evm.snapshot(), [copy(getattr(self.revm, k)) for k in kept]
        try:
            yield
        finally:
            self.revm.evm.revert(before)
            for name, value in zip(kept, values, strict=True):
                setattr(self.revm, name, value)


@dataclass(frozen=True, eq=False)
class Account(Addressed):
    """Who sends."""

    chain: Chain
    address: str

    @property
    def nonce(self) -> int:
        return self.chain.revm.evm.basic(self.address).nonce or 0

    def deploy(self, kind: Kind, *arguments: Any) -> Contract:
        """A new contract; the constructor's refusal as that of any function."""
        artifact = evm.load(kind.name)
        made = [e for e in artifact.abi if e["type"] == "constructor"]
        inputs = made[0]["inputs"] if made else []
        given = _given(inputs, arguments)
        try:
            contract = evm.deploy(kind.name, *given, evm=self.chain.revm.evm, caller=self.address)
        except RuntimeError as error:
            data = evm._revert_data(error)
            raise ContractLogicError("execution reverted", data="0x" + data.hex()) from None
        self.chain.mine()
        return Contract(self.chain, artifact, to_checksum_address(contract.address))


@dataclass(frozen=True)
class Kind:
    """A contract that can be deployed."""

    name: str

    def __getattr__(self, name: str) -> Entry:
        return Entry(_entry(evm.load(self.name).abi, name))


class Project:
    """Every contract, by its name."""

    def __getattr__(self, name: str) -> Kind:
        return Kind(name)


@contextmanager
def reverts(entry: Entry | None = None, **fields: Any) -> Iterator[None]:
    """As `ape.reverts`: the block's last call is refused, with this error and these fields."""
    try:
        yield
    except ContractLogicError as error:
        data = bytes.fromhex(str(error.data)[2:])
    else:
        raise AssertionError("it was not refused")
    if entry is None:
        return
    assert data[:4] == entry.selector[:4], f"{data.hex()} is no {entry.abi['name']}"
    found = entry.fields(data[4:])
    for name, value in fields.items():
        assert getattr(found, name) == value, f"{name}: {getattr(found, name)}, not {value}"


def _entry(abi: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    try:
        return next(entry for entry in abi if entry.get("name") == name)
    except StopIteration:
        raise AttributeError(name) from None


def _given(inputs: Sequence[dict[str, Any]], values: Sequence[Any]) -> list[Any]:
    """Arguments as `eth_abi` takes them."""
    return [_one(given, value) for given, value in zip(inputs, values, strict=True)]


def _one(given: dict[str, Any], value: Any) -> Any:
    kind = given["type"]
    if kind.endswith("]"):
        return [_one({**given, "type": kind[: kind.rindex("[")]}, v) for v in value]
    if kind == "tuple":
        parts = given["components"]
        named = isinstance(value, Mapping)
        return tuple(_given(parts, [value[p["name"]] for p in parts] if named else value))
    return value.address if kind == "address" and hasattr(value, "address") else value


def _decoded(outputs: Sequence[dict[str, Any]], data: bytes) -> list[Any]:
    """Values as ape gives them: structs with names, addresses with their checksum."""
    values = decode(evm._types(list(outputs)), data)
    return [_shown(entry, value) for entry, value in zip(outputs, values, strict=True)]


def _shown(entry: dict[str, Any], value: Any) -> Any:
    kind = entry["type"]
    if kind.endswith("]"):
        return [_shown({**entry, "type": kind[: kind.rindex("[")]}, v) for v in value]
    if kind == "tuple":
        parts = entry["components"]
        names = tuple(p["name"] for p in parts)
        return _struct(names)(*(_shown(p, v) for p, v in zip(parts, value, strict=True)))
    return to_checksum_address(value) if kind == "address" else value


@cache
def _struct(names: tuple[str, ...]) -> Any:
    return namedtuple("Struct", names, rename=True)


# --- the plugin ---


@pytest.fixture(autouse=True, scope="session")
def _reverts() -> Iterator[None]:
    before, ape.reverts = ape.reverts, reverts
    yield
    ape.reverts = before


@pytest.fixture(scope="session")
def chain() -> Chain:
    chain = Chain()
    chain.revm.time = GENESIS_TIME
    return chain


@pytest.fixture(scope="session")
def accounts(chain: Chain) -> list[Account]:
    return [Account(chain, address_of(f"account {i}")) for i in range(ROLES)]


@pytest.fixture(scope="session")
def project() -> Project:
    return Project()


@pytest.fixture(autouse=True)
def _isolated(chain: Chain) -> Iterator[None]:
    with chain.isolate():
        yield
