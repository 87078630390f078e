"""Data withheld: what cannot be fetched is demanded on the chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.games.players import (
    Quitter,
    at_max_price,
    decoded,
    hear,
    settle_all,
    time_out,
    verdicts,
)
from tests.games.test_disappearing import BOND, assigned
from tests.games.world import FEE, PRICE, World, small_training
from worker.chain.errors import ContractError
from worker.chain.events import DataShown
from worker.chain.types import Opening, Phase, Status
from worker.commit import commit_tensor, state_root
from worker.jobs import Computation
from worker.program import Program
from worker.roles import Keeper, Solver, Verifier, load_state
from worker.roles.artifacts import STATE
from worker.roles.checks import PATIENCE
from worker.roles.disputes import Case


def honest_states(world, job):
    """The state after each segment, by plain recomputation."""
    program, state, data = small_training()
    computation, states = Computation(job, program, data), []
    for segment in range(job.segments):
        state = computation.run_segment(segment, state).state
        states.append(state)
    return states


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    return World()


def withheld(world, solver):
    """A task whose verifier is drawn for one segment, not the first, with all states gone but the
    requester's."""
    number = assigned(world, solver, checks=1)
    assert world.task(number).checked_segments in ((1,), (2,)), "drawn by the chain's own hashes"
    first = Path(world.store.path(STATE, world.job().state))
    for path in Path(world.folder.name, "state").rglob("*"):
        if path.is_file() and path != first:
            path.unlink()
    return number


def test_a_solver_that_withholds_a_state_for_good_is_condemned(world):
    """A verifier that cannot get the state that a segment starts from demands it, and a solver that
    does not answer loses its stake: silence is no way to have unchecked work paid."""
    solver = Quitter(world.desks["solver"], {Phase.DATA})
    number = withheld(world, solver)
    verifier = Verifier(world.desks["verifier"])
    for _ in range(PATIENCE + 7):
        verifier.tick(), solver.tick()
    filed = len(solver.desk.accusations(number))
    assert filed == 1, "one demand for one state, however often it looks"
    time_out(world)
    assert world.task(number).status == Status.CONDEMNED
    assert verdicts(world) == ["time"]
    gains = settle_all(world)
    assert gains["solver"] < -PRICE and gains["verifier"] == BOND and gains["requester"] == 0


def test_a_solver_that_shows_the_leaf_has_the_bond(world):
    """An honest solver whose copy got lost answers of its own accord, and is paid for the trouble;
    what it shows is the leaf that was drawn, of the state that it committed to."""
    solver = Solver(world.desks["solver"], at_max_price)
    number = withheld(world, solver)
    verifier = Verifier(world.desks["verifier"])
    for _ in range(PATIENCE + 7):
        verifier.tick(), solver.tick()
    court, market = world.desks["outsider"].court, world.desks["outsider"].market
    assert verdicts(world)[0] == "data"
    shown = [e for e in court.events(0) if isinstance(e, DataShown)]
    segment = world.desks["outsider"].disputes.accusation(number, 0).segment
    program, *_ = small_training()
    state = honest_states(world, world.job())[segment]
    assert state_root(state) == market.segment(number, segment).state
    assert len(state) == program.state_count
    assert shown[0].data == commit_tensor(state[shown[0].tensor]).leaf(shown[0].leaf)
    assert settle_all(world)["solver"] >= PRICE + BOND
    assert world.task(number).status == Status.SETTLED


def test_a_demand_is_answered_by_the_leaf_that_was_drawn_alone(world):
    """Another leaf, another tensor, other bytes, a shorter leaf or another program are refused, and
    nothing else moves a demand: no reveal, no descent, no proof."""
    solver = Solver(world.desks["solver"], at_max_price)
    number = assigned(world, solver)
    desk = world.desks["outsider"]
    leaf = 1
    task = world.task(number)
    program = solver.desk.computation(number, task).program
    states = program.state_count
    state = load_state(world.store, program, desk.market.segment(number, 1).state)
    tensors = [commit_tensor(t) for t in state]
    large = next(i for i, t in enumerate(tensors) if t.tree.size > 1)
    word = large + states * leaf
    desk.disputes.demand(number, 1, word)
    dispute = hear(desk, number)
    (accusation,) = solver.desk.accusations(number)
    asked = solver.desk.court.dispute(dispute)
    player = solver.answers._player(Case(number, task, accusation, dispute, asked))
    court = world.desks["solver"].court
    given: list[Opening] = []
    honest, claim = court.show_data, court.claim(dispute)

    def keep(_, claim, header, opening):
        given.append(opening)

    court.show_data = keep
    player.move(court.dispute(dispute))
    court.show_data = honest
    (right,) = given
    wrong = {
        "another leaf": replace(right, leaves=tensors[large].leaf(0)),
        "a short leaf": replace(right, leaves=right.leaves[:-1]),
        "no leaf": replace(right, leaves=b""),
        "another way": replace(right, leaves_path=tensors[large].tree.path(0)),
        "another count": replace(right, count=right.count + 1),
        "no elements": replace(right, count=0),
        "another dtype": replace(right, dtype=2),
        "no dtype": replace(right, dtype=9),
        "another tensor": replace(right, elements=tensors[0].elements),
        "a short path": replace(right, path=right.path[:-1]),
    }
    for name, opening in wrong.items():
        with pytest.raises(ContractError):
            court.show_data(dispute, claim, program.header, opening)
        assert court.dispute(dispute).phase == Phase.DATA, name
    with pytest.raises(ContractError, match="WrongProgram"):
        court.show_data(dispute, claim, replace(program.header, state_count=1), right)
    with pytest.raises(ContractError, match="NotYourMove"):
        desk.court.show_data(dispute, claim, program.header, right)
    for move in (
        lambda: court.reveal_roots(dispute, []),
        lambda: court.reveal_children(dispute, []),
        lambda: court.reveal_leaf(dispute, b""),
        lambda: desk.court.descend(dispute, 0, b"\0" * 32, []),
        lambda: desk.court.accuse_state(dispute),
        lambda: desk.court.prove_padding(dispute, b"", 0),
        lambda: desk.court.accuse_reports(dispute, claim, program.header),
        lambda: desk.court.prove_output(dispute, claim, program.header, 0, [], b"\0" * 32, []),
    ):
        with pytest.raises(ContractError, match="WrongPhase"):
            move()
    court.show_data(dispute, claim, program.header, right)
    assert verdicts(world) == ["data"]
    assert [e.leaf for e in court.events(dispute) if isinstance(e, DataShown)] == [leaf]


def test_a_demand_nobody_needed_costs_its_bond(world):
    """Demanding what anyone can fetch gains nothing: it pays the solver a bond for each leaf, and
    each one more than the last."""
    solver = Solver(world.desks["solver"], at_max_price)
    number = assigned(world, solver)
    griefer = world.desks["outsider"]
    for word in (0, 2**256 - 1, 12345):
        griefer.disputes.demand(number, 2, word)
    world.play(solver, Verifier(world.desks["verifier"]), Keeper(world.desks["requester"]))
    assert settle_all(world) == {
        "requester": -PRICE - FEE,
        "solver": PRICE + 3 * BOND,
        "verifier": FEE,
        "outsider": -6 * BOND,
    }
