"""Which tensor stands where in a state, and the optimizer's update of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worker.program.codes import DTYPE_CODES
from worker.program.lower import Unsupported
from worker.program.optimizers import UPDATES, clipped, slots_of


@dataclass
class Parts:
    """A training state, by what its tensors are."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    slots: list[Tensor]


class Layout:
    """Which tensor stands where in a training state."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Sequence[float] | None = None,
    ) -> None:
        kind = type(optimizer)
        _check_optimizer(optimizer, scheduled=schedule is not None)
        self.kind, self.groups = kind, optimizer.param_groups
        self.parameters = dict(module.named_parameters())
        self.buffers = dict(module.named_buffers())
        for name, tensor in (self.parameters | self.buffers).items():
            if tensor.dtype not in DTYPE_CODES:
                raise Unsupported(f"dtype {tensor.dtype} of {name}: use float32")
        of = {id(p): name for name, p in self.parameters.items()}
        self.group_of: dict[str, dict[str, Any]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) not in of:
                    raise ValueError(
                        f"the optimizer holds a tensor of shape {tuple(p.shape)} that is not a "
                        "parameter of the module"
                    )
                if p.requires_grad:
                    self.group_of[of[id(p)]] = group
        if not self.group_of:
            raise ValueError("the optimizer has no parameters to train")
        self.trained = list(self.group_of)
        self.slots = [
            (key, name) for name in self.trained for key in slots_of(kind, self.group_of[name])
        ]
        self.schedule = None
        if schedule is not None:
            self.schedule = torch.tensor(list(schedule), dtype=torch.float32)
            if self.schedule.numel() < 1:
                raise ValueError("the schedule is empty; give the learning rate of each step")
        self.names = [
            *self.parameters,
            *self.buffers,
            *(f"optimizer.{key}.{name}" for key, name in self.slots),
            *(("schedule.rates", "schedule.step") if self.schedule is not None else ()),
        ]

    @property
    def named(self) -> dict[str, Tensor]:
        """The module's own tensors that the state begins with."""
        return self.parameters | self.buffers

    def initial(self) -> list[Tensor]:
        """S_0, in the order of `names`: copies of the module's tensors, and what optimizer and
        schedule start from."""
        tensors = [t.detach().clone() for t in (self.parameters | self.buffers).values()]
        for key, name in self.slots:
            like = self.parameters[name]
            tensors.append(like.new_zeros(()) if key == "step" else torch.zeros_like(like).detach())
        if self.schedule is not None:
            tensors += [self.schedule.clone(), torch.zeros(1, dtype=torch.int64)]
        return tensors

    def split(self, state: list[Tensor]) -> Parts:
        """A state's tensors by what they are."""
        p, b = len(self.parameters), len(self.buffers)
        return Parts(
            dict(zip(self.parameters, state[:p], strict=True)),
            dict(zip(self.buffers, state[p : p + b], strict=True)),
            state[p + b :],
        )

    def update(self, parts: Parts, gradients: dict[str, Tensor], clip_norm: float | None) -> Parts:
        """The optimizer's update, on tensors of the trace, of what has a gradient."""
        after = dict(parts.parameters)
        slots = iter(parts.slots)
        rate: Tensor | None = None
        clock: list[Tensor] = []
        if self.schedule is not None:
            rates, step = parts.slots[-2:]
            rate = rates.gather(0, step.clamp(max=rates.numel() - 1)).reshape(())
            clock = [rates, step + 1]
        if clip_norm is not None:
            gradients = clipped(gradients, clip_norm)
        kept: list[Tensor] = []
        for name in self.trained:
            group = self.group_of[name]
            own = {key: next(slots) for key in slots_of(self.kind, group)}
            if name not in gradients:  # the loss does not depend on it: PyTorch leaves it alone
                kept += own.values()
                continue
            lr = group["lr"] if rate is None else rate
            after[name], new = UPDATES[self.kind](
                parts.parameters[name], gradients[name], own, group, lr
            )
            kept += [new[key] for key in own]
        return Parts(after, parts.buffers, [*kept, *clock])


def _check_optimizer(optimizer: torch.optim.Optimizer, scheduled: bool) -> None:
    kind = type(optimizer)
    if kind not in UPDATES:
        known = ", ".join(k.__name__ for k in UPDATES)
        raise Unsupported(f"the optimizer {kind.__name__}: use one of {known}")
    if any(isinstance(v, Tensor) for g in optimizer.param_groups for v in g.values()):
        raise Unsupported("a hyperparameter that is a tensor: use Python numbers, or a schedule")
    if any(g.get("dampening") for g in optimizer.param_groups):
        # its first step differs from all others, and a program has one step
        raise Unsupported("SGD with dampening: set dampening=0")
    if any(g.get("amsgrad") for g in optimizer.param_groups):
        raise Unsupported("Adam with amsgrad: set amsgrad=False")
    if not scheduled and any("initial_lr" in g for g in optimizer.param_groups):
        # a scheduler of torch marks them so; its first rate, often zero, would stay for ever
        raise Unsupported(
            "an optimizer with a scheduler, which runs outside of a step: list each step's rate "
            "(scheduler.get_last_lr() before each) as schedule=[...]"
        )
    if optimizer.state:
        raise Unsupported("an optimizer that has made steps: pass a fresh one")
