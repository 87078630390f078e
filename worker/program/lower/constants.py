"""Constant lists of numbers, of nodes that hold one number each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from worker.program.codes import BOOL, I32, I64, Map
from worker.program.lower.registry import Builder, Unsupported, View

# runs of equal numbers: each costs a constant and two maps
MOST_RUNS = 256


def vector(b: Builder, values: Sequence[float | int | bool], dtype: int) -> View:
    """[n] of these numbers: a progression from iota, else one choice for each run of equal ones."""
    n = len(values)
    steps = {y - x for x, y in pairwise(values)}
    if dtype in (I32, I64) and n > 1 and len(steps) == 1 and steps != {0}:
        places = b.iota(n, dtype)
        if (step := steps.pop()) != 1:
            places = b.map(Map.MUL, places, b.constant(step, dtype))
        return places if not values[0] else b.map(Map.ADD, places, b.constant(values[0], dtype))
    ends = [k for k in range(1, n) if not _same(values[k], values[k - 1])]
    if len(ends) >= MOST_RUNS:
        raise Unsupported(
            f"a constant of {n} numbers, {len(ends) + 1} runs of equal ones; at most {MOST_RUNS}: "
            "register it as a buffer of the module, so that it is part of the state"
        )
    out = b.full(values[-1], dtype, (n,))
    places = b.iota(n)
    for end in reversed(ends):
        before = b.map(Map.LT, places, b.constant(end, I64), dtype=BOOL)
        out = b.map(Map.WHERE, before, b.constant(values[end - 1], dtype), out, dtype=dtype)
    return out


def _same(x: float, y: float) -> bool:
    """Equal as elements: -0 is not 0, and a NaN is a NaN."""
    return (x == y and str(x) == str(y)) or (x != x and y != y)
