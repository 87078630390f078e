"""Whoever is wrong in a dispute pays for the other side's gas, at the prices that the market's
parameters were made for. On a node, whose gas is what a chain would charge."""

from __future__ import annotations

import pytest
import yaml

from benchmarks.node import node
from scripts._bond import UNITS, GasPrices, least
from tests.games.players import Liar, Quitter, a_node, decoded, time_out, verdicts
from tests.games.world import World
from tests.revm import address_of
from worker.chain.events import Challenged
from worker.chain.types import Phase, Status
from worker.program import Program
from worker.roles import Verifier
from worker.simulation import WrongElement

PARAMETERS = "deployments/local.yaml"
STEP = 5
SEGMENT = 1


@pytest.fixture(scope="module")
def chain():
    with node() as chain:
        yield chain


@pytest.fixture
def prices(pytestconfig):
    text = (pytestconfig.rootpath / PARAMETERS).read_text()
    return GasPrices(**yaml.safe_load(text)["gas"])


@pytest.fixture
def world(chain, prices, pytestconfig, monkeypatch):
    """A market of which the bond and the floor are the least that a deployment accepts."""
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    text = (pytestconfig.rootpath / PARAMETERS).read_text()
    market = yaml.safe_load(text)["market"]
    shares = {name: market[name] for name in ("challengerBps", "requesterBps")}
    return World(chain=chain, parameters={**shares, **least(prices, market)}, unit=10**15)


def cheat():
    return WrongElement.at(step=STEP, node=a_node("DOT"), element=17, bit=3)


def cost(world, prices, role, since):
    """What a role's transactions since then cost in wei."""
    sender = address_of(role)
    return prices.price * sum(s.gas for s in world.chain.sent[since:] if s.sender == sender)


def credit(world, prices, role):
    """What a role is owed, in wei."""
    return world.desks["outsider"].market.credit(world.people[role]) * prices.token // UNITS


def test_a_griefer_that_plays_to_the_last_move_pays_the_solvers_gas(world, prices):
    """It opens a dispute about honest work, makes the solver show all down to the last leaf, has
    nothing to prove, and lets its clock run out: its bond is worth more than the solver's gas."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    since = len(world.chain.sent)
    griefer = Liar(world.desks["outsider"], SEGMENT, cheat())
    world.play(griefer, solver)
    assert griefer.refused == "ElementFollows"
    shown = {s.label for s in world.chain.sent[since:] if s.sender == address_of("solver")}
    assert {"court.revealRoots", "court.revealTrace", "court.revealLeaf"} <= shown
    time_out(world)
    assert verdicts(world) == ["time"]
    spent, paid = cost(world, prices, "solver", since), credit(world, prices, "solver")
    assert 0 < spent < paid
    assert paid == prices.solver * prices.price, "the bond is no more than it has to be"
    assert credit(world, prices, "outsider") == 0
    assert world.task(number).status == Status.VERIFYING


@pytest.mark.parametrize("silent", [False, True])
def test_a_guilty_solver_pays_its_challengers_gas(world, prices, silent):
    """Convicted by proof, or silent from the trace on: the challenger's part of the least stake is
    worth more than its gas, and it has its bond back."""
    desk = world.desk("solver", computation_of=cheat())
    number, solver = world.commit(world.job(), desk)
    if silent:
        quitter = Quitter(desk, {Phase.STEP})
        solver = quitter
    since = len(world.chain.sent)
    world.play(solver, Verifier(world.desks["verifier"]))
    if silent:
        time_out(world)
    assert verdicts(world) == ["time" if silent else "element"]
    assert world.task(number).status == Status.CONDEMNED
    bond = world.desks["outsider"].market.parameters().bond * prices.token // UNITS
    spent, paid = cost(world, prices, "verifier", since), credit(world, prices, "verifier") - bond
    assert 0 < spent < paid
    assert prices.challenger * prices.price <= paid <= 1.001 * prices.challenger * prices.price
    assert credit(world, prices, "solver") == 0


def test_a_demand_that_is_answered_pays_for_the_answer(world, prices):
    """Whoever demands data that is there pays the solver more than the gas of showing it."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    since = len(world.chain.sent)
    desk = world.desks["outsider"]
    desk.market.demand(number, desk.job(number), SEGMENT, 7).one(Challenged)
    world.play(solver)
    assert verdicts(world) == ["data"]
    spent, paid = cost(world, prices, "solver", since), credit(world, prices, "solver")
    assert 0 < spent < paid
    assert world.task(number).open_disputes == 0
