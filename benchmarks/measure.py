"""Timing side by side: two functions in turn, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

PAUSE = 0.02  # seconds until idle threads sleep


@dataclass(frozen=True)
class Row:
    """One comparison: medians in seconds, or what else `unit` says."""

    name: str
    ours: float
    theirs: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def compare(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], seconds: float = 4.0
) -> Row:
    """Runs both in turn for about `seconds`, at least five times each, or three if they take long.

    Threads of PyTorch's that have nothing to do spin for some milliseconds before they sleep, and
    would take a processor from what runs after them. So each waits for that first, and of two runs
    in a row, as steps and products come, the second counts.
    """
    mine: list[float] = []
    other: list[float] = []
    end = time.perf_counter() + seconds
    while len(mine) < (5 if time.perf_counter() < end + 4 * seconds else 3) or (
        time.perf_counter() < end
    ):
        for function, times in ((ours, mine), (theirs, other)):
            time.sleep(PAUSE)
            function()
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return Row(name, median(mine), median(other))


def machine() -> dict[str, object]:
    """What the numbers were taken on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "vnni": "avx512_vnni" in _flags() or "avx_vnni" in _flags(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _flags() -> set[str]:
    try:
        with open("/proc/cpuinfo") as file:
            return set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return set()
