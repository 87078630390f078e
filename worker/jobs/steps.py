"""A training whose step its owner has written: several optimizers, losses, target networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from worker.jobs.counts import OfSteps
from worker.jobs.dataset import Data, OfRows
from worker.jobs.definition import load_module
from worker.jobs.rules import (
    require,
    require_function,
    require_module,
)
from worker.program import Program, Rates, capture_step, fingerprinted, step_state

Optimizer = torch.optim.Optimizer


@dataclass(frozen=True, kw_only=True)
class StepRecipe(OfRows):
    """A step, what it changes, and on what: what the entry point of a job file returns.

    step, modules, optimizers, schedule: as for `worker.program.capture_step`: the body of a
    training's loop, which is given a batch's tensors and returns what to report, its losses; all
    modules that it reads or writes, and all optimizers that it calls, one or several by name. data:
    tensors whose first axis counts the rows, in the order of the step's arguments or by their
    names. whole: as for `TrainingRecipe`. evaluate: for the owner, what the finished module is
    worth, or the modules by name.

    Raises FieldError, which names the field, the value and the rule.
    """

    step: Callable[..., Any]
    modules: nn.Module | Mapping[str, nn.Module]
    optimizers: Optimizer | Mapping[str, Optimizer]
    data: Data
    whole: bool = False
    schedule: Rates | Mapping[str, Rates] | None = None
    evaluate: Callable[[Any], dict[str, float]] | None = None

    def __post_init__(self) -> None:
        require(callable(self.step), "step", self.step, "a function of a batch's tensors")
        for name, module in _named("modules", self.modules):
            require_module(name, module)
        for name, optimizer in _named("optimizers", self.optimizers):
            require(isinstance(optimizer, Optimizer), name, optimizer, "a torch.optim.Optimizer")
        super().__post_init__()
        require_function(
            "evaluate", self.evaluate, "a function of the module, or of the modules by name"
        )

    @property
    def module(self) -> nn.Module:
        """The one module, or all of them by name."""
        if isinstance(self.modules, nn.Module):
            return self.modules
        return nn.ModuleDict(dict(self.modules))


@dataclass(frozen=True, kw_only=True)
class StepJob(OfSteps, StepRecipe):
    """A step, on what, and how often; the other numbers are `OfSteps`'s."""

    reports_losses: ClassVar[bool] = True

    steps: int

    def capture(self) -> Program:
        """The step as a program."""
        return fingerprinted(
            capture_step(
                self.step,
                self.modules,
                self.optimizers,
                self.example(self.batch_rows),
                schedule=self.schedule,
                bits=self.bits,
                whole=self.whole,
            )
        )

    def initial_state(self) -> list[Tensor]:
        return step_state(self.modules, self.optimizers, self.schedule)

    def report_names(self, program: Program) -> list[str]:
        """What an error calls the reports of a step."""
        return [f"number {k} of what the step returns" for k in range(len(program.own_reports))]

    def load(self, state: Sequence[Tensor], program: Program) -> nn.Module:
        """The module with the parameters and buffers of a state, or all of them by name."""
        load_module(self.module, dict(zip(program.state_names, state, strict=True)))
        return self.module


def _named(field: str, given: object) -> list[tuple[str, object]]:
    """What there is one of, or several by name, as an error calls it."""
    if not isinstance(given, Mapping):
        return [(field, given)]
    require(bool(given), field, given, "one, or several by name")
    return [(f"{field}[{name!r}]", value) for name, value in given.items()]
