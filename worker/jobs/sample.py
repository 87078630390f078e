"""A job of ordinary size, that shows what a machine is worth before any other job is known."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from worker.jobs.definition import TrainingJob
from worker.program import Program

NAME = "a perceptron of 0.7 M parameters"


@cache
def sample() -> tuple[TrainingJob, Program]:
    """10,000 steps of a perceptron on 64 rows each, in 10 segments. A step takes milliseconds, as
    native code.

    Other programs have other speeds for a unit of work: by 2 either way between kinds of model, and
    below a million units a step by more, where calls take longer than work.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 384))
        data = [torch.randn(64, 256), torch.randn(64, 384)]
    definition = TrainingJob(
        module=module,
        loss_fn=F.mse_loss,
        optimizer=torch.optim.AdamW(module.parameters()),
        data=data,
        steps=10_000,
        batch_rows=64,
        segment_steps=1_000,
    )
    return definition, definition.capture()
