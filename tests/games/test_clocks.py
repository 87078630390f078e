"""A right answer comes in time: games in which computing, transactions and outages take time."""

from __future__ import annotations

import sys
from itertools import product

import pytest

from tests.games.clocks import HOUR, Pace, Slow, Walker
from tests.games.players import at_max_price, decoded, settle_all, verdicts
from tests.games.test_disappearing import wrong_weight
from tests.games.world import FEE, PRICE
from tests.revm import Deployed
from worker.chain.types import Status
from worker.program import Program
from worker.roles import Keeper, Solver, Verifier

computing = sys.modules["worker.jobs.computation"]
BOND = Deployed.DISPUTES["bond"]


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


# step, transaction, steps of a segment, clock: of each, whether half an hour more would do too
LENGTHS = (1, 60, 600)
TRANSACTIONS = (1, 12, 60)
SEGMENTS = (1, 5)
CLOCKS = (300, 5_400, 21_600)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_solver_that_took_the_task_never_loses_on_time(monkeypatch, clock):
    """Protects honest solvers: whatever a step and a transaction take, a task that was bid for is
    answered for in time, to the last leaf, and one that could not be is not bid for."""
    took, refused = 0, 0
    for step, transaction, steps in product(LENGTHS, TRANSACTIONS, SEGMENTS):
        slow = Slow(monkeypatch, "solver", Pace(step, transaction))
        solver = slow.committed(slow.world.job(5, steps), clock, slow.desk())
        if solver is None:
            refused += 1
            continue
        took += 1
        slow.world.play(Verifier(slow.world.desks["verifier"]))
        slow.begun = 0
        walker = Walker(slow.world.desks["outsider"], 0)
        slow.to_the_end(solver, walker, jump=clock + 1)
        assert verdicts(slow.world) == ["time"]
        assert settle_all(slow.world)["solver"] == PRICE + BOND, (step, transaction, steps)
    assert took and (refused or clock == CLOCKS[-1])


@pytest.mark.parametrize("outage_at", range(5))
def test_a_node_that_is_gone_for_an_hour_costs_nobody_a_dispute(monkeypatch, outage_at):
    """Protects honest solvers: three quarters of the clock are left for what nobody can foresee:
    the node is away for an hour at any move, and every second move is censored for five minutes."""
    pace = Pace(60, 12, HOUR, outage_at, censored=2, late=300)
    slow = Slow(monkeypatch, "solver", pace)
    solver = slow.committed(slow.world.job(5, 5), 4 * HOUR, slow.desk())
    assert solver is not None
    slow.world.play(Verifier(slow.world.desks["verifier"]))
    slow.begun = 0
    slow.to_the_end(solver, Walker(slow.world.desks["outsider"], 0), jump=4 * HOUR + 1)
    assert slow.begun > outage_at, "it was gone while a dispute ran"
    assert settle_all(slow.world)["solver"] == PRICE + BOND


@pytest.mark.parametrize("accusers", [1, 30])
def test_many_at_once_are_heard_one_by_one(monkeypatch, accusers):
    """Protects honest solvers: as many disputes as anyone pays for, played to the last leaf, each
    with a whole clock; and what they cost whoever queues, of which the solver has `bond` each."""
    slow = Slow(monkeypatch, "solver", Pace(60, 12))
    solver = slow.committed(slow.world.job(5, 5), 5_400, slow.desk())
    assert solver is not None
    slow.world.play(Verifier(slow.world.desks["verifier"]))
    slow.begun = 0
    walkers = [Walker(slow.world.desks["outsider"], 0) for _ in range(accusers)]
    slow.to_the_end(solver, *walkers, jump=5_401)
    assert verdicts(slow.world) == ["time"] * accusers
    gains = settle_all(slow.world)
    assert gains["solver"] == PRICE + accusers * BOND
    assert gains["outsider"] == -BOND * accusers * (accusers + 1) // 2


def test_a_queue_of_friends_costs_the_square_of_what_it_delays(monkeypatch):
    """Protects settlements: 300 friends of a solver, or its enemies, that file at once delay it by
    300 clocks, for b k (k + 1) / 2, of which b k (k - 1) / 2 burns. No answer needs a replay."""
    accusers, clock = 300, 5_400
    monkeypatch.setattr(computing, "MARKING", float("inf"))
    slow = Slow(monkeypatch, "solver", Pace(60, 12))
    solver = slow.committed(slow.world.job(5, 5), clock, slow.desk())
    assert solver is not None
    slow.world.play(Verifier(slow.world.desks["verifier"]))
    friends = [Walker(slow.world.desks["outsider"], 0, stays=False) for _ in range(accusers)]
    began = slow.chain.time
    slow.begun = 0
    slow.to_the_end(solver, friends[0], jump=clock + 1)
    assert slow.world.task(0).status == Status.SETTLED
    delay = slow.chain.time - began
    assert accusers * clock < delay < accusers * (clock + 200)
    burned = slow.world.desks["outsider"].stakes.burned()
    assert burned == BOND * accusers * (accusers - 1) // 2
    gains = settle_all(slow.world)
    assert gains["outsider"] == -BOND * accusers * (accusers + 1) // 2
    assert gains["solver"] == PRICE + accusers * BOND


def test_the_deadline_of_a_solver_moves_by_what_it_was_held(monkeypatch):
    """Protects honest solvers: whoever accuses it while it works takes none of its time."""
    slow = Slow(monkeypatch, "solver", Pace(60, 12))
    world, clock = slow.world, 5_400
    job = world.job(10, 5)
    number = slow.post(job, clock)
    solver = Solver(slow.desk(), at_max_price)
    assert solver.bids.tick()
    slow.chain.mine(seconds=10**7)
    world.play(Keeper(world.desks["outsider"]))
    assert solver.segments.tick() and world.task(number).committed == 1
    left = world.task(number).commit_until - slow.chain.time
    began = slow.chain.time
    walkers = [Walker(world.desks["outsider"], 0, stays=False) for _ in range(5)]
    clerk = Keeper(world.desks["requester"])
    while world.task(number).held:
        if not (solver.answers.tick() or clerk.tick()):
            slow.chain.mine(seconds=clock + 1)
    held = slow.chain.time - began
    assert held > len(walkers) * clock
    assert abs(world.task(number).commit_until - slow.chain.time - left) <= 10
    world.play(solver)
    assert world.task(number).status == Status.COMMITTED


# --- whoever accuses ------------------------------------------------------------------------------


def watcher(slow: Slow, volunteer: bool) -> Verifier:
    return Verifier(slow.desk(), volunteer=volunteer)


@pytest.mark.parametrize("volunteer", [False, True])
@pytest.mark.parametrize("clock", CLOCKS)
def test_who_serves_a_task_convicts_in_time(monkeypatch, clock, volunteer):
    """Protects verifiers and open accusers: whatever steps and transactions take them, and with
    friends of the cheat before them in the queue, whom they accuse is convicted, or they have not
    accused: they are never out of pocket."""
    convicted = 0
    for step, transaction, steps in product(LENGTHS, TRANSACTIONS, SEGMENTS):
        role = "outsider" if volunteer else "verifier"
        slow = Slow(monkeypatch, role, Pace(step, transaction))
        world = slow.world
        fast = world.desk("solver", computation_of=wrong_weight())
        solver = slow.committed(world.job(6, steps), clock, fast)
        assert solver is not None, "a cheat takes any task"
        friends = [Walker(world.desks["requester"], 0, stays=False) for _ in range(3)]
        slow.begun = 0
        honest = watcher(slow, volunteer)
        slow.to_the_end(honest, solver, friends[0], jump=clock + 1)
        gains = settle_all(world)
        if world.task(0).status == Status.CONDEMNED:
            convicted += 1
            assert gains[role] > 0 and gains["solver"] < -PRICE
        else:
            assert world.desks["outsider"].disputes.queue(0).filed == 3, (step, transaction)
            assert -FEE <= gains[role] <= 0, "silent, for it could not have played a dispute"
    assert convicted == {300: 3, 5_400: 14, 21_600: 18}[clock], "of 18"


@pytest.mark.parametrize("volunteer", [False, True])
@pytest.mark.parametrize("outage_at", range(7))
def test_an_hour_without_a_node_leaves_an_accuser_its_case(monkeypatch, outage_at, volunteer):
    """Protects whoever is right: filed before the hour it is unsealed after it, and its own clock
    and the window bear it too."""
    role = "outsider" if volunteer else "verifier"
    slow = Slow(monkeypatch, role, Pace(60, 12, HOUR, outage_at, censored=3, late=120))
    world = slow.world
    solver = slow.committed(
        world.job(6, 5), 4 * HOUR, world.desk("solver", computation_of=wrong_weight())
    )
    slow.begun = 0
    slow.to_the_end(watcher(slow, volunteer), solver, jump=4 * HOUR + 1)
    assert world.task(0).status == Status.CONDEMNED and slow.begun > outage_at
    assert settle_all(world)[role] > 0


def test_the_first_answer_of_either_side_needs_no_step_again(monkeypatch):
    """Protects clocks: the roots that a dispute asks for first are known from when the segment was
    computed; only where it goes on are steps computed, and those once."""
    monkeypatch.setattr(computing, "MARKING", float("inf"))
    slow = Slow(monkeypatch, "solver", Pace(60, 1))
    solver = slow.committed(slow.world.job(20, 20), 21_600, slow.desk())
    assert solver is not None
    slow.world.play(Verifier(slow.world.desks["verifier"]))
    walker = Walker(slow.world.desks["outsider"], 0)
    keeper_desk = slow.world.desks["requester"]
    keeper_desk.disputes.start(0, keeper_desk.job(0))
    before = slow.chain.time
    assert solver.answers.tick()
    assert slow.chain.time - before < 60, "no step was computed"
    assert walker.tick()
    before = slow.chain.time
    assert solver.answers.tick()
    assert slow.chain.time - before < 4 * 60, "the trace of the step, which is the first"
