"""The roles that a config asks for."""

from __future__ import annotations

import threading
from functools import partial

import torch

from worker.chain import Clients, Job, Task
from worker.config import Config
from worker.devices import device_of
from worker.jobs import Computation, NativeComputation
from worker.metrics import Metrics
from worker.roles.base import ComputationOf, Desk, Role
from worker.roles.bids import Pricing
from worker.roles.keeper import Keeper
from worker.roles.solver import Solver
from worker.roles.turns import Turns
from worker.roles.verifier import Verifier
from worker.store import Store


def build(
    config: Config,
    clients: Clients,
    store: Store,
    *,
    secret: bytes,
    metrics: Metrics,
    stop: threading.Event,
) -> list[Role]:
    """One desk, and on it the roles in the order in which they should act.

    A clock may be running against a solver, so it answers before anyone computes; the keeper comes
    last, when everything else has been done.
    """
    if config.worker.threads:
        torch.set_num_threads(config.worker.threads)
    desk = Desk(
        w3=clients.w3,
        account=clients.address,
        secret=secret,
        market=clients.market,
        court=clients.court,
        stakes=clients.stakes,
        token=clients.token,
        store=store,
        computation_of=computation_of(config),
        limits=config.jobs,
        folder=config.data.folder,
        rest_seconds=config.chain.poll_seconds,
        turns=Turns(stop),
        on_segment=lambda role: metrics.segments.labels(role).inc(),
        on_dispute=lambda role, outcome: metrics.disputes.labels(role, outcome).inc(),
    )
    made: dict[str, Role] = {
        "solver": Solver(desk, pricing_of(config)),
        "verifier": Verifier(desk),
        "challenger": Verifier(desk, volunteer=True),
    }
    if {"verifier", "challenger"} <= set(config.worker.roles):
        del made["verifier"]  # a volunteer does all that a drawn verifier does
    keeper = Keeper(desk, own="keeper" not in config.worker.roles)
    return [*(r for name, r in made.items() if name in config.worker.roles), keeper]


def computation_of(config: Config) -> ComputationOf:
    """How steps are computed here. Raises ConfigError for a device that is not there."""
    device = device_of(config.worker.device)
    return partial(NativeComputation, device=device) if config.worker.native else Computation


def pricing_of(config: Config) -> Pricing:
    """The price to bid, or None for a task outside the config's bounds."""

    def price(task: Task, job: Job) -> int | None:
        jobs = config.jobs
        outside = (
            task.max_price < jobs.min_price
            or job.steps > jobs.max_steps
            or job.segment_steps > jobs.max_segment_steps
        )
        return None if outside else config.pricing.bid(task.max_price)

    return price
