"""Recomputes a committed segment and says where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from worker.chain.types import Segment
from worker.commit import state_root, tensor_item
from worker.jobs import Computation, Journal, Progress


@dataclass(frozen=True)
class Finding:
    """What a recomputation found: the end state wrong, a step's report wrong, or nothing."""

    segment: int
    state_is_wrong: bool
    report_step: int | None  # the first step whose report in the journal is wrong
    state: list[Tensor]  # as recomputed

    @property
    def is_right(self) -> bool:
        return not self.state_is_wrong and self.report_step is None


def check_segment(
    computation: Computation,
    segment: int,
    first: Sequence[Tensor],
    committed: Segment,
    journal: Journal | None,
    progress: Progress | None = None,
) -> Finding:
    """Recomputes a segment from its first state.

    journal: the committed one, of its solver and of all the segment's steps; None where there is
    none to compare the reports with.
    """
    steps = computation.job.segment_range(segment)
    entries = journal.entries if journal is not None else ()
    result = computation.run_segment(segment, first, progress)
    wrong = (
        step
        for step, report, entry in zip(steps, result.reports, entries, strict=False)
        if tuple(tensor_item(t) for t in report) != entry.items
    )
    return Finding(
        segment,
        state_root(result.state) != committed.state,
        next(wrong, None),
        result.state,
    )
