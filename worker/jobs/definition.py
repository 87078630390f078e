"""A training job as its owner writes it, and making it a job of the market."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.chain.types import Job
from worker.commit import state_root
from worker.jobs.computation import Computation
from worker.program import Program, capture_training, training_state

MAX_SEGMENTS = 256  # `Market.MAX_SEGMENTS`


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What to train, on what, for how long. Errors name the field, the value and the rule.

    module, loss_fn, optimizer: as for `capture_training`. data: tensors whose first axis counts the
    rows: the module's inputs, then the target. batch_rows: rows of a step. segment_steps: steps
    between two checkpoints that the chain holds. seed: of the order in which rows are seen.
    evaluate: for the owner, what the finished module is worth.
    """

    module: nn.Module
    loss_fn: Callable[..., Tensor]
    optimizer: torch.optim.Optimizer
    data: Sequence[Tensor]
    batch_rows: int
    steps: int
    segment_steps: int
    seed: int = 0
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None

    def __post_init__(self) -> None:
        rows = {t.shape[0] if t.dim() else 0 for t in self.data}
        _require(len(rows) == 1 and rows != {0}, "data", rows, "all tensors have the same rows")
        (self_rows,) = rows
        _require(
            0 < self.batch_rows <= self_rows,
            "batch_rows",
            self.batch_rows,
            f"from 1 to the data set's {self_rows} rows",
        )
        _require(self.steps > 0, "steps", self.steps, "at least 1")
        _require(
            0 < self.segment_steps <= self.steps,
            "segment_steps",
            self.segment_steps,
            f"from 1 to steps, which is {self.steps}",
        )
        segments = -(-self.steps // self.segment_steps)
        _require(
            segments <= MAX_SEGMENTS,
            "segment_steps",
            self.segment_steps,
            f"{segments} segments are too many (at most {MAX_SEGMENTS}): make segments longer",
        )
        _require(0 <= self.seed < 1 << 64, "seed", self.seed, "an unsigned 64-bit integer")

    @property
    def rows(self) -> int:
        return int(self.data[0].shape[0])

    def capture(self) -> Program:
        """One step of this training as a program."""
        example = [t[: self.batch_rows] for t in self.data]
        return capture_training(self.module, self.loss_fn, self.optimizer, example)

    def initial_state(self) -> list[Tensor]:
        return training_state(self.module, self.optimizer)

    def job(self, program: Program) -> Job:
        """What goes on chain. Raises JobMismatch where the program is not this job's."""
        job = Job(
            program=program.root,
            state=state_root(self.initial_state()),
            data=state_root(self.data),
            data_tensors=len(self.data),
            rows=self.rows,
            seed=self.seed,
            steps=self.steps,
            segment_steps=self.segment_steps,
        )
        Computation(job, program, self.data)
        return job

    def load(self, state: Sequence[Tensor], program: Program) -> nn.Module:
        """The module with the parameters and buffers of a state."""
        tensors = dict(zip(program.state_names, state, strict=True))
        names = {*dict(self.module.named_parameters()), *dict(self.module.named_buffers())}
        current = self.module.state_dict()
        self.module.load_state_dict(
            {n: tensors[n].view(current[n].shape) if n in names else current[n] for n in current}
        )
        return self.module


def _require(condition: bool, field: str, value: object, rule: str) -> None:
    if not condition:
        raise ValueError(f"{field}={value!r}; it must be: {rule}")
