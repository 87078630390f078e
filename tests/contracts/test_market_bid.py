"""Bids, and the close that chooses among them."""

import pytest

from tests.contracts.conftest import ASSIGNED, CANCELLED, FEE, PRICE, STAKED


@pytest.fixture(scope="module", autouse=True)
def everyone(workers, make_worker, market, rivals):
    for rival in rivals:
        make_worker(rival, market)


@pytest.fixture
def close(market, outsider, at):
    def close(task):
        at(market.task(task).bidUntil + 1)
        return market.close(task, sender=outsider)

    return close


# --- bid ---------------------------------------------------------------------------------------


def test_bid_refuses_an_unknown_task(market, solver, refuses):
    with refuses(market.UnknownTask, task=0):
        market.bid(0, 1, sender=solver)


def test_bid_refuses_a_price_of_zero(market, solver, post, refuses):
    task = post()
    with refuses(market.ZeroPrice):
        market.bid(task, 0, sender=solver)


@pytest.mark.parametrize("price", [PRICE + 1, 2**96 + 1, 2**128 - 1])
def test_bid_refuses_more_than_the_most(market, solver, post, refuses, price):
    task = post()
    with refuses(market.PriceTooHigh, price=price, maxPrice=PRICE):
        market.bid(task, price, sender=solver)


def test_bid_refuses_who_has_not_approved_the_market(market, stakes, solver, post, refuses):
    task = post()
    stakes.approveLocker(market, False, sender=solver)
    with refuses(market.NotALocker, worker=solver):
        market.bid(task, PRICE, sender=solver)


def test_bid_refuses_too_little_stake(market, stakes, solver, post, refuses):
    """One check of four segments: the stake is 1000 * 1.5 * 4."""
    task = post(steps=40)
    stakes.unbond(STAKED - 5_999, sender=solver)
    with refuses(market.NotEnoughStake, worker=solver, free=5_999, needed=6_000):
        market.bid(task, PRICE, sender=solver)
    market.bid(task, PRICE - 1, sender=solver)


def test_bid_to_the_last_second(market, solver, verifier, post, refuses, at):
    task = post()
    end = market.task(task).bidUntil
    at(end)
    market.bid(task, PRICE, sender=solver)
    at(end + 1)
    with refuses(market.BiddingClosed, bidUntil=end):
        market.bid(task, PRICE, sender=verifier)


def test_bid_refuses_once_assigned(market, solver, verifier, assign, refuses):
    task = assign()
    with refuses(market.WrongStatus, status=ASSIGNED):
        market.bid(task, 1, sender=verifier)


@pytest.mark.parametrize("price", [500, 501])
def test_bid_refuses_a_second_bid_that_is_not_lower(market, solver, post, refuses, price):
    task = post()
    market.bid(task, 500, sender=solver)
    with refuses(market.AlreadyBid, worker=solver):
        market.bid(task, price, sender=solver)


def test_a_lower_bid_takes_the_place_of_the_first(market, solver, verifier, rivals, post):
    task = post()
    market.bid(task, 500, sender=solver)
    market.bid(task, 400, sender=verifier)
    market.bid(task, 450, sender=rivals[0])
    tx = market.bid(task, 400, sender=solver)
    assert tx.events == [market.BidPlaced(task=task, worker=solver, price=400)]
    assert [(b.worker, b.price) for b in market.bids(task)] == [
        (verifier, 400),
        (rivals[0], 450),
        (solver, 400),
    ]


def test_a_bid_locks_nothing(market, stakes, solver, post):
    task = post()
    market.bid(task, PRICE, sender=solver)
    assert stakes.free(solver) == STAKED
    assert stakes.locked(solver, market) == 0


# --- close -------------------------------------------------------------------------------------


def test_close_refuses_an_unknown_task(market, outsider, refuses):
    with refuses(market.UnknownTask, task=7):
        market.close(7, sender=outsider)


def test_close_refuses_up_to_the_last_second_of_bidding(market, solver, post, refuses, at):
    task = post()
    market.bid(task, PRICE, sender=solver)
    end = market.task(task).bidUntil
    at(end)
    with refuses(market.BiddingOpen, bidUntil=end):
        market.close(task, sender=solver)
    at(end + 1)
    market.close(task, sender=solver)
    assert market.task(task).status == ASSIGNED


def test_close_refuses_twice(market, assign, outsider, refuses):
    task = assign()
    with refuses(market.WrongStatus, status=ASSIGNED):
        market.close(task, sender=outsider)


def test_close_without_bids_refunds(market, token, requester, post, close):
    task = post()
    before = token.balanceOf(requester)
    tx = close(task)
    assert tx.events == [
        market.Cancelled(task=task),
        market.Credited(account=requester, task=task, amount=PRICE + FEE),
    ]
    assert market.task(task).status == CANCELLED
    market.withdraw(sender=requester)
    assert token.balanceOf(requester) == before + PRICE + FEE
    assert token.balanceOf(market) == 0


def test_close_takes_the_cheapest(market, stakes, solver, verifier, rivals, post, close, now):
    task = post(steps=40, checks=2)
    terms = market.task(task)
    market.bid(task, 900, sender=solver)
    market.bid(task, 700, sender=rivals[0])
    market.bid(task, 800, sender=verifier)
    tx = close(task)
    until = now() + terms.commitUntil - terms.bidUntil
    assert tx.events[0] == market.Assigned(
        task=task, solver=rivals[0], price=700, stake=2_100, commitUntil=until
    )
    assigned = market.task(task)
    assert (assigned.solver, assigned.price, assigned.solverStake) == (rivals[0], 700, 2_100)
    assert stakes.locked(rivals[0], market) == 2_100
    assert stakes.free(rivals[0]) == STAKED - 2_100
    assert stakes.locked(solver, market) == 0
    assert market.credit(terms.requester) == 0  # the surplus stays in escrow until the end


def test_close_takes_the_earliest_of_equals(market, solver, verifier, rivals, post, close):
    task = post()
    market.bid(task, 900, sender=solver)
    market.bid(task, 700, sender=rivals[0])
    market.bid(task, 700, sender=verifier)
    market.bid(task, 700, sender=solver)
    close(task)
    assert market.task(task).solver == rivals[0]


def test_close_passes_over_who_has_lost_its_stake(
    market, stakes, solver, verifier, rivals, post, close
):
    task = post()
    market.bid(task, 600, sender=solver)
    market.bid(task, 700, sender=rivals[0])
    market.bid(task, 800, sender=verifier)
    stakes.unbond(STAKED - 899, sender=solver)
    stakes.approveLocker(market, False, sender=rivals[0])
    close(task)
    assert market.task(task).solver == verifier
    assert stakes.free(solver) == 899


def test_close_cancels_where_nobody_has_stake_left(market, stakes, solver, post, close):
    task = post()
    market.bid(task, 600, sender=solver)
    stakes.unbond(STAKED, sender=solver)
    close(task)
    assert market.task(task).status == CANCELLED


def test_one_stake_answers_for_one_task(market, stakes, solver, post, close):
    """The solver bids for two tasks with stake for one: the second is cancelled."""
    stakes.unbond(STAKED - 1_500, sender=solver)
    first, second = post(), post()
    market.bid(first, PRICE, sender=solver)
    market.bid(second, PRICE, sender=solver)
    close(first)
    market.close(second, sender=solver)
    assert market.task(first).status == ASSIGNED
    assert market.task(second).status == CANCELLED
    assert stakes.free(solver) == 0


def test_a_late_close_leaves_the_solver_its_time(market, solver, outsider, post, at):
    """Nobody is late because somebody else was."""
    task = post()
    terms = market.task(task)
    market.bid(task, PRICE, sender=solver)
    at(terms.commitUntil)
    market.close(task, sender=outsider)
    assert market.task(task).commitUntil == 2 * terms.commitUntil - terms.bidUntil


def test_a_bid_does_not_bind_for_ever(market, stakes, solver, outsider, post, at):
    task = post()
    market.bid(task, PRICE, sender=solver)
    at(market.task(task).commitUntil + 1)
    market.close(task, sender=outsider)
    assert market.task(task).status == CANCELLED
    assert stakes.free(solver) == STAKED


def test_a_requester_may_win_its_own_task(market, requester, post, close, make_worker):
    """As it could under another name; the escrow then goes in a circle."""
    make_worker(requester, market)
    task = post()
    market.bid(task, 1, sender=requester)
    close(task)
    assert market.task(task).solver == requester
