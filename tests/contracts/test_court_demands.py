"""Demands: the solver shows the leaf of its state that a word names, or its clock condemns it."""

from __future__ import annotations

import ape
import pytest

from tests.contracts import court_fixtures as fx
from tests.contracts.court_fixtures import Transcript, items_tree, opening

CLOCK = 3_600
LEAVES = 16  # of the first of the three state tensors
NOTHING = bytes(32)
WORDS = {
    # the word, and the tensor and the leaf that it names
    "the first leaf": (0, 0, 0),
    "the last leaf": (3 * (LEAVES - 1), 0, LEAVES - 1),
    "round again": (3 * (LEAVES + 2), 0, 2),
    "a tensor of one leaf": (1 + 3 * 7, 1, 0),
    "a scalar": (2, 2, 0),
    "the greatest word": (2**256 - 1, 0, (2**256 - 1) // 3 % LEAVES),
}


@pytest.fixture(scope="module")
def court_and_client(project, deployer):
    return fx.deploy_court(project, deployer, 2)


@pytest.fixture(scope="module")
def court(court_and_client):
    return court_and_client[0]


@pytest.fixture(scope="module")
def client(court_and_client):
    return court_and_client[1]


@pytest.fixture(scope="module")
def honest(solver):
    return Transcript.compute(fx.miniature(), fx.first_state(), fx.data_set(), solver.address)


@pytest.fixture
def demand(court, client, honest, challenger):
    """Opens a demand of a word; gives its number and the claim."""

    def demand(word, **changes):
        claim = {**honest.claim(challenger.address), **changes}
        client.demand(claim, word, CLOCK, sender=challenger)
        return court.disputes() - 1, claim

    return demand


def shown(transcript, tensor, leaf):
    """The opening of that leaf of the state at the segment's end."""
    state = transcript.states[transcript.last]
    path = items_tree(state).path(tensor)
    return opening(state[tensor], path, leaf * state[tensor].per_leaf, 1)


@pytest.mark.parametrize("name", WORDS)
def test_the_leaf_that_a_word_names_ends_the_demand(court, client, honest, demand, solver, name):
    """Protects solvers: what they have, they can show, whatever the word is."""
    word, tensor, leaf = WORDS[name]
    dispute, claim = demand(word)
    d = court.dispute(dispute)
    assert (d.phase, d.solverToMove, int.from_bytes(d.revealed, "big")) == (fx.DATA, True, word)
    given = shown(honest, tensor, leaf)
    receipt = court.showData(dispute, claim, honest.header.to_abi(), given, sender=solver)
    (event,) = receipt.decode_logs(court.DataShown)
    assert (event.tensor, event.leaf) == (tensor, leaf)
    assert event.data == honest.states[fx.LAST][tensor].leaf(leaf)
    (event,) = receipt.decode_logs(court.Decided)
    assert event.reason.rstrip(b"\0") == b"data"
    assert client.verdicts()[-1] == (dispute, False)
    assert court.dispute(dispute).phase == fx.CLOSED


def test_nothing_else_is_an_answer(court, honest, demand, solver, challenger):
    """Protects whoever demands: another leaf, another tensor and other bytes show nothing."""
    dispute, claim = demand(3 * 5)
    header, right = honest.header.to_abi(), shown(honest, 0, 5)
    dtype, count, elements, path, leaves, leaves_path = right

    def refuses(error, *given, sender=solver, claim=claim, header=header, **fields):
        with ape.reverts(error, **fields):
            court.showData.call(dispute, claim, header, given, sender=sender)

    refuses(court.NotYourMove, *right, sender=challenger)
    other = {**claim, "lastState": honest.state_tree(fx.FIRST).root}
    refuses(court.WrongClaim, *right, claim=other)
    refuses(court.WrongProgram, *right, header=(*header[:1], header[1] + 1, *header[2:]))
    refuses(court.NotTheShape, 9, *right[1:], dtype=9, count=count)
    refuses(court.NotTheShape, dtype, 0, *right[2:], dtype=dtype, count=0)
    rest = (path, leaves, leaves_path)
    wrong = {
        "another dtype": (2, count, elements, *rest),
        "another count": (dtype, count + 1, elements, *rest),
        "other elements": (dtype, count, NOTHING, *rest),
        "another leaf": shown(honest, 0, 4),
        "another tensor": shown(honest, 1, 0),
        "other bytes": (dtype, count, elements, path, bytes(len(leaves)), leaves_path),
        "a short leaf": (dtype, count, elements, path, leaves[:-1], leaves_path),
        "no leaf": (dtype, count, elements, path, b"", leaves_path),
        "a short path": (dtype, count, elements, path[:-1], leaves, leaves_path),
    }
    for given in wrong.values():
        with ape.reverts():
            court.showData.call(dispute, claim, header, given, sender=solver)
    court.showData(dispute, claim, header, right, sender=solver)


@pytest.mark.parametrize("dtype, count", [(9, 3), (1, 0)])
def test_a_tensor_that_no_program_has_cannot_be_shown(court, honest, demand, solver, dtype, count):
    """Protects the court: what is committed to without a shape leaves its solver stuck."""
    cheat = honest.copy()
    tensor = fx.committed(1, 3, bytes(12))
    object.__setattr__(tensor, "dtype", dtype)
    object.__setattr__(tensor, "count", count)
    cheat.states[fx.LAST][1] = tensor
    state = items_tree(cheat.states[fx.LAST])
    dispute, claim = demand(1, lastState=state.root)
    given = (dtype, count, tensor.elements, state.path(1), tensor.leaf(0), [])
    with ape.reverts(court.NotTheShape, dtype=dtype, count=count):
        court.showData.call(dispute, claim, honest.header.to_abi(), given, sender=solver)


def test_a_solver_that_shows_nothing_loses_on_time(court, client, demand, outsider, chain):
    """Protects whoever needs a state that is withheld."""
    dispute, _ = demand(7)
    with ape.reverts(court.ClockStillRunning):
        court.callTime(dispute, sender=outsider)
    chain.mine(deltatime=CLOCK + 1)
    court.callTime(dispute, sender=outsider)
    assert client.verdicts()[-1] == (dispute, True)
