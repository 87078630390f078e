"""What jobs whose steps see rows of a data set have in common: how often, and with how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from worker.chain.types import Job
from worker.jobs.dataset import OfRows
from worker.jobs.rules import JobDefinition, on_chain, require_batch, require_bits, require_segments
from worker.program import TRAINING_BITS, Program


@dataclass(frozen=True, kw_only=True)
class OfSteps(OfRows):
    """The numbers beside a recipe. Each error names the field, the value and the rule.

    batch_rows: rows of a step. segment_steps: steps between two checkpoints that the chain holds.
    seed: of the order in which rows are seen, and of random numbers. bits: of the integers that are
    multiplied; 20 follow fp32, 14 are like TF32 and faster.
    """

    batch_rows: int
    segment_steps: int
    seed: int = 0
    bits: int = TRAINING_BITS

    def __post_init__(self) -> None:
        super().__post_init__()
        require_batch(self.batch_rows, self.rows, self.whole)
        steps = cast(JobDefinition, self).steps  # a field, or what the rows come to
        require_segments(steps, self.segment_steps, self.seed)
        require_bits(self.bits)

    def job(self, program: Program) -> Job:
        """What goes on chain. Raises JobMismatch where the program is not this job's."""
        return on_chain(cast(JobDefinition, self), program)
