"""Who verifies, and what: drawn from a later block, by stake."""

from math import comb

import pytest
from eth_utils import keccak

from tests import evm
from tests.contracts.conftest import (
    ASSIGNED,
    CLOCK,
    COMMITTED,
    NOBODY,
    STAKED,
    VERIFYING,
)


def test_draw_refuses_before_the_commitments(market, outsider, assign, refuses):
    task = assign()
    with refuses(market.WrongStatus, status=ASSIGNED):
        market.draw(task, sender=outsider)


def test_draw_waits_for_a_later_block(market, randomness, chain, outsider, commit, refuses):
    """The transaction's own block must come after the one that decides."""
    task = commit()
    block = market.task(task).drawWord
    while chain.blocks.height + 1 <= block:
        with refuses(randomness.NotYet, id=block):
            market.draw(task, sender=outsider)
        chain.mine()
    market.draw(task, sender=outsider)
    assert market.task(task).status == VERIFYING
    with refuses(market.WrongStatus, status=VERIFYING):
        market.draw(task, sender=outsider)


def test_draw(market, stakes, verifier, commit, chain, outsider, now):
    task = commit(steps=50, checks=3)
    chain.mine(2)
    tx = market.draw(task, sender=outsider)
    drawn = market.task(task)
    assert drawn.status == VERIFYING
    assert drawn.verifier == verifier
    assert drawn.verifierStake == 450  # 300 * 1.5
    assert drawn.windowEnds == now() + CLOCK + 3 * CLOCK // 4  # of three checks
    assert drawn.checked.bit_count() == 3
    assert drawn.checked < 2**5
    assert tx.events[0] == market.Drawn(
        task=task, verifier=verifier, checked=drawn.checked, windowEnds=drawn.windowEnds
    )
    assert stakes.locked(verifier, market) == 450


def test_nobody_enlisted(market, verifier, draw):
    market.delist(sender=verifier)
    task = market.task(draw())
    assert (task.verifier, task.verifierStake, task.checked) == (NOBODY, 0, 0)
    assert task.status == VERIFYING


def test_nobody_eligible(market, stakes, verifier, solver, requester, draw, make_worker):
    """The solver, the requester, one with too little stake, and one that took its approval back."""
    market.enlist(sender=solver)
    make_worker(requester, market)
    market.enlist(sender=requester)
    stakes.unbond(STAKED - 449, sender=verifier)
    task = market.task(draw())
    assert (task.verifier, task.checked) == (NOBODY, 0)
    assert stakes.locked(verifier, market) == 0

    stakes.approveLocker(market, False, sender=verifier)
    task = market.task(draw())
    assert (task.verifier, task.checked) == (NOBODY, 0)


# --- enlisting ---------------------------------------------------------------------------------


def test_enlist_refuses(market, stakes, workers, outsider, verifier, solver, refuses):
    with refuses(market.NotALocker, worker=outsider):
        market.enlist(sender=outsider)
    with refuses(market.AlreadyEnlisted, worker=verifier):
        market.enlist(sender=verifier)
    stakes.unbond(STAKED - 99, sender=solver)
    with refuses(market.NotEnoughStake, worker=solver, free=99, needed=100):
        market.enlist(sender=solver)
    with refuses(market.NotEnlisted, worker=solver):
        market.delist(sender=solver)


def test_enlist_and_delist(market, workers, solver, verifier):
    tx = market.enlist(sender=solver)
    assert tx.events == [market.Enlisted(worker=solver)]
    assert market.enlisted() == 2
    tx = market.delist(sender=verifier)
    assert tx.events == [market.Delisted(worker=verifier)]
    assert market.isEnlisted(solver)
    assert not market.isEnlisted(verifier)


def test_evict_spares_who_is_good_or_busy(market, stakes, verifier, outsider, draw, refuses):
    with refuses(market.NotEnlisted, worker=outsider):
        market.evict(outsider, sender=outsider)
    draw()
    stakes.unbond(stakes.free(verifier), sender=verifier)
    with refuses(market.StillGood, worker=verifier):
        market.evict(verifier, sender=outsider)


def test_evict_strikes_off_who_has_gone(market, stakes, workers, verifier, solver, outsider):
    market.enlist(sender=solver)
    stakes.unbond(STAKED - 99, sender=verifier)
    stakes.approveLocker(market, False, sender=solver)
    market.evict(verifier, sender=outsider)
    market.evict(solver, sender=outsider)
    assert market.enlisted() == 0


# --- attest ------------------------------------------------------------------------------------


def test_attest_refuses(market, verifier, outsider, commit, chain, refuses, at):
    task = commit()
    with refuses(market.WrongStatus, status=COMMITTED):
        market.attest(task, sender=verifier)
    chain.mine(2)
    market.draw(task, sender=outsider)
    with refuses(market.NotVerifier, caller=outsider, verifier=verifier):
        market.attest(task, sender=outsider)
    market.attest(task, sender=verifier)
    with refuses(market.AlreadyAttested):
        market.attest(task, sender=verifier)


def test_attest_to_the_last_second(market, verifier, draw, refuses, at):
    first = draw()
    end = market.task(first).windowEnds
    at(end)
    tx = market.attest(first, sender=verifier)
    assert tx.events == [market.Attested(task=first, verifier=verifier)]
    assert market.task(first).attested
    second = draw()
    end = market.task(second).windowEnds
    at(end + 1)
    with refuses(market.TooLate, deadline=end):
        market.attest(second, sender=verifier)


# --- the library --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library():
    return evm.deploy("DrawHarness")


def chi_square(counts, expected):
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize("size, among", [(1, 1), (1, 256), (256, 256), (255, 256), (3, 7)])
def test_subset_has_its_size(library, size, among):
    for i in range(20):
        mask = library.call("subset", keccak(bytes([i])), size, among)
        assert mask.bit_count() == size
        assert mask < 2**among


def test_subset_is_uniform(library):
    """Each of the 20 subsets of 3 in 6 is drawn equally often."""
    counts = {}
    for i in range(4_000):
        mask = library.call("subset", keccak(i.to_bytes(4, "big")), 3, 6)
        counts[mask] = counts.get(mask, 0) + 1
    assert len(counts) == comb(6, 3)
    assert chi_square(counts.values(), 200) < 43.8  # 19 degrees of freedom, one in a thousand


def test_weighted_follows_the_weights(library):
    weights = [0, 1, 0, 5, 2, 0]
    counts = [0] * len(weights)
    for i in range(4_000):
        counts[library.call("weighted", keccak(i.to_bytes(4, "big")), 9, weights)] += 1
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - 500 * weight) < 100
        assert (count == 0) == (weight == 0)
