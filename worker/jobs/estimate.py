"""What a job will take, said before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from worker.chain.types import Job
from worker.jobs.computation import Computation
from worker.jobs.measure import replays
from worker.jobs.rules import JobDefinition
from worker.jobs.trial import Trial, tried
from worker.program import Program, Summary
from worker.program.cost import count, size


@dataclass(frozen=True)
class Estimate:
    """A job's work, and what it took here. Sizes are in bytes."""

    job: Job
    summary: Summary  # of one step
    batch_rows: int  # 0 where steps take none
    data_bytes: int
    program_bytes: int
    trial: Trial  # the first steps, on this machine

    @property
    def step_seconds(self) -> float:
        """One step on this machine."""
        return self.trial.step_seconds

    @property
    def units_per_second(self) -> float:
        """Work units, on this machine."""
        return self.summary.work_units / self.step_seconds

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

    def dispute_seconds(self, slower: float, arity_bits: int, kept_bytes: int) -> float:
        """To compute a segment again, as often as a dispute does where so much of its states is
        kept, and to trace a step of it, on a machine so many times slower."""
        steps = min(self.job.steps, self.job.segment_steps)
        times = replays(self.job, self.summary.state_bytes, kept_bytes, arity_bits)
        return slower * (times * steps * self.step_seconds + 3 * self.trial.interpreted_seconds)

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
                f"{duration(self.seconds)} on this machine: {duration(self.step_seconds)} a step "
                f"{self._how}, {count(self.units_per_second)} work units a second",
            ),
            *self._losses(),
            (
                "to publish",
                f"{size(self.published_bytes)}: data {size(self.data_bytes)}, "
                f"state {size(self.summary.state_bytes)}, program {size(self.program_bytes)}",
            ),
        ]

    @property
    def _how(self) -> str:
        if self.trial.native:
            return f"as native code, compiled in {duration(self.trial.compile_seconds)}"
        return "interpreted (a C compiler makes it several times faster)"

    def _losses(self) -> list[tuple[str, str]]:
        """The first steps' reports, where they are numbers; the fingerprint says nothing."""
        reports = [report[:-1] for report in self.trial.reports]
        if any(t.numel() != 1 or not t.is_floating_point() for r in reports for t in r):
            return []
        said = " ".join(", ".join(f"{float(t):.6g}" for t in report) for report in reports)
        return [("first losses", said)] if len(reports[0]) == 1 else [("first reports", said)]

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
                "native": self.trial.native,
                "compile_seconds": self.trial.compile_seconds,
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
    """Counts the program's work, looks at all of the data, and runs and times the first steps here.

    Raises JobMismatch where the program is not the definition's, OutOfRange and NotFinite where
    its steps would not work.
    """
    job = definition.job(program)
    trial = tried(definition, program)
    return Estimate(
        job=job,
        summary=program.summary(),
        batch_rows=Computation(job, program, definition.tensors).batch_rows,
        data_bytes=_bytes(definition.tensors),
        program_bytes=len(program.to_bytes()),
        trial=trial,
    )


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def duration(seconds: float) -> str:
    """For people: 12 ms, 3.4 s, 5 min, 2.5 h."""
    for limit, unit, name in ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:.3g} h"
