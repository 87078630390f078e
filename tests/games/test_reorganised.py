"""A chain that is reorganised gives a number to another task, or another dispute: nobody honest is
convicted for having looked at the first one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.games.players import (
    Liar,
    accused,
    at_max_price,
    decoded,
    honest_roots,
    settle_all,
    time_out,
)
from tests.games.test_restart import CHEATS
from tests.games.world import FEE, PRICE, World
from worker.chain.types import Status
from worker.dispute import SolverPlayer
from worker.program import Program
from worker.roles import Keeper, Solver, TaskFailed, Verifier
from worker.roles.base import Renumbered

BOND = 10


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


def jobs(world):
    """Two jobs that differ in their seed alone, and so in every state."""
    one = world.job()
    return one, replace(one, seed=8)


def take(world, job, solver):
    """Posts a job and lets the solver have it."""
    number = world.post(job)
    assert solver.bids.tick()
    world.chain.mine(seconds=101)
    world.play(Keeper(world.desks["outsider"]))
    assert world.task(number).solver == solver.desk.account
    return number


def roots(world, number=0):
    market = world.desks["outsider"].market
    return [market.segment(number, i).state for i in range(market.task(number).committed)]


def test_a_task_that_takes_anothers_number_is_computed_for_itself():
    """Protects a solver's and a verifier's stake: jobs, programs, states ahead, journals and
    findings are those of the job, whatever its number was before."""
    world = World()
    solver, verifier = (
        Solver(world.desks["solver"], at_max_price),
        Verifier(world.desks["verifier"]),
    )
    keeper = Keeper(world.desks["outsider"])
    first, second = jobs(world)
    before = world.moment()
    number = take(world, first, solver)
    world.play(solver)
    world.chain.mine(blocks=3)
    world.play(keeper)
    assert verifier.checks.tick(), "the first job is checked whole, and attested"
    assert roots(world) == honest_roots(world, first)

    world.back_to(before)
    assert take(world, second, solver) == number
    world.play(solver)
    assert roots(world) == honest_roots(world, second)
    world.chain.mine(blocks=3)
    world.play(keeper, solver, verifier)
    assert world.task(number).attested and not world.task(number).held
    gains = settle_all(world)
    assert (gains["solver"], gains["verifier"]) == (PRICE, FEE)


def test_what_was_over_under_a_number_hides_no_task_that_has_it_now():
    """Protects requesters and stakes: a task is seen although another was over before it."""
    world = World()
    solver, keeper = Solver(world.desks["solver"], at_max_price), Keeper(world.desks["outsider"])
    first, second = jobs(world)
    before = world.moment()
    world.post(first)
    world.chain.mine(seconds=101)
    world.play(keeper)
    assert world.task(0).status == Status.CANCELLED
    world.play(solver)
    world.back_to(before)
    assert take(world, second, solver) == 0
    assert solver.segments.tick()


def test_nothing_is_sent_for_a_task_that_was_renumbered_while_it_was_computed():
    """Protects a solver's stake: the chain is read once more before a commitment, which goes to no
    other task than the one it was computed for; the next tick computes what is there."""
    world = World()
    first, second = jobs(world)
    before = world.moment()
    pending = [True]

    def reorganise(*progress):
        if pending:
            pending.clear()
            world.back_to(before)
            world.post(second)
            desk = world.desks["solver"]
            desk.market.bid(0, PRICE)
            world.chain.mine(seconds=101)
            Keeper(world.desks["outsider"]).tick()

    solver = Solver(world.desk("solver", on_progress=reorganise), at_max_price)
    take(world, first, solver)
    sent = len(world.chain.sent)
    assert not solver.segments.tick()
    assert "market.commitSegment" not in [s.label for s in world.chain.sent[sent:]]
    world.play(solver)
    assert roots(world) == honest_roots(world, second)


def test_a_verifier_attests_to_nothing_that_was_committed_since_it_looked():
    """Protects a verifier's stake: what it vouches for is what stands there when it does."""
    world = World()
    job = world.job()
    number, solver = world.assign(job, world.desks["solver"])
    last = world.moment()
    world.play(solver)
    world.chain.mine(blocks=3)
    Keeper(world.desks["outsider"]).tick()

    def reorganise(task, segment, done, total):
        if pending and segment == 2 and done == total:
            pending.clear()
            world.back_to(last)
            cheat = Solver(world.desk("solver", computation_of=CHEATS["state"]()), at_max_price)
            world.play(cheat)
            world.chain.mine(blocks=3)
            Keeper(world.desks["outsider"]).tick()

    pending = [True]
    verifier = Verifier(world.desk("verifier", on_progress=reorganise))
    assert not verifier.checks.tick()
    assert not pending and not world.task(number).attested
    assert verifier.checks.tick()
    assert world.task(number).held, "it looked again, and accused"


def test_a_dispute_that_takes_anothers_number_is_answered_for_itself():
    """Protects an honest solver: a dispute's number says nothing of what is asked."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    solver = Solver(world.desks["solver"], at_max_price)
    before = world.moment()
    for segment in (1, 0):
        liar = Liar(world.desks["outsider"], segment, CHEATS["element"]())
        world.play(liar, solver)
        if segment:
            assert liar.refused == "ElementFollows"
            world.back_to(before)
    time_out(world)
    verifier = Verifier(world.desks["verifier"])
    world.play(verifier)
    assert settle_all(world)["solver"] == PRICE + BOND


def test_no_move_is_made_in_a_dispute_that_was_renumbered_while_it_was_computed(monkeypatch):
    """Protects an honest solver: its answer to one question is no lie to another."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    solver = Solver(world.desks["solver"], at_max_price)
    before = world.moment()
    liar = Liar(world.desks["outsider"], 1, CHEATS["element"]())
    assert liar.tick() and liar.tick()
    asked = world.desks["outsider"].court.dispute(0)
    made = SolverPlayer.move

    def slow(player, dispute):
        if dispute.claim == asked.claim:
            world.back_to(before)
            accused(world.desks["outsider"], 0, 0)
        return made(player, dispute)

    monkeypatch.setattr(SolverPlayer, "move", slow)
    sent = len(world.chain.sent)
    assert not solver.answers.tick()
    assert [s.label for s in world.chain.sent[sent:]] == [
        "disputes.accuse",
        "disputes.unseal",
        "disputes.start",
    ]
    assert solver.answers.tick(), "the question that is there now is answered"


def test_a_job_that_is_not_the_tasks_is_not_taken_for_it(monkeypatch):
    """Protects from a chain that changes between two reads: a job is held to its hash."""
    world = World()
    first, second = jobs(world)
    number = world.post(first)
    desk = world.desks["solver"]
    monkeypatch.setattr(desk.board, "job", lambda task: second)
    with pytest.raises(Renumbered, match="another job"):
        desk.job(number, world.task(number))


def test_a_chain_that_has_become_shorter_is_no_trouble():
    """Protects the loop: a task that was there and is not is one task's failure, or none."""
    world = World()
    before = world.moment()
    solver = Solver(world.desks["solver"], at_max_price)
    number = take(world, world.job(), solver)
    task = world.task(number)
    world.back_to(before)
    assert not solver.tick()
    with pytest.raises(TaskFailed, match="no task=0 was posted"):
        solver.desk.act_on(number, task, "solver", lambda: solver.segments._act(number, task))
