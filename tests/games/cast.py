"""Who takes part in a random game, and what they think of each other's work."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from web3.exceptions import ContractLogicError

from tests.games.sides import Accusing, Answering, Shifty
from tests.games.transcripts import HONEST, commitment, fault
from tests.revm import Deployed
from worker.chain.types import Segment

GARBAGE = b"\x01" * 32  # what nobody knows a preimage of


class Recorded:
    """Remembers every transaction, those that were refused too: time, sender, to, data, logs; and
    the second of each block with one."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain
        self.history: list[tuple[int, str, str, bytes, list[Any] | None]] = []
        self.seconds: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def send(self, sender: str, to: str, data: bytes, label: str) -> Any:
        time = self._chain.time + 1
        try:
            receipt = self._chain.send(sender, to, data, label)
        except ContractLogicError:
            self.history.append((time, sender, to, data, None))
            raise
        self.history.append((time, sender, to, data, receipt["logs"]))
        self.seconds[receipt["blockNumber"]] = time
        return receipt


@dataclass
class Assignment:
    """A task, and what its people are like."""

    shape: int
    solver: int
    lie: int
    garbage: tuple[int, bool] | None  # a segment with roots of nothing: of its journal, or state
    temper: str  # of a cheat, accused: "stands" by its lie, "shifty", or "gone"
    watcher: int | None  # accuses the first wrong segment as soon as it is committed
    vigilance: str  # of whoever is drawn: "honest", "silent", or "yes" to everything
    clock: int = Deployed.CLOCK

    @property
    def is_honest(self) -> bool:
        return self.lie == HONEST and self.garbage is None

    def committed(self, segment: int, owner: str) -> Segment:
        right = commitment(self.shape, self.lie, segment, owner)
        if self.garbage is None or self.garbage[0] != segment:
            return right
        of_journal = self.garbage[1]
        return Segment(right.state, GARBAGE) if of_journal else Segment(GARBAGE, right.journal)

    def is_known(self, segment: int) -> bool:
        """Whether the state that the segment starts from can be had."""
        return self.garbage is None or self.garbage[1] or segment <= self.garbage[0]

    def is_wrong(self, segment: int) -> bool:
        """Whether an honest accuser has something to prove in this segment."""
        if not self.is_known(segment):
            return False
        found = fault(self.shape, self.lie, segment) != (False, None)
        return found or (self.garbage is not None and self.garbage[0] == segment)


@dataclass
class Quarrel:
    """An accusation, and who plays its dispute."""

    task: int
    number: int
    segment: int
    accuser: int
    believed: int | None  # None of a demand
    is_righteous: bool  # an honest accuser that is right
    finding: bytes
    dispute: int | None = None  # None until it is heard
    accused: Answering | None = None
    shifty: Shifty | None = None
    player: Accusing | None = None  # the accuser's
    stuck: set[bool] = field(default_factory=set)  # sides without a move: True is the solver's

    @property
    def salt(self) -> bytes:
        return sha256(f"{self.task} {self.accuser} {self.segment}".encode()).digest()
