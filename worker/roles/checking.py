"""Recomputes a committed segment and says where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from worker.chain.types import Segment
from worker.commit import tensor_item
from worker.jobs import Computation, Journal, Progress
from worker.roles.checkpoint import Checkpoint


@dataclass(frozen=True)
class Finding:
    """What a recomputation found: the end state wrong, a step's report wrong, or nothing.

    No tensors: a verifier keeps what it found for as long as the task lives.
    """

    segment: int
    state_is_wrong: bool
    report_step: int | None  # the first step whose report in the journal is wrong

    @property
    def is_right(self) -> bool:
        return not self.state_is_wrong and self.report_step is None


def check_segment(
    computation: Computation,
    segment: int,
    start: Checkpoint,
    committed: Segment,
    journal: Journal,
    owner: bytes,
    progress: Progress | None = None,
) -> tuple[Finding, Checkpoint, list[list[Tensor]]]:
    """Recomputes a segment from its first state: what is wrong in it, and what is right: the state
    at its end, and its steps' reports.

    Raises ValueError when the journal is not the one committed, or not its owner's.
    """
    steps = computation.job.segment_range(segment)
    if journal.root != committed.journal or journal.owner != owner:
        raise ValueError(f"this is not the journal that {owner.hex()} committed for {segment=}")
    if journal.first_step != steps.start or len(journal.entries) != len(steps):
        raise ValueError(f"the journal of {segment=} does not cover its steps {steps}")
    result = computation.run_segment(segment, start.state, progress)
    end = start.after(result.state)
    wrong = (
        step
        for step, report, entry in zip(steps, result.reports, journal.entries, strict=True)
        if tuple(tensor_item(t) for t in report) != entry.items
    )
    finding = Finding(segment, end.root != committed.state, next(wrong, None))
    return finding, end, result.reports
