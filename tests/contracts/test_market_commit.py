"""The solver commits its segments in order and in time, or expires."""

import pytest

from tests.contracts.conftest import (
    ASSIGNED,
    COMMITTED,
    DRAW_DELAY,
    EXPIRED,
    FEE,
    OPEN,
    PRICE,
    STAKED,
)

ROOT = b"\x77" * 32


@pytest.mark.parametrize("method", ["commitSegment", "commitSegments"])
def test_commit_refuses_everyone_but_the_solver(market, solver, outsider, assign, refuses, method):
    task = assign()
    given = [ROOT, ROOT] if method == "commitSegment" else [[(ROOT, ROOT)]]
    with refuses(market.NotSolver, caller=outsider, solver=solver):
        getattr(market, method)(task, 0, *given, sender=outsider)


def test_commit_refuses_before_the_close(market, solver, post, refuses):
    task = post()
    with refuses(market.WrongStatus, status=OPEN):
        market.commitSegment(task, 0, ROOT, ROOT, sender=solver)


def test_commit_refuses_another_order(market, solver, assign, refuses):
    task = assign(steps=30)
    with refuses(market.WrongSegment, given=1, expected=0):
        market.commitSegment(task, 1, ROOT, ROOT, sender=solver)
    market.commitSegment(task, 0, ROOT, ROOT, sender=solver)
    for index in (0, 2, 2**32 - 1):
        with refuses(market.WrongSegment, given=index, expected=1):
            market.commitSegment(task, index, ROOT, ROOT, sender=solver)
    with refuses(market.WrongSegment, given=0, expected=1):
        market.commitSegments(task, 0, [(ROOT, ROOT)], sender=solver)


def test_commit_refuses_more_segments_than_there_are(market, solver, assign, refuses):
    task = assign(steps=30)
    with refuses(market.TooManySegments, segments=4, most=3):
        market.commitSegments(task, 0, [(ROOT, ROOT)] * 4, sender=solver)


def test_commit_to_the_last_second(market, solver, assign, refuses, at):
    task = assign(steps=30)
    end = market.task(task).commitUntil
    at(end)
    market.commitSegment(task, 0, ROOT, ROOT, sender=solver)
    at(end + 1)
    with refuses(market.TooLate, deadline=end):
        market.commitSegment(task, 1, ROOT, ROOT, sender=solver)


def test_commit_refuses_once_all_are_committed(market, solver, commit, refuses):
    task = commit()
    with refuses(market.WrongStatus, status=COMMITTED):
        market.commitSegment(task, 1, ROOT, ROOT, sender=solver)


def test_commit_one_by_one(market, solver, chain, assign, segment_of):
    task = assign(steps=25)
    for index in range(3):
        assert market.task(task).status == ASSIGNED
        state, journal = segment_of(index)
        tx = market.commitSegment(task, index, state, journal, sender=solver)
        assert tx.events[0] == market.SegmentCommitted(
            task=task, segment=index, state=state, journal=journal
        )
        assert market.task(task).committed == index + 1
    draw_word = chain.blocks.height + DRAW_DELAY
    assert tx.events[1] == market.DrawArmed(task=task, drawWord=draw_word)
    assert market.task(task).status == COMMITTED
    assert market.task(task).drawWord == draw_word
    assert tuple(market.segment(task, 2)) == segment_of(2)


def test_commit_several(market, solver, assign, segment_of, refuses):
    task = assign(steps=50)
    segments = [segment_of(i) for i in range(5)]
    market.commitSegments(task, 0, segments[:2], sender=solver)
    market.commitSegments(task, 2, [], sender=solver)
    assert market.task(task).committed == 2
    with refuses(market.NotCommitted, segment=2):
        market.segment(task, 2)
    market.commitSegments(task, 2, segments[2:], sender=solver)
    assert market.task(task).status == COMMITTED
    assert [tuple(market.segment(task, i)) for i in range(5)] == segments


# --- expire ------------------------------------------------------------------------------------


def test_expire_refuses_up_to_the_last_second(market, outsider, assign, refuses, at):
    task = assign()
    end = market.task(task).commitUntil
    at(end)
    with refuses(market.TooEarly, deadline=end):
        market.expire(task, sender=outsider)
    at(end + 1)
    market.expire(task, sender=outsider)


@pytest.mark.parametrize("status", ["post", "commit", "draw"])
def test_expire_refuses_other_statuses(market, outsider, request, refuses, at, status):
    task = request.getfixturevalue(status)()
    at(market.task(task).commitUntil + 1)
    with refuses(market.WrongStatus):
        market.expire(task, sender=outsider)


def test_expire_waits_for_accusations(
    market, outsider, solver, assign, accuse, try_next, refuses, at
):
    """And then for the time by which they have moved the deadline."""
    task = assign(steps=20)
    market.commitSegment(task, 0, ROOT, ROOT, sender=solver)
    accuse(task)
    at(market.task(task).commitUntil + 1)
    with refuses(market.IsHeld):
        market.expire(task, sender=outsider)
    try_next(task, False, steps=20)
    end = market.task(task).commitUntil
    with refuses(market.TooEarly, deadline=end):
        market.expire(task, sender=outsider)
    at(end + 1)
    market.expire(task, sender=outsider)


def test_expire(market, stakes, requester, solver, outsider, assign, at):
    """All of the escrow goes back to the requester; a tenth of the maximum price is burned."""
    task = assign(price=900)
    at(market.task(task).commitUntil + 1)
    tx = market.expire(task, sender=outsider)
    assert market.Expired(task=task, solver=solver, penalty=100) in tx.events
    assert market.task(task).status == EXPIRED
    assert market.credit(requester) == PRICE + FEE
    assert stakes.burned() == 100
    assert market.credit(solver) == 0
    assert stakes.free(solver) == STAKED - 100
    assert stakes.locked(solver, market) == 0


def test_who_is_late_loses_a_part_of_what_it_could_earn(
    market, stakes, requester, solver, outsider, assign, at
):
    """Protects solvers from a trap: of 50 segments with one check the stake is 75 prices, and a
    tenth of that went to whoever had posted what nobody can do in time. What it is, is known before
    a bid, and no lower bid makes it less: bidding 1 and letting it expire is not free."""
    task = assign(price=20, steps=500, checks=1)
    at(market.task(task).commitUntil + 1)
    assert stakes.locked(solver, market) == 75 * PRICE
    tx = market.expire(task, sender=outsider)
    assert market.Expired(task=task, solver=solver, penalty=100) in tx.events
    assert (market.credit(requester), stakes.burned()) == (PRICE + FEE, 100)
    assert stakes.free(solver) == STAKED - 100
