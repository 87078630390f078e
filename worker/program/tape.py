"""Random numbers of a step, by where torch's generator stands.

A trace draws nothing, so torch's own generator would stand still. Here every draw moves it on, and
is remembered by where it stood: who puts the generator back (a checkpoint that computes a layer
again for its gradient) gets the same draw again, as in PyTorch.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map_only

from worker.program.lower import Unsupported

aten = torch.ops.aten

SEEDED = (
    "a seed or a state of torch's random numbers that the step sets (torch.manual_seed, fork_rng), "
    "by which every step would draw the same: leave it out, the job's seed is what draws start from"
)


class Tape:
    """The draws of one run of a step."""

    def __init__(self) -> None:
        self._generator = torch.default_generator
        self._draws: dict[bytes, tuple[Any, Any]] = {}
        self._latest = b""

    def start(self) -> None:
        """torch's generator goes to a place that no seed of the user's leads to."""
        with _disable_current_modes():
            self._before = self._generator.get_state()
            self._generator.manual_seed(int.from_bytes(os.urandom(7)))
            self._latest = self._stands()

    def stop(self) -> None:
        """torch's generator goes back to where it was."""
        self._generator.set_state(self._before)

    def check(self) -> None:
        """Raises Unsupported where a next step would not go on from where this one ends."""
        with _disable_current_modes():
            if self._stands() != self._latest:
                raise Unsupported(SEEDED)

    def draw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What an operator draws. Raises Unsupported where the generator stands in a place that no
        draw has led to, and for a generator of the user's own."""
        if any(isinstance(v, torch.Generator) for v in (*args, *kwargs.values())):
            raise Unsupported(
                "a torch.Generator of one's own, which a step would not move on: draw without it"
            )
        what = func, [_described(v) for v in (*args, *kwargs.values())]
        with _disable_current_modes():
            here = self._stands()
            torch.rand(1, generator=self._generator)
            after = self._stands()
        if here in self._draws:
            return self._again(*self._draws[here], what, args)
        if here != self._latest:
            raise Unsupported(SEEDED)
        self._latest = after
        out = func(*args, **kwargs)
        # copies: the module may write into what was drawn
        self._draws[here] = what, tree_map_only(Tensor, aten.clone.default, out)
        return out

    @staticmethod
    def _again(before: Any, drawn: Any, what: Any, args: tuple[Any, ...]) -> Any:
        if before != what:
            raise Unsupported(
                "random numbers that are drawn from a place (torch.set_rng_state, fork_rng) where "
                f"others were drawn before ({before[0]}, then {what[0]}): draw each once"
            )
        if what[0]._schema.is_mutable:
            return aten.copy_.default(args[0], drawn)
        return tree_map_only(Tensor, aten.clone.default, drawn)

    def _stands(self) -> bytes:
        return self._generator.get_state().numpy().tobytes()


def _described(value: Any) -> Any:
    return (value.dtype, tuple(value.shape)) if isinstance(value, Tensor) else value
