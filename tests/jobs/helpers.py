"""A tiny training job and its program, captured once."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from worker.jobs import Computation, TrainingJob
from worker.program import Program


def training(**changes: Any) -> TrainingJob:
    """Ten rows, batches of four, ten steps in segments of four: three segments, the last short."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(10, 5, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        module = nn.Linear(5, 3)
    fields: dict[str, Any] = {
        "module": module,
        "loss_fn": F.cross_entropy,
        "optimizer": torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9),
        "data": [x, (x[:, 0] > 0).long()],
        "batch_rows": 4,
        "steps": 10,
        "segment_steps": 4,
        "seed": 11,
    }
    return TrainingJob(**{**fields, **changes})


@cache
def program() -> Program:
    return training().capture()


def computation() -> Computation:
    job = training()
    return Computation(job.job(program()), program(), job.data)
