"""Parameters under which a market would not be safe are refused."""

import ape
import pytest

from tests.contracts.conftest import (
    BOND,
    DRAW_TIME,
    FINDER_BPS,
    NOBODY,
    OPEN_TIME,
    PARAMETERS,
    UNBONDING,
    UNIT,
)
from tests.contracts.world import World
from tests.evm import address_of_creation


@pytest.mark.parametrize(
    "name, value",
    [
        ("minBidTime", 0),
        ("maxBidTime", PARAMETERS["minBidTime"] - 1),
        ("minCommitTime", 0),
        ("marginBps", 9_999),
        ("latePenaltyBps", 10_001),
        ("floorStake", 0),
        ("minClock", 0),
        ("verifiers", NOBODY),
        ("disputes", NOBODY),
        ("token", NOBODY),
        ("randomness", NOBODY),
    ],
)
def test_refuses(project, make_market, name, value):
    with ape.reverts(project.Market.BadParameter, name=name.encode().ljust(32, b"\0")):
        make_market(**{name: value})


def test_refuses_stakes_in_another_token(project, deployer, make_market):
    other = deployer.deploy(project.TestToken)
    with ape.reverts(project.Market.BadParameter, name=b"token".ljust(32, b"\0")):
        make_market(token=other.address)


def test_refuses_verifiers_of_another_market_or_other_stakes(
    project, deployer, token, stakes, make_market
):
    """Protects duties and fines: they are given and ended by the market that draws, out of the
    stakes that it knows."""
    bad = b"verifiers".ljust(32, b"\0")
    other = deployer.deploy(project.Stakes, token, UNBONDING)
    of_another = deployer.deploy(project.Verifiers, deployer, stakes, UNIT, DRAW_TIME)
    with ape.reverts(project.Market.BadParameter, name=bad):
        make_market(verifiers=of_another.address)
    expected = address_of_creation(deployer.address, deployer.nonce + 1)
    elsewhere = deployer.deploy(project.Verifiers, expected, other, UNIT, DRAW_TIME)
    with ape.reverts(project.Market.BadParameter, name=bad):
        make_market(verifiers=elsewhere.address)


def test_refuses_bounds_of_the_clock_that_exclude_each_other(project, make_market):
    with ape.reverts(project.Market.BadParameter, name=b"maxClock".ljust(32, b"\0")):
        make_market(minClock=61, maxClock=60)
    make_market(minClock=60, maxClock=60)


def test_disputes_tell_what_they_were_made_with(disputes, market, court, stakes):
    assert disputes.market() == market
    assert market.disputes() == disputes
    assert (disputes.court(), disputes.stakes()) == (court, stakes)
    assert (disputes.openTime(), disputes.finderBps(), disputes.bond()) == (
        OPEN_TIME,
        FINDER_BPS,
        BOND,
    )


def test_tells_its_parameters(market, token, stakes, verifiers, disputes, randomness):
    told = market.parameters()
    for name, value in PARAMETERS.items():
        assert getattr(told, name) == value
    assert told.token == market.token() == token
    assert told.stakes == market.stakes() == stakes
    assert told.verifiers == market.verifiers() == verifiers
    assert told.disputes == market.disputes() == disputes
    assert told.randomness == market.randomness() == randomness


@pytest.mark.parametrize(
    "price, segments, checks, stake",
    [
        (1, 1, 1, 100),  # the floor
        (66, 1, 1, 100),
        (67, 1, 1, 101),  # 100.5, rounded up
        (1_000, 1, 1, 1_500),
        (1_000, 4, 4, 1_500),
        (1_000, 4, 1, 6_000),  # one segment in four is checked: four times the stake
        (1_000, 256, 3, 128_000),
        (1_000, 7, 3, 3_500),
    ],
)
def test_solver_stake(market, price, segments, checks, stake):
    assert market.solverStake(price, segments, checks) == stake


def test_what_a_verifier_answers_for(market):
    assert market.liability(0) == 100
    assert market.liability(67) == 101
    assert market.liability(1_000) == 1_500


def test_verifiers_are_made_for_their_market(market, verifiers, stakes):
    """Protects duties and fines: nobody else gives or ends them, and nobody can change it."""
    assert verifiers.market() == market
    assert verifiers.stakes() == stakes
    assert verifiers.unitStake() == UNIT
    assert verifiers.drawTime() == DRAW_TIME


def test_fits_a_contract():
    """Protects what is to come: a contract has 24,576 bytes at most."""
    world = World(0)
    assert len(world.evm.get_code(world.market.address)) <= 20_000
