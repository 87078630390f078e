"""Who verifies, and what: drawn from a later block, by units."""

from math import comb

import pytest
from eth_utils import keccak

from tests import evm
from tests.contracts.conftest import (
    ASSIGNED,
    CANCELLED,
    CLOCK,
    COMMITTED,
    DRAW_TIME,
    FEE,
    NOBODY,
    PRICE,
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


def test_draw(market, verifiers, verifier, commit, chain, outsider, now):
    task = commit(steps=50, checks=3)
    armed = market.task(task)
    assert armed.armedBlock == chain.blocks.height
    assert armed.drawUntil == now() + DRAW_TIME
    chain.mine(2)
    tx = market.draw(task, sender=outsider)
    drawn = market.task(task)
    assert drawn.status == VERIFYING
    assert drawn.verifier == verifier
    assert drawn.windowEnds == now() + CLOCK + 3 * CLOCK // 4  # of three checks
    assert drawn.checked.bit_count() == 3
    assert drawn.checked < 2**5
    assert tx.events[0] == market.Drawn(
        task=task, verifier=verifier, checked=drawn.checked, windowEnds=drawn.windowEnds
    )
    assert verifiers.duties(verifier) == 1


def test_a_draw_of_all_segments(market, commit, chain, outsider):
    """Protects a verifier's duty: of as many checks as segments, each is one, and told as one."""
    for count in (1, 5):
        task = commit(steps=count * 10, checks=count)
        chain.mine(2)
        tx = market.draw(task, sender=outsider)
        assert tx.events[0].checked == market.task(task).checked == 2**count - 1


def test_nobody_stands_ready(market, verifiers, verifier, commit, chain, outsider):
    """Protects whoever reads events from duties that nobody has."""
    verifiers.offer(0, sender=verifier)
    number = commit()
    chain.mine(2)
    tx = market.draw(number, sender=outsider)
    task = market.task(number)
    assert (task.verifier, task.checked, tx.events[0].checked) == (NOBODY, 0, 0)
    assert task.status == VERIFYING


def test_whoever_solves_or_posts_is_not_drawn(
    market, stakes, verifiers, verifier, solver, requester, draw, make_worker
):
    stakes.approveLocker(verifiers, True, sender=solver)
    verifiers.offer(9, sender=solver)
    make_worker(requester, market, verifiers)
    verifiers.offer(9, sender=requester)
    for _ in range(3):
        assert market.task(draw()).verifier == verifier
    verifiers.offer(0, sender=verifier)
    assert market.task(draw()).verifier == NOBODY


def test_a_requester_that_solves_is_left_out_once(
    market, verifiers, verifier, requester, outsider, chain, post, at, make_worker, segment_of
):
    make_worker(requester, market, verifiers)
    verifiers.offer(9, sender=requester)
    task = post()
    market.bid(task, 1, sender=requester)
    at(market.task(task).bidUntil + 1)
    market.close(task, sender=outsider)
    market.commitSegment(task, 0, *segment_of(0), sender=requester)
    chain.mine(2)
    market.draw(task, sender=outsider)
    assert market.task(task).verifier == verifier


# --- a draw that nobody makes ------------------------------------------------------------------


def test_a_draw_has_its_time(
    market, stakes, verifiers, solver, requester, outsider, chain, commit, refuses, at
):
    """Protects escrow and stakes from randomness that never comes, and whoever verifies from being
    drawn when its stake has gone: after the last second all goes back, and nobody is drawn."""
    task = commit()
    until = market.task(task).drawUntil
    chain.mine(2)
    at(until)
    with refuses(market.TooEarly, deadline=until):
        market.lapse(task, sender=outsider)
    at(until + 1)
    with refuses(verifiers.DrawOver, until=until):
        market.draw(task, sender=outsider)
    tx = market.lapse(task, sender=outsider)
    assert tx.events[0] == market.Cancelled(task=task)
    assert not tx.decode_logs(stakes.Slashed)
    assert market.task(task).status == CANCELLED
    assert market.credit(requester) == PRICE + FEE
    assert market.credit(solver) == 0
    assert (stakes.free(solver), stakes.locked(solver, market)) == (STAKED, 0)
    with refuses(market.WrongStatus, status=CANCELLED):
        market.lapse(task, sender=outsider)


def test_a_lapse_waits_for_every_accusation_and_none_is_filed_then(
    market, disputes, outsider, challenger, commit, accuse, try_next, refuses, at
):
    task = commit()
    until = market.task(task).drawUntil
    at(until - 5)
    accuse(task)
    at(until + 1)
    with refuses(market.IsHeld):
        market.lapse(task, sender=outsider)
    with refuses(disputes.TooLate, deadline=until):
        disputes.accuse(task, b"\x01" * 32, sender=challenger)
    try_next(task, False)
    market.lapse(task, sender=outsider)
    assert market.task(task).status == CANCELLED


def test_a_lapse_refuses_before_and_after_the_draw(market, outsider, assign, draw, refuses):
    for task, status in ((assign(), ASSIGNED), (draw(), VERIFYING)):
        with refuses(market.WrongStatus, status=status):
            market.lapse(task, sender=outsider)


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
