"""Where the tensors of a step stand in one piece of memory, each only as long as it is needed."""

from __future__ import annotations

from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """A tensor: its bytes, and the first and last moment at which it is used."""

    size: int
    first: int
    last: int


def place(lifetimes: list[Lifetime]) -> tuple[list[int], int]:
    """Offsets so that tensors that live at the same time do not overlap, and the whole size.

    The largest is placed first, each at the lowest free place: Pisarchyk and Lee, "Efficient memory
    management for deep neural net inference" (2020), greedy by size.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    total = 0
    for i in sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].size):
        new = lifetimes[i]
        taken = sorted(
            (offsets[p], offsets[p] + _rounded(lifetimes[p].size))
            for p in placed
            if lifetimes[p].first <= new.last and new.first <= lifetimes[p].last
        )
        at = 0
        for low, high in taken:
            if at + _rounded(new.size) <= low:
                break
            at = max(at, high)
        offsets[i] = at
        placed.append(i)
        total = max(total, at + _rounded(new.size))
    return offsets, total


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
