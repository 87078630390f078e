"""What a job takes on this machine: measured in a few of its steps, before anything is promised."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from worker.chain.types import Job
from worker.commit import state_root
from worker.jobs.computation import Computation

LONG_ENOUGH = 1.0  # seconds to spend on timing steps, beside the first
MOST_STEPS = 16


class Differs(ValueError):
    """Native code and the interpreter give different bits here: one of them is wrong."""


@dataclass(frozen=True)
class Measured:
    """Seconds on this machine, while nothing else computes."""

    first: float  # the first step: interpreted, compiled, compared
    step: float  # each later one
    interpreted: float  # a step in the interpreter, as a dispute traces it
    hashing: float  # a state's root

    def work(self, steps: int, segments: int) -> float:
        """Of so many steps in so many segments, begun anew, with their commitments."""
        return self.first + steps * self.step + segments * self.hashing

    def answers(self, steps: int, replays: int) -> float:
        """Of one side of a dispute about a segment of so many steps, which is replayed so many
        times: the states, their roots, and a step's trace, hashed and opened."""
        return replays * steps * self.step + 64 * self.hashing + 3 * self.interpreted


def measure(
    computation: Computation,
    state: Sequence[Tensor],
    between: Callable[[], None] = lambda: None,
) -> Measured:
    """Times some steps from a job's first state. Raises Differs, and what a step raises."""
    began = time.perf_counter()
    after, _ = computation.advance(state, 0)
    first = time.perf_counter() - began
    if computation.differs:
        raise Differs(
            f"native code of program {computation.program.root.hex()} gives other bits than the "
            "interpreter on this machine; please report it with the compiler's version"
        )
    most = min(MOST_STEPS, computation.job.segment_steps, computation.job.steps)
    spent, steps = 0.0, 0
    while spent < LONG_ENOUGH and (steps == 0 or steps < most):
        between()
        began = time.perf_counter()
        count = 1 if steps == 0 else most - steps
        if steps and spent / steps * count > 4 * LONG_ENOUGH:
            break
        computation.run_steps(range(steps, steps + count), state)
        spent, steps = spent + time.perf_counter() - began, steps + count
    began = time.perf_counter()
    state_root(after)
    hashing = time.perf_counter() - began
    return Measured(first, spent / steps, computation.interpreted_seconds or first, hashing)


def replays(job: Job, state_bytes: int, kept_bytes: int, arity_bits: int) -> int:
    """How often a dispute has a segment computed again, where so much of its states is kept."""
    if state_bytes << arity_bits <= kept_bytes:
        return 1
    rounds, left = 1, min(job.steps, job.segment_steps)
    while left > 1 << arity_bits:
        rounds, left = rounds + 1, left >> arity_bits
    return rounds
