"""Roles: what a worker does next, given the chain's state."""

from worker.outcomes import TaskFailed
from worker.roles.artifacts import (
    load_computation,
    load_journal,
    load_program,
    load_reports,
    load_state,
    put_job,
    put_result,
)
from worker.roles.base import Desk, Role
from worker.roles.build import build
from worker.roles.checking import Finding, check_segment
from worker.roles.checkpoint import Checkpoint
from worker.roles.keeper import Keeper
from worker.roles.pricing import Pricing, WorkPrice
from worker.roles.solver import Solver
from worker.roles.verifier import Verifier

__all__ = [
    "Checkpoint",
    "Desk",
    "Finding",
    "Keeper",
    "Pricing",
    "Role",
    "Solver",
    "TaskFailed",
    "Verifier",
    "WorkPrice",
    "build",
    "check_segment",
    "load_computation",
    "load_journal",
    "load_program",
    "load_reports",
    "load_state",
    "put_job",
    "put_result",
]
