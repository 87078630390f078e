"""Every event of the contracts as a frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar

from worker.chain.types import Claim, Job, Phase, Standing, Terms


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
class BidWithdrawn(MarketEvent):
    task: int
    worker: str


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
    draw_word: int


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
class Held(MarketEvent):
    task: int


@dataclass(frozen=True, kw_only=True)
class Unheld(MarketEvent):
    task: int
    commit_until: int


@dataclass(frozen=True, kw_only=True)
class Settled(MarketEvent):
    task: int
    solver: str
    price: int


@dataclass(frozen=True, kw_only=True)
class Condemned(MarketEvent):
    task: int
    segment: int


@dataclass(frozen=True, kw_only=True)
class Punished(MarketEvent):
    task: int
    solver: str
    awarded: int
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


# --- accusations ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DisputesEvent(Event):
    contract = "Disputes"
    task: int


@dataclass(frozen=True, kw_only=True)
class Accused(DisputesEvent):
    number: int
    accuser: str
    privileged: bool
    bond: int
    seal: bytes


@dataclass(frozen=True, kw_only=True)
class DataDemanded(DisputesEvent):
    """Disputes' `Demanded`: an accusation that demands a leaf of a state."""

    solidity_name = "Demanded"
    number: int
    accuser: str
    privileged: bool
    bond: int
    segment: int
    word: int


@dataclass(frozen=True, kw_only=True)
class Unsealed(DisputesEvent):
    number: int
    segment: int
    finding: bytes


@dataclass(frozen=True, kw_only=True)
class Started(DisputesEvent):
    number: int
    dispute: int


@dataclass(frozen=True, kw_only=True)
class Ended(DisputesEvent):
    number: int
    standing: Standing


@dataclass(frozen=True, kw_only=True)
class FindersPaid(DisputesEvent):
    """Disputes' `Punished`: who has what of the finders' part of a condemned solver's stake."""

    solidity_name = "Punished"
    convictor: str
    to_convictor: int
    verifier: str
    to_verifier: int
    finder: str
    to_finder: int


# --- the court ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CourtEvent(Event):
    contract = "Court"
    dispute: int


@dataclass(frozen=True, kw_only=True)
class Opened(CourtEvent):
    client: str
    claim: Claim
    clock: int


@dataclass(frozen=True, kw_only=True)
class RootsRevealed(CourtEvent):
    lo: int
    hi: int
    roots: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class StepsNarrowed(CourtEvent):
    lo: int
    hi: int


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


# --- verifiers, stakes and the token -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Offered(Event):
    contract = "Verifiers"
    verifier: str
    units: int


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
class Awarded(StakesEvent):
    locker: str
    to: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Swept(Event):
    contract = "Stakes"
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
    *DisputesEvent.__subclasses__(),
    *CourtEvent.__subclasses__(),
    *StakesEvent.__subclasses__(),
    Swept,
    Offered,
    Transfer,
    Approval,
)
EVENTS = {(cls.contract, cls.solidity_name or cls.__name__): cls for cls in _ALL}
