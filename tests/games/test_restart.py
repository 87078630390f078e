"""A worker may be killed at any moment: the chain and the store are all that it needs to go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.games.players import (
    Killed,
    Liar,
    Mortal,
    a_node,
    at_max_price,
    decoded,
    dying_desk,
    honest_roots,
    settle_all,
    time_out,
    verdicts,
)
from tests.games.world import FEE, PRICE, World
from worker.chain.types import Status
from worker.jobs import Computation
from worker.program import Program
from worker.roles import Keeper, Solver, TaskFailed, Verifier
from worker.simulation import WrongElement, WrongReport, WrongState
from worker.store import Store

BOND = 10
CHEATS = {
    "element": lambda: WrongElement.at(step=5, node=a_node("DOT"), element=17, bit=3),
    "state": lambda: WrongState.at(step=7, tensor=2, element=1),
    "report": lambda: WrongReport.at(step=6),
}


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    """Every new process reads the same program."""
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


def segments(world: World) -> list[tuple[bytes, bytes]]:
    market = world.desks["outsider"].market
    found = (market.segment(0, i) for i in range(market.task(0).committed))
    return [(s.state, s.journal) for s in found]


@pytest.fixture
def undisturbed(decode_once) -> list[tuple[bytes, bytes]]:
    """What an honest solver commits that nothing happens to."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    return segments(world)


def run(world: World, solver: Mortal, checks: int | None = None) -> None:
    """The task from the post to the draw."""
    world.post(world.job(), checks)
    world.play(solver)
    world.chain.mine(seconds=101)
    world.play(Keeper(world.desks["outsider"]))
    world.play(solver)
    world.chain.mine(blocks=3)
    world.play(Keeper(world.desks["outsider"]))
    assert world.task(0).status == Status.VERIFYING


def test_dying_after_every_transaction_commits_the_same(undisturbed):
    """A solver whose every transaction is its last bids once and commits each segment once."""
    world = World()
    solver = Mortal(lambda: Solver(dying_desk(world, "solver"), at_max_price))
    run(world, solver)
    assert solver.deaths == 4, "a bid and three segments"
    assert segments(world) == undisturbed
    assert [state for state, _ in undisturbed] == honest_roots(world, world.job())


def test_dying_in_every_step_commits_the_same(undisturbed):
    """A solver killed in the middle of a segment begins it anew, and commits the same roots."""
    world = World()
    left = set(range(world.job().steps))

    class Interrupted(Computation):
        def advance(self, state, step):  # type: ignore[no-untyped-def]
            if step in left:
                left.discard(step)
                raise Killed
            return super().advance(state, step)

    def make() -> Solver:
        return Solver(world.desk("solver", computation_of=Interrupted), at_max_price)

    solver = Mortal(make)
    run(world, solver)
    # two segments are begun ahead, and die with a solver of which nothing is left
    assert not left and solver.deaths >= 8
    assert segments(world) == undisturbed


@pytest.mark.parametrize("kind", ["state", "journal"])
@pytest.mark.parametrize("written", [False, True])
def test_dying_around_a_write_commits_the_same(undisturbed, kind, written):
    """Before or after any artifact is written, whether it is there already makes no difference."""
    world = World()
    died: set[bytes] = set()

    class Perilous(Store):
        def _die(self, what: str, address: bytes) -> None:
            if what == kind and address not in died:
                died.add(address)
                raise Killed

        def put_bytes(self, what: str, address: bytes, data: bytes) -> None:
            if not written:
                self._die(what, address)
            super().put_bytes(what, address, data)
            self._die(what, address)

        def put_tensors(self, what, tensors, address=None):  # type: ignore[no-untyped-def]
            address = self._root(tensors)
            if not written:
                self._die(what, address)
            super().put_tensors(what, tensors)
            self._die(what, address)
            return address

    def make() -> Solver:
        desk = world.desk("solver")
        desk.store = Perilous(world.store.url)
        return Solver(desk, at_max_price)

    solver = Mortal(make)
    run(world, solver)
    assert solver.deaths == len(died) == 3
    assert segments(world) == undisturbed


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_verifier_that_dies_after_every_move_still_wins(cheat):
    """Drawn or not, a challenger that is a new process for every move finds what the last meant."""
    world = World()
    world.commit(world.job(), world.desk("solver", computation_of=CHEATS[cheat]()))
    solver = Mortal(
        lambda: Solver(dying_desk(world, "solver", computation_of=CHEATS[cheat]()), at_max_price)
    )
    verifier = Mortal(lambda: Verifier(dying_desk(world, "verifier")))
    world.play(solver, verifier)
    assert world.task(0).status == Status.CONDEMNED
    assert verdicts(world) == [cheat]
    assert verifier.deaths >= 3 and solver.deaths >= 2
    assert settle_all(world)["verifier"] > 0


def test_a_volunteer_that_dies_after_every_move_still_wins():
    """The same for a passer-by, and it opens one dispute only, however often it starts again."""
    world = World()
    world.desks["verifier"].verifiers.offer(0)
    world.commit(world.job(), world.desk("solver", computation_of=CHEATS["element"]()))
    solver = Solver(world.desk("solver", computation_of=CHEATS["element"]()), at_max_price)
    volunteer = Mortal(lambda: Verifier(dying_desk(world, "outsider"), volunteer=True))
    world.play(solver, volunteer)
    assert world.task(0).status == Status.CONDEMNED
    assert world.desks["outsider"].court.disputes() == 1
    assert len(world.desks["outsider"].accusations(0)) == 1
    assert settle_all(world)["outsider"] > 0


@pytest.mark.parametrize("believed", CHEATS)
def test_an_accused_solver_that_dies_after_every_answer_keeps_its_stake(believed):
    """An honest solver needs no memory to answer a dispute to the end."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    solver = Mortal(lambda: Solver(dying_desk(world, "solver"), at_max_price))
    step = 6 if believed == "report" else None
    liar = Liar(world.desks["outsider"], 1, CHEATS[believed](), report_step=step)
    world.play(liar, solver, Verifier(world.desks["verifier"]))
    assert solver.deaths >= 2 and liar.refused
    time_out(world)
    assert verdicts(world) == ["time"]
    gains = settle_all(world)
    assert gains["solver"] == PRICE + BOND and gains["outsider"] == -BOND


@pytest.mark.parametrize("loss", ["vanished", "damaged"])
def test_a_solver_whose_journal_is_lost_still_answers(loss):
    """The journal's salts come from the key, so it can be made again for a dispute."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    world.play(Verifier(world.desks["verifier"]))
    for path in Path(world.folder.name, "journal").rglob("*"):
        if path.is_file():
            path.unlink() if loss == "vanished" else path.write_bytes(b"not a journal")
    liar = Liar(world.desks["outsider"], 1, CHEATS["element"]())
    world.play(liar, Mortal(lambda: Solver(world.desk("solver"), at_max_price)))
    assert liar.refused == "ElementFollows"
    time_out(world)
    gains = settle_all(world)
    assert gains["solver"] == PRICE + BOND and gains["verifier"] == FEE


def lose_states(world: World, task: int) -> None:
    """The states that a task's segments end with are gone from the store."""
    market = world.desks["outsider"].market
    for segment in range(market.task(task).committed):
        lost = market.segment(task, segment).state.hex()
        Path(world.folder.name, "state", lost[:2], lost).unlink()


def test_a_solver_whose_states_are_lost_makes_them_again(undisturbed):
    """Whoever empties the store cannot make an honest solver late, nor silent in a dispute."""
    world = World()
    number, solver = world.assign(world.job(), world.desks["solver"])
    assert solver.tick() and solver.tick()
    lose_states(world, number)
    run_on = Mortal(lambda: Solver(world.desk("solver"), at_max_price))
    world.play(run_on)
    assert segments(world) == undisturbed
    world.chain.mine(blocks=3)
    world.play(Keeper(world.desks["outsider"]), Verifier(world.desks["verifier"]))
    lose_states(world, number)
    liar = Liar(world.desks["outsider"], 2, CHEATS["element"]())
    world.play(liar, run_on)
    assert liar.refused
    time_out(world)
    assert settle_all(world)["solver"] == PRICE + BOND


def test_a_failing_task_keeps_nobody_from_another():
    """What goes wrong with one task, whatever it is, is no reason to be late with the next."""
    world = World()
    job = world.job()
    first, _ = world.assign(job, world.desks["solver"])
    second, _ = world.assign(replace(job, seed=8), world.desks["solver"])

    def broken_for_the_first(job, program, data):  # type: ignore[no-untyped-def]
        if job.seed == 7:
            raise RuntimeError("out of memory")
        return Computation(job, program, data)

    before = world.task(first).committed
    fresh = Solver(world.desk("solver", computation_of=broken_for_the_first), at_max_price)
    with pytest.raises(TaskFailed, match="out of memory"):
        world.play(fresh)
    assert world.task(first).committed == before
    assert world.task(second).status == Status.COMMITTED
    world.chain.mine(blocks=3)  # a draw has its time too
    world.play(Keeper(world.desks["outsider"]))
    settle_all(world)
    assert world.task(second).status == Status.SETTLED
