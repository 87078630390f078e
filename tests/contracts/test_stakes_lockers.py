"""What a locker can do with a worker's stake, and what it cannot."""

import ape
import pytest

from tests.contracts.conftest import BURNED, STAKED


@pytest.fixture(scope="module")
def locker(rivals, stakes, make_worker, solver):
    """A contract would be a locker; an account serves as well."""
    make_worker(solver, rivals[0])
    return rivals[0]


def test_lock_refuses_an_unapproved_locker(stakes, locker, solver, outsider):
    with ape.reverts(stakes.NotApproved, worker=solver, locker=outsider):
        stakes.lock(solver, 1, sender=outsider)


def test_lock_refuses_the_worker_itself(stakes, locker, solver):
    with ape.reverts(stakes.NotApproved, worker=solver, locker=solver):
        stakes.lock(solver, 1, sender=solver)


def test_lock_refuses_more_than_is_free(stakes, locker, solver):
    stakes.lock(solver, 1, sender=locker)
    with ape.reverts(stakes.NotEnoughFree, worker=solver, free=STAKED - 1, needed=STAKED):
        stakes.lock(solver, STAKED, sender=locker)


def test_lock_refuses_more_than_128_bits(stakes, locker, solver):
    with ape.reverts(stakes.NotEnoughFree, needed=2**128 + 1):
        stakes.lock(solver, 2**128 + 1, sender=locker)


def test_lock_refuses_what_is_unbonding(stakes, locker, solver):
    stakes.unbond(STAKED, sender=solver)
    with ape.reverts(stakes.NotEnoughFree, worker=solver, free=0, needed=1):
        stakes.lock(solver, 1, sender=locker)


@pytest.mark.parametrize("method", ["release", "slash", "award"])
def test_a_locker_cannot_touch_the_lock_of_another(stakes, locker, solver, outsider, method):
    stakes.lock(solver, 10, sender=locker)
    stakes.approveLocker(outsider, True, sender=solver)
    with ape.reverts(stakes.NotEnoughLocked, worker=solver, locker=outsider, locked=0, needed=1):
        to = [outsider] if method == "award" else []
        getattr(stakes, method)(solver, *to, 1, sender=outsider)


@pytest.mark.parametrize("method", ["release", "slash", "award"])
def test_a_locker_cannot_end_more_than_it_locked(stakes, locker, solver, outsider, method):
    stakes.lock(solver, 10, sender=locker)
    with ape.reverts(stakes.NotEnoughLocked, worker=solver, locker=locker, locked=10, needed=11):
        to = [outsider] if method == "award" else []
        getattr(stakes, method)(solver, *to, 11, sender=locker)


def test_approval_taken_back_forbids_new_locks_and_frees_nothing(stakes, token, locker, solver):
    stakes.lock(solver, 10, sender=locker)
    stakes.approveLocker(locker, False, sender=solver)
    assert stakes.available(solver, locker) == 0
    assert stakes.locked(solver, locker) == 10
    with ape.reverts(stakes.NotApproved, worker=solver, locker=locker):
        stakes.lock(solver, 1, sender=locker)
    with ape.reverts(stakes.NotEnoughFree, worker=solver, free=STAKED - 10, needed=STAKED):
        stakes.unbond(STAKED, sender=solver)
    stakes.slash(solver, 4, sender=locker)
    stakes.release(solver, 6, sender=locker)
    assert stakes.burned() == 4
    assert stakes.free(solver) == STAKED - 4


def test_lock_release_slash(stakes, token, locker, solver):
    assert stakes.isLocker(solver, locker)
    assert stakes.available(solver, locker) == STAKED
    tx = stakes.lock(solver, 100, sender=locker)
    assert tx.events == [stakes.Locked(worker=solver, locker=locker, amount=100)]
    assert (stakes.free(solver), stakes.locked(solver, locker)) == (STAKED - 100, 100)

    tx = stakes.release(solver, 30, sender=locker)
    assert tx.events == [stakes.Released(worker=solver, locker=locker, amount=30)]
    assert (stakes.free(solver), stakes.locked(solver, locker)) == (STAKED - 70, 70)

    tx = stakes.slash(solver, 70, sender=locker)
    assert tx.events == [stakes.Slashed(worker=solver, locker=locker, amount=70)]
    assert (stakes.free(solver), stakes.locked(solver, locker)) == (STAKED - 70, 0)
    assert stakes.burned() == 70
    assert token.balanceOf(stakes) == STAKED


def test_what_is_slashed_is_nobodys_and_anyone_sends_it_off(
    stakes, token, locker, solver, outsider
):
    """No locker has it, nor the worker; it moves no token until somebody sweeps."""
    with ape.reverts(stakes.NothingBurned):
        stakes.sweep(sender=outsider)
    stakes.lock(solver, 100, sender=locker)
    stakes.slash(solver, 30, sender=locker)
    stakes.slash(solver, 70, sender=locker)
    assert token.balanceOf(locker) == token.balanceOf(BURNED) == 0
    tx = stakes.sweep(sender=outsider)
    assert stakes.Swept(amount=100) in tx.events
    assert (token.balanceOf(BURNED), token.balanceOf(stakes)) == (100, STAKED - 100)
    assert stakes.burned() == 0
    with ape.reverts(stakes.NothingBurned):
        stakes.sweep(sender=outsider)


def test_an_award_is_anothers_free_stake(stakes, token, locker, solver, outsider):
    """Who need not have had any: it unbonds and withdraws it as its own."""
    stakes.lock(solver, 100, sender=locker)
    tx = stakes.award(solver, outsider, 60, sender=locker)
    assert tx.events == [stakes.Awarded(worker=solver, locker=locker, to=outsider, amount=60)]
    assert (stakes.free(outsider), stakes.free(solver)) == (60, STAKED - 100)
    assert stakes.locked(solver, locker) == 40
    assert token.balanceOf(stakes) == STAKED
    stakes.unbond(60, sender=outsider)
    stakes.award(solver, solver, 40, sender=locker)  # to itself: a release
    assert stakes.free(solver) == STAKED - 60


def test_locks_of_two_lockers_are_apart(stakes, locker, solver, outsider):
    stakes.approveLocker(outsider, True, sender=solver)
    stakes.lock(solver, 5, sender=locker)
    stakes.lock(solver, 7, sender=outsider)
    assert stakes.locked(solver, locker) == 5
    assert stakes.locked(solver, outsider) == 7
    assert stakes.free(solver) == STAKED - 12
