"""Posting a task: what is refused, and where the escrow goes."""

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak

from tests.contracts.conftest import CLOCK, FEE, OPEN, PARAMETERS, PRICE, UNBONDING, WEALTH

JOB_TYPE = "(bytes32,bytes32,bytes32,uint32,uint64,uint64,uint64,uint64)"


@pytest.mark.parametrize("changes", [{"steps": 0}, {"segmentSteps": 0}])
def test_refuses_no_steps(market, post, refuses, changes):
    with refuses(market.ZeroSteps):
        post(**changes)


@pytest.mark.parametrize("changes", [{"rows": 0}, {"dataTensors": 0}])
def test_refuses_no_data(market, post, refuses, changes):
    with refuses(market.EmptyDataSet):
        post(**changes)


def test_refuses_more_rows_than_the_permutation_orders(market, post, refuses):
    with refuses(market.TooManyRows, rows=2**32 + 1, most=2**32):
        post(rows=2**32 + 1)
    post(rows=2**32)


def test_refuses_too_many_segments(market, post, refuses):
    with refuses(market.TooManySegments, segments=257, most=256):
        post(steps=257, segmentSteps=1)
    with refuses(market.TooManySegments, segments=2**64 - 1, most=256):
        post(steps=2**64 - 1, segmentSteps=1)


def test_refuses_no_price(market, post, refuses):
    with refuses(market.ZeroPrice):
        post(maxPrice=0)


@pytest.mark.parametrize("changes", [{"maxPrice": 2**96}, {"verifierFee": 2**96}])
def test_refuses_amounts_that_do_not_fit(market, post, refuses, changes):
    with refuses(market.AmountTooLarge, amount=2**96, most=2**96 - 1):
        post(**changes)


@pytest.mark.parametrize("checks", [0, 4, 2**32 - 1])
def test_refuses_checks_that_cannot_be_made(market, post, refuses, checks):
    with refuses(market.ChecksOutOfRange, checks=checks, segments=3):
        post(steps=25, checks=checks)


@pytest.mark.parametrize(
    "clock", [0, PARAMETERS["minClock"] - 1, PARAMETERS["maxClock"] + 1, 2**24]
)
def test_refuses_a_clock_out_of_bounds(market, post, refuses, clock):
    """Too short, nobody can answer; too long, a task is held for ever."""
    bounds = {"least": PARAMETERS["minClock"], "most": PARAMETERS["maxClock"]}
    with refuses(market.BadClock, clock=clock, **bounds):
        post(clock=clock)


@pytest.mark.parametrize("clock", [PARAMETERS["minClock"], PARAMETERS["maxClock"]])
def test_takes_a_clock_at_the_bounds(market, post, clock):
    assert market.task(post(clock=clock)).clock == clock


def test_deadlines_to_the_second(market, post, refuses, now, at):
    then = now() + 100
    for bid_in, commit_in in (
        (PARAMETERS["minBidTime"] - 1, 10_000),
        (500, 500 + PARAMETERS["minCommitTime"] - 1),
        (500, 2**32 + 1),
        (PARAMETERS["maxBidTime"] + 1, PARAMETERS["maxBidTime"] + 10_000),
        (2**40, 2**40 + 500),
        (2**63, 2**63 + 500),
    ):
        then += 100
        at(then)
        with refuses(
            market.BadDeadlines,
            earliestBidUntil=then + PARAMETERS["minBidTime"],
            latestBidUntil=then + PARAMETERS["maxBidTime"],
            earliestCommitUntil=then + bid_in + PARAMETERS["minCommitTime"],
        ):
            post(bidUntil=then + bid_in, commitUntil=then + commit_in)
    least, most = PARAMETERS["minBidTime"], PARAMETERS["maxBidTime"]
    for bid_in, commit_in in (
        (least, least + PARAMETERS["minCommitTime"]),
        (most, most + PARAMETERS["minCommitTime"]),
        (least, 2**32),
    ):
        then += 100
        at(then)
        post(bidUntil=then + bid_in, commitUntil=then + commit_in)


def test_refuses_who_cannot_pay(market, token, post, solver, outsider, holdings):
    before = holdings()
    with ape.reverts():
        post(sender=solver)
    with ape.reverts():
        post(sender=outsider, maxPrice=WEALTH, verifierFee=1)
    assert holdings() == before
    assert market.tasks() == 0


def test_refuses_a_fee_on_transfer(project, deployer, requester, make_market, make_job, make_terms):
    token = deployer.deploy(project.FeeToken)
    stakes = deployer.deploy(project.Stakes, token, UNBONDING)
    market = make_market(token=token.address, stakes=stakes.address)
    token.mint(requester, WEALTH, sender=requester)
    token.approve(market, WEALTH, sender=requester)
    with ape.reverts(market.WrongAmountReceived, received=PRICE + FEE - 1, expected=PRICE + FEE):
        market.post(make_job(), make_terms(), sender=requester)
    assert token.balanceOf(requester) == WEALTH


def test_refuses_unknown_tasks(market):
    with ape.reverts(market.UnknownTask, task=0):
        market.task(0)
    with ape.reverts(market.UnknownTask, task=3):
        market.segment(3, 0)


def test_post(market, token, requester, make_job, make_terms):
    job, terms = make_job(steps=25), make_terms(checks=2)
    tx = market.post(job, terms, sender=requester)
    assert [event.event_name for event in tx.events] == ["Posted", "Transfer"]
    assert tx.events[0].task == 0
    assert list(tx.events[0].job) == list(job.values())
    assert list(tx.events[0].terms) == list(terms.values())
    assert token.balanceOf(market) == PRICE + FEE
    assert token.balanceOf(requester) == WEALTH - PRICE - FEE

    task = market.task(0)
    assert task.requester == requester
    assert task.status == OPEN
    assert (task.segments, task.checks) == (3, 2)
    assert (task.maxPrice, task.verifierFee) == (PRICE, FEE)
    assert (task.bidUntil, task.commitUntil) == (terms["bidUntil"], terms["commitUntil"])
    assert task.job == keccak(encode([JOB_TYPE], [tuple(job.values())]))
    assert (task.committed, task.price, task.solverStake) == (0, 0, 0)
    assert (task.held, task.clock) == (False, CLOCK)
    assert market.tasks() == 1
    assert int(task.solver, 16) == 0


@pytest.mark.parametrize(
    "steps, segment_steps, segments",
    [(1, 1, 1), (1, 2**64 - 1, 1), (256, 1, 256), (2**64 - 1, 2**63, 2), (511, 2, 256)],
)
def test_segments_are_rounded_up(market, post, steps, segment_steps, segments):
    assert market.task(post(steps=steps, segmentSteps=segment_steps)).segments == segments
