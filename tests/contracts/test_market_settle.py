"""The good end, and the money's way out."""

import pytest

from tests.contracts.conftest import (
    COMMITTED,
    FEE,
    IN_UNITS,
    PRICE,
    SETTLED,
    STAKED,
    UNBONDING,
    UNITS,
    WEALTH,
)


def test_settle_refuses_before_the_draw(market, outsider, commit, refuses):
    task = commit()
    with refuses(market.WrongStatus, status=COMMITTED):
        market.settle(task, sender=outsider)


def test_settle_refuses_up_to_the_last_second(market, outsider, draw, refuses, at):
    task = draw()
    end = market.task(task).windowEnds
    at(end)
    with refuses(market.TooEarly, deadline=end):
        market.settle(task, sender=outsider)
    at(end + 1)
    market.settle(task, sender=outsider)
    with refuses(market.WrongStatus, status=SETTLED):
        market.settle(task, sender=outsider)


def test_settle_waits_for_every_accusation(market, outsider, draw, accuse, try_next, refuses, at):
    task = draw()
    accuse(task), accuse(task)
    at(market.task(task).windowEnds + 1)
    for _ in range(2):
        with refuses(market.IsHeld):
            market.settle(task, sender=outsider)
        try_next(task, False)
    market.settle(task, sender=outsider)


def test_settle_attested(
    market, stakes, verifiers, token, requester, solver, verifier, outsider, draw, at
):
    task = draw(price=800)
    market.attest(task, sender=verifier)
    at(market.task(task).windowEnds + 1)
    tx = market.settle(task, sender=outsider)
    assert market.Settled(task=task, solver=solver, price=800) in tx.events
    assert market.task(task).status == SETTLED
    assert market.credit(solver) == 800
    assert market.credit(requester) == PRICE - 800
    assert market.credit(verifier) == FEE
    assert (stakes.free(solver), stakes.locked(solver, market)) == (STAKED, 0)
    assert stakes.locked(verifier, verifiers) == IN_UNITS
    assert verifiers.duties(verifier) == 0
    for account in (solver, requester, verifier):
        market.withdraw(sender=account)
    assert token.balanceOf(market) == 0
    assert token.balanceOf(solver) == 800


@pytest.mark.parametrize(
    "fee, penalty",
    [
        (300, 45),  # a tenth of the 450 that it answers for
        (8, 8),  # a tenth of 100, but no more than the fee
        (0, 0),
    ],
)
def test_settle_with_a_silent_verifier(
    market, stakes, verifiers, requester, solver, verifier, outsider, draw, at, fee, penalty
):
    task = draw(verifierFee=fee)
    at(market.task(task).windowEnds + 1)
    tx = market.settle(task, sender=outsider)
    told = market.VerifierPenalised(task=task, verifier=verifier, slashed=penalty)
    assert (told in tx.events) == (penalty > 0)
    assert market.credit(solver) == PRICE
    assert market.credit(requester) == fee
    assert market.credit(verifier) == 0
    assert stakes.burned() == penalty
    assert stakes.locked(verifier, verifiers) == IN_UNITS - penalty
    assert verifiers.unitsOf(verifier) == UNITS - (penalty > 0)


def test_settle_where_nobody_was_drawn(
    market, stakes, verifiers, requester, solver, verifier, outsider, draw, at
):
    verifiers.offer(0, sender=verifier)
    task = draw()
    at(market.task(task).windowEnds + 1)
    market.settle(task, sender=outsider)
    assert market.credit(solver) == PRICE
    assert market.credit(requester) == FEE
    assert stakes.burned() == 0


# --- withdraw ----------------------------------------------------------------------------------


def test_withdraw_refuses_when_nothing_is_owed(market, outsider, refuses):
    with refuses(market.NothingToWithdraw, account=outsider):
        market.withdraw(sender=outsider)


def test_withdraw_once(market, token, requester, outsider, post, at, refuses):
    task = post()
    at(market.task(task).bidUntil + 1)
    market.close(task, sender=outsider)
    tx = market.withdraw(sender=requester)
    assert market.Withdrawn(account=requester, amount=PRICE + FEE) in tx.events
    assert token.balanceOf(requester) == WEALTH
    with refuses(market.NothingToWithdraw, account=requester):
        market.withdraw(sender=requester)


def test_withdraw_for_another_pays_that_other(market, token, requester, outsider, post, at):
    task = post()
    at(market.task(task).bidUntil + 1)
    market.close(task, sender=outsider)
    before = token.balanceOf(outsider)
    market.withdrawFor(requester, sender=outsider)
    assert token.balanceOf(requester) == WEALTH
    assert token.balanceOf(outsider) == before


# --- a token that calls back -------------------------------------------------------------------


@pytest.fixture
def hostile(project, deployer, make_market, make_job, make_terms, at):
    """A market whose token is its own requester, and has two cancelled tasks to be refunded."""
    token = deployer.deploy(project.ReentrantToken)
    stakes = deployer.deploy(project.Stakes, token, UNBONDING)
    market = make_market(token=token.address, stakes=stakes.address)
    token.mint(token, WEALTH, sender=deployer)
    token.act(token, token.approve.encode_input(market, WEALTH), sender=deployer)
    posting = market.post.encode_input(make_job(), make_terms(maxPrice=10, verifierFee=0))
    for _ in range(3):
        token.act(market, posting, sender=deployer)
    at(market.task(1).bidUntil + 1)
    market.close(0, sender=deployer)
    return token, market, posting


@pytest.mark.parametrize("inner", ["withdraw", "withdrawFor", "post", "close"])
@pytest.mark.parametrize("outer", ["withdraw", "post"])
def test_a_token_that_calls_back_gets_nowhere(
    hostile, deployer, make_job, make_terms, outer, inner
):
    token, market, _ = hostile
    posting = market.post.encode_input(make_job(), make_terms(maxPrice=10, verifierFee=0))
    calls = {
        "withdraw": market.withdraw.encode_input(),
        "withdrawFor": market.withdrawFor.encode_input(token),
        "post": posting,
        "close": market.close.encode_input(1),
    }
    owed, tasks, held = market.credit(token), market.tasks(), token.balanceOf(market)
    token.arm(market, calls[inner], sender=deployer)
    token.act(market, calls[outer], sender=deployer)
    assert token.attempts() == 1
    assert not token.succeeded()
    assert bytes(token.answer()).hex() == "3ee5aeb5"  # ReentrancyGuardReentrantCall()
    if outer == "withdraw":
        assert (market.credit(token), token.balanceOf(market)) == (0, held - owed)
    else:
        assert (market.tasks(), token.balanceOf(market)) == (tasks + 1, held + 10)
