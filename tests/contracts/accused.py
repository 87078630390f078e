"""A task that people accuse, on a native EVM: the rules of `IDisputes` as a game in which every
call is a transaction a second after the last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from tests import evm
from tests.contracts.conftest import DRAW_DELAY, FEE, OPEN_TIME, PARAMETERS, PRICE
from tests.contracts.world import World

RICH = 10**6
RIGHT, JUNK = b"\x0f" * 32, b"\x66" * 32  # findings
WORK = [(bytes([32 + i]) * 32, bytes([64 + i]) * 32) for i in range(32)]  # each segment's own
STAKE = PRICE * PARAMETERS["marginBps"] // 10_000  # of the solver, where every segment is checked


class Accused(World):
    """segments: of the task; committed: how many are, all where it is None, and then the verifier
    is drawn, unless drawn is False. accusers: how many people have stake to accuse with."""

    def __init__(
        self, segments: int = 2, committed: int | None = None, drawn: bool = True, accusers: int = 4
    ) -> None:
        super().__init__(4 + accusers)
        self.requester, self.solver, self.verifier, self.stranger, *self.accusers = self.people
        for person in (self.solver, self.verifier, *self.accusers):
            self.staked(person, RICH)
        self.stands(self.verifier, 4)
        self.segments = segments
        self.the_job = self.job(segments)
        self.act(
            self.requester, self.market, "post", self.the_job,
            self.terms(PRICE, FEE, segments, 1_000, 5_000),
        )  # fmt: skip
        self.act(self.solver, self.market, "bid", 0, PRICE)
        self.reach(self.task(0).bidUntil + 1)
        self.act(self.stranger, self.market, "close", 0)
        self.commit(segments if committed is None else committed)
        if committed is None and drawn:
            self.draw()
        self._sealed: dict[int, tuple[str, int, bytes, bytes]] = {}

    def commit(self, count: int) -> None:
        first = self.task(0).committed
        if count:
            self.act(
                self.solver, self.market, "commitSegments", 0, first, WORK[first : first + count]
            )

    def draw(self) -> None:
        self.pass_time(blocks=DRAW_DELAY)
        self.act(self.stranger, self.market, "draw", 0)
        assert self.task(0).verifier.lower() == self.verifier

    # --- accusations ---------------------------------------------------------------------------

    def seal(self, who: str, segment: int, finding: bytes, salt: bytes) -> bytes:
        return self.disputes.call("sealOf", 0, segment, finding, who, salt)

    def accuse(self, who: str, segment: int = 0, finding: bytes = RIGHT) -> int:
        """Files a sealed accusation: its number."""
        salt = sha256(f"{who} {len(self._sealed)}".encode()).digest()
        seal = self.seal(who, segment, finding, salt)
        number = self.act(who, self.disputes, "accuse", 0, seal)
        self._sealed[number] = (who, segment, finding, salt)
        return number

    def unseal(self, number: int) -> None:
        who, *what = self._sealed[number]
        self.act(who, self.disputes, "unseal", 0, number, *what)

    def opened(self, who: str, segment: int = 0, finding: bytes = RIGHT) -> int:
        """An accusation that is unsealed at once."""
        number = self.accuse(who, segment, finding)
        self.unseal(number)
        return number

    def start(self, who: str | None = None) -> int:
        return self.act(who or self.stranger, self.disputes, "start", 0, self.the_job)

    def next(self) -> int:
        """Has the court hear the next one: its number."""
        return self.disputes.call("accusationOf", self.start())[1]

    def decide(self, guilty: bool) -> None:
        self.act(self.stranger, self.court, "decide", self.queue(0).dispute, guilty)

    def lapse(self, number: int) -> None:
        self.act(self.stranger, self.disputes, "lapse", 0, number)

    def dismiss(self, number: int) -> None:
        self.act(self.stranger, self.disputes, "dismiss", 0, number)

    def convict(self) -> None:
        """The next one is heard and wins."""
        self.start()
        self.decide(True)

    def punish(self) -> None:
        self.reach(self.queue(0).convictedAt + OPEN_TIME + 1)
        self.act(self.stranger, self.disputes, "punish", 0)

    def seal_over(self, number: int) -> None:
        """The next transaction is the first after the time in which the accusation is unsealed."""
        self.reach(self.accusation(0, number).filedAt + OPEN_TIME + 1)

    def standing(self, number: int) -> int:
        return self.accusation(0, number).standing

    def bond(self, who: str) -> int:
        """What is locked of this account's stake as bonds."""
        return self.stake(who)[3]

    def wealth(self, who: str) -> int:
        return sum(self.stake(who))

    @contextmanager
    def refuses(self, contract: evm.Contract, error: str, *arguments: Any) -> Iterator[None]:
        """The block is refused with this error and moves no stake."""
        before = [self.stake(person) for person in self.people]
        with pytest.raises(evm.Reverted) as refused:
            yield
        assert refused.value.data == contract.error(error, *arguments)
        assert [self.stake(person) for person in self.people] == before
