"""Where the tensors of a step stand in one piece of memory, each only as long as it is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    management for deep neural net inference" (2020), greedy by size. Every tensor is compared with
    those that are placed, in numpy: 13,000 take a second.
    """
    offsets = [0] * len(lifetimes)
    total = 0
    # of the placed ones, by where they begin: beginning and end, first and last moment
    placed = np.empty((4, len(lifetimes)), dtype=np.int64)
    for count, i in enumerate(sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].size)):
        new = lifetimes[i]
        size = -(-new.size // ALIGNMENT) * ALIGNMENT
        low, high, first, last = placed[:, :count]
        beside = (first <= new.last) & (last >= new.first)
        free = np.maximum.accumulate(np.concatenate(([0], high[beside])))  # below the next one
        gaps = np.flatnonzero(low[beside] - free[:-1] >= size)
        at = int(free[gaps[0]] if len(gaps) else free[-1])
        offsets[i] = at
        total = max(total, at + size)
        k = int(np.searchsorted(low, at, side="right"))
        placed[:, k + 1 : count + 1] = placed[:, k:count].copy()
        placed[:, k] = at, at + size, new.first, new.last
    return offsets, total
