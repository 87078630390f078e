"""Jobs: which batch a step sees, what a segment computes, and what its journal says."""

from worker.jobs.computation import (
    Computation,
    ComputationOf,
    JobMismatch,
    Progress,
    Replay,
    SegmentResult,
    interior,
    untouched,
)
from worker.jobs.definition import TrainingJob, TrainingRecipe
from worker.jobs.generation import GenerationJob, GenerationRecipe
from worker.jobs.inference import InferenceJob, InferenceRecipe, changed, in_order, output_names
from worker.jobs.journal import Entry, Journal
from worker.jobs.measure import Differs, Measured, measure, moves, replays
from worker.jobs.native import NativeComputation, same_bits
from worker.jobs.rules import FieldError, JobDefinition
from worker.jobs.sampling import permute, rows_of_step
from worker.jobs.steps import StepJob, StepRecipe

__all__ = [
    "Computation",
    "ComputationOf",
    "Differs",
    "Entry",
    "FieldError",
    "GenerationJob",
    "GenerationRecipe",
    "InferenceJob",
    "InferenceRecipe",
    "JobDefinition",
    "JobMismatch",
    "Journal",
    "Measured",
    "NativeComputation",
    "Progress",
    "Replay",
    "SegmentResult",
    "StepJob",
    "StepRecipe",
    "TrainingJob",
    "TrainingRecipe",
    "changed",
    "in_order",
    "interior",
    "measure",
    "moves",
    "output_names",
    "permute",
    "replays",
    "rows_of_step",
    "same_bits",
    "untouched",
]
