"""Moves that no honest player makes, and chains that change their mind: who pays for it."""

from __future__ import annotations

import shutil
from itertools import permutations

import pytest
import torch

from benchmarks.disputes import one_step
from tests.games.players import Liar, at_max_price, decoded, settle_all, time_out, verdicts
from tests.games.test_disappearing import BOND, assigned, wrong_weight
from tests.games.world import FEE, PRICE, World
from tests.revm import RevmChain
from worker.chain.errors import ContractError
from worker.chain.types import Phase, Segment, Status
from worker.commit import state_root
from worker.program import Program
from worker.program.builder import Builder
from worker.program.codes import F32, Map
from worker.roles import Keeper, Solver, Verifier
from worker.roles.checks import PATIENCE
from worker.roles.disputes import Case
from worker.simulation import WrongReport


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    return World()


def doubled(count: int) -> Program:
    """The sum of a state tensor with itself, reported."""
    builder = Builder()
    x = builder.state(0, F32, (count,))
    builder.map(Map.ADD, x, x)
    return Program(tuple(builder.nodes), (0, 1), ("x",))


@pytest.mark.parametrize("right", [0.0, 2.0**-149])
def test_equal_siblings_and_zero_subtrees_hide_nothing(right):
    """A tensor of zeros has equal nodes on every level. One element that is not what it should be
    is found among them, and so is a zero that should be none: nothing is inferred from a value."""
    state = torch.zeros(40_000)
    element = 23_456
    state[element] = right
    # of the sum, 0 or 2^-148, bit 1: it becomes 2^-148 or 0
    place = (doubled(40_000), [state], [torch.zeros(1)], 1, element)
    played = one_step(*place, bit=1, arity_bits=5, chain=RevmChain(), paid=False)  # type: ignore[arg-type]
    assert played.proof.label == "court.proveElement"


GARBAGE = {
    "zeros": (b"\0" * 32, b"\0" * 32),
    "no state": (b"\x01" * 32, None),
    "no journal": (None, b"\0" * 32),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_roots_of_nothing_are_condemned(world, name):
    """Zero roots, and roots of which no preimage is known: whether it is the state that is made up
    or the journal with a right state, the solver cannot answer for it and loses on time."""
    honest = Solver(world.desks["solver"], at_max_price)
    number = world.post(world.job(4, 4))
    assert honest.tick()
    world.chain.mine(seconds=101)
    world.play(Keeper(world.desks["outsider"]))
    market = world.desks["solver"].market
    task = world.task(number)
    computation, states = honest.desk.computation(number, task), honest.segments.states
    result = computation.run_segment(0, states.start(number, task, 0).state)
    journal = states.journal(number, task, 0, result.reports)
    state, report = GARBAGE[name]
    right = Segment(state_root(result.state), journal.root)
    market.commit_segments(number, 0, [Segment(state or right.state, report or right.journal)])
    world.chain.mine(blocks=3)
    world.play(Keeper(world.desks["requester"]))
    verifier = Verifier(world.desks["verifier"])
    for _ in range(PATIENCE + 4):
        verifier.tick()
    assert world.task(number).held
    (accusation,) = honest.desk.accusations(number)
    dispute = honest.desk.court.dispute(0)
    player = honest.answers._player(Case(number, task, accusation, 0, dispute))
    for _ in range(20):  # it does what it can
        d = world.desks["outsider"].court.dispute(0)
        if d.solver_to_move and d.phase.is_running:
            try:
                player.move(d)
            except ContractError:
                break
        verifier.tick()
    time_out(world)
    assert world.task(number).status == Status.CONDEMNED
    assert settle_all(world)["solver"] < -PRICE


def test_a_lost_journal_of_right_work_costs_its_solver_nothing(world):
    """A solver whose journal nobody can read is made to open one report of it, and has the bond."""
    solver = Solver(world.desks["solver"], at_max_price)
    number = assigned(world, solver)
    shutil.rmtree(f"{world.folder.name}/journal")
    verifier = Verifier(world.desks["verifier"])
    for _ in range(PATIENCE + 7):
        verifier.tick(), solver.tick()
    assert len(solver.desk.accusations(number)) == 1
    time_out(world)
    assert verdicts(world) == ["time"]
    assert settle_all(world)["solver"] == PRICE + BOND


def test_journals_that_are_kept_back_earn_one_bond_and_no_more(world):
    """Protects verifiers and requesters from a solver that lives on accusations: its work is right,
    so it is not condemned; but however many journals it keeps back, and however often a verifier
    begins anew, that verifier accuses once, and nobody else pays. (That it loses anything ends
    when a solver has to publish what its journals are made of.)"""
    solver = Solver(world.desks["solver"], at_max_price)
    number = assigned(world, solver)
    assert len(world.task(number).checked_segments) == 3
    shutil.rmtree(f"{world.folder.name}/journal")
    for _ in range(3):
        verifier = Verifier(world.desk("verifier"))
        for _ in range(PATIENCE + 2):
            verifier.tick(), solver.tick()
    time_out(world)
    for _ in range(PATIENCE + 2):
        verifier.tick(), solver.tick()
    assert len(world.desks["outsider"].accusations(number)) == 1
    assert world.task(number).status != Status.CONDEMNED
    gains = settle_all(world)
    earned = gains["solver"] - PRICE
    assert 0 <= earned <= BOND
    assert gains["requester"] >= -PRICE - FEE and gains["outsider"] == 0
    assert gains["verifier"] <= -earned, "what the solver has beyond its price is the verifier's"


ORDERS = list(permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS)
def test_two_challengers_at_one_place_both_have_their_due(world, order):
    """The verdict about a segment does not depend on who else accuses it, nor on whose moves come
    first: the cheat is condemned once, and nobody who accused it loses a bond."""
    cheat = Solver(world.desk("solver", computation_of=wrong_weight()), at_max_price)
    number = assigned(world, cheat)
    one, two = Verifier(world.desks["verifier"]), Verifier(world.desks["outsider"], volunteer=True)
    roles = [cheat, one, two]
    one.tick(), two.tick()
    assert len(one.desk.accusations(number)) == 2
    world.play(*(roles[i] for i in order))
    world.play(Keeper(world.desks["requester"]))
    assert world.task(number).status == Status.CONDEMNED
    gains = settle_all(world)
    assert gains["solver"] < -PRICE
    assert min(gains["verifier"], gains["outsider"], gains["requester"]) >= 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_two_liars_at_one_place_both_pay(world, order):
    """Whatever order two false accusations of one segment are played in, the honest solver is paid
    and has the smallest bond for each; the second had twice that to lose, and half of it burns."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    believed = wrong_weight()
    liars = [Liar(world.desks[r], 1, believed, 5) for r in ("outsider", "requester")]
    roles = [solver, *liars]
    world.play(*(roles[i] for i in order))
    world.play(Verifier(world.desks["verifier"]))
    time_out(world)
    world.play(*(roles[i] for i in order))
    time_out(world)
    gains = settle_all(world)
    assert (gains["solver"], gains["verifier"]) == (PRICE + 2 * BOND, FEE)
    first = order.index(1) < order.index(2)
    assert gains["outsider"] == (-BOND if first else -2 * BOND)
    assert gains["requester"] == (-2 * BOND if first else -BOND) - PRICE - FEE
    assert world.task(number).status == Status.SETTLED


def test_a_reorganised_opening_is_answered_anew(world):
    """A chain that forgets a dispute may give its number to another one, about another segment: a
    solver that has answered the first answers the second from that segment's own states."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    before, logs = world.chain.evm.snapshot(), list(world.chain.logs)
    for segment in (0, 2):
        liar = Liar(world.desks["outsider"], segment, WrongReport.at(step=segment * 4), segment * 4)
        assert liar.tick() and liar.tick() and liar.dispute == 0
        world.play(liar, solver)
        d = world.desks["outsider"].court.dispute(0)
        assert not d.solver_to_move and d.phase >= Phase.TRACE
        if segment == 0:
            world.chain.evm.revert(before)
            world.chain.logs = logs
    time_out(world)
    world.play(Verifier(world.desks["verifier"]))
    assert settle_all(world)["solver"] == PRICE + BOND
    assert world.task(number).status == Status.SETTLED


def test_an_accusation_in_the_last_second_is_tried_like_any_other(world):
    """The window's last second counts, and the task cannot be settled over an open dispute."""
    cheat = Solver(world.desk("solver", computation_of=wrong_weight()), at_max_price)
    number = assigned(world, cheat)
    verifier = Verifier(world.desks["verifier"])
    task, checks = world.task(number), verifier.checks
    bound = checks.bound(number, task, 1)
    finding = checks.finding(number, task, 1, bound)
    ends = world.task(number).window_ends
    world.chain.mine(seconds=ends - world.chain.time - 1)
    checks._accuse(number, task, 1, finding, bound)
    assert world.chain.time == ends
    world.chain.mine(seconds=5)
    world.play(cheat, verifier, Keeper(world.desks["requester"]))
    assert world.task(number).status == Status.CONDEMNED


def test_the_largest_tensors_and_rows_are_tried_like_any_other():
    """No size makes a dispute impossible to finish: a tensor of 2^24 elements, and sums of rows of
    2^20 (by parts), take the rounds that docs/dispute.md gives and a proof that a block holds."""
    state = torch.ones(16, 1 << 20)
    builder = Builder()
    x = builder.state(0, F32, (16, 1 << 20))
    negative = builder.map(Map.NEG, x)
    builder.sum(negative, 1)
    sums = [i for i, n in enumerate(builder.nodes) if n.name == "REDUCE.SUM"]
    program = Program(tuple(builder.nodes), (0, sums[-1]), ("x",))
    assert builder.nodes[negative.node].count == 1 << 24
    assert builder.nodes[sums[0]].inputs[0].shape[1] <= 1 << 12
    trace, data = 1, [torch.zeros(1)]
    for node, leaves in ((negative.node, 4), (sums[0], 1)):
        element = builder.nodes[node].count - 3
        place = (program, [state], data, node, element)
        played = one_step(*place, bit=23, arity_bits=5, chain=RevmChain(), paid=False)  # type: ignore[arg-type]
        assert played.rounds == trace + leaves + 1
        assert played.proof.gas < 2_000_000
