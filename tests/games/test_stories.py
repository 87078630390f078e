"""Whole tasks with the real roles, on a native EVM: who ends up with what."""

from __future__ import annotations

import pytest

from tests.games.world import FEE, PRICE, ROLES, WEALTH, World, small_training
from worker.chain.events import ElementTried
from worker.chain.types import Status
from worker.roles import Verifier, load_state
from worker.simulation import WrongElement, WrongReport, WrongState


@pytest.fixture
def world():
    return World()


def gains(world):
    world.finish()
    assert world.all_tokens() == WEALTH * len(ROLES), "tokens are conserved"
    return {role: world.wealth(role) - WEALTH for role in ROLES}


def test_an_honest_task_pays_solver_and_verifier(world):
    """The happy story: price to the solver, fee to the verifier, the trained state in the store."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).attested
    assert gains(world) == {
        "requester": -PRICE - FEE,
        "solver": PRICE,
        "verifier": FEE,
        "outsider": 0,
    }
    assert world.task(number).status == Status.SETTLED
    program, *_ = small_training()
    last = world.desks["requester"].market.segment(number, 2).state
    assert len(load_state(world.store, program, last)) == program.state_count


def condemned(world, cheat):
    """A cheat and an honest verifier: the cheat's stake is slashed and the requester refunded."""
    desk = world.desk("solver", computation_of=cheat)
    number, solver = world.commit(world.job(), desk)
    verifier = Verifier(world.desks["verifier"])
    world.play(solver, verifier)
    assert world.task(number).status == Status.CONDEMNED
    found = gains(world)
    assert found["solver"] < -PRICE
    assert found["requester"] == 0
    assert found["verifier"] > 0
    return world.desks["outsider"].court.events(0)


def test_a_wrong_element_is_condemned(world):
    """One bit of one element of one node of one step costs the cheat its stake."""
    program, *_ = small_training()
    # the gradient of the last layer's weights
    node = max(i for i, n in enumerate(program.nodes) if n.name == "DOT")
    events = condemned(world, WrongElement.at(step=5, node=node, element=17, bit=3))
    tried = [e for e in events if isinstance(e, ElementTried)]
    assert [(e.node, e.element) for e in tried] == [(node, 17)]
    assert tried[0].committed ^ tried[0].recomputed == 1 << 3


def test_a_wrong_state_is_condemned(world):
    """A next state that the trace did not produce is found although the trace is right."""
    condemned(world, WrongState.at(step=3, tensor=2, element=1))


def test_a_wrong_report_is_condemned(world):
    """A loss that the trace did not produce is found although every state is right."""
    condemned(world, WrongReport.at(step=6))
