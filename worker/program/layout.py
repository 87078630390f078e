"""Which tensor stands where in a state, and the optimizer's update of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worker.program.codes import DTYPE_CODES
from worker.program.lower import Unsupported
from worker.program.optimizers import Rates, Stepping


def check_tensors(named: Mapping[str, Tensor]) -> None:
    """Raises Unsupported, naming the tensor, for parameters and buffers that no state holds."""
    for name, tensor in named.items():
        if tensor.dtype not in DTYPE_CODES:
            raise Unsupported(f"dtype {tensor.dtype} of {name}: use float32")
        if tensor.numel() == 0:
            raise Unsupported(
                f"{name}, which has shape {tuple(tensor.shape)} and no elements: where the "
                "module's first call makes it longer, call it once before; else make it no buffer"
            )


@dataclass
class Parts:
    """A training state, by what its tensors are."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    slots: list[Tensor]


class Layout:
    """Which tensor stands where in a training state.

    What a loss that is a module holds comes after what the module holds, as `loss.` and its name.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Rates | None = None,
        loss_fn: Any = None,
    ) -> None:
        self.parameters: dict[str, Tensor] = dict(module.named_parameters())
        self.buffers = dict(module.named_buffers())
        if isinstance(loss_fn, nn.Module):
            _add(self.parameters, loss_fn.named_parameters())
            _add(self.buffers, loss_fn.named_buffers())
        check_tensors(self.named)
        self.optimizer = Stepping(optimizer, self.parameters, schedule)
        self.trained = self.optimizer.trained
        self.names = [*self.parameters, *self.buffers, *self.optimizer.tensor_names]

    @property
    def named(self) -> dict[str, Tensor]:
        """The module's own tensors that the state begins with."""
        return self.parameters | self.buffers

    def initial(self) -> list[Tensor]:
        """S_0, in the order of `names`: copies of the module's tensors, and what optimizer and
        schedule start from."""
        tensors = [t.detach().clone() for t in (self.parameters | self.buffers).values()]
        return [*tensors, *self.optimizer.initial()]

    def split(self, state: list[Tensor]) -> Parts:
        """A state's tensors by what they are."""
        p, b = len(self.parameters), len(self.buffers)
        return Parts(
            dict(zip(self.parameters, state[:p], strict=True)),
            dict(zip(self.buffers, state[p : p + b], strict=True)),
            state[p + b :],
        )


def _add(held: dict[str, Tensor], more: Iterable[tuple[str, Tensor]]) -> None:
    known = {id(t) for t in held.values()}
    held |= {f"loss.{name}": t for name, t in more if id(t) not in known}
