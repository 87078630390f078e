"""What an architecture is captured with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Entry:
    """How module, batch (inputs, then the target) and loss are made; what the model asks for."""

    make: Callable[[], nn.Module]
    batch: Callable[[], list[Tensor]]
    loss: Callable[[Any, Tensor], Tensor] = F.cross_entropy
    asks: str = ""


def images(channels: int = 3, size: int = 16, rows: int = 2) -> Tensor:
    return torch.randn(rows, channels, size, size)


def labelled(x: Tensor, classes: int = 4) -> list[Tensor]:
    return [x, torch.randint(0, classes, (len(x),))]


def itself(x: Tensor) -> list[Tensor]:
    return [x, x]
