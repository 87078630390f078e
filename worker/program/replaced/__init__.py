"""Functions of PyTorch's libraries that look at values, replaced while a step is traced.

`torch.distributions` looks whether its arguments are sound, an averaged model whether it is the
first, Adafactor at its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import torch
from torch.distributions import Distribution
from torch.optim import _adafactor, swa_utils

from worker.program.replaced.adafactor import adafactor
from worker.program.replaced.averages import update_parameters

# What is replaced belongs to the process: two threads in turn would leave it replaced for good.
_ONE_AT_A_TIME = RLock()


@contextmanager
def replaced_functions() -> Iterator[None]:
    """Within, they do with tensors what they otherwise do by looking at values.

    A second thread waits at the door until the first has put everything back.
    """
    with _ONE_AT_A_TIME, _replaced():
        yield


@contextmanager
def _replaced() -> Iterator[None]:
    places: list[tuple[Any, str, Any]] = [
        # of distributions that were made before and of all that follow, whatever they ask for
        (Distribution, "_validate_args", False),
        (Distribution, "__init__", _unchecked(Distribution.__init__)),
        (_adafactor, "_single_tensor_adafactor", adafactor),
        (swa_utils.AveragedModel, "update_parameters", update_parameters),
    ]
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in places]
    for owner, name, value in places:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _unchecked(init: Any) -> Any:
    """A distribution's `__init__` that checks nothing: what is sound is the data's business."""

    def unchecked(
        self: Distribution,
        batch_shape: torch.Size = torch.Size(),  # noqa: B008  (as PyTorch has it)
        event_shape: torch.Size = torch.Size(),  # noqa: B008
        validate_args: bool | None = None,
    ) -> None:
        init(self, batch_shape, event_shape, validate_args=False)

    return unchecked
