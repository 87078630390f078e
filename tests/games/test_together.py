"""Segments that are ready at once are committed at once."""

from __future__ import annotations

import pytest

from tests.games.players import Killed, Mortal, at_max_price, settle_all
from tests.games.test_restart import decode_once, run, segments, undisturbed
from tests.games.world import PRICE, World
from worker.chain.events import SegmentCommitted
from worker.roles import Solver
from worker.roles import segments as committing
from worker.roles.ahead import Ahead
from worker.store import StoreError

__all__ = ["decode_once", "undisturbed"]  # fixtures


@pytest.fixture
def ready(monkeypatch):
    """Whatever was begun ahead is over when it is looked at."""

    def is_done(ahead, key):
        if ahead._thread is None or ahead._key != key:
            return False
        ahead._thread.join()
        return True

    monkeypatch.setattr(Ahead, "is_done", is_done)


def transactions(world):
    """How many segments each transaction has committed."""
    market = world.desks["outsider"].market
    found: dict[bytes, int] = {}
    for event in market.commitments(0):
        assert isinstance(event, SegmentCommitted)
        found[event.place.transaction] = found.get(event.place.transaction, 0) + 1
    return list(found.values())


@pytest.mark.parametrize("most, expected", [(1, [1, 1, 1]), (2, [2, 1]), (8, [3])])
def test_segments_that_are_ready_share_a_transaction(
    undisturbed, ready, monkeypatch, most, expected
):
    """As many as are ready and allowed, and what they commit to is the same."""
    monkeypatch.setattr(committing, "MOST_TOGETHER", most)
    world = World()
    done = []
    desk = world.desk("solver", on_segment=done.append)
    world.commit(world.job(), desk)
    assert transactions(world) == expected
    assert segments(world) == undisturbed
    assert done == ["solver"] * 3


def test_a_segment_whose_successor_is_not_ready_goes_alone(undisturbed):
    """None waits for another to be computed."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    assert transactions(world) == [1, 1, 1]
    assert segments(world) == undisturbed


def test_dying_among_several_commits_the_same(undisturbed, ready):
    """A solver killed after it has published the second of three, and before it has committed any,
    computes them again and commits the same."""
    world = World()
    left = [1]

    class Perilous(type(world.store)):
        def put_bytes(self, what, address, data):
            super().put_bytes(what, address, data)
            if what == "journal" and address == undisturbed[1][1] and left:
                left.pop()
                raise Killed

    def make():
        desk = world.desk("solver")
        desk.store = Perilous(world.store.url)
        return Solver(desk, at_max_price)

    mortal = Mortal(make)
    run(world, mortal)
    assert mortal.deaths == 1
    assert transactions(world) == [3] and segments(world) == undisturbed


def test_what_fails_with_the_second_does_not_keep_the_first(undisturbed, ready):
    """The segments that are published are committed; the one that was not is tried again."""
    world = World()
    left = [1]

    class Full(type(world.store)):
        def put_bytes(self, what, address, data):
            if what == "journal" and address == undisturbed[1][1] and left:
                left.pop()
                raise StoreError("no space left")
            super().put_bytes(what, address, data)

    desk = world.desk("solver")
    desk.store = Full(world.store.url)
    world.commit(world.job(), desk)
    assert transactions(world) == [1, 2] and segments(world) == undisturbed
    assert settle_all(world)["solver"] == PRICE
