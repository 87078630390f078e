"""What an accusation costs from the filing to the division of the stake, transactions included.

On the stub court, so that what the court itself spends is left out, but for `opening`.
"""

import pytest

from tests.contracts.accused import Accused
from tests.contracts.conftest import OPEN_TIME
from tests.contracts.court_fixtures import CHECKERS

OPENING = 400_000
START = 220_000
# gas, each a transaction of its own
MOST = {
    "accuse": 165_000,
    "unseal": 80_000,
    "verdict": 70_000,
    "lost": 110_000,
    "lapse": 80_000,
    "dismiss": 70_000,
    "punish": 220_000,
}


def cost(world, act):
    act()
    return world.evm.result.gas_used


@pytest.fixture(scope="module")
def found():
    """The gas of each act, the first accusation of its kind in its task."""
    world = Accused()
    a, b, c, _ = world.accusers
    gas = {"accuse": cost(world, lambda: world.accuse(a))}
    gas["unseal"] = cost(world, lambda: world.unseal(0))
    gas["start"] = cost(world, world.start)
    gas["lost"] = cost(world, lambda: world.decide(False))
    world.accuse(b)
    world.seal_over(1)
    gas["lapse"] = cost(world, lambda: world.lapse(1))
    gas["second accuse"] = cost(world, lambda: world.accuse(b))
    world.unseal(2)
    world.opened(c)
    world.opened(world.verifier)
    world.start()
    gas["verdict"] = cost(world, lambda: world.decide(True))
    gas["dismiss"] = cost(world, lambda: world.dismiss(3))
    world.reach(world.queue(0).convictedAt + OPEN_TIME + 1)
    gas["punish"] = cost(world, lambda: world.act(world.stranger, world.disputes, "punish", 0))
    return gas


@pytest.mark.parametrize("act", MOST)
def test_no_act_is_dear(found, act):
    """Protects whoever is right: its gas is less than the bond that the loser leaves is worth."""
    print(act, found[act])
    assert found[act] <= MOST[act]


class Tried(Accused):
    """With the real court."""

    def _deploy(self, name, *arguments):
        if name != "StubCourt":
            return super()._deploy(name, *arguments)
        return super()._deploy(
            "Court", 5, [super(Tried, self)._deploy(c).address for c in CHECKERS]
        )


def test_what_opening_a_dispute_costs():
    """Protects the honest accuser's purse: filing, unsealing and starting, with the real court."""
    world = Tried()
    gas = {
        "accuse": cost(world, lambda: world.accuse(world.accusers[0])),
        "unseal": cost(world, lambda: world.unseal(0)),
        "start": cost(world, world.start),
    }
    print(gas, "opening", sum(gas.values()))
    assert sum(gas.values()) <= OPENING
    assert gas["start"] <= START
