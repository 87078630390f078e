"""The words that contracts and Python share: one frozen dataclass for each Solidity struct.

Fields stand in the order of the struct, and a test holds them to the ABI. Addresses are checksummed
strings, `bytes32` is `bytes`, a dynamic array is a tuple. A program's records (`Header`, `Node`,
`Input`) are `worker.program.records`'s: whatever takes one here takes anything with a `to_abi`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum, IntEnum
from typing import Any, Protocol, Self, get_args, get_origin, get_type_hints

from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from worker.chain.abi import canonical_type, find_struct

ZERO_ADDRESS = "0x" + "00" * 20


class ToAbi(Protocol):
    """A value that a contract function takes as a struct."""

    def to_abi(self) -> tuple: ...


class Status(IntEnum):
    """Where a task stands (`IMarket.Status`)."""

    NONE = 0
    OPEN = 1
    ASSIGNED = 2
    COMMITTED = 3
    VERIFYING = 4
    SETTLED = 5
    CONDEMNED = 6
    EXPIRED = 7
    CANCELLED = 8

    @property
    def is_over(self) -> bool:
        """Nothing will happen to the task any more."""
        return self >= Status.SETTLED


class Phase(IntEnum):
    """What is divided in a dispute (`ICourt.Phase`)."""

    NONE = 0
    STEPS = 1
    STEP = 2
    TRACE = 3
    STATE = 4
    REPORTS = 5
    TENSOR = 6
    ELEMENTS = 7
    LEAF = 8
    PROOF = 9
    CLOSED = 10
    DATA = 11

    @property
    def is_running(self) -> bool:
        """Somebody is to move."""
        return self not in (Phase.NONE, Phase.CLOSED)


class Standing(IntEnum):
    """Where an accusation stands (`IDisputes.Standing`)."""

    NONE = 0
    SEALED = 1
    WAITING = 2
    RUNNING = 3
    CONVICTING = 4
    LOST = 5
    LAPSED = 6
    MOOT = 7

    @property
    def is_decided(self) -> bool:
        return self >= Standing.CONVICTING


_HINTS: dict[type, dict[str, Any]] = {}


def type_hints(cls: type) -> dict[str, Any]:
    """`get_type_hints`, which is too slow for every log."""
    if cls not in _HINTS:
        _HINTS[cls] = get_type_hints(cls)
    return _HINTS[cls]


def to_abi(value: Any) -> Any:
    """A field as web3 takes it."""
    if hasattr(value, "to_abi"):
        return value.to_abi()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return tuple(to_abi(part) for part in value)
    return value


def from_abi(hint: Any, value: Any) -> Any:
    """A decoded word as the type `hint`."""
    if get_origin(hint) is tuple:
        return tuple(from_abi(get_args(hint)[0], part) for part in value)
    if hint is str:
        return to_checksum_address(value)
    if hint is bytes:
        return bytes(value)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint.from_abi(value)
    return hint(value)


@dataclass(frozen=True)
class Struct:
    """A Solidity struct: its fields, in its order."""

    def to_abi(self) -> tuple:
        return tuple(to_abi(getattr(self, field.name)) for field in fields(self))

    @classmethod
    def from_abi(cls, values: Any) -> Self:
        """From the tuple (or the mapping by Solidity's names) that web3 decodes."""
        if isinstance(values, dict):
            values = values.values()
        hints = type_hints(cls)
        names = [field.name for field in fields(cls)]
        return cls(*(from_abi(hints[name], v) for name, v in zip(names, values, strict=True)))

    @classmethod
    def abi_type(cls) -> str:
        """The struct's type as signatures and `abi.encode` see it."""
        return canonical_type(find_struct(cls.__name__))

    def encoded(self) -> bytes:
        """`abi.encode(struct)`."""
        return encode([self.abi_type()], [self.to_abi()])

    def hash(self) -> bytes:
        """`keccak256(abi.encode(struct))`: how contracts remember a job or a claim."""
        return keccak(self.encoded())


@dataclass(frozen=True)
class Job(Struct):
    """What is to be computed; only its hash is stored on chain."""

    program: bytes
    state: bytes
    data: bytes
    data_tensors: int
    rows: int
    seed: int
    steps: int
    segment_steps: int

    @property
    def segments(self) -> int:
        return -(-self.steps // self.segment_steps)

    def segment_range(self, segment: int) -> range:
        """The steps of one segment."""
        if not 0 <= segment < self.segments:
            raise ValueError(f"{segment=} is not one of the job's {self.segments} segments")
        first = segment * self.segment_steps
        return range(first, min(first + self.segment_steps, self.steps))


@dataclass(frozen=True)
class Claim(Struct):
    """What a solver is bound to in one segment, as a dispute sees it."""

    solver: str
    challenger: str
    program: bytes
    data: bytes
    data_tensors: int
    rows: int
    seed: int
    first_step: int
    last_step: int
    first_state: bytes
    last_state: bytes
    journal: bytes


@dataclass(frozen=True)
class Opening(Struct):
    """Elements of one committed tensor, proven to be at their place in a list of tensors."""

    dtype: int
    count: int
    elements: bytes
    path: tuple[bytes, ...]
    leaves: bytes
    leaves_path: tuple[bytes, ...]


@dataclass(frozen=True)
class Terms(Struct):
    """What a requester offers, and until when."""

    max_price: int
    verifier_fee: int
    bid_until: int
    commit_until: int
    checks: int
    clock: int


@dataclass(frozen=True)
class Task(Struct):
    """A task as the market has it; `IMarket.Task` says what each field means."""

    requester: str
    status: Status
    segments: int
    committed: int
    held: bool
    checks: int
    max_price: int
    verifier_fee: int
    price: int
    solver_stake: int
    solver: str
    bid_until: int
    withdraw_until: int
    commit_until: int
    window_ends: int
    draw_word: int
    armed_block: int
    draw_until: int
    verifier: str
    attested: bool
    job: bytes
    checked: int
    clock: int

    @property
    def has_solver(self) -> bool:
        """There is one, or while it is open a best bid."""
        return self.solver != ZERO_ADDRESS

    def is_checked(self, segment: int) -> bool:
        """The drawn verifier is to recompute this segment."""
        return bool(self.checked >> segment & 1)

    @property
    def checked_segments(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.segments) if self.is_checked(i))

    def due(self, now: int) -> str:
        """The market's call, which anyone may make, that moves the task on; or nothing. A draw has
        to wait for its word besides (`Randomness.stands`).

        now: unix time of the block that the call will stand in.
        """
        match self.status:
            case Status.OPEN if now > self.bid_until:
                return "close"
            case Status.COMMITTED if now > self.draw_until:
                return "" if self.held else "lapse"
            case Status.COMMITTED:
                return "draw"
            case Status.ASSIGNED if now > self.commit_until and not self.held:
                return "expire"
            case Status.VERIFYING if now > self.window_ends and not self.held:
                return "settle"
        return ""


@dataclass(frozen=True)
class Segment(Struct):
    state: bytes
    journal: bytes


@dataclass(frozen=True)
class Accusation(Struct):
    """An accusation as it stands; `IDisputes.Accusation` says what each field is."""

    accuser: str
    filed_at: int
    committed: int
    segment: int
    standing: Standing
    privileged: bool
    is_demand: bool
    bond: int
    finding: bytes

    @property
    def is_sealed(self) -> bool:
        return self.standing == Standing.SEALED


@dataclass(frozen=True)
class Queue(Struct):
    """A task's accusations, counted. A number that may be missing is one more than it says."""

    filed: int
    plain: int
    undecided: int
    head: int
    privileged: int
    running: int
    convicting: int
    dispute: int
    convicted_at: int
    punished: bool

    @property
    def waits(self) -> bool:
        """Something of it is not over: an accusation, or the payment of who found a guilty one."""
        return self.undecided > 0 or (self.convicting > 0 and not self.punished)


@dataclass(frozen=True)
class Parameters(Struct):
    """What a market was deployed with."""

    token: str
    stakes: str
    randomness: str
    verifiers: str
    disputes: str
    min_bid_time: int
    max_bid_time: int
    min_commit_time: int
    min_clock: int
    max_clock: int
    margin_bps: int
    late_penalty_bps: int
    floor_stake: int


@dataclass(frozen=True)
class Dispute(Struct):
    """A dispute as it stands; `ICourt.Dispute` says what each field is."""

    since: int
    phase: Phase
    solver_to_move: bool
    solver_clock: int
    challenger_clock: int
    level: int
    index: int
    size: int
    dtype: int
    accused: Phase
    solver: str
    item: int
    node_count: int
    state_count: int
    challenger: str
    matter: int
    client: str
    count: int
    lo: int
    hi: int
    claim: bytes
    lo_state: bytes
    disputed: bytes
    trace: bytes
    revealed: bytes

    @property
    def mover(self) -> str:
        """Whose clock runs."""
        return self.solver if self.solver_to_move else self.challenger

    def seconds_left(self, now: int) -> int:
        """Of the clock that runs; below zero when anyone may call time."""
        clock = self.solver_clock if self.solver_to_move else self.challenger_clock
        return clock - (now - self.since)
