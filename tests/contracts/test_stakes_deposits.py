"""Stake comes in, and leaves after a delay."""

import ape
import pytest

from tests.contracts.conftest import NOBODY, UNBONDING


@pytest.fixture(scope="module")
def rich(token, stakes, solver):
    token.mint(solver, 1_000, sender=solver)
    token.approve(stakes, 1_000, sender=solver)
    return solver


def test_needs_a_token(project, deployer):
    with ape.reverts(project.Stakes.NoToken):
        deployer.deploy(project.Stakes, NOBODY, UNBONDING)


def test_deposit_refuses_nothing(stakes, rich):
    with ape.reverts(stakes.ZeroAmount):
        stakes.deposit(0, sender=rich)


def test_deposit_refuses_without_allowance(stakes, token, rich):
    with ape.reverts():
        stakes.deposit(1_001, sender=rich)
    assert stakes.free(rich) == 0
    assert token.balanceOf(rich) == 1_000


def test_deposit_refuses_a_fee_on_transfer(project, deployer, solver):
    token = deployer.deploy(project.FeeToken)
    stakes = deployer.deploy(project.Stakes, token, UNBONDING)
    token.mint(solver, 100, sender=solver)
    token.approve(stakes, 100, sender=solver)
    with ape.reverts(stakes.WrongAmountReceived, received=99, expected=100):
        stakes.deposit(100, sender=solver)
    assert token.balanceOf(solver) == 100


@pytest.mark.parametrize(
    "method", ["deposit", "withdraw", "unbond", "slash", "award", "release", "lock", "sweep"]
)
def test_a_token_that_calls_back_gets_nowhere(project, deployer, method):
    """The token itself is the worker and the locker, so only the guard can stop it."""
    token = deployer.deploy(project.ReentrantToken)
    stakes = deployer.deploy(project.Stakes, token, 0)
    token.mint(token, 1_000, sender=deployer)
    calls = {
        "deposit": stakes.deposit.encode_input(10),
        "withdraw": stakes.withdraw.encode_input(),
        "unbond": stakes.unbond.encode_input(10),
        "slash": stakes.slash.encode_input(token, 5),
        "award": stakes.award.encode_input(token, token, 5),
        "sweep": stakes.sweep.encode_input(),
        "release": stakes.release.encode_input(token, 10),
        "lock": stakes.lock.encode_input(token, 10),
    }
    for call in [
        stakes.approveLocker.encode_input(token, True),
        calls["deposit"],
        calls["deposit"],
        calls["deposit"],
        calls["lock"],
        calls["slash"],
        calls["unbond"],
    ]:
        token.approve(stakes, 1_000, sender=deployer)
        token.act(token, token.approve.encode_input(stakes, 1_000), sender=deployer)
        token.act(stakes, call, sender=deployer)

    def claims():
        own = stakes.free(token) + stakes.locked(token, token) + stakes.unbonding(token).amount
        return own + stakes.burned()

    for outer in ("withdraw", "sweep", "deposit"):
        token.arm(stakes, calls[method], sender=deployer)
        token.act(stakes, calls[outer], sender=deployer)
        assert token.attempts() == 1
        assert not token.succeeded()
        assert bytes(token.answer()).hex() == "3ee5aeb5"  # ReentrancyGuardReentrantCall()
        assert claims() == token.balanceOf(stakes)


def test_unbond_refuses_nothing(stakes, rich):
    with ape.reverts(stakes.ZeroAmount):
        stakes.unbond(0, sender=rich)


def test_unbond_refuses_more_than_is_free(stakes, rich):
    stakes.deposit(10, sender=rich)
    with ape.reverts(stakes.NotEnoughFree, worker=rich, free=10, needed=11):
        stakes.unbond(11, sender=rich)
    with ape.reverts(stakes.NotEnoughFree, worker=rich, free=10, needed=2**128 + 10):
        stakes.unbond(2**128 + 10, sender=rich)


def test_withdraw_refuses_when_nothing_is_unbonding(stakes, rich):
    stakes.deposit(10, sender=rich)
    with ape.reverts(stakes.NothingUnbonding, worker=rich):
        stakes.withdraw(sender=rich)


def test_withdraw_waits_for_the_exact_second(stakes, token, rich, now, at):
    stakes.deposit(10, sender=rich)
    tx = stakes.unbond(4, sender=rich)
    ready = now() + UNBONDING
    assert tx.events == [stakes.UnbondingStarted(worker=rich, amount=4, availableAt=ready)]
    assert tuple(stakes.unbonding(rich)) == (4, ready)
    at(ready - 1)
    with ape.reverts(stakes.StillUnbonding, availableAt=ready):
        stakes.withdraw(sender=rich)
    at(ready)
    tx = stakes.withdraw(sender=rich)
    assert stakes.Withdrawn(worker=rich, amount=4) in tx.events
    assert token.balanceOf(rich) == 994
    assert stakes.free(rich) == 6
    assert tuple(stakes.unbonding(rich)) == (0, 0)


def test_a_second_unbond_restarts_the_delay_for_both(stakes, token, rich, now, at):
    stakes.deposit(10, sender=rich)
    stakes.unbond(4, sender=rich)
    first = now() + UNBONDING
    at(first - 10)
    stakes.unbond(3, sender=rich)
    assert tuple(stakes.unbonding(rich)) == (7, first - 10 + UNBONDING)
    at(first)
    with ape.reverts(stakes.StillUnbonding):
        stakes.withdraw(sender=rich)
    at(first - 10 + UNBONDING)
    stakes.withdraw(sender=rich)
    assert token.balanceOf(rich) == 997


def test_deposit(stakes, token, rich):
    tx = stakes.deposit(600, sender=rich)
    assert stakes.Deposited(worker=rich, amount=600) in tx.events
    stakes.deposit(400, sender=rich)
    assert stakes.free(rich) == 1_000
    assert token.balanceOf(stakes) == 1_000
    assert stakes.token() == token
    assert stakes.unbondingDelay() == UNBONDING


def test_the_vault_takes_no_more_than_128_bits_in_all(stakes, token, solver, outsider):
    """So that no sum of stakes overflows: an award that could fail would stop a verdict."""
    for account in (solver, outsider):
        token.mint(account, 2**128, sender=account)
        token.approve(stakes, 2**128, sender=account)
    stakes.deposit(2**128 - 11, sender=solver)
    with ape.reverts(stakes.TooMuch, held=2**128, most=2**128 - 1):
        stakes.deposit(11, sender=outsider)
    stakes.deposit(10, sender=outsider)
