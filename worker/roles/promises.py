"""Whether all that was promised can be done in time, with what is about to be promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 0.5  # of the time must do: a step may take longer than when it was measured
QUARTER = 0.25  # of a dispute's clock must do: the node may be gone, and blocks be censored


@dataclass(frozen=True)
class Promise:
    """Work that cannot begin before a time and must be done by another, both unix time."""

    what: str
    seconds: float
    begins: float
    due: float


@dataclass(frozen=True)
class Shortage:
    """A stretch of time in which more is due than half of it does."""

    promises: tuple[Promise, ...]
    seconds: float  # of work
    time: float  # from the first beginning to the last deadline

    def __str__(self) -> str:
        names = ", ".join(p.what for p in self.promises)
        return (
            f"{names}: {self.seconds:.3g} s of work here in {self.time:.3g} s, of which half must "
            "do"
        )


def shortage(promises: Sequence[Promise], now: float) -> Shortage | None:
    """Where not all can be done with a nearest deadline first; None where it can.

    One thing is computed at a time and may be interrupted, so it can be done if and only if, for
    every stretch of time, what may only be done in it fits into it.
    """
    for begins in sorted({max(p.begins, now) for p in promises}):
        inside = [p for p in promises if max(p.begins, now) >= begins]
        for due in sorted({p.due for p in inside}):
            there = tuple(p for p in inside if p.due <= due)
            seconds, time = sum(p.seconds for p in there), max(0.0, due - begins)
            if seconds > SHARE * time:
                return Shortage(there, seconds, time)
    return None


@dataclass(frozen=True)
class Duty:
    """A dispute that there may be: the seconds that this side needs in it, and those it has."""

    what: str
    seconds: float
    clock: int


@dataclass(frozen=True)
class Crowd:
    """Disputes that may all run at once, for which a quarter of a clock does not do."""

    duties: tuple[Duty, ...]
    clock: int

    def __str__(self) -> str:
        names = ", ".join(d.what for d in self.duties)
        seconds = sum(d.seconds for d in self.duties)
        return (
            f"{names}: the moves in a dispute about each take {seconds:.3g} s here, and the clock "
            f"is {self.clock} s, of which a quarter must do"
        )


def crowd(duties: Sequence[Duty]) -> Crowd | None:
    """Where not all disputes can be played in a quarter of their clocks; None where they can.

    Each task has one dispute at a time. All may begin at once, and the least clock goes first.
    """
    for clock in sorted({d.clock for d in duties}):
        there = tuple(d for d in duties if d.clock <= clock)
        if sum(d.seconds for d in there) > QUARTER * clock:
            return Crowd(there, clock)
    return None
