"""How fast a machine is, in work units, and so what a job takes there before any of it is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from worker.jobs.native import compiled
from worker.program import Program, Summary, capture_training, training_state

LONG_ENOUGH = 0.5  # seconds to spend on timing the sample
SAMPLE_STEPS = 10_000  # of the job that is priced to show what one costs


@dataclass(frozen=True)
class Speed:
    """Work units a second, as they were measured on one device.

    A program's own speed differs from the sample's: by 2 either way between kinds of model, and
    below a million work units a step by more, where calls take longer than work. Who has the
    program measures a step of it (`Speed.of`), and who has not takes the sample's.
    """

    units_per_second: float
    native: bool  # native code, not the interpreter

    @staticmethod
    def of(summary: Summary, step_seconds: float, native: bool) -> Speed:
        """The speed of a step that was timed."""
        return Speed(summary.work_units / step_seconds, native)

    def seconds(self, summary: Summary, steps: int) -> float:
        """What so many steps of a program take here, without commitments and the chain."""
        return summary.work_units * steps / self.units_per_second

    def cost(self, summary: Summary, steps: int, price_per_hour: float) -> float:
        """What they cost here where an hour of this machine is worth `price_per_hour`."""
        return self.seconds(summary, steps) / 3600 * price_per_hour


@cache
def sample() -> tuple[Program, list[torch.Tensor], list[torch.Tensor]]:
    """A training step of ordinary size, with its state and batch: a perceptron of 0.7 M parameters
    on 64 rows. It takes milliseconds, as native code."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 384))
        batch = [torch.randn(64, 256), torch.randn(64, 384)]
    optimizer = torch.optim.AdamW(module.parameters())
    program = capture_training(module, F.mse_loss, optimizer, batch)
    return program, training_state(module, optimizer), batch


@cache
def measured(device: torch.device | str = "cpu") -> Speed:
    """This machine's speed on the sample, compiled where that can be done; takes some seconds."""
    where = torch.device(device)
    program, state, batch = sample()
    native = compiled(program, where)
    state, batch = [t.to(where) for t in state], [t.to(where) for t in batch]

    def step() -> None:
        _, (loss,) = program.run(state, batch)
        loss.item()  # a GPU is waited for

    return Speed.of(program.summary(), best_of(step, LONG_ENOUGH), native)


def best_of(run: Callable[[], object], enough: float) -> float:
    """Seconds of the fastest call; others meet cold caches and a busy machine. At least two calls,
    the first one uncounted, and as many as fit in `enough` seconds."""
    run()
    times: list[float] = []
    while not times or (sum(times) < enough and len(times) < 32):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
