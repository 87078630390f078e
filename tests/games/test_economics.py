"""Whoever is wrong in a dispute pays for the other side's gas, at the prices that a deployment's
parameters were made for. On a node, whose gas is what a chain would charge."""

from __future__ import annotations

import pytest
import yaml

from benchmarks.node import node
from scripts._bond import UNITS, GasPrices, least
from tests.games.players import Liar, Quitter, a_node, decoded, hear, time_out, verdicts
from tests.games.world import ROLES, World
from tests.revm import address_of
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
    disputes = yaml.safe_load(text)["disputes"]
    bond = prices.least_bond()
    floor = least(prices, {**disputes, "bond": bond})["market.floorStake"]
    terms = {"finderBps": disputes["finderBps"], "bond": bond, "floorStake": floor}
    return World(chain=chain, parameters={**terms, "unitStake": bond}, unit=10**15)


def cheat():
    return WrongElement.at(step=STEP, node=a_node("DOT"), element=17, bit=3)


class Books:
    """Gas and stake of everyone since now."""

    def __init__(self, world, prices):
        self.world, self.prices, self.since = world, prices, len(world.chain.sent)
        self.before = {role: self.stake(role) for role in ROLES}

    def stake(self, role):
        """Free, and locked for whatever reason."""
        stakes, me = self.world.desks["outsider"].stakes, self.world.people[role]
        system = self.world.system
        return stakes.free(me) + sum(stakes.locked(me, x) for x in (system.market, system.disputes))

    def spent(self, role):
        """What its transactions have cost, in wei."""
        sender = address_of(role)
        sent = self.world.chain.sent[self.since :]
        return self.prices.price * sum(s.gas for s in sent if s.sender == sender)

    def paid(self, role):
        """What its stake is more than it was, in wei; of a loss the units that are lost."""
        more = self.stake(role) - self.before[role]
        return more * self.prices.token // UNITS if more > 0 else more


def test_a_griefer_that_plays_to_the_last_move_pays_the_solvers_gas(world, prices):
    """It accuses honest work, makes the solver show all down to the last leaf, has nothing to
    prove, and lets its clock run out: its bond is worth more than the solver's gas."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    books = Books(world, prices)
    griefer = Liar(world.desks["outsider"], SEGMENT, cheat())
    world.play(griefer, solver)
    assert griefer.refused == "ElementFollows"
    sent = world.chain.sent[books.since :]
    shown = {s.label for s in sent if s.sender == address_of("solver")}
    assert {"court.revealRoots", "court.revealTrace", "court.revealLeaf"} <= shown
    assert world.task(number).status == Status.VERIFYING
    time_out(world)
    assert verdicts(world) == ["time"]
    assert 0 < books.spent("solver") < books.paid("solver")
    least = prices.solver * prices.price
    assert books.paid("solver") == least, "the bond is no more than it has to be"
    assert books.paid("outsider") == -prices.least_bond()


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_a_guilty_solver_pays_its_accusers_gas(world, prices, silent, shared):
    """Convicted by proof, or silent from the trace on: of the least stake, whoever convicts has
    more than its gas, be it that another one had found the same first; and that one has too."""
    desk = world.desk("solver", computation_of=cheat())
    number, solver = world.commit(world.job(), desk)
    if silent:
        quitter = Quitter(desk, {Phase.STEP})
        solver = quitter
    books, verifier = Books(world, prices), Verifier(world.desks["verifier"])
    finder = Verifier(world.desks["outsider"], volunteer=True)
    accusers = [verifier]
    if shared:
        while not world.desks["outsider"].disputes.queue(number).filed:
            assert finder.checks.tick()
        accusers.append(finder)
    while len(world.desks["outsider"].accusations(number)) < len(accusers):
        assert verifier.checks.tick()
    world.play(solver, *accusers)
    if silent:
        time_out(world)
    assert verdicts(world) == ["time" if silent else "element"]
    assert world.task(number).status == Status.CONDEMNED
    time_out(world)
    spent, paid = books.spent("verifier"), books.paid("verifier")
    assert 0 < spent < paid
    least = prices.challenger * prices.price
    if shared:
        assert least <= paid <= 1.001 * least, "the floor is no more than it has to be"
        assert 0 < books.spent("outsider") < books.paid("outsider")
    else:
        assert paid > least and books.paid("outsider") == 0
    floor = world.desks["outsider"].market.parameters().floor_stake
    assert books.paid("solver") == -floor
    credit = world.desks["outsider"].market.credit(world.people["solver"])
    assert credit == 0


def test_a_demand_that_is_answered_pays_for_the_answer(world, prices):
    """Whoever demands data that is there pays the solver more than the gas of showing it."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    books, desk = Books(world, prices), world.desks["outsider"]
    desk.disputes.demand(number, SEGMENT, 7)
    hear(desk, number)
    world.play(solver)
    assert verdicts(world) == ["data"]
    assert 0 < books.spent("solver") < books.paid("solver")
    assert not world.task(number).held
