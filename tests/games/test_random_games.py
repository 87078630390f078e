"""Random tables: whoever sits there and whatever they do, the promises of the market hold.

Every seed is one game; ASSAY_GAMES says how many (by default some dozens, for a minute), and
ASSAY_FIRST_GAME with which to begin.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace

import pytest
import torch

from tests.games.players import (
    Liar,
    Mortal,
    Quitter,
    at_max_price,
    decoded,
    settle_all,
    verdicts,
)
from tests.games.world import PRICE, World, small_training
from tests.revm import Deployed
from worker.chain.types import Phase, Status
from worker.commit import state_root, tensor_item
from worker.jobs import Computation
from worker.program import Program
from worker.roles import Keeper, Role, Solver, Verifier, load_journal, load_state
from worker.roles.base import ComputationOf
from worker.simulation import WrongElement, WrongReport, WrongState

BOND = Deployed.DISPUTES["bond"]
GAMES = int(os.environ.get("ASSAY_GAMES", "60"))
FIRST = int(os.environ.get("ASSAY_FIRST_GAME", "0"))
SOLVERS_PHASES = [p for p in Phase if Phase.NONE < p < Phase.PROOF]
ROUNDS = 1_000  # in which a solver has committed, or its clock has run out
IDLE = 4  # rounds in which nobody acts, before time is let go by
SLOWEST = 45  # seconds that an honest party takes for a round, of a clock of an hour


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    """All games read the same program."""
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


@dataclass
class Table:
    """One game: who plays, and how."""

    rng: random.Random
    world: World = field(default_factory=World)
    cheat: ComputationOf | None = None
    told: str = ""

    def __post_init__(self) -> None:
        rng = self.rng
        segment_steps = rng.randint(1, 6)
        steps = rng.randint(segment_steps, 8)
        self.job = replace(self.world.job(steps, segment_steps), seed=rng.getrandbits(64))
        if rng.random() < 0.65:
            self.cheat, self.told = self.a_lie()

    def a_lie(self) -> tuple[ComputationOf, str]:
        """Any way to be wrong, at any step, and what it is."""
        rng, (program, state, data) = self.rng, small_training()
        step = rng.randrange(self.job.steps)
        kind = rng.choice(["element"] * 3 + ["state", "report"])
        if kind == "report":
            return WrongReport.at(step=step), f"{kind} of {step}"
        if kind == "state":
            tensor = rng.randrange(len(state))
            element = rng.randrange(state[tensor].numel())
            return WrongState.at(step=step, tensor=tensor, element=element), f"{kind} of {step}"
        while True:
            node = rng.randrange(len(program.nodes))
            tampered = {
                "node": node,
                "element": rng.randrange(program.nodes[node].count),
                "bit": rng.randrange(31),
            }
            trial = WrongElement(self.job, program, data, step=0, **tampered)
            try:
                dict(trial.walk(state, 0))
            except (ValueError, IndexError):
                continue  # what it would make of it, nothing can be computed from
            return WrongElement.at(step=step, **tampered), f"{program.nodes[node].name} of {step}"

    def solver(self) -> Role:
        rng, world, cheat = self.rng, self.world, self.cheat
        desk = world.desk("solver", **({"computation_of": cheat} if cheat else {}))
        if cheat and rng.random() < 0.2:
            return Quitter(desk, {rng.choice(SOLVERS_PHASES)})
        if not cheat and rng.random() < 0.2:
            return Mortal(lambda: Solver(world.desk("solver"), at_max_price))
        return Solver(desk, at_max_price)

    def liar(self, role: str) -> Liar:
        rng = self.rng
        segment = rng.randrange(self.job.segments)
        believed, _ = self.a_lie()
        gone = {p for p in Phase if rng.random() < 0.1}
        step = rng.choice([None, rng.randrange(self.job.steps)])
        return Liar(self.world.desks[role], segment, believed, step, gone)

    def wrong_segments(self) -> list[int]:
        """Which committed segments do not follow from the state that they start from."""
        market = self.world.desks["outsider"].market
        program, state, data = small_training()
        computation, found = Computation(self.job, program, data), []
        for segment in range(market.task(0).committed):
            result = computation.run_segment(segment, state)
            committed = market.segment(0, segment)
            journal = load_journal(self.world.store, committed.journal)
            reports = [tuple(tensor_item(t) for t in report) for report in result.reports]
            if state_root(result.state) != committed.state or reports != [
                e.items for e in journal.entries
            ]:
                found.append(segment)
            state = load_state(self.world.store, program, committed.state)
        return found

    def play(self, roles: list[tuple[Role, float]]) -> None:
        """Roles act in any order, each with its chance, until the task and its queue are over.
        Time goes by, and where nobody has acted for a while a lot of it."""
        desk, chain, idle = self.world.desks["outsider"], self.world.chain, 0
        for _ in range(ROUNDS):
            self.rng.shuffle(roles)
            sent = len(chain.sent)
            for role, eagerness in roles:
                if self.rng.random() < eagerness:
                    role.tick()
            idle = 0 if len(chain.sent) > sent else idle + 1
            waits = desk.disputes.queue(0).waits or not desk.market.task(0).status.is_over
            if idle and not waits:
                return
            long = self.world.system.CLOCK + 1
            chain.mine(seconds=long if idle == IDLE else self.rng.randint(1, SLOWEST))
            idle %= IDLE
        raise AssertionError("it does not end")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + GAMES))
def test_the_promises_hold_in_any_game(seed):
    """Six promises, whoever plays.

    1. Tokens are conserved (`settle_all` counts every one).
    2. An honest solver never loses stake.
    3. A cheat always does when one honest accuser plays, wherever it stands in the queue.
    4. Every dispute ends within the sum of its clocks (`settle_all` finds none open).
    5. No state holds funds that nobody can move (`settle_all` takes the last token out).
    6. The verdict does not depend on the order of other disputes: roles act in any order, and early
       and late liars with them; `test_adversaries` plays the same accusations in every order.
    """
    table = Table(random.Random(seed))
    world, rng = table.world, table.rng
    torch.manual_seed(seed)
    world.post(table.job, checks=rng.randint(1, table.job.segments))
    solver = table.solver()
    assert solver.tick()
    world.chain.mine(seconds=101)
    world.play(Keeper(world.desks["outsider"]))

    early = [table.liar("outsider")] if rng.random() < 0.5 else []
    late = [table.liar("requester")] if rng.random() < 0.5 else []
    clerk = Keeper(world.desks["outsider"])
    for _ in range(ROUNDS):
        if world.task(0).status != Status.ASSIGNED:
            break
        solver.tick()
        clerk.tick()  # a solver that left a dispute commits no more: its clock must end the task
        for liar in early:
            liar.tick()
        world.chain.mine(seconds=rng.randint(1, SLOWEST))
    world.chain.mine(blocks=3)
    if world.task(0).status != Status.CONDEMNED:
        world.play(Keeper(world.desks["requester"]))
    wrong = table.wrong_segments()
    assert table.cheat or not wrong

    watched = rng.random() < 0.8
    roles: list[tuple[Role, float]] = [(solver, 1.0), (Keeper(world.desks["requester"]), 0.5)]
    roles += [(liar, rng.choice([0.2, 1.0])) for liar in early + late]
    if watched:
        forgetful = rng.random() < 0.3
        make = lambda: Verifier(world.desk("verifier"), volunteer=True)  # noqa: E731
        roles.append((Mortal(make) if forgetful else make(), 1.0))
    table.play(roles)
    gains = settle_all(world)

    status, about = world.task(0).status, f"{table.told}, wrong {wrong}, {verdicts(world)}"
    assert status in (Status.SETTLED, Status.CONDEMNED), about
    # a lie that is rounded away before its segment ends harms nobody, and may go either way
    if table.cheat is None:
        assert status == Status.SETTLED, f"an honest solver was condemned: {about}"
        heard = world.desks["outsider"].court.disputes()
        assert gains["solver"] == PRICE + heard * BOND, about
    elif wrong and watched:
        assert status == Status.CONDEMNED, f"a cheat got away: {about}"
        assert gains["solver"] < -PRICE, about
        assert gains["verifier"] >= 0, about
