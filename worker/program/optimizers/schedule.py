"""Learning rates that change from step to step: a table in the state, and the step's number."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from worker.program.lower import Unsupported

# the rates of all groups alike, or a row for each step with the rate of each group
Rates = Sequence[float] | Sequence[Sequence[float]]


class Schedule:
    """The learning rate of each step; the last one stays for all later steps.

    rates: a number for each step, for all groups of the optimizer; or a list for each step with the
    rate of each group, as `scheduler.get_last_lr()` gives it.

    Raises ValueError where there is none for a step, or not one for each group, and Unsupported for
    one number where the groups' own rates differ.
    """

    def __init__(self, optimizer: Optimizer, rates: Rates, prefix: str = "schedule") -> None:
        rows: list[Any] = list(rates)
        if not rows:
            raise ValueError("the schedule is empty; give the learning rate of each step")
        groups = optimizer.param_groups
        self.by_group = any(not isinstance(row, int | float) for row in rows)
        if self.by_group:
            for k, row in enumerate(rows):
                found = len(row) if isinstance(row, Sequence) else type(row).__name__
                if found != len(groups):
                    raise ValueError(
                        f"the schedule's step {k} has {found} for {len(groups)} groups of the "
                        "optimizer; give a list with the rate of each (scheduler.get_last_lr())"
                    )
        else:
            own = [float(group.get("initial_lr", group["lr"])) for group in groups]
            if len(set(own)) > 1:
                raise Unsupported(
                    f"one rate a step for groups whose own rates differ ({own}): give a list with "
                    "the rate of each group for each step, as scheduler.get_last_lr() has it"
                )
        flat = [float(r) for row in rows for r in (row if self.by_group else [row])]
        if not all(isfinite(r) and r >= 0 for r in flat):
            raise ValueError(f"the schedule has {flat[:8]}; learning rates are finite, from 0 up")
        self.count = len(groups)
        self.first = flat[: self.count] if self.by_group else flat[:1] * self.count
        self.table = torch.tensor(flat, dtype=torch.float32)
        if self.by_group:
            self.table = self.table.reshape(len(rows), self.count)
        self.names = (f"{prefix}.rates", f"{prefix}.step")

    def initial(self) -> list[Tensor]:
        """f32 [steps] or [steps, groups], and i64 [1]."""
        return [self.table.clone(), torch.zeros(1, dtype=torch.int64)]

    def at(self, state: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Each group's rate in a step, a scalar; and the next state."""
        table, step = state
        row = table.index_select(0, step.clamp(max=table.shape[0] - 1)).flatten()
        rates = [row[k if self.by_group else 0] for k in range(self.count)]
        return rates, [table, step + 1]
