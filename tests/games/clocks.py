"""A world in which computing, transactions and outages take time on the chain's clock."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from tests.games.players import accuse, at_max_price
from tests.games.world import FEE, PRICE, World, small_training
from worker.chain.events import ChildrenRevealed, CourtEvent, Posted, RootsRevealed
from worker.chain.types import Job, Phase, Status, Terms
from worker.dispute.known import RevealedTree
from worker.jobs import Computation
from worker.roles import Desk, Keeper, Role, Solver

OPEN = 7_200  # seconds for unsealing
HOUR = 3_600
LONG = 10**7  # seconds, for what is not about time


@dataclass(frozen=True)
class Pace:
    """What an honest party's acts take, in seconds. outage: the node is gone for so long, once,
    before the transaction of this number since its dispute may have begun. censored: every so many
    transactions one is kept out of the chain for `late` seconds."""

    step: int
    transaction: int
    outage: int = 0
    outage_at: int = 0
    censored: int = 0
    late: int = 60


class Slow:
    """One party of a world whose time passes: all others are as quick as they like."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, role: str, pace: Pace) -> None:
        self.world = World(parameters={"openTime": OPEN, "minClock": 60})
        self.chain, self.pace, self.role = self.world.chain, pace, role
        self.me = self.world.people[role]
        self.begun = -1  # transactions of the party since time counts
        clock = SimpleNamespace(perf_counter=lambda: float(self.chain.time))
        for module in ("measure", "computation"):
            monkeypatch.setattr(sys.modules[f"worker.jobs.{module}"], "time", clock)
        self._plain = self.chain.send
        monkeypatch.setattr(self.chain, "send", self._send)

    def _send(self, sender: str, to: str, data: bytes, label: str) -> Any:
        if sender == self.me and self.begun >= 0:
            self.chain.time += self.pace.transaction - 1
            if self.pace.outage and self.begun == self.pace.outage_at:
                self.chain.time += self.pace.outage
            if self.pace.censored and self.begun % self.pace.censored == 0:
                self.chain.time += self.pace.late
            self.begun += 1
        return self._plain(sender, to, data, label)

    def desk(self, computation: type[Computation] = Computation, **changes: Any) -> Desk:
        """The party's, on a machine on which each step takes its time."""
        chain, pace = self.chain, self.pace

        class Slowly(computation):  # type: ignore[misc, valid-type]
            def advance(self, state: Any, step: int) -> Any:
                chain.time += pace.step
                return super().advance(state, step)

            def walk(self, *about: Any, **named: Any) -> Any:
                chain.time += pace.step
                return super().walk(*about, **named)

        given = {"computation_of": Slowly, "move_seconds": lambda: float(pace.transaction)}
        return self.world.desk(self.role, **given | changes)

    def post(self, job: Job, clock: int) -> int:
        now = self.chain.time
        terms = Terms(PRICE, FEE, now + LONG, now + 2 * LONG, job.segments, clock)
        return self.world.desks["requester"].market.post(job, terms).one(Posted).task

    def committed(self, job: Job, clock: int, desk: Desk) -> Solver | None:
        """The task's solver, all committed and its verifier drawn; None where it did not bid."""
        number, solver = self.post(job, clock), Solver(desk, at_max_price)
        solver.bids.tick()
        if not desk.market.task(number).has_solver:
            return None
        self.chain.mine(seconds=LONG)
        keeper = Keeper(self.world.desks["outsider"])
        self.world.play(keeper)
        while self.world.task(number).status == Status.ASSIGNED:
            assert solver.tick()
        self.chain.mine(blocks=3)
        self.world.play(keeper)
        assert self.world.task(number).status == Status.VERIFYING
        return solver

    def to_the_end(self, *roles: Role, jump: int, rounds: int = 10_000) -> None:
        """Until the task is over and nobody has anything to do. Where nobody acts time passes."""
        clerk = Keeper(self.world.desks["requester"])
        for _ in range(rounds):
            if any([*(role.tick() for role in roles), clerk.tick()]):
                continue
            queue = self.world.desks["outsider"].disputes.queue(0)
            if self.world.task(0).status.is_over and not queue.waits:
                return
            self.chain.mine(seconds=jump)
        raise AssertionError("it does not end")


class Walker:
    """Accuses a segment, knows nothing and computes nothing: it goes where most is to be opened,
    for as long as it has a move, or from the first question on leaves."""

    name = "walker"

    def __init__(self, desk: Desk, segment: int, stays: bool = True) -> None:
        self.desk, self.stays = desk, stays
        self.place = accuse(desk, 0, segment)

    def tick(self) -> bool:
        queue = self.desk.disputes.queue(0)
        if not self.stays or queue.running - 1 != self.place:
            return False
        dispute, court = queue.dispute, self.desk.court
        d = court.dispute(dispute)
        if d.solver_to_move or d.phase == Phase.PROOF:
            return False
        events = court.events(dispute)
        if d.phase == Phase.STEPS:
            court.descend_steps(dispute, _last(events, RootsRevealed).roots, 0)
            return True
        children = _last(events, ChildrenRevealed).children
        levels = min(court.arity_bits(), d.level)
        first, child = d.index << levels, 0
        if d.phase == Phase.TRACE and d.level <= levels:
            nodes = small_training()[0].nodes
            child = max(range(len(children)), key=lambda k: nodes[first + k].count)
        tree = RevealedTree(d.size)
        tree.add(d.level, d.index, levels, children)
        path = tree.between(d.level - levels, first + child, levels)
        court.descend(dispute, child, children[child], path)
        return True


def _last(events: list[CourtEvent], kind: type) -> Any:
    return next(event for event in reversed(events) if isinstance(event, kind))
