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
    with refuses(stakes.NotApproved, worker=solver, locker=market):
        market.bid(task, PRICE, sender=solver)


@pytest.mark.parametrize("price", [PRICE, 1])
def test_bid_refuses_too_little_stake(market, stakes, solver, post, refuses, price):
    """One check of four segments: the stake is 1000 * 1.5 * 4, and no bid is too low for it."""
    task = post(steps=40)
    stakes.unbond(STAKED - 5_999, sender=solver)
    with refuses(stakes.NotEnoughFree, worker=solver, free=5_999, needed=6_000):
        market.bid(task, price, sender=solver)


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
def test_bid_refuses_what_is_not_lower(market, solver, verifier, post, refuses, price):
    """The earliest of equals stays."""
    task = post()
    market.bid(task, 500, sender=solver)
    for person in (solver, verifier):
        with refuses(market.NotLower, price=price, best=500):
            market.bid(task, price, sender=person)


def test_a_bid_locks_the_stake_of_the_maximum_price(market, stakes, solver, post):
    """So whoever has the best bid has what answers for the task, as long as the bid stands."""
    task = post(steps=40, checks=2)
    tx = market.bid(task, 10, sender=solver)
    assert tx.events[0] == market.BidPlaced(task=task, worker=solver, price=10)
    assert stakes.locked(solver, market) == 3_000
    assert stakes.free(solver) == STAKED - 3_000
    found = market.task(task)
    assert (found.solver, found.price, found.solverStake) == (solver, 10, 3_000)


def test_who_is_outbid_is_free_at_once(market, stakes, solver, verifier, post):
    task = post()
    market.bid(task, 500, sender=solver)
    market.bid(task, 499, sender=verifier)
    assert stakes.locked(solver, market) == 0 and stakes.free(solver) == STAKED
    assert stakes.locked(verifier, market) == 1_500
    market.bid(task, 498, sender=solver)
    assert stakes.locked(solver, market) == 1_500 and stakes.locked(verifier, market) == 0


def test_who_is_the_best_may_bid_lower_with_the_same_stake(market, stakes, solver, post):
    stakes.unbond(STAKED - 1_500, sender=solver)
    task = post()
    market.bid(task, 500, sender=solver)
    tx = market.bid(task, 400, sender=solver)
    assert tx.events == [market.BidPlaced(task=task, worker=solver, price=400)]
    assert market.task(task).price == 400
    assert stakes.locked(solver, market) == 1_500


def test_a_name_that_is_outbid_may_have_no_approval_left(market, stakes, solver, verifier, post):
    """Nobody can keep its place by making the release fail."""
    task = post()
    market.bid(task, 500, sender=solver)
    stakes.approveLocker(market, False, sender=solver)
    market.bid(task, 499, sender=verifier)
    assert market.task(task).solver == verifier
    assert stakes.free(solver) == STAKED


# --- withdrawBid -------------------------------------------------------------------------------


def test_a_bid_may_be_withdrawn_in_the_first_half(market, stakes, solver, post, refuses, at, now):
    """And not after it: whoever it kept away has the other half to bid."""
    task, other = post(), post()
    for number in (task, other):
        market.bid(number, 500, sender=solver)
    found = market.task(task)
    assert now() < found.withdrawUntil < found.bidUntil
    at(found.withdrawUntil)
    tx = market.withdrawBid(task, sender=solver)
    assert tx.events[0] == market.BidWithdrawn(task=task, worker=solver)
    assert stakes.locked(solver, market) == 1_500
    gone = market.task(task)
    assert int(gone.solver, 16) == gone.price == gone.solverStake == 0
    late = market.task(other).withdrawUntil
    at(late + 1)
    with refuses(market.TooLate, deadline=late):
        market.withdrawBid(other, sender=solver)


def test_the_half_is_of_the_time_from_the_posting(market, post, now):
    task = post(bidUntil=now() + 1_001)
    found = market.task(task)
    assert found.withdrawUntil == now() + (found.bidUntil - now()) // 2


def test_only_the_best_can_be_withdrawn(market, solver, verifier, post, refuses):
    task = post()
    with refuses(market.NotSolver, caller=solver):
        market.withdrawBid(task, sender=solver)
    market.bid(task, 500, sender=solver)
    market.bid(task, 499, sender=verifier)
    with refuses(market.NotSolver, caller=solver, solver=verifier):
        market.withdrawBid(task, sender=solver)


def test_after_a_withdrawal_others_bid_what_they_like(market, stakes, solver, verifier, post):
    task = post()
    market.bid(task, 1, sender=solver)
    market.withdrawBid(task, sender=solver)
    market.bid(task, PRICE, sender=verifier)
    assert market.task(task).solver == verifier
    assert stakes.locked(verifier, market) == 1_500


def test_a_bid_that_won_is_no_longer_withdrawn(market, solver, assign, refuses):
    task = assign()
    with refuses(market.WrongStatus, status=ASSIGNED):
        market.withdrawBid(task, sender=solver)


# --- cancel ------------------------------------------------------------------------------------


def test_a_requester_may_let_its_task_be_while_bids_are_taken(
    market, stakes, token, requester, solver, post, refuses, at
):
    task, late = post(), post()
    market.bid(task, 500, sender=solver)
    with refuses(market.NotRequester, caller=solver, requester=requester):
        market.cancel(task, sender=solver)
    end = market.task(task).bidUntil
    at(end)
    tx = market.cancel(task, sender=requester)
    assert list(tx.events[:2]) == [
        market.Cancelled(task=task),
        market.Credited(account=requester, task=task, amount=PRICE + FEE),
    ]
    found = market.task(task)
    assert (found.status, found.windowEnds, found.withdrawUntil) == (CANCELLED, 0, 0)
    assert stakes.free(solver) == STAKED
    at(market.task(late).bidUntil + 1)
    with refuses(market.BiddingClosed, bidUntil=market.task(late).bidUntil):
        market.cancel(late, sender=requester)
    with refuses(market.WrongStatus, status=CANCELLED):
        market.cancel(task, sender=requester)


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
    market.bid(task, 800, sender=verifier)
    market.bid(task, 700, sender=rivals[0])
    tx = close(task)
    until = now() + terms.commitUntil - terms.bidUntil
    assert tx.events == [
        market.Assigned(task=task, solver=rivals[0], price=700, stake=3_000, commitUntil=until)
    ]
    assigned = market.task(task)
    assert (assigned.solver, assigned.price, assigned.solverStake) == (rivals[0], 700, 3_000)
    assert (assigned.windowEnds, assigned.withdrawUntil) == (0, 0)
    assert stakes.locked(rivals[0], market) == 3_000
    assert stakes.free(rivals[0]) == STAKED - 3_000
    assert stakes.locked(solver, market) == stakes.locked(verifier, market) == 0
    assert market.credit(terms.requester) == 0  # the surplus stays in escrow until the end


def test_no_bid_is_void(market, stakes, solver, post, close, refuses):
    """The best bidder does all it can to have no stake at the close, and is the solver."""
    stakes.unbond(STAKED - 1_500, sender=solver)
    task, second = post(), post()
    market.bid(task, PRICE, sender=solver)
    with refuses(stakes.NotEnoughFree, worker=solver, free=0, needed=1_500):
        market.bid(second, PRICE, sender=solver)
    with refuses(stakes.NotEnoughFree, worker=solver, free=0, needed=1):
        stakes.unbond(1, sender=solver)
    stakes.approveLocker(market, False, sender=solver)
    close(task)
    assert market.task(task).solver == solver
    assert stakes.locked(solver, market) == 1_500


def test_who_wins_to_let_it_expire_pays_a_part_of_the_maximum(
    market, stakes, solver, verifier, post, close, at
):
    """32 names on one floor stake cancelled every task once: now a name that keeps others away
    has its stake locked, and a tenth of the maximum price is burned, though it bid 1."""
    task = post()
    market.bid(task, PRICE, sender=verifier)
    market.bid(task, 1, sender=solver)
    close(task)
    at(market.task(task).commitUntil + 1)
    tx = market.expire(task, sender=verifier)
    assert market.Expired(task=task, solver=solver, penalty=PRICE // 10) in tx.events
    assert stakes.free(solver) == STAKED - PRICE // 10
    assert stakes.locked(solver, market) == 0


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
