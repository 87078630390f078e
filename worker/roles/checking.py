"""Recomputes a committed segment and says where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.chain.types import Segment
from worker.commit import finding, reports_root, tensor_item
from worker.jobs import Computation, Journal, Progress, SegmentResult
from worker.roles.checkpoint import Checkpoint


@dataclass(frozen=True)
class Finding:
    """What a recomputation found: the end state wrong, a step's report wrong, or nothing.

    No tensors: a verifier keeps what it found for as long as the task lives.
    """

    segment: int
    state_is_wrong: bool
    report_step: int | None  # the first step whose report in the journal is wrong
    found: str  # `commit.finding` of what is right, in hex: what an accusation seals

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
    points: Sequence[int] = (),
) -> tuple[Finding, Checkpoint, SegmentResult]:
    """Recomputes a segment from its first state: what is wrong in it, and what is right: the state
    at its end, and all that its steps gave.

    journal: the committed one, of its solver and of all the segment's steps; None where there is
    none to compare the reports with. points: as `Computation.run_segment` takes them.
    """
    steps = computation.job.segment_range(segment)
    entries = journal.entries if journal is not None else ()
    result = computation.run_segment(segment, start.state, progress, points)
    end = start.after(result.state)
    items = [tuple(tensor_item(t) for t in report) for report in result.reports]
    wrong = (
        step for step, own, entry in zip(steps, items, entries, strict=False) if own != entry.items
    )
    found = finding(end.root, [reports_root(own) for own in items]).hex()
    return Finding(segment, end.root != committed.state, next(wrong, None), found), end, result
