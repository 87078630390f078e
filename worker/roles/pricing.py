"""What a task costs here: the time it takes, and the gas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Protocol

from worker.chain.types import Job, Task
from worker.config import PricingConfig

# What a task's transactions use at most, on a market with no surprises: a test holds them to it.
GAS_BID = 120_000  # where somebody is outbid
GAS_TASK = 400_000  # the keeper's part: close, draw, settle, withdraw
GAS_SEGMENT = 100_000


class Pricing(Protocol):
    """What a worker asks for a task that takes so many seconds here, or None to let it be."""

    def __call__(self, task: Task, job: Job, seconds: float) -> int | None: ...


def gas_of(segments: int) -> int:
    """What a task of so many segments costs its solver in gas."""
    return GAS_BID + GAS_TASK + segments * GAS_SEGMENT


@dataclass(frozen=True)
class WorkPrice:
    """Time and gas, in the token's smallest units.

    gas_price: wei for a unit of gas now. decimals: of the token.
    """

    config: PricingConfig
    decimals: int
    gas_price: Callable[[], int]

    def cost(self, seconds: float, gas: int) -> int:
        """Rounded up, and never nothing."""
        unit = Fraction(10) ** self.decimals
        hours = Fraction(seconds) / 3600 * Fraction(str(self.config.hour))
        coin = Fraction(str(self.config.coin))
        coins = Fraction(gas * self.gas_price(), 10**18) * coin if coin else Fraction(0)
        return max(1, ceil((hours + coins) * unit))

    def __call__(self, task: Task, job: Job, seconds: float) -> int | None:
        asked = self.cost(seconds, gas_of(task.segments))
        return asked if asked <= self.config.ceiling(task.max_price) else None
