"""Parameters under which a market would not be safe are refused."""

import ape
import pytest

from tests.contracts.conftest import BOND, FINDER_BPS, NOBODY, OPEN_TIME, PARAMETERS


@pytest.mark.parametrize(
    "name, value",
    [
        ("minBidTime", 0),
        ("minCommitTime", 0),
        ("marginBps", 9_999),
        ("latePenaltyBps", 10_001),
        ("floorStake", 0),
        ("minClock", 0),
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


def test_tells_its_parameters(market, token, stakes, disputes, randomness):
    told = market.parameters()
    for name, value in PARAMETERS.items():
        assert getattr(told, name) == value
    assert told.token == market.token() == token
    assert told.stakes == market.stakes() == stakes
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


def test_verifier_stake(market):
    assert market.verifierStake(0) == 100
    assert market.verifierStake(67) == 101
    assert market.verifierStake(1_000) == 1_500


def test_fits_a_contract(project):
    code = project.Market.contract_type.runtime_bytecode.bytecode
    assert (len(code) - 2) // 2 <= 24_576
