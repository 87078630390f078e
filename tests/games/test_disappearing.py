"""Nobody gains by leaving, and nobody's money depends on somebody staying."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from tests.games.players import (
    Liar,
    Quitter,
    Trickster,
    at_max_price,
    decoded,
    settle_all,
    time_out,
    verdicts,
    with_data,
)
from tests.games.world import FEE, PRICE, World, small_training, training_on_floats
from worker.chain.errors import ContractError
from worker.chain.types import Job, Phase, Status
from worker.commit import LEAF_BYTES
from worker.dispute import SolverPlayer
from worker.jobs import Computation, rows_of_step
from worker.program import Program, Source
from worker.roles import Keeper, Solver, TaskFailed, Verifier, put_job
from worker.roles.answers import Answers
from worker.roles.states import States
from worker.simulation import WrongElement, WrongReport, WrongState

BOND = 10
STEP = 5


@pytest.fixture
def world(monkeypatch):
    """In a court of so small a fan-out that every tree takes more than one move."""
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    return World(arity_bits=1)


def wrong_weight():
    """A cheat in a gradient of 320 elements: the dispute goes through every phase but State."""
    program, *_ = small_training()
    node = next(i for i, n in enumerate(program.nodes) if n.name == "DOT" and n.count == 320)
    return WrongElement.at(step=STEP, node=node, element=300, bit=3)


def wrong_state():
    return WrongState.at(step=7, tensor=2, element=1)  # the segment's last step


SOLVERS_PHASES = [
    (Phase.STEPS, wrong_weight),
    (Phase.STEP, wrong_weight),
    (Phase.TRACE, wrong_weight),
    (Phase.TENSOR, wrong_weight),
    (Phase.ELEMENTS, wrong_weight),
    (Phase.LEAF, wrong_weight),
    (Phase.STATE, wrong_state),
]
CHALLENGERS_PHASES = [
    (Phase.STEPS, wrong_weight),
    (Phase.TRACE, wrong_weight),
    (Phase.ELEMENTS, wrong_weight),
    (Phase.PROOF, wrong_weight),
    (Phase.STATE, wrong_state),
]


@pytest.mark.parametrize(("phase", "cheat"), SOLVERS_PHASES)
def test_a_cheat_that_disappears_loses_on_time(world, phase, cheat):
    """Whenever a cheat stops answering, its clock condemns it, and the requester has its money."""
    cheat_desk = world.desk("solver", computation_of=cheat())
    number = assigned(world, Quitter(cheat_desk, {phase}))
    world.play(Quitter(cheat_desk, {phase}), Verifier(world.desks["verifier"]))
    d = world.desks["outsider"].court.dispute(0)
    assert (d.phase, d.solver_to_move) == (phase, True)
    time_out(world)
    assert world.task(number).status == Status.CONDEMNED
    assert verdicts(world) == ["time"]
    gains = settle_all(world)
    assert gains["solver"] < -PRICE
    assert gains["requester"] == 0 < gains["verifier"]


def assigned(world, solver: Solver, checks: int | None = None) -> int:
    """The task of which `solver` has committed every segment, and a verifier is drawn."""
    number = world.post(world.job(), checks)
    assert solver.tick()
    world.chain.mine(seconds=101)
    world.play(Keeper(world.desks["outsider"]))
    while world.task(number).status == Status.ASSIGNED:
        assert solver.tick()
    world.chain.mine(blocks=3)
    world.play(Keeper(world.desks["outsider"]))
    assert world.task(number).status == Status.VERIFYING
    return number


@pytest.mark.parametrize(("phase", "believed"), CHALLENGERS_PHASES)
def test_a_challenger_that_disappears_pays_its_bond(world, phase, believed):
    """An honest solver is paid, and has the bond of whoever accused it and left."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    liar = Liar(world.desks["outsider"], STEP // 4, believed(), gone={phase})
    world.play(liar, solver, Verifier(world.desks["verifier"]))
    d = world.desks["outsider"].court.dispute(0)
    assert (d.phase, d.solver_to_move) == (phase, False)
    time_out(world)
    assert settle_all(world) == {
        "requester": -PRICE - FEE,
        "solver": PRICE + BOND,
        "verifier": FEE,
        "outsider": -BOND,
    }
    assert world.task(number).status == Status.SETTLED


def test_a_silent_verifier_pays_and_the_solver_is_paid(world):
    """A verifier that is drawn and never heard of cannot hold up the solver's money."""
    number, _ = world.commit(world.job(), world.desks["solver"])
    gains = settle_all(world)
    assert world.task(number).status == Status.SETTLED
    assert gains["solver"] == PRICE
    assert gains["requester"] == -PRICE, "the fee comes back"
    assert gains["verifier"] < 0 and gains["outsider"] == 0


def test_a_solver_that_never_commits_is_expired(world):
    """The requester of a task that is not done has its escrow back, and no more: what the solver
    loses for it is burned."""
    number, _ = world.assign(world.job(), world.desks["solver"])
    gains = settle_all(world)
    assert world.task(number).status == Status.EXPIRED
    assert -PRICE <= gains["solver"] < 0, "being late costs no more than the price"
    assert gains["requester"] == gains["verifier"] == gains["outsider"] == 0


def test_a_solver_that_stops_half_way_is_expired_after_its_dispute(world):
    """An accusation of a segment that is committed keeps nobody from getting the money back."""
    number, solver = world.assign(world.job(), world.desks["solver"])
    assert solver.tick()
    liar = Liar(world.desks["outsider"], 0, WrongReport.at(step=1), report_step=1)
    assert liar.tick()
    gains = settle_all(world)
    # it left both: the dispute's clock condemns it before the deadline could expire it
    assert world.task(number).status == Status.CONDEMNED
    assert gains["solver"] < 0 == gains["requester"]


def test_a_withheld_state_is_neither_attested_nor_accused(world):
    """Without the state it starts from, a segment cannot be checked: as long as the chain cannot
    demand data, the verifier stays silent, the task settles, and nothing is stuck."""
    solver = Solver(world.desks["solver"], at_max_price)
    number = assigned(world, solver, checks=1)
    shutil.rmtree(f"{world.folder.name}/state")
    world.play(solver, Verifier(world.desks["verifier"]))
    task = world.task(number)
    assert task.status == Status.VERIFYING and not task.attested and not task.held
    gains = settle_all(world)
    assert world.task(number).status == Status.SETTLED
    assert gains["solver"] == PRICE and -FEE <= gains["verifier"] < 0


# --- commitments that no honest solver makes ---------------------------------------------------


def flip_behind(tensor):
    """A bit behind the last element."""
    data = bytearray(tensor.data)
    data[-1] ^= 1
    return with_data(tensor, bytes(data))


TRICKS = {
    "one element more": (lambda t: replace(t, count=t.count + 1), {"shape"}),
    "another dtype of the same width": (lambda t: replace(t, dtype=3 - t.dtype), {"shape"}),
    # another number of leaves than the count says: there is nothing to show for it
    "a dtype with other leaves": (lambda t: replace(t, dtype=4), {"time"}),
    # but under a root are two, however many leaves there are: it opens, as what no record says
    "more leaves": (lambda t: replace(t, count=10_000), {"shape"}),
    "no elements": (lambda t: replace(t, count=0), {"time"}),
    "an unknown dtype": (lambda t: replace(t, dtype=9), {"time"}),
    "padding that is not zero": (flip_behind, {"padding"}),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_malformed_commitment_in_the_trace_is_convicted(world, name):
    """A tensor's commitment with another count, dtype or padding than its record is a lie too."""
    trick, reasons = TRICKS[name]
    program, *_ = small_training()
    node = next(i for i, n in enumerate(program.nodes) if n.count == 320 and n.inputs)
    cheat = Trickster(world.desk("solver", computation_of=wrong_weight()), node, trick)
    number = assigned(world, cheat)
    play_to_the_end(world, cheat, Verifier(world.desks["verifier"]))
    assert world.task(number).status == Status.CONDEMNED
    assert set(verdicts(world)) == reasons
    assert settle_all(world)["solver"] < -PRICE


def play_to_the_end(world, *roles) -> None:
    """Lets roles act, one of which the court may refuse; then time runs out for it."""
    for _ in range(40):
        acted = [tick(role) for role in roles]
        if not any(acted):
            break
    if world.task(0).held:
        time_out(world)


def tick(role) -> bool:
    try:
        return role.tick()
    except TaskFailed as failed:
        assert isinstance(failed.error, (ContractError, IndexError))
        return False


class Zeroed(Computation):
    """After STEP, a tensor of the state is zero whatever came out."""

    def advance(self, state, step):
        after, report = super().advance(state, step)
        if step == STEP:
            after[2] = torch.zeros_like(after[2])
        return after, report


def test_a_nan_with_a_payload_is_convicted(world):
    """There is one NaN: another bit pattern of it is a wrong element."""
    program, state, data = training_on_floats()
    x = data[0].clone()
    row = int(rows_of_step(7, 50, 8, STEP)[0])
    x[row] = float("nan")  # this row is first seen in STEP
    roots = put_job(world.store, program, [x, data[1]], state)
    job = Job(roots[0], roots[2], roots[1], 2, 50, 7, 10, 3)  # STEP is a segment's last
    world.job = lambda: job  # type: ignore[method-assign]
    batch = next(
        i for i, n in enumerate(program.nodes) if n.name == "SOURCE.BATCH" and n.attributes[0] == 0
    )
    assert program.nodes[batch].fn == Source.BATCH
    at = rows_of_step(7, 50, 8, STEP).tolist().index(row) * 20 * 4

    def payload(tensor):
        assert tensor.data[at : at + 4] == bytes.fromhex("0000c07f")
        bits = bytes.fromhex("0100c07f")
        return with_data(tensor, tensor.data[:at] + bits + tensor.data[at + 4 :])

    desk = world.desk("solver", computation_of=Zeroed)
    cheat = Trickster(desk, batch, payload)
    number = assigned(world, cheat)
    play_to_the_end(world, cheat, Verifier(world.desks["verifier"]))
    assert world.task(number).status == Status.CONDEMNED
    assert verdicts(world) == ["element"]
    settle_all(world)


# --- answers that are no openings of what was committed -----------------------------------------

GARBAGE = b"\x5a" * 32


def wrong_children(player: SolverPlayer, phase: Phase) -> None:
    honest = player.court.reveal_children

    def reveal(dispute, children):
        if player.court.dispute(dispute).phase == phase:  # type: ignore[attr-defined]
            children = [GARBAGE, *children[1:]]
        return honest(dispute, children)

    player.court.reveal_children = reveal  # type: ignore[method-assign]


def wrong_tensor(player: SolverPlayer, phase: Phase) -> None:
    honest = player.court.reveal_tensor
    player.court.reveal_tensor = lambda d, t, n, e, c: honest(d, t, n, GARBAGE, c)  # type: ignore


def wrong_under_tensor(player: SolverPlayer, phase: Phase) -> None:
    honest = player.court.reveal_tensor
    player.court.reveal_tensor = lambda *told: honest(*told[:-1], [GARBAGE] * len(told[-1]))  # type: ignore


def wrong_under_trace(player: SolverPlayer, phase: Phase) -> None:
    honest = player.court.reveal_trace
    player.court.reveal_trace = lambda *told: honest(*told[:-1], [GARBAGE] * len(told[-1]))  # type: ignore


def wrong_leaf(player: SolverPlayer, phase: Phase) -> None:
    honest = player.court.reveal_leaf
    player.court.reveal_leaf = lambda d, data: honest(d, GARBAGE * (LEAF_BYTES // 32))  # type: ignore


def wrong_report(player: SolverPlayer, phase: Phase) -> None:
    honest = player.court.reveal_trace
    player.court.reveal_trace = lambda d, c, h, t, salt, *rest: honest(d, c, h, t, GARBAGE, *rest)  # type: ignore


ANSWERS = {
    "children of the trace": (wrong_children, Phase.TRACE, wrong_weight),
    "children of the tensor": (wrong_children, Phase.ELEMENTS, wrong_weight),
    "children of the state": (wrong_children, Phase.STATE, wrong_state),
    "children of the trace's root": (wrong_under_trace, Phase.STEP, wrong_weight),
    "children of the tensor's root": (wrong_under_tensor, Phase.TENSOR, wrong_weight),
    "a tensor": (wrong_tensor, Phase.TENSOR, wrong_weight),
    "a leaf": (wrong_leaf, Phase.LEAF, wrong_weight),
    "a report": (wrong_report, Phase.STEP, wrong_weight),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_does_not_fold_is_refused(world, name):
    """The court takes nothing that is not bound to the root under attack; the clock goes on."""
    spoil, phase, cheat = ANSWERS[name]

    class Babbling(Answers):
        def _made(self, *about) -> SolverPlayer:  # type: ignore[no-untyped-def]
            player = super()._made(*about)
            spoil(player, phase)
            return player

    desk = world.desk("solver", computation_of=cheat())
    solver = Solver(desk, at_max_price)
    solver.answers = Babbling(desk, States(desk))
    number = assigned(world, solver)
    verifier = Verifier(world.desks["verifier"])
    with pytest.raises(TaskFailed) as refused:
        world.play(verifier, solver)
    assert isinstance(refused.value.error, ContractError)
    assert refused.value.error.name == "DoesNotHash"
    d = world.desks["outsider"].court.dispute(0)
    assert (d.phase, d.solver_to_move) == (phase, True)
    time_out(world)
    assert world.task(number).status == Status.CONDEMNED
    assert verdicts(world) == ["time"]
    settle_all(world)
