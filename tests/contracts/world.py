"""Stakes and market with a stub court on a native EVM: thousands of calls a second."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

import pyrevm
from eth_utils import to_checksum_address

from tests import evm
from tests.contracts.conftest import (
    BOND,
    BURNED,
    CLOCK,
    DRAW_DELAY,
    DRAW_TIME,
    FINDER_BPS,
    OPEN_TIME,
    PARAMETERS,
    UNBONDING,
    UNIT,
)

PANIC = bytes.fromhex("4e487b71")
OPEN, ASSIGNED, COMMITTED, VERIFYING, SETTLED, CONDEMNED, EXPIRED, CANCELLED = range(1, 9)
LIVE = (OPEN, ASSIGNED, COMMITTED, VERIFYING)
SEALED, WAITING, RUNNING, CONVICTING, LOST, LAPSED, MOOT = range(1, 8)
UNDECIDED = (SEALED, WAITING, RUNNING)


class Task(NamedTuple):
    """`IMarket.Task`, in its order."""

    requester: str
    status: int
    segments: int
    committed: int
    held: bool
    checks: int
    maxPrice: int  # noqa: N815
    verifierFee: int  # noqa: N815
    price: int
    solverStake: int  # noqa: N815
    solver: str
    bidUntil: int  # noqa: N815
    withdrawUntil: int  # noqa: N815
    commitUntil: int  # noqa: N815
    windowEnds: int  # noqa: N815
    drawWord: int  # noqa: N815
    armedBlock: int  # noqa: N815
    drawUntil: int  # noqa: N815
    verifier: str
    attested: bool
    job: bytes
    checked: int
    clock: int


class Accusation(NamedTuple):
    """`IDisputes.Accusation`, in its order."""

    accuser: str
    filedAt: int  # noqa: N815
    committed: int
    segment: int
    standing: int
    privileged: bool
    isDemand: bool  # noqa: N815
    bond: int
    finding: bytes


class Queue(NamedTuple):
    """`IDisputes.Queue`, in its order."""

    filed: int
    plain: int
    undecided: int
    head: int
    privileged: int
    running: int
    convicting: int
    dispute: int
    convictedAt: int  # noqa: N815
    punished: bool


def address_of(name: str) -> str:
    return "0x" + sha256(name.encode()).hexdigest()[:40]


class World:
    """Every call is a transaction in a block of its own, a second after the last."""

    WEALTH = 10**9

    def __init__(self, people: int, token: str = "TestToken") -> None:
        self.evm = pyrevm.EVM(gas_limit=evm.GAS, spec_id="CANCUN")
        self.people = [address_of(f"person {i}") for i in range(people)]
        self.number, self.time = 1_000, 1_700_000_000
        self.token = self._deploy(token)
        self.stakes = self._deploy("Stakes", self.token.address, UNBONDING)
        self.court = self._deploy("StubCourt")
        self.randomness = self._deploy("StubRandomness", DRAW_DELAY)
        parts = [part.address for part in (self.token, self.stakes, self.randomness)]
        market, disputes = (evm.address_after(self.evm, n) for n in (1, 2))
        self.verifiers = self._deploy("Verifiers", market, self.stakes.address, UNIT, DRAW_TIME)
        named = (*parts, self.verifiers.address, disputes)
        self.market = self._deploy("Market", (*named, *PARAMETERS.values()))
        known = (self.market.address, self.court.address)
        self.disputes = self._deploy("Disputes", *known, OPEN_TIME, FINDER_BPS, BOND)
        for person in self.people:
            self.act(person, self.token, "mint", person, self.WEALTH)
            for spender in (self.stakes, self.market):
                self.act(person, self.token, "approve", spender.address, self.WEALTH)

    def _deploy(self, name: str, *arguments: Any) -> evm.Contract:
        return evm.deploy(name, *arguments, evm=self.evm)

    def pass_time(self, seconds: int = 0, blocks: int = 0) -> None:
        self.time += seconds
        self.number += blocks

    def reach(self, time: int) -> None:
        """The next transaction happens at `time`, or now if that is past."""
        self.time = max(self.time, time - 1)

    def act(self, caller: str, contract: evm.Contract, name: str, *arguments: Any) -> Any:
        """A transaction; `evm.Reverted`, but never a panic, if it is refused."""
        number, time = self.number + 1, self.time + 1
        self.evm.set_block_env(pyrevm.BlockEnv(number=number, timestamp=time, gas_limit=evm.GAS))
        try:
            result = contract.call(name, *arguments, caller=caller)
        except evm.Reverted as error:
            if error.data[:4] == PANIC or not error.data:
                raise AssertionError(f"{name}{arguments} panics: {error.data.hex()}") from error
            raise
        self.number, self.time = number, time
        return result

    def staked(self, person: str, amount: int) -> None:
        """A worker with this free stake."""
        self.act(person, self.stakes, "deposit", amount)
        for locker in (self.market, self.verifiers, self.disputes):
            self.act(person, self.stakes, "approveLocker", locker.address, True)

    def stands(self, person: str, units: int = 1) -> None:
        """Offers units to verify."""
        self.act(person, self.verifiers, "offer", units)

    def job(self, segments: int = 1, seed: int = 7) -> tuple[Any, ...]:
        return (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, 2, 1_000, seed, segments * 10, 10)

    def terms(self, price: int, fee: int, checks: int, bid: int, commit: int) -> tuple[int, ...]:
        start = self.time + 1
        return (price, fee, start + bid, start + bid + commit, checks, CLOCK)

    def task(self, number: int) -> Task:
        task = Task(*self.market.call("task", number))
        return task._replace(
            requester=to_checksum_address(task.requester),
            solver=to_checksum_address(task.solver),
            verifier=to_checksum_address(task.verifier),
        )

    def tasks(self) -> list[Task]:
        return [self.task(i) for i in range(self.market.call("tasks"))]

    def accusation(self, task: int, number: int) -> Accusation:
        return Accusation(*self.disputes.call("accusation", task, number))

    def queue(self, task: int) -> Queue:
        return Queue(*self.disputes.call("queue", task))

    def unpunished(self) -> set[int]:
        """The condemned tasks whose money nobody has moved yet."""
        return {
            number
            for number, task in enumerate(self.tasks())
            if task.status == CONDEMNED and not self.queue(number).punished
        }

    def balance(self, holder: str) -> int:
        return self.token.call("balanceOf", holder)

    def credit(self, account: str) -> int:
        return self.market.call("credit", account)

    def stake(self, person: str) -> tuple[int, int, int, int, int]:
        """Free, locked by the market, for units, as bonds, unbonding."""
        return (
            self.stakes.call("free", person),
            self.stakes.call("locked", person, self.market.address),
            self.stakes.call("locked", person, self.verifiers.address),
            self.stakes.call("locked", person, self.disputes.address),
            self.stakes.call("unbonding", person)[0],
        )

    def burned(self) -> int:
        """What nobody has, sent off or not."""
        return self.balance(BURNED) + self.stakes.call("burned")
