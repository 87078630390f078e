"""Work done ahead: the same result, once, for whom it was meant."""

from __future__ import annotations

import threading

import pytest

from worker.roles.ahead import Ahead


def fail() -> int:
    raise ValueError("no such segment")


def never() -> int:
    raise AssertionError("this was done already")


def test_what_was_begun_is_taken_once():
    """Protects time: a segment that was computed ahead is not computed again."""
    ahead: Ahead[int] = Ahead()
    assert ahead.start("a", lambda: 1)
    assert ahead.take("a", never) == 1
    assert ahead.take("a", lambda: 2) == 2


def test_another_key_is_computed_at_once():
    """Protects from another task's segment: a result goes to the key it was begun for."""
    ahead: Ahead[int] = Ahead()
    ahead.start("a", lambda: 1)
    assert ahead.take("b", lambda: 2) == 2
    assert ahead.take("a", never) == 1


def test_an_error_is_raised_where_the_result_is_asked_for_and_then_forgotten():
    """Protects from silence: what failed ahead fails its owner, who may try again."""
    ahead: Ahead[int] = Ahead()
    ahead.start("a", fail)
    with pytest.raises(ValueError, match="no such segment"):
        ahead.take("a", never)
    assert ahead.take("a", lambda: 3) == 3


def test_a_second_piece_waits_for_the_first():
    """Protects memory and processors: one piece at a time, and a finished one gives way."""
    ahead: Ahead[int] = Ahead()
    gate = threading.Event()
    assert ahead.start("a", lambda: int(gate.wait()))
    assert not ahead.start("b", lambda: 2)
    gate.set()
    assert ahead.take("a", never) == 1
    assert ahead.start("b", lambda: 2)
    assert ahead.take("b", never) == 2


def test_only_what_was_begun_and_is_over_is_done():
    """Protects from waiting: what is said to be done is there at once, under its own key, once."""
    ahead: Ahead[int] = Ahead()
    assert not ahead.is_done("a")
    gate = threading.Event()
    ahead.start("a", lambda: int(gate.wait()))
    assert not ahead.is_done("a")
    gate.set()
    assert ahead._thread is not None
    ahead._thread.join()
    assert ahead.is_done("a") and not ahead.is_done("b")
    ahead.take("a", never)
    assert not ahead.is_done("a")
