"""Parameters under which a market would not be safe are refused."""

import ape
import pytest

from tests.contracts.conftest import CLOCK, NOBODY, PARAMETERS, UNBONDING


@pytest.mark.parametrize(
    "name, value",
    [
        ("challengeWindow", 0),
        ("minBidTime", 0),
        ("minCommitTime", 0),
        ("marginBps", 9_999),
        ("latePenaltyBps", 10_001),
        ("floorStake", 0),
        ("bond", 0),
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


def test_refuses_a_slash_that_only_moves_money(project, make_market):
    """Where challenger and requester get the whole stake, slashing oneself costs nothing."""
    with ape.reverts(project.Market.BadParameter, name=b"requesterBps".ljust(32, b"\0")):
        make_market(challengerBps=5_000, requesterBps=5_000)
    make_market(challengerBps=5_000, requesterBps=4_999)


def test_refuses_stake_that_leaves_before_disputes_end(project, make_market):
    with ape.reverts(project.Market.BadParameter, name=b"unbondingDelay".ljust(32, b"\0")):
        make_market(challengeWindow=UNBONDING - 2 * CLOCK)
    make_market(challengeWindow=UNBONDING - 2 * CLOCK - 1)


def test_tells_its_parameters(market, token, stakes, court, randomness):
    told = market.parameters()
    for name, value in PARAMETERS.items():
        assert getattr(told, name) == value
    assert told.token == market.token() == token
    assert told.stakes == market.stakes() == stakes
    assert told.court == market.court() == court
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
