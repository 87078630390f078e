"""What a user's objects hold, compared: between two runs of a step, what may have changed?

Where `held` has walked, each place has what it is compared by: numbers and texts as they are, other
objects by their ids, and what has neither by a class from here.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from worker.program.lower import Unsupported

PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice)


class Held(Protocol):
    """What everything held at one time. values: what stands where, by a name for people."""

    values: dict[str, Any]


class Made:
    """In the place of a tensor that a trace made."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self._kind = tensor, (tensor.dtype, tuple(tensor.shape))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and other._kind == self._kind

    def __repr__(self) -> str:
        return "a tensor that the step made"


class Chance:
    """In the place of a source of random numbers: where it stands."""

    def __init__(self, state: Any) -> None:
        self._state = state.numpy().tobytes() if isinstance(state, Tensor) else pickle.dumps(state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chance) and other._state == self._state


class Exactly:
    """A number or a text, equal to what is of its kind and the same; NaN equals NaN."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Exactly) or type(other.value) is not type(self.value):
            return False
        return bool(self.value == other.value) or repr(self.value) == repr(other.value)

    def __repr__(self) -> str:
        return repr(self.value)


def key_of(x: Any) -> Any:
    return (type(x), repr(x)) if isinstance(x, PLAIN) else id(x)


def chance_of(x: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """Where a source of random numbers stands, and how to put it back there."""
    if isinstance(x, random.Random):
        return x.getstate(), x.setstate
    if isinstance(x, np.random.RandomState):
        return x.get_state(legacy=False), x.set_state
    if isinstance(x, np.random.Generator):
        return x.bit_generator.state, lambda state: setattr(x.bit_generator, "state", state)
    if isinstance(x, torch.Generator):
        return x.get_state(), x.set_state
    return None


def refuse_chance(before: Held, after: Held) -> None:
    """Raises Unsupported where random numbers were drawn that are none of torch's."""
    for place, was in before.values.items():
        if isinstance(was, Chance) and after.values.get(place) != was:
            raise Unsupported(
                f"{place}, which would be the same in every step: draw with torch (torch.rand, "
                "F.dropout)"
            )


def refuse_changes(before: Held, after: Held, last: Held) -> None:
    """Raises Unsupported where a step's second run has changed what its first run left: a later
    step would start from something else again.

    What the first run alone has changed (a mode, a shape that is noted, a tensor that nobody reads)
    is the same in all later steps.
    """
    for place in {**after.values, **last.values}:
        found = [look.values.get(place, "nothing") for look in (before, after, last)]
        if found[1] != found[2]:
            told = ", then ".join(_told(value) for value in found)
            raise Unsupported(
                f"{place}, which every step changes ({told}), and a program has no Python: keep it "
                "in a buffer of the module (register_buffer, and write into it in forward)"
            )


def told_changes(before: Held, after: Held) -> list[str]:
    """What a step's first run has changed, numbers and texts first: the places and how."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for place in {**before.values, **after.values}:
        was, now = before.values.get(place, "nothing"), after.values.get(place, "nothing")
        if was != now and not isinstance(now, Chance):
            plain = isinstance(was, Exactly) and isinstance(now, Exactly)
            found[plain].append(f"{place} ({_told(was)}, then {_told(now)})")
    return found[True] + found[False]


def _told(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], type):
        size = value[1] if isinstance(value[1], int) else len(value[1])
        return f"a {value[0].__name__} of {size}"
    return repr(value)[:60]
