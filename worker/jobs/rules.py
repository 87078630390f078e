"""What every kind of job is checked for, and how it becomes a job of the market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from worker.chain.types import Job
from worker.commit import state_root
from worker.jobs.computation import Computation
from worker.program import Program
from worker.program.wellformed import MOST_DOT_BITS

MAX_SEGMENTS = 256  # `Market.MOST_SEGMENTS`


class JobDefinition(Protocol):
    """A job as its owner writes it: training, batch inference or generation."""

    @property
    def data(self) -> Sequence[Tensor]: ...
    @property
    def rows(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def segment_steps(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def capture(self) -> Program:
        """One step as a program."""
        ...

    def initial_state(self) -> list[Tensor]:
        """S_0."""
        ...

    def job(self, program: Program) -> Job:
        """What goes on chain. Raises JobMismatch where the program is not this job's."""
        ...


class FieldError(ValueError):
    """A field of a job that breaks a rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field}={value!r}; it must be: {rule}")
        self.field, self.value, self.rule = field, value, rule


def require(condition: bool, field: str, value: object, rule: str) -> None:
    """Raises FieldError, which names field, value and rule, unless the condition holds."""
    if not condition:
        raise FieldError(field, value, rule)


def require_rows(data: Sequence[Tensor]) -> int:
    """The rows that all tensors of a data set have."""
    tensors = isinstance(data, (list, tuple)) and all(isinstance(t, Tensor) for t in data)
    found = [type(t).__name__ for t in data] if isinstance(data, (list, tuple)) else data
    require(tensors, "data", found, "a list of tensors")
    rows = {t.shape[0] if t.dim() else 0 for t in data}
    require(len(rows) == 1 and rows != {0}, "data", rows, "all tensors have the same rows")
    return rows.pop()


def require_batch(batch_rows: int, rows: int) -> None:
    """Raises FieldError where a step sees no row, or one row twice."""
    require(
        0 < batch_rows <= rows, "batch_rows", batch_rows, f"from 1 to the data set's {rows} rows"
    )


def require_segments(steps: int, segment_steps: int, seed: int) -> None:
    """Raises FieldError where steps, segments or seed are not ones that the market takes."""
    require(steps > 0, "steps", steps, "at least 1")
    require(
        0 < segment_steps <= steps,
        "segment_steps",
        segment_steps,
        f"from 1 to steps, which is {steps}",
    )
    segments = -(-steps // segment_steps)
    require(
        segments <= MAX_SEGMENTS,
        "segment_steps",
        segment_steps,
        f"{segments} segments are too many (at most {MAX_SEGMENTS}): make segments longer",
    )
    require(0 <= seed < 1 << 64, "seed", seed, "an unsigned 64-bit integer")


def require_bits(bits: int) -> None:
    """Raises FieldError where no product's operands may have so many bits."""
    require(2 <= bits <= MOST_DOT_BITS, "bits", bits, f"from 2 to {MOST_DOT_BITS}")


def on_chain(definition: JobDefinition, program: Program) -> Job:
    """The job with the hashes of its parts. Raises JobMismatch where they do not fit together."""
    job = Job(
        program=program.root,
        state=state_root(definition.initial_state()),
        data=state_root(definition.data),
        data_tensors=len(definition.data),
        rows=definition.rows,
        seed=definition.seed,
        steps=definition.steps,
        segment_steps=definition.segment_steps,
    )
    Computation(job, program, definition.data)
    return job
