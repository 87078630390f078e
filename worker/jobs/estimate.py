"""What a job will take, said before anything is sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from worker.chain.types import Job
from worker.jobs.computation import Computation
from worker.jobs.rules import JobDefinition
from worker.program import Program, Summary
from worker.program.cost import count, size

LONG_ENOUGH = 5.0  # seconds to spend on timing


@dataclass(frozen=True)
class Estimate:
    """A job's work, and what it took here. Sizes are in bytes."""

    job: Job
    summary: Summary  # of one step
    batch_rows: int  # 0 where steps take none
    data_bytes: int
    program_bytes: int
    step_seconds: float  # one step on this machine

    @property
    def flops(self) -> int:
        return self.summary.flops * self.job.steps

    @property
    def work_units(self) -> int:
        """Of the whole job."""
        return self.summary.work_units * self.job.steps

    @property
    def seconds(self) -> float:
        """Of the whole job on this machine, without commitments."""
        return self.step_seconds * self.job.steps

    @property
    def published_bytes(self) -> int:
        """What the requester puts into the store: program, data set and first state."""
        return self.program_bytes + self.data_bytes + self.summary.state_bytes

    def rows(self) -> list[tuple[str, str]]:
        """What people want to read: names and values."""
        job = self.job
        batch = f" of {self.batch_rows} rows, out of {job.rows}" if self.batch_rows else ""
        return [
            *self.summary.rows(),
            ("job", f"{job.steps} steps{batch}, in {job.segments} segments"),
            ("whole job", f"{count(self.flops)} FLOPs, {count(self.work_units)} work units"),
            (
                "time",
                f"{duration(self.seconds)} on this machine ({duration(self.step_seconds)} a step)",
            ),
            (
                "to publish",
                f"{size(self.published_bytes)}: data {size(self.data_bytes)}, "
                f"state {size(self.summary.state_bytes)}, program {size(self.program_bytes)}",
            ),
        ]

    def document(self) -> dict[str, Any]:
        """The numbers for machines."""
        s = self.summary
        return {
            "program": s.root,
            "nodes": s.nodes,
            "functions": s.functions,
            "steps": self.job.steps,
            "segments": self.job.segments,
            "flops": self.flops,
            "work_units": self.work_units,
            "step": {
                "flops": s.flops,
                "product_flops": s.product_flops,
                "bytes_read": s.bytes_read,
                "bytes_written": s.bytes_written,
                "work_units": s.work_units,
                "seconds": self.step_seconds,
            },
            "memory": {
                "peak_bytes": s.peak_bytes,
                "state_bytes": s.state_bytes,
                "trace_bytes": s.trace_bytes,
            },
            "published_bytes": self.published_bytes,
            "seconds": self.seconds,
        }


def estimate(definition: JobDefinition, program: Program) -> Estimate:
    """Counts the program's work, and times one step of the job here.

    Raises JobMismatch where the program is not the definition's.
    """
    job = definition.job(program)
    computation = Computation(job, program, definition.tensors)
    state = definition.initial_state()
    times = []
    for _ in range(4):  # the first also chooses kernels, others on a busy machine are late
        start = time.perf_counter()
        computation.advance(state, 0)
        times.append(time.perf_counter() - start)
        if sum(times) > LONG_ENOUGH:
            break
    return Estimate(
        job=job,
        summary=program.summary(),
        batch_rows=computation.batch_rows,
        data_bytes=_bytes(definition.tensors),
        program_bytes=len(program.to_bytes()),
        step_seconds=min(times),
    )


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def duration(seconds: float) -> str:
    """For people: 12 ms, 3.4 s, 5 min, 2.5 h."""
    for limit, unit, name in ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:.3g} h"
