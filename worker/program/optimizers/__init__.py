"""Optimizers in programs: whatever `step` does with tensors, traced as it is written."""

from worker.program.optimizers.clipping import Clipping
from worker.program.optimizers.schedule import Rates
from worker.program.optimizers.stepping import Stepping

__all__ = ["Clipping", "Rates", "Stepping"]
