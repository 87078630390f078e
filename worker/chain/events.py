"""Every event of the contracts as a frozen dataclass, and decoding logs into them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

from eth_abi import decode
from eth_utils import keccak
from web3.types import LogReceipt

from worker.chain.abi import canonical_type, load_abi, signature
from worker.chain.types import Claim, Job, Phase, Terms, from_abi, type_hints


@dataclass(frozen=True, order=True)
class Place:
    """Where on the chain a log stands. Ordered as the chain is; equal only on the same fork."""

    block: int
    log_index: int
    block_hash: bytes
    transaction: bytes

    @property
    def identity(self) -> str:
        return f"{self.block_hash.hex()}:{self.transaction.hex()}:{self.log_index}"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A decoded log. Subclasses are named as the event is, their fields stand in its order."""

    contract: ClassVar[str]
    solidity_name: ClassVar[str] = ""  # where it is not the class's
    place: Place = field(compare=False, repr=False)

    @classmethod
    def word_names(cls) -> list[str]:
        return [f.name for f in fields(cls) if f.name != "place"]


# --- the market --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MarketEvent(Event):
    contract = "Market"


@dataclass(frozen=True, kw_only=True)
class Posted(MarketEvent):
    task: int
    requester: str
    job: Job
    terms: Terms


@dataclass(frozen=True, kw_only=True)
class BidPlaced(MarketEvent):
    task: int
    worker: str
    price: int


@dataclass(frozen=True, kw_only=True)
class Assigned(MarketEvent):
    task: int
    solver: str
    price: int
    stake: int
    commit_until: int


@dataclass(frozen=True, kw_only=True)
class SegmentCommitted(MarketEvent):
    task: int
    segment: int
    state: bytes
    journal: bytes


@dataclass(frozen=True, kw_only=True)
class DrawArmed(MarketEvent):
    task: int
    draw_block: int


@dataclass(frozen=True, kw_only=True)
class Drawn(MarketEvent):
    task: int
    verifier: str
    checked: int
    window_ends: int


@dataclass(frozen=True, kw_only=True)
class Attested(MarketEvent):
    task: int
    verifier: str


@dataclass(frozen=True, kw_only=True)
class Challenged(MarketEvent):
    task: int
    segment: int
    challenger: str
    dispute: int
    bond: int


@dataclass(frozen=True, kw_only=True)
class ChallengeEnded(MarketEvent):
    task: int
    dispute: int
    solver_guilty: bool
    moot: bool


@dataclass(frozen=True, kw_only=True)
class Settled(MarketEvent):
    task: int
    solver: str
    price: int


@dataclass(frozen=True, kw_only=True)
class Condemned(MarketEvent):
    task: int
    dispute: int


@dataclass(frozen=True, kw_only=True)
class Punished(MarketEvent):
    task: int
    solver: str
    slashed: int
    to_challenger: int
    to_requester: int
    burned: int


@dataclass(frozen=True, kw_only=True)
class VerifierPenalised(MarketEvent):
    task: int
    verifier: str
    slashed: int


@dataclass(frozen=True, kw_only=True)
class Expired(MarketEvent):
    task: int
    solver: str
    penalty: int


@dataclass(frozen=True, kw_only=True)
class Cancelled(MarketEvent):
    task: int


@dataclass(frozen=True, kw_only=True)
class Enlisted(MarketEvent):
    worker: str


@dataclass(frozen=True, kw_only=True)
class Delisted(MarketEvent):
    worker: str


@dataclass(frozen=True, kw_only=True)
class Credited(MarketEvent):
    account: str
    task: int
    amount: int


@dataclass(frozen=True, kw_only=True)
class CreditWithdrawn(MarketEvent):
    """The market's `Withdrawn`: what it owed has been paid out."""

    solidity_name = "Withdrawn"
    account: str
    amount: int


# --- the court ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CourtEvent(Event):
    contract = "Court"
    dispute: int


@dataclass(frozen=True, kw_only=True)
class Opened(CourtEvent):
    client: str
    claim: Claim


@dataclass(frozen=True, kw_only=True)
class RootsRevealed(CourtEvent):
    lo: int
    hi: int
    roots: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class StepsNarrowed(CourtEvent):
    lo: int
    hi: int
    lo_state: bytes
    hi_state: bytes


@dataclass(frozen=True, kw_only=True)
class TraceRevealed(CourtEvent):
    step: int
    trace: bytes
    salt: bytes
    reports: bytes


@dataclass(frozen=True, kw_only=True)
class StateAccused(CourtEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class ReportsAccused(CourtEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class ChildrenRevealed(CourtEvent):
    phase: Phase
    level: int
    index: int
    children: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Descended(CourtEvent):
    phase: Phase
    level: int
    index: int
    root: bytes


@dataclass(frozen=True, kw_only=True)
class TensorRevealed(CourtEvent):
    item: int
    dtype: int
    count: int
    elements: bytes


@dataclass(frozen=True, kw_only=True)
class LeafRevealed(CourtEvent):
    index: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class ElementTried(CourtEvent):
    node: int
    element: int
    committed: int
    recomputed: int


@dataclass(frozen=True, kw_only=True)
class Demanded(CourtEvent):
    word: int


@dataclass(frozen=True, kw_only=True)
class DataShown(CourtEvent):
    tensor: int
    leaf: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Decided(CourtEvent):
    solver_guilty: bool
    reason: bytes


@dataclass(frozen=True, kw_only=True)
class Dismissed(CourtEvent):
    pass


# --- stakes and the token ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class StakesEvent(Event):
    contract = "Stakes"
    worker: str


@dataclass(frozen=True, kw_only=True)
class Deposited(StakesEvent):
    amount: int


@dataclass(frozen=True, kw_only=True)
class LockerApproved(StakesEvent):
    locker: str
    approved: bool


@dataclass(frozen=True, kw_only=True)
class Locked(StakesEvent):
    locker: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Released(StakesEvent):
    locker: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Slashed(StakesEvent):
    locker: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class UnbondingStarted(StakesEvent):
    amount: int
    available_at: int


@dataclass(frozen=True, kw_only=True)
class StakeWithdrawn(StakesEvent):
    """The stakes' `Withdrawn`: unbonded stake has left."""

    solidity_name = "Withdrawn"
    amount: int


@dataclass(frozen=True, kw_only=True)
class Transfer(Event):
    contract = "Token"
    sender: str
    recipient: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Approval(Event):
    contract = "Token"
    owner: str
    spender: str
    amount: int


_ALL: tuple[type[Event], ...] = (
    *MarketEvent.__subclasses__(),
    *CourtEvent.__subclasses__(),
    *StakesEvent.__subclasses__(),
    Transfer,
    Approval,
)
EVENTS = {(cls.contract, cls.solidity_name or cls.__name__): cls for cls in _ALL}


# --- decoding ----------------------------------------------------------------------------------


@cache
def _by_topic(contract: str) -> dict[bytes, dict[str, Any]]:
    found = (entry for entry in load_abi(contract) if entry["type"] == "event")
    return {keccak(text=signature(entry)): entry for entry in found}


def topic_of(cls: type[Event]) -> bytes:
    """Topic 0 of an event."""
    return next(
        topic
        for topic, entry in _by_topic(cls.contract).items()
        if EVENTS.get((cls.contract, entry["name"])) is cls
    )


def topic_word(value: int | str) -> bytes:
    """A number or an address as an indexed argument stands in a log's topics."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(12) + to_bytes(value)


def to_bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))


def decode_log(contract: str, entry: LogReceipt) -> Event | None:
    """A log of the contract of this name, or None where its ABI has no such event."""
    topics = [bytes(topic) for topic in entry["topics"]]
    abi = _by_topic(contract).get(topics[0]) if topics else None
    cls = EVENTS.get((contract, abi["name"])) if abi else None
    if abi is None or cls is None:
        return None
    unindexed = [canonical_type(p) for p in abi["inputs"] if not p["indexed"]]
    in_data = iter(decode(unindexed, bytes(entry["data"])))
    in_topics = iter(topics[1:])
    words = [
        decode([p["type"]], next(in_topics))[0] if p["indexed"] else next(in_data)
        for p in abi["inputs"]
    ]
    hints = type_hints(cls)
    names = cls.word_names()
    decoded = {n: from_abi(hints[n], word) for n, word in zip(names, words, strict=True)}
    return cls(place=place_of(entry), **decoded)


def place_of(entry: LogReceipt) -> Place:
    """Where a log stands: block, transaction, and number within the block."""
    return Place(
        block=int(entry["blockNumber"]),
        log_index=int(entry["logIndex"]),
        block_hash=bytes(entry["blockHash"]),
        transaction=bytes(entry["transactionHash"]),
    )
