"""The clock of a task's disputes: what the job asks for, or what a dispute takes here."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import click

from worker.chain import Clients
from worker.config import JobsConfig
from worker.jobs import moves
from worker.jobs.estimate import Estimate, duration
from worker.program import Program

SLOWER = 3  # times than this machine, a worker may be
QUARTER = 4  # workers bid where a quarter of the clock does
LOOKS = 10.0  # seconds until a worker has noticed that it is to move
BLOCKS = 2  # until its move is mined
PACE_OF = 100  # blocks, whose time is the chain's pace


@dataclass(frozen=True)
class Clock:
    """seconds: that each side has. said: where they come from."""

    seconds: int
    said: str


def bounds(clients: Clients, seconds: int, why: str) -> None:
    """Raises where the market would refuse the clock."""
    rules = clients.market.parameters()
    if not rules.min_clock <= seconds <= rules.max_clock:
        raise click.ClickException(
            f"{why}: this market takes clocks of {rules.min_clock} to {rules.max_clock} s; "
            "write one between them, and fewer segment_steps where a segment takes too long"
        )


def derived(clients: Clients, found: Estimate, program: Program) -> Clock:
    """Four times what the longest dispute takes a machine that is SLOWER than this one."""
    arity_bits = clients.court.arity_bits()
    count = moves(program, min(found.job.steps, found.job.segment_steps), arity_bits)
    kept = JobsConfig().kept_bytes  # of a worker that sets nothing else
    work, move = found.dispute_seconds(SLOWER, arity_bits, kept), LOOKS + BLOCKS * pace(clients)
    needed = ceil(QUARTER * (work + count * move) / 60) * 60
    bounds(clients, max(needed, clients.market.parameters().min_clock), f"a clock of {needed} s")
    seconds = max(needed, clients.market.parameters().min_clock)
    return Clock(
        seconds,
        f"{QUARTER} x ({duration(work)} to compute a segment again and trace a step on a machine "
        f"{SLOWER} x slower than this one, and {count} moves of {move:.3g} s), or the market's "
        "least: --clock sets another",
    )


def pace(clients: Clients) -> float:
    """Seconds between two blocks, lately."""
    eth = clients.w3.eth
    tip = eth.get_block("latest")
    first = max(1, int(tip["number"]) - PACE_OF)
    count = int(tip["number"]) - first
    return (int(tip["timestamp"]) - int(eth.get_block(first)["timestamp"])) / count if count else 0


def window_of(clock: int, checks: int) -> int:
    """Seconds from the draw in which accusations are taken."""
    return clock + checks * clock // 4
