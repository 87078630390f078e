"""What a job takes on this machine: measured in a few of its steps, before anything is promised."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from worker.chain.types import Job
from worker.commit import LEAF_BYTES, depth, state_root, tensor_item
from worker.commit.tensors import element_bytes
from worker.jobs.computation import Computation
from worker.program import Program

LONG_ENOUGH = 1.0  # seconds to spend on timing steps, beside the first
MOST_STEPS = 16


class Differs(ValueError):
    """Native code and the interpreter give different bits here: one of them is wrong."""


@dataclass(frozen=True)
class Measured:
    """Seconds on this machine, while nothing else computes."""

    first: float  # the first step: interpreted, compiled, compared
    step: float  # each later one
    traced: float  # a step interpreted, and all that it computes hashed
    hashing: float  # a state's root

    def work(self, steps: int, segments: int) -> float:
        """Of so many steps in so many segments, begun anew, with their commitments."""
        return self.first + steps * self.step + segments * self.hashing

    def answers(self, steps: int, replays: int, arity_bits: int) -> float:
        """Of one side of a dispute about a segment of so many steps, which is replayed so many
        times: the states, the roots of each division, and a step's trace, hashed and opened."""
        rounds = max(1, -(-depth(steps) // arity_bits))
        roots = rounds * min((1 << arity_bits) - 1, steps) + 2
        return replays * steps * self.step + roots * self.hashing + 3 * self.traced


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
    traced = 0.0
    nodes = computation.walk(state, 0)
    while True:
        between()  # whoever is more pressing goes first, and is not counted
        began = time.perf_counter()
        node = next(nodes, None)
        if node is None:
            return Measured(first, spent / steps, traced, hashing)
        tensor_item(node[1])
        traced += time.perf_counter() - began


def replays(job: Job, state_bytes: int, kept_bytes: int, arity_bits: int) -> int:
    """How often a dispute has a segment computed again, where so much of its states is kept."""
    if state_bytes << arity_bits <= kept_bytes:
        return 1
    rounds, left = 1, min(job.steps, job.segment_steps)
    while left > 1 << arity_bits:
        rounds, left = rounds + 1, left >> arity_bits
    return rounds


def moves(program: Program, steps: int, arity_bits: int) -> int:
    """Transactions of one side in the longest dispute about a segment of so many steps, at most.

    The challenger files, unseals and proves besides; the solver has fewer, as it shows what lies
    under the root of a trace or a tensor when it opens it.
    """

    def rounds(parts: int) -> int:
        return -(-depth(parts) // arity_bits)

    largest = max(node.count * element_bytes(node.dtype) for node in program.nodes)
    lists = max(len(program.nodes), len(program.outputs))
    return rounds(steps) + max(1, rounds(lists)) + rounds(-(-largest // LEAF_BYTES)) + 3
