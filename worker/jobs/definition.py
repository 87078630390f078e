"""A training job as its owner writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor, nn

from worker.jobs.counts import OfSteps
from worker.jobs.dataset import Data, OfRows
from worker.jobs.rules import (
    Shown,
    require,
    require_function,
    require_module,
)
from worker.program import Program, Rates, capture_training, fingerprinted, training_state


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(OfRows):
    """What to train, how, and on what: what the entry point of a job file returns.

    module, loss_fn, optimizer: as for `capture_training`. data: tensors whose first axis counts the
    rows, f32, i64, i32 or bool and finite. A list holds the module's inputs, then the target, and
    the loss is `loss_fn(module(*inputs), target)`. A dict holds the module's arguments by name, and
    the loss is `loss_fn(module(**batch), batch)`: so a loss may read what it likes, and a target is
    not needed. With `loss_fn=None` the module computes the loss of all the data itself: it returns
    it, or an output with a `loss`, as the models of `transformers` do with `labels`.

    whole: every step sees all of the data in its own order, and the tensors have no axis of rows:
    a graph's nodes and edges, a point cloud, a system to fit. The job's data set is then one row
    (`batch_rows=1`), which the seed cannot put in another order.

    schedule: the learning rate of each step, the last one of all later steps, or a list for each
    step with the rate of each group of the optimizer; without it, the optimizer's own. clip_norm:
    the most that the gradients' joint norm may be. clip_value: the most that the magnitude of any
    element of theirs may be. evaluate: for the owner, what the finished module is worth.

    Raises FieldError, which names the field, the value and the rule.
    """

    module: nn.Module
    loss_fn: Callable[..., Tensor] | None
    optimizer: torch.optim.Optimizer
    data: Data
    whole: bool = False
    schedule: Rates | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None

    def __post_init__(self) -> None:
        require_module("module", self.module)
        rule = "a function of output and target, or None where the module returns its loss"
        require_function("loss_fn", self.loss_fn, rule)
        require(
            isinstance(self.optimizer, torch.optim.Optimizer),
            "optimizer",
            self.optimizer,
            "a torch.optim.Optimizer of the module's parameters",
        )
        super().__post_init__()
        require(
            len(self.data) >= 2 or isinstance(self.data, Mapping) or self.loss_fn is None,
            "data",
            Shown([list(t.shape) for t in self.tensors]),
            "the module's inputs, then the target; without a target, a dict by name, of which "
            "loss_fn(output, batch) reads what it needs",
        )
        if self.schedule is not None:
            rates = list(self.schedule)
            rule = "learning rates from 0 up, one for each step, or one for each group of each step"
            flat = [r for row in rates for r in (row if isinstance(row, list | tuple) else [row])]
            require(bool(flat) and all(map(_is_rate, flat)), "schedule", rates[:8], rule)
        for name in ("clip_norm", "clip_value"):
            most = getattr(self, name)
            sound = most is None or (_is_number(most) and most > 0)
            require(sound, name, most, "a number above 0")
        require_function("evaluate", self.evaluate, "a function of the module")


@dataclass(frozen=True, kw_only=True)
class TrainingJob(OfSteps, TrainingRecipe):
    """What to train, on what, for how long; the other numbers are `OfSteps`'s."""

    reports_losses: ClassVar[bool] = True

    steps: int

    def capture(self) -> Program:
        """One step of this training as a program."""
        return fingerprinted(
            capture_training(
                self.module,
                self.loss_fn,
                self.optimizer,
                self.example(self.batch_rows),
                whole=self.whole,
                schedule=self.schedule,
                clip_norm=self.clip_norm,
                clip_value=self.clip_value,
                bits=self.bits,
            )
        )

    def initial_state(self) -> list[Tensor]:
        return training_state(self.module, self.optimizer, self.schedule, self.loss_fn)

    def report_names(self, program: Program) -> list[str]:
        """What an error calls the reports of a step."""
        return ["the loss"]

    def load(self, state: Sequence[Tensor], program: Program) -> nn.Module:
        """The module with the parameters and buffers of a state; the loss with its own too, where
        it is a module."""
        tensors = dict(zip(program.state_names, state, strict=True))
        load_module(self.module, tensors)
        if isinstance(self.loss_fn, nn.Module):
            own = {n: t for n, t in tensors.items() if n.startswith("loss.")}
            load_module(self.loss_fn, {n.removeprefix("loss."): t for n, t in own.items()})
        return self.module


def load_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts those of a state's tensors into a module that have the names of its own."""
    names = {*dict(module.named_parameters()), *dict(module.named_buffers())} & set(tensors)
    current = module.state_dict()
    module.load_state_dict(
        {n: tensors[n].view(current[n].shape) if n in names else current[n] for n in current}
    )


def _is_rate(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
