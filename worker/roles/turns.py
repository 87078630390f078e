"""Who computes now: of all that want to, the one with the most pressing reason."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

from worker.outcomes import Stopped


class Rank(IntEnum):
    """What goes first, whatever is due when."""

    ANSWER = 0  # a clock runs
    MEASURE = 1  # a few steps
    WORK = 2


@dataclass(order=True)
class Turn:
    """One piece of work that computes, or waits to."""

    rank: Rank
    due: float  # unix time
    number: int


class Turns:
    """One computes at a time, since a step takes all processors, or the GPU.

    Whoever computes asks `between` after each step, and stands back for what is more pressing. A
    thread that waits for the chain or the store meanwhile says so with `aside`.

    stop: set when the worker is to end; then whoever asks or waits raises `Stopped`. beat: called
    after each step, and again and again by whoever waits: a sign of life.
    """

    def __init__(
        self, stop: threading.Event | None = None, beat: Callable[[], None] = lambda: None
    ) -> None:
        self.stop, self._beat = stop or threading.Event(), beat
        self._changed = threading.Condition()
        self._wanting: list[Turn] = []  # the most pressing first
        self._running: Turn | None = None
        self._numbers = count()
        self._mine = threading.local()

    @contextmanager
    def turn(self, rank: Rank, due: float) -> Iterator[None]:
        """Inside, this thread computes. What it begins within is a part of it."""
        if self._own is not None:
            yield
            return
        mine = self._mine.turn = Turn(rank, due, next(self._numbers))
        try:
            self._begin(mine)
            yield
        finally:
            self._mine.turn = None
            self._end(mine)

    def between(self) -> None:
        """Between two steps: lets what is more pressing go first. Raises Stopped."""
        self._look_at_stop()
        mine = self._own
        if mine is None:
            return
        with self._changed:
            if self._wanting and self._wanting[0] is mine:
                return
            self._running = None
            self._changed.notify_all()
            self._wait(mine)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, this thread does not compute: others may."""
        mine = self._own
        if mine is None:
            yield
            return
        self._end(mine)
        self._mine.turn = None
        try:
            yield
        finally:
            self._mine.turn = mine
            self._begin(mine)

    @property
    def _own(self) -> Turn | None:
        return getattr(self._mine, "turn", None)

    def _begin(self, mine: Turn) -> None:
        with self._changed:
            insort(self._wanting, mine)
            self._wait(mine)

    def _wait(self, mine: Turn) -> None:
        while self._running is not None or self._wanting[0] is not mine:
            self._look_at_stop()
            self._changed.wait(0.5)
        self._running = mine

    def _end(self, mine: Turn) -> None:
        with self._changed:
            self._wanting = [turn for turn in self._wanting if turn is not mine]
            if self._running is mine:
                self._running = None
            self._changed.notify_all()

    def _look_at_stop(self) -> None:
        self._beat()
        if self.stop.is_set():
            raise Stopped
