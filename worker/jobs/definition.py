"""A training job as its owner writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.chain.types import Job
from worker.jobs.rules import on_chain, require_batch, require_rows, require_segments
from worker.program import Program, capture_training, training_state


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
        rows = require_rows(self.data)
        require_batch(self.batch_rows, rows)
        require_segments(self.steps, self.segment_steps, self.seed)

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
        return on_chain(self, program)

    def load(self, state: Sequence[Tensor], program: Program) -> nn.Module:
        """The module with the parameters and buffers of a state."""
        tensors = dict(zip(program.state_names, state, strict=True))
        names = {*dict(self.module.named_parameters()), *dict(self.module.named_buffers())}
        current = self.module.state_dict()
        self.module.load_state_dict(
            {n: tensors[n].view(current[n].shape) if n in names else current[n] for n in current}
        )
        return self.module
