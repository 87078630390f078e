"""Jobs: which batch a step sees, what a segment computes, and what its journal says."""

from worker.jobs.computation import (
    Computation,
    JobMismatch,
    Progress,
    Replay,
    SegmentResult,
    interior,
)
from worker.jobs.definition import TrainingJob
from worker.jobs.journal import Entry, Journal
from worker.jobs.sampling import permute, rows_of_step

__all__ = [
    "Computation",
    "Entry",
    "JobMismatch",
    "Journal",
    "Progress",
    "Replay",
    "SegmentResult",
    "TrainingJob",
    "interior",
    "permute",
    "rows_of_step",
]
