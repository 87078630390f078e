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
    journal: Journal | None,
    progress: Progress | None = None,
) -> tuple[Finding, Checkpoint, list[list[Tensor]]]:
    """Recomputes a segment from its first state: what is wrong in it, and what is right: the state
    at its end, and its steps' reports.

    journal: the committed one, of its solver and of all the segment's steps; None where there is
    none to compare the reports with.
    """
    steps = computation.job.segment_range(segment)
    entries = journal.entries if journal is not None else ()
    result = computation.run_segment(segment, start.state, progress)
    end = start.after(result.state)
    wrong = (
        step
        for step, report, entry in zip(steps, result.reports, entries, strict=False)
        if tuple(tensor_item(t) for t in report) != entry.items
    )
    finding = Finding(segment, end.root != committed.state, next(wrong, None))
    return finding, end, result.reports
