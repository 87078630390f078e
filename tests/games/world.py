"""A market on a native EVM with workers in it: stories from the first bid to the last payment."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.revm import Deployed, address_of
from worker.chain.events import Posted
from worker.chain.types import Job, Status, Terms
from worker.program import Program, capture_training, fingerprinted, training_state
from worker.roles import Desk, Keeper, Solver, put_job
from worker.store import Store

WEALTH = 10**9
STAKED = 10**6
PRICE, FEE = 1_000, 300
UNITS = 2  # of the verifier
BURNED = "0x000000000000000000000000000000000000dEaD"
ROLES = ("requester", "solver", "verifier", "outsider")


@cache
def small_training() -> tuple[Program, list[Tensor], list[Tensor]]:
    """A perceptron on words, with every kind of node there is, its first state, and a data set.

    Its first layer has more than 128 weights, so that some tensors have several leaves.
    """
    torch.manual_seed(1)
    x = torch.randint(0, 9, (50, 5))
    y = (x[:, 0] > 4).long() + (x[:, 1] > 4).long()
    module = nn.Sequential(
        nn.Embedding(9, 4),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(20, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
    )
    return _training(module, x, y)


@cache
def training_on_floats() -> tuple[Program, list[Tensor], list[Tensor]]:
    """A perceptron on 20 floats a row."""
    torch.manual_seed(1)
    x = torch.randn(50, 20)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return _training(nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3)), x, y)


def _training(
    module: nn.Module, x: Tensor, y: Tensor
) -> tuple[Program, list[Tensor], list[Tensor]]:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    program = fingerprinted(capture_training(module, F.cross_entropy, optimizer, (x[:8], y[:8])))
    return program, training_state(module, optimizer), [x, y]


class World:
    """One market, one store, and the four roles' desks."""

    def __init__(
        self,
        arity_bits: int = 5,
        chain: Any = None,
        parameters: Mapping[str, int] | None = None,
        unit: int = 1,
        **deployed: Any,
    ) -> None:
        """unit: what everyone's tokens and stakes are counted in. deployed: more of `Deployed`."""
        self.system = Deployed(arity_bits, chain=chain, parameters=parameters, **deployed)
        self.chain = self.system.chain
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(f"file://{self.folder.name}")
        self.people = {role: address_of(role) for role in ROLES}
        self.desks = {role: self.desk(role) for role in ROLES}
        for role, address in self.people.items():
            hand = self.system.clients(address)
            hand.token.mint(address, WEALTH * unit)
            hand.token.approve(self.system.market, WEALTH * unit)
            hand.token.approve(self.system.stakes, WEALTH * unit)
            hand.stakes.deposit(STAKED * unit)
            hand.stakes.approve_locker(self.system.disputes)
            if role in ("solver", "verifier"):
                hand.stakes.approve_locker(self.system.market)
            if role == "verifier":
                self.system.stand(address, UNITS)

    def desk(self, role: str, **changes: Any) -> Desk:
        address = self.people[role]
        hand = self.system.clients(address)
        given: dict[str, Any] = {
            "w3": self.chain,
            "account": address,
            "secret": address.encode()[:32],
            "market": hand.market,
            "disputes": hand.disputes,
            "court": hand.court,
            "stakes": hand.stakes,
            "verifiers": hand.verifiers,
            "store": self.store,
        }
        return Desk(**{**given, **changes})

    def job(self, steps: int = 10, segment_steps: int = 4) -> Job:
        program, state, data = small_training()
        root, data_root, state_root = put_job(self.store, program, data, state)
        return Job(root, state_root, data_root, len(data), len(data[0]), 7, steps, segment_steps)

    def post(self, job: Job, checks: int | None = None, clock: int | None = None) -> int:
        """A task that asks for every segment to be checked, unless told otherwise."""
        now = self.chain.time
        count = job.segments if checks is None else checks
        terms = Terms(PRICE, FEE, now + 100, now + 100_000, count, clock or self.system.CLOCK)
        return self.desks["requester"].market.post(job, terms).one(Posted).task

    def task(self, number: int):  # type: ignore[no-untyped-def]
        return self.desks["outsider"].market.task(number)

    def assign(self, job: Job, desk: Desk) -> tuple[int, Solver]:
        """The task, with `desk`'s worker as its solver, and the solver."""
        number = self.post(job)
        solver = Solver(desk, lambda task, *_: task.max_price)
        assert solver.tick()
        self.chain.mine(seconds=101)
        assert Keeper(self.desks["outsider"]).tick()
        assert self.task(number).solver == desk.account
        return number, solver

    def commit(self, job: Job, desk: Desk) -> tuple[int, Solver]:
        """The task with all segments committed, and the verifier drawn."""
        number, solver = self.assign(job, desk)
        while self.task(number).status == Status.ASSIGNED:
            assert solver.tick()
        self.chain.mine(blocks=3)
        assert Keeper(self.desks["outsider"]).tick()
        assert self.task(number).status == Status.VERIFYING
        return number, solver

    def moment(self) -> tuple[Any, int, int, int]:
        """The chain as it is now, for `back_to`."""
        chain = self.chain
        return chain.evm.snapshot(), chain.number, chain.time, len(chain.logs)

    def back_to(self, moment: tuple[Any, int, int, int]) -> None:
        """A reorganisation: what has happened since then has not, and other blocks follow."""
        snapshot, number, time, logs = moment
        self.chain.evm.revert(snapshot)
        self.chain.number, self.chain.time = number, time
        del self.chain.logs[logs:]

    def play(self, *roles: Any, rounds: int = 100) -> int:
        """Lets roles act in turn until none has anything to do; the number of turns."""
        for turn in range(rounds):
            acted = [role.tick() for role in roles]
            if not any(acted):
                return turn
        raise AssertionError(f"still moving after {rounds} rounds")

    def finish(self) -> None:
        """Time passes all deadlines, again where something then waits for another; everyone takes
        what is theirs."""
        for _ in range(4):
            self.chain.mine(seconds=10 * 86_400)
            for desk in self.desks.values():
                self.play(Keeper(desk))

    def wealth(self, role: str) -> int:
        """Tokens, free stake and the stake of the units of a role."""
        me, hand = self.people[role], self.system.clients(self.people[role])
        units = hand.stakes.locked(me, self.system.verifiers)
        return hand.token.balance_of(me) + hand.stakes.free(me) + units

    def all_tokens(self) -> int:
        """Every token, wherever it is."""
        token = self.system.clients(self.people["outsider"]).token
        holders = [*self.people.values(), self.system.market, self.system.stakes, BURNED]
        return sum(token.balance_of(h) for h in holders)
