"""Batch inference: a module answers every row of a data set once, and the answers are the result.

The steps of one epoch see every row once, in the order that the seed draws. Where the last batch is
not full, rows of the next epoch's order fill it up; their answers are left out of the result, which
the requester puts back into the data set's order (`in_order`).

The answers are the steps' reports: the journal of a segment commits to each of them, so any one can
be disputed, and no state grows with the data set. A segment's reports are an artifact of their own,
at the list root of the items that the journal holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from worker.chain.types import Job
from worker.jobs.computation import JobMismatch
from worker.jobs.counts import OfSteps
from worker.jobs.dataset import Data, OfRows
from worker.jobs.rules import (
    require,
    require_function,
    require_module,
)
from worker.jobs.sampling import rows_of_step
from worker.program import Kind, Program, Source, capture_inference, fingerprinted, inference_state
from worker.program.wellformed import DOT_BITS


@dataclass(frozen=True, kw_only=True)
class InferenceRecipe(OfRows):
    """What to run, and on what: what the entry point of a job file returns.

    module: in the mode that it is to run in, as a rule after `eval()`; it returns a tensor or a
    tuple of them, whose first axes count the batch's rows. data: the module's inputs, a list in
    their order or a dict by name; the first axis of each counts the rows. whole: the one step sees
    all of the data in its own order, and neither it nor the answers have an axis of rows. names:
    what the module's outputs are called in the result. evaluate: for the owner, what the result is
    worth.

    Raises FieldError, which names the field, the value and the rule.
    """

    module: nn.Module
    data: Data
    whole: bool = False
    names: Sequence[str] = ()
    evaluate: Callable[[dict[str, Tensor]], dict[str, float]] | None = None

    def __post_init__(self) -> None:
        require_module("module", self.module)
        super().__post_init__()
        texts = not isinstance(self.names, str) and all(isinstance(n, str) for n in self.names)
        require(texts, "names", self.names, "a list of texts, one for each output")
        require(len(set(self.names)) == len(self.names), "names", self.names, "different names")
        require_function("evaluate", self.evaluate, "a function of the outputs by name")


@dataclass(frozen=True, kw_only=True)
class InferenceJob(OfSteps, InferenceRecipe):
    """What to run, and on what; the numbers are `OfSteps`'s."""

    reports_losses: ClassVar[bool] = False

    bits: int = DOT_BITS

    @property
    def steps(self) -> int:
        """As many as it takes to see every row once."""
        return -(-self.rows // self.batch_rows)

    def capture(self) -> Program:
        """One batch's answers as a program."""
        example = self.example(self.batch_rows)
        return fingerprinted(
            capture_inference(self.module, example, bits=self.bits, whole=self.whole)
        )

    def initial_state(self) -> list[Tensor]:
        return inference_state(self.module)

    def job(self, program: Program) -> Job:
        """What goes on chain.

        Raises JobMismatch where the program is not this job's, where it changes its state, or where
        what it returns has not one row for each row of a batch.
        """
        written = changed(program)
        if written:
            raise JobMismatch(
                f"the module changes {', '.join(written[:3])}, so that its answers would depend on "
                "the order of the rows: call eval(), or write a GenerationJob"
            )
        for node in program.own_reports:
            shape = program.nodes[node].shape
            if shape[:1] != (self.batch_rows,) and not self.whole:
                raise JobMismatch(
                    f"the module returns a tensor of shape {shape} for a batch of "
                    f"{self.batch_rows} rows; its first axis must count the rows"
                )
        count = len(program.own_reports)
        if self.names and len(self.names) != count:
            raise JobMismatch(f"names={tuple(self.names)!r}; the module returns {count} tensors")
        return super().job(program)

    def report_names(self, program: Program) -> list[str]:
        """What an error calls the reports of a step."""
        names = self.names or output_names(len(program.own_reports))
        return [f"the answer {name!r}" for name in names]

    def named(self, outputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Outputs by their names."""
        return dict(zip(self.names or output_names(len(outputs)), outputs, strict=True))


def output_names(count: int) -> list[str]:
    """What outputs are called whose job gives them no names."""
    return ["output"] if count == 1 else [f"output.{i}" for i in range(count)]


def changed(program: Program) -> list[str]:
    """Names of the state's tensors that a step may change; an inference has none."""
    return [
        name
        for index, (name, node) in enumerate(
            zip(program.state_names, program.outputs[: program.state_count], strict=True)
        )
        if not _is_state(program, node, index)
    ]


def _is_state(program: Program, node: int, index: int) -> bool:
    record = program.nodes[node]
    return (record.kind, record.fn) == (Kind.SOURCE, Source.STATE) and record.attributes == (index,)


def in_order(job: Job, program: Program, reports: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """All steps' answers in the data set's order: for each output a tensor [rows, ...].

    reports: of every step, from the first to the last, each with its fingerprint. Where the data
    set is one row, as one that is seen whole, its answers are the one step's report, in its shapes.
    Raises JobMismatch where the program's reports are not the answers to one epoch's rows, each
    seen once.
    """
    batches = {
        n.attributes[1] for n in program.nodes if (n.kind, n.fn) == (Kind.SOURCE, Source.BATCH)
    }
    shapes = [program.nodes[n].shape for n in program.own_reports]
    if job.rows == job.steps == 1 and len(batches) == 1 and shapes:
        (report,) = reports
        return [t.view(s) for s, t in zip(shapes, report[:-1], strict=True)]
    if len(batches) != 1 or not shapes or any(s[:1] != tuple(batches) for s in shapes):
        raise JobMismatch(f"reports of shapes {shapes} are not answers to a batch's rows")
    (batch_rows,) = batches
    if job.steps != -(-job.rows // batch_rows):
        raise JobMismatch(
            f"{job.steps} steps of {batch_rows} rows do not see each of {job.rows} rows once"
        )
    results: list[Tensor] = []
    done = 0
    for step, (*report, _) in enumerate(reports):
        if not results:
            results = [
                torch.empty((job.rows, *s[1:]), dtype=t.dtype)
                for s, t in zip(shapes, report, strict=True)
            ]
        # what goes beyond the first epoch only fills the last batch up
        count = min(batch_rows, job.rows - step * batch_rows)
        rows = rows_of_step(job.seed, job.rows, batch_rows, step)[:count]
        for result, shape, tensor in zip(results, shapes, report, strict=True):
            result[rows] = tensor.view(shape)[:count]
        done += 1
    if done != job.steps:
        raise JobMismatch(f"reports of {done} steps; the job has {job.steps}")
    return results
